//! Whether the mail server waits for replies that take long.
//!
//! A mail server closes the connection when its timeout for milters is over, and lets the message pass or defers it, as its
//! own configuration says. The connection is not read while a reply is being made, so what shows is that the connection
//! ends where a slow reply should have been followed by the next command.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::service::Awaited;
use crate::types::Span;
use crate::types::sync::Mutex;

/// A reply is slow from this time on: Sendmail's timeout. That of Postfix is 30 s.
const SLOW: Duration = Duration::from_secs(10);

/// Which reply was slow, whether the mail server has waited for it, and how long that took.
type Note = dyn Fn(Awaited, bool, Span) + Send + Sync;

/// The slow reply of a connection that no command has followed yet.
pub(super) struct Patience {
    /// Which it is, and how long it took.
    pending: Mutex<Option<(Awaited, Span)>>,
    note: Box<Note>,
}

/// A stream that tells what becomes of slow replies.
#[derive(Debug)]
pub(super) struct Noticing<S> {
    stream: S,
    patience: Arc<Patience>,
}

impl Patience {
    /// A connection without a slow reply so far. `note` gets each one, and whether the mail server has waited for it.
    pub(super) fn new(note: impl Fn(Awaited, bool, Span) + Send + Sync + 'static) -> Self {
        Self {
            pending: Mutex::default(),
            note: Box::new(note),
        }
    }

    /// A reply has taken this long, and is to be written now.
    pub(super) fn replies_after(&self, awaited: Awaited, time: Duration) {
        if time >= SLOW {
            let time = Span::from_seconds(time.as_secs());
            *self.pending.lock() = Some((awaited, time));
        }
    }

    /// What becomes of a slow reply, if there is one, is known.
    fn settle(&self, has_waited: bool) {
        let pending = self.pending.lock().take();
        if let Some((awaited, time)) = pending {
            (self.note)(awaited, has_waited, time);
        }
    }
}

impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Patience").field(&self.pending).finish()
    }
}

impl<S> Noticing<S> {
    /// This stream.
    pub(super) const fn new(stream: S, patience: Arc<Patience>) -> Self {
        Self { stream, patience }
    }

    /// Passes on what was written; an error is the end of the connection.
    fn written(&self, written: io::Result<usize>) -> io::Result<usize> {
        if written.is_err() {
            self.patience.settle(false);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noticing<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
        let has_more = read.is_ok() && buffer.filled().len() > before;
        this.patience.settle(has_more);
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noticing<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        Poll::Ready(this.written(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices));
        Poll::Ready(this.written(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a mail server does while a reply is made.
    #[derive(Debug, Clone, Copy)]
    enum Meanwhile {
        /// It waits, and sends a command.
        Waits,
        /// It closes the connection.
        Closes,
        /// It has got the reply, and closes the connection before it reads it.
        ClosesAfterwards,
    }

    #[tokio::test]
    async fn a_slow_reply_that_no_command_follows_was_too_slow() {
        use Awaited::{Command, Message};
        use Meanwhile::{Closes, ClosesAfterwards, Waits};
        for (awaited, seconds, meanwhile, want) in [
            (Command, 9, Waits, None),
            (Message, 9, Closes, None),
            (Message, 10, Waits, Some((true, 10))),
            (Command, 65, Waits, Some((true, 65))),
            (Command, 65, Closes, Some((false, 65))),
            (Message, 65, ClosesAfterwards, Some((false, 65))),
        ] {
            let told = Arc::<Mutex<Vec<(bool, Span)>>>::default();
            let list = Arc::clone(&told);
            let patience = Patience::new(move |of, waited, span| {
                assert_eq!(of, awaited);
                list.lock().push((waited, span));
            });
            let patience = Arc::new(patience);
            let (mut client, server) = tokio::io::duplex(64);
            let mut server = Noticing::new(server, Arc::clone(&patience));
            client.write_all(b"RCPT").await.unwrap();
            let mut command = [0; 4];
            server.read_exact(&mut command).await.unwrap();
            patience.replies_after(awaited, Duration::from_secs(seconds));
            match meanwhile {
                Waits => {
                    server.write_all(b"c").await.unwrap();
                    client.write_all(b"DATA").await.unwrap();
                    server.read_exact(&mut command).await.unwrap();
                    drop(client);
                }
                Closes => {
                    drop(client);
                    server.write_all(b"c").await.unwrap_err();
                }
                ClosesAfterwards => {
                    server.write_all(b"c").await.unwrap();
                    drop(client);
                }
            }
            // What comes later says nothing about the reply.
            assert_eq!(server.read(&mut command).await.unwrap(), 0);
            let want = want.map(|(waited, seconds)| (waited, Span::from_seconds(seconds)));
            let told = told.lock();
            assert_eq!(told.first(), want.as_ref(), "{seconds} {meanwhile:?}");
            assert!(told.len() <= 1);
        }
    }
}

//! A connection for a server that wants a listener, says nothing about the end of a connection or about slow replies, and
//! does not understand the addresses of every mail server.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use indymilter::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::patience::Patience;
use crate::protocol::milter::Opening;

/// Most bytes of an opening that are read at once.
const AT_ONCE: usize = 1 << 10;

/// A stream that tells what becomes of slow replies, and when it is dropped.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    patience: Arc<Patience>,
    opening: Opening,
    /// Bytes of the opening that wait for their reader.
    passed: Vec<u8>,
    /// Dropped with it.
    _end: oneshot::Sender<()>,
}

/// A listener with one connection, and no other after it.
#[derive(Debug)]
pub(super) struct One<S>(Option<Watched<S>>);

/// A listener with this connection, and what is told when the connection has ended.
pub(super) fn one<S>(stream: S, patience: Arc<Patience>) -> (One<S>, oneshot::Receiver<()>) {
    let (end, ended) = oneshot::channel();
    let watched = Watched {
        stream,
        patience,
        opening: Opening::default(),
        passed: Vec::new(),
        _end: end,
    };
    (One(Some(watched)), ended)
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Listener for One<S> {
    type Io = Watched<S>;

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Self::Io>> {
        self.0
            .take()
            .map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream)))
    }
}

impl<S> Watched<S> {
    /// Passes on what was written; an error is the end of the connection.
    fn written(&self, written: io::Result<usize>) -> io::Result<usize> {
        if written.is_err() {
            self.patience.settle(false);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Reads what the mail server sends. With it, or with the end, it is known what has become of a slow reply.
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let has_more = read.is_ok() && buffer.filled().len() > before;
        self.patience.settle(has_more);
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.passed.is_empty() {
            if this.opening.is_over() {
                return this.poll_receive(context, buffer);
            }
            let mut bytes = [0; AT_ONCE];
            let mut part = ReadBuf::new(&mut bytes);
            ready!(this.poll_receive(context, &mut part))?;
            match part.filled() {
                [] => this.opening.end(&mut this.passed),
                bytes => this.opening.take(bytes, &mut this.passed),
            }
        }
        let count = buffer.remaining().min(this.passed.len());
        if let Some(bytes) = this.passed.get(..count) {
            buffer.put_slice(bytes);
        }
        this.passed.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::service::Awaited;
    use crate::types::Span;
    use crate::types::sync::Mutex;

    /// What a mail server sends before its commands: the client's address, without a negotiation.
    const OPENING: &[u8] = b"\0\0\0\x05Cx\0U\0";

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
            let (mut listener, _ended) = one(server, Arc::clone(&patience));
            let accept = poll_fn(|context| listener.poll_accept(context));
            let mut server = accept.await.unwrap();
            client.write_all(OPENING).await.unwrap();
            server.read_exact(&mut [0; OPENING.len()]).await.unwrap();
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

    #[tokio::test]
    async fn the_reader_gets_the_opening_with_a_plain_address_and_the_rest_as_it_is() {
        let mut opening = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\0\0\0".to_vec();
        let mut want = opening.clone();
        opening.extend_from_slice(b"\0\0\0\x0eCx\x006\0\x19IPv6:::1\0");
        want.extend_from_slice(b"\0\0\0\x09Cx\x006\0\x19::1\0");
        let rest = b"\0\0\0\x03Hx\0".repeat(AT_ONCE);
        for bytes in [&mut opening, &mut want] {
            bytes.extend_from_slice(&rest);
        }
        let (mut client, server) = tokio::io::duplex(64);
        let patience = Arc::new(Patience::new(|_, _, _| {}));
        let (mut listener, _ended) = one(server, patience);
        let write = async {
            client.write_all(&opening).await.unwrap();
            drop(client);
        };
        let read = async {
            let accept = poll_fn(|context| listener.poll_accept(context));
            let mut stream = accept.await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let ((), bytes) = tokio::join!(write, read);
        assert_eq!(bytes, want);
    }
}

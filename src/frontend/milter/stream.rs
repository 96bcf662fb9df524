//! A connection for a server that wants a listener, says nothing about the end of a connection, and does not understand
//! the addresses of every mail server.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use indymilter::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::protocol::milter::Opening;

/// Most bytes of an opening that are read at once.
const AT_ONCE: usize = 1 << 10;

/// A stream that tells when it is dropped.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
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
pub(super) fn one<S>(stream: S) -> (One<S>, oneshot::Receiver<()>) {
    let (end, ended) = oneshot::channel();
    let watched = Watched {
        stream,
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

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.passed.is_empty() {
            if this.opening.is_over() {
                return Pin::new(&mut this.stream).poll_read(context, buffer);
            }
            let mut bytes = [0; AT_ONCE];
            let mut part = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
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
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
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

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

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
        let (mut listener, _ended) = one(server);
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

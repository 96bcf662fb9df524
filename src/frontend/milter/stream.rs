//! A connection for a server that wants a listener and says nothing about the end of a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use indymilter::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// A stream that tells when it is dropped.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    /// Dropped with it.
    _end: oneshot::Sender<()>,
}

/// A listener with one connection, and no other after it.
#[derive(Debug)]
pub(super) struct One<S>(Option<Watched<S>>);

/// A listener with this connection, and what is told when the connection has ended.
pub(super) fn one<S>(stream: S) -> (One<S>, oneshot::Receiver<()>) {
    let (end, ended) = oneshot::channel();
    (One(Some(Watched { stream, _end: end })), ended)
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
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
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

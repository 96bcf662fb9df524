//! The accept loops: no error ends them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::bind::{Protocol, Socket, SocketFile, SocketKind};
use super::milter::serve_milter;
use super::policy::{ConnectionEnd, ConnectionOptions, serve_connection, until_shutdown};
use super::reactor::ReactorThreads;
use super::registry::{CloseReason, Registry};
use crate::service::Gate;

/// Pause after an accept that failed because of missing descriptors or memory.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// Pause after an accept that failed for another reason.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// Of repeated accept failures, one in this many is logged.
const LOG_EVERY: u32 = 100;

/// What every listener passes to its connections.
#[derive(Debug, Clone)]
pub struct ListenerContext {
    /// Decides the requests.
    pub gate: Gate,
    /// How connections are served.
    pub options: ConnectionOptions,
    /// The threads that serve them.
    pub reactors: Arc<ReactorThreads>,
    /// The open connections.
    pub registry: Arc<Registry>,
    /// Becomes true when the daemon ends.
    pub shutdown: watch::Receiver<bool>,
}

/// A listening socket that is registered with the runtime.
struct Listener {
    protocol: Protocol,
    socket: ListeningSocket,
}

enum ListeningSocket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Accepts connections on a socket until the daemon shuts down; the task ends when its connections have ended.
///
/// # Errors
///
/// When the socket cannot be registered with the runtime.
pub fn serve(socket: Socket, context: ListenerContext) -> io::Result<JoinHandle<()>> {
    let Socket {
        protocol,
        kind,
        file,
    } = socket;
    let socket = match kind {
        SocketKind::Unix(listener) => {
            listener.set_nonblocking(true)?;
            ListeningSocket::Unix(UnixListener::from_std(listener)?)
        }
        SocketKind::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            ListeningSocket::Tcp(TcpListener::from_std(listener)?)
        }
    };
    let listener = Listener { protocol, socket };
    Ok(tokio::spawn(accept_all(listener, file, context)))
}

async fn accept_all(listener: Listener, file: Option<SocketFile>, context: ListenerContext) {
    let mut connections = JoinSet::new();
    let mut shutdown = context.shutdown.clone();
    let mut failures = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = until_shutdown(&mut shutdown) => break,
            accepted = accept(&listener, &mut connections, &context) => match accepted {
                Ok(()) => failures = 0,
                Err(error) => {
                    report(&error, failures);
                    failures = failures.wrapping_add(1);
                    tokio::time::sleep(backoff(&error, &context.registry)).await;
                }
            },
        }
        // Join what has ended.
        while connections.try_join_next().is_some() {}
    }
    // No new connections; the open ones get their replies.
    drop(listener);
    drop(file);
    while connections.join_next().await.is_some() {}
}

/// Accepts one connection.
async fn accept(
    listener: &Listener,
    connections: &mut JoinSet<()>,
    context: &ListenerContext,
) -> io::Result<()> {
    let protocol = listener.protocol;
    match &listener.socket {
        ListeningSocket::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let stream = stream.into_std()?;
            let stream = move || UnixStream::from_std(stream);
            let peer = "unix socket".to_owned();
            let serving = run((protocol, peer), stream, context.clone());
            connections.spawn_on(serving, context.reactors.next());
        }
        ListeningSocket::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            // Without it replies may be delayed; not a reason to refuse the connection.
            if let Err(error) = stream.set_nodelay(true) {
                log::debug!("{peer}: {error}, ignoring");
            }
            let stream = stream.into_std()?;
            let stream = move || TcpStream::from_std(stream);
            let serving = run((protocol, peer.to_string()), stream, context.clone());
            connections.spawn_on(serving, context.reactors.next());
        }
    }
    Ok(())
}

/// Serves a connection on the current runtime, and logs an end that is not normal.
async fn run<S>(
    (protocol, peer): (Protocol, String),
    stream: impl FnOnce() -> io::Result<S>,
    context: ListenerContext,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let registration = context.registry.admit();
    let ListenerContext {
        gate,
        options,
        shutdown,
        ..
    } = context;
    let end = match (stream(), protocol) {
        (Ok(stream), Protocol::Policy) => {
            serve_connection(stream, &registration, &gate, options, shutdown).await
        }
        (Ok(stream), Protocol::Milter) => {
            serve_milter(stream, registration, gate, options.log_decisions, shutdown).await
        }
        (Err(error), _) => ConnectionEnd::Io(error),
    };
    match end {
        ConnectionEnd::Closed
        | ConnectionEnd::ByRegistry(CloseReason::Idle | CloseReason::OverLimit) => {}
        ConnectionEnd::Io(_) => log::debug!("{peer}: {end}"),
        ConnectionEnd::Malformed(_)
        | ConnectionEnd::MidRequest
        | ConnectionEnd::MidMessage
        | ConnectionEnd::SlowReader
        | ConnectionEnd::ByRegistry(_) => {
            log::warn!("{peer}: {end}; connection closed");
        }
    }
}

/// Logs the first failure, and every hundredth after it.
fn report(error: &io::Error, failures: u32) {
    if failures.is_multiple_of(LOG_EVERY) {
        log::warn!("cannot accept a connection: {error}; trying again");
    }
}

/// How long to pause after a failed accept. Closes a connection if descriptors are missing.
fn backoff(error: &io::Error, registry: &Registry) -> Duration {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => {
            registry.evict();
            SHORT_PAUSE
        }
        Some(Errno::ENOBUFS | Errno::ENOMEM) => SHORT_PAUSE,
        Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EAGAIN | Errno::EPROTO | Errno::EPERM) => {
            Duration::ZERO
        }
        Some(_) | None => LONG_PAUSE,
    }
}

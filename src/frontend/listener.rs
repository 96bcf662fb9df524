//! The accept loops: no error ends them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::bind::{Kind, Socket, SocketFile};
use super::lanes::Lanes;
use super::policy::{End, Manner, converse, until_shutdown};
use super::registry::{Ending, Registry};
use crate::service::Gate;

/// Pause after an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Pause after an accept that failed otherwise.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// One line in so many is logged of accepts that fail again and again.
const EVERY: u32 = 100;

/// What every listener needs.
#[derive(Debug, Clone)]
pub struct Service {
    /// Who decides.
    pub gate: Gate,
    /// How connections are treated.
    pub manner: Manner,
    /// Who answers.
    pub lanes: Arc<Lanes>,
    /// The open connections.
    pub registry: Arc<Registry>,
    /// Becomes true when the daemon ends.
    pub shutdown: watch::Receiver<bool>,
}

/// A listener as the runtime wants it.
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Listens on a socket until the daemon ends, and then until its connections have ended.
///
/// # Errors
///
/// When the runtime cannot take the socket.
pub fn serve(socket: Socket, service: Service) -> io::Result<JoinHandle<()>> {
    let Socket { kind, file } = socket;
    let listener = match kind {
        Kind::Unix(listener) => {
            listener.set_nonblocking(true)?;
            Listener::Unix(UnixListener::from_std(listener)?)
        }
        Kind::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            Listener::Tcp(TcpListener::from_std(listener)?)
        }
    };
    Ok(tokio::spawn(accept_all(listener, file, service)))
}

async fn accept_all(listener: Listener, file: Option<SocketFile>, service: Service) {
    let mut connections = JoinSet::new();
    let mut shutdown = service.shutdown.clone();
    let mut failures = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = until_shutdown(&mut shutdown) => break,
            accepted = accept(&listener, &mut connections, &service) => match accepted {
                Ok(()) => failures = 0,
                Err(error) => {
                    report(&error, failures);
                    failures = failures.wrapping_add(1);
                    tokio::time::sleep(wait_out(&error, &service.registry)).await;
                }
            },
        }
        // Those that have ended are let go.
        while connections.try_join_next().is_some() {}
    }
    // Nobody can come any more; who is here is answered.
    drop(listener);
    drop(file);
    while connections.join_next().await.is_some() {}
}

/// Accepts one connection.
async fn accept(
    listener: &Listener,
    connections: &mut JoinSet<()>,
    service: &Service,
) -> io::Result<()> {
    match listener {
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let stream = stream.into_std()?;
            let stream = move || UnixStream::from_std(stream);
            let serving = run(stream, "unix socket".to_owned(), service.clone());
            connections.spawn_on(serving, service.lanes.next());
        }
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            // Without it answers would wait; a connection is served all the same.
            if let Err(error) = stream.set_nodelay(true) {
                log::debug!("{peer}: {error}, ignoring");
            }
            let stream = stream.into_std()?;
            let stream = move || TcpStream::from_std(stream);
            let serving = run(stream, peer.to_string(), service.clone());
            connections.spawn_on(serving, service.lanes.next());
        }
    }
    Ok(())
}

/// Serves a connection on the runtime that this runs on, and logs how it ended, if that is worth a line.
async fn run<S>(stream: impl FnOnce() -> io::Result<S>, peer: String, service: Service)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let place = service.registry.admit();
    let end = match stream() {
        Ok(stream) => {
            let Service {
                gate,
                manner,
                shutdown,
                ..
            } = service;
            converse(stream, &place, &gate, manner, shutdown).await
        }
        Err(error) => End::Io(error),
    };
    match end {
        End::Closed | End::Told(Ending::Idle | Ending::Crowded) => {}
        End::Io(_) => log::debug!("{peer}: {end}"),
        End::Garbage(_) | End::Halfway | End::SlowReader | End::Told(_) => {
            log::warn!("{peer}: {end}; connection closed");
        }
    }
}

/// One line for the first failure, and for every hundredth after it.
fn report(error: &io::Error, failures: u32) {
    if failures.is_multiple_of(EVERY) {
        log::warn!("a connection cannot be accepted: {error}; going on");
    }
}

/// What to do about an accept that failed: make room if that is what is wanted, and wait.
fn wait_out(error: &io::Error, registry: &Registry) -> Duration {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => {
            registry.evict();
            PAUSE
        }
        Some(Errno::ENOBUFS | Errno::ENOMEM) => PAUSE,
        Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EAGAIN | Errno::EPROTO | Errno::EPERM) => {
            Duration::ZERO
        }
        Some(_) | None => LONG_PAUSE,
    }
}

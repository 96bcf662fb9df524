//! The milter front end: an SMTP session of the mail server in, decisions about its recipients and messages out.
//!
//! [`indymilter`] speaks the protocol. It is run once for each connection, on the reactor thread of that connection, so
//! that a connection ends when its turn has come: at shutdown and at the limit of connections, but never in the middle of
//! a message unless [`DRAIN`] has passed.
//!
//! # What a session does
//!
//! | command | |
//! | --- | --- |
//! | MAIL | a message begins; requests of the policy server about the same client and port are about it, too |
//! | RCPT | decided like any request; the tarpit is slept here |
//! | DATA | decided like the policy server's |
//! | header, body | kept as far as a rule asks for them |
//! | end of message | forged header fields are removed, ours are added |
//!
//! Whatever the mail server does not tell (a client without an address is a process of the same machine) is no reason
//! to refuse anything.

mod callbacks;
mod client;
mod content;
mod edits;
mod macros;
mod negotiation;
mod patience;
mod session;
mod stream;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use indymilter::Config;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use self::patience::Patience;
use super::policy::{ConnectionEnd, until_shutdown};
use super::registry::{Activity, CloseReason, Registration, Registry};
use crate::service::Gate;

/// How long shutdown waits for messages that are under way. The unit gives the daemon 30 seconds.
const DRAIN: Duration = Duration::from_secs(20);

/// How long a connection may take to end after that.
const BACKSTOP: Duration = Duration::from_secs(2);

/// What the callbacks of a connection share.
#[derive(Debug)]
struct Connection {
    gate: Gate,
    /// Whether each decision is logged.
    log_decisions: bool,
    registration: Registration,
    /// Whether a message is under way.
    is_busy: watch::Sender<bool>,
    shutdown: watch::Receiver<bool>,
    /// Whether the mail server waits for slow replies.
    patience: Arc<Patience>,
}

impl Connection {
    /// A message begins or ends.
    fn set_busy(&self, is_busy: bool) {
        self.registration.set(if is_busy {
            Activity::Answering
        } else {
            Activity::Idle
        });
        self.is_busy.send_replace(is_busy);
    }

    /// Waits for the moment at which the connection is to be closed, between two messages; the reason, if the registry
    /// has one.
    async fn close_requested(&self) -> Option<CloseReason> {
        let mut is_busy = self.is_busy.subscribe();
        let mut shutdown = self.shutdown.clone();
        let reason = tokio::select! {
            reason = self.registration.close_requested() => Some(reason),
            () = until_shutdown(&mut shutdown) => None,
        };
        // The sender is in `self`.
        if is_busy.wait_for(|is_busy| !is_busy).await.is_err() {
            log::debug!("a milter connection without its sender");
        }
        reason
    }

    /// Waits until shutdown has waited long enough.
    async fn drained(&self) {
        until_shutdown(&mut self.shutdown.clone()).await;
        tokio::time::sleep(DRAIN).await;
    }
}

/// Serves one connection that no listener has accepted, such as a stream in memory, until it ends or `shutdown` becomes
/// true. Nothing is logged about how it ends.
pub async fn serve_milter_stream<S>(stream: S, gate: Gate, shutdown: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let registration = Registry::new(1).admit();
    let end = serve_milter(stream, registration, gate, false, shutdown).await;
    log::debug!("{end}");
}

/// Serves one connection to its end.
pub(super) async fn serve_milter<S>(
    stream: S,
    registration: Registration,
    gate: Gate,
    log_decisions: bool,
    shutdown: watch::Receiver<bool>,
) -> ConnectionEnd
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let timeouts = gate.clone();
    let patience = Patience::new(move |awaited, has_waited, time| {
        timeouts.note_milter_reply(awaited, has_waited, time);
    });
    let connection = Arc::new(Connection {
        gate,
        log_decisions,
        registration,
        is_busy: watch::Sender::new(false),
        shutdown,
        patience: Arc::new(patience),
    });
    let (listener, mut ended) = stream::one(stream, Arc::clone(&connection.patience));
    let callbacks = callbacks::new(&connection);
    let config = Config {
        max_connections: 1,
        ..Config::default()
    };
    let (mut reason, mut is_drained) = (None, false);
    let end = async {
        tokio::select! {
            // Nothing is sent: the sender is dropped with the stream.
            _ = &mut ended => {}
            requested = connection.close_requested() => reason = requested,
            () = connection.drained() => is_drained = true,
        }
    };
    let backstop = async {
        connection.drained().await;
        tokio::time::sleep(BACKSTOP).await;
    };
    let served = tokio::select! {
        served = indymilter::run(listener, callbacks, config, end) => served,
        // A command is still being carried out.
        () = backstop => return ConnectionEnd::MidMessage,
    };
    match served {
        Ok(()) if is_drained => ConnectionEnd::MidMessage,
        Ok(()) => reason.map_or(ConnectionEnd::Closed, ConnectionEnd::ByRegistry),
        Err(error) => ConnectionEnd::Io(error),
    }
}

//! A connection of the policy protocol: bytes in, decisions out.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::registry::{Activity, CloseReason, Registration};
use super::wake_gated::WakeGated;
use crate::policy::{Attempt, Stage};
use crate::protocol::policy::{DecodeError, Decoder, Request, Style, decoded, write_reply};
use crate::service::{Gate, journal};
use crate::types::Timestamp;

/// How long a client may take to read a reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The same while the daemon shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Replies to pipelined requests are sent when they reach this many bytes.
const FLUSH_AT: usize = 16_384;

/// How connections are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// Close after the first reply (Exim).
    pub one_answer: bool,
    /// Whether `policy_test_time` in a request is the time of its decision.
    pub requests_bring_time: bool,
    /// Whether each decision is logged.
    pub log_decisions: bool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionEnd {
    /// Normally.
    #[error("closed")]
    Closed,
    /// The client sent something that is not a request.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// The client closed it in the middle of a request.
    #[error("closed in the middle of a request")]
    MidRequest,
    /// A message of a milter session was still under way when shutdown had waited long enough.
    #[error("a message was still under way at the end of the shutdown")]
    MidMessage,
    /// The registry closed it.
    #[error("{}", match .0 {
        CloseReason::PartialRequest => "incomplete request after the time limit",
        CloseReason::Idle => "idle for too long",
        CloseReason::OverLimit => "too many connections, this one was idle longest",
    })]
    ByRegistry(CloseReason),
    /// The client did not read the reply in time.
    #[error("the reply was not read in time")]
    SlowReader,
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves one connection to its end. `shutdown` becomes true when the daemon shuts down: requests received by then get
/// their replies, and no more are read.
pub(super) async fn serve_connection<S>(
    mut stream: S,
    registration: &Registration,
    gate: &Gate,
    options: ConnectionOptions,
    shutdown: watch::Receiver<bool>,
) -> ConnectionEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    let mut closing = WakeGated::new(registration.close_requested());
    let mut watched = shutdown.clone();
    let mut shutting_down = WakeGated::new(until_shutdown(&mut watched));
    let mut is_ending = *shutdown.borrow();
    let mut was_ending = false;
    loop {
        let answered = async {
            while let Some(request) = decoder.next()? {
                registration.set(Activity::Answering);
                answer(&request, &mut out, gate, options).await;
                if options.one_answer {
                    return Err(ConnectionEnd::Closed);
                }
                if out.len() >= FLUSH_AT {
                    send(&mut stream, &mut out, &shutdown).await?;
                }
            }
            Ok(())
        }
        .await;
        let sent = send(&mut stream, &mut out, &shutdown).await;
        if let Err(end) = answered.and(sent) {
            return end;
        }
        registration.set(if decoder.is_midway() {
            Activity::PartialRequest
        } else {
            Activity::Idle
        });
        let is_midway = decoder.is_midway();
        // At shutdown, read once more what has arrived by then.
        is_ending |= shutdown.has_changed().unwrap_or_default();
        if is_ending && was_ending {
            return ConnectionEnd::Closed;
        }
        was_ending = is_ending;
        tokio::select! {
            biased;
            read = stream.read_buf(decoder.room()) => match read {
                Ok(0) if is_midway => return ConnectionEnd::MidRequest,
                Ok(0) => return ConnectionEnd::Closed,
                Ok(_) => {}
                Err(error) => return ConnectionEnd::Io(error),
            },
            ending = poll_fn(|context| closing.poll(context)) => return ConnectionEnd::ByRegistry(ending),
            () = poll_fn(|context| shutting_down.poll(context)) => return ConnectionEnd::Closed,
        }
    }
}

/// Decides one request and appends the reply to `out`. Postfix 2.3 and later send `etrn_domain`, empty or not, and
/// accept an enhanced status code in the reply.
async fn answer(request: &Request<'_>, out: &mut Vec<u8>, gate: &Gate, options: ConnectionOptions) {
    let certificate = request.ccert_subject.and_then(decoded);
    let mut attempt = attempt(request);
    attempt.certificate = certificate.as_deref().or(attempt.certificate);
    let time = request
        .policy_test_time
        .filter(|_| options.requests_bring_time)
        .and_then(|time| std::str::from_utf8(time).ok()?.parse().ok())
        .map(Timestamp::from_seconds);
    let decision = gate.judge(&attempt, time).await;
    journal::record(&attempt, &decision, options.log_decisions);
    let style = Style {
        greylist_action: decision.rules.texts.greylist_action(),
        enhanced_codes: request.etrn_domain.is_some(),
    };
    write_reply(out, &decision.reply, style);
}

/// The delivery attempt that a request describes.
pub(super) fn attempt<'a>(request: &Request<'a>) -> Attempt<'a> {
    Attempt {
        stage: match request.protocol_state {
            None | Some(b"" | b"RCPT") => Stage::Recipient,
            Some(b"DATA") => Stage::Data,
            Some(_) => Stage::Other,
        },
        client_address: request.client_address,
        client_name: request.client_name,
        helo_name: request.helo_name,
        sender: request.sender,
        recipient: request.recipient,
        instance: request.instance,
        queue_id: request.queue_id,
        is_stressed: request.stress == Some(b"yes"),
        user: request.sasl_username.filter(|name| !name.is_empty()),
        certificate: request.ccert_subject,
        macros: None,
        accepted: None,
        client_port: request.client_port,
        milter_message: None,
        milter_session: None,
    }
}

/// Waits until the daemon shuts down; a dropped sender means the same.
pub(super) async fn until_shutdown(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|is_ending| *is_ending).await.is_err() {
        log::debug!("the listeners have ended already");
    }
}

/// Sends and clears `out`, with a shorter timeout while the daemon shuts down.
async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    out: &mut Vec<u8>,
    shutdown: &watch::Receiver<bool>,
) -> Result<(), ConnectionEnd> {
    if out.is_empty() {
        return Ok(());
    }
    let mut writing = pin!(stream.write_all(out));
    // Nearly always there is room in the socket's buffer, and no timer is needed.
    let tried = poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
    let sent = if let Poll::Ready(sent) = tried {
        sent.map_err(ConnectionEnd::Io)
    } else {
        let mut shutdown = shutdown.clone();
        let last_grace = async {
            until_shutdown(&mut shutdown).await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        };
        tokio::select! {
            biased;
            sent = tokio::time::timeout(WRITE_TIMEOUT, writing) => {
                sent.map_or(Err(ConnectionEnd::SlowReader), |sent| sent.map_err(ConnectionEnd::Io))
            }
            () = last_grace => Err(ConnectionEnd::SlowReader),
        }
    };
    // Never sent again after a failure: part of it may have been received.
    out.clear();
    sent
}

#[cfg(test)]
mod tests;

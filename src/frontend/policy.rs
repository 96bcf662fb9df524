//! A connection of the policy protocol: bytes in, decisions out.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::registry::{Doing, Ending, Place};
use super::seldom::Seldom;
use crate::policy::{Attempt, Stage};
use crate::protocol::policy::{DecodeError, Decoder, Request, Style, write_reply};
use crate::service::{Gate, journal};
use crate::types::Timestamp;

/// How long a client may take to read an answer.
const WRITE: Duration = Duration::from_secs(60);

/// How long it may take when the daemon ends.
const GRACE: Duration = Duration::from_secs(5);

/// Answers to pipelined requests are sent when there are this many bytes of them.
const ENOUGH: usize = 16_384;

/// How connections are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Close after the first answer (Exim).
    pub one_answer: bool,
    /// Whether `policy_test_time` in a request is the time of its decision.
    pub requests_bring_time: bool,
    /// Whether each decision has its line in the log.
    pub log_decisions: bool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// As it should.
    #[error("closed")]
    Closed,
    /// The client sent what is no request.
    #[error("{0}")]
    Garbage(#[from] DecodeError),
    /// The client sent a part of a request and closed.
    #[error("closed in the middle of a request")]
    Halfway,
    /// The registry said so.
    #[error("{}", match .0 {
        Ending::HalfRequest => "a request was not whole in time",
        Ending::Idle => "idle for too long",
        Ending::Crowded => "too many connections, this one was idle the longest",
    })]
    Told(Ending),
    /// The answer was not taken in time.
    #[error("the answer was not read in time")]
    SlowReader,
    /// The system's complaint.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves one connection to its end. `shutdown` becomes true when the daemon ends: then what is being
/// answered is answered, and no more is read.
pub(super) async fn converse<S>(
    mut stream: S,
    place: &Place,
    gate: &Gate,
    manner: Manner,
    shutdown: watch::Receiver<bool>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    let mut told = Seldom::new(place.told_to_end());
    let mut watched = shutdown.clone();
    let mut ended = Seldom::new(until_shutdown(&mut watched));
    let mut is_ending = *shutdown.borrow();
    let mut was_ending = false;
    loop {
        let answered = async {
            while let Some(request) = decoder.next()? {
                place.set(Doing::Asking);
                answer(&request, &mut out, gate, manner).await;
                if manner.one_answer {
                    return Err(End::Closed);
                }
                if out.len() >= ENOUGH {
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
        place.set(if decoder.is_midway() {
            Doing::Sending
        } else {
            Doing::Idle
        });
        let is_midway = decoder.is_midway();
        // When the daemon ends, what has come by then is read, once.
        is_ending |= shutdown.has_changed().unwrap_or_default();
        if is_ending && was_ending {
            return End::Closed;
        }
        was_ending = is_ending;
        tokio::select! {
            biased;
            read = stream.read_buf(decoder.room()) => match read {
                Ok(0) if is_midway => return End::Halfway,
                Ok(0) => return End::Closed,
                Ok(_) => {}
                Err(error) => return End::Io(error),
            },
            ending = poll_fn(|context| told.poll(context)) => return End::Told(ending),
            () = poll_fn(|context| ended.poll(context)) => return End::Closed,
        }
    }
}

/// Answers one request. Postfix 2.3 and later send `etrn_domain`, empty or not, and accept an enhanced status
/// code in the reply.
async fn answer(request: &Request<'_>, out: &mut Vec<u8>, gate: &Gate, manner: Manner) {
    let attempt = attempt(request);
    let time = request
        .policy_test_time
        .filter(|_| manner.requests_bring_time)
        .and_then(|time| std::str::from_utf8(time).ok()?.parse().ok())
        .map(Timestamp::from_seconds);
    let decision = gate.judge(&attempt, time).await;
    journal::record(&attempt, &decision, manner.log_decisions);
    let style = Style {
        greylist_action: decision.rules.texts.greylist_action(),
        enhanced_codes: request.etrn_domain.is_some(),
    };
    write_reply(out, &decision.reply, style);
}

/// What the request says, in the core's words.
pub(super) fn attempt<'a>(request: &Request<'a>) -> Attempt<'a> {
    Attempt {
        stage: match request.protocol_state {
            None | Some(b"" | b"RCPT") => Stage::Recipient,
            Some(b"DATA") => Stage::Data,
            Some(_) => Stage::Other,
        },
        client_address: request.client_address,
        client_name: request.client_name,
        sender: request.sender,
        recipient: request.recipient,
        instance: request.instance,
        queue_id: request.queue_id,
        is_stressed: request.stress == Some(b"yes"),
        is_authenticated: request.sasl_username.is_some_and(|name| !name.is_empty()),
    }
}

/// Waits until the daemon ends; a sender that is gone means the same.
pub(super) async fn until_shutdown(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|is_ending| *is_ending).await.is_err() {
        log::debug!("nobody is left to say that the daemon ends");
    }
}

/// Sends what there is to send; when the daemon ends, not for long.
async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    out: &mut Vec<u8>,
    shutdown: &watch::Receiver<bool>,
) -> Result<(), End> {
    if out.is_empty() {
        return Ok(());
    }
    let mut writing = pin!(stream.write_all(out));
    // Nearly always there is room, and nothing to be waited for.
    let tried = poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
    let sent = if let Poll::Ready(sent) = tried {
        sent.map_err(End::Io)
    } else {
        let mut shutdown = shutdown.clone();
        let last_grace = async {
            until_shutdown(&mut shutdown).await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            sent = tokio::time::timeout(WRITE, writing) => {
                sent.map_or(Err(End::SlowReader), |sent| sent.map_err(End::Io))
            }
            () = last_grace => Err(End::SlowReader),
        }
    };
    // What was not taken is not sent again either: a part of it may have been taken.
    out.clear();
    sent
}

#[cfg(test)]
mod tests;

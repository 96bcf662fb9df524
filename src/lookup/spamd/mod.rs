//! SpamAssassin's spamd, asked once for each message (SPAMC protocol, version 1.5).
//!
//! The message is sent as a whole, with exactly its length, or not at all: of a shorter one than was promised spamd waits
//! for the rest. It gets no deferral, however spamd fares: without an answer there is no score.
//!
//! # Limits
//!
//! | what | limit | beyond it |
//! | --- | --- | --- |
//! | a message | [`Settings::most_size`] | not asked |
//! | messages under way | [`MOST_UNDER_WAY`] | wait, as part of their time |
//! | a message's time | [`Settings::timeout`] | no answer |
//! | an answer | [`MOST_ANSWER`] bytes | no answer |
//! | failures | [`MOST_FAILURES`] in a row | one message in [`LEFT_OUT`] is asked about |
//!
//! # Error handling
//!
//! Nothing here fails. The first failure is logged, and that spamd answers again.

mod answer;
mod request;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::LEFT_OUT;
use crate::policy::message::Message;
use crate::policy::spam::SpamScore;
use crate::policy::{Finding, MessageAttempt};
use crate::types::Timestamp;
use crate::types::sync::Mutex;
pub use answer::{AnswerError, MOST_HEADER, MOST_TESTS, parse as parse_answer};

/// How many messages may be under way to spamd. It has a few children; the others would wait there.
pub const MOST_UNDER_WAY: usize = 100;

/// Number of consecutive failures after which spamd is left out for a while.
pub const MOST_FAILURES: u32 = 3;

/// The longest answer, in bytes.
pub const MOST_ANSWER: usize = MOST_HEADER + MOST_TESTS;

/// Where spamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpamdAddress {
    /// At this path.
    Unix(PathBuf),
    /// At this host and port.
    Inet(String, u16),
}

/// How spamd is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub address: SpamdAddress,
    /// How long a message waits for its score.
    pub timeout: Duration,
    /// The size in bytes of the largest message that is asked about.
    pub most_size: u64,
}

/// spamd. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Spamd(Arc<Inner>);

/// Whether they are asked in the same way.
impl PartialEq for Spamd {
    fn eq(&self, other: &Self) -> bool {
        self.0.settings == other.0.settings
    }
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    room: Semaphore,
    health: Mutex<Health>,
}

/// How spamd fares.
#[derive(Debug, Default)]
struct Health {
    /// Number of consecutive failures.
    failures: u32,
    /// When it is asked again.
    until: Option<Instant>,
}

/// Why there is no score.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("{0}")]
    Answer(#[from] AnswerError),
}

impl fmt::Display for SpamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(host, port) if host.contains(':') => write!(f, "inet:[{host}]:{port}"),
            Self::Inet(host, port) => write!(f, "inet:{host}:{port}"),
        }
    }
}

impl Health {
    /// Whether a message may be asked about: while spamd is left out, one at the end of each period.
    fn admits(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = Some(now + LEFT_OUT);
                true
            }
            None => true,
        }
    }

    /// Notes a failure; returns whether it is the first.
    fn fail(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= MOST_FAILURES {
            self.until = Some(now + LEFT_OUT);
        }
        self.failures == 1
    }

    /// Notes an answer; returns whether there was a failure before.
    fn answer(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }
}

impl Spamd {
    /// spamd as these settings say. It is not asked anything yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner {
            settings,
            room: Semaphore::new(MOST_UNDER_WAY),
            health: Mutex::default(),
        }))
    }

    /// How it is asked.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Whether it has not answered when it was last asked.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.0.health.lock().failures > 0
    }

    /// What it says of a message; `host` is the name of the mail server.
    pub async fn ask(&self, about: &MessageAttempt<'_>, host: &str, now: Timestamp) -> Finding {
        let inner = &self.0;
        let Some(body) = about.message.body() else {
            return Finding::NoAnswer;
        };
        let size = u64::try_from(body.length()).unwrap_or(u64::MAX);
        if about.message.size().unwrap_or_default().max(size) > inner.settings.most_size {
            return Finding::NoAnswer;
        }
        let Some(head) = request::head(about, host, now) else {
            return Finding::NoAnswer;
        };
        if !inner.health.lock().admits(Instant::now()) {
            return Finding::NoAnswer;
        }
        let limit = inner.settings.timeout;
        let asked = timeout(limit, inner.exchange(&head, about.message)).await;
        inner.note(asked.unwrap_or(Err(Failure::Timeout(limit))))
    }
}

impl Inner {
    /// Sends a message and reads the answer.
    async fn exchange(&self, head: &[u8], message: &Message) -> Result<SpamScore, Failure> {
        // The semaphore is never closed.
        let _place = self.room.acquire().await;
        match &self.settings.address {
            SpamdAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                exchange(stream, head, message).await
            }
            SpamdAddress::Inet(host, port) => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                exchange(stream, head, message).await
            }
        }
    }

    /// The finding of an answer, or of its absence, which is noted.
    fn note(&self, asked: Result<SpamScore, Failure>) -> Finding {
        let address = &self.settings.address;
        match asked {
            Ok(score) => {
                if self.health.lock().answer() {
                    log::info!("spamd ({address}): answers again");
                }
                Finding::Score(Arc::new(score))
            }
            Err(failure) => {
                if self.health.lock().fail(Instant::now()) {
                    log::warn!(
                        "spamd ({address}): {failure}; messages have no score until it answers again"
                    );
                }
                Finding::NoAnswer
            }
        }
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    head: &[u8],
    message: &Message,
) -> Result<SpamScore, Failure> {
    let mut writer = BufWriter::new(&mut stream);
    writer.write_all(head).await?;
    for field in request::fields(message) {
        writer.write_all(&field).await?;
    }
    writer.write_all(request::END_OF_HEADER).await?;
    for part in message.body().iter().flat_map(|body| body.parts()) {
        writer.write_all(part).await?;
    }
    writer.flush().await?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let length = stream.read(&mut part).await?;
        answer.extend_from_slice(part.get(..length).unwrap_or_default());
        if let Some(score) = parse_answer(&answer)? {
            return Ok(score);
        }
        if length == 0 {
            return Err(AnswerError::Incomplete.into());
        }
        if answer.len() > MOST_ANSWER {
            return Err(AnswerError::Long.into());
        }
    }
}

#[cfg(test)]
mod tests;

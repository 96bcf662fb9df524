//! What scores messages: spamd, or a milter before this one, which has left a header field.

use crate::lookup::spamd::Spamd;
use crate::policy::{Finding, MessageAttempt, SpamScore};
use crate::types::Timestamp;

/// A source of scores.
#[derive(Debug, Clone, PartialEq)]
pub enum SpamFilter {
    /// spamd is asked, and what it says is written into the header.
    Spamd(Spamd),
    /// The last header field of this name has the score.
    Header(Box<str>),
}

impl SpamFilter {
    /// What it says of a message; `host` is the name of the mail server.
    pub(super) async fn score(
        &self,
        about: &MessageAttempt<'_>,
        host: &str,
        now: Timestamp,
    ) -> Finding {
        match self {
            Self::Spamd(spamd) => spamd.ask(about, host, now).await,
            Self::Header(name) => SpamScore::of_header(about.message, name)
                .map_or(Finding::NoAnswer, |score| Finding::Score(score.into())),
        }
    }

    /// Whether it is spamd, and has not answered when it was last asked.
    pub(super) fn is_away(&self) -> Option<bool> {
        match self {
            Self::Spamd(spamd) => Some(spamd.is_away()),
            Self::Header(_) => None,
        }
    }

    /// Whether what it says is written into the header.
    pub(super) const fn writes_headers(&self) -> bool {
        matches!(self, Self::Spamd(_))
    }
}

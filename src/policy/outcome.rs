//! What a decision yields: verdict, reason, what decided, and what has to be remembered.

use super::access::Severity;
use super::greylist::Triplet;
use super::lists::EntryRef;
use super::reputation::Client;
use super::tarpit::SleepChange;
use crate::types::{Action, Reason, Span};

/// What an attempt still lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// So much time.
    Time(Span),
    /// So many retries, this one counted already; the time is over.
    Retries(u32),
}

impl Remaining {
    /// When to try again: after the time that is missing, or `delay` if only retries are, which count at any time.
    #[must_use]
    pub const fn try_again_in(self, delay: Span) -> Span {
        match self {
            Self::Time(span) => span,
            Self::Retries(_) => delay,
        }
    }
}

/// What follows a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the other restrictions decide.
    Pass,
    /// The deferral.
    Defer(Remaining),
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing stands against it: the other restrictions decide.
    Pass,
    /// The same, and the message gets the header that says how long it had to wait.
    PassWithHeader {
        /// From first sight to now.
        waited: Span,
    },
    /// Deferred.
    Defer {
        /// What it still lacks.
        remaining: Remaining,
    },
    /// Wait for the answer.
    Tarpit {
        /// How long; at least a second.
        length: Span,
        /// The answer.
        then: Then,
    },
    /// What a client access table says.
    Reply(Severity),
    /// Deferred: the database is unavailable.
    Unavailable,
}

impl Verdict {
    /// The verdict without its one-time part, for a question that is asked again.
    pub const fn repeated(self) -> Self {
        match self {
            Self::PassWithHeader { .. }
            | Self::Tarpit {
                then: Then::Pass, ..
            } => Self::Pass,
            Self::Tarpit {
                then: Then::Defer(remaining),
                ..
            } => Self::Defer { remaining },
            Self::Pass | Self::Defer { .. } | Self::Reply(_) | Self::Unavailable => self,
        }
    }

    /// What a retry still requires, if the attempt is deferred.
    #[must_use]
    pub const fn remaining(self) -> Option<Remaining> {
        match self {
            Self::Defer { remaining }
            | Self::Tarpit {
                then: Then::Defer(remaining),
                ..
            } => Some(remaining),
            Self::Pass
            | Self::PassWithHeader { .. }
            | Self::Tarpit {
                then: Then::Pass, ..
            }
            | Self::Reply(_)
            | Self::Unavailable => None,
        }
    }

    /// The verdict without its details, as the log has it.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Pass | Self::PassWithHeader { .. } => Action::Pass,
            Self::Defer { .. } => Action::Greylist,
            Self::Tarpit { .. } => Action::Tarpit,
            Self::Reply(Severity::Reject) => Action::Reject,
            Self::Reply(Severity::Defer) | Self::Unavailable => Action::Defer,
        }
    }
}

/// What decided, so that an administrator can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The request itself, or a rule without a record.
    Request,
    /// The attribute of this name is missing.
    MissingAttribute(&'static str),
    /// An entry of a list; [`Ruleset::entry`](super::Ruleset::entry) has it.
    Entry(EntryRef),
    /// The client's auto-whitelist record.
    Client,
    /// The triplet's record.
    Triplet,
    /// The record of the client's sleep, or that there is none.
    Sleep,
    /// The state of the store.
    Store,
}

/// Why a client is made to wait at all, where not everybody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// Its name matches this rule of [`s25r`](super::s25r), 0 to 6.
    S25r(u8),
    /// An entry says so.
    Entry(EntryRef),
    /// DNS lists have it, with weights of this sum.
    DnsLists(i32),
}

/// What became of the tarpit in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tarpitting {
    /// It was not asked.
    #[default]
    None,
    /// A sleep was ordered.
    Ordered,
    /// The message had its sleep.
    Done,
    /// The client has hung up in its last one.
    HungUp,
    /// Not while Postfix is under stress.
    Stress,
    /// Too many sleeps run.
    Limit,
}

/// What has to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// The triplet's next record.
    pub triplet: Option<Triplet>,
    /// The client's next record.
    pub client: Option<Client>,
    /// What becomes of the client's sleep.
    pub sleep: Option<SleepChange>,
    /// Whether they must be durable before the reply. Others (last seen, early retries) may be lost by a crash.
    pub durable: bool,
}

impl Changes {
    /// Nothing.
    pub const NONE: Self = Self {
        triplet: None,
        client: None,
        sleep: None,
        durable: false,
    };

    /// Whether there is nothing to remember.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.triplet.is_none() && self.client.is_none() && self.sleep.is_none()
    }
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What decided.
    pub because: Because,
    /// What has to be remembered.
    pub changes: Changes,
    /// How long the triplet had waited when it passed for the first time.
    pub waited: Option<Span>,
    /// Whether the client became auto-whitelisted by this.
    pub whitelisted: bool,
    /// What made the client suspicious.
    pub suspicion: Option<Suspicion>,
    /// What became of the tarpit.
    pub tarpitting: Tarpitting,
    /// What is left of the sleep that DATA came too early for.
    pub left: Span,
}

impl Outcome {
    /// The entry that decided, or that made the client suspicious.
    #[must_use]
    pub const fn entry(&self) -> Option<EntryRef> {
        match (self.because, self.suspicion) {
            (Because::Entry(entry), _) | (_, Some(Suspicion::Entry(entry))) => Some(entry),
            (_, Some(Suspicion::S25r(_) | Suspicion::DnsLists(_)) | None) => None,
        }
    }

    /// A decision that changes nothing.
    pub const fn new(verdict: Verdict, reason: Reason, because: Because) -> Self {
        Self {
            verdict,
            reason,
            because,
            changes: Changes::NONE,
            waited: None,
            whitelisted: false,
            suspicion: None,
            tarpitting: Tarpitting::None,
            left: Span::ZERO,
        }
    }
}

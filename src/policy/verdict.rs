//! The reply to a request, before it is worded: pass, deferred, tarpitted, or what a table says.

use super::access::Severity;
use crate::types::{Action, Span};

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
    /// What a client access table says, or a refusal by DNS lists.
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

    /// Whether the attempt is refused, for now or for good.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::Defer { .. }
            | Self::Tarpit {
                then: Then::Defer(_),
                ..
            }
            | Self::Reply(_)
            | Self::Unavailable => true,
            Self::Pass
            | Self::PassWithHeader { .. }
            | Self::Tarpit {
                then: Then::Pass, ..
            } => false,
        }
    }

    /// Whether it is the first pass after a wait, which a header field says.
    #[must_use]
    pub const fn has_waited(self) -> bool {
        matches!(self, Self::PassWithHeader { .. })
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

    /// How long the client sleeps, if it does.
    #[must_use]
    pub const fn sleep(self) -> Option<Span> {
        match self {
            Self::Tarpit { length, .. } => Some(length),
            Self::Pass
            | Self::PassWithHeader { .. }
            | Self::Defer { .. }
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

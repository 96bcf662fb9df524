//! The greylisting rule: make a stranger wait once.
//!
//! A triplet (client network, sender, recipient) is unknown, waiting or passed. This module holds the
//! record kept for it and the one function that moves it on. It knows no clock and no store: the
//! caller brings the time and keeps the record.
//!
//! # The rule
//!
//! | record  | attempt at `now`                                 | verdict                                   | next record               |
//! | ------- | ------------------------------------------------ | ----------------------------------------- | ------------------------- |
//! | none    | any                                              | defer `delay`; pass when `delay` is 0     | waiting since now         |
//! | waiting | before `first + delay`                           | defer the rest                            | waiting, one retry more   |
//! | waiting | from `first + delay`, fewer than `retry_count`   | defer, retries are missing                | waiting, one more counted |
//! | waiting | from `first + delay` to `first + retry_window`   | pass, with header                         | passed                    |
//! | waiting | after `first + retry_window`                     | defer `delay`                             | waiting since now         |
//! | passed  | up to `last + max_age`                           | pass                                      | passed, seen now          |
//! | passed  | after `last + max_age`                           | defer `delay`                             | waiting since now         |
//!
//! `retry_count` is taRgrey's: as many attempts must come once the delay is over; 1 unless set.
//!
//! A `first` in the future (the clock was set back) counts as now. Passed is a state: neither another
//! `delay` nor a step of the clock undoes it. While expiry is suspended (see
//! [`Session`](super::Session)) the two rows that begin with "after" do not apply: the record counts as
//! within its time.

use super::outcome::{Missing, Reason, Verdict};
use super::rules::Params;
use crate::types::{Span, Timestamp};

/// What is known about a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triplet {
    /// It was deferred and has not come back in time yet.
    Waiting {
        /// When the wait began.
        first: Timestamp,
        /// When it was last tried.
        last: Timestamp,
        /// How often it was tried again too early.
        retries: u32,
        /// How often it was tried again when the delay was over.
        counted: u32,
    },
    /// It came back in time.
    Passed {
        /// When the wait began.
        first: Timestamp,
        /// When it passed for the first time.
        passed: Timestamp,
        /// When it was last seen.
        last: Timestamp,
        /// How often it has passed.
        mails: u32,
    },
}

impl Triplet {
    /// When the wait began.
    #[must_use]
    pub const fn first(self) -> Timestamp {
        match self {
            Self::Waiting { first, .. } | Self::Passed { first, .. } => first,
        }
    }

    /// Whether it has passed.
    #[must_use]
    pub const fn is_passed(self) -> bool {
        matches!(self, Self::Passed { .. })
    }

    /// Whether `other` is the same record at another moment of the same state.
    #[must_use]
    pub fn same_state(self, other: Self) -> bool {
        self.is_passed() == other.is_passed() && self.first() == other.first()
    }

    /// This record, with the counts of another version of it where they are higher.
    #[must_use]
    pub fn with_counts_of(mut self, other: Self) -> Self {
        match (&mut self, other) {
            (
                Self::Waiting {
                    retries, counted, ..
                },
                Self::Waiting {
                    retries: other_retries,
                    counted: other_counted,
                    ..
                },
            ) => {
                *retries = other_retries.max(*retries);
                *counted = other_counted.max(*counted);
            }
            (Self::Passed { mails, .. }, Self::Passed { mails: other, .. }) => {
                *mails = other.max(*mails);
            }
            (Self::Waiting { .. }, Self::Passed { .. })
            | (Self::Passed { .. }, Self::Waiting { .. }) => {}
        }
        self
    }

    /// Whether the record's time is over and it counts as none.
    #[must_use]
    pub fn is_expired(self, now: Timestamp, params: &Params) -> bool {
        match self {
            Self::Waiting { first, .. } => now.since(first) > params.retry_window,
            Self::Passed { last, .. } => now.since(last) > params.max_age,
        }
    }
}

/// Where an attempt leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// What the client is told.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The record to keep.
    pub next: Triplet,
    /// Whether the answer promises the record.
    pub promised: bool,
    /// The time waited, when this is the first pass.
    pub waited: Option<Span>,
}

/// Moves a triplet on: one attempt at `now`. An expired `record` must have been left out, unless
/// expiry is suspended.
pub fn step(record: Option<Triplet>, now: Timestamp, params: &Params) -> Step {
    match record {
        None => first_sight(now, params),
        Some(Triplet::Waiting { first, .. }) if first > now => first_sight(now, params),
        Some(Triplet::Waiting {
            first,
            retries,
            counted,
            ..
        }) => {
            let waited = now.since(first);
            let counted_now = counted.saturating_add(1);
            if waited < params.delay {
                let missing = Missing::Time(params.delay.less(waited));
                let retries = retries.saturating_add(1);
                early(missing, waiting(first, now, retries, counted))
            } else if counted_now < params.retry_count {
                let missing = params.retry_count.saturating_sub(counted_now);
                Step {
                    promised: true,
                    ..early(
                        Missing::Retries(missing),
                        waiting(first, now, retries, counted_now),
                    )
                }
            } else {
                first_pass(first, now)
            }
        }
        Some(Triplet::Passed {
            first,
            passed,
            mails,
            ..
        }) => Step {
            verdict: Verdict::Pass,
            reason: Reason::TripletFound,
            next: Triplet::Passed {
                first,
                passed,
                last: now,
                mails: mails.saturating_add(1),
            },
            promised: false,
            waited: None,
        },
    }
}

const fn waiting(first: Timestamp, last: Timestamp, retries: u32, counted: u32) -> Triplet {
    Triplet::Waiting {
        first,
        last,
        retries,
        counted,
    }
}

/// A retry that is not the last one needed.
fn early(missing: Missing, next: Triplet) -> Step {
    Step {
        verdict: Verdict::Defer { missing },
        reason: Reason::EarlyRetry,
        next,
        promised: false,
        waited: None,
    }
}

/// A triplet nobody has seen.
fn first_sight(now: Timestamp, params: &Params) -> Step {
    if params.delay == Span::ZERO {
        return first_pass(now, now);
    }
    Step {
        verdict: Verdict::Defer {
            missing: Missing::Time(params.delay),
        },
        reason: Reason::New,
        next: waiting(now, now, 0, 0),
        promised: true,
        waited: None,
    }
}

/// A triplet whose wait is over. Mail that did not have to wait gets no header saying so.
fn first_pass(first: Timestamp, now: Timestamp) -> Step {
    let waited = now.since(first);
    Step {
        verdict: if waited == Span::ZERO {
            Verdict::Pass
        } else {
            Verdict::PassWithHeader { waited }
        },
        reason: Reason::TripletFound,
        next: Triplet::Passed {
            first,
            passed: now,
            last: now,
            mails: 1,
        },
        promised: true,
        waited: Some(waited),
    }
}

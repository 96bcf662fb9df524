//! The greylisting rule: defer an unknown triplet once.
//!
//! A triplet (client network or domain, sender, recipient) is unknown, waiting or passed. This module holds the
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
//!
//! # Steps of the clock
//!
//! `last` is never set back: otherwise a record that is used while the clock is behind would be too old when the
//! clock is right again. A waiting record shows in two ways that it was used while the clock was behind:
//!
//! - `last` is more than `retry_window` after `first`. No other record lives that long, so the wait counts from `last`
//!   as soon as the clock has reached it.
//! - `last` is `delay` or more after `first`, and no retry was counted. The wait counts from `last` once the window
//!   from `first` is over.
//!
//! A clock that was behind by less than `delay` leaves no trace; the window is shorter by that much.

use super::params::Params;
use super::verdict::{Remaining, Verdict};
use super::why::Why;
use crate::types::{Reason, Span, Timestamp};

/// What is known about a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triplet {
    /// It was deferred and has not been retried in time yet.
    Waiting {
        /// When the wait began.
        first: Timestamp,
        /// When it was last tried.
        last: Timestamp,
        /// How often it was tried again too early.
        retries: u32,
        /// How often it was tried again when the delay was over.
        counted: u32,
        /// Why it has to wait; `None` if it began to wait uncounted, in an earlier version or another program.
        why: Option<Why>,
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

    /// When it was last seen.
    #[must_use]
    pub const fn last(self) -> Timestamp {
        match self {
            Self::Waiting { last, .. } | Self::Passed { last, .. } => last,
        }
    }

    /// Whether it has passed.
    #[must_use]
    pub const fn is_passed(self) -> bool {
        matches!(self, Self::Passed { .. })
    }

    /// Whether `other` is the same record at another moment of the same state: one that has not passed since, and
    /// was not begun anew, which is after everything that the older one has seen. An import may have set `first`
    /// back.
    #[must_use]
    pub fn same_state(self, other: Self) -> bool {
        let end = |record: Self| record.first().max(record.last());
        self.is_passed() == other.is_passed()
            && self.first() <= end(other)
            && other.first() <= end(self)
    }

    /// What two versions of one record say together, for instance the one in the store and the one in the
    /// write-behind buffer. Expired versions must have been left out.
    ///
    /// Commutative, associative and idempotent, and never worse for the client than either side.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let begun = self.first().min(other.first());
        match (self, other) {
            (
                Self::Waiting {
                    last,
                    retries,
                    counted,
                    ..
                },
                Self::Waiting {
                    last: other_last,
                    retries: other_retries,
                    counted: other_counted,
                    ..
                },
            ) => Self::Waiting {
                first: begun,
                last: last.max(other_last),
                retries: retries.max(other_retries),
                counted: counted.max(other_counted),
                why: Why::merge(self.why(), other.why()),
            },
            (
                Self::Passed {
                    passed,
                    last,
                    mails,
                    ..
                },
                Self::Passed {
                    passed: other_passed,
                    last: other_last,
                    mails: other_mails,
                    ..
                },
            ) => Self::Passed {
                first: begun,
                passed: passed.min(other_passed),
                last: last.max(other_last),
                mails: mails.max(other_mails),
            },
            (
                Self::Passed {
                    passed,
                    last,
                    mails,
                    ..
                },
                Self::Waiting { last: tried, .. },
            )
            | (
                Self::Waiting { last: tried, .. },
                Self::Passed {
                    passed,
                    last,
                    mails,
                    ..
                },
            ) => Self::Passed {
                first: begun,
                passed,
                last: last.max(tried),
                mails,
            },
        }
    }

    /// Why it has to wait, if it does and that is known.
    #[must_use]
    pub const fn why(self) -> Option<Why> {
        match self {
            Self::Waiting { why, .. } => why,
            Self::Passed { .. } => None,
        }
    }

    /// When the wait began, by a clock that shows `now` and may have been behind meanwhile.
    fn began(self, now: Timestamp, params: &Params) -> Timestamp {
        match self {
            Self::Waiting {
                first,
                last,
                counted,
                ..
            } => {
                let (window, apart) = (params.retry_window, last.since(first));
                let was_behind = apart > window
                    || (counted == 0 && apart >= params.delay && now.since(first) > window);
                if was_behind && last <= now {
                    last
                } else {
                    first
                }
            }
            Self::Passed { first, .. } => first,
        }
    }

    /// Whether the record's time is over and it counts as none.
    #[must_use]
    pub fn is_expired(self, now: Timestamp, params: &Params) -> bool {
        match self {
            Self::Waiting { first, last, .. } => {
                let window = params.retry_window;
                let is_kept = last > now && last.since(first) > window;
                !is_kept && now.since(self.began(now, params)) > window
            }
            Self::Passed { last, .. } => now.since(last) > params.max_age,
        }
    }
}

/// Where an attempt leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The record to keep.
    pub next: Triplet,
    /// Whether the record must be durable before the reply.
    pub durable: bool,
    /// The time waited, when this is the first pass.
    pub waited: Option<Span>,
}

/// Moves a triplet on: one attempt at `now`, which has to wait for the reason `why` if it is unknown. An expired `record`
/// must have been left out, unless expiry is suspended.
pub fn step(record: Option<Triplet>, why: Why, now: Timestamp, params: &Params) -> Step {
    match record {
        None => first_sight(waiting((now, now), (0, 0), Some(why)), now, params),
        Some(
            record @ Triplet::Waiting {
                first,
                last,
                retries,
                counted,
                why,
            },
        ) => {
            let began = record.began(now, params);
            let last = last.max(first).max(now);
            let step = retry((began, last), (retries, counted), why, (now, params));
            Step {
                durable: step.durable || began != first,
                ..step
            }
        }
        Some(Triplet::Passed {
            first,
            passed,
            last,
            mails,
        }) => Step {
            verdict: Verdict::Pass,
            reason: Reason::TripletFound,
            next: Triplet::Passed {
                first,
                passed,
                last: last.max(now),
                mails: mails.saturating_add(1),
            },
            durable: false,
            waited: None,
        },
    }
}

const fn waiting(
    (first, last): (Timestamp, Timestamp),
    (retries, counted): (u32, u32),
    why: Option<Why>,
) -> Triplet {
    Triplet::Waiting {
        first,
        last,
        retries,
        counted,
        why,
    }
}

/// An attempt at `now` of a triplet that waits since `first`; `last` is what its record says from now on.
fn retry(
    (first, last): (Timestamp, Timestamp),
    (retries, counted): (u32, u32),
    why: Option<Why>,
    (now, params): (Timestamp, &Params),
) -> Step {
    let waited = now.since(first);
    let counted_now = counted.saturating_add(1);
    if first > now {
        let next = waiting((now, last), (retries, counted), why);
        first_sight(next, now, params)
    } else if waited < params.delay {
        let remaining = Remaining::Time(params.delay.less(waited));
        let retries = retries.saturating_add(1);
        early(remaining, waiting((first, last), (retries, counted), why))
    } else if counted_now < params.retry_count {
        let remaining = params.retry_count.saturating_sub(counted_now);
        let next = waiting((first, last), (retries, counted_now), why);
        Step {
            durable: true,
            ..early(Remaining::Retries(remaining), next)
        }
    } else {
        first_pass(first, last, now)
    }
}

/// A retry that is not the last one needed.
fn early(remaining: Remaining, next: Triplet) -> Step {
    Step {
        verdict: Verdict::Defer { remaining },
        reason: Reason::EarlyRetry,
        next,
        durable: false,
        waited: None,
    }
}

/// A triplet that begins to wait, as `next` says, now.
fn first_sight(next: Triplet, now: Timestamp, params: &Params) -> Step {
    if params.delay == Span::ZERO {
        return first_pass(now, next.last(), now);
    }
    Step {
        verdict: Verdict::Defer {
            remaining: Remaining::Time(params.delay),
        },
        reason: Reason::New,
        next,
        durable: true,
        waited: None,
    }
}

/// A triplet whose wait is over. Mail that did not have to wait gets no header saying so.
fn first_pass(first: Timestamp, last: Timestamp, now: Timestamp) -> Step {
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
            last,
            mails: 1,
        },
        durable: true,
        waited: Some(waited),
    }
}

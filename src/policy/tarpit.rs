//! The tarpit: let the client wait for its answer, and see whether it hangs up.
//!
//! A mail server waits minutes for an answer (RFC 5321, 4.5.3.2, asks for five); most spamware does not.
//! Postfix does the waiting, told by `SLEEP`. What it leads to is a matter of the [`Scheme`].
//!
//! # taRgrey
//!
//! A client, by its exact address, that is unknown has to sleep and is then accepted. It has
//! survived when Postfix asks at DATA, no earlier than the sleep could be over; then it counts for the
//! auto-whitelist and its record is removed. Without that it counts as hung up once the sleep is over, and
//! is greylisted from then on, until it was not seen for the retry window. DATA of a message whose triplet had
//! passed before counts for the auto-whitelist too, whatever the record.
//!
//! | record           | attempt at `now`         | verdict                           | next record |
//! | ---------------- | ------------------------ | --------------------------------- | ----------- |
//! | none             | recipient                | sleep, then pass                  | since now   |
//! | none             | recipient, no room       | greylist                          | none        |
//! | sleep runs       | recipient                | sleep, then pass                  | unchanged   |
//! | sleep is over    | recipient                | greylist                          | seen now    |
//! | none             | DATA                     | pass                              | none        |
//! | sleep runs       | DATA                     | pass                              | unchanged   |
//! | sleep is over    | DATA                     | pass, counted as survived         | none        |
//!
//! There is no room while Postfix is under stress or too many sleeps run already: each holds one of its
//! processes. A message that has slept does not sleep again: its other recipients pass. A sleep ordered in the
//! future (the clock was set back) runs at a recipient and is over at DATA: nobody loses by the step.

use super::params::{Params, Scheme, Tarpit};
use super::verdict::{Remaining, Tarpitting, Then, Verdict};
use super::{Case, Session};
use crate::types::{Reason, Span, Timestamp};

/// A client that has hung up is noted as seen at most this often (taRgrey 0.31).
const SEEN_INTERVAL: Span = Span::from_seconds(300);

/// What is known about a client that was told to sleep under taRgrey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// When the sleep was ordered.
    pub ordered: Timestamp,
    /// How long it takes.
    pub length: Span,
    /// When the client was last seen.
    pub seen: Timestamp,
}

impl Sleep {
    /// Whether the record's time is over and it counts as none.
    #[must_use]
    pub fn is_expired(self, now: Timestamp, params: &Params) -> bool {
        now.since(self.seen) > params.retry_window
    }

    /// What is left of the sleep at `now`, if it was ordered at `ordered`; all of it if that is in the future
    /// (the clock was set back), so that nobody counts as hung up for that.
    fn left(self, ordered: Timestamp, now: Timestamp) -> Span {
        self.length.less(now.since(ordered))
    }
}

/// What becomes of a client's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepChange {
    /// It is kept in place of any older one.
    Keep(Sleep),
    /// It is removed.
    Remove,
}

/// What a deferral becomes.
pub(super) struct Ordered {
    pub(super) verdict: Verdict,
    /// In place of the triplet's.
    pub(super) reason: Option<Reason>,
    pub(super) change: Option<SleepChange>,
    pub(super) tarpitting: Tarpitting,
}

impl Ordered {
    const fn new(verdict: Verdict, tarpitting: Tarpitting) -> Self {
        Self {
            verdict,
            reason: None,
            change: None,
            tarpitting,
        }
    }
}

/// Where a deferral leads under a tarpit. An expired `record` must have been left out.
pub(super) fn order(
    tarpit: Tarpit,
    remaining: Remaining,
    record: Option<Sleep>,
    (case, session): (&Case, Session),
) -> Ordered {
    let now = session.now;
    let defer = Verdict::Defer { remaining };
    if session.tarpitted.is_some() {
        return match tarpit.scheme {
            Scheme::Deferring => Ordered::new(defer, Tarpitting::Done),
            Scheme::Delaying | Scheme::Targrey => Ordered {
                reason: Some(Reason::Tarpitted),
                ..Ordered::new(Verdict::Pass, Tarpitting::Done)
            },
        };
    }
    let hung_up = record.filter(|sleep| sleep.left(sleep.ordered, now) == Span::ZERO);
    if let (Scheme::Targrey, Some(sleep)) = (tarpit.scheme, hung_up) {
        let is_due = now.since(sleep.seen) >= SEEN_INTERVAL;
        return Ordered {
            change: is_due.then_some(SleepChange::Keep(Sleep { seen: now, ..sleep })),
            ..Ordered::new(defer, Tarpitting::HungUp)
        };
    }
    if case.is_stressed || !session.has_room {
        let verdict = match tarpit.scheme {
            Scheme::Delaying => Verdict::Pass,
            Scheme::Deferring | Scheme::Targrey => defer,
        };
        let hindrance = if case.is_stressed {
            Tarpitting::Stress
        } else {
            Tarpitting::Limit
        };
        return Ordered::new(verdict, hindrance);
    }
    let is_first = tarpit.scheme == Scheme::Targrey && record.is_none();
    let verdict = Verdict::Tarpit {
        length: tarpit.length,
        then: match tarpit.scheme {
            Scheme::Deferring => Then::Defer(remaining),
            Scheme::Delaying | Scheme::Targrey => Then::Pass,
        },
    };
    Ordered {
        change: is_first.then_some(SleepChange::Keep(Sleep {
            ordered: now,
            length: tarpit.length,
            seen: now,
        })),
        ..Ordered::new(verdict, Tarpitting::Ordered)
    }
}

/// Whether a client that has come as far as DATA has survived its sleep: `Ok` if so, else why not.
///
/// # Errors
///
/// The reason of the outcome, and what is left of the sleep.
pub(super) fn survival(record: Option<Sleep>, session: Session) -> Result<(), (Reason, Span)> {
    let now = session.now;
    let sleep = record.ok_or((Reason::NotTarpitted, Span::ZERO))?;
    // The message's own sleep, when it is remembered: another connection's may have begun earlier.
    let ordered = session.tarpitted.unwrap_or(sleep.ordered);
    if ordered > now {
        // The clock was set back during the sleep: in doubt, the client has waited.
        return Ok(());
    }
    match sleep.left(ordered, now) {
        Span::ZERO => Ok(()),
        left => Err((Reason::EarlyData, left)),
    }
}

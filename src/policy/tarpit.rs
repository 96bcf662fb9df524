//! The tarpit: delays the reply, and checks whether the client hangs up.
//!
//! A mail server waits minutes for a reply (RFC 5321, 4.5.3.2, requires five); most spam software does not. Postfix
//! sleeps, on the action `SLEEP`. The [`Scheme`] defines what follows the sleep.
//!
//! # taRgrey
//!
//! An unknown client, identified by its exact address, must sleep and then passes. It has survived if Postfix sends a
//! DATA request after the sleep; then it counts for the auto-whitelist and its record is deleted. Otherwise it counts
//! as hung up when the sleep is over, and is greylisted until it was not seen for the retry window. DATA of a message
//! with a triplet that had passed before counts for the auto-whitelist too, whatever the record.
//!
//! | record           | attempt at `now`         | verdict                           | next record |
//! | ---------------- | ------------------------ | --------------------------------- | ----------- |
//! | none             | recipient                | sleep, then pass                  | since now   |
//! | none             | recipient, no room       | greylist                          | none        |
//! | sleep runs       | recipient                | sleep, then pass                  | unchanged   |
//! | a shorter runs   | recipient                | sleep, then pass                  | since now   |
//! | sleep is over    | recipient                | greylist                          | seen now    |
//! | none             | DATA                     | pass                              | none        |
//! | sleep runs       | DATA                     | pass                              | unchanged   |
//! | sleep is over    | DATA                     | pass, counted as survived         | none        |
//! | sleep is over    | DATA of an exempt one    | pass                              | unchanged   |
//!
//! A message is exempt if it has not slept and passed for another reason than that its triplet has waited: it says nothing
//! about whether its client waits.
//!
//! A rule that lets those pass who stay does not match a client of which it is certain that it has hung up; the record is as
//! above, and until that is certain, the client is greylisted.
//!
//! There is no room while Postfix is under stress or too many sleeps are running, because each occupies an smtpd
//! process. A message that has slept does not sleep again: its other recipients pass. A sleep ordered in the future
//! (the clock was set back) counts as running at a recipient and as over at DATA, so that no client suffers from the
//! step.

use super::params::{Params, Scheme, Tarpit};
use super::verdict::{Remaining, Tarpitting, Then, Verdict};
use super::{Case, Session};
use crate::types::{Reason, Span, Timestamp};

/// Minimum time between two updates of last seen for a client that has hung up (taRgrey 0.31).
const SEEN_INTERVAL: Span = Span::from_seconds(300);

/// How long after the end of its sleep a client may still be there without having said so: it has other recipients to name
/// first, and times are whole seconds.
const GRACE: Span = Span::from_seconds(60);

/// The record of a tarpitted client under taRgrey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// When the sleep was ordered.
    pub ordered: Timestamp,
    /// Its length.
    pub length: Span,
    /// When the client was last seen.
    pub seen: Timestamp,
}

impl Sleep {
    /// Whether the record has expired and counts as none.
    #[must_use]
    pub fn is_expired(self, now: Timestamp, params: &Params) -> bool {
        now.since(self.seen) > params.retry_window
    }

    /// Whether it is certain that the client has hung up: the sleep has been over for a minute, and the record is still there.
    #[must_use]
    pub fn has_hung_up(self, now: Timestamp) -> bool {
        let over = self.ordered.after(self.length).after(GRACE);
        over <= now
    }

    /// The remaining time at `now` of a sleep ordered at `ordered`; the whole sleep if that is in the future (the clock
    /// was set back), so that no client counts as hung up for that.
    fn left(self, ordered: Timestamp, now: Timestamp) -> Span {
        self.length.less(now.since(ordered))
    }
}

/// The sleep of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageSleep {
    /// When it was ordered.
    pub ordered: Timestamp,
    /// Its length.
    pub length: Span,
}

impl MessageSleep {
    /// What is left of it at `now`.
    fn left(self, now: Timestamp) -> Span {
        self.length.less(now.since(self.ordered))
    }
}

/// The change of a sleep's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepChange {
    /// It is stored, replacing an older one.
    Keep(Sleep),
    /// It is deleted.
    Remove,
}

/// The result of a deferral under a tarpit.
pub(super) struct Ordered {
    pub(super) verdict: Verdict,
    /// Replaces the reason of the triplet.
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

/// The result of a deferral under a tarpit. The caller has dropped an expired `record`.
pub(super) fn order(
    tarpit: Tarpit,
    remaining: Remaining,
    record: Option<Sleep>,
    (case, session): (&Case, Session),
) -> Ordered {
    let now = session.now;
    let defer = Verdict::Defer { remaining };
    if session.is_at_end {
        return Ordered::new(defer, Tarpitting::None);
    }
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
    // A client is still there as long as its longest sleep lasts.
    let is_longest = record.is_none_or(|sleep| sleep.length < tarpit.length);
    let is_kept = tarpit.scheme == Scheme::Targrey && is_longest;
    let verdict = Verdict::Tarpit {
        length: tarpit.length,
        then: match tarpit.scheme {
            Scheme::Deferring => Then::Defer(remaining),
            Scheme::Delaying | Scheme::Targrey => Then::Pass,
        },
    };
    Ordered {
        change: is_kept.then_some(SleepChange::Keep(Sleep {
            ordered: now,
            length: tarpit.length,
            seen: now,
        })),
        ..Ordered::new(verdict, Tarpitting::Ordered)
    }
}

/// Whether a client has survived its sleep, at DATA: `Ok` if so, else why not.
///
/// # Errors
///
/// The reason of the outcome, and the remaining time of the sleep.
pub(super) fn survival(record: Option<Sleep>, session: Session) -> Result<(), (Reason, Span)> {
    let now = session.now;
    let not_tarpitted = (Reason::NotTarpitted, Span::ZERO);
    let recorded = record.ok_or(not_tarpitted)?;
    // The sleep of this message, if known: that of another connection may have begun earlier, or be longer.
    let sleep = session.tarpitted.unwrap_or(MessageSleep {
        ordered: recorded.ordered,
        length: recorded.length,
    });
    if session.tarpitted.is_none()
        && session.is_exempt
        && !session.header_given
        && !session.is_known
    {
        return Err(not_tarpitted);
    }
    if sleep.ordered > now {
        // The clock was set back during the sleep: in doubt, the client has survived.
        return Ok(());
    }
    match sleep.left(now) {
        Span::ZERO => Ok(()),
        left => Err((Reason::EarlyData, left)),
    }
}

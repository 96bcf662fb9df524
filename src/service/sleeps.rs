//! The running sleeps. Each occupies an smtpd process of Postfix until it is over, even if the client hangs up.
//!
//! They are counted by time alone, because Postfix does not notice a client that hangs up before the sleep is over.
//! After a restart the count begins at zero.
//!
//! This module also detects that `--targrey` is set and Postfix never sends a DATA request: no client could survive its
//! sleep then, and all would be greylisted in the end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::policy::{Case, LiveFacts, Outcome, Ruleset, Session, Stage, Trace, Verdict};
use crate::types::sync::{Mutex, MutexGuard};
use crate::types::{Span, Timestamp};

/// Number of passed recipients after which a missing DATA request is reported.
const PATIENCE: u64 = 100;

/// The running sleeps.
#[derive(Debug, Default)]
pub(crate) struct Sleeps {
    table: Mutex<Table>,
    /// Number of passed recipients.
    passed: AtomicU64,
    /// Whether there was a DATA request, or its absence was reported.
    is_settled: AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    /// Beginning and length of each, in the order of beginning.
    running: VecDeque<(Timestamp, Span)>,
    /// Places reserved for decisions in progress.
    reserved: usize,
}

/// A place for a sleep, reserved for a decision in progress; released when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a>(&'a Sleeps);

impl Sleeps {
    /// Whether another sleep may begin. Costs nothing without a tarpit.
    pub(crate) fn has_room(&self, rules: &Ruleset, now: Timestamp) -> bool {
        rules.has_tarpit() && self.lock().has_room(rules.params.tarpit_limit, now)
    }

    /// Whether half of the sleeps that may run at once do. Costs nothing without a tarpit.
    pub(crate) fn is_half_full(&self, rules: &Ruleset, now: Timestamp) -> bool {
        rules.has_tarpit() && {
            let limit = usize::try_from(rules.params.tarpit_limit).unwrap_or(usize::MAX);
            self.running(now).saturating_mul(2) >= limit
        }
    }

    /// Reserves a place; `None` if this many sleeps are running.
    pub(crate) fn reserve(&self, limit: u32, now: Timestamp) -> Option<Reserved<'_>> {
        let mut table = self.lock();
        if !table.has_room(limit, now) {
            return None;
        }
        table.reserved = table.reserved.saturating_add(1);
        Some(Reserved(self))
    }

    /// The number of running sleeps.
    pub(crate) fn running(&self, now: Timestamp) -> usize {
        let mut table = self.lock();
        table.forget(now);
        table.running.len()
    }

    /// Counts requests under taRgrey; logs one warning if there is never a DATA request.
    pub(crate) fn watch(&self, rules: &Ruleset, stage: Stage, outcome: &Outcome) {
        if !rules.is_targrey()
            || rules.params.tarpit_limit == 0
            || self.is_settled.load(Ordering::Relaxed)
        {
            return;
        }
        match (stage, outcome.verdict) {
            (Stage::Data, _) => self.is_settled.store(true, Ordering::Relaxed),
            (Stage::Recipient, Verdict::Pass | Verdict::PassWithHeader { .. }) => {
                let before = self.passed.fetch_add(1, Ordering::Relaxed);
                if before.saturating_add(1) == PATIENCE {
                    self.is_settled.store(true, Ordering::Relaxed);
                    let what = if rules.params.is_targrey() {
                        "--targrey"
                    } else {
                        "tarpit in an access list"
                    };
                    log::warn!(
                        "{what}: {PATIENCE} recipients have passed and Postfix has never sent a DATA request; \
                         without the policy service in smtpd_data_restrictions no client survives the tarpit"
                    );
                }
            }
            (Stage::Recipient | Stage::Other, _) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }
}

impl Table {
    fn has_room(&mut self, limit: u32, now: Timestamp) -> bool {
        self.forget(now);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.running.len().saturating_add(self.reserved) < limit
    }

    /// Drops sleeps that are over, and those from the future, after the clock was set back.
    fn forget(&mut self, now: Timestamp) {
        self.running
            .retain(|(began, length)| *began <= now && now.since(*began) < *length);
    }
}

impl Reserved<'_> {
    /// Occupies the place if a sleep was ordered.
    pub(crate) fn settle(self, outcome: &Outcome, now: Timestamp) {
        if let Verdict::Tarpit { length, .. } = outcome.verdict {
            self.0.lock().running.push_back((now, length));
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.reserved = table.reserved.saturating_sub(1);
    }
}

/// Decides, and reserves a place in the tarpit if the client is to sleep; without a free place it decides again.
pub(super) fn decide<'a>(
    (case, facts): (&Case, &LiveFacts),
    mut session: Session,
    rules: &Ruleset,
    sleeps: &'a Sleeps,
    trace: &mut impl Trace,
) -> (Outcome, Option<Reserved<'a>>) {
    let outcome = case.decide(facts, session, rules, trace);
    if !matches!(outcome.verdict, Verdict::Tarpit { .. }) {
        return (outcome, None);
    }
    let place = sleeps.reserve(rules.params.tarpit_limit, session.now);
    if place.is_some() {
        return (outcome, place);
    }
    session.has_room = false;
    (case.decide(facts, session, rules, trace), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Because, Reason, Then};

    #[test]
    fn a_place_is_held_until_the_sleep_is_over_or_was_not_ordered() {
        let length = Span::from_seconds(60);
        let at = |seconds: u64| Timestamp::from_seconds(1000 + seconds);
        let outcome = |verdict| Outcome::new(verdict, Reason::New, Because::Triplet);
        let sleep = outcome(Verdict::Tarpit {
            length,
            then: Then::Pass,
        });
        let sleeps = Sleeps::default();
        let first = sleeps.reserve(2, at(0)).unwrap();
        let second = sleeps.reserve(2, at(0)).unwrap();
        assert!(sleeps.reserve(2, at(0)).is_none(), "reserved");
        first.settle(&sleep, at(0));
        second.settle(&outcome(Verdict::Pass), at(0));
        assert_eq!(sleeps.running(at(0)), 1);
        sleeps.reserve(2, at(59)).unwrap().settle(&sleep, at(59));
        assert!(sleeps.reserve(2, at(59)).is_none(), "running");
        assert!(sleeps.reserve(2, at(60)).is_some(), "over");
        assert!(sleeps.reserve(2, at(10)).is_some(), "clock set back");
    }
}

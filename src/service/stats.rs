//! Counters: one for each reason.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::{Outcome, Reason, Suspicion, Verdict, s25r};

/// How many outcomes there were of each kind, since the start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    reasons: [AtomicU64; Reason::ALL.len()],
    rules: [AtomicU64; s25r::PATTERNS.len()],
    deferred: AtomicU64,
    tarpitted: AtomicU64,
    turned_away: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    reasons: [u64; Reason::ALL.len()],
    rules: [u64; s25r::PATTERNS.len()],
    /// Answers that told the client to come back.
    pub deferred: u64,
    /// Answers that let the client wait.
    pub tarpitted: u64,
    /// Answers of client access tables.
    pub turned_away: u64,
}

impl Stats {
    /// Counts an outcome.
    pub(super) fn count(&self, outcome: &Outcome) {
        if let Some(counter) = self.reasons.get(outcome.reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        match outcome.verdict {
            Verdict::Defer { .. } | Verdict::Unavailable => {
                self.deferred.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Tarpit { .. } => {
                self.tarpitted.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Reply(_) => {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Pass | Verdict::PassWithHeader { .. } => {}
        }
        if let Some(Suspicion::S25r(rule)) = outcome.suspicion
            && let Some(counter) = self.rules.get(usize::from(rule))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters now.
    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            reasons: self.reasons.each_ref().map(read),
            rules: self.rules.each_ref().map(read),
            deferred: read(&self.deferred),
            tarpitted: read(&self.tarpitted),
            turned_away: read(&self.turned_away),
        }
    }
}

impl Counts {
    /// How many outcomes had this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons
            .get(reason as usize)
            .copied()
            .unwrap_or_default()
    }

    /// How many outcomes had a client whose name matches this rule of S25R, 0 to 6.
    #[must_use]
    pub fn of_rule(&self, rule: u8) -> u64 {
        self.rules
            .get(usize::from(rule))
            .copied()
            .unwrap_or_default()
    }

    /// All outcomes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.reasons
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Because, Missing};
    use crate::types::Span;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let stats = Stats::default();
        for reason in Reason::ALL {
            stats.count(&Outcome::new(Verdict::Pass, reason, Because::Request));
        }
        let missing = Missing::Time(Span::from_seconds(1));
        stats.count(&Outcome {
            suspicion: Some(Suspicion::S25r(3)),
            ..Outcome::new(Verdict::Defer { missing }, Reason::New, Because::Triplet)
        });
        let counts = stats.counts();
        for reason in Reason::ALL {
            let expected = if reason == Reason::New { 2 } else { 1 };
            assert_eq!(counts.of(reason), expected, "{reason:?}");
        }
        assert_eq!(counts.total(), Reason::ALL.len() as u64 + 1);
        assert_eq!(counts.deferred, 1);
        let rules: Vec<u64> = (0..7).map(|rule| counts.of_rule(rule)).collect();
        assert_eq!(rules, [0, 0, 0, 1, 0, 0, 0]);
    }
}

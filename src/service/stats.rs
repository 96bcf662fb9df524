//! Counters: one for each reason.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::{Outcome, Reason, Verdict};

/// How many outcomes there were of each kind, since the start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    reasons: [AtomicU64; Reason::ALL.len()],
    deferred: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    reasons: [u64; Reason::ALL.len()],
    /// Answers that told the client to come back.
    pub deferred: u64,
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
            Verdict::Pass | Verdict::PassWithHeader { .. } => {}
        }
    }

    /// The counters now.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            reasons: self
                .reasons
                .each_ref()
                .map(|counter| counter.load(Ordering::Relaxed)),
            deferred: self.deferred.load(Ordering::Relaxed),
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
    use crate::policy::Because;
    use crate::types::Span;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let stats = Stats::default();
        for reason in Reason::ALL {
            stats.count(&Outcome::new(Verdict::Pass, reason, Because::Request));
        }
        let wait = Span::from_seconds(1);
        stats.count(&Outcome::new(
            Verdict::Defer { wait },
            Reason::New,
            Because::Triplet,
        ));
        let counts = stats.counts();
        for reason in Reason::ALL {
            let expected = if reason == Reason::New { 2 } else { 1 };
            assert_eq!(counts.of(reason), expected, "{reason:?}");
        }
        assert_eq!(counts.total(), Reason::ALL.len() as u64 + 1);
        assert_eq!(counts.deferred, 1);
    }
}

//! Counters: one for each reason.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::policy::{Because, ListName, Outcome, Reason, Suspicion, Verdict, s25r};
use crate::store::Tally;
use crate::types::Timestamp;

/// How many outcomes there were of each kind, since the start.
#[derive(Debug)]
pub(super) struct Stats {
    reasons: [AtomicU64; Reason::ALL.len()],
    rules: [AtomicU64; s25r::PATTERNS.len()],
    lists: [AtomicU64; ListName::ALL.len()],
    deferred: AtomicU64,
    tarpitted: AtomicU64,
    turned_away: AtomicU64,
    /// What the counters showed when they were last set to zero, and when that was.
    zero: Mutex<(Timestamp, Counts)>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    reasons: [u64; Reason::ALL.len()],
    rules: [u64; s25r::PATTERNS.len()],
    lists: [u64; ListName::ALL.len()],
    /// Answers that told the client to come back.
    pub deferred: u64,
    /// Answers that let the client wait.
    pub tarpitted: u64,
    /// Answers of client access tables.
    pub turned_away: u64,
}

impl Stats {
    /// Counters at zero.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            reasons: Default::default(),
            rules: Default::default(),
            lists: Default::default(),
            deferred: AtomicU64::default(),
            tarpitted: AtomicU64::default(),
            turned_away: AtomicU64::default(),
            zero: Mutex::new((now, Counts::default())),
        }
    }

    /// Sets what [`Self::since_zero`] shows to zero.
    pub(super) fn reset(&self, now: Timestamp) {
        *self.zero.lock().unwrap_or_else(PoisonError::into_inner) = (now, self.counts());
    }

    /// The counters since they were last set to zero, and when that was.
    pub(super) fn since_zero(&self) -> (Timestamp, Counts) {
        let (since, zero) = *self.zero.lock().unwrap_or_else(PoisonError::into_inner);
        (since, self.counts().since(&zero))
    }

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
        let entry = match (outcome.because, outcome.suspicion) {
            (Because::Entry(entry), _) | (_, Some(Suspicion::Entry(entry))) => Some(entry),
            _ => None,
        };
        if let Some(counter) = entry.and_then(|entry| self.lists.get(entry.list as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
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
            lists: self.lists.each_ref().map(read),
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

    /// How many outcomes an entry of this list decided, or made the client suspicious for.
    #[must_use]
    pub fn of_list(&self, list: ListName) -> u64 {
        self.lists.get(list as usize).copied().unwrap_or_default()
    }

    /// What was counted since these were the counters.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        fn less<const N: usize>(now: &[u64; N], before: &[u64; N]) -> [u64; N] {
            let mut left = *now;
            for (left, before) in left.iter_mut().zip(before) {
                *left = left.saturating_sub(*before);
            }
            left
        }
        Self {
            reasons: less(&self.reasons, &before.reasons),
            rules: less(&self.rules, &before.rules),
            lists: less(&self.lists, &before.lists),
            deferred: self.deferred.saturating_sub(before.deferred),
            tarpitted: self.tarpitted.saturating_sub(before.tarpitted),
            turned_away: self.turned_away.saturating_sub(before.turned_away),
        }
    }

    /// The counters by their words, as the history keeps them; those at zero are left out.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let reasons =
            Reason::ALL.map(|reason| (format!("reason:{}", reason.word()), self.of(reason)));
        let rules = (0_u8..).zip(self.rules);
        let rules = rules.map(|(rule, count)| (format!("s25r:{rule}"), count));
        let lists = ListName::ALL.map(|list| (format!("list:{}", list.word()), self.of_list(list)));
        let sums = [
            ("requests", self.total()),
            ("greylisted", self.deferred),
            ("tarpitted", self.tarpitted),
        ];
        let sums = sums.map(|(word, count)| (word.to_owned(), count));
        let all = reasons.into_iter().chain(rules).chain(lists).chain(sums);
        all.filter(|(_, count)| *count > 0).collect()
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
    use crate::policy::Missing;
    use crate::types::Span;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let stats = Stats::new(Timestamp::default());
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
        let tally = counts.tally();
        assert_eq!(tally.get("reason:new"), Some(&2));
        assert_eq!(tally.get("s25r:3"), Some(&1));
        assert_eq!(tally.get("s25r:4"), None);

        let later = Timestamp::from_seconds(9);
        stats.reset(later);
        assert_eq!(stats.since_zero(), (later, Counts::default()));
        assert_eq!(stats.counts(), counts, "the history goes on");
    }
}

//! Counters: one for each reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::dns_counts::{DnsCounts, LookupTrace};
use crate::lookup::LookupCounts;
use crate::policy::{
    DnsLists, ListName, Outcome, Reason, SpfResult, Suspicion, Thresholds, Verdict, s25r,
};
use crate::store::Counters;
use crate::types::Timestamp;
use crate::types::sync::Mutex;

/// Numbers of outcomes of each kind since the start.
#[derive(Debug)]
pub(crate) struct Stats {
    reasons: [AtomicU64; Reason::ALL.len()],
    rules: [AtomicU64; s25r::RULES],
    lists: [AtomicU64; ListName::ALL.len()],
    deferred: AtomicU64,
    tarpitted: AtomicU64,
    dns_lists: DnsCounts,
    lookups: Arc<LookupCounts>,
    spf: [AtomicU64; SpfResult::ALL.len()],
    changes: [AtomicU64; Change::WORDS.len()],
    messages: [AtomicU64; MessageEnd::ALL.len()],
    unsearched: AtomicU64,
    /// The counters at the last reset, and its time.
    zero: Mutex<(Timestamp, Counts)>,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    reasons: [u64; Reason::ALL.len()],
    rules: [u64; s25r::RULES],
    lists: [u64; ListName::ALL.len()],
    deferred: u64,
    tarpitted: u64,
    dns_lists: BTreeMap<String, u64>,
    lookups: [u64; LookupCounts::WORDS.len()],
    spf: [u64; SpfResult::ALL.len()],
    changes: [u64; Change::WORDS.len()],
    messages: [u64; MessageEnd::ALL.len()],
    unsearched: u64,
}

/// The name, beside the ends of messages, of those of whose header or body nothing was known.
const UNSEARCHED: &str = "unsearched";

/// What became of a message at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageEnd {
    /// It was accepted.
    Passed,
    /// It was deferred for a recipient that has to wait.
    Greylisted,
    /// It was refused, for now or for good.
    Refused,
    /// It was accepted and thrown away.
    Discarded,
    /// It was accepted and held.
    Held,
}

impl MessageEnd {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Passed,
        Self::Greylisted,
        Self::Refused,
        Self::Discarded,
        Self::Held,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Greylisted => "greylisted",
            Self::Refused => "refused",
            Self::Discarded => "discarded",
            Self::Held => "held",
        }
    }
}

/// What an administrator does that may change the effect: a mark in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The daemon starts.
    Start,
    /// Lists and tables are reloaded.
    Reload,
    /// A pause begins or ends.
    Pause,
    /// The daemon was started with other options than the last time.
    Options,
}

impl Change {
    /// Their words in the history.
    const WORDS: [&str; 4] = ["start", "reload", "pause", "options"];
}

/// The reasons of all outcomes with [`Verdict::Reply`], and of no other.
const REFUSALS: [Reason; 4] = [
    Reason::AccessReply,
    Reason::RuleReject,
    Reason::MessageReply,
    Reason::DnsReject,
];

/// The name of a reason in the history.
fn word(reason: Reason) -> String {
    format!("reason:{}", reason.word())
}

/// Results of requests, each of which is one of four. This is the only place that defines which of them passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// All requests.
    pub requests: u64,
    /// Deferred requests.
    pub greylisted: u64,
    /// Requests whose reply was delayed.
    pub tarpitted: u64,
    /// Requests that were rejected or deferred by a client access table, or rejected by DNS lists.
    pub refused: u64,
}

impl Totals {
    /// The names in the history of those that have no reason.
    const WORDS: [&str; 3] = ["requests", "greylisted", "tarpitted"];

    /// Those that `count` returns for the names of the history.
    pub fn read(count: impl Fn(&str) -> u64) -> Self {
        let refused = REFUSALS.into_iter().map(|reason| count(&word(reason)));
        let refused = refused.fold(0, u64::saturating_add);
        let [requests, greylisted, tarpitted] = Self::WORDS.map(count);
        Self {
            requests,
            greylisted,
            tarpitted,
            refused,
        }
    }

    /// With their names in the history.
    fn words(&self) -> [(&'static str, u64); 3] {
        let [requests, greylisted, tarpitted] = Self::WORDS;
        [
            (requests, self.requests),
            (greylisted, self.greylisted),
            (tarpitted, self.tarpitted),
        ]
    }

    /// Passed requests: not deferred, tarpitted, rejected or replied to by a table.
    #[must_use]
    pub fn passed(&self) -> u64 {
        [self.greylisted, self.tarpitted, self.refused]
            .into_iter()
            .fold(self.requests, u64::saturating_sub)
    }
}

impl Stats {
    /// Counters at zero.
    pub(crate) fn new(now: Timestamp, lists: &DnsLists) -> Self {
        Self {
            reasons: Default::default(),
            rules: Default::default(),
            lists: Default::default(),
            deferred: AtomicU64::default(),
            tarpitted: AtomicU64::default(),
            dns_lists: DnsCounts::new(lists),
            lookups: Arc::default(),
            spf: Default::default(),
            changes: Default::default(),
            messages: Default::default(),
            unsearched: AtomicU64::default(),
            zero: Mutex::new((now, Counts::default())),
        }
    }

    /// Resets the counters of [`Self::since_zero`].
    pub(crate) fn reset(&self, now: Timestamp) {
        *self.zero.lock() = (now, self.counts());
    }

    /// The counters since the last reset, and its time.
    pub(crate) fn since_zero(&self) -> (Timestamp, Counts) {
        let zero = self.zero.lock();
        let (since, zero) = &*zero;
        (*since, self.counts().since(zero))
    }

    /// Counts a change.
    pub(crate) fn count_change(&self, change: Change) {
        if let Some(counter) = self.changes.get(change as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts what became of a message. Its recipients were counted as requests.
    pub(crate) fn count_message(&self, end: MessageEnd, outcome: &Outcome) {
        if let Some(counter) = self.messages.get(end as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.count_list(outcome);
    }

    /// Counts a message of whose header or body nothing was known when it was decided on.
    pub(crate) fn count_unsearched(&self) {
        self.unsearched.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts for the list whose entry has decided.
    fn count_list(&self, outcome: &Outcome) {
        let entry = outcome.entry();
        if let Some(counter) = entry.and_then(|entry| self.lists.get(entry.list as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an outcome.
    pub(crate) fn count(&self, outcome: &Outcome) {
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
            // A rejection is counted by its reason.
            Verdict::Pass | Verdict::PassWithHeader { .. } | Verdict::Reply(_) => {}
        }
        self.count_list(outcome);
        if let Some(Suspicion::S25r(rule)) = outcome.suspicion
            && let Some(counter) = self.rules.get(usize::from(rule))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the results of the DNS lists in a decision.
    pub(crate) fn count_dns_lists(
        &self,
        heard: &LookupTrace,
        outcome: &Outcome,
        thresholds: Thresholds,
    ) {
        self.dns_lists.count(heard, outcome.suspicion, thresholds);
    }

    /// Counts the result of SPF in a decision.
    pub(crate) fn count_spf(&self, result: SpfResult) {
        if let Some(counter) = self.spf.get(result as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters of lookups.
    pub(crate) fn lookups(&self) -> Arc<LookupCounts> {
        Arc::clone(&self.lookups)
    }

    /// The counters now.
    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            reasons: self.reasons.each_ref().map(read),
            rules: self.rules.each_ref().map(read),
            lists: self.lists.each_ref().map(read),
            deferred: read(&self.deferred),
            tarpitted: read(&self.tarpitted),
            dns_lists: self.dns_lists.read(),
            lookups: self.lookups.read(),
            spf: self.spf.each_ref().map(read),
            changes: self.changes.each_ref().map(read),
            messages: self.messages.each_ref().map(read),
            unsearched: read(&self.unsearched),
        }
    }
}

impl Counts {
    /// Number of outcomes with this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons
            .get(reason as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Number of outcomes with a client name that matches this rule of S25R, 0 to 7.
    #[must_use]
    pub fn of_rule(&self, rule: u8) -> u64 {
        self.rules
            .get(usize::from(rule))
            .copied()
            .unwrap_or_default()
    }

    /// Number of outcomes that an entry of this list decided or made the client suspicious for.
    #[must_use]
    pub fn of_list(&self, list: ListName) -> u64 {
        self.lists.get(list as usize).copied().unwrap_or_default()
    }

    /// The counters of the DNS lists, by `ZONE:EVENT`.
    #[must_use]
    pub const fn of_dns_lists(&self) -> &BTreeMap<String, u64> {
        &self.dns_lists
    }

    /// The counters of lookups, by name.
    #[must_use]
    pub fn of_lookups(&self) -> Vec<(&'static str, u64)> {
        LookupCounts::WORDS.into_iter().zip(self.lookups).collect()
    }

    /// Number of decisions with this SPF result.
    #[must_use]
    pub fn of_spf(&self, result: SpfResult) -> u64 {
        self.spf.get(result as usize).copied().unwrap_or_default()
    }

    /// Number of messages with this end.
    #[must_use]
    pub fn of_messages(&self, end: MessageEnd) -> u64 {
        self.messages.get(end as usize).copied().unwrap_or_default()
    }

    /// The counters of messages: by what became of them, and of those that were not searched.
    #[must_use]
    pub fn messages(&self) -> Vec<(&'static str, u64)> {
        let ends = MessageEnd::ALL.map(|end| (end.word(), self.of_messages(end)));
        let unsearched = (UNSEARCHED, self.unsearched);
        ends.into_iter().chain([unsearched]).collect()
    }

    /// The difference to earlier counters.
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
            dns_lists: self
                .dns_lists
                .iter()
                .map(|(word, count)| {
                    let before = before.dns_lists.get(word).copied().unwrap_or_default();
                    (word.clone(), count.saturating_sub(before))
                })
                .filter(|(_, count)| *count > 0)
                .collect(),
            lookups: less(&self.lookups, &before.lookups),
            spf: less(&self.spf, &before.spf),
            changes: less(&self.changes, &before.changes),
            messages: less(&self.messages, &before.messages),
            unsearched: self.unsearched.saturating_sub(before.unsearched),
        }
    }

    /// The counters by name, as in the history, without zeros.
    #[must_use]
    pub fn by_name(&self) -> Counters {
        let reasons = Reason::ALL.map(|reason| (word(reason), self.of(reason)));
        let rules = (0_u8..).zip(self.rules);
        let rules = rules.map(|(rule, count)| (format!("s25r:{rule}"), count));
        let lists = ListName::ALL.map(|list| (format!("list:{}", list.word()), self.of_list(list)));
        let sums = self.totals().words();
        let sums = sums.map(|(word, count)| (word.to_owned(), count));
        let dns_lists = self.dns_lists.iter();
        let dns_lists = dns_lists.map(|(word, count)| (format!("dns:{word}"), *count));
        let lookups = self.of_lookups().into_iter();
        let lookups = lookups.map(|(word, count)| (format!("lookup:{word}"), count));
        let spf =
            SpfResult::ALL.map(|result| (format!("spf:{}", result.word()), self.of_spf(result)));
        let changes = Change::WORDS.into_iter().zip(self.changes);
        let changes = changes.map(|(word, count)| (format!("change:{word}"), count));
        let messages = self.messages().into_iter();
        let messages = messages.map(|(word, count)| (format!("message:{word}"), count));
        let all = reasons
            .into_iter()
            .chain(messages)
            .chain(changes)
            .chain(rules)
            .chain(lists)
            .chain(dns_lists)
            .chain(lookups)
            .chain(spf)
            .chain(sums);
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// The results of requests.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let all = self.reasons.iter();
        let refused = REFUSALS.into_iter().map(|reason| self.of(reason));
        Totals {
            requests: all.fold(0, |sum, count| sum.saturating_add(*count)),
            greylisted: self.deferred,
            tarpitted: self.tarpitted,
            refused: refused.fold(0, u64::saturating_add),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Because, Remaining, Severity, Then};
    use crate::types::Span;

    #[test]
    fn only_what_nobody_stopped_has_passed_now_and_in_the_history() {
        let remaining = Remaining::Time(Span::from_seconds(1));
        let length = Span::from_seconds(1);
        let verdicts = [
            (Verdict::Pass, true),
            (Verdict::PassWithHeader { waited: length }, true),
            (Verdict::Defer { remaining }, false),
            (Verdict::Unavailable, false),
            (
                Verdict::Tarpit {
                    length,
                    then: Then::Pass,
                },
                false,
            ),
            (Verdict::Reply(Severity::Reject), false),
            (Verdict::Reply(Severity::Defer), false),
        ];
        let cases = verdicts.into_iter().flat_map(|(verdict, has_passed)| {
            let is_refusal = matches!(verdict, Verdict::Reply(_));
            let reasons = if is_refusal {
                &REFUSALS[..]
            } else {
                &[Reason::New]
            };
            reasons
                .iter()
                .map(move |reason| (verdict, *reason, has_passed))
        });
        for (verdict, reason, has_passed) in cases {
            let stats = Stats::new(Timestamp::default(), &DnsLists::default());
            stats.count(&Outcome::new(verdict, reason, Because::Request));
            let totals = stats.counts().totals();
            assert_eq!(totals.requests, 1, "{verdict:?}");
            assert_eq!(totals.passed(), u64::from(has_passed), "{verdict:?}");
            let counters = stats.counts().by_name();
            let kept = Totals::read(|word| counters.get(word).copied().unwrap_or_default());
            assert_eq!(kept, totals, "{verdict:?}");
        }
    }

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let stats = Stats::new(Timestamp::default(), &DnsLists::default());
        for reason in Reason::ALL {
            stats.count(&Outcome::new(Verdict::Pass, reason, Because::Request));
        }
        let remaining = Remaining::Time(Span::from_seconds(1));
        stats.count(&Outcome {
            suspicion: Some(Suspicion::S25r(3)),
            ..Outcome::new(Verdict::Defer { remaining }, Reason::New, Because::Triplet)
        });
        let counts = stats.counts();
        for reason in Reason::ALL {
            let expected = if reason == Reason::New { 2 } else { 1 };
            assert_eq!(counts.of(reason), expected, "{reason:?}");
        }
        let totals = counts.totals();
        assert_eq!(totals.requests, Reason::ALL.len() as u64 + 1);
        assert_eq!(totals.greylisted, 1);
        let rules: Vec<u64> = (0..8).map(|rule| counts.of_rule(rule)).collect();
        assert_eq!(rules, [0, 0, 0, 1, 0, 0, 0, 0]);
        let counters = counts.by_name();
        assert_eq!(counters.get("reason:new"), Some(&2));
        assert_eq!(counters.get("s25r:3"), Some(&1));
        assert_eq!(counters.get("s25r:4"), None);

        stats.count_spf(SpfResult::PassAny);
        let counts = stats.counts();
        assert_eq!(counts.of_spf(SpfResult::PassAny), 1);
        assert_eq!(counts.of_spf(SpfResult::Pass), 0);
        assert_eq!(counts.by_name().get("spf:pass-any"), Some(&1));

        let later = Timestamp::from_seconds(9);
        stats.reset(later);
        assert_eq!(stats.since_zero(), (later, Counts::default()));
        assert_eq!(stats.counts(), counts, "the history goes on");
    }
}

//! What the DNS lists are worth: counters for each of them.

use std::collections::BTreeMap;

use crate::policy::{DnsLists, Score, Step, Suspicion, Trace, ZoneAnswer};
use crate::types::sync::{Mutex, MutexGuard};

/// What the lists have said in one decision.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    answers: Vec<(usize, ZoneAnswer)>,
    score: Option<Score>,
}

impl Trace for Heard {
    fn restart(&mut self) {
        self.answers.clear();
        self.score = None;
    }

    fn note(&mut self, step: Step) {
        match step {
            Step::DnsList(zone, answer) => self.answers.push((zone, answer)),
            Step::DnsLists(score) => self.score = Some(score),
            Step::Paused(_)
            | Step::List(..)
            | Step::Access(_)
            | Step::Authenticated
            | Step::S25r(..)
            | Step::Unmatched(_)
            | Step::Client(..)
            | Step::Sleep(_)
            | Step::Triplet(_) => {}
        }
    }
}

/// Counters under `ZONE:WHAT`.
///
/// | `WHAT` | counts |
/// | --- | --- |
/// | `asked` | decisions that the zone was asked in; the answer may have been in the cache |
/// | `listed` | clients that it had |
/// | `decided` | clients that DNS lists made suspicious, and for which it had the greatest weight |
/// | `alone` | clients that DNS lists made suspicious, and would not have without it |
/// | `error` | error codes |
/// | `silent` | missing answers |
#[derive(Debug, Default)]
pub(crate) struct DnsCounts(Mutex<BTreeMap<String, u64>>);

impl DnsCounts {
    /// Counts what was heard in a decision. Does nothing, and locks nothing, if no list was asked.
    pub(crate) fn count(&self, heard: &Heard, suspicion: Option<Suspicion>, lists: &DnsLists) {
        let Some(score) = heard.score else { return };
        let weights = heard
            .answers
            .iter()
            .map(|(zone, answer)| (*zone, weight(*answer)));
        let heaviest = weights.max_by_key(|(zone, weight)| (*weight, std::cmp::Reverse(*zone)));
        let is_suspicious = matches!(suspicion, Some(Suspicion::DnsLists(_)));
        let suspicious = lists.thresholds().suspicious;
        let mut counts = self.lock();
        for (zone, answer) in &heard.answers {
            let Some(name) = lists.zones().nth(*zone) else {
                continue;
            };
            let mut add = |what: &str| {
                let count = counts.entry(format!("{name}:{what}")).or_default();
                *count = count.saturating_add(1);
            };
            add("asked");
            match answer {
                ZoneAnswer::Listed { weight, .. } => {
                    add("listed");
                    if is_suspicious && heaviest.is_some_and(|(heaviest, _)| heaviest == *zone) {
                        add("decided");
                    }
                    if is_suspicious && score.weight.saturating_sub(*weight) < suspicious {
                        add("alone");
                    }
                }
                ZoneAnswer::Unlisted => {}
                ZoneAnswer::Error => add("error"),
                ZoneAnswer::Silent => add("silent"),
            }
        }
    }

    /// The counters now.
    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock()
    }
}

const fn weight(answer: ZoneAnswer) -> i32 {
    match answer {
        ZoneAnswer::Listed { weight, .. } => weight,
        ZoneAnswer::Unlisted | ZoneAnswer::Error | ZoneAnswer::Silent => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Standing, Thresholds};

    #[test]
    fn a_list_is_counted_by_what_it_has_said_and_by_what_that_has_changed() {
        let thresholds = Thresholds {
            suspicious: 3,
            allow: None,
        };
        let lists = DnsLists::parse(&["a.example*3 b.example*2 c.example"], thresholds).unwrap();
        let listed = |weight| ZoneAnswer::Listed {
            address: [127, 0, 0, 2].into(),
            weight,
        };
        let (unlisted, silent) = (ZoneAnswer::Unlisted, ZoneAnswer::Silent);
        let cases = [
            ([listed(3), unlisted, silent], 3),
            ([listed(3), listed(2), listed(1)], 6),
            ([unlisted, listed(2), listed(1)], 3),
            ([unlisted, listed(2), ZoneAnswer::Error], 2),
        ];
        let counts = DnsCounts::default();
        for (answers, weight) in cases {
            let mut heard = Heard::default();
            for (zone, answer) in answers.into_iter().enumerate() {
                heard.note(Step::DnsList(zone, answer));
            }
            heard.note(Step::DnsLists(Score {
                weight,
                silent: 0,
                standing: if weight >= 3 {
                    Standing::Suspicious
                } else {
                    Standing::Unlisted
                },
            }));
            let suspicion = (weight >= 3).then_some(Suspicion::DnsLists(weight));
            counts.count(&heard, suspicion, &lists);
        }
        counts.count(&Heard::default(), None, &lists);
        let want = [
            ("a.example:alone", 1),
            ("a.example:asked", 4),
            ("a.example:decided", 2),
            ("a.example:listed", 2),
            ("b.example:alone", 1),
            ("b.example:asked", 4),
            ("b.example:decided", 1),
            ("b.example:listed", 3),
            ("c.example:alone", 1),
            ("c.example:asked", 4),
            ("c.example:error", 1),
            ("c.example:listed", 2),
            ("c.example:silent", 1),
        ];
        let got = counts.read();
        let got: Vec<(&str, u64)> = got.iter().map(|(word, count)| (&**word, *count)).collect();
        assert_eq!(got, want);
    }
}

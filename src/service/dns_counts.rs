//! Counters of each DNS list, which show what the list is worth.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::chain::Effects;
use crate::policy::{
    DnsLists, Score, Standing, Step, Suspicion, Thresholds, Trace, Zone, ZoneAnswer,
};

/// The results of the DNS lists in one decision.
#[derive(Debug, Default)]
pub(crate) struct LookupTrace {
    answers: Vec<(usize, ZoneAnswer)>,
    score: Option<Score>,
    /// What rules do besides deciding, if they were asked.
    pub(crate) effects: Option<Box<Effects>>,
}

impl LookupTrace {
    /// How many lists have not replied, or with an error code.
    pub(crate) fn silent_lists(&self) -> u32 {
        self.score.map_or(0, |score| score.silent)
    }
}

impl Trace for LookupTrace {
    fn restart(&mut self) {
        self.answers.clear();
        self.score = None;
        self.effects = None;
    }

    fn wants_clauses(&self) -> bool {
        false
    }

    fn note_effects(&mut self, effects: Effects) {
        if effects != Effects::default() {
            self.effects = Some(Box::new(effects));
        }
    }

    fn note(&mut self, step: Step) {
        match step {
            Step::DnsList(zone, answer) => self.answers.push((zone, answer)),
            Step::DnsLists(score) => self.score = Some(score),
            Step::Spf(_)
            | Step::Paused(_)
            | Step::List(..)
            | Step::Rule(..)
            | Step::Access(_)
            | Step::Authenticated
            | Step::OwnNetwork
            | Step::S25r(..)
            | Step::Unmatched(_)
            | Step::Client(..)
            | Step::Sleep(_)
            | Step::Triplet(_)
            | Step::Recipient(_)
            | Step::Clause(..)
            | Step::SpamScore(..) => {}
        }
    }
}

/// The events that are counted for each list, in the order of [`WORDS`].
#[derive(Debug, Clone, Copy)]
enum What {
    /// Decisions that queried the list or found its reply in the cache.
    Asked,
    /// Clients in the list, even if the filters ignore the code.
    Listed,
    /// Clients made suspicious or rejected by DNS lists, of which this one had the greatest weight.
    Decided,
    /// Clients made suspicious or rejected by DNS lists that would not have been without this one.
    Alone,
    /// Error codes.
    Error,
    /// Missing replies.
    Silent,
}

/// The names of the counters.
const WORDS: [&str; 6] = ["asked", "listed", "decided", "alone", "error", "silent"];

/// Most zones with counters: the first that are named. It bounds what an hour of the history takes.
const MOST_ZONES: usize = 64;

/// The counters of each zone, under its name.
#[derive(Debug)]
pub(crate) struct DnsCounts(Vec<(Zone, [AtomicU64; WORDS.len()])>);

impl DnsCounts {
    /// Counters at zero, for these lists.
    pub(crate) fn new(lists: &DnsLists) -> Self {
        let zones = lists.zones().take(MOST_ZONES).cloned();
        Self(zones.map(|zone| (zone, Default::default())).collect())
    }

    /// Counts the results of a decision; nothing if no list was queried.
    pub(crate) fn count(
        &self,
        heard: &LookupTrace,
        suspicion: Option<Suspicion>,
        thresholds: Thresholds,
    ) {
        let Some(score) = heard.score else { return };
        let is_suspicious = matches!(suspicion, Some(Suspicion::DnsLists(_)));
        let threshold = match (score.standing, thresholds.reject) {
            (Standing::Rejected, Some(reject)) => reject,
            _ => thresholds.suspicious,
        };
        for (zone, answer) in &heard.answers {
            let Some((_, counters)) = self.0.get(*zone) else {
                continue;
            };
            let count = |what: What, is_so: bool| {
                if let Some(counter) = counters.get(what as usize) {
                    counter.fetch_add(u64::from(is_so), Ordering::Relaxed);
                }
            };
            let is_listed = matches!(answer, ZoneAnswer::Listed { .. });
            let without = score.weight.saturating_sub(weight(*answer));
            let is_counted = is_suspicious && is_listed;
            count(What::Asked, true);
            count(What::Listed, is_listed);
            count(What::Decided, is_counted && score.heaviest == Some(*zone));
            count(What::Alone, is_counted && without < threshold);
            count(What::Error, matches!(answer, ZoneAnswer::Error(_)));
            count(What::Silent, *answer == ZoneAnswer::Silent);
        }
    }

    /// The counters that are not at zero, under `ZONE:WORD`.
    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        let counters = self.0.iter().flat_map(|(zone, counters)| {
            let named = WORDS.into_iter().zip(counters);
            named
                .map(move |(word, count)| (format!("{zone}:{word}"), count.load(Ordering::Relaxed)))
        });
        counters.filter(|(_, count)| *count > 0).collect()
    }
}

const fn weight(answer: ZoneAnswer) -> i32 {
    match answer {
        ZoneAnswer::Listed { weight, .. } => weight,
        ZoneAnswer::Unlisted | ZoneAnswer::Error(_) | ZoneAnswer::Silent => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Standing;

    #[test]
    fn a_list_is_counted_by_what_it_has_said_and_by_what_that_has_changed() {
        let thresholds = Thresholds {
            suspicious: 3,
            reject: Some(6),
            allow: None,
        };
        let lists = DnsLists::parse(&["a.example*3 b.example*2 c.example"], thresholds).unwrap();
        let listed = |weight| ZoneAnswer::Listed {
            address: [127, 0, 0, 2].into(),
            weight,
        };
        let (unlisted, silent) = (ZoneAnswer::Unlisted, ZoneAnswer::Silent);
        let cases = [
            ([listed(3), unlisted, silent], 3, Some(0)),
            // Refused, and each of them was needed for that.
            ([listed(3), listed(2), listed(1)], 6, Some(0)),
            ([unlisted, listed(2), listed(1)], 3, Some(1)),
            (
                [
                    unlisted,
                    listed(2),
                    ZoneAnswer::Error([127, 255, 255, 254].into()),
                ],
                2,
                Some(1),
            ),
        ];
        let counts = DnsCounts::new(&lists);
        for (answers, weight, heaviest) in cases {
            let mut heard = LookupTrace::default();
            for (zone, answer) in answers.into_iter().enumerate() {
                heard.note(Step::DnsList(zone, answer));
            }
            heard.note(Step::DnsLists(Score {
                weight,
                heaviest,
                silent: 0,
                standing: match weight {
                    6.. => Standing::Rejected,
                    3.. => Standing::Suspicious,
                    _ => Standing::Unlisted,
                },
            }));
            let suspicion = (weight >= 3).then_some(Suspicion::DnsLists(weight));
            counts.count(&heard, suspicion, thresholds);
        }
        counts.count(&LookupTrace::default(), None, thresholds);
        let want = [
            ("a.example:alone", 2),
            ("a.example:asked", 4),
            ("a.example:decided", 2),
            ("a.example:listed", 2),
            ("b.example:alone", 2),
            ("b.example:asked", 4),
            ("b.example:decided", 1),
            ("b.example:listed", 3),
            ("c.example:alone", 2),
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

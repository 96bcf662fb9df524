//! Counters of the effect: unknown triplets that were deferred, and those that were retried and passed.
//!
//! Both counters belong to the hour in which the triplet was first seen: `strangers` counts it there, and `came_back`
//! when it passes, however much later, for its record has that time. So the difference for one hour is the number of
//! those that never came back, once the retry window is over. The sweep counts nothing.
//!
//! Only the writer thread begins a record and lets a waiting one pass, so the counters are its own: they cost no request
//! a lock. They are written with the others, and a crash loses those of the last seconds.

use std::collections::BTreeMap;

use crate::policy::{Cause, Outcome, Triplet, Why};
use crate::store::Counters;
use crate::types::{Span, Timestamp};

/// The most that each class of delays has waited, in seconds; the last class, which has no bound, is the next one.
pub const DELAY_CLASSES: [u64; 7] = [300, 900, 1800, 3600, 7200, 21_600, 86_400];

/// What a decision did to an unknown or waiting triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TripletEvent {
    /// It has to wait for this reason.
    Stranger(Timestamp, Why),
    /// It passes for the first time.
    CameBack {
        first: Timestamp,
        why: Why,
        waited: Span,
    },
}

impl TripletEvent {
    /// What `outcome` does to the triplet whose live record is `known`. Records that say no reason were not counted when
    /// they were begun, and are not counted when they pass.
    pub(crate) fn of(known: Option<Triplet>, outcome: &Outcome) -> Option<Self> {
        let next = outcome.changes.triplet?;
        match (known, next) {
            (None, Triplet::Waiting { first, why, .. }) => Some(Self::Stranger(first, why?)),
            (Some(Triplet::Waiting { first, why, .. }), Triplet::Passed { .. }) => {
                Some(Self::CameBack {
                    first,
                    why: why?,
                    waited: outcome.waited?,
                })
            }
            (None | Some(Triplet::Passed { .. }), Triplet::Passed { .. })
            | (Some(_), Triplet::Waiting { .. }) => None,
        }
    }
}

/// What has been counted and is not in the history yet, by the hour.
#[derive(Debug, Default)]
pub(crate) struct TripletCounts(BTreeMap<u64, Cells>);

#[derive(Debug, Default)]
struct Cells {
    strangers: [u64; Cause::COUNT],
    came_back: [u64; Cause::COUNT],
    delays: [u64; DELAY_CLASSES.len() + 1],
}

/// The class of a delay.
fn class(waited: Span) -> usize {
    let is_longer = |most: &&u64| waited.seconds() > **most;
    DELAY_CLASSES.iter().take_while(is_longer).count()
}

fn add(counters: &mut [u64], at: usize) {
    if let Some(counter) = counters.get_mut(at) {
        *counter = counter.saturating_add(1);
    }
}

impl TripletCounts {
    /// Counts one.
    pub(crate) fn count(&mut self, event: TripletEvent) {
        let (first, why) = match event {
            TripletEvent::Stranger(first, why) | TripletEvent::CameBack { first, why, .. } => {
                (first, why)
            }
        };
        let cause = usize::from(why.cause.number());
        let hour = first.seconds().div_euclid(Span::from_hours(1).seconds());
        let counters = self.0.entry(hour).or_default();
        match event {
            TripletEvent::Stranger(..) => add(&mut counters.strangers, cause),
            TripletEvent::CameBack { waited, .. } => {
                add(&mut counters.came_back, cause);
                add(&mut counters.delays, class(waited));
            }
        }
    }

    /// The counters by the beginning of their hour and by their words.
    pub(crate) fn by_hour(&self) -> Vec<(Timestamp, Counters)> {
        let hour = Span::from_hours(1).seconds();
        let all = self.0.iter();
        all.map(|(number, counters)| {
            let begin = Timestamp::from_seconds(number.saturating_mul(hour));
            (begin, counters.by_name())
        })
        .collect()
    }

    /// Forgets what was written.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Cells {
    fn by_name(&self) -> Counters {
        let by_cause = |word: &'static str, counters: &[u64]| {
            let named = Cause::ALL.into_iter().zip(counters.to_vec());
            named.map(move |(cause, count)| (format!("{word}:{}", cause.word()), count))
        };
        let classes = DELAY_CLASSES.iter().map(u64::to_string);
        let classes = classes.chain(std::iter::once("more".to_owned()));
        let delays = classes.map(|class| format!("delay:{class}"));
        let sum = |counters: &[u64]| counters.iter().copied().fold(0, u64::saturating_add);
        let sums = [
            ("strangers".to_owned(), sum(&self.strangers)),
            ("came_back".to_owned(), sum(&self.came_back)),
        ];
        by_cause("strangers", &self.strangers)
            .chain(by_cause("came_back", &self.came_back))
            .chain(delays.zip(self.delays))
            .chain(sums)
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::LookupCounts;
    use crate::policy::{
        Because, DnsLists, ListName, Reason, Remaining, SpfResult, Suspicion, Verdict,
    };
    use crate::service::stats::Stats;
    use crate::store::schema::encode_counters;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn waiting(first: u64, why: Option<Why>) -> Triplet {
        Triplet::Waiting {
            first: at(first),
            last: at(first),
            retries: 0,
            counted: 0,
            why,
        }
    }

    fn passed(first: u64) -> Triplet {
        Triplet::Passed {
            first: at(first),
            passed: at(first),
            last: at(first),
            mails: 1,
        }
    }

    #[test]
    fn a_stranger_is_counted_where_its_record_begins_and_where_it_passes_and_nowhere_else() {
        let why = Some(Cause::Table.into());
        let cases = [
            ("unknown", None, waiting(0, why), Some(false)),
            (
                "an early retry",
                Some(waiting(0, why)),
                waiting(0, why),
                None,
            ),
            (
                "begun anew by a clock that was set back",
                Some(waiting(9, why)),
                waiting(0, why),
                None,
            ),
            ("came back", Some(waiting(0, why)), passed(0), Some(true)),
            (
                "came back uncounted",
                Some(waiting(0, None)),
                passed(0),
                None,
            ),
            ("no delay", None, passed(0), None),
            ("known", Some(passed(0)), passed(0), None),
        ];
        for (name, known, next, want) in cases {
            let mut outcome = Outcome::new(Verdict::Pass, Reason::New, Because::Triplet);
            outcome.changes.triplet = Some(next);
            outcome.waited = Some(Span::from_seconds(5));
            let got = TripletEvent::of(known, &outcome);
            let got = got.map(|event| matches!(event, TripletEvent::CameBack { .. }));
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn an_hour_with_every_counter_takes_no_more_than_the_manual_says() {
        let mut triplet_counts = TripletCounts::default();
        for why in Cause::ALL.map(Why::from) {
            triplet_counts.count(TripletEvent::Stranger(at(0), why));
            for waited in DELAY_CLASSES.map(Span::from_seconds) {
                triplet_counts.count(TripletEvent::CameBack {
                    first: at(0),
                    why,
                    waited,
                });
            }
        }
        let (_, mut counters) = triplet_counts.by_hour().remove(0);
        assert_eq!(counters.len(), 2 + 2 * Cause::COUNT + DELAY_CLASSES.len());
        let stats = Stats::new(at(0), &DnsLists::default());
        let remaining = Remaining::Time(Span::ZERO);
        for reason in Reason::ALL {
            for rule in 0..8 {
                stats.count(&Outcome {
                    suspicion: Some(Suspicion::S25r(rule)),
                    ..Outcome::new(Verdict::Defer { remaining }, reason, Because::Request)
                });
            }
        }
        counters.extend(stats.counts().by_name());
        let lists = ListName::ALL.map(|list| (format!("list:{}", list.word()), 1));
        let spf = SpfResult::ALL.map(|result| (format!("spf:{}", result.word()), 1));
        let lookups = LookupCounts::WORDS.map(|word| (format!("lookup:{word}"), 1));
        counters.extend(lists.into_iter().chain(spf).chain(lookups));
        let bytes = encode_counters(&counters).unwrap().len();
        assert!(bytes <= 3 << 10, "{bytes}");
    }

    #[test]
    fn both_counters_belong_to_the_hour_of_first_sight_and_delays_to_the_least_class_that_holds_them()
     {
        let mut triplet_counts = TripletCounts::default();
        let cases = [
            (0, "300"),
            (300, "300"),
            (301, "900"),
            (900, "900"),
            (1800, "1800"),
            (1801, "3600"),
            (7200, "7200"),
            (21_600, "21600"),
            (86_400, "86400"),
            (86_401, "more"),
        ];
        let why = Why::from(Cause::S25r(3));
        for (waited, class) in cases {
            triplet_counts.count(TripletEvent::Stranger(at(0), why));
            triplet_counts.count(TripletEvent::CameBack {
                first: at(0),
                why,
                waited: Span::from_seconds(waited),
            });
            let (hour, counters) = triplet_counts.by_hour().remove(0);
            assert_eq!(hour, at(0));
            let word = format!("delay:{class}");
            assert!(counters.contains_key(&word), "{waited}: {counters:?}");
        }
        triplet_counts.count(TripletEvent::Stranger(at(3600), Cause::Plain.into()));
        let all = triplet_counts.by_hour();
        let words = |n: usize| {
            let counters = all[n].1.iter();
            counters
                .map(|(word, count)| (word.as_str(), *count))
                .collect::<Vec<_>>()
        };
        let sums = [
            "came_back",
            "came_back:s25r:3",
            "strangers",
            "strangers:s25r:3",
        ];
        let got: Vec<_> = words(0)
            .into_iter()
            .filter(|(word, _)| !word.starts_with("delay"))
            .collect();
        assert_eq!(got, sums.map(|word| (word, 10)));
        assert_eq!(words(1), [("strangers", 1), ("strangers:plain", 1)]);
    }
}

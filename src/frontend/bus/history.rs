//! Counters over time: sums the hourly counters in steps.

use std::collections::{BTreeMap, HashMap};

use super::error::invalid;
use crate::api::{
    CAME_BACK, CAME_BACK_BY, CHANGES, DELAYS, DNS_LISTS, Dict, Error, GREYLISTED, LISTS, LOOKUPS,
    MESSAGES, PASSED, REASONS, REFUSED, REQUESTS, Row, S25R, SPF, STRANGERS, STRANGERS_BY,
    TARPITTED, TIME,
};
use crate::control::Hour;
use crate::service::Totals;
use crate::types::Timestamp;

/// Seconds of an hour, the shortest step.
const HOUR: u64 = 3600;

/// Most rows: more than the hours of 400 days.
const MAX_ROWS: usize = 10_000;

/// A time range, divided into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeRange {
    /// Start of the first step: a whole hour.
    pub(super) from: Timestamp,
    /// End of the last step.
    pub(super) to: Timestamp,
    step: u64,
}

impl TimeRange {
    /// From `from` up to, but not including, `to`.
    pub(super) fn new(from: u64, to: u64, step: u64) -> Result<Self, Error> {
        if !step.is_multiple_of(HOUR) {
            return Err(invalid(
                "The step must be whole hours in seconds: 3600, 86400; 0 means one hour.",
            ));
        }
        if from > to {
            return Err(invalid(
                "The first time is later than the second: swap them.",
            ));
        }
        let hour = from.checked_div(HOUR).unwrap_or(0);
        Ok(Self {
            from: Timestamp::from_seconds(hour.saturating_mul(HOUR)),
            to: Timestamp::from_seconds(to),
            step: step.max(HOUR),
        })
    }

    /// The rows: one for each step with a counted request.
    pub(super) fn rows(self, hours: &[Hour]) -> Result<Vec<Dict>, Error> {
        let mut steps: BTreeMap<u64, BTreeMap<&str, u64>> = BTreeMap::new();
        let inside = |hour: &&Hour| self.from <= hour.time && hour.time < self.to;
        for hour in hours.iter().filter(inside) {
            let since = hour.time.since(self.from).seconds();
            let step = since.checked_div(self.step).unwrap_or(0);
            let sums = steps.entry(step).or_default();
            for (word, count) in &hour.counters {
                let sum = sums.entry(word).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        if steps.len() > MAX_ROWS {
            return Err(invalid(
                "This is more than 10000 rows: use a longer step or a shorter time.",
            ));
        }
        let begin = |step: u64| {
            let seconds = step.saturating_mul(self.step);
            self.from.seconds().saturating_add(seconds)
        };
        Ok(steps
            .into_iter()
            .map(|(step, sums)| row(begin(step), &sums))
            .collect())
    }
}

/// A row with how requests ended.
pub(super) fn with_totals(row: Row, totals: Totals) -> Row {
    row.with(REQUESTS, totals.requests)
        .with(PASSED, totals.passed())
        .with(GREYLISTED, totals.greylisted)
        .with(TARPITTED, totals.tarpitted)
        .with(REFUSED, totals.refused)
}

/// One row.
fn row(time: u64, sums: &BTreeMap<&str, u64>) -> Dict {
    let group = |prefix: &str| -> HashMap<String, u64> {
        sums.iter()
            .filter_map(|(word, count)| {
                let word = word.strip_prefix(prefix)?.strip_prefix(':')?;
                Some((word.to_owned(), *count))
            })
            .collect()
    };
    let count = |word: &str| sums.get(word).copied().unwrap_or_default();
    let totals = Totals::read(count);
    with_totals(Row::new().with(TIME, time), totals)
        .with(REASONS, group("reason"))
        .with(S25R, group("s25r"))
        .with(LISTS, group("list"))
        .with(DNS_LISTS, group("dns"))
        .with(LOOKUPS, group("lookup"))
        .with(SPF, group("spf"))
        .with(MESSAGES, group("message"))
        .with(CHANGES, group("change"))
        .with(STRANGERS, count("strangers"))
        .with(CAME_BACK, count("came_back"))
        .with(DELAYS, group("delay"))
        .with(STRANGERS_BY, group("strangers"))
        .with(CAME_BACK_BY, group("came_back"))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FromRow;

    fn hour(number: u64, counters: &[(&str, u64)]) -> Hour {
        Hour {
            time: Timestamp::from_seconds(number * HOUR),
            counters: counters
                .iter()
                .map(|(word, count)| ((*word).to_owned(), *count))
                .collect(),
        }
    }

    #[test]
    fn hours_are_summed_up_in_steps_and_empty_ones_left_out() {
        let hours = [
            hour(9, &[("requests", 100)]),
            hour(10, &[("requests", 3), ("reason:new", 2), ("s25r:1", 1)]),
            hour(
                11,
                &[
                    ("requests", 4),
                    ("reason:new", 1),
                    ("greylisted", 1),
                    ("reason:access-reply", 2),
                ],
            ),
            hour(15, &[("requests", 5), ("list:client-whitelist", 5)]),
            hour(16, &[("requests", 100)]),
        ];
        let range = TimeRange::new(10 * HOUR + 59, 16 * HOUR, 2 * HOUR).unwrap();
        let rows = range.rows(&hours).unwrap();
        let times: Vec<_> = rows.iter().filter_map(|row| row.number(TIME)).collect();
        assert_eq!(times, [10 * HOUR, 14 * HOUR]);
        assert_eq!(rows[0].number(REQUESTS), Some(7));
        assert_eq!(rows[0].number(GREYLISTED), Some(1));
        assert_eq!(rows[0].number(REFUSED), Some(2));
        assert_eq!(rows[0].number(PASSED), Some(4));
        assert_eq!(rows[0].counters(REASONS).unwrap()["new"], 3);
        assert_eq!(rows[0].counters(S25R).unwrap()["1"], 1);
        assert_eq!(rows[1].counters(LISTS).unwrap()["client-whitelist"], 5);
        assert_eq!(rows[1].counters(REASONS), Some(HashMap::new()));
    }

    #[test]
    fn steps_are_whole_hours_and_time_goes_on() {
        assert_eq!(TimeRange::new(0, 9, 0).unwrap().step, HOUR);
        for (from, to, step) in [(0, 9, 1), (0, 9, HOUR + 1), (10, 9, HOUR)] {
            assert!(
                TimeRange::new(from, to, step).is_err(),
                "{from} {to} {step}"
            );
        }
        let widest = TimeRange::new(0, u64::MAX, u64::MAX - u64::MAX % HOUR).unwrap();
        assert_eq!(widest.rows(&[hour(1, &[])]).unwrap().len(), 1);
    }

    #[test]
    fn no_more_rows_than_the_limit() {
        let hours: Vec<Hour> = (0..=MAX_ROWS as u64).map(|n| hour(n, &[])).collect();
        let range = TimeRange::new(0, u64::MAX, HOUR).unwrap();
        assert!(range.rows(&hours).is_err());
        assert_eq!(range.rows(&hours[1..]).unwrap().len(), MAX_ROWS);
    }
}

//! What greylisting did, in numbers and in one sentence.

use std::collections::BTreeMap;

use crate::api::{CAME_BACK, DELAYS, Dict, FromRow, REASONS, REFUSED, STRANGERS, TIME};

/// Seconds of an hour, the step of the rows.
pub const HOUR: u64 = 3600;

/// The reason of a DATA request whose client has survived the tarpit.
const SURVIVED: &str = "tarpit-survived";

/// What became of the strangers of a period. A stranger is an unknown triplet that had to wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// All of them.
    pub strangers: u64,
    /// Those that were retried in time.
    pub came_back: u64,
    /// Those that have survived the tarpit, at most: their mail did not have to be retried.
    pub survived: u64,
    /// Those that can still come back.
    pub waiting: u64,
    /// Those that cannot any more.
    pub never: u64,
    /// Requests that tables and DNS lists refused.
    pub refused: u64,
    /// Those that came back, by the most seconds that they had waited; the last class has no such bound.
    delays: BTreeMap<u64, u64>,
}

/// The class of delays without a bound.
const UNBOUNDED: u64 = u64::MAX;

impl Effect {
    /// Adds an hour, of which a row of `GetHistory` says all. What has not come back by `now` can still do so if it is
    /// within `window` seconds of its hour.
    pub fn add(&mut self, row: &Dict, window: u64, now: u64) {
        let number = |key| row.number(key).unwrap_or_default();
        let (strangers, came_back) = (number(STRANGERS), number(CAME_BACK));
        let reasons = row.counters(REASONS).unwrap_or_default();
        let left = strangers.saturating_sub(came_back);
        let survived = reasons.get(SURVIVED).copied().unwrap_or_default().min(left);
        let left = left.saturating_sub(survived);
        let end = number(TIME).saturating_add(HOUR).saturating_add(window);
        let (waiting, never) = if end > now { (left, 0) } else { (0, left) };
        for (sum, more) in [
            (&mut self.strangers, strangers),
            (&mut self.came_back, came_back),
            (&mut self.survived, survived),
            (&mut self.waiting, waiting),
            (&mut self.never, never),
            (&mut self.refused, number(REFUSED)),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (class, count) in row.counters(DELAYS).unwrap_or_default() {
            let most = class.parse().unwrap_or(UNBOUNDED);
            let sum = self.delays.entry(most).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Those of all rows.
    #[must_use]
    pub fn of(rows: &[Dict], window: u64, now: u64) -> Self {
        let mut effect = Self::default();
        for row in rows {
            effect.add(row, window, now);
        }
        effect
    }

    /// The counters by their keys in JSON, without the delays.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("strangers", self.strangers),
            ("came_back", self.came_back),
            ("never", self.never),
            ("waiting", self.waiting),
            ("survived", self.survived),
            ("refused", self.refused),
        ]
        .into_iter()
    }

    /// How many came back, by how long that took at most, shortest first; `None` for no bound.
    pub fn delays(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bound = |most| (most != UNBOUNDED).then_some(most);
        self.delays
            .iter()
            .map(move |(most, count)| (bound(*most), *count))
    }

    /// The share of those that never came back among those that are decided, in percent.
    #[must_use]
    pub fn share_of_never(&self) -> u64 {
        percent(self.never, self.strangers.saturating_sub(self.waiting))
    }

    /// Within which time half of those that came back did so.
    fn half(&self) -> Option<String> {
        let mut sum = 0_u64;
        let (most, _) = self.delays().find(|(_, count)| {
            sum = sum.saturating_add(*count);
            sum.saturating_mul(2) >= self.came_back
        })?;
        Some(match most {
            Some(most) => format!("half of them within {}", bound(most)),
            None => "half of them after more than a day".to_owned(),
        })
    }

    /// The same in a few words, for a number of days; nothing of nobody.
    #[must_use]
    pub fn brief(&self, days: u64) -> Option<String> {
        let strangers = match self.strangers {
            0 => return None,
            1 => "1 stranger".to_owned(),
            number => format!("{} strangers", grouped(number)),
        };
        let came_back = grouped(self.came_back);
        let came_back = match self.never {
            0 => format!("{came_back} came back"),
            never => format!(
                "{} never came back ({} %), {came_back} did",
                grouped(never),
                self.share_of_never()
            ),
        };
        Some(format!("{strangers} in {days} days, {came_back}"))
    }

    /// The same as the subject of a mail.
    #[must_use]
    pub fn subject(&self, when: &str) -> String {
        let (strangers, came_back) = (grouped(self.strangers), grouped(self.came_back));
        format!("{when} strangers {strangers}, came back {came_back}")
    }

    /// The sentence, which begins with `when`: `Yesterday`, `Since …`.
    #[must_use]
    pub fn sentence(&self, when: &str) -> String {
        let strangers = match self.strangers {
            1 => "1 stranger".to_owned(),
            number => format!("{} strangers", grouped(number)),
        };
        let mut parts = Vec::new();
        if self.never > 0 {
            let never = grouped(self.never);
            parts.push(format!(
                "{never} never came back ({} %)",
                self.share_of_never()
            ));
        }
        let half = self.half().filter(|_| self.came_back > 0);
        match (self.came_back, self.never) {
            (0, 0) if self.strangers > 0 => parts.push("none has come back".to_owned()),
            (0, _) => {}
            (number, 0) => parts.push(format!("{} came back", grouped(number))),
            (number, _) => parts.push(format!("{} did", grouped(number))),
        }
        parts.extend(half);
        if self.survived > 0 {
            parts.push(format!("{} survived the tarpit", grouped(self.survived)));
        }
        if self.waiting > 0 {
            parts.push(format!("{} can still come back", grouped(self.waiting)));
        }
        let mut sentence = format!("{when} {strangers}");
        if !parts.is_empty() {
            sentence = format!("{sentence}: {}", parts.join(", "));
        }
        if self.refused > 0 {
            let mails = if self.refused == 1 { "mail" } else { "mails" };
            sentence = format!(
                "{sentence}; {} {mails} refused by lists",
                grouped(self.refused)
            );
        }
        sentence.push('.');
        sentence
    }
}

/// A share in whole percent, rounded to the nearest; 0 of nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> u64 {
    let rounded = u128::from(part)
        .saturating_mul(200)
        .saturating_add(u128::from(whole))
        .checked_div(u128::from(whole).saturating_mul(2))
        .unwrap_or_default();
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// A number with commas between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The bound of a class of delays, in its largest unit.
#[must_use]
pub fn bound(seconds: u64) -> String {
    let (count, one, many) = match seconds {
        0..3600 => (seconds / 60, "minute", "minutes"),
        3600..86_400 => (seconds / 3600, "hour", "hours"),
        86_400.. => (seconds / 86_400, "day", "days"),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
pub(in crate::ctl) mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::api::Row;

    /// An hour with this many strangers, those of them that came back within each class, and refusals.
    pub(in crate::ctl) fn hour(
        time: u64,
        strangers: u64,
        delays: &[(&str, u64)],
        refused: u64,
    ) -> Dict {
        let named = delays.iter();
        let named: HashMap<String, u64> = named
            .map(|(class, count)| ((*class).to_owned(), *count))
            .collect();
        Row::new()
            .with(TIME, time)
            .with(STRANGERS, strangers)
            .with(CAME_BACK, named.values().sum::<u64>())
            .with(DELAYS, named)
            .with(REFUSED, refused)
            .build()
    }

    const DAY: u64 = 24 * HOUR;

    #[test]
    fn a_period_is_one_sentence() {
        let old = |strangers, delays: &[_], refused| vec![hour(0, strangers, delays, refused)];
        let cases = [
            (vec![], "Yesterday 0 strangers."),
            (
                old(1234, &[("300", 60), ("900", 50), ("more", 24)], 12),
                "Yesterday 1,234 strangers: 1,100 never came back (89 %), 134 did, half of them within 15 minutes; \
                 12 mails refused by lists.",
            ),
            (
                old(2, &[("more", 2)], 1),
                "Yesterday 2 strangers: 2 came back, half of them after more than a day; 1 mail refused by lists.",
            ),
            (
                old(1, &[], 0),
                "Yesterday 1 stranger: 1 never came back (100 %).",
            ),
            (
                vec![hour(2 * DAY, 5, &[("7200", 1)], 0)],
                "Yesterday 5 strangers: 1 came back, half of them within 2 hours, 4 can still come back.",
            ),
            (
                vec![hour(2 * DAY, 5, &[], 0)],
                "Yesterday 5 strangers: none has come back, 5 can still come back.",
            ),
            (
                vec![hour(0, 9, &[("300", 1)], 0), hour(2 * DAY, 5, &[], 0)],
                "Yesterday 14 strangers: 8 never came back (89 %), 1 did, half of them within 5 minutes, \
                 5 can still come back.",
            ),
        ];
        for (rows, want) in cases {
            let effect = Effect::of(&rows, 2 * DAY, 3 * DAY);
            assert_eq!(effect.sentence("Yesterday"), want);
        }
    }

    #[test]
    fn a_few_words_are_enough_for_status() {
        let brief = |row: Dict| Effect::of(&[row], 2 * DAY, 3 * DAY).brief(7);
        let cases = [
            (hour(0, 0, &[], 5), None),
            (
                hour(0, 1234, &[("300", 134)], 0),
                Some("1,234 strangers in 7 days, 1,100 never came back (89 %), 134 did"),
            ),
            (
                hour(2 * DAY, 1, &[], 0),
                Some("1 stranger in 7 days, 0 came back"),
            ),
        ];
        for (row, want) in cases {
            assert_eq!(brief(row).as_deref(), want);
        }
    }

    #[test]
    fn an_hour_is_decided_when_the_window_of_its_last_second_is_over() {
        let rows = [hour(0, 1, &[], 0)];
        let at = |now| Effect::of(&rows, 2 * DAY, now);
        assert_eq!(at(HOUR + 2 * DAY - 1).waiting, 1);
        assert_eq!(at(HOUR + 2 * DAY).never, 1);
    }

    #[test]
    fn a_client_that_survives_the_tarpit_has_not_stayed_away() {
        let mut row = hour(0, 5, &[("300", 1)], 0);
        let reasons = HashMap::from([(SURVIVED.to_owned(), 3_u64)]);
        row.extend(Row::new().with(REASONS, reasons).build());
        let effect = Effect::of(&[row], 2 * DAY, 9 * DAY);
        assert_eq!((effect.survived, effect.never), (3, 1));
        let sentence = effect.sentence("Today");
        assert!(sentence.contains("3 survived the tarpit"), "{sentence}");
    }

    #[test]
    fn numbers_are_readable() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, want) in cases {
            assert_eq!(grouped(number), want);
        }
        let cases = [(0, 0, 0), (1, 3, 33), (2, 3, 67), (3, 3, 100), (1, 200, 1)];
        for (part, whole, want) in cases {
            assert_eq!(percent(part, whole), want, "{part} of {whole}");
        }
        let cases = [
            (300, "5 minutes"),
            (3600, "1 hour"),
            (21_600, "6 hours"),
            (86_400, "1 day"),
        ];
        for (seconds, want) in cases {
            assert_eq!(bound(seconds), want);
        }
    }
}

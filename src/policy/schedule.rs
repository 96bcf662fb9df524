//! When a rule applies: minutes, hours, days, months and days of the week.
//!
//! # The form
//!
//! ```text
//! schedule = minute hour day month weekday   ; separated by blanks; all five must hold
//! field    = item *( "," item )
//! item     = "*" / number / number "-" number; "*" and ranges may have a step: "/" number
//! ```
//!
//! Days of the week count from Sunday, which is 0 and 7. Unlike in crontab(5), day and day of the week must both hold.

/// A point in local time, as far as a schedule is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalTime {
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 1 to 31.
    pub day: u8,
    /// 1 to 12.
    pub month: u8,
    /// 0 (Sunday) to 6.
    pub weekday: u8,
}

/// Times at which a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// A bit for each value of each field.
    fields: [u64; 5],
}

/// Why a schedule means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "expected five fields (minute, hour, day, month, day of the week) separated by blanks, found {0}"
    )]
    Fields(usize),
    /// Not an item.
    #[error("{0:?} is not *, a number or a range")]
    Item(String),
    /// A number that the field does not have.
    #[error("{0:?}: the {1} is a number from {2} to {3}")]
    Number(String, &'static str, u8, u8),
    /// `5-3`.
    #[error("{0:?}: the range ends before it begins")]
    Range(String),
    /// `*/0`, or a step of a single number.
    #[error("{0:?}: a step follows * or a range, and is a number from 1")]
    Step(String),
}

/// Name, least and greatest value of each field.
const FIELDS: [(&str, u8, u8); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
];

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] says why the text has no meaning.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let given: Vec<&str> = text.split_ascii_whitespace().collect();
        if given.len() != FIELDS.len() {
            return Err(ScheduleError::Fields(given.len()));
        }
        let mut fields = [0; 5];
        for ((bits, text), (name, least, greatest)) in fields.iter_mut().zip(given).zip(FIELDS) {
            for item in text.split(',') {
                *bits |= values(item, name, least, greatest)?;
            }
        }
        let [.., weekdays] = &mut fields;
        // The seventh day is Sunday again.
        *weekdays = (*weekdays | (*weekdays >> 7)) & 0x7f;
        Ok(Self { fields })
    }

    /// Whether it holds at that time.
    #[must_use]
    pub fn contains(&self, time: LocalTime) -> bool {
        let LocalTime {
            minute,
            hour,
            day,
            month,
            weekday,
        } = time;
        let values = [minute, hour, day, month, weekday];
        let mut both = self.fields.iter().zip(values);
        both.all(|(bits, value)| bits & bit(value) != 0)
    }
}

/// A bit for each value of an item.
fn values(item: &str, name: &'static str, least: u8, greatest: u8) -> Result<u64, ScheduleError> {
    let number = |text: &str| {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ScheduleError::Item(item.to_owned()));
        }
        let number = text.parse().ok();
        number
            .filter(|number| (least..=greatest).contains(number))
            .ok_or_else(|| ScheduleError::Number(item.to_owned(), name, least, greatest))
    };
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let (begin, end) = match range.split_once('-') {
        Some((begin, end)) => (number(begin)?, number(end)?),
        // Sunday is not taken twice: a step would come upon it a second time.
        None if range == "*" => (least, if greatest == 7 { 6 } else { greatest }),
        None if step.is_some() => return Err(ScheduleError::Step(item.to_owned())),
        None => (number(range)?, number(range)?),
    };
    if begin > end {
        return Err(ScheduleError::Range(item.to_owned()));
    }
    let step = match step {
        None => 1,
        Some(step) => Some(step)
            .filter(|step| step.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|step| step.parse().ok())
            .filter(|step| *step > 0)
            .ok_or_else(|| ScheduleError::Step(item.to_owned()))?,
    };
    let taken = (begin..=end).step_by(step);
    Ok(taken.fold(0, |bits, value| bits | bit(value)))
}

/// The bit of a value.
fn bit(value: u8) -> u64 {
    1_u64.checked_shl(u32::from(value)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minute, hour, day, month, weekday.
    fn time([minute, hour, day, month, weekday]: [u8; 5]) -> LocalTime {
        LocalTime {
            minute,
            hour,
            day,
            month,
            weekday,
        }
    }

    #[test]
    fn a_schedule_holds_when_all_its_fields_do() {
        for (text, at, want) in [
            ("* * * * *", [0, 0, 1, 1, 0], true),
            ("* * * * *", [59, 23, 31, 12, 6], true),
            ("* 9-17 * * 1-5", [30, 9, 1, 6, 1], true),
            ("* 9-17 * * 1-5", [59, 17, 1, 6, 5], true),
            ("* 9-17 * * 1-5", [0, 18, 1, 6, 5], false),
            ("* 9-17 * * 1-5", [0, 9, 1, 6, 0], false),
            ("0,30 * * * *", [30, 1, 1, 1, 1], true),
            ("0,30 * * * *", [31, 1, 1, 1, 1], false),
            ("*/7 * * * *", [56, 1, 1, 1, 1], true),
            ("*/7 * * * *", [57, 1, 1, 1, 1], false),
            ("10-20/5 * * * *", [15, 1, 1, 1, 1], true),
            ("10-20/5 * * * *", [25, 1, 1, 1, 1], false),
            ("* * 13 * 5", [0, 0, 13, 1, 5], true),
            ("* * 13 * 5", [0, 0, 12, 1, 5], false),
            ("* * 13 * 5", [0, 0, 13, 1, 4], false),
            ("* * * * 7", [0, 0, 1, 1, 0], true),
            ("* * * * 5-7", [0, 0, 1, 1, 0], true),
            ("* * * * 5-7", [0, 0, 1, 1, 1], false),
            ("* * * * */2", [0, 0, 1, 1, 6], true),
            ("* * * * */7", [0, 0, 1, 1, 1], false),
            ("* * * 2 *", [0, 0, 1, 2, 1], true),
        ] {
            let schedule = Schedule::parse(text).unwrap();
            assert_eq!(schedule.contains(time(at)), want, "{text} {at:?}");
        }
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        let item = |text: &str| ScheduleError::Item(text.to_owned());
        let number = |text: &str, name, least, greatest| {
            ScheduleError::Number(text.to_owned(), name, least, greatest)
        };
        for (text, want) in [
            ("", ScheduleError::Fields(0)),
            ("* * * *", ScheduleError::Fields(4)),
            ("* * * * * *", ScheduleError::Fields(6)),
            ("a * * * *", item("a")),
            ("1, * * * *", item("")),
            ("-1 * * * *", item("-1")),
            ("60 * * * *", number("60", "minute", 0, 59)),
            ("* 24 * * *", number("24", "hour", 0, 23)),
            ("* * 0 * *", number("0", "day", 1, 31)),
            ("* * * 13 *", number("13", "month", 1, 12)),
            ("* * * * 8", number("8", "day of the week", 0, 7)),
            ("999 * * * *", number("999", "minute", 0, 59)),
            ("5-3 * * * *", ScheduleError::Range("5-3".to_owned())),
            ("*/0 * * * *", ScheduleError::Step("*/0".to_owned())),
            ("*/x * * * *", ScheduleError::Step("*/x".to_owned())),
            ("*/+5 * * * *", ScheduleError::Step("*/+5".to_owned())),
            ("5/10 * * * *", ScheduleError::Step("5/10".to_owned())),
        ] {
            assert_eq!(Schedule::parse(text), Err(want), "{text}");
        }
    }
}

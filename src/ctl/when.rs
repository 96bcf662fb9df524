//! Parsing of times and spans.
//!
//! | argument | means |
//! | --- | --- |
//! | `2h`, `3d`, `1h 30min`, `2 weeks` | that long ago |
//! | `today`, `yesterday` | midnight, of the local time |
//! | `2026-11-22`, `2026-11-22 08:00` | that, of the local time |
//! | `@1795321997` | seconds since the epoch |
//!
//! A lifetime is a span, or `forever`.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::{ToSpan, Zoned};

use crate::types::{Span, Timestamp};

/// A time, possibly relative to now.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// This span before now.
    Ago(jiff::Span),
    /// The midnight this number of days before today.
    Midnight(u8),
    /// A local date and time.
    Civil(DateTime),
    /// Absolute.
    At(Timestamp),
}

/// The lifetime of an entry.
#[derive(Debug, Clone, Copy)]
pub enum Lifetime {
    /// This span.
    For(jiff::Span),
    /// Unlimited.
    Forever,
}

/// Why a text is not a time or span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// None of the forms.
    #[error("write 2h, 3d, today, yesterday, 2026-11-22 or \"2026-11-22 08:00\"")]
    Time,
    /// Not a span.
    #[error("write a number and a unit (90min, 12h, 30d, 2w), or forever")]
    Span,
    /// Out of range, or zero.
    #[error("this date or time does not exist")]
    Beyond,
    /// In the future.
    #[error("this is in the future")]
    Ahead,
    /// An end that is not after its begin.
    #[error("the end is not after the begin")]
    Reversed,
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        match text {
            "today" => return Ok(Self::Midnight(0)),
            "yesterday" => return Ok(Self::Midnight(1)),
            _ => {}
        }
        if let Some(seconds) = text.strip_prefix('@') {
            let seconds = seconds.parse().map_err(|_| WhenError::Time)?;
            return Ok(Self::At(Timestamp::from_seconds(seconds)));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Civil(time));
        }
        let ago = text.trim_end_matches("ago").trim_end();
        positive(ago).map(Self::Ago).ok_or(WhenError::Time)
    }
}

impl When {
    /// The time relative to `now`.
    ///
    /// # Errors
    ///
    /// [`WhenError::Beyond`] outside of the calendar.
    pub fn resolve(self, now: &Zoned) -> Result<Timestamp, WhenError> {
        let zone = now.time_zone();
        let then = match self {
            Self::At(time) => return Ok(time),
            Self::Ago(span) => now.checked_sub(span),
            Self::Midnight(days) => now
                .checked_sub(i64::from(days).days())
                .and_then(|then| then.start_of_day()),
            Self::Civil(time) => time.to_zoned(zone.clone()),
        };
        let seconds = then.map_err(|_| WhenError::Beyond)?.timestamp().as_second();
        let seconds = u64::try_from(seconds).map_err(|_| WhenError::Beyond)?;
        Ok(Timestamp::from_seconds(seconds))
    }
}

impl FromStr for Lifetime {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        positive(text).map(Self::For).ok_or(WhenError::Span)
    }
}

impl Lifetime {
    /// The span from `now` on, `None` if unlimited: months and days are those of the calendar.
    ///
    /// # Errors
    ///
    /// [`WhenError::Beyond`] outside of the calendar, and for less than a second.
    pub fn resolve(self, now: &Zoned) -> Result<Option<Span>, WhenError> {
        let span = match self {
            Self::Forever => return Ok(None),
            Self::For(span) => span,
        };
        let end = now.checked_add(span).map_err(|_| WhenError::Beyond)?;
        let seconds = end.duration_since(now).as_secs();
        match u64::try_from(seconds) {
            Ok(seconds @ 1..) => Ok(Some(Span::from_seconds(seconds))),
            Ok(0) | Err(_) => Err(WhenError::Beyond),
        }
    }
}

/// A span greater than zero.
fn positive(text: &str) -> Option<jiff::Span> {
    let span: jiff::Span = text.parse().ok()?;
    span.is_positive().then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T04:33:17+01:00[Europe/Berlin]".parse().unwrap()
    }

    #[test]
    fn times_are_understood() {
        let cases = [
            ("2h", "2026-11-22T01:33:17Z"),
            ("1h 30min", "2026-11-22T02:03:17Z"),
            ("3d", "2026-11-19T03:33:17Z"),
            ("2 weeks ago", "2026-11-08T03:33:17Z"),
            // Across the end of summer time: the same time of day.
            ("30d", "2026-10-23T02:33:17Z"),
            ("today", "2026-11-21T23:00:00Z"),
            ("yesterday", "2026-11-20T23:00:00Z"),
            ("2026-11-22", "2026-11-21T23:00:00Z"),
            ("2026-11-22 08:00", "2026-11-22T07:00:00Z"),
            ("2026-11-22T08:00:05", "2026-11-22T07:00:05Z"),
            ("@60", "1970-01-01T00:01:00Z"),
        ];
        for (typed, want) in cases {
            let got = typed.parse::<When>().unwrap().resolve(&now()).unwrap();
            let want: jiff::Timestamp = want.parse().unwrap();
            assert_eq!(got.seconds(), want.as_second().unsigned_abs(), "{typed}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for typed in ["", "x", "5", "-2h", "0s", "tomorrow", "2026-13-01", "@x"] {
            assert_eq!(
                typed.parse::<When>().unwrap_err(),
                WhenError::Time,
                "{typed}"
            );
        }
        for typed in ["", "5", "-2h", "0d", "for ever"] {
            let error = typed.parse::<Lifetime>().unwrap_err();
            assert_eq!(error, WhenError::Span, "{typed}");
        }
        let ancient: When = "200y".parse().unwrap();
        assert_eq!(ancient.resolve(&now()), Err(WhenError::Beyond));
        let forever: Lifetime = "19000y".parse().unwrap();
        assert_eq!(forever.resolve(&now()), Err(WhenError::Beyond));
    }

    #[test]
    fn lifetimes_are_understood() {
        let cases = [
            ("90min", 5400),
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("1mo", 2_592_000),
            ("forever", 0),
        ];
        for (typed, want) in cases {
            let got = typed.parse::<Lifetime>().unwrap().resolve(&now()).unwrap();
            assert_eq!(got.map_or(0, Span::seconds), want, "{typed}");
        }
    }
}

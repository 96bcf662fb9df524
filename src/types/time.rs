//! Points in time and distances between them, in whole seconds.
//!
//! Greylisting needs no higher resolution, and records stay small. All arithmetic saturates, because a wrong clock must
//! not crash the daemon.

use std::fmt;

use jiff::Zoned;
use jiff::tz::TimeZone;

/// A point in time: seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// A distance in time: seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Timestamp {
    /// The time `seconds` after the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// The span since `earlier`; zero if that is in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The time `span` later.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The time `span` earlier, but not before the epoch.
    #[must_use]
    pub const fn before(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// The same with the date and the time of day in a time zone; `None` after the year 9999.
    #[must_use]
    pub fn zoned(self, zone: &TimeZone) -> Option<Zoned> {
        let seconds = i64::try_from(self.0).ok()?;
        let instant = jiff::Timestamp::from_second(seconds).ok()?;
        Some(instant.to_zoned(zone.clone()))
    }
}

impl Span {
    /// Zero seconds.
    pub const ZERO: Self = Self(0);

    /// A number of seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// A number of hours.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        Self(hours.saturating_mul(3600))
    }

    /// A number of days of 24 hours.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self::from_hours(days.saturating_mul(24))
    }

    /// The number of seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// This span minus `spent`; zero if that is longer.
    #[must_use]
    pub const fn less(self, spent: Self) -> Self {
        Self(self.0.saturating_sub(spent.0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ahead_is_no_time_ago() {
        let now = Timestamp::from_seconds(100);
        assert_eq!(now.since(Timestamp::from_seconds(101)), Span::ZERO);
        assert_eq!(now.since(Timestamp::from_seconds(40)).seconds(), 60);
    }

    #[test]
    fn arithmetic_saturates() {
        let last = Timestamp::from_seconds(u64::MAX);
        assert_eq!(last.after(Span::from_days(u64::MAX)), last);
        assert_eq!(last.before(Span::from_days(u64::MAX)).seconds(), 0);
        assert_eq!(
            Span::from_seconds(3).less(Span::from_seconds(9)),
            Span::ZERO
        );
    }
}

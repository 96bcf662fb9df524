//! Output settings: style and time.

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::render::{self, TerminalStyle};
use crate::types::{Span, Timestamp};

/// Output settings: style and time.
#[derive(Debug, Clone)]
pub struct View {
    /// As text in this style …
    pub terminal: TerminalStyle,
    /// … or JSON.
    pub json: bool,
    /// The time.
    pub now: Zoned,
}

impl View {
    /// The time in seconds.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        let seconds = self.now.timestamp().as_second();
        Timestamp::from_seconds(u64::try_from(seconds).unwrap_or_default())
    }

    /// The time zone that times are shown in.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        self.now.time_zone()
    }

    /// The date and time of a timestamp.
    #[must_use]
    pub fn local(&self, seconds: u64) -> String {
        render::local_time(Timestamp::from_seconds(seconds), self.zone())
    }

    /// A timestamp relative to now: `5min ago`, `in 5min`.
    #[must_use]
    pub fn ago(&self, seconds: u64) -> String {
        render::ago(self.time(), Timestamp::from_seconds(seconds))
    }

    /// The distance of a timestamp from now in either direction; empty for none.
    #[must_use]
    pub fn apart_if_ever(&self, seconds: Option<u64>) -> String {
        let Some(seconds) = seconds.filter(|seconds| *seconds > 0) else {
            return String::new();
        };
        let apart = seconds.abs_diff(self.time().seconds());
        render::span(Span::from_seconds(apart))
    }

    /// For tests: a terminal of 80 columns without colours, in Berlin.
    #[cfg(test)]
    pub(super) fn of_80_columns() -> Self {
        Self {
            terminal: TerminalStyle {
                width: Some(80),
                ..TerminalStyle::plain()
            },
            json: false,
            now: "2026-11-22T04:33:17+01:00[Europe/Berlin]"
                .parse()
                .unwrap_or_default(),
        }
    }

    /// For tests: the same as JSON.
    #[cfg(test)]
    pub(super) fn of_json() -> Self {
        Self {
            json: true,
            ..Self::of_80_columns()
        }
    }
}

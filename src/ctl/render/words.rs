//! Times and spans in words.

use std::cmp::Ordering;

use jiff::tz::TimeZone;

use super::{Plain, USUAL_WIDTH, width};
use crate::types::{Span, Timestamp};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span in its two largest units: `5min 3s`, `2h 10min`, `3 days`.
#[must_use]
pub fn span(span: Span) -> String {
    let seconds = span.seconds();
    let (large, small) = match seconds {
        0..MINUTE => return format!("{seconds}s"),
        MINUTE..HOUR => ((MINUTE, "min"), (1, "s")),
        HOUR..DAY => ((HOUR, "h"), (MINUTE, "min")),
        DAY.. => ((DAY, " days"), (HOUR, "h")),
    };
    let count = seconds / large.0;
    let rest = seconds % large.0 / small.0;
    let unit = if large.0 == DAY && count == 1 {
        " day"
    } else {
        large.1
    };
    match rest {
        0 => format!("{count}{unit}"),
        _ => format!("{count}{unit} {rest}{}", small.1),
    }
}

/// Prose in lines of [`USUAL_WIDTH`] columns; all but the first begin with `indent`.
#[must_use]
pub fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in Plain(text).to_string().split(' ') {
        if !line.is_empty() && width(&line).saturating_add(width(word)) > USUAL_WIDTH {
            out.extend([line.trim_end(), "\n"]);
            indent.clone_into(&mut line);
        }
        line.push_str(word);
        line.push(' ');
    }
    out.extend([line.trim_end(), "\n"]);
    out
}

/// How long ago `then` was, or how far ahead it is.
#[must_use]
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    match then.cmp(&now) {
        Ordering::Less => format!("{} ago", span(now.since(then))),
        Ordering::Equal => "just now".to_owned(),
        Ordering::Greater => format!("in {}", span(then.since(now))),
    }
}

/// A time in a time zone, in the manner of systemd: `Sun 2026-11-22 04:33:17 UTC`.
///
/// Seconds since the epoch where no calendar reaches that far.
#[must_use]
pub fn local_time(time: Timestamp, zone: &TimeZone) -> String {
    let seconds = time.seconds();
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || format!("@{seconds}"),
            |instant| {
                let zoned = instant.to_zoned(zone.clone());
                zoned.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1min"),
            (303, "5min 3s"),
            (HOUR - 1, "59min 59s"),
            (HOUR, "1h"),
            (7800, "2h 10min"),
            (DAY - 1, "23h 59min"),
            (DAY, "1 day"),
            (DAY + 4 * HOUR + 59, "1 day 4h"),
            (3 * DAY + 59 * MINUTE, "3 days"),
            (35 * DAY, "35 days"),
        ];
        for (seconds, want) in cases {
            assert_eq!(span(Span::from_seconds(seconds)), want);
        }
    }

    #[test]
    fn prose_has_no_line_that_is_wider_than_the_terminal() {
        let text = ["word"; 40].join(" ");
        let lines = wrapped(&text, "  ");
        assert_eq!(
            lines.lines().map(str::len).collect::<Vec<_>>(),
            [79, 76, 46]
        );
        assert_eq!(lines.split_whitespace().count(), 40);
        assert_eq!(wrapped("a\u{1b}[2J b", ""), "a\\x1b[2J b\n");
        assert_eq!(wrapped("", ""), "\n");
    }

    #[test]
    fn what_is_ahead_is_not_ago() {
        let at = Timestamp::from_seconds;
        assert_eq!(ago(at(1303), at(1000)), "5min 3s ago");
        assert_eq!(ago(at(1000), at(1000)), "just now");
        assert_eq!(ago(at(1000), at(1020)), "in 20s");
    }

    #[test]
    fn times_are_local() {
        let time = Timestamp::from_seconds(1_795_321_997);
        let tokyo = TimeZone::fixed(jiff::tz::offset(9));
        assert_eq!(
            local_time(time, &TimeZone::UTC),
            "Sun 2026-11-22 04:33:17 UTC"
        );
        assert_eq!(local_time(time, &tokyo), "Sun 2026-11-22 13:33:17 +09");
        let far = Timestamp::from_seconds(u64::MAX);
        assert_eq!(local_time(far, &tokyo), "@18446744073709551615");
    }
}

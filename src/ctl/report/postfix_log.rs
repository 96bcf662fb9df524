//! What Postfix itself blocked, from its log.
//!
//! ```text
//! Nov 22 04:33:17 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 Service unavailable;
//!     Client host [192.0.2.7] blocked using bl.example.org; …
//! ```
//!
//! Lines are those of smtpd and postscreen that reject and name a list. A line whose time can be read counts if that is in
//! the period, any other counts. What follows `blocked using` was named by the administrator; all else in the line may be
//! the client's: only the reply is looked at, which comes before the addresses, and only what looks like a zone.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use jiff::Zoned;
use jiff::civil::DateTime;

/// The words before the name of the list.
const BLOCKED: &str = "] blocked using ";

/// The longest line that is looked at, in bytes; the rest of a longer one is ignored.
const MOST_BYTES: u64 = 64 << 10;

/// How often each list blocked a client in the period, the most first.
///
/// # Errors
///
/// When the log cannot be read.
pub fn count(
    mut log: impl BufRead,
    (from, to): (u64, u64),
    now: &Zoned,
) -> io::Result<Vec<(String, u64)>> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut log, MOST_BYTES).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let Some(list) = list(&text) else { continue };
        if time(&text, now).is_none_or(|time| (from..to).contains(&time)) {
            let sum = counts.entry(list.to_owned()).or_default();
            *sum = sum.saturating_add(1);
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    Ok(counts)
}

/// The list that a line says has blocked a client.
fn list(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once(": NOQUEUE: reject: RCPT from ")?;
    let is_postfix = ["/smtpd[", "/postscreen["]
        .iter()
        .any(|program| head.contains(program));
    // The client's name is a host name, and nothing of its own comes before the reply.
    let (_, reply) = rest.split_once("]:")?;
    // Addresses come after the reply, and may have anything in them.
    let reply = reply.split("; from=<").next()?;
    let (_, list) = reply.split_once(BLOCKED)?;
    let is_zone = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let end = list.find(|c| !is_zone(c)).unwrap_or(list.len());
    let list = list.get(..end)?;
    (is_postfix && !list.is_empty()).then_some(list)
}

/// The time of a line: ISO 8601, or syslog's without a year, which is the last such time before now.
fn time(line: &str, now: &Zoned) -> Option<u64> {
    let first = line.split(' ').next()?;
    if let Ok(time) = first.parse::<jiff::Timestamp>() {
        return u64::try_from(time.as_second()).ok();
    }
    let stamp = line.get(..15)?;
    let in_year = |year: i16| {
        let text = format!("{year} {stamp}");
        let time = DateTime::strptime("%Y %b %e %H:%M:%S", text).ok()?;
        time.to_zoned(now.time_zone().clone()).ok()
    };
    let this = in_year(now.year());
    let time = match this {
        Some(time) if time <= *now => time,
        Some(_) | None => in_year(now.year().saturating_sub(1))?,
    };
    u64::try_from(time.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T04:33:17+00:00[UTC]".parse().unwrap()
    }

    fn counted(log: &str) -> Vec<(String, u64)> {
        // 2026-11-21, the whole day.
        let day = (1_795_219_200, 1_795_305_600);
        count(log.as_bytes(), day, &now()).unwrap()
    }

    fn line(time: &str, rest: &str) -> String {
        format!("{time} mx postfix/smtpd[7]: NOQUEUE: reject: RCPT from {rest}\n")
    }

    const REPLY: &str = "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using";

    #[test]
    fn lists_are_counted_within_the_period() {
        let reply =
            |list: &str| format!("x.example[192.0.2.7]: {REPLY} {list}; from=<a@b> to=<c@d>");
        let log = [
            line("2026-11-21T00:00:00.123456+00:00", &reply("bl.example.org")),
            line("Nov 21 23:59:59", &reply("bl.example.org")),
            line("2026-11-22T00:00:00+00:00", &reply("bl.example.org")),
            line("Nov 20 12:00:00", &reply("bl.example.org")),
            // Of a year ago, for it is ahead of now.
            line("Nov 23 12:00:00", &reply("bl.example.org")),
            line("what", &reply("zen.example.net")),
        ];
        let want = [
            ("bl.example.org".to_owned(), 2),
            ("zen.example.net".to_owned(), 1),
        ];
        assert_eq!(counted(&log.concat()), want);
    }

    #[test]
    fn what_a_client_has_written_is_not_a_list() {
        let hostile = [
            format!("x.example[192.0.2.7]: 450 4.2.0 Greylisted; from=<a{REPLY} evil.example;@b>"),
            format!("x[192.0.2.7]: {REPLY} <script>alert(1)</script>; x"),
            format!("x[192.0.2.7]: {REPLY} "),
        ];
        for rest in hostile {
            assert_eq!(counted(&line("Nov 21 12:00:00", &rest)), [], "{rest}");
        }
        let other = "Nov 21 12:00:00 mx evil[7]: NOQUEUE: reject: RCPT from x[192.0.2.7]: ";
        assert_eq!(counted(&format!("{other}{REPLY} a.example;\n")), []);
        assert_eq!(counted("\u{0}\u{ff}\n"), []);
    }
}

//! One line of Postfix's log, as syslog, rsyslog or `journalctl -o short-iso` writes it.
//!
//! ```text
//! Nov 27 02:00:00 mx postfix/smtpd[99]: 4ABC: client=NAME[ADDRESS][, sasl_method=…]
//! 2026-11-27T02:00:00.123+01:00 mx postfix/smtpd[99]: NOQUEUE: reject: RCPT from NAME[ADDRESS]: 450 4.2.0 …; from=<…> to=<…> proto=… helo=<…>
//! 2026-11-27T02:00:00+0100 mx postfix/qmgr[9]: 4ABC: from=<…>, size=…, nrcpt=…
//! … mx postfix/virtual[9]: 4ABC: to=<…>[, orig_to=<…>], relay=…, status=sent (…)
//! … mx postfix/qmgr[9]: 4ABC: removed
//! ```
//!
//! Postfix replaces bytes that are not printable by `?`. An address may have any others in it, so fields are found from
//! the side that Postfix writes itself. Everything else is skipped: a line that cannot be read is no error.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::types::{Span, Timestamp};

/// The names of months in syslog.
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The services for submission in Debian's and Postfix's own master.cf.
const SUBMISSION: [&[u8]; 4] = [b"submission", b"submissions", b"smtps", b"587"];

/// How far ahead of now the time of a line without a year may be: clocks differ.
const AHEAD: Span = Span::from_days(1);

/// A line that says something about a mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// When it was written.
    pub(super) time: Timestamp,
    /// The queue id; `None` for `NOQUEUE`.
    pub(super) queue_id: Option<&'a [u8]>,
    /// What it says.
    pub(super) event: Event<'a>,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A client has begun a mail.
    Client(Client<'a>),
    /// The sender.
    From(&'a [u8]),
    /// A recipient, as the client has given it, and whether the mail was delivered to it.
    To(&'a [u8], bool),
    /// The mail has left the queue.
    Removed,
    /// A recipient was refused.
    Reject(Reject<'a>),
}

/// Who has sent a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client<'a> {
    /// The verified name.
    pub(super) name: &'a [u8],
    /// The address.
    pub(super) address: &'a [u8],
    /// Whether it is a user of this site.
    pub(super) standing: Standing,
}

/// Whether a client is a user of this site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// On the port for mail from elsewhere.
    Stranger,
    /// On a port for submission.
    Submission,
    /// Authenticated with SASL.
    Authenticated,
}

/// A refused recipient.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reject<'a> {
    /// Who.
    pub(super) client: Client<'a>,
    /// What the client has called itself.
    pub(super) helo: &'a [u8],
    /// The sender.
    pub(super) sender: &'a [u8],
    /// The recipient.
    pub(super) recipient: &'a [u8],
    /// The reply, from its code on.
    pub(super) reply: &'a [u8],
}

/// Reads the times of lines.
#[derive(Debug)]
pub(super) struct Times {
    zone: TimeZone,
    now: Timestamp,
    /// The hour of the last line without a year, `Nov 27 02`, and when it began.
    hour: (Vec<u8>, Option<Timestamp>),
}

impl Times {
    /// Times in this zone, of a log that was written up to now.
    pub(super) const fn new(zone: TimeZone, now: Timestamp) -> Self {
        Self {
            zone,
            now,
            hour: (Vec::new(), None),
        }
    }

    /// The time of a line, and what comes after it.
    fn read<'a>(&mut self, line: &'a [u8]) -> Option<(Timestamp, &'a [u8])> {
        if line.first()?.is_ascii_digit() {
            let end = memchr::memchr(b' ', line)?;
            let (stamp, rest) = line.split_at_checked(end)?;
            return Some((with_year(stamp)?, rest.get(1..)?));
        }
        let (stamp, rest) = line.split_at_checked(15)?;
        let (hour, rest_of_hour) = stamp.split_at_checked(9)?;
        let [b':', m1, m2, b':', s1, s2] = rest_of_hour else {
            return None;
        };
        let within = number(&[*m1, *m2])?
            .checked_mul(60)?
            .checked_add(number(&[*s1, *s2])?)?;
        if self.hour.0 != hour {
            self.hour = (hour.to_vec(), self.without_year(hour));
        }
        let time = self.hour.1?.after(Span::from_seconds(within));
        Some((time, rest.strip_prefix(b" ")?))
    }

    /// The latest hour of this name that is not to come. A log has no line that is a year old.
    fn without_year(&self, hour: &[u8]) -> Option<Timestamp> {
        let (month, rest) = hour.split_at_checked(3)?;
        let month = MONTHS.iter().position(|name| *name == month)?;
        let month = i8::try_from(month.checked_add(1)?).ok()?;
        let [b' ', d1, d2, b' ', h1, h2] = rest else {
            return None;
        };
        let day = number(if *d1 == b' ' {
            std::slice::from_ref(d2)
        } else {
            rest.get(1..3)?
        })?;
        let day = i8::try_from(day).ok()?;
        let hour = i8::try_from(number(&[*h1, *h2])?).ok()?;
        let latest = self.now.after(AHEAD);
        let year = latest.zoned(&self.zone)?.year();
        // The 29th of February is not in every year.
        (0..4).find_map(|back| {
            let year = year.checked_sub(back)?;
            let time = DateTime::new(year, month, day, hour, 0, 0, 0).ok()?;
            let time = time.to_zoned(self.zone.clone()).ok()?;
            let seconds = u64::try_from(time.timestamp().as_second()).ok()?;
            let time = Timestamp::from_seconds(seconds);
            (time <= latest).then_some(time)
        })
    }
}

/// `2026-11-27T02:00:00`, maybe a fraction, and the offset from UTC: `Z`, `+01:00` or `+0100`.
fn with_year(stamp: &[u8]) -> Option<Timestamp> {
    let (date_time, mut rest) = stamp.split_at_checked(19)?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        mo1,
        mo2,
        b'-',
        d1,
        d2,
        b'T' | b't',
        time @ ..,
    ] = date_time
    else {
        return None;
    };
    let [h1, h2, b':', m1, m2, b':', s1, s2] = time else {
        return None;
    };
    let of = |digits: &[u8]| i64::try_from(number(digits)?).ok();
    let days = days(
        of(&[*y1, *y2, *y3, *y4])?,
        of(&[*mo1, *mo2])?,
        of(&[*d1, *d2])?,
    )?;
    let local = days
        .checked_mul(24)?
        .checked_add(of(&[*h1, *h2])?)?
        .checked_mul(60)?
        .checked_add(of(&[*m1, *m2])?)?
        .checked_mul(60)?
        .checked_add(of(&[*s1, *s2])?)?;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let end = fraction.iter().position(|byte| !byte.is_ascii_digit());
        rest = fraction.get(end?..)?;
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let minutes = of(&[*h1, *h2])?
                .checked_mul(60)?
                .checked_add(of(&[*m1, *m2])?)?;
            let seconds = minutes.checked_mul(60)?;
            if *sign == b'-' {
                seconds.checked_neg()?
            } else {
                seconds
            }
        }
        _ => return None,
    };
    let seconds = u64::try_from(local.checked_sub(offset)?).ok()?;
    Some(Timestamp::from_seconds(seconds))
}

/// Days since the epoch, in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

/// A decimal number of at most four digits.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Where `needle` is in `text`, the first time.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

/// What is before and after `needle`.
fn split<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (before, rest) = text.split_at_checked(find(text, needle)?)?;
    Some((before, rest.get(needle.len()..)?))
}

/// The same, the last time.
fn split_last<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (before, rest) = text.split_at_checked(memchr::memmem::rfind(text, needle)?)?;
    Some((before, rest.get(needle.len()..)?))
}

impl<'a> Line<'a> {
    /// Reads a line; `None` if it says nothing about a mail.
    pub(super) fn read(line: &'a [u8], times: &mut Times) -> Option<Self> {
        let line = line.trim_ascii_end();
        // Most lines of a log are not about mail: what is looked at first is cheap.
        let (tag, message) = split(line, b"]: ")?;
        let program = memchr::memrchr(b' ', tag)?;
        let tag = split(tag.get(program.saturating_add(1)..)?, b"[")?.0;
        let (services, program) = split_last(tag, b"/")?;
        let (id, message) = split(message, b": ")?;
        let is_id = !id.is_empty() && id.iter().all(u8::is_ascii_alphanumeric);
        let queue_id = (id != b"NOQUEUE").then_some(id);
        let event = match program {
            _ if !is_id => None,
            b"smtpd" => {
                let mut services = services.split(|byte| *byte == b'/');
                let is_submission = services.any(|service| SUBMISSION.contains(&service));
                of_smtpd(message, is_submission)
            }
            b"qmgr" => of_qmgr(message),
            b"cleanup" | b"pickup" | b"postscreen" | b"bounce" | b"postsuper" => None,
            _ => of_delivery(message),
        }?;
        let (time, _) = times.read(line)?;
        Some(Self {
            time,
            queue_id,
            event,
        })
    }
}

/// `NAME[ADDRESS]`, maybe with `:PORT`, and what comes after it.
fn client(text: &[u8], standing: Standing) -> Option<(Client<'_>, &[u8])> {
    let (name, rest) = split(text, b"[")?;
    let (address, rest) = split(rest, b"]")?;
    let client = Client {
        name,
        address,
        standing,
    };
    Some((client, rest))
}

fn of_smtpd(message: &[u8], is_submission: bool) -> Option<Event<'_>> {
    let standing = if is_submission {
        Standing::Submission
    } else {
        Standing::Stranger
    };
    if let Some(text) = message.strip_prefix(b"client=") {
        let (client, rest) = client(text, standing)?;
        let is_authenticated = find(rest, b", sasl_").is_some();
        let standing = if is_authenticated {
            Standing::Authenticated
        } else {
            standing
        };
        return Some(Event::Client(Client { standing, ..client }));
    }
    let text = message.strip_prefix(b"reject: RCPT from ")?;
    let (client, rest) = client(text, standing)?;
    let (_, rest) = split(rest, b": ")?;
    let (rest, helo) = split_last(rest, b" helo=<")?;
    let (rest, proto) = split_last(rest, b"> proto=")?;
    let (rest, recipient) = split_last(rest, b"> to=<")?;
    let (reply, sender) = split(rest, b"; from=<")?;
    let is_authenticated = find(proto, b" sasl_").is_some();
    Some(Event::Reject(Reject {
        client: if is_authenticated {
            Client {
                standing: Standing::Authenticated,
                ..client
            }
        } else {
            client
        },
        helo: split(helo, b">").map_or(helo, |(helo, _)| helo),
        sender,
        recipient,
        reply,
    }))
}

fn of_qmgr(message: &[u8]) -> Option<Event<'_>> {
    if message == b"removed" {
        return Some(Event::Removed);
    }
    let text = message.strip_prefix(b"from=<")?;
    let (sender, _) = split_last(text, b">, size=").or_else(|| split_last(text, b">, status="))?;
    Some(Event::From(sender))
}

fn of_delivery(message: &[u8]) -> Option<Event<'_>> {
    let text = message.strip_prefix(b"to=<")?;
    let (addresses, rest) = split(text, b">, relay=")?;
    let recipient = split(addresses, b">, orig_to=<").map_or(addresses, |(_, original)| original);
    let is_sent = find(rest, b", status=sent ").is_some();
    Some(Event::To(recipient, is_sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Friday, 27 November 2026, 12:00 UTC.
    const NOW: u64 = 1_795_780_800;

    fn times() -> Times {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        Times::new(zone, Timestamp::from_seconds(NOW))
    }

    #[test]
    fn times_are_those_of_every_log() {
        let day = 86_400;
        let cases = [
            ("2026-11-27T12:00:00Z", Some(NOW)),
            ("2026-11-27T13:00:00+0100", Some(NOW)),
            ("2026-11-27T13:00:00.123456+01:00", Some(NOW)),
            ("2026-11-27T07:30:00-04:30", Some(NOW)),
            ("2024-02-29T12:00:00Z", Some(NOW - 1002 * day)),
            ("Nov 27 13:00:00", Some(NOW)),
            // A clock may be fast, but not by a week: that line is of the year before.
            ("Nov 28 12:59:59", Some(NOW + day - 1)),
            ("Dec  4 13:00:00", Some(NOW - 358 * day)),
            ("Jan  1 00:59:59", Some(NOW - 330 * day - 12 * 3600 - 1)),
            // It was summer.
            ("Jun  1 14:00:00", Some(NOW - 179 * day)),
            ("Feb 29 13:00:00", Some(NOW - 1002 * day)),
            ("Feb 30 13:00:00", None),
            ("Foo 27 13:00:00", None),
            ("2026-13-27T12:00:00Z", None),
            ("2026-11-27T12:00:00", None),
            ("2026-11-27 12:00:00Z", None),
        ];
        for (stamp, want) in cases {
            let line = format!("{stamp} mx postfix/qmgr[9]: 4A: removed");
            let read = Line::read(line.as_bytes(), &mut times());
            let got = read.map(|line| line.time.seconds());
            assert_eq!(got, want, "{stamp}");
        }
    }

    fn event<'a>(line: &'a str, times: &mut Times) -> Option<(Option<&'a str>, String)> {
        let line = Line::read(line.as_bytes(), times)?;
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = match line.event {
            Event::Client(client) => format!(
                "{} {} {:?}",
                show(client.name),
                show(client.address),
                client.standing
            ),
            Event::From(sender) => format!("from {}", show(sender)),
            Event::To(recipient, sent) => format!("to {} {sent}", show(recipient)),
            Event::Removed => "removed".to_owned(),
            Event::Reject(reject) => format!(
                "{} {} {:?}: {} {} {}: {}",
                show(reject.client.name),
                show(reject.client.address),
                reject.client.standing,
                show(reject.helo),
                show(reject.sender),
                show(reject.recipient),
                show(reject.reply)
            ),
        };
        let id = line.queue_id.map(|id| std::str::from_utf8(id).unwrap());
        Some((id, shown))
    }

    /// A line, and its queue id and event.
    type Case = (&'static str, Option<(Option<&'static str>, &'static str)>);

    #[test]
    fn lines_are_read_from_the_side_that_postfix_writes() {
        let cases: &[Case] = &[
            (
                "smtpd[99]: 4AbCz: client=mx.example[192.0.2.7]",
                Some((Some("4AbCz"), "mx.example 192.0.2.7 Stranger")),
            ),
            (
                "smtpd[99]: 4A: client=unknown[2001:db8::7]:4711",
                Some((Some("4A"), "unknown 2001:db8::7 Stranger")),
            ),
            (
                "smtpd[99]: 4A: client=x[192.0.2.7], sasl_method=PLAIN, sasl_username=u",
                Some((Some("4A"), "x 192.0.2.7 Authenticated")),
            ),
            (
                "submission/smtpd[99]: 4A: client=x[192.0.2.7]",
                Some((Some("4A"), "x 192.0.2.7 Submission")),
            ),
            (
                "qmgr[9]: 4A: from=<a@b>, size=1, nrcpt=1 (queue active)",
                Some((Some("4A"), "from a@b")),
            ),
            (
                "qmgr[9]: 4A: from=<a>, size=1@b>, size=1, nrcpt=1 (queue active)",
                Some((Some("4A"), "from a>, size=1@b")),
            ),
            (
                "qmgr[9]: 4A: from=<>, size=1, nrcpt=1 (queue active)",
                Some((Some("4A"), "from ")),
            ),
            ("qmgr[9]: 4A: removed", Some((Some("4A"), "removed"))),
            (
                "virtual[9]: 4A: to=<c@d>, relay=virtual, delay=1, dsn=2.0.0, status=sent (delivered)",
                Some((Some("4A"), "to c@d true")),
            ),
            (
                "lmtp[9]: 4A: to=<c@d>, orig_to=<info@d>, relay=d, status=deferred (status=sent )",
                Some((Some("4A"), "to info@d false")),
            ),
            (
                "smtpd[9]: NOQUEUE: reject: RCPT from mx.example[192.0.2.7]: 450 4.2.0 <c@d>: Recipient address rejected: Greylisted; from=<a@b> to=<c@d> proto=ESMTP helo=<h>",
                Some((
                    None,
                    "mx.example 192.0.2.7 Stranger: h a@b c@d: 450 4.2.0 <c@d>: Recipient address rejected: Greylisted",
                )),
            ),
            (
                "smtpd[9]: 4A: reject: RCPT from x[192.0.2.7]: 450 no; from=<a> to=<v@w> proto=SMTP helo=<x> to=<c@d> proto=ESMTP helo=<h>",
                Some((
                    Some("4A"),
                    "x 192.0.2.7 Stranger: h a> to=<v@w> proto=SMTP helo=<x c@d: 450 no",
                )),
            ),
            (
                "smtpd[9]: NOQUEUE: reject: MAIL from x[192.0.2.7]: 450 no",
                None,
            ),
            ("smtpd[9]: connect from x[192.0.2.7]", None),
            ("cleanup[9]: 4A: message-id=<to=<c@d>, relay=x>", None),
            (
                "postscreen[9]: NOQUEUE: reject: RCPT from [192.0.2.7]:1: 550",
                None,
            ),
            ("smtpd[9]: 4A: client=x[192.0.2.7", None),
            ("qmgr[9]: 4 A: removed", None),
        ];
        for (text, want) in cases {
            let line = format!("Nov 27 13:00:00 mx postfix/{text}\r\n");
            let mut times = times();
            let got = event(&line, &mut times);
            let got = got.as_ref().map(|(id, text)| (*id, text.as_str()));
            assert_eq!(got, *want, "{text}");
        }
    }

    #[test]
    fn nothing_in_a_log_is_an_error() {
        for bytes in [
            &b"\xff\xfe"[..],
            b"",
            b"]: ",
            b"Nov 27 13:00:00",
            b" /[]: : ",
            b"9 /qmgr[]: A: removed",
        ] {
            assert_eq!(Line::read(bytes, &mut times()), None, "{bytes:?}");
        }
    }
}

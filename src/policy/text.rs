//! The texts of replies: from verdicts to [`Reply`]s.
//!
//! All tokens are replaced in one pass, so that a replacement is never searched for tokens. `%%` is a percent sign; a
//! `%` that does not begin a token is kept.
//!
//! | in the answer's text | | in the header | |
//! | --- | --- | --- | --- |
//! | `%s` | seconds until a retry makes sense | `%t` | seconds waited |
//! | `%r` | the recipient's domain | `%v` | stargrey's version |
//! | `%H` | the host name | `%h` | the host name |
//! | | | `%d` | the date, RFC 5322 |

use std::borrow::Cow;
use std::fmt::Write;

use jiff::tz::TimeZone;

use super::schedule::LocalTime;
use super::verdict::{Then, Verdict};
use crate::types::{Printable, Reason, Reply, ReplyText, Span, Timestamp};

/// The version that headers name.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Replaces a recipient that is not printable: Postfix discards a reply that is not valid UTF-8.
const UNSHOWN_RECIPIENT: &str = "the recipient";

/// Typical length of the replacements, in bytes.
const EXPANDED: usize = 80;

/// The text of a deferral while the database is unavailable.
const OUT_OF_ORDER: &str = "Greylisting is out of order, please try again later";

/// The wording, as the options set it.
#[derive(Debug, Clone)]
pub struct Texts {
    action: ReplyText,
    text: String,
    header: String,
    host: String,
    zone: TimeZone,
}

/// Why a text cannot be part of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A reply must be one line.
    #[error("must be one line without control characters")]
    Control,
    /// Postfix treats an empty action as OK.
    #[error("must not be empty")]
    Empty,
    /// PREPEND needs a header line.
    #[error("must be a header line, NAME: TEXT")]
    NoHeader,
}

impl Texts {
    /// The texts of these options; `zone` is the time zone of dates.
    ///
    /// # Errors
    ///
    /// [`TextError`] with the name of the invalid option.
    pub fn new(
        action: &str,
        text: &str,
        header: &str,
        host: &str,
        zone: TimeZone,
    ) -> Result<Self, (&'static str, TextError)> {
        for (option, value) in [
            ("--greylist-action", action),
            ("--greylist-text", text),
            ("--x-greylist-header", header),
            ("--hostname", host),
        ] {
            if value.chars().any(char::is_control) {
                return Err((option, TextError::Control));
            }
            if value.trim().is_empty() {
                return Err((option, TextError::Empty));
            }
        }
        let name = header.split_once(':').map_or("", |(name, _)| name);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(("--x-greylist-header", TextError::NoHeader));
        }
        Ok(Self {
            action: ReplyText::new(action.to_owned()),
            text: text.to_owned(),
            header: header.to_owned(),
            host: host.to_owned(),
            zone,
        })
    }

    /// The action of `access(5)` for greylisted clients (`--greylist-action`).
    #[must_use]
    pub const fn greylist_action(&self) -> &ReplyText {
        &self.action
    }

    /// The name of the header field of mail that was deferred.
    #[must_use]
    pub fn header_name(&self) -> &str {
        self.header.split_once(':').map_or("", |(name, _)| name)
    }

    /// The host's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The time zone of dates.
    pub(super) const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The time of the day, as rules ask for it.
    #[must_use]
    pub fn local_time(&self, now: Timestamp) -> LocalTime {
        let Some(time) = now.zoned(&self.zone) else {
            return LocalTime::default();
        };
        let field = |number: i8| u8::try_from(number).unwrap_or_default();
        LocalTime {
            minute: field(time.minute()),
            hour: field(time.hour()),
            day: field(time.day()),
            month: field(time.month()),
            weekday: field(time.weekday().to_sunday_zero_offset()),
        }
    }

    /// The reply for a verdict. The texts of tables' replies and of rejections are made elsewhere. `delay` replaces
    /// `%s` if only retries are still required.
    pub fn reply(&self, verdict: Verdict, recipient: &[u8], now: Timestamp, delay: Span) -> Reply {
        match verdict {
            Verdict::Pass | Verdict::Reply(_) => Reply::Continue,
            Verdict::Unavailable => Reply::Unavailable(ReplyText::new(OUT_OF_ORDER.to_owned())),
            Verdict::PassWithHeader { waited } => {
                let mut out = String::with_capacity(self.header.len().saturating_add(EXPANDED));
                expand(&self.header, &mut out, |token, out| match token {
                    't' => write!(out, "{}", waited.seconds()).is_ok(),
                    'v' => push(out, VERSION),
                    'h' => push(out, &self.host),
                    'd' => push(out, &self.date(now)),
                    _ => false,
                });
                Reply::AddHeader(ReplyText::new(out))
            }
            Verdict::Tarpit { length, then } => Reply::Sleep {
                length,
                then: match then {
                    Then::Pass => None,
                    Then::Defer(remaining) => {
                        Some(self.deferral(remaining.try_again_in(delay), recipient))
                    }
                },
            },
            Verdict::Defer { remaining } => Reply::Greylist {
                text: self.deferral(remaining.try_again_in(delay), recipient),
                has_code: self.text.starts_with(|c: char| c.is_ascii_digit()),
            },
        }
    }

    /// The header field of a message that was not delayed, for this reason.
    #[must_use]
    pub fn not_delayed(&self, reason: Reason, now: Timestamp) -> ReplyText {
        let (name, why) = (self.header_name(), reason.text().log_text);
        let (host, date) = (&self.host, self.date(now));
        ReplyText::new(format!(
            "{name}: {why}, not delayed by stargrey-{VERSION} at {host}; {date}"
        ))
    }

    /// The text of a deferral that asks for a retry in `wait`.
    pub(super) fn deferral(&self, wait: Span, recipient: &[u8]) -> ReplyText {
        let mut out = String::with_capacity(self.text.len().saturating_add(EXPANDED));
        expand(&self.text, &mut out, |token, out| match token {
            's' => write!(out, "{}", wait.seconds()).is_ok(),
            'r' => push(out, &recipient_domain(recipient)),
            'H' => push(out, &self.host),
            _ => false,
        });
        ReplyText::new(out)
    }

    /// `now` in the format of RFC 5322.
    fn date(&self, now: Timestamp) -> String {
        let date = now.zoned(&self.zone);
        date.and_then(|date| jiff::fmt::rfc2822::to_string(&date).ok())
            .unwrap_or_default()
    }
}

/// The printable part after the last `@`, or the whole without one; `None` if it is not printable.
fn recipient_domain(recipient: &[u8]) -> Cow<'_, str> {
    let domain = recipient
        .rsplit(|byte| *byte == b'@')
        .next()
        .unwrap_or_default();
    match std::str::from_utf8(domain) {
        Ok(text) if Printable(domain).is_plain() => Cow::Borrowed(text),
        Ok(_) | Err(_) => Cow::Borrowed(UNSHOWN_RECIPIENT),
    }
}

/// Appends `text`; returns that the token is known.
fn push(out: &mut String, text: &str) -> bool {
    out.push_str(text);
    true
}

/// Copies `template`, passing each letter after a `%` to `replace`; unknown ones are kept.
fn expand(template: &str, out: &mut String, replace: impl Fn(char, &mut String) -> bool) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = match after.chars().next() {
            Some('%') => {
                out.push('%');
                after.get(1..).unwrap_or_default()
            }
            Some(token) if replace(token, out) => after.get(token.len_utf8()..).unwrap_or_default(),
            Some(_) | None => {
                out.push('%');
                after
            }
        };
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Remaining;

    fn texts(text: &str, header: &str) -> Texts {
        Texts::new(
            "DEFER_IF_PERMIT",
            text,
            header,
            "mx.example.org",
            TimeZone::fixed(jiff::tz::offset(9)),
        )
        .unwrap()
    }

    fn deferred(text: &str, recipient: &[u8]) -> Reply {
        let remaining = Remaining::Time(Span::from_seconds(12));
        deferred_for(remaining, text, recipient)
    }

    fn deferred_for(remaining: Remaining, text: &str, recipient: &[u8]) -> Reply {
        let (now, delay) = (Timestamp::default(), Span::from_seconds(300));
        texts(text, "X: y").reply(Verdict::Defer { remaining }, recipient, now, delay)
    }

    #[test]
    fn nobody_is_told_to_come_back_in_0_seconds() {
        let cases = [
            (Remaining::Time(Span::from_seconds(12)), "12"),
            (Remaining::Retries(1), "300"),
            (Remaining::Retries(7), "300"),
        ];
        for (remaining, want) in cases {
            let got = deferred_for(remaining, "in %s seconds", b"a@b");
            let want = Reply::Greylist {
                text: ReplyText::new(format!("in {want} seconds")),
                has_code: false,
            };
            assert_eq!(got, want, "{remaining:?}");
        }
    }

    #[test]
    fn every_token_is_replaced_everywhere() {
        let cases: [(&str, &[u8], &str); 6] = [
            ("%s and %s", b"a@b", "12 and 12"),
            ("%r at %H, %s", b"a@b@%s.c", "%s.c at mx.example.org, 12"),
            ("%r", b"local", "local"),
            ("%r", b"a@\xff", "the recipient"),
            ("100%, %% %x %", b"a@b", "100%, % %x %"),
            ("%%s %%%s %%%%", b"a@b", "%s %12 %%"),
        ];
        for (text, recipient, want) in cases {
            let want = Reply::Greylist {
                text: ReplyText::new(want.to_owned()),
                has_code: text.starts_with('1'),
            };
            assert_eq!(deferred(text, recipient), want, "{text}");
        }
    }

    #[test]
    fn the_header_has_an_rfc_5322_date() {
        let header = "X-Greylist: delayed %t seconds by stargrey-%v at %h; %d";
        let verdict = Verdict::PassWithHeader {
            waited: Span::from_seconds(301),
        };
        let now = Timestamp::from_seconds(1_795_312_200);
        let want = format!(
            "X-Greylist: delayed 301 seconds by stargrey-{VERSION} at mx.example.org; \
             Sun, 22 Nov 2026 10:50:00 +0900"
        );
        assert_eq!(
            texts("x", header).reply(verdict, b"a@b", now, Span::ZERO),
            Reply::AddHeader(ReplyText::new(want))
        );
    }

    #[test]
    fn texts_that_would_break_an_answer_are_refused() {
        let cases = [
            ("", "x", "X: y", "--greylist-action", TextError::Empty),
            ("450", "a\nb", "X: y", "--greylist-text", TextError::Control),
            (
                "450",
                "x",
                "no header",
                "--x-greylist-header",
                TextError::NoHeader,
            ),
            (
                "450",
                "x",
                ": y",
                "--x-greylist-header",
                TextError::NoHeader,
            ),
        ];
        for (action, text, header, option, error) in cases {
            let refused = Texts::new(action, text, header, "host", TimeZone::UTC);
            assert_eq!(refused.unwrap_err(), (option, error));
        }
    }
}

//! What a spam filter says of a message: spamd, which is asked, or a milter before ours, which has left a header.

use super::message::Message;
use crate::types::{AddedHeader, HeaderText};

/// The names of the fields that say what spamd has found, as SpamAssassin and its milters write them. A message gets some
/// of them, and keeps none that it came with.
pub const SPAM_HEADERS: [&str; 6] = [
    "X-Spam-Status",
    "X-Spam-Flag",
    "X-Spam-Level",
    "X-Spam-Score",
    "X-Spam-Report",
    "X-Spam-Checker-Version",
];

/// Most stars of a level.
const MOST_STARS: usize = 50;

/// A score and what comes with it. Numbers are thousandths of a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpamScore {
    /// Whether the filter takes the message for spam, if it says so.
    pub is_spam: Option<bool>,
    /// The score.
    pub score: i64,
    /// The score from which on a message is spam, if the filter says so.
    pub threshold: Option<i64>,
    /// The names of the tests that have matched, in the order of the filter.
    pub tests: Vec<Box<str>>,
}

impl SpamScore {
    /// The fields that say so in a header: status, flag (of spam only), level and score.
    #[must_use]
    pub fn headers(&self) -> Vec<AddedHeader> {
        let [status, flag, level, score, ..] = SPAM_HEADERS;
        let stars = usize::try_from(self.score / 1000).unwrap_or(0);
        let mut headers = vec![(status, self.status())];
        if self.is_spam == Some(true) {
            headers.push((flag, "YES".to_owned()));
        }
        headers.push((level, "*".repeat(stars.min(MOST_STARS))));
        headers.push((score, tenths(self.score)));
        let headers = headers.into_iter().map(|(name, value)| AddedHeader {
            name: name.into(),
            value: HeaderText::new(value.as_bytes()),
            index: None,
        });
        headers.collect()
    }

    /// `Yes, score=15.3 required=5.0 tests=A,B`. Tests for which there is no room are left out.
    fn status(&self) -> String {
        let verdict = match self.is_spam {
            Some(true) => "Yes, ",
            Some(false) => "No, ",
            None => "",
        };
        let mut status = format!("{verdict}score={}", tenths(self.score));
        if let Some(threshold) = self.threshold {
            status.push_str(" required=");
            status.push_str(&tenths(threshold));
        }
        status.push_str(" tests=");
        let mut names = self.tests.iter().peekable();
        if names.peek().is_none() {
            status.push_str("none");
        }
        while let Some(name) = names.next() {
            let next = name.len().saturating_add(1);
            if status.len().saturating_add(next) > HeaderText::MOST {
                break;
            }
            status.push_str(name);
            if names.peek().is_some() {
                status.push(',');
            }
        }
        status
    }

    /// What a milter before ours has written into the last field of this name; `None` if there is none with a number.
    ///
    /// A field that a message came with stands before that: mail servers add fields behind the others.
    #[must_use]
    pub fn of_header(message: &Message, name: &str) -> Option<Self> {
        let mut fields = message.fields().iter().rev();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))?;
        Self::of_field(&String::from_utf8_lossy(&field.value))
    }

    /// Reads the value of a field: a number alone (`X-Spam-Score`), the number behind `score=`, `hits=` or `spamicity=`
    /// (`X-Spam-Status`, `X-Bogosity`), or the first of two (`[3.53 / 15.00]`, `X-Spamd-Result`).
    fn of_field(value: &str) -> Option<Self> {
        let is_break =
            |c: char| c.is_ascii_whitespace() || matches!(c, ',' | ';' | '[' | ']' | '(' | ')');
        let mut words = value.split(is_break).filter(|word| !word.is_empty());
        let is_spam = words.clone().find_map(|word| match word {
            "Yes" | "YES" | "Spam" | "True" => Some(true),
            "No" | "NO" | "Ham" | "False" => Some(false),
            _ => None,
        });
        let named = |names: &[&str]| {
            words.clone().find_map(|word| {
                let (name, value) = word.split_once('=')?;
                names.contains(&name).then(|| thousandths(value))?
            })
        };
        let named_score = named(&["score", "hits", "spamicity"]);
        let threshold = named(&["required", "tag2"]);
        let score = named_score.or_else(|| words.find_map(thousandths))?;
        Some(Self {
            is_spam,
            score,
            threshold,
            tests: Vec::new(),
        })
    }
}

/// Thousandths with one decimal, cut towards zero, as SpamAssassin writes scores.
#[must_use]
pub fn tenths(thousandths: i64) -> String {
    let tenths = thousandths / 100;
    let sign = if tenths < 0 { "-" } else { "" };
    let tenths = tenths.unsigned_abs();
    format!("{sign}{}.{}", tenths / 10, tenths % 10)
}

/// The thousandths that a decimal number has, which may have a sign; `None` if the text is none. What is beyond the third
/// decimal is cut.
#[must_use]
pub fn thousandths(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || (whole.is_empty() && decimals.is_empty()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut part: i64 = 0;
    for place in 0..3 {
        let digit = decimals
            .as_bytes()
            .get(place)
            .map_or(0, |digit| digit.saturating_sub(b'0'));
        part = part.checked_mul(10)?.checked_add(i64::from(digit))?;
    }
    let number = whole.checked_mul(1000)?.checked_add(part)?;
    if is_negative {
        number.checked_neg()
    } else {
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::message::HeaderField;

    fn score(score: i64, is_spam: Option<bool>, tests: &[&str]) -> SpamScore {
        SpamScore {
            is_spam,
            score,
            threshold: is_spam.map(|_| 5_000),
            tests: tests.iter().map(|test| (*test).into()).collect(),
        }
    }

    #[test]
    fn a_score_is_written_as_spamassassin_writes_it() {
        let stars = "*".repeat(50);
        for (score, want) in [
            (
                score(15_390, Some(true), &["A", "B"]),
                vec![
                    "X-Spam-Status: Yes, score=15.3 required=5.0 tests=A,B",
                    "X-Spam-Flag: YES",
                    "X-Spam-Level: ***************",
                    "X-Spam-Score: 15.3",
                ],
            ),
            (
                score(-1_290, Some(false), &[]),
                vec![
                    "X-Spam-Status: No, score=-1.2 required=5.0 tests=none",
                    "X-Spam-Level: ",
                    "X-Spam-Score: -1.2",
                ],
            ),
            (
                score(1_002_300, None, &["GTUBE"]),
                vec![
                    "X-Spam-Status: score=1002.3 tests=GTUBE",
                    &format!("X-Spam-Level: {stars}"),
                    "X-Spam-Score: 1002.3",
                ],
            ),
        ] {
            let headers = score.headers();
            let headers = headers
                .iter()
                .map(|added| format!("{}: {}", added.name, added.value));
            assert_eq!(headers.collect::<Vec<_>>(), want);
        }
        let many = vec!["A_NAME_OF_A_TEST"; 256];
        let status = score(0, Some(false), &many).status();
        assert!(
            status.len() <= HeaderText::MOST && status.ends_with("A_TEST,"),
            "{status}"
        );
    }

    #[test]
    fn a_number_is_read_from_what_other_filters_write() {
        for (value, want) in [
            ("5.3", Some((5_300, None, None))),
            ("-0.001", Some((-1, None, None))),
            ("+12", Some((12_000, None, None))),
            ("5.3 (+++++)", Some((5_300, None, None))),
            (
                "Yes, score=7.5 required=5.0 tests=A,B\r\n\tautolearn=no version=4.0.1",
                Some((7_500, Some(true), Some(5_000))),
            ),
            (
                "No, score=-1.9 tagged_above=-999 required=6.31\r\n tests=[A=-1.9]",
                Some((-1_900, Some(false), Some(6_310))),
            ),
            (
                "Ham, tests=bogofilter, spamicity=0.000042, version=1.2.5",
                Some((0, Some(false), None)),
            ),
            (
                "Spam, tests=bogofilter, spamicity=0.999999, version=1.2.5",
                Some((999, Some(true), None)),
            ),
            (
                "default: False [3.53 / 15.00];\r\n\tA(1.00)[x];",
                Some((3_530, Some(false), None)),
            ),
            ("", None),
            ("high", None),
            ("Yes", None),
            ("score=NaN", None),
        ] {
            let got = SpamScore::of_field(value);
            let got = got.map(|score| (score.score, score.is_spam, score.threshold));
            assert_eq!(got, want, "{value}");
        }
    }

    #[test]
    fn the_last_field_of_a_name_counts() {
        let fields = [
            ("X-Spam-Score", "-50"),
            ("Subject", "9"),
            ("x-spam-score", " 6.5"),
        ];
        let fields = fields.map(|(name, value)| HeaderField {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        });
        let message = Message::new(fields.into(), None, 0);
        let score = |name| SpamScore::of_header(&message, name).map(|score| score.score);
        assert_eq!(score("X-Spam-Score"), Some(6_500));
        assert_eq!(score("X-Score"), None);
    }

    #[test]
    fn points_have_up_to_three_decimals_and_a_sign() {
        for (text, want) in [
            ("0", Some(0)),
            ("-0.05", Some(-50)),
            (".5", Some(500)),
            ("5.", Some(5_000)),
            ("1.23456", Some(1_234)),
            ("9223372036854775.807", Some(i64::MAX)),
            ("9223372036854775.808", None),
            ("99999999999999999999", None),
            ("", None),
            (".", None),
            ("-", None),
            ("1e3", None),
            ("0x1", None),
            ("1.2.3", None),
            ("\u{661}", None),
        ] {
            assert_eq!(thousandths(text), want, "{text}");
        }
    }
}

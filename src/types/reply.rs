//! The reply to an attempt, independent of the protocol. Each front end renders it.

use std::borrow::Cow;
use std::fmt;

use super::Span;

/// Maximum length of a text of a third party that is passed on, in bytes.
const MOST_FOREIGN: usize = 200;

/// One line of text that can be part of a reply: UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyText(Box<str>);

impl ReplyText {
    /// The text, with `?` in place of each control character, so that no text can end a reply early.
    #[must_use]
    pub fn new(text: String) -> Self {
        if text.chars().any(char::is_control) {
            let clean = |c: char| if c.is_control() { '?' } else { c };
            return Self(text.chars().map(clean).collect());
        }
        Self(text.into_boxed_str())
    }

    /// A text of a third party, for instance from DNS: printable ASCII only, at most 200 bytes. `None` if nothing is
    /// left.
    #[must_use]
    pub fn foreign(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.trim_ascii();
        let printable = |byte: u8| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '?',
        };
        let text: String = bytes
            .iter()
            .take(MOST_FOREIGN)
            .copied()
            .map(printable)
            .collect();
        (!text.is_empty()).then(|| Self(text.into_boxed_str()))
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a header field on one line: UTF-8 without control characters, at most 998 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderText(Box<str>);

impl HeaderText {
    /// Maximum length in bytes: that of a line (RFC 5322, 2.1.1).
    pub const MOST: usize = 998;

    /// The text, with `?` in place of each control character and of each sequence that is not UTF-8. What is beyond the
    /// limit is cut.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len().min(Self::MOST));
        for chunk in bytes.utf8_chunks() {
            let bad = (!chunk.invalid().is_empty()).then_some('?');
            for c in chunk.valid().chars().chain(bad) {
                let c = if c.is_control() { '?' } else { c };
                if text.len().saturating_add(c.len_utf8()) > Self::MOST {
                    return Self(text.into_boxed_str());
                }
                text.push(c);
            }
        }
        Self(text.into_boxed_str())
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A field of a header that a message gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedHeader {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: HeaderText,
    /// Where it is inserted, from the top; `None`: at the end.
    pub index: Option<u32>,
}

/// A reply code of SMTP, and its enhanced status code (RFC 3463).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpCode {
    /// 400 to 599.
    pub number: u16,
    /// For instance 5.7.1.
    pub enhanced: Cow<'static, str>,
}

impl SmtpCode {
    /// Refused for reasons of policy.
    pub const REFUSED: Self = Self {
        number: 550,
        enhanced: Cow::Borrowed("5.7.1"),
    };
}

/// A reply to the mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Reply {
    /// No objection: the mail server's other restrictions decide.
    Continue,
    /// No objection; the message gets this header field.
    AddHeader(ReplyText),
    /// The client is deferred by greylisting.
    Greylist {
        /// The text.
        text: ReplyText,
        /// Whether the text begins with a status code already, so that none is put before it.
        has_code: bool,
    },
    /// The client is deferred or refused, with this code.
    Code(SmtpCode, ReplyText),
    /// The client is deferred because stargrey cannot decide.
    Unavailable(ReplyText),
    /// The reply is delayed.
    Sleep {
        /// The delay; at least a second.
        length: Span,
        /// The text of the deferral that follows; without one, there is no objection.
        then: Option<ReplyText>,
    },
    /// The result of a Postfix access table, in the words of `access(5)`.
    Access(ReplyText),
}

impl Reply {
    /// The code that the client gets, if the reply has one of its own.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Code(code, _) => Some(code.number),
            Self::Access(text) => {
                let word = text.as_str().split(' ').next()?;
                word.parse().ok().filter(|code| (400..600).contains(code))
            }
            Self::Continue
            | Self::AddHeader(_)
            | Self::Greylist { .. }
            | Self::Unavailable(_)
            | Self::Sleep { .. } => None,
        }
    }

    /// The text that the client gets, empty if there is no objection.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Greylist { text, .. }
            | Self::Code(_, text)
            | Self::Unavailable(text)
            | Self::Sleep {
                then: Some(text), ..
            } => text.as_str(),
            // Behind the word that says what is done.
            Self::Access(text) => text.as_str().split_once(' ').map_or("", |(_, text)| text),
            Self::Continue | Self::AddHeader(_) | Self::Sleep { then: None, .. } => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_without_control_characters() {
        let cases = [
            ("come back later", "come back later"),
            ("450 a\n\naction=OK", "450 a??action=OK"),
            ("a\tb\0c\u{85}d", "a?b?c?d"),
            ("müller", "müller"),
        ];
        for (text, want) in cases {
            assert_eq!(ReplyText::new(text.to_owned()).as_str(), want);
        }
    }

    #[test]
    fn the_value_of_a_header_field_is_one_line_of_utf_8_within_the_limit() {
        let long = "é".repeat(600);
        let cases: [(&[u8], &str); 5] = [
            (b"5.3", "5.3"),
            (b"a\r\nBcc: x\0", "a??Bcc: x?"),
            (b"a\xff\xfe\tb", "a???b"),
            ("müller\u{85}".as_bytes(), "müller?"),
            (long.as_bytes(), &"é".repeat(499)),
        ];
        for (bytes, want) in cases {
            assert_eq!(HeaderText::new(bytes).as_str(), want);
        }
    }

    #[test]
    fn a_text_of_a_stranger_is_short_printable_ascii() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (
                b"https://list.example/q?1",
                Some("https://list.example/q?1"),
            ),
            (b" a\r\n250 OK\0 ", Some("a??250 OK?")),
            ("m\u{fc}ller".as_bytes(), Some("m??ller")),
            (b"%s $x", Some("%s $x")),
            (b" \n", None),
            (b"", None),
        ];
        for (bytes, want) in cases {
            let text = ReplyText::foreign(bytes);
            assert_eq!(text.as_ref().map(ReplyText::as_str), want);
        }
        let long = ReplyText::foreign(&b"a".repeat(70_000)).unwrap();
        assert_eq!(long.as_str().len(), MOST_FOREIGN);
    }
}

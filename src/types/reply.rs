//! The reply to one attempt, in no mail protocol's words. Each front end renders it in its own.

use std::fmt;

use super::Span;

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
        /// Whether the text begins with a code of its own, so that none is put before it.
        has_code: bool,
    },
    /// The client is deferred because stargrey cannot decide.
    Unavailable(ReplyText),
    /// The client waits for its reply.
    Sleep {
        /// How long; at least a second.
        length: Span,
        /// The text of the deferral that follows; without one, there is no objection.
        then: Option<ReplyText>,
    },
    /// The result of a Postfix access table, in the words of `access(5)`.
    Access(ReplyText),
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
}

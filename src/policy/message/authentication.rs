//! What another mail server has found about the signatures of a message, in `Authentication-Results` (RFC 8601).
//!
//! # On the wire
//!
//! ```text
//! field  = id [ "1" ] *( ";" ( "none" / method [ "/1" ] "=" result *property ) )
//! ```
//!
//! Comments may stand between words, and a word may be a quoted string. Of the methods only `dkim` is read.
//!
//! # Trust
//!
//! Anybody can write such a field. One counts if it has the id of a server that the administrator names, which must remove
//! the fields that others have written under its id. Of several that count the first one is read, which is the last that
//! was written.

use std::borrow::Cow;

use super::Message;

/// The name of the field.
const NAME: &[u8] = b"Authentication-Results";

/// Most bytes of a field; nothing is known of a longer one.
const MOST_FIELD: usize = 16 << 10;

/// What the signatures of a message are worth: of several, the best result, which is the first here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DkimResult {
    /// One of them is good.
    Pass,
    /// They are not: the message was changed, or they are not acceptable.
    Fail,
    /// They could not be verified: no key, no DNS.
    Error,
    /// They could not be read.
    Unknown,
    /// There is none.
    None,
}

impl DkimResult {
    /// The result that has this name in a field.
    fn parse(name: &[u8]) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_slice() {
            b"pass" => Self::Pass,
            b"fail" | b"policy" => Self::Fail,
            b"temperror" | b"permerror" => Self::Error,
            b"neutral" => Self::Unknown,
            b"none" => Self::None,
            _ => return None,
        })
    }
}

/// What the servers with these ids have found; `None` if they do not say anything.
#[must_use]
pub fn dkim(message: &Message, ids: &[Box<str>]) -> Option<DkimResult> {
    let fields = message.fields().iter();
    let mut fields = fields.filter(|field| field.name.eq_ignore_ascii_case(NAME));
    fields.find_map(|field| of_field(&field.value, ids))
}

/// A word, or what stands between words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(Cow<'a, [u8]>),
    Equals,
    Semicolon,
}

/// What a field says of DKIM, if it has one of these ids.
fn of_field(value: &[u8], ids: &[Box<str>]) -> Option<DkimResult> {
    let tokens = tokens(value)?;
    let mut statements = tokens.split(|token| *token == Token::Semicolon);
    let id = match statements.next()? {
        [Token::Word(id)] => id,
        [Token::Word(id), Token::Word(version)] if **version == *b"1" => id,
        _ => return None,
    };
    let mut ids = ids.iter();
    ids.find(|known| id.eq_ignore_ascii_case(known.as_bytes()))?;
    statements.filter_map(of_statement).min()
}

/// What a statement says of DKIM.
fn of_statement(statement: &[Token<'_>]) -> Option<DkimResult> {
    let [Token::Word(method), Token::Equals, Token::Word(result), ..] = statement else {
        return None;
    };
    let method = method.strip_suffix(b"/1").unwrap_or(method);
    method.eq_ignore_ascii_case(b"dkim").then_some(())?;
    DkimResult::parse(result)
}

/// The tokens of a field; `None` if it is too long, or a comment or a quoted string does not end.
fn tokens(value: &[u8]) -> Option<Vec<Token<'_>>> {
    let mut rest = Some(value).filter(|value| value.len() <= MOST_FIELD)?;
    let mut tokens = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b' ' | b'\t' | b'\r' | b'\n' => after,
            b'(' => after_comment(after)?,
            b')' => return None,
            b';' => {
                tokens.push(Token::Semicolon);
                after
            }
            b'=' => {
                tokens.push(Token::Equals);
                after
            }
            b'"' => {
                let (word, after) = quoted(after)?;
                tokens.push(Token::Word(word.into()));
                after
            }
            _ => {
                let is_end = |byte: &u8| b" \t\r\n();=\"".contains(byte);
                let end = rest.iter().position(is_end).unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end)?;
                tokens.push(Token::Word(word.into()));
                after
            }
        };
    }
    Some(tokens)
}

/// What is behind a comment, whose parenthesis has been read; comments nest.
fn after_comment(mut rest: &[u8]) -> Option<&[u8]> {
    let mut depth = 1_usize;
    while depth > 0 {
        rest = match rest {
            [b'(', after @ ..] => {
                depth = depth.checked_add(1)?;
                after
            }
            [b')', after @ ..] => {
                depth = depth.checked_sub(1)?;
                after
            }
            [b'\\', _, after @ ..] | [_, after @ ..] => after,
            [] => return None,
        };
    }
    Some(rest)
}

/// The text of a quoted string, whose quotation mark has been read, and what is behind it.
fn quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some((text, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                text.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a message with these fields says to those who trust two servers.
    fn found(header: &str) -> Option<DkimResult> {
        let message = Message::parse(format!("{header}\n\nhello\n").as_bytes());
        let ids = ["mx.example.org", "two.example.org"].map(Into::into);
        dkim(&message, &ids)
    }

    /// What such a field with this value says.
    fn found_in(value: &str) -> Option<DkimResult> {
        found(&format!("Subject: x\nAuthentication-Results: {value}"))
    }

    #[test]
    fn the_best_signature_counts_that_a_trusted_server_has_seen() {
        use DkimResult::{Error, Fail, None as Unsigned, Pass, Unknown};
        for (value, want) in [
            ("mx.example.org; dkim=pass header.d=a.example", Some(Pass)),
            ("MX.Example.ORG; DKIM=Pass", Some(Pass)),
            ("two.example.org 1; dkim=pass", Some(Pass)),
            ("\"mx.example.org\"; dkim/1=fail", Some(Fail)),
            (
                "mx.example.org;\n dkim=permerror (no key) header.d=a",
                Some(Error),
            ),
            ("mx.example.org;\tdkim=temperror", Some(Error)),
            (
                "mx.example.org; dkim=policy reason=\"too short\"",
                Some(Fail),
            ),
            ("mx.example.org; dkim=neutral", Some(Unknown)),
            ("mx.example.org; dkim=none", Some(Unsigned)),
            ("mx.example.org; dkim = none", Some(Unsigned)),
            (
                "(a (b) \\) c) mx.example.org (d); spf=fail smtp.mailfrom=a; (e) dkim (f) = (g) fail; dkim=pass; dkim=none",
                Some(Pass),
            ),
            (
                "mx.example.org; dkim=none; dkim=permerror; dkim=fail",
                Some(Fail),
            ),
        ] {
            assert_eq!(found_in(value), want, "{value}");
        }
    }

    #[test]
    fn nothing_is_known_from_others_and_from_what_cannot_be_read() {
        for value in [
            "other.example; dkim=pass",
            "mx.example.org.other.example; dkim=pass",
            "other.example (mx.example.org); dkim=pass",
            "other.example mx.example.org; dkim=pass",
            "\"mx.example.org; dkim=pass",
            "mx.example.org (; dkim=pass",
            "mx.example.org ); dkim=pass",
            "mx.example.org 2; dkim=pass",
            "mx.example.org dkim=pass",
            "mx.example.org; none",
            "mx.example.org; dkim=good",
            "mx.example.org; dkim/2=pass",
            "mx.example.org; x-dkim=pass",
            "mx.example.org; dkim-atps=pass",
            "mx.example.org; spf=fail smtp.mailfrom=\"a; dkim=pass\"",
            "mx.example.org; spf=fail (a; dkim=pass)",
            "mx.example.org; spf=fail reason=\"\\\"; dkim=pass\"",
            "mx.example.org; dkim",
            "mx.example.org; dkim=",
            "mx.example.org; =pass",
            "mx.example.org;;;",
            "mx.example.org",
            "",
        ] {
            assert_eq!(found_in(value), None, "{value}");
        }
        assert_eq!(found("Subject: mx.example.org; dkim=pass"), None);
        let field = |length: usize| {
            let value = "mx.example.org; dkim=pass; x=";
            format!("{value}{}", "y".repeat(length - value.len()))
        };
        assert_eq!(found_in(&field(MOST_FIELD)), Some(DkimResult::Pass));
        assert_eq!(found_in(&field(MOST_FIELD + 1)), None);
    }

    #[test]
    fn the_first_field_of_a_trusted_server_that_has_a_result_is_read() {
        let fields = |values: &[&str]| {
            let lines = values
                .iter()
                .map(|value| format!("authentication-results: {value}"));
            found(&lines.collect::<Vec<_>>().join("\n"))
        };
        let [bad, good] = ["mx.example.org; dkim=fail", "two.example.org; dkim=pass"];
        assert_eq!(fields(&[bad, good]), Some(DkimResult::Fail));
        assert_eq!(fields(&[good, bad]), Some(DkimResult::Pass));
        let others = ["other.example; dkim=pass", "mx.example.org; spf=pass", bad];
        assert_eq!(fields(&others), Some(DkimResult::Fail));
    }

    proptest! {
        #[test]
        fn whatever_a_field_says_it_is_read(value: Vec<u8>) {
            let known = of_field(&value, &["mx.example.org".into()]);
            prop_assert!(known.is_none() || value.len() > "mx.example.org".len());
        }
    }
}

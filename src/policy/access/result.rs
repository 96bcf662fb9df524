//! Parses the results of a table's lines.
//!
//! | result | meaning |
//! | --- | --- |
//! | `OK`, `RELAY`, `PERMIT`, with any text; digits alone | permit |
//! | `check_greylist`, `greylist`, and names given by option | greylist |
//! | `DUNNO`, `WARN`, `INFO`, with any text | nothing: on to the next table |
//! | `REJECT`, `5NN text` | a reply |
//! | `DEFER`, `DEFER_IF_PERMIT`, `DEFER_IF_REJECT`, `4NN text` | a reply |
//!
//! The first word is case-insensitive. It ends with a blank or a tab, as in Postfix. White space after it is stored as
//! the same number of blanks, as in Postfix's replies.

use super::template::{Template, TemplateError};

/// Names of results that greylist, besides those given by option.
const GREYLIST: [&str; 2] = ["check_greylist", "greylist"];

/// The valid results, for errors.
const EXPECTED: &str = "OK, DUNNO, REJECT, DEFER, DEFER_IF_PERMIT, DEFER_IF_REJECT, \
     a 4NN or 5NN code with text, WARN, INFO, check_greylist or greylist";

/// Why a result is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// It is empty.
    #[error("no result; write {EXPECTED}")]
    Missing,
    /// It is unknown.
    #[error("result {0:?} is not one of {EXPECTED}")]
    Unknown(String),
    /// Text after `check_greylist`.
    #[error("{0:?} must be alone: a list of restrictions is not supported")]
    List(String),
    /// `$` in the first word.
    #[error("a $ in the first word of the result")]
    Variable,
    /// A control character that is not white space, or one in the first word.
    #[error("a control character in the result")]
    Control,
    /// `$` in the text.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// The severity of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The client may retry (4xx).
    Defer,
    /// The client must not retry (5xx).
    Reject,
}

/// The result of a line for the clients that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessResult {
    /// They pass.
    Permit,
    /// They are greylisted.
    Greylist,
    /// Nothing: the next table is searched.
    Nothing,
    /// The text of the line is the reply: an action for Postfix.
    Reply(Severity),
}

/// The meaning of `$` in a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dollars {
    /// `$1` a group, `$$` a dollar.
    Groups,
    /// Itself.
    Themselves,
}

impl AccessResult {
    /// Parses a result; `text` is trimmed. `names` are results that greylist. The template is the whole text, including
    /// its first word.
    ///
    /// # Errors
    ///
    /// [`ResultError`] says why the text is invalid.
    pub fn parse(
        text: &str,
        names: &[String],
        dollars: Dollars,
    ) -> Result<(Self, Template), ResultError> {
        let (word, behind) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
        let mut text = format!("{word}{}", behind.replace(is_space, " "));
        if text.contains(char::is_control) {
            return Err(ResultError::Control);
        }
        let rest = behind.trim_matches(is_space);
        if word.is_empty() {
            return Err(ResultError::Missing);
        }
        if word.contains('$') && dollars == Dollars::Groups {
            return Err(ResultError::Variable);
        }
        if is_enhanced_code(rest) {
            text.push(' ');
        }
        let template = match dollars {
            Dollars::Groups => Template::parse(&text)?,
            Dollars::Themselves => Template::plain(&text),
        };
        let mut names = GREYLIST.into_iter().chain(names.iter().map(String::as_str));
        if names.any(|name| name.eq_ignore_ascii_case(word)) {
            return if rest.is_empty() {
                Ok((Self::Greylist, template))
            } else {
                Err(ResultError::List(text))
            };
        }
        let result = Self::word(word, rest).ok_or_else(|| ResultError::Unknown(word.to_owned()))?;
        Ok((result, template))
    }

    /// The result of a first word and the text after it.
    fn word(word: &str, rest: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "ok" | "relay" | "permit" => Self::Permit,
            "dunno" | "warn" | "info" => Self::Nothing,
            "reject" => Self::Reply(Severity::Reject),
            "defer" | "defer_if_permit" | "defer_if_reject" => Self::Reply(Severity::Defer),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                match (digits.as_bytes(), rest.is_empty()) {
                    (_, true) => Self::Permit,
                    ([b'4', _, _], false) => Self::Reply(Severity::Defer),
                    ([b'5', _, _], false) => Self::Reply(Severity::Reject),
                    (_, false) => return None,
                }
            }
            _ => return None,
        })
    }
}

/// Whether a text is only a status code (RFC 3463). Postfix 3.7 reads the text one byte after the code: with a blank
/// there it finds none, without one the rest of an earlier reply in its memory.
pub(in crate::policy) fn is_enhanced_code(text: &str) -> bool {
    let mut parts = text.split('.');
    let class = parts
        .next()
        .is_some_and(|part| matches!(part, "2" | "4" | "5"));
    let mut numbers = parts.map(|part| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    });
    class
        && numbers.next() == Some(true)
        && numbers.next() == Some(true)
        && numbers.next().is_none()
}

/// White space of Postfix.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_one_meaning_or_a_reason() {
        let reply = |severity| Ok(AccessResult::Reply(severity));
        let unknown = |word: &str| Err(ResultError::Unknown(word.to_owned()));
        let cases = [
            ("OK", Ok(AccessResult::Permit)),
            ("ok whatever follows", Ok(AccessResult::Permit)),
            ("Relay", Ok(AccessResult::Permit)),
            ("permit", Ok(AccessResult::Permit)),
            ("permit_mynetworks", unknown("permit_mynetworks")),
            ("1234567890", Ok(AccessResult::Permit)),
            ("550", Ok(AccessResult::Permit)),
            ("check_greylist", Ok(AccessResult::Greylist)),
            ("GREYLIST", Ok(AccessResult::Greylist)),
            ("My_Class", Ok(AccessResult::Greylist)),
            ("greylist, reject", unknown("greylist,")),
            (
                "greylist reject",
                Err(ResultError::List("greylist reject".into())),
            ),
            ("dunno", Ok(AccessResult::Nothing)),
            ("WARN seen $$", Ok(AccessResult::Nothing)),
            ("INFO", Ok(AccessResult::Nothing)),
            ("REJECT", reply(Severity::Reject)),
            ("550 5.7.1 no $1", reply(Severity::Reject)),
            ("450\t4.7.1 later", reply(Severity::Defer)),
            ("defer_if_permit be patient", reply(Severity::Defer)),
            ("DEFER_IF_REJECT", reply(Severity::Defer)),
            ("250 fine", unknown("250")),
            ("4500 fine", unknown("4500")),
            ("HOLD", unknown("HOLD")),
            ("FILTER smtp:[::1]", unknown("FILTER")),
            ("", Err(ResultError::Missing)),
            ("$1 text", Err(ResultError::Variable)),
            ("450\t\t4.7.1\tlater", reply(Severity::Defer)),
            ("550 \u{a0}", reply(Severity::Reject)),
            ("REJECT a\u{b}b\r\n c", reply(Severity::Reject)),
            ("REJECT a\u{7}b", Err(ResultError::Control)),
            ("REJECT\u{b}b", Err(ResultError::Control)),
            ("REJECT $", Err(TemplateError::Empty.into())),
            ("REJECT ${}", Err(TemplateError::Empty.into())),
            ("REJECT $(1", Err(TemplateError::Open.into())),
            (
                "REJECT $1x",
                Err(TemplateError::NoNumber("1x".into()).into()),
            ),
            ("REJECT $0", Err(TemplateError::NoGroup("0".into()).into())),
        ];
        for (text, want) in cases {
            let found = AccessResult::parse(text, &["my_class".to_owned()], Dollars::Groups);
            assert_eq!(found.map(|(result, _)| result), want, "{text}");
        }
    }
}

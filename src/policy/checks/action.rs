//! Parses the actions of a table's lines: those of `header_checks(5)`, and the replies of `access(5)`.
//!
//! | action | meaning |
//! | --- | --- |
//! | `REJECT text`, `5NN text`, `4NN text` | a reply, with the enhanced code that the text begins with |
//! | `DISCARD text`, `HOLD text` | the message is accepted and thrown away, or held |
//! | `GREYLIST` | the message is greylisted |
//! | `IGNORE`, `STRIP text` | the field is removed, without or with a line in the log |
//! | `PREPEND field`, `REPLACE field` | a field is added before this one, or put in its place |
//! | `INFO text`, `WARN text` | a line in the log |
//! | `PASS text` | a line in the log, and nothing more is searched |
//! | `DUNNO`, `OK` | nothing |
//!
//! The action is case-insensitive. A line of a body cannot be changed.

use std::borrow::Cow;

use super::super::access::{TableResult, Template, TemplateError, is_enhanced_code, is_space};
use super::Place;
use crate::types::SmtpCode;

/// The reply to a message that is refused without a text.
const REJECTED: &str = "message content rejected";

/// The reply to a message that is deferred without a text.
const DEFERRED: &str = "try again later";

/// The actions, for errors.
const EXPECTED: &str = "REJECT, a 4NN or 5NN code with text, DISCARD, HOLD, GREYLIST, IGNORE, STRIP, \
     PREPEND, REPLACE, INFO, WARN, PASS, DUNNO or OK";

/// Why an action is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// It is empty.
    #[error("no action; write {EXPECTED}")]
    Missing,
    /// It is unknown.
    #[error("action {0:?} is not one of {EXPECTED}")]
    Unknown(String),
    /// Only Postfix can do it.
    #[error("a milter cannot {0}; leave this line in Postfix's own header_checks or body_checks")]
    PostfixOnly(&'static str),
    /// A change of a body.
    #[error("a line of a body cannot be changed; {0} is for header fields")]
    Body(&'static str),
    /// `GREYLIST text`.
    #[error("text after GREYLIST")]
    Greylist,
    /// `REJECT 4.7.1 text`.
    #[error("{0} does not go with the reply code {1}")]
    Code(String, u16),
    /// `PREPEND text`.
    #[error("expected a header field, \"Name: value\", without $ in its name")]
    Field,
    /// A control character that is not white space.
    #[error("a control character in the action")]
    Control,
    /// `$` in the text.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// What a line does with a message whose field or line it matches. Its text comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAction {
    /// The message gets this reply with the text.
    Reply(SmtpCode),
    /// The message is accepted and thrown away.
    Discard,
    /// The message is held.
    Hold,
    /// The message is greylisted.
    Greylist,
    /// The field is removed.
    Remove,
    /// The field is removed, and that is logged.
    Strip,
    /// A field of this name is added before this one; the text is its value.
    Prepend(Box<str>),
    /// A field of this name is put in the place of this one; the text is its value.
    Replace(Box<str>),
    /// The text is logged.
    Info,
    /// The text is logged as a warning.
    Warn,
    /// The text is logged, and nothing more is searched.
    Pass,
    /// Nothing.
    Nothing,
}

impl TableResult for CheckAction {
    fn shows_text(&self) -> bool {
        match self {
            Self::Reply(_)
            | Self::Discard
            | Self::Hold
            | Self::Strip
            | Self::Prepend(_)
            | Self::Replace(_)
            | Self::Info
            | Self::Warn
            | Self::Pass => true,
            Self::Greylist | Self::Remove | Self::Nothing => false,
        }
    }

    fn needs_certain_groups(&self) -> bool {
        match self {
            Self::Prepend(_) | Self::Replace(_) => true,
            // Those who read these texts do not depend on them.
            Self::Reply(_)
            | Self::Discard
            | Self::Hold
            | Self::Strip
            | Self::Info
            | Self::Warn
            | Self::Pass
            | Self::Greylist
            | Self::Remove
            | Self::Nothing => false,
        }
    }
}

impl CheckAction {
    /// Parses the action of a line for this part of a message; `text` is trimmed.
    ///
    /// # Errors
    ///
    /// [`ActionError`] says why the text is invalid.
    pub fn parse(text: &str, place: Place) -> Result<(Self, Template), ActionError> {
        let (word, rest) = text.split_at(text.find(is_space).unwrap_or(text.len()));
        let rest = rest.trim_matches(is_space).replace(is_space, " ");
        if word.is_empty() {
            return Err(ActionError::Missing);
        }
        if rest.contains(char::is_control) {
            return Err(ActionError::Control);
        }
        let word = word.to_ascii_lowercase();
        let alone = |action| Ok((action, Template::parse(&rest)?));
        match word.as_str() {
            "reject" => reply(550, &rest, REJECTED),
            "discard" => alone(Self::Discard),
            "hold" => alone(Self::Hold),
            "greylist" | "check_greylist" if rest.is_empty() => alone(Self::Greylist),
            "greylist" | "check_greylist" => Err(ActionError::Greylist),
            "info" => alone(Self::Info),
            "warn" => alone(Self::Warn),
            "pass" => alone(Self::Pass),
            "dunno" | "ok" => Ok((Self::Nothing, Template::plain(""))),
            "filter" => Err(ActionError::PostfixOnly("choose a content filter")),
            "redirect" => Err(ActionError::PostfixOnly("redirect a message")),
            "bcc" => Err(ActionError::PostfixOnly("add a recipient")),
            "ignore" | "strip" | "prepend" | "replace" => change(&word, &rest, place),
            digits => match code(digits) {
                Some(number @ 400..=499) => reply(number, &rest, DEFERRED),
                Some(number) => reply(number, &rest, REJECTED),
                None => Err(ActionError::Unknown(digits.to_owned())),
            },
        }
    }
}

/// An action that changes a header.
fn change(word: &str, rest: &str, place: Place) -> Result<(CheckAction, Template), ActionError> {
    let name = match word {
        "ignore" => "IGNORE",
        "strip" => "STRIP",
        "prepend" => "PREPEND",
        _ => "REPLACE",
    };
    match place {
        Place::Header => {}
        Place::Body => return Err(ActionError::Body(name)),
    }
    Ok(match word {
        "ignore" => (CheckAction::Remove, Template::plain("")),
        "strip" => (CheckAction::Strip, Template::parse(rest)?),
        _ => {
            let (label, value) = rest.split_once(':').ok_or(ActionError::Field)?;
            let is_label = |byte: u8| byte.is_ascii_graphic() && byte != b'$';
            if label.is_empty() || !label.bytes().all(is_label) {
                return Err(ActionError::Field);
            }
            let value = Template::parse(value.trim_matches(is_space))?;
            match word {
                "prepend" => (CheckAction::Prepend(label.into()), value),
                _ => (CheckAction::Replace(label.into()), value),
            }
        }
    })
}

/// A reply with this code, and the text of a line or this one.
fn reply(number: u16, text: &str, otherwise: &str) -> Result<(CheckAction, Template), ActionError> {
    let class = if number < 500 { "4" } else { "5" };
    let (first, behind) = text.split_once(' ').unwrap_or((text, ""));
    let (enhanced, text) = if is_enhanced_code(first) {
        if !first.starts_with(class) {
            return Err(ActionError::Code(first.to_owned(), number));
        }
        (Cow::Owned(first.to_owned()), behind.trim_start())
    } else {
        (Cow::Owned(format!("{class}.7.1")), text)
    };
    let text = if text.is_empty() { otherwise } else { text };
    let code = SmtpCode { number, enhanced };
    Ok((CheckAction::Reply(code), Template::parse(text)?))
}

/// A reply code from 400 to 599.
fn code(digits: &str) -> Option<u16> {
    // The second digit is 0 to 5 (RFC 5321, 4.2).
    let is_code = digits.len() == 3
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(digits.as_bytes().get(1), Some(b'0'..=b'5'));
    let number = digits.parse().ok().filter(|_| is_code)?;
    (400..600).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(number: u16, enhanced: &'static str) -> CheckAction {
        let enhanced = Cow::Borrowed(enhanced);
        CheckAction::Reply(SmtpCode { number, enhanced })
    }

    #[test]
    fn an_action_has_one_meaning_or_a_reason() {
        let unknown = |word: &str| Err(ActionError::Unknown(word.to_owned()));
        let only = |what| Err(ActionError::PostfixOnly(what));
        let cases = [
            ("REJECT", Ok((code(550, "5.7.1"), REJECTED))),
            ("reject no spam", Ok((code(550, "5.7.1"), "no spam"))),
            ("REJECT\t5.7.0  no", Ok((code(550, "5.7.0"), "no"))),
            ("REJECT 5.7.9", Ok((code(550, "5.7.9"), REJECTED))),
            ("REJECT 5.7", Ok((code(550, "5.7.1"), "5.7"))),
            (
                "REJECT 4.7.1 later",
                Err(ActionError::Code("4.7.1".into(), 550)),
            ),
            ("450 later", Ok((code(450, "4.7.1"), "later"))),
            ("450", Ok((code(450, "4.7.1"), DEFERRED))),
            ("554 5.6.0 no", Ok((code(554, "5.6.0"), "no"))),
            ("250 fine", unknown("250")),
            ("600 no", unknown("600")),
            ("+50 no", unknown("+50")),
            ("DISCARD gone", Ok((CheckAction::Discard, "gone"))),
            ("HOLD", Ok((CheckAction::Hold, ""))),
            ("GreyList", Ok((CheckAction::Greylist, ""))),
            ("GREYLIST please", Err(ActionError::Greylist)),
            ("IGNORE this", Ok((CheckAction::Remove, ""))),
            ("STRIP this", Ok((CheckAction::Strip, "this"))),
            (
                "PREPEND X-A: $$ b",
                Ok((CheckAction::Prepend("X-A".into()), "$ b")),
            ),
            ("REPLACE a:", Ok((CheckAction::Replace("a".into()), ""))),
            ("PREPEND text", Err(ActionError::Field)),
            ("PREPEND a b: c", Err(ActionError::Field)),
            ("REPLACE X$$: c", Err(ActionError::Field)),
            ("WARN", Ok((CheckAction::Warn, ""))),
            ("INFO seen", Ok((CheckAction::Info, "seen"))),
            ("PASS", Ok((CheckAction::Pass, ""))),
            ("OK whatever $", Ok((CheckAction::Nothing, ""))),
            ("DUNNO", Ok((CheckAction::Nothing, ""))),
            ("FILTER smtp:[::1]", only("choose a content filter")),
            ("REDIRECT a@b", only("redirect a message")),
            ("BCC a@b", only("add a recipient")),
            ("REJECT a\u{7}b", Err(ActionError::Control)),
            ("REJECT $", Err(TemplateError::Empty.into())),
            ("defer_if_permit x", unknown("defer_if_permit")),
            ("", Err(ActionError::Missing)),
        ];
        for (text, want) in cases {
            let want = want.map(|(action, text)| (action, Template::plain(text)));
            let found = CheckAction::parse(text, Place::Header);
            let found = found.map(|(action, template)| {
                let text = template.expand(None, b"", Cow::Borrowed);
                (action, Template::plain(&String::from_utf8(text).unwrap()))
            });
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn a_line_of_a_body_is_not_changed() {
        for text in ["IGNORE", "STRIP", "PREPEND A: b", "replace c"] {
            let found = CheckAction::parse(text, Place::Body);
            assert!(matches!(found, Err(ActionError::Body(_))), "{text}");
        }
        assert!(CheckAction::parse("REJECT", Place::Body).is_ok());
    }
}

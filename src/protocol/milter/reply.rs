//! Replies to a recipient or a message, as a milter gives them.
//!
//! | reply | answer |
//! | --- | --- |
//! | continue | accepted |
//! | add a header field | accepted, with the field |
//! | greylist | the code of the action that the administrator chose, else 450 4.2.0, with the text |
//! | code | the code with the text |
//! | unavailable | 450 4.3.0 with the text |
//! | sleep | the seconds, and then accepted or deferred |
//! | access | the code of the action; `DEFER_IF_REJECT`: accepted, because a milter is not told what follows |

use super::cut;
use crate::types::{Reply, ReplyText, Span};

/// Most bytes of a line of a reply: 512 with the codes and CR LF (RFC 5321, 4.5.3.1.5).
const MOST_LINE: usize = 400;

/// Most lines of a reply.
const MOST_LINES: usize = 32;

/// The codes of a deferral by greylisting.
const DEFERRED: (&str, &str) = ("450", "4.2.0");

/// A refusal, temporary or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reply code: 4 or 5 and two digits.
    pub code: String,
    /// The enhanced status code, of the same class.
    pub enhanced: String,
    /// The text, in at most 32 lines of at most 400 bytes. A `%` is doubled, as the protocol wants it.
    pub lines: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No objection.
    Accept,
    /// No objection; the message gets this header field: its name, a colon, and the value.
    AcceptWithField(ReplyText),
    /// Refused.
    Refuse(Refusal),
    /// So much later: accepted, or refused.
    Sleep(Span, Option<Refusal>),
}

impl Refusal {
    /// A refusal with these codes and this text. A status code at the beginning of the text goes before the other one
    /// if it is of the same class as the reply code.
    #[must_use]
    pub fn new(code: &str, enhanced: &str, text: &str) -> Self {
        let text = text.trim();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (enhanced, text) = if is_enhanced(word, code) {
            (word, rest.trim_start())
        } else {
            (enhanced, text)
        };
        let doubled = text.replace('%', "%%");
        let mut lines = lines(&doubled);
        lines.truncate(MOST_LINES);
        Self {
            code: code.to_owned(),
            enhanced: enhanced.to_owned(),
            lines,
        }
    }

    /// Whether the client may try again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.code.starts_with('4')
    }
}

/// The answer for a reply. `greylist_action` is the administrator's action for greylisted clients.
#[must_use]
pub fn answer(reply: &Reply, greylist_action: &ReplyText) -> Answer {
    let greylist = |text: &str| Refusal::new(greylist_code(greylist_action), DEFERRED.1, text);
    match reply {
        Reply::Continue => Answer::Accept,
        Reply::AddHeader(field) => Answer::AcceptWithField(field.clone()),
        Reply::Greylist { text, .. } => Answer::Refuse(greylist(text.as_str())),
        Reply::Code(code, text) => {
            let refusal = Refusal::new(&code.number.to_string(), &code.enhanced, text.as_str());
            Answer::Refuse(refusal)
        }
        Reply::Unavailable(text) => Answer::Refuse(Refusal::new("450", "4.3.0", text.as_str())),
        Reply::Sleep { length, then } => {
            let then = then.as_ref().map(|text| greylist(text.as_str()));
            Answer::Sleep(*length, then)
        }
        Reply::Access(action) => access(action.as_str()),
    }
}

/// The reply code of the administrator's action: its own, if it has a temporary one.
fn greylist_code(action: &ReplyText) -> &str {
    let word = action.as_str().split(' ').next().unwrap_or_default();
    if word.starts_with('4') && is_code(word) {
        word
    } else {
        DEFERRED.0
    }
}

/// The answer for a result of a Postfix access table. Postfix's texts for results that have none.
fn access(action: &str) -> Answer {
    let (word, text) = action.split_once(' ').unwrap_or((action, ""));
    let or = |code: &str, enhanced, default| {
        let text = if text.is_empty() { default } else { text };
        Answer::Refuse(Refusal::new(code, enhanced, text))
    };
    let denied = "Client host rejected: Access denied";
    match word.to_ascii_uppercase().as_str() {
        "REJECT" => or("554", "5.7.1", denied),
        "DEFER" | "DEFER_IF_PERMIT" => or("450", "4.7.1", denied),
        code if is_code(code) && code.starts_with('4') => or(code, "4.7.1", denied),
        code if is_code(code) && code.starts_with('5') => or(code, "5.7.1", denied),
        _ => Answer::Accept,
    }
}

fn is_code(word: &str) -> bool {
    // The second digit is 0 to 5 (RFC 5321, 4.2).
    word.len() == 3
        && word.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(word.as_bytes().get(1), Some(b'0'..=b'5'))
}

/// Whether a word is an enhanced status code of the same class as a reply code.
fn is_enhanced(word: &str, code: &str) -> bool {
    let mut parts = word.split('.');
    let class = parts.next();
    let numbers: Vec<_> = parts.collect();
    let is_number = |part: &&str| {
        matches!(part.len(), 1..=3)
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    };
    class.is_some_and(|class| code.get(..1) == Some(class))
        && numbers.len() == 2
        && numbers.iter().all(is_number)
}

/// The text in lines that are short enough, broken at blanks where there are any.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.len() > MOST_LINE {
        let head = cut(rest, MOST_LINE);
        // A doubled % is not broken.
        let odd = head.bytes().rev().take_while(|byte| *byte == b'%').count() % 2;
        let end = head.rfind(' ').filter(|at| *at > 0);
        let end = end.unwrap_or_else(|| head.len().saturating_sub(odd)).max(1);
        let (line, after) = rest.split_at(end);
        lines.push(line.to_owned());
        rest = after.trim_start();
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SmtpCode;

    fn text(text: &str) -> ReplyText {
        ReplyText::new(text.to_owned())
    }

    fn refused(code: &str, enhanced: &str, line: &str) -> Answer {
        Answer::Refuse(Refusal {
            code: code.to_owned(),
            enhanced: enhanced.to_owned(),
            lines: vec![line.to_owned()],
        })
    }

    #[test]
    fn each_reply_has_its_answer() {
        let greylist = |line: &str, has_code| Reply::Greylist {
            text: text(line),
            has_code,
        };
        let then = |then: Option<&str>| Reply::Sleep {
            length: Span::from_seconds(65),
            then: then.map(text),
        };
        let deferred = |line: &str| Some(Refusal::new("450", "4.2.0", line));
        let access = |action: &str| Reply::Access(text(action));
        let denied = "Client host rejected: Access denied";
        let cases = [
            (Reply::Continue, Answer::Accept),
            (
                Reply::AddHeader(text("X: y")),
                Answer::AcceptWithField(text("X: y")),
            ),
            (greylist("wait", false), refused("450", "4.2.0", "wait")),
            (
                greylist("4.7.1 wait", true),
                refused("450", "4.7.1", "wait"),
            ),
            (
                greylist("5.7.1 wait", true),
                refused("450", "4.2.0", "5.7.1 wait"),
            ),
            (
                Reply::Code(SmtpCode::REFUSED, text("100% no")),
                refused("550", "5.7.1", "100%% no"),
            ),
            (
                Reply::Unavailable(text("later")),
                refused("450", "4.3.0", "later"),
            ),
            (then(None), Answer::Sleep(Span::from_seconds(65), None)),
            (
                then(Some("wait")),
                Answer::Sleep(Span::from_seconds(65), deferred("wait")),
            ),
            (access("554 5.7.1 no"), refused("554", "5.7.1", "no")),
            (access("REJECT"), refused("554", "5.7.1", denied)),
            (access("reject no"), refused("554", "5.7.1", "no")),
            (access("DEFER_IF_PERMIT"), refused("450", "4.7.1", denied)),
            (access("421 bye"), refused("421", "4.7.1", "bye")),
            (access("DEFER_IF_REJECT later"), Answer::Accept),
        ];
        for (reply, want) in cases {
            assert_eq!(answer(&reply, &text("DEFER_IF_PERMIT")), want, "{reply:?}");
        }
    }

    #[test]
    fn a_deferral_has_the_code_of_the_administrators_action() {
        let reply = Reply::Greylist {
            text: text("wait"),
            has_code: false,
        };
        for (action, code) in [
            ("DEFER_IF_PERMIT", "450"),
            ("451", "451"),
            ("451 4.7.1", "451"),
            ("defer", "450"),
            ("550", "450"),
            ("greylisting_class", "450"),
        ] {
            let want = refused(code, "4.2.0", "wait");
            assert_eq!(answer(&reply, &text(action)), want, "{action}");
        }
    }

    #[test]
    fn long_texts_are_broken_at_blanks_and_never_inside_a_doubled_percent_sign() {
        let words = "word ".repeat(200);
        let percents = "%".repeat(1000);
        let wide = "\u{fc}".repeat(1000);
        for long in [words.as_str(), &percents, &wide, &"x".repeat(100_000)] {
            let refusal = Refusal::new("450", "4.2.0", long);
            assert!(refusal.lines.len() > 1 && refusal.lines.len() <= 32);
            for line in &refusal.lines {
                assert!(line.len() <= MOST_LINE && !line.is_empty());
                assert!(line.matches('%').count().is_multiple_of(2), "{line}");
            }
        }
    }
}

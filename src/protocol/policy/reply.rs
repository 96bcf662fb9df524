//! Replies as bytes: the actions of `access(5)`.
//!
//! | reply | action |
//! | --- | --- |
//! | continue | `DUNNO` |
//! | add a header field | `PREPEND` and the field |
//! | greylist | the action that the administrator chose, with the text |
//! | code | the code with the text |
//! | unavailable | `DEFER_IF_PERMIT` with the text |
//! | sleep | `SLEEP` and the seconds; the action that the administrator chose if a deferral follows |
//! | access | as the table has it |

use crate::types::{Reply, ReplyText};

/// No objection.
const CONTINUE: &[u8] = b"DUNNO";

/// How replies are written.
#[derive(Debug, Clone, Copy)]
pub struct Style<'a> {
    /// The action for greylisted clients, such as `DEFER_IF_PERMIT`.
    pub greylist_action: &'a ReplyText,
    /// Whether an enhanced status code (RFC 3463) may begin the text: Postfix 2.3 and later.
    pub enhanced_codes: bool,
}

/// Appends one reply with its envelope: `action=`, the action, an empty line.
pub fn write_reply(out: &mut Vec<u8>, reply: &Reply, style: Style<'_>) {
    out.extend_from_slice(b"action=");
    write_action(out, reply, style);
    out.extend_from_slice(b"\n\n");
}

/// The action of a reply, without the envelope.
#[must_use]
pub fn action(reply: &Reply, style: Style<'_>) -> String {
    let mut out = Vec::new();
    write_action(&mut out, reply, style);
    String::from_utf8_lossy(&out).into_owned()
}

fn write_action(out: &mut Vec<u8>, reply: &Reply, style: Style<'_>) {
    let greylist = style.greylist_action.as_str();
    match reply {
        Reply::Continue => out.extend_from_slice(CONTINUE),
        Reply::AddHeader(field) => words(out, &["PREPEND ", field.as_str()]),
        Reply::Greylist { text, has_code } => {
            let code = if style.enhanced_codes && !has_code {
                "4.2.0 "
            } else {
                ""
            };
            words(out, &[greylist, " ", code, text.as_str()]);
        }
        Reply::Code(code, text) => {
            words(out, &[&code.number.to_string(), " "]);
            if style.enhanced_codes {
                words(out, &[&code.enhanced, " "]);
            }
            words(out, &[text.as_str()]);
        }
        Reply::Unavailable(text) => {
            words(out, &["DEFER_IF_PERMIT 4.3.0 ", text.as_str()]);
        }
        Reply::Sleep { length, then } => {
            words(out, &["SLEEP ", &length.seconds().to_string()]);
            // A text after a list of restrictions would be read as further restrictions.
            if then.is_some() {
                words(out, &[", ", greylist]);
            }
        }
        Reply::Access(action) => words(out, &[action.as_str()]),
    }
}

fn words(out: &mut Vec<u8>, words: &[&str]) {
    for word in words {
        out.extend_from_slice(word.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SmtpCode;
    use crate::types::Span;

    #[test]
    fn each_reply_has_its_action() {
        let text = |text: &str| ReplyText::new(text.to_owned());
        let length = Span::from_seconds(65);
        let greylist = |wait: &str, has_code| Reply::Greylist {
            text: text(wait),
            has_code,
        };
        let then = |then: Option<&str>| Reply::Sleep {
            length,
            then: then.map(text),
        };
        let cases = [
            (Reply::Continue, true, "DUNNO"),
            (Reply::AddHeader(text("X: y")), true, "PREPEND X: y"),
            (greylist("wait", false), true, "450 4.2.0 wait"),
            (greylist("wait", false), false, "450 wait"),
            (greylist("60 seconds", false), true, "450 4.2.0 60 seconds"),
            (greylist("4.7.1 wait", true), true, "450 4.7.1 wait"),
            (
                Reply::Unavailable(text("later")),
                true,
                "DEFER_IF_PERMIT 4.3.0 later",
            ),
            (
                Reply::Code(SmtpCode::REFUSED, text("no")),
                true,
                "550 5.7.1 no",
            ),
            (Reply::Code(SmtpCode::REFUSED, text("no")), false, "550 no"),
            (then(None), true, "SLEEP 65"),
            (then(Some("wait")), true, "SLEEP 65, 450"),
            (Reply::Access(text("554 no")), true, "554 no"),
        ];
        let greylist_action = &text("450");
        for (reply, enhanced_codes, want) in cases {
            let style = Style {
                greylist_action,
                enhanced_codes,
            };
            assert_eq!(action(&reply, style), want, "{reply:?}");
            let mut out = b"before".to_vec();
            write_reply(&mut out, &reply, style);
            assert_eq!(out, format!("beforeaction={want}\n\n").as_bytes());
        }
    }
}

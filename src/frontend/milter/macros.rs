//! The macros of a mail server, as rules name them: without braces.

use std::ffi::{CStr, CString};

use indymilter::Macros;

use crate::policy::MailServerMacros;

/// The macros that the mail server has sent by now. Nothing is copied: rules ask for the few that they name.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentMacros<'a>(pub(super) &'a Macros);

impl MailServerMacros for SentMacros<'_> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        value(name, |sent| self.0.get(sent))
    }
}

/// The value of a macro. If a mail server sends both `i` and `{i}`, the one counts that has the form in which Postfix and
/// Sendmail send it: braces are around names of several letters only.
fn value<'m>(name: &str, sent: impl Fn(&CStr) -> Option<&'m CStr>) -> Option<&'m [u8]> {
    let bare = CString::new(name).ok()?;
    let braced = CString::new(format!("{{{name}}}")).ok()?;
    let (usual, other) = if name.chars().nth(1).is_some() {
        (braced, bare)
    } else {
        (bare, braced)
    };
    let value = sent(&usual).or_else(|| sent(&other));
    value.map(CStr::to_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn of_two_forms_of_a_name_the_usual_one_counts() {
        let text = |text: &str| CString::new(text).unwrap();
        for (sent, name, want) in [
            (&[("i", "bare"), ("{i}", "braced")][..], "i", Some("bare")),
            (
                &[("{auth_type}", "braced"), ("auth_type", "bare")],
                "auth_type",
                Some("braced"),
            ),
            (&[("{i}", "alone"), ("j", "x")], "i", Some("alone")),
            (
                &[("auth_type", "alone"), ("j", "x")],
                "auth_type",
                Some("alone"),
            ),
            (&[("{", "alone"), ("{}", "x")], "{", Some("alone")),
            (&[("j", "x"), ("{ii}", "y")], "i", None),
            (&[("i", "x")], "i\0", None),
        ] {
            let all = sent.iter();
            let all: HashMap<_, _> = all.map(|(name, value)| (text(name), text(value))).collect();
            let found = value(name, |name| all.get(name).map(CString::as_c_str));
            assert_eq!(found, want.map(str::as_bytes), "{sent:?}");
        }
    }
}

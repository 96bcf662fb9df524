//! The macros of a mail server, as rules name them: without braces.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

use indymilter::Macros;

use crate::policy::MailServerMacros;

/// The macros that the mail server has sent by now. Rules ask for the few that they name.
#[derive(Debug)]
pub(super) struct SentMacros<'a> {
    sent: &'a Macros,
    /// A copy, made when a rule asks for a name of one letter: [`Macros::get`] does not distinguish their forms.
    copy: OnceLock<HashMap<CString, CString>>,
}

impl<'a> SentMacros<'a> {
    pub(super) const fn new(sent: &'a Macros) -> Self {
        Self {
            sent,
            copy: OnceLock::new(),
        }
    }
}

impl MailServerMacros for SentMacros<'_> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        value(name, |form| {
            if is_long(name) {
                return self.sent.get(form);
            }
            let copy = self.copy.get_or_init(|| self.sent.to_hash_map());
            copy.get(form).map(CString::as_c_str)
        })
    }
}

/// The value of a macro. If a mail server sends both `i` and `{i}`, the one counts that has the form in which Postfix and
/// Sendmail send it: braces are around names of several letters only.
fn value<'m>(name: &str, sent: impl Fn(&CStr) -> Option<&'m CStr>) -> Option<&'m [u8]> {
    let bare = CString::new(name).ok()?;
    let braced = CString::new(format!("{{{name}}}")).ok()?;
    let (usual, other) = if is_long(name) {
        (braced, bare)
    } else {
        (bare, braced)
    };
    let value = sent(&usual).or_else(|| sent(&other));
    value.map(CStr::to_bytes)
}

/// Whether a name has several letters.
fn is_long(name: &str) -> bool {
    name.chars().nth(1).is_some()
}

#[cfg(test)]
mod tests {
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

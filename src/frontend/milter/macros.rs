//! The macros of a mail server, as rules name them: without braces.

use std::ffi::CString;

use indymilter::Macros;

use crate::policy::Ruleset;

/// A macro: its name without braces, and its value.
type Named = (String, Vec<u8>);

/// The macros of the mail server, if there are rules that may ask for them.
pub(super) fn named(rules: &Ruleset, macros: &Macros) -> Vec<Named> {
    let chain = &rules.lists.chain;
    if chain.is_empty() && !chain.has_message_rules() {
        return Vec::new();
    }
    by_name(macros.to_hash_map())
}

/// Macros as an attempt has them.
pub(super) fn borrowed(named: &[Named]) -> Vec<(&str, &[u8])> {
    let named = named.iter();
    named.map(|(name, value)| (&**name, &**value)).collect()
}

/// These macros by their names without braces. If a mail server sends both `i` and `{i}`, the one is first, and counts,
/// that has the form in which Postfix and Sendmail send it: braces are around names of several letters only.
fn by_name(macros: impl IntoIterator<Item = (CString, CString)>) -> Vec<Named> {
    let macros = macros.into_iter().map(|(name, value)| {
        let name = name.to_string_lossy();
        let inside = name
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        let bare = inside.unwrap_or(&name);
        let is_usual = inside.is_some() == (bare.chars().nth(1).is_some());
        (!is_usual, (bare.to_owned(), value.into_bytes()))
    });
    let mut macros: Vec<(bool, Named)> = macros.collect();
    macros.sort_by_key(|(is_unusual, _)| *is_unusual);
    macros.into_iter().map(|(_, named)| named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_forms_of_a_name_the_usual_one_counts_in_whatever_order_they_come() {
        let text = |text: &str| CString::new(text).unwrap();
        for (sent, name, want) in [
            ([("i", "bare"), ("{i}", "braced")], "i", "bare"),
            (
                [("{auth_type}", "braced"), ("auth_type", "bare")],
                "auth_type",
                "braced",
            ),
            ([("{i}", "alone"), ("j", "x")], "i", "alone"),
            ([("auth_type", "alone"), ("j", "x")], "auth_type", "alone"),
            ([("{", "alone"), ("{}", "x")], "{", "alone"),
        ] {
            let first_found = |sent: &[(&str, &str)]| {
                let sent = sent.iter().map(|(name, value)| (text(name), text(value)));
                let named = by_name(sent);
                let mut found = named.into_iter().filter(|(known, _)| known == name);
                found.next().map(|(_, value)| value)
            };
            let [one, other] = sent;
            for sent in [[one, other], [other, one]] {
                let want = want.as_bytes().to_vec();
                assert_eq!(first_found(&sent), Some(want), "{sent:?}");
            }
        }
    }
}

//! Header fields that are added to a message.

use super::cut;

/// Most bytes of a value (RFC 5322, 2.1.1, without the name).
const MOST_VALUE: usize = 998;

/// Bytes of a line after which it is folded at the next blank.
const FOLD_AT: usize = 78;

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value, folded.
    pub value: String,
}

impl Field {
    /// The field that this line is: a name, a colon, a value. `None` if it has no name of printable ASCII.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, value) = line.split_once(':')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        is_name.then(|| Self {
            name: name.to_owned(),
            value: folded(name, value.trim()),
        })
    }
}

/// A value without control characters, at most 998 bytes long, folded at blanks. Folds have no carriage return, as the
/// protocol wants it.
#[must_use]
pub fn folded(name: &str, value: &str) -> String {
    let value = cut(value, MOST_VALUE);
    let mut folded = String::with_capacity(value.len().saturating_add(16));
    let mut column = name.len().saturating_add(1);
    for (number, word) in value.split(' ').enumerate() {
        if number > 0 {
            // A line of white space alone would end the header for some readers.
            let is_long = column.saturating_add(word.len()) >= FOLD_AT && !word.is_empty();
            if is_long && !folded.ends_with(' ') && !folded.is_empty() {
                folded.push('\n');
                column = 0;
            }
            folded.push(' ');
        }
        let clean = |c: char| if c.is_control() { '?' } else { c };
        folded.extend(word.chars().map(clean));
        column = column.saturating_add(word.len()).saturating_add(1);
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_a_name_and_a_clean_value() {
        let field = |line: &str| Field::parse(line).map(|field| (field.name, field.value));
        let owned = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        let cases = [
            (
                "X-Greylist: delayed 300 seconds",
                owned("X-Greylist", "delayed 300 seconds"),
            ),
            ("X:", owned("X", "")),
            ("X: a\r\nBcc: b", owned("X", "a??Bcc: b")),
            ("no colon", None),
            (": x", None),
            ("X Y: z", None),
        ];
        for (line, want) in cases {
            assert_eq!(field(line), want, "{line:?}");
        }
    }

    #[test]
    fn long_values_are_folded_and_cut() {
        let value = folded("X-Long", &"word ".repeat(400));
        assert!(value.len() <= MOST_VALUE + 20);
        for line in value.split('\n') {
            assert!(line.len() <= FOLD_AT && !line.trim().is_empty(), "{line:?}");
        }
        let begins = value.split('\n').skip(1).all(|line| line.starts_with(' '));
        assert!(begins, "{value:?}");
        assert_eq!(folded("X", &"y".repeat(2000)).len(), MOST_VALUE);
    }
}

//! Printable forms of arbitrary bytes.
//!
//! Addresses are bytes. In text (log, replies), everything that is not printable UTF-8 is written `\xNN`, and so is the
//! backslash, so that the conversion is reversible.
//! [`Unbroken`] escapes white space and commas as well, for lines whose fields these separate.

use std::fmt::{self, Write};

/// Displays bytes with non-printable ones as `\xNN`.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a [u8]);

impl Printable<'_> {
    /// Whether the bytes are displayed unchanged.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        std::str::from_utf8(self.0).is_ok_and(|text| text.chars().all(plain))
    }
}

/// Whether a character is displayed unchanged.
fn plain(c: char) -> bool {
    c != '\\' && !c.is_control() && !is_invisible(c)
}

/// Whether a character is invisible, or changes the direction of the text around it, so that two addresses that differ
/// in it would look alike. These are Unicode's default ignorable code points, the separators of lines and paragraphs,
/// and the marks of annotations.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, plain)
    }
}

/// Displays bytes as [`Printable`] does, with white space and commas escaped too: one field of a line in which
/// fields are separated by `, `.
#[derive(Debug, Clone, Copy)]
pub struct Unbroken<'a>(pub &'a [u8]);

impl fmt::Display for Unbroken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, |c| plain(c) && c != ',' && !c.is_whitespace())
    }
}

/// Writes bytes; characters that are not `plain` are escaped.
fn show(f: &mut fmt::Formatter<'_>, bytes: &[u8], plain: impl Fn(char) -> bool) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if plain(c) {
                f.write_char(c)?;
            } else {
                let mut encoded = [0; 4];
                escape(f, c.encode_utf8(&mut encoded).as_bytes())?;
            }
        }
        escape(f, chunk.invalid())?;
    }
    Ok(())
}

/// Writes bytes as `\xNN` each.
fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// Parses the output of [`Printable`] and [`Unbroken`]; `None` if a backslash does not begin a `\\xNN`.
#[must_use]
pub fn unprintable(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.strip_prefix('x')?;
        let (byte, rest) = digits.split_at_checked(2)?;
        let is_hexadecimal = byte.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(
            u8::from_str_radix(byte, 16)
                .ok()
                .filter(|_| is_hexadecimal)?,
        );
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

/// A number with its noun, in the singular or the plural: `1 triplet`, `2 triplets`.
#[must_use]
pub fn counted(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_can_be_had_back(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for shown in [Printable(&bytes).to_string(), Unbroken(&bytes).to_string()] {
                prop_assert_eq!(unprintable(&shown), Some(bytes.clone()));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in r"(\\|\\x|[0-9a-f]|\PC){0,12}") {
            if let Some(bytes) = unprintable(&text) {
                prop_assert_eq!(unprintable(&Printable(&bytes).to_string()), Some(bytes));
            }
        }
    }

    #[test]
    fn a_field_of_a_line_has_neither_white_space_nor_commas() {
        for (bytes, want) in [
            ("user+tag=x@example.org", "user+tag=x@example.org"),
            ("a b,c", "a\\x20b\\x2cc"),
            ("a\tb\u{a0}c\u{3000}", "a\\x09b\\xc2\\xa0c\\xe3\\x80\\x80"),
        ] {
            assert_eq!(Unbroken(bytes.as_bytes()).to_string(), want);
        }
    }

    #[test]
    fn only_one_is_singular() {
        for (number, want) in [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")] {
            assert_eq!(counted(number, "entry", "entries"), want);
        }
    }

    #[test]
    fn a_backslash_that_escapes_nothing_is_refused() {
        for text in ["\\", "a\\b", "\\x", "\\x4", "\\xg0", "\\x+1", "\\xé"] {
            assert_eq!(unprintable(text), None, "{text}");
        }
        assert_eq!(unprintable("\\xFFa"), Some(b"\xffa".to_vec()));
    }

    #[test]
    fn what_takes_no_place_is_escaped() {
        for c in "\u{ad}\u{200b}\u{200d}\u{200f}\u{202e}\u{2060}\u{2066}\u{feff}\u{fe0f}\u{e0041}\u{3164}\u{180e}".chars() {
            let text = format!("joe{c}@example.org");
            let shown = Printable(text.as_bytes()).to_string();
            assert!(shown.starts_with("joe\\x") && shown.is_ascii(), "{shown}");
            assert_eq!(unprintable(&shown), Some(text.into_bytes()));
        }
        for c in "\u{e9}\u{df}\u{4e2d}\u{5d0}\u{1f600}".chars() {
            assert!(Printable(c.to_string().as_bytes()).is_plain(), "{c}");
        }
    }

    #[test]
    fn what_is_not_printable_is_escaped_reversibly() {
        let cases: [(&[u8], &str, bool); 6] = [
            (b"user@example.org", "user@example.org", true),
            (
                "m\u{fc}ller@example.org".as_bytes(),
                "müller@example.org",
                true,
            ),
            (b"a\xff\x00b", "a\\xff\\x00b", false),
            (b"a\\xffb", "a\\x5cxffb", false),
            ("a\u{85}".as_bytes(), "a\\xc2\\x85", false),
            ("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb", false),
        ];
        for (bytes, want, want_plain) in cases {
            assert_eq!(Printable(bytes).to_string(), want);
            assert_eq!(Printable(bytes).is_plain(), want_plain, "{want}");
        }
    }
}

//! Shell patterns, as fnmatch(3) reads them without flags, in the C locale.
//!
//! `*` stands for any text, `?` for a byte, `[…]` for one of several bytes, and a backslash takes the meaning of the byte
//! after it. A pattern may come from a stranger: the time is at most the product of both lengths,
//! after one reading of the pattern.

use super::ere::set::ByteSet;

/// The longest name of a class.
const LONGEST_CLASS: usize = 6;

/// A part of a pattern.
enum Part {
    /// Any text.
    Any,
    /// Any byte.
    One,
    /// This byte.
    Byte(u8),
    /// One of these.
    Set(ByteSet),
    /// No byte: a backslash with nothing behind it.
    Never,
}

impl Part {
    /// Whether it stands for this one byte.
    fn matches(&self, byte: u8) -> bool {
        match self {
            Self::One => true,
            Self::Byte(wanted) => *wanted == byte,
            Self::Set(set) => set.contains(byte),
            Self::Any | Self::Never => false,
        }
    }
}

/// Whether a pattern matches the whole of a text.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let parts = parts(pattern);
    let (mut parts, mut text) = (&*parts, text);
    // What is behind the last asterisk, and what it has to match unless the asterisk takes another byte.
    let mut last = None;
    loop {
        match (parts, text) {
            ([Part::Any, behind @ ..], _) => {
                parts = behind;
                last = Some((behind, text));
            }
            ([], []) => return true,
            ([part, behind @ ..], [byte, rest @ ..]) if part.matches(*byte) => {
                (parts, text) = (behind, rest);
            }
            ([] | [_, ..], _) => {
                let Some((behind, [_, later @ ..])) = last else {
                    return false;
                };
                (parts, text) = (behind, later);
                last = Some((behind, later));
            }
        }
    }
}

/// The parts of a pattern.
fn parts(pattern: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut brackets = Brackets {
        pattern,
        endless: Vec::new(),
    };
    let mut place = 0_usize;
    while let Some(rest) = pattern.get(place..).filter(|rest| !rest.is_empty()) {
        let (part, length) = match rest {
            [b'*', ..] => (Part::Any, 1),
            [b'?', ..] => (Part::One, 1),
            [b'[', ..] => match brackets.read(place.saturating_add(1)) {
                Some((set, end)) => (Part::Set(set), end.saturating_sub(place)),
                // Without its end, a bracket is an ordinary byte.
                None => (Part::Byte(b'['), 1),
            },
            [b'\\'] => (Part::Never, 1),
            [b'\\', byte, ..] => (Part::Byte(*byte), 2),
            [byte, ..] => (Part::Byte(*byte), 1),
            [] => break,
        };
        parts.push(part);
        place = place.saturating_add(length);
    }
    parts
}

/// What is known of the bracket expressions of a pattern.
struct Brackets<'a> {
    pattern: &'a [u8],
    /// Whether a bracket expression that reads on at this place has no end; empty until one has been found. So no place
    /// is read twice in vain.
    endless: Vec<bool>,
}

impl Brackets<'_> {
    /// The bytes of a bracket expression after its `[`, and the place behind its end; `None` if it has no end.
    fn read(&mut self, begin: usize) -> Option<(ByteSet, usize)> {
        let is_negated = matches!(self.pattern.get(begin), Some(b'!' | b'^'));
        let begin = begin.saturating_add(usize::from(is_negated));
        let end = self.end(begin)?;
        let mut set = ByteSet::empty();
        let mut rest = self.pattern.get(begin..end)?;
        while let Some((item, behind)) = item(rest) {
            match item {
                Item::Class(class) => set.insert_all(&class),
                Item::Range(low, high) => set.insert_range(low, high),
            }
            rest = behind;
        }
        let set = if is_negated { set.inverted() } else { set };
        Some((set, end.saturating_add(1)))
    }

    /// The place of the `]` that ends the expression; one that comes first is ordinary.
    fn end(&mut self, begin: usize) -> Option<usize> {
        let length = self.pattern.len();
        let mut read = Vec::new();
        let mut place = begin;
        let mut is_first = true;
        loop {
            let rest = self.pattern.get(place..).unwrap_or_default();
            if !is_first {
                if rest.starts_with(b"]") {
                    return Some(place);
                }
                if self.endless.get(place).copied().unwrap_or(false) {
                    break;
                }
                read.push(place);
            }
            is_first = false;
            let Some((_, behind)) = item(rest) else {
                break;
            };
            place = length.saturating_sub(behind.len());
        }
        self.endless.resize(length.saturating_add(1), false);
        for place in read {
            if let Some(endless) = self.endless.get_mut(place) {
                *endless = true;
            }
        }
        None
    }
}

/// An item of a bracket expression.
enum Item {
    Class(ByteSet),
    /// From a byte to a byte.
    Range(u8, u8),
}

/// The first item of a bracket expression, and what is behind it; `None` if there is none.
fn item(text: &[u8]) -> Option<(Item, &[u8])> {
    if let Some((class, behind)) = named(text) {
        return Some((Item::Class(class), behind));
    }
    let (low, behind) = byte(text)?;
    match behind {
        [b'-', end @ ..] if !end.is_empty() && !end.starts_with(b"]") => {
            let (high, behind) = byte(end)?;
            Some((Item::Range(low, high), behind))
        }
        _ => Some((Item::Range(low, low), behind)),
    }
}

/// A class, `[:name:]`, and what is behind it.
fn named(text: &[u8]) -> Option<(ByteSet, &[u8])> {
    let name = text.strip_prefix(b"[:")?;
    let mut ends = name.windows(2).take(LONGEST_CLASS.saturating_add(1));
    let end = ends.position(|end| end == b":]")?;
    let (name, behind) = name.split_at(end);
    Some((ByteSet::class(name)?, behind.get(2..)?))
}

/// A byte of a bracket expression, and what is behind it.
const fn byte(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'\\', byte, behind @ ..] | [byte, behind @ ..] => Some((*byte, behind)),
        [] => None,
    }
}

#[cfg(test)]
mod oracle_tests;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_milter_greylist_matches_them() {
        let both = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        for (pattern, text, want) in [
            // Tried with the program.
            ("a*", "abc", true),
            ("a*", "", false),
            ("A*", "abc", false),
            ("a?c", "abc", true),
            ("*b*", "abc", true),
            ("b", "abc", false),
            ("a/*", "a/b/c", true),
            ("*", ".x", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "dx", true),
            ("[]x]", "x", true),
            ("[]x]", "]", true),
            ("[a", "[a", true),
            ("[[:digit:]]", "5", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            // fnmatch(3).
            ("", "", true),
            ("**", "", true),
            ("*a*b*c", "xxaxxbxxcxxc", true),
            ("*a*b*c", "xxaxxbxxcxxd", false),
            ("[a-]", "-", true),
            ("[\\]]", "]", true),
            ("[[:digit:]a]", "a", true),
            ("[[:none:]]", ":]", true),
            ("a\\", "a\\", false),
            ("?", "", false),
        ] {
            assert_eq!(both(pattern, text), want, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn a_pattern_of_asterisks_takes_no_more_than_the_product_of_the_lengths() {
        let pattern = b"a*".repeat(200);
        let text = vec![b'a'; 400];
        assert!(matches(&pattern, &text));
        assert!(!matches(&[&pattern[..], b"b"].concat(), &text));
    }

    #[test]
    fn a_pattern_of_brackets_without_an_end_is_read_once() {
        const LENGTH: usize = 20_000;
        for part in [
            "[",
            "[!",
            "[a",
            "[[:",
            "[[:alpha:]",
            "[\\]",
            "[]",
            "[a-",
            "[]-",
        ] {
            let pattern = part.repeat(LENGTH);
            let ending = format!("*{pattern}");
            assert!(!matches(pattern.as_bytes(), b"x"), "{part}");
            assert!(!matches(ending.as_bytes(), b"xxxx"), "{part}");
        }
        let text = b"[".repeat(2000);
        assert!(matches(&[&b"*"[..], &text, b"*"].concat(), &text));
        assert!(!matches(&[&b"*"[..], &text, b"*a"].concat(), &text));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn patterns_mean_what_they_mean_when_they_are_read_at_each_byte(
            pattern in "([*?\\[\\]!^\\-:\\\\ad]|\\[:(digit|alpha|none):\\]){0,9}",
            text in "[*?\\[\\]!^\\-:\\\\ad5]{0,4}",
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), oracle_tests::matches(pattern, text));
        }
    }
}

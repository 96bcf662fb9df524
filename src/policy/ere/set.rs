//! Sets of bytes that may match at one position of a subject.

/// A set of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct ByteSet(Box<[bool; 256]>);

/// A class: its name, and whether a byte is in it.
type Class = (&'static str, fn(&u8) -> bool);

/// The classes of the C locale.
const CLASSES: &[Class] = &[
    ("alnum", u8::is_ascii_alphanumeric),
    ("alpha", u8::is_ascii_alphabetic),
    ("blank", |byte| matches!(byte, b' ' | b'\t')),
    ("cntrl", u8::is_ascii_control),
    ("digit", u8::is_ascii_digit),
    ("graph", u8::is_ascii_graphic),
    ("lower", u8::is_ascii_lowercase),
    ("print", |byte| byte.is_ascii_graphic() || *byte == b' '),
    ("punct", u8::is_ascii_punctuation),
    ("space", |byte| matches!(byte, b' ' | 9..=13)),
    ("upper", u8::is_ascii_uppercase),
    ("xdigit", u8::is_ascii_hexdigit),
];

impl ByteSet {
    /// No byte.
    pub(in crate::policy) fn empty() -> Self {
        Self(Box::new([false; 256]))
    }

    /// One byte.
    pub(in crate::policy) fn one(byte: u8) -> Self {
        let mut set = Self::empty();
        set.insert(byte);
        set
    }

    /// A class of the C locale; `None` if the name is unknown.
    pub(in crate::policy) fn class(name: &[u8]) -> Option<Self> {
        let (_, holds) = CLASSES.iter().find(|(other, _)| other.as_bytes() == name)?;
        Some(Self::of(holds))
    }

    /// The bytes of words.
    pub(in crate::policy) fn word() -> Self {
        Self::of(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }

    /// The bytes for which `holds` is true.
    pub(in crate::policy) fn of(holds: impl Fn(&u8) -> bool) -> Self {
        let mut set = Self::empty();
        for (member, byte) in set.0.iter_mut().zip(0..=u8::MAX) {
            *member = holds(&byte);
        }
        set
    }

    /// Adds a byte.
    pub(in crate::policy) fn insert(&mut self, byte: u8) {
        self.insert_all(&Self::of(|other| *other == byte));
    }

    /// Adds the bytes from one to another; none if the first is greater.
    pub(in crate::policy) fn insert_range(&mut self, low: u8, high: u8) {
        for (member, byte) in self.0.iter_mut().zip(0..=u8::MAX) {
            *member |= (low..=high).contains(&byte);
        }
    }

    /// Adds the bytes of another set.
    pub(in crate::policy) fn insert_all(&mut self, other: &Self) {
        for (member, more) in self.0.iter_mut().zip(other.0.iter()) {
            *member |= *more;
        }
    }

    /// Whether a byte is in it.
    pub(in crate::policy) fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// The complement.
    pub(in crate::policy) fn inverted(&self) -> Self {
        Self::of(|byte| !self.contains(*byte))
    }

    /// The bytes whose upper case is in it.
    pub(in crate::policy) fn ignoring_case(&self) -> Self {
        Self::of(|byte| self.contains(byte.to_ascii_uppercase()))
    }

    /// The byte, if there is only one. A letter in both cases counts as one if `ignores_case`: that in lower case.
    pub(super) fn only(&self, ignores_case: bool) -> Option<u8> {
        let mut bytes = (0..=u8::MAX).filter(|byte| self.contains(*byte));
        let first = bytes.next()?;
        let Some(second) = bytes.next() else {
            return Some(first);
        };
        let is_letter = ignores_case && first.eq_ignore_ascii_case(&second);
        (is_letter && bytes.next().is_none()).then_some(second)
    }

    /// Translates it to the syntax of the `regex` crate.
    pub(in crate::policy) fn write(&self, out: &mut String) {
        out.push('[');
        let mut ranges = 0_usize;
        let mut first = None;
        for byte in 0..=u8::MAX {
            if !self.contains(byte) {
                continue;
            }
            let begin = *first.get_or_insert(byte);
            if byte.checked_add(1).is_some_and(|next| self.contains(next)) {
                continue;
            }
            write_range(begin, byte, out);
            ranges = ranges.saturating_add(1);
            first = None;
        }
        if ranges == 0 {
            out.push_str("^\\x00-\\xff");
        }
        out.push(']');
    }
}

/// Writes a range, or the one byte that it is.
fn write_range(begin: u8, end: u8, out: &mut String) {
    write_byte(begin, out);
    if begin < end {
        out.push('-');
        write_byte(end, out);
    }
}

/// Writes a byte so that it means nothing but itself.
pub(in crate::policy) fn write_byte(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() {
        out.push(char::from(byte));
    } else {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        out.push_str("\\x");
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}

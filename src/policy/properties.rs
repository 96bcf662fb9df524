//! Properties: values that rules set and test.

use std::collections::BTreeMap;

/// Most properties of a message.
const MOST_PROPERTIES: usize = 64;

/// The longest value of a property, in bytes.
const MOST_VALUE: usize = 400;

/// The values of properties, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<Box<str>, Box<str>>);

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    AtMost,
    /// `>`.
    Greater,
    /// `>=`.
    AtLeast,
}

/// A number, or where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Number {
    /// This one.
    Literal(i64),
    /// The value of this property.
    Property(Box<str>),
}

impl Properties {
    /// The value of a property.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// Sets a value. What comes beyond a limit is left out.
    pub fn set(&mut self, name: &str, value: &str) {
        if self.0.len() >= MOST_PROPERTIES && !self.0.contains_key(name) {
            return;
        }
        let mut end = value.len().min(MOST_VALUE);
        while !value.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        self.0
            .insert(name.into(), value.get(..end).unwrap_or_default().into());
    }

    /// The number that a property begins with, and zero if it begins with none (milter-greylist); `None` if it is not set.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        let text = self.get(name)?.trim_start();
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        let end = text
            .len()
            .saturating_sub(unsigned.len())
            .saturating_add(digits);
        Some(
            text.get(..end)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
        )
    }

    /// This number, if there is one.
    #[must_use]
    pub fn value(&self, number: &Number) -> Option<i64> {
        match number {
            Number::Literal(number) => Some(*number),
            Number::Property(name) => self.number(name),
        }
    }

    /// Whether a number compares so with another.
    #[must_use]
    pub fn compares(&self, left: i64, operator: Operator, number: &Number) -> bool {
        let right = self.value(number);
        right.is_some_and(|right| operator.holds(left, right))
    }
}

/// What is counted, as a number to compare.
pub(super) fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

impl Operator {
    /// Whether it holds.
    #[must_use]
    pub const fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_most_of_properties_and_of_what_they_hold() {
        let mut properties = Properties::default();
        properties.set("long", &"é".repeat(MOST_VALUE));
        assert_eq!(properties.get("long").map(str::len), Some(MOST_VALUE));
        for n in 0..2 * MOST_PROPERTIES {
            properties.set(&n.to_string(), "1");
        }
        assert_eq!(properties.0.len(), MOST_PROPERTIES);
        properties.set("long", "7");
        assert_eq!(
            properties.number("long"),
            Some(7),
            "one that is there can be set"
        );
    }

    #[test]
    fn a_property_is_the_number_that_it_begins_with() {
        let mut properties = Properties::default();
        assert_eq!(properties.number("unset"), None);
        for (text, want) in [
            ("", 0),
            ("x 7", 0),
            (" -7 x", -7),
            ("+7", 7),
            ("-", 0),
            ("12ü", 12),
            ("99999999999999999999", 0),
        ] {
            properties.set("p", text);
            assert_eq!(properties.number("p"), Some(want), "{text}");
        }
    }

    #[test]
    fn numbers_are_compared() {
        use Operator::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
        for (operator, want) in [
            (Equal, [false, true, false]),
            (NotEqual, [true, false, true]),
            (Less, [true, false, false]),
            (AtMost, [true, true, false]),
            (Greater, [false, false, true]),
            (AtLeast, [false, true, true]),
        ] {
            let got = [-1, 0, 1].map(|left| operator.holds(left, 0));
            assert_eq!(got, want, "{operator:?}");
        }
    }
}

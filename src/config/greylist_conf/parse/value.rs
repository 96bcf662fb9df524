//! Words and texts to values.

use crate::policy::Zone;
use crate::policy::access::{Expression, Flags};
use crate::policy::chain::{Format, Number, Operator};
use crate::types::{Prefix, Span};

use super::super::ast::{Comparison, Located, Pattern, Position, Regex, TextPattern};
use super::super::error::{Failure, SyntaxError};
use super::Parser;

/// The longest time: records of greylisting must not outlive it.
const MOST_DAYS: u64 = 400;

/// What a time looks like.
const TIME: &str = "a time: digits with s, m, h, d or w after them";

/// What a number looks like.
const SIZE: &str = "a number, with k or M after it if it is large";

impl<'a> Parser<'a> {
    /// Takes one of these symbols if it comes next.
    pub(super) fn eat_one_of(&mut self, symbols: &[&str]) -> Result<bool, Failure> {
        for symbol in symbols {
            if self.scanner.eat(symbol)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A word.
    pub(super) fn required_word(&mut self, what: &'static str) -> Result<&'a str, Failure> {
        match self.scanner.word()? {
            Some(word) => Ok(word),
            None => Err(self.scanner.expected(what)),
        }
    }

    /// A text in quotation marks.
    pub(super) fn required_text(&mut self, what: &'static str) -> Result<String, Failure> {
        match self.scanner.quoted()? {
            Some(text) => Ok(text),
            None => Err(self.scanner.expected(what)),
        }
    }

    /// A text with tokens.
    pub(super) fn format(&mut self) -> Result<Format, Failure> {
        let at = self.scanner.position_of_next()?;
        let text = self.required_text("a text in quotation marks")?;
        Ok(self.formatted(at, &text))
    }

    /// A text with tokens, which was read already.
    pub(super) fn formatted(&mut self, at: Position, text: &str) -> Format {
        let (format, remarks) = Format::parse(text);
        for remark in remarks {
            self.warn(at, remark);
        }
        format
    }

    /// A time.
    pub(super) fn span(&mut self) -> Result<Span, Failure> {
        let at = self.scanner.position_of_next()?;
        let word = self.required_word(TIME)?;
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match word.get(digits.len()..).unwrap_or_default() {
            "" | "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(86_400),
            "w" => Some(7 * 86_400),
            _ => None,
        };
        let bad = || (at, SyntaxError::Value(word.to_owned(), TIME));
        let unit = unit.ok_or_else(bad)?;
        let number = whole(digits).ok_or_else(bad)?;
        let span = number.checked_mul(unit).map(Span::from_seconds);
        span.filter(|span| *span <= Span::from_days(MOST_DAYS))
            .ok_or_else(|| (at, SyntaxError::LongTime(word.to_owned())))
    }

    /// A number that is not negative.
    pub(super) fn size(&mut self) -> Result<u64, Failure> {
        let at = self.scanner.position_of_next()?;
        let word = self.required_word(SIZE)?;
        size(word).ok_or_else(|| (at, SyntaxError::Value(word.to_owned(), SIZE)))
    }

    /// `/n`.
    pub(super) fn prefix_length(&mut self, most: u8) -> Result<u8, Failure> {
        let at = self.scanner.position_of_next()?;
        if !self.scanner.eat("/")? {
            return Err(self.scanner.expected("/ and a number of bits"));
        }
        let word = self.required_word("a number of bits")?;
        let bits = word.parse().ok();
        bits.filter(|bits| *bits <= most).ok_or_else(|| {
            let what = if most == 32 {
                "a number of bits from 0 to 32"
            } else {
                "a number of bits from 0 to 128"
            };
            (at, SyntaxError::Value(word.to_owned(), what))
        })
    }

    /// An address or a network; host bits are cleared.
    pub(super) fn address(&mut self) -> Result<Prefix, Failure> {
        let at = self.scanner.position_of_next()?;
        // The old manual has quotation marks here in an example.
        if let Some(text) = self.scanner.quoted()? {
            return Prefix::parse(&text).map_err(|error| (at, SyntaxError::Address(text, error)));
        }
        let address = self.required_word("an address or a network")?;
        let text = if self.scanner.eat("/")? {
            format!("{address}/{}", self.required_word("a number of bits")?)
        } else {
            address.to_owned()
        };
        Prefix::parse(&text).map_err(|error| (at, SyntaxError::Address(text, error)))
    }

    /// The zone of a DNS list.
    pub(super) fn zone(&mut self) -> Result<Zone, Failure> {
        let at = self.scanner.position_of_next()?;
        let text = match self.scanner.quoted()? {
            Some(text) => text,
            None => self.required_word("the zone of a DNS list")?.to_owned(),
        };
        Zone::parse(&text).map_err(|error| (at, SyntaxError::Zone(text, error)))
    }

    /// An expression, if one comes next.
    pub(super) fn regex(&mut self) -> Result<Option<Regex>, Failure> {
        let at = self.scanner.position_of_next()?;
        let Some(text) = self.scanner.expression()? else {
            return Ok(None);
        };
        let flags = Flags {
            ignore_case: true,
            lines: true,
            extended: self.extended,
        };
        let expression =
            Expression::parse(text.as_bytes(), flags).map_err(|error| (at, error.into()))?;
        if let Some(misread) = expression.misread() {
            self.warn(at, misread);
        }
        Ok(Some(Regex {
            text: text.into(),
            expression,
        }))
    }

    /// A text in quotation marks, in which `%` means nothing, or an expression.
    pub(super) fn text_pattern(&mut self) -> Result<TextPattern, Failure> {
        if let Some(regex) = self.regex()? {
            return Ok(Pattern::Matches(regex));
        }
        match self.scanner.quoted()? {
            Some(text) => Ok(Pattern::Text(text.into())),
            None => Err(self
                .scanner
                .expected("a text in quotation marks or an expression")),
        }
    }

    /// The same, with tokens in the text.
    pub(super) fn format_pattern(&mut self) -> Result<Pattern<Format>, Failure> {
        let at = self.scanner.position_of_next()?;
        Ok(match self.text_pattern()? {
            Pattern::Text(text) => Pattern::Text(self.formatted(at, &text)),
            Pattern::Matches(regex) => Pattern::Matches(regex),
        })
    }

    /// A mail address or an expression.
    pub(super) fn mail_pattern(&mut self) -> Result<TextPattern, Failure> {
        if let Some(regex) = self.regex()? {
            return Ok(Pattern::Matches(regex));
        }
        match self.scanner.mail_address()? {
            Some(address) => Ok(Pattern::Text(address.into())),
            None => Err(self
                .scanner
                .expected("a mail address without quotation marks, or an expression")),
        }
    }

    /// A property, if one comes next, in lower case: case means nothing in its name.
    pub(super) fn property(&mut self) -> Result<Option<Box<str>>, Failure> {
        let name = self.scanner.property()?;
        Ok(name.map(|name| name.to_ascii_lowercase().into()))
    }

    /// A property that is tested, if one comes next.
    pub(super) fn tested_property(&mut self) -> Result<Option<Box<str>>, Failure> {
        let at = self.scanner.position_of_next()?;
        let name = self.property()?;
        self.tested
            .extend(name.clone().map(|value| Located { at, value }));
        Ok(name)
    }

    /// An operator, if one comes next.
    pub(super) fn operator(&mut self) -> Result<Option<Operator>, Failure> {
        for (symbol, operator) in [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ] {
            if self.scanner.eat(symbol)? {
                return Ok(Some(operator));
            }
        }
        Ok(None)
    }

    /// An operator and a number, read by `number`, or a property.
    pub(super) fn comparison(
        &mut self,
        number: impl Fn(&str) -> Option<i64>,
        what: &'static str,
    ) -> Result<Comparison, Failure> {
        let Some(operator) = self.operator()? else {
            return Err(self.scanner.expected("one of == != < <= > >="));
        };
        self.compared(operator, number, what)
    }

    /// What follows an operator.
    pub(super) fn compared(
        &mut self,
        operator: Operator,
        number: impl Fn(&str) -> Option<i64>,
        what: &'static str,
    ) -> Result<Comparison, Failure> {
        if let Some(property) = self.tested_property()? {
            let number = Number::Property(property);
            return Ok(Comparison { operator, number });
        }
        let at = self.scanner.position_of_next()?;
        let word = self.required_word(what)?;
        let number = number(word).ok_or_else(|| (at, SyntaxError::Value(word.to_owned(), what)))?;
        let number = Number::Literal(number);
        Ok(Comparison { operator, number })
    }
}

/// Digits, and nothing else.
fn whole(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// A number with a unit of size.
pub(super) fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k') => (text.strip_suffix('k')?, 1 << 10),
        Some(b'M') => (text.strip_suffix('M')?, 1 << 20),
        Some(_) | None => (text, 1),
    };
    let number: u64 = whole(digits)?.checked_mul(unit)?;
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}

/// The same, as it is compared.
pub(super) fn signed_size(text: &str) -> Option<i64> {
    i64::try_from(size(text)?).ok()
}

/// A score in thousandths: digits, with a sign and up to three decimals if need be.
pub(super) fn score(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole_part, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    if decimals.is_empty() || decimals.len() > 3 {
        return None;
    }
    let thousandths = whole(&format!("{decimals:0<3}"))?;
    let number = whole(whole_part)?
        .checked_mul(1000)?
        .checked_add(thousandths)?;
    i64::try_from(number).ok()?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_a_sign_and_decimals() {
        for (text, want) in [
            ("5", Some(5000)),
            ("5.5", Some(5500)),
            ("-1.25", Some(-1250)),
            ("0.001", Some(1)),
            ("-0", Some(0)),
            ("5.", None),
            (".5", None),
            ("1.2345", None),
            ("--1", None),
            ("1e3", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(score(text), want, "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, want) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("10k", Some(10_240)),
            ("2M", Some(2_097_152)),
            ("2m", None),
            ("k", None),
            ("-1", None),
            ("9223372036854775807", Some(i64::MAX.unsigned_abs())),
            ("9223372036854775808", None),
            ("99999999999999999M", None),
        ] {
            assert_eq!(size(text), want, "{text}");
        }
    }
}

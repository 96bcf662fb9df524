//! Escapes: the part after `\`.

use super::super::ere::set::ByteSet;
use super::{Item, PcreError, Reader};

/// The meaning of an escape, inside brackets and outside.
#[derive(Debug)]
pub(super) enum Escape {
    /// One byte.
    Byte(u8),
    /// A character as itself.
    Char(char),
    /// One byte of these.
    Set(ByteSet),
    /// Another letter, whose meaning depends on its position.
    Letter(char),
}

impl Reader<'_> {
    /// Parses an escape outside brackets after its `\`.
    pub(super) fn escaped(&mut self) -> Result<(), PcreError> {
        match self.escape()? {
            Escape::Byte(byte) => self.byte(byte),
            Escape::Char(c) => self.literal(c),
            Escape::Set(set) => {
                set.write(&mut self.written);
                self.item = Item::Single;
            }
            Escape::Letter(letter) => self.placed(letter)?,
        }
        Ok(())
    }

    /// Parses letters that have a meaning outside brackets only.
    fn placed(&mut self, letter: char) -> Result<(), PcreError> {
        match letter {
            'A' => self.write(r"\A", Item::Nothing),
            'z' | 'Z' => self.write(r"\z", Item::Nothing),
            'b' => self.write(r"\b", Item::Nothing),
            'B' => self.write(r"\B", Item::Nothing),
            'N' if self.rest.starts_with('{') => return Err(PcreError::Unsupported('N')),
            'N' => self.write(r"[^\n]", Item::Single),
            'R' => {
                let text = r"(?:\r\n|[\n\x0b\f\r\x85])";
                self.write(text, Item::Group { captures: false });
            }
            'Q' => self.quoted(),
            'E' => {}
            other => return Err(PcreError::Escape(other)),
        }
        Ok(())
    }

    /// `\Q`: everything up to `\E` is literal.
    fn quoted(&mut self) {
        let (inside, behind) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
        self.rest = behind;
        for c in inside.chars() {
            self.literal(c);
        }
    }

    /// Parses an escape after its `\`.
    pub(super) fn escape(&mut self) -> Result<Escape, PcreError> {
        let c = self.next().ok_or(PcreError::TrailingBackslash)?;
        Ok(match c {
            'd' => Escape::Set(digit()),
            'D' => Escape::Set(digit().inverted()),
            's' => Escape::Set(space()),
            'S' => Escape::Set(space().inverted()),
            'w' => Escape::Set(ByteSet::word()),
            'W' => Escape::Set(ByteSet::word().inverted()),
            'h' => Escape::Set(blank()),
            'H' => Escape::Set(blank().inverted()),
            'v' => Escape::Set(newline()),
            'V' => Escape::Set(newline().inverted()),
            't' => Escape::Byte(b'\t'),
            'n' => Escape::Byte(b'\n'),
            'r' => Escape::Byte(b'\r'),
            'f' => Escape::Byte(0x0c),
            'a' => Escape::Byte(0x07),
            'e' => Escape::Byte(0x1b),
            'x' => Escape::Byte(self.hexadecimal()?),
            '0' if !self.rest.starts_with(|c: char| c.is_digit(8)) => Escape::Byte(0),
            '1'..='9' | 'g' | 'k' => return Err(PcreError::BackReference),
            '0' | 'o' | 'c' | 'p' | 'P' | 'X' | 'K' | 'G' | 'C' | 'L' | 'l' | 'U' | 'u' => {
                return Err(PcreError::Unsupported(c));
            }
            'A' | 'z' | 'Z' | 'b' | 'B' | 'N' | 'R' | 'Q' | 'E' => Escape::Letter(c),
            c if c.is_ascii_alphanumeric() => return Err(PcreError::Escape(c)),
            c => Escape::Char(c),
        })
    }

    /// The byte after `\x`: up to two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Result<u8, PcreError> {
        let is_digit = |c: char| c.is_ascii_hexdigit();
        let digits = if let Some(behind) = self.rest.strip_prefix('{') {
            let (digits, behind) = behind.split_once('}').ok_or(PcreError::Number)?;
            if digits.is_empty() || !digits.chars().all(is_digit) {
                return Err(PcreError::Number);
            }
            self.rest = behind;
            digits
        } else {
            let all = self.rest.find(|c| !is_digit(c)).unwrap_or(self.rest.len());
            let (digits, behind) = self.rest.split_at(all.min(2));
            self.rest = behind;
            digits
        };
        if digits.is_empty() {
            return Ok(0);
        }
        u8::from_str_radix(digits, 16).map_err(|_| PcreError::Number)
    }
}

fn digit() -> ByteSet {
    ByteSet::of(u8::is_ascii_digit)
}

fn space() -> ByteSet {
    ByteSet::of(|byte| matches!(byte, b' ' | 9..=13))
}

fn blank() -> ByteSet {
    ByteSet::of(|byte| matches!(byte, b' ' | b'\t' | 0xa0))
}

fn newline() -> ByteSet {
    ByteSet::of(|byte| matches!(byte, 10..=13 | 0x85))
}

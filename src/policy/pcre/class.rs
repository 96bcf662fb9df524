//! Bracket expressions: from `[` to `]`, as sets of bytes.

use super::super::ere::set::ByteSet;
use super::escape::Escape;
use super::{Item, PcreError, Reader};

/// A part of a bracket expression.
enum Part {
    /// A byte, which may begin or end a range.
    Byte(u8),
    /// More than that, which may not.
    Set(ByteSet),
    /// Empty, such as `\E`.
    Nothing,
}

impl Reader<'_> {
    /// Parses a bracket expression after its `[`.
    pub(super) fn bracket(&mut self) -> Result<(), PcreError> {
        let negated = self.skip("^");
        let mut set = ByteSet::empty();
        let mut first = true;
        // A `]` that comes first is ordinary.
        while first || !self.skip("]") {
            let mut parts = self.parts()?;
            first = false;
            let last = parts.pop();
            for part in &parts {
                add(&mut set, part);
            }
            let Some(begin) = last else { continue };
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            if is_range {
                self.range(&mut set, &begin)?;
            } else {
                add(&mut set, &begin);
            }
        }
        let mut written = String::new();
        set.write(&mut written);
        // The set itself is written and not its inverse, so that it is negated after the case of letters is ignored.
        match written.strip_prefix('[') {
            Some(inside) if negated => {
                self.push("[^");
                self.push(inside);
            }
            Some(_) | None => self.push(&written),
        }
        self.item = Item::Single;
        Ok(())
    }

    /// A range; its `-` comes next.
    fn range(&mut self, set: &mut ByteSet, begin: &Part) -> Result<(), PcreError> {
        self.skip("-");
        let parts = self.parts()?;
        let (Part::Byte(begin), [Part::Byte(end)]) = (begin, parts.as_slice()) else {
            return Err(PcreError::Range);
        };
        if begin > end {
            return Err(PcreError::Range);
        }
        set.insert_all(&ByteSet::of(|byte| (begin..=end).contains(&byte)));
        Ok(())
    }

    /// What comes next: the bytes of one character, or a set.
    fn parts(&mut self) -> Result<Vec<Part>, PcreError> {
        let is_named = ["[:", "[.", "[="]
            .iter()
            .any(|begin| self.rest.starts_with(begin));
        if is_named && let Some(part) = self.named()? {
            return Ok(vec![part]);
        }
        let c = self.next().ok_or(PcreError::OpenBracket)?;
        if c != '\\' {
            return Ok(bytes(c));
        }
        Ok(match self.escape()? {
            Escape::Byte(byte) => vec![Part::Byte(byte)],
            Escape::Char(c) => bytes(c),
            Escape::Set(set) => vec![Part::Set(set)],
            Escape::Letter('b') => vec![Part::Byte(0x08)],
            Escape::Letter('E') => vec![Part::Nothing],
            Escape::Letter('Q') => return Err(PcreError::Unsupported('Q')),
            Escape::Letter(other) => return Err(PcreError::Escape(other)),
        })
    }

    /// Parses `[:name:]`, if this is one: the end comes before the next `]`.
    fn named(&mut self) -> Result<Option<Part>, PcreError> {
        let kind = self.rest.get(1..2).unwrap_or_default();
        let inside = self.rest.get(2..).unwrap_or_default();
        let Some((name, behind)) = inside.split_once(&format!("{kind}]")) else {
            return Ok(None);
        };
        if name.contains([']', '\\']) {
            return Ok(None);
        }
        if kind != ":" {
            return Err(PcreError::Class);
        }
        let negated = name.starts_with('^');
        let name = name.strip_prefix('^').unwrap_or(name);
        let name = match name {
            "upper" | "lower" if self.flags.ignore_case => "alpha",
            name => name,
        };
        let set = match name {
            "word" => Some(ByteSet::word()),
            "ascii" => Some(ByteSet::of(u8::is_ascii)),
            name => ByteSet::class(name.as_bytes()),
        };
        let set = set.ok_or(PcreError::Class)?;
        self.rest = behind;
        Ok(Some(Part::Set(if negated { set.inverted() } else { set })))
    }
}

/// The bytes of a character, one by one.
fn bytes(c: char) -> Vec<Part> {
    let mut bytes = [0; 4];
    let bytes = c.encode_utf8(&mut bytes).bytes();
    bytes.map(Part::Byte).collect()
}

fn add(set: &mut ByteSet, part: &Part) {
    match part {
        Part::Byte(byte) => set.insert(*byte),
        Part::Set(more) => set.insert_all(more),
        Part::Nothing => {}
    }
}

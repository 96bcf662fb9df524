//! Bracket expressions: from `[` to `]`, as sets of bytes.

use super::set::ByteSet;
use super::token::Lexer;
use super::{EreError, Misread};

/// Maximum length of the name in `[:name:]`, `[.name.]` and `[=name=]` in glibc.
const MAX_NAME: usize = 32;

/// A part of a bracket expression.
enum Part {
    /// A byte, which may begin or end a range.
    Byte(u8),
    /// More than that, which may not.
    Set(ByteSet),
}

/// Parses a bracket expression after its `[`.
pub(super) fn parse(lexer: &mut Lexer<'_>) -> Result<ByteSet, EreError> {
    let mut set = ByteSet::empty();
    let negated = lexer.raw(0) == Some(b'^');
    if negated {
        lexer.skip(1);
        if lexer.flags.lines {
            set.insert(b'\n');
        }
    }
    let mut first = true;
    // A `]` that comes first is ordinary.
    while first || lexer.raw(0) != Some(b']') {
        let begin = part(lexer, first)?;
        first = false;
        let is_range = lexer.raw(0) == Some(b'-') && lexer.raw(1) != Some(b']');
        match begin {
            Part::Byte(begin) if is_range => {
                lexer.skip(1);
                let Part::Byte(end) = part(lexer, true)? else {
                    return Err(EreError::Range);
                };
                if begin > end {
                    return Err(EreError::Range);
                }
                set.insert_all(&ByteSet::of(|byte| (begin..=end).contains(byte)));
            }
            Part::Byte(byte) => set.insert(byte),
            Part::Set(more) => set.insert_all(&more),
        }
    }
    lexer.skip(1);
    Ok(if negated { set.inverted() } else { set })
}

/// Parses a part. If `hyphen` is false, a `-` must be the last one.
fn part(lexer: &mut Lexer<'_>, hyphen: bool) -> Result<Part, EreError> {
    let byte = lexer.folded(0).ok_or(EreError::OpenBracket)?;
    if let (b'\\', Some(class @ (b'd' | b'D' | b's' | b'S' | b'w' | b'W'))) = (byte, lexer.raw(1)) {
        let class = Misread::InBrackets(char::from(class));
        lexer.misread.get_or_insert(class);
    }
    if byte == b'['
        && let Some(kind @ (b':' | b'.' | b'=')) = lexer.raw(1)
    {
        lexer.skip(2);
        return named(lexer, kind);
    }
    lexer.skip(1);
    if byte == b'-' && !hyphen && lexer.raw(0) != Some(b']') {
        return Err(EreError::Range);
    }
    Ok(Part::Byte(byte))
}

/// Parses the rest of `[:name:]`, `[.x.]` or `[=x=]`.
fn named(lexer: &mut Lexer<'_>, kind: u8) -> Result<Part, EreError> {
    let mut name = Vec::new();
    loop {
        // The names of classes are case-sensitive.
        let byte = if kind == b':' {
            lexer.raw(0)
        } else {
            lexer.folded(0)
        };
        let byte = byte.ok_or(EreError::OpenBracket)?;
        if byte == kind && lexer.raw(1) == Some(b']') {
            lexer.skip(2);
            break;
        }
        if name.len() >= MAX_NAME {
            return Err(EreError::OpenBracket);
        }
        name.push(byte);
        lexer.skip(1);
    }
    match (kind, name.as_slice()) {
        (b':', b"upper" | b"lower") if lexer.flags.ignore_case => ByteSet::class(b"alpha")
            .map(Part::Set)
            .ok_or(EreError::Class),
        (b':', name) => ByteSet::class(name).map(Part::Set).ok_or(EreError::Class),
        (b'.', [byte]) => Ok(Part::Byte(*byte)),
        (b'=', [byte]) => Ok(Part::Set(ByteSet::one(*byte))),
        _ => Err(EreError::Collation),
    }
}

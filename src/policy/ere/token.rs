//! The tokens of an expression, outside brackets.

use super::set::ByteSet;
use super::{EreError, Flags, Misread};

/// A place without width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// `^`.
    LineStart,
    /// `$`.
    LineEnd,
    /// `\<`.
    WordStart,
    /// `\>`.
    WordEnd,
    /// `\b`.
    Boundary,
    /// `\B`.
    NoBoundary,
    /// `` \` ``.
    SubjectStart,
    /// `\'`.
    SubjectEnd,
}

/// A token. Those that may turn out to be ordinary carry their byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// The end of the expression.
    End,
    /// A byte that means itself.
    Byte(u8),
    /// `.`.
    Any,
    /// `[`.
    Bracket,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `|`.
    Or,
    /// `*`, `+`, `?`: the byte, the least and the greatest number.
    Repeat(u8, u32, Option<u32>),
    /// `{`.
    OpenInterval,
    /// `}`.
    CloseInterval,
    /// A place.
    Anchor(Anchor),
    /// `\w` and its kin.
    Class(ByteSet),
}

/// Whether `^` is an anchor here, in a basic expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caret {
    /// It is: an expression begins here.
    Anchor,
    /// It is only at the very start.
    Ordinary,
}

/// Cuts an expression into tokens.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    /// The expression.
    pub(super) text: &'a [u8],
    /// Where the next token begins.
    pub(super) at: usize,
    /// How it is to be read.
    pub(super) flags: Flags,
    /// The first backslash that has another meaning in a Perl expression.
    pub(super) misread: Option<Misread>,
}

impl Lexer<'_> {
    /// The byte so far ahead as it is written.
    pub(super) fn raw(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at.saturating_add(ahead)).copied()
    }

    /// The byte so far ahead as it is compared.
    pub(super) fn folded(&self, ahead: usize) -> Option<u8> {
        self.raw(ahead).map(|byte| self.flags.fold(byte))
    }

    /// Goes on by so many bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    /// The next token, which is passed.
    pub(super) fn next(&mut self, caret: Caret) -> Result<Token, EreError> {
        let (token, length) = self.peek(caret)?;
        if let (Token::Byte(byte), Some(b'\\')) = (&token, self.raw(0))
            && byte.is_ascii_alphanumeric()
        {
            self.misread
                .get_or_insert(Misread::Alone(char::from(*byte)));
        }
        self.skip(length);
        Ok(token)
    }

    /// The next token and its length.
    fn peek(&self, caret: Caret) -> Result<(Token, usize), EreError> {
        let Some(byte) = self.folded(0) else {
            return Ok((Token::End, 0));
        };
        if byte == b'\\' {
            // What is escaped is compared as it is written.
            let escaped = self.raw(1).ok_or(EreError::TrailingBackslash)?;
            return Ok((self.escaped(escaped)?, 2));
        }
        let extended = self.flags.extended;
        let token = match byte {
            b'|' if extended => Token::Or,
            b'*' => Token::Repeat(byte, 0, None),
            b'+' if extended => Token::Repeat(byte, 1, None),
            b'?' if extended => Token::Repeat(byte, 0, Some(1)),
            b'{' if extended => Token::OpenInterval,
            b'}' if extended => Token::CloseInterval,
            b'(' if extended => Token::Open,
            b')' if extended => Token::Close,
            b'[' => Token::Bracket,
            b'.' => Token::Any,
            b'^' if extended || caret == Caret::Anchor || self.at == 0 => {
                Token::Anchor(Anchor::LineStart)
            }
            b'$' if extended || self.ends_basic() => Token::Anchor(Anchor::LineEnd),
            _ => Token::Byte(byte),
        };
        Ok((token, 1))
    }

    /// What `\` with this byte behind it means.
    fn escaped(&self, byte: u8) -> Result<Token, EreError> {
        let basic = !self.flags.extended;
        Ok(match byte {
            b'1'..=b'9' => return Err(EreError::BackReference),
            b'|' if basic => Token::Or,
            b'+' if basic => Token::Repeat(byte, 1, None),
            b'?' if basic => Token::Repeat(byte, 0, Some(1)),
            b'{' if basic => Token::OpenInterval,
            b'}' if basic => Token::CloseInterval,
            b'(' if basic => Token::Open,
            b')' if basic => Token::Close,
            b'<' => Token::Anchor(Anchor::WordStart),
            b'>' => Token::Anchor(Anchor::WordEnd),
            b'b' => Token::Anchor(Anchor::Boundary),
            b'B' => Token::Anchor(Anchor::NoBoundary),
            b'`' => Token::Anchor(Anchor::SubjectStart),
            b'\'' => Token::Anchor(Anchor::SubjectEnd),
            b'w' => Token::Class(ByteSet::word()),
            b'W' => Token::Class(ByteSet::word().inverted()),
            b's' => Token::Class(space()),
            b'S' => Token::Class(space().inverted()),
            _ => Token::Byte(byte),
        })
    }

    /// Whether a basic expression, or a part of it, ends behind the byte that comes next.
    fn ends_basic(&self) -> bool {
        match (self.raw(1), self.raw(2)) {
            (None, _) => true,
            (Some(b'\\'), Some(byte)) => matches!(byte, b'|' | b')'),
            (Some(_), _) => false,
        }
    }
}

fn space() -> ByteSet {
    ByteSet::of(|byte| matches!(byte, b' ' | 9..=13))
}

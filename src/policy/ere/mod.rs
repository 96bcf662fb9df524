//! POSIX regular expressions, as glibc's `regcomp` takes them in the C locale, which is how Postfix
//! uses it. They become expressions of the `regex` crate, whose matching takes linear time.
//!
//! Nothing is passed through: an expression is read into a tree, and the tree is written with the few
//! constructs of the crate that mean the same on bytes. Both agree on whether an expression matches.
//! On what its groups hold they agree where there is one way to match only: POSIX wants the longest
//! match, the crate the first. [`Captures`] says so.
//!
//! # Not here
//!
//! Back-references; anchors in a group that may be repeated more than once, which glibc 2.36 forgets there
//! at times; classes, ranges and cases of other locales; collating elements of several bytes.
//!
//! # What astonishes
//!
//! `\d`, like every letter behind a backslash that has no meaning of its own, is the letter. Where case
//! means nothing, glibc compares it as it is written with a subject in upper case: `\d` then matches
//! nothing at all.

mod bracket;
mod emit;
mod parse;
pub(super) mod set;
mod token;

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use super::pattern::{EXPRESSION_SIZE, EXPRESSIONS_SIZE};
use super::set::ExpressionSet;

/// How deep the written expressions may be nested: more than the reader lets through.
const NEST_LIMIT: u32 = 1000;

/// How an expression is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// Whether case means nothing.
    pub ignore_case: bool,
    /// Whether `^` and `$` match at the ends of lines, and `.` no newline.
    pub lines: bool,
    /// Whether it is an extended expression.
    pub extended: bool,
}

impl Default for Flags {
    /// What Postfix starts from.
    fn default() -> Self {
        Self {
            ignore_case: true,
            lines: false,
            extended: true,
        }
    }
}

impl Flags {
    /// The byte as it is compared.
    const fn fold(self, byte: u8) -> u8 {
        if self.ignore_case {
            byte.to_ascii_uppercase()
        } else {
            byte
        }
    }
}

/// Whether POSIX and the `regex` crate agree on what the groups of an expression hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captures {
    /// They do: nothing but single bytes is repeated, and there are no alternatives.
    Certain,
    /// They may not.
    Uncertain,
}

/// A backslash that means something else in a Perl expression, with the letter or digit behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misread {
    /// Outside brackets, where the letter stands for itself.
    Alone(char),
    /// Between brackets, where the backslash does, too.
    InBrackets(char),
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instead = match self {
            Self::Alone(letter) => {
                write!(f, "\\{letter} is the letter {letter} here, as in Postfix")?;
                match letter {
                    'd' => "[0-9]",
                    'D' => "[^0-9]",
                    'h' => "[[:blank:]]",
                    'A' => "^",
                    'z' | 'Z' => "$",
                    _ => return Ok(()),
                }
            }
            Self::InBrackets(letter) => {
                write!(
                    f,
                    "\\{letter} between brackets is a backslash and the letter {letter}, as in Postfix"
                )?;
                match letter {
                    'd' => "0-9",
                    's' => "[:space:]",
                    'w' => "[:alnum:]_",
                    _ => return Ok(()),
                }
            }
        };
        write!(f, "; write {instead}")
    }
}

/// Why an expression means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EreError {
    /// `\1` to `\9`.
    #[error("back-references (\\1 to \\9) are not supported")]
    BackReference,
    /// `\` at the end.
    #[error("a backslash at the end")]
    TrailingBackslash,
    /// `[` without `]`.
    #[error("a [ without its ]")]
    OpenBracket,
    /// `b-a`, or a range with something else than bytes at its ends.
    #[error("an invalid range in brackets")]
    Range,
    /// `[[:name:]]` with another name.
    #[error("no such character class")]
    Class,
    /// `[[.name.]]`, `[[=name=]]` with more than a byte.
    #[error("no such collating element")]
    Collation,
    /// Nothing to repeat.
    #[error("a repetition (* + ? {{}}) that has nothing to repeat")]
    Repetition,
    /// An anchor in a group that is repeated.
    #[error("an anchor (^ $ \\b) in a group that is repeated")]
    RepeatedAnchor,
    /// `{…}` without sense.
    #[error("a bad interval; write {{3}}, {{3,}} or {{3,5}}")]
    Interval,
    /// `{32768}`.
    #[error("an interval with a number over 32767")]
    Large,
    /// `(` without `)`.
    #[error("a ( without its )")]
    Open,
    /// `)` without `(`, in a basic expression.
    #[error("a ) without its (")]
    Close,
    /// Too deep.
    #[error("too many nested groups or repetitions")]
    Deep,
    /// Too large when compiled.
    #[error("too large when compiled")]
    Size,
}

/// An expression that has been read, translated and proved to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: Box<str>,
    groups: u32,
    captures: Captures,
    misread: Option<Misread>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// [`EreError`] says why it has no meaning, or none that can be had here.
    pub fn parse(text: &[u8], flags: Flags) -> Result<Self, EreError> {
        let (tree, misread) = parse::parse(text, flags)?;
        let written = emit::emit(&tree, flags);
        let expression = Self {
            text: written.text.into(),
            groups: written.groups,
            captures: written.captures,
            misread,
        };
        expression.compile().map_err(|_| EreError::Size)?;
        Ok(expression)
    }

    /// An expression that another reader has translated; an error when it does not compile.
    pub(super) fn translated(
        text: String,
        groups: u32,
        captures: Captures,
    ) -> Result<Self, regex::Error> {
        let expression = Self {
            text: text.into(),
            groups,
            captures,
            misread: None,
        };
        expression.compile()?;
        Ok(expression)
    }

    /// How many groups it has.
    #[must_use]
    pub const fn groups(&self) -> u32 {
        self.groups
    }

    /// Whether what its groups hold is beyond doubt.
    #[must_use]
    pub const fn captures(&self) -> Captures {
        self.captures
    }

    /// What in it is likely not meant.
    #[must_use]
    pub const fn misread(&self) -> Option<Misread> {
        self.misread
    }

    /// Compiles it alone, for its groups.
    pub(super) fn compile(&self) -> Result<Regex, regex::Error> {
        RegexBuilder::new(&self.text)
            .unicode(false)
            .nest_limit(NEST_LIMIT)
            .size_limit(EXPRESSION_SIZE)
            .build()
    }
}

/// Compiles expressions into one set.
pub(super) fn compile_all(expressions: &[Expression]) -> Result<ExpressionSet, regex::Error> {
    let expressions: Vec<&str> = expressions
        .iter()
        .map(|expression| &*expression.text)
        .collect();
    ExpressionSet::new(&expressions, |builder| {
        builder
            .unicode(false)
            .nest_limit(NEST_LIMIT)
            .size_limit(EXPRESSIONS_SIZE)
    })
}

#[cfg(test)]
mod tests;

//! POSIX regular expressions, as glibc's `regcomp` reads them in the C locale, as used by Postfix. They are translated
//! for the `regex` crate, which matches in linear time.
//!
//! Nothing is passed through: an expression is parsed into a tree, and the tree is written with the few constructs of
//! the crate that have the same meaning for bytes. Both agree on whether an expression matches. They agree on the
//! content of its groups only if there is one way to match, because POSIX requires the longest match and the crate
//! finds the first; see [`Captures`].
//!
//! # Not here
//!
//! Back-references; anchors in a group that may be repeated, which glibc 2.36 sometimes ignores there; classes, ranges
//! and cases of other locales; collating elements of several bytes.
//!
//! # Surprises
//!
//! `\d`, like each letter after a backslash without a special meaning, is the letter. In a case-insensitive expression,
//! glibc compares it unchanged with a subject in upper case, so `\d` never matches.

mod bracket;
mod emit;
mod parse;
pub(super) mod set;
mod token;

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

use super::pattern::{EXPRESSION_SIZE, EXPRESSIONS_SIZE};
use super::set::ExpressionSet;

/// Maximum nesting of the translated expressions: more than the parser accepts.
const NEST_LIMIT: u32 = 1000;

/// Maximum memory of a state of an automaton, in bytes: one that leads on for every other byte has 128 transitions of eight
/// bytes each.
const STATE_SIZE: usize = 1200;

/// The flags of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// Whether it is case-insensitive.
    pub ignore_case: bool,
    /// Whether `^` and `$` match at the ends of lines, and `.` no newline.
    pub lines: bool,
    /// Whether it is an extended expression.
    pub extended: bool,
}

impl Default for Flags {
    /// The defaults of Postfix.
    fn default() -> Self {
        Self {
            ignore_case: true,
            lines: false,
            extended: true,
        }
    }
}

impl Flags {
    /// The byte as glibc compares it.
    const fn fold(self, byte: u8) -> u8 {
        if self.ignore_case {
            byte.to_ascii_uppercase()
        } else {
            byte
        }
    }
}

/// Whether POSIX and the `regex` crate agree on the content of an expression's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captures {
    /// They do: nothing but single bytes is repeated, and there are no alternatives.
    Certain,
    /// They may not.
    Uncertain,
}

/// A backslash with a letter or digit that has another meaning in a Perl expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misread {
    /// Outside brackets, where the letter is literal.
    Alone(char),
    /// Between brackets, where the backslash is literal, too.
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

/// Why an expression is invalid or not supported.
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
    /// `b-a`, or a range whose ends are not single bytes.
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
    /// An invalid `{…}`.
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

/// A translated expression that compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: Box<str>,
    groups: u32,
    captures: Captures,
    misread: Option<Misread>,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// [`EreError`] says why it is invalid or not supported.
    pub fn parse(text: &[u8], flags: Flags) -> Result<Self, EreError> {
        let (tree, misread) = parse::parse(text, flags)?;
        let written = emit::emit(&tree, flags);
        let expression = Self {
            text: written.text.into(),
            groups: written.groups,
            captures: written.captures,
            misread,
        };
        // Nearly all are so small that it is known without compiling them.
        if is_tiny(written.states) || expression.is_small() {
            Ok(expression)
        } else {
            Err(EreError::Size)
        }
    }

    /// An expression that another parser has translated; an error if it does not compile.
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

    /// Number of its groups.
    #[must_use]
    pub const fn groups(&self) -> u32 {
        self.groups
    }

    /// Whether the content of its groups is certain.
    #[must_use]
    pub const fn captures(&self) -> Captures {
        self.captures
    }

    /// A part of it that is probably not intended.
    #[must_use]
    pub const fn misread(&self) -> Option<Misread> {
        self.misread
    }

    /// Whether it compiles: nothing but its size is against that. Much faster than [`Self::compile`], which is needed
    /// for few expressions.
    fn is_small(&self) -> bool {
        let limits = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(EXPRESSION_SIZE));
        let automaton = thompson::Compiler::new()
            .syntax(options())
            .configure(limits)
            .build(&self.text);
        automaton.is_ok()
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

/// Whether an automaton with at most this many states is not too large.
const fn is_tiny(states: usize) -> bool {
    states.saturating_mul(STATE_SIZE) <= EXPRESSION_SIZE
}

/// How the translated expressions are read.
fn options() -> syntax::Config {
    syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(NEST_LIMIT)
}

/// Compiles expressions into one set.
pub(super) fn compile_all(expressions: &[Expression]) -> Result<ExpressionSet, regex::Error> {
    let expressions: Vec<&str> = expressions
        .iter()
        .map(|expression| &*expression.text)
        .collect();
    ExpressionSet::new(&expressions, EXPRESSIONS_SIZE, options())
}

#[cfg(test)]
mod tests;

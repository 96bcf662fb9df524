//! Sets of expressions that are matched at once.
//!
//! The `regex` crate matches all expressions of a set with one automaton, whose states it makes as they are reached and
//! keeps up to a limit. With thousands of expressions these are so large that hardly any is ever found again, and a
//! search takes milliseconds. So only up to [`PART`] expressions are one set; more are matched in groups, most of which
//! are left out, see [`filtered`].
//!
//! The crate also looks for literals that begin or end a match, to skip what cannot match. Collecting them takes time
//! that grows with the square of the number of expressions: a tenth of a second for [`PART`] of them.

mod filtered;
mod literals;

use regex_automata::meta::{BuildError, Builder, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternID, PatternSet};
use regex_syntax::hir::Hir;

use filtered::FilteredSet;

/// Most expressions that one automaton matches.
const PART: usize = 512;

/// Most expressions of a group that is left out if none of its texts is there.
const GROUP: usize = 32;

/// Memory for the states of an automaton in each direction and thread, in bytes.
const STATES: usize = 2 << 20;

/// The same for a group: a site with thousands of expressions has hundreds of them.
const STATES_OF_GROUP: usize = STATES / 8;

/// A group that takes more memory than this, in bytes, needs more for its states, too: an automaton for which there is no
/// room for a few states is not made at all, and the search without it is slow.
const LARGE_GROUP: usize = STATES_OF_GROUP / 2;

/// Expressions with the numbers of their order.
#[derive(Debug, Default)]
pub(super) struct ExpressionSet(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    /// At most [`PART`].
    Few(Regex),
    /// More.
    Many(Box<FilteredSet>),
}

/// The expressions that match a subject.
#[derive(Debug, Default)]
pub(super) struct Matches {
    few: Option<PatternSet>,
    many: Vec<usize>,
}

impl ExpressionSet {
    /// The set of these expressions, read as `syntax` says; `size` is how much memory the automata of all together may
    /// take, in bytes. Those that read backwards may take as much again.
    ///
    /// # Errors
    ///
    /// If one cannot be compiled, or all together are too large.
    pub(super) fn new(
        expressions: &[&str],
        size: usize,
        syntax: syntax::Config,
    ) -> Result<Self, regex::Error> {
        let syntax = syntax.utf8(false);
        Ok(Self(match expressions.len() {
            0 => Kind::Empty,
            1..=PART => {
                let mut builder = Builder::new();
                let builder = builder.configure(options(size, STATES)).syntax(syntax);
                let regex = builder.build_many(expressions);
                Kind::Few(regex.map_err(|error| build_error(&error))?)
            }
            _ => Kind::Many(Box::new(FilteredSet::new(
                expressions,
                size,
                syntax,
                GROUP,
            )?)),
        }))
    }

    /// How many expressions there are.
    pub(super) fn len(&self) -> usize {
        match &self.0 {
            Kind::Empty => 0,
            Kind::Few(regex) => regex.pattern_len(),
            Kind::Many(set) => set.len(),
        }
    }

    /// Whether one of them matches: quicker than asking which, if most often none does.
    pub(super) fn is_match(&self, subject: &[u8]) -> bool {
        match &self.0 {
            Kind::Empty => false,
            Kind::Few(regex) => regex.is_match(subject),
            Kind::Many(set) => set.is_match(subject),
        }
    }

    /// Those that match.
    pub(super) fn matches(&self, subject: &[u8]) -> Matches {
        match &self.0 {
            Kind::Empty => Matches::default(),
            Kind::Few(regex) => Matches {
                few: Some(matching(regex, subject)),
                many: Vec::new(),
            },
            Kind::Many(set) => Matches {
                few: None,
                many: set.matches(subject),
            },
        }
    }
}

impl Matches {
    /// Whether the expression of this number matches.
    pub(super) fn matched(&self, number: usize) -> bool {
        match &self.few {
            Some(few) => PatternID::new(number).is_ok_and(|number| few.contains(number)),
            None => self.many.binary_search(&number).is_ok(),
        }
    }

    /// The numbers of those that match, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let few = self.few.iter().flat_map(PatternSet::iter);
        few.map(|number| number.as_usize())
            .chain(self.many.iter().copied())
    }
}

/// How the automaton of expressions is made that may take this much memory, and its states that much, in bytes.
fn options(size: usize, states: usize) -> Config {
    Config::new()
        .match_kind(MatchKind::All)
        .utf8_empty(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(size))
        .hybrid_cache_capacity(states)
}

/// An expression of the syntax.
fn parse(text: &str, syntax: &syntax::Config) -> Result<Hir, regex::Error> {
    syntax::parse_with(text, syntax).map_err(|error| regex::Error::Syntax(error.to_string()))
}

/// Which expressions of an automaton match.
fn matching(regex: &Regex, subject: &[u8]) -> PatternSet {
    let mut matching = PatternSet::new(regex.pattern_len());
    regex.which_overlapping_matches(&Input::new(subject), &mut matching);
    matching
}

/// The error of the `regex` crate for this one.
fn build_error(error: &BuildError) -> regex::Error {
    if let Some(size) = error.size_limit() {
        return regex::Error::CompiledTooBig(size);
    }
    let text = error.syntax_error().map(ToString::to_string);
    regex::Error::Syntax(text.unwrap_or_else(|| error.to_string()))
}

#[cfg(test)]
mod tests;

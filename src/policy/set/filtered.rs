//! Thousands of expressions, of which a subject is searched only for those that may match.
//!
//! Most expressions have a text without which they cannot match, see [`required`]. One automaton looks for the texts of
//! all of them in one pass over the subject. The expressions are in groups, those with the same text side by side, and
//! only the groups whose texts were found are searched. So a subject that nothing matches costs little more than the
//! pass. Expressions without such a text are in groups that are always searched.
//!
//! # Limits
//!
//! A subject may have the texts of many groups. After [`MOST_FOUND`] texts the pass ends, and all groups are searched.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_automata::meta::{Builder, Regex};
use regex_automata::util::syntax;
use regex_syntax::hir::Hir;

use super::literals::{required, shortest};
use super::{
    GROUP, LARGE_GROUP, PART, STATES, STATES_OF_GROUP, build_error, matching, options, parse,
};

/// Texts after which a subject is not searched for more of them.
const MOST_FOUND: usize = 1024;

/// The expressions.
#[derive(Debug)]
pub(super) struct FilteredSet {
    /// Finds the texts.
    texts: AhoCorasick,
    /// The groups of each text, by its number.
    groups_of: Vec<Box<[usize]>>,
    /// The expressions that have a text.
    groups: Vec<Group>,
    /// Those that have none.
    always: Vec<Group>,
    /// How many there are in all.
    count: usize,
}

/// Expressions that are searched for together.
#[derive(Debug)]
struct Group {
    regex: Regex,
    /// Their numbers.
    numbers: Box<[usize]>,
}

/// An expression that is not compiled yet.
struct Parsed {
    number: usize,
    /// A match contains one of these.
    texts: Vec<Vec<u8>>,
}

/// Compiles groups as long as there is room for them.
struct Compiler<'a> {
    expressions: &'a [&'a str],
    syntax: syntax::Config,
    /// The memory that automata may still take, in bytes.
    left: usize,
    size: usize,
}

impl FilteredSet {
    /// The set of these expressions; `size` is how much memory their automata may take, in bytes. Groups that are only
    /// searched if one of their texts is there have up to `most` expressions.
    ///
    /// # Errors
    ///
    /// If one cannot be compiled, or all together are too large.
    pub(super) fn new(
        expressions: &[&str],
        size: usize,
        syntax: syntax::Config,
        most: usize,
    ) -> Result<Self, regex::Error> {
        let (mut filtered, mut always) = (Vec::new(), Vec::new());
        for (number, text) in expressions.iter().enumerate() {
            let texts = required(&parse(text, &syntax)?);
            let kind = if texts.is_some() {
                &mut filtered
            } else {
                &mut always
            };
            // It is parsed again when its group is compiled: all together would take too much memory.
            kind.push(Parsed {
                number,
                texts: texts.unwrap_or_default(),
            });
        }
        // The shorter a text is, the more often it is found. Groups that are often searched hold nothing else.
        filtered.sort_by(|one, other| {
            let rank = |parsed: &Parsed| Reverse(shortest(&parsed.texts));
            rank(one)
                .cmp(&rank(other))
                .then_with(|| one.texts.cmp(&other.texts))
        });
        let mut groups_of: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (group, parsed) in filtered.chunks(most).enumerate() {
            for text in parsed.iter().flat_map(|parsed| &parsed.texts) {
                let groups = groups_of.entry(text).or_default();
                if groups.last() != Some(&group) {
                    groups.push(group);
                }
            }
        }
        let texts = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(groups_of.keys())
            .map_err(|_| regex::Error::CompiledTooBig(size))?;
        let groups_of = groups_of.into_values().map(Vec::into_boxed_slice).collect();
        let mut compiler = Compiler {
            expressions,
            syntax,
            left: size,
            size,
        };
        Ok(Self {
            texts,
            groups_of,
            groups: compiler.groups(&filtered, most)?,
            always: compiler.groups(&always, PART)?,
            count: expressions.len(),
        })
    }

    /// How many expressions there are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Whether one of them matches.
    pub(super) fn is_match(&self, subject: &[u8]) -> bool {
        self.candidates(subject)
            .any(|group| group.regex.is_match(subject))
    }

    /// The numbers of those that match, in order.
    pub(super) fn matches(&self, subject: &[u8]) -> Vec<usize> {
        let mut numbers = Vec::new();
        for group in self.candidates(subject) {
            // Most groups have none. Making room for what matches takes as long as finding that out.
            if group.regex.is_match(subject) {
                let places = matching(&group.regex, subject);
                let places = places.iter().map(|place| place.as_usize());
                numbers.extend(places.filter_map(|place| group.numbers.get(place)));
            }
        }
        numbers.sort_unstable();
        numbers
    }

    /// The groups of which expressions may match.
    fn candidates(&self, subject: &[u8]) -> impl Iterator<Item = &Group> {
        let found = self.found(subject);
        let all = found.is_none().then_some(self.groups.as_slice());
        let some = found.unwrap_or_default().into_iter();
        let some = some.filter_map(|group| self.groups.get(group));
        let groups = all.into_iter().flatten().chain(some);
        groups.chain(&self.always)
    }

    /// The groups of the texts in the subject, each once; `None` if it has too many texts.
    fn found(&self, subject: &[u8]) -> Option<Vec<usize>> {
        let mut found: Vec<usize> = Vec::new();
        for text in self.texts.try_find_overlapping_iter(subject).ok()? {
            let groups = self.groups_of.get(text.pattern().as_usize())?;
            found.extend(groups);
            if found.len() > MOST_FOUND {
                return None;
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

impl Compiler<'_> {
    /// Groups of at most `most` of these.
    fn groups(&mut self, all: &[Parsed], most: usize) -> Result<Vec<Group>, regex::Error> {
        let groups = all.chunks(most).map(|part| self.group(part));
        groups.collect()
    }

    fn group(&mut self, parsed: &[Parsed]) -> Result<Group, regex::Error> {
        let texts = parsed
            .iter()
            .filter_map(|parsed| self.expressions.get(parsed.number));
        let expressions = texts.map(|text| parse(text, &self.syntax));
        let expressions: Vec<Hir> = expressions.collect::<Result<_, _>>()?;
        let build = |states| {
            // What every match begins with is looked for already.
            let options = options(self.left, states).auto_prefilter(false);
            let built = Builder::new()
                .configure(options)
                .build_many_from_hir(&expressions);
            built.map_err(|error| build_error(&error))
        };
        let regex = if parsed.len() > GROUP {
            build(STATES)?
        } else {
            let regex = build(STATES_OF_GROUP)?;
            if regex.memory_usage() > LARGE_GROUP {
                build(STATES)?
            } else {
                regex
            }
        };
        // One automaton reads forwards and one backwards.
        let taken = regex.memory_usage().div_euclid(2);
        let left = self.left.checked_sub(taken);
        self.left = left.ok_or(regex::Error::CompiledTooBig(self.size))?;
        Ok(Group {
            regex,
            numbers: parsed.iter().map(|parsed| parsed.number).collect(),
        })
    }
}

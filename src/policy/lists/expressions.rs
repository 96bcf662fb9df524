//! The expressions of a list, compiled into sets that are searched at once.
//!
//! The expressions of a file become one set. A list that grows by single entries has several sets, each smaller than
//! the one before it: a new expression is compiled together with the small sets at the end only, so that adding the
//! thousandth costs as much as compiling ten on average, not a thousand. Sets are immutable and shared by a list and
//! its successor.

use std::collections::HashMap;
use std::sync::Arc;

use super::first_of;
use crate::policy::pattern::{EXPRESSIONS_SIZE, compile_all, compiled_size};
use crate::policy::set::ExpressionSet;

/// The expressions of a list are too large together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expressions of this list together are too large")]
pub struct TooLarge;

/// Expressions compiled into one set.
#[derive(Debug)]
struct CompiledSet {
    set: ExpressionSet,
    /// The position of each expression in the set.
    positions: HashMap<Box<str>, usize>,
}

/// The compiled expressions of a list, reused by the next version of it.
#[derive(Debug, Clone, Default)]
pub struct CompiledSets {
    /// From the largest to the smallest.
    sets: Vec<Arc<CompiledSet>>,
    /// Size of each expression in bytes.
    sizes: Arc<HashMap<Box<str>, usize>>,
}

/// A set with the entries that its expressions belong to.
#[derive(Debug)]
struct Part {
    compiled: Arc<CompiledSet>,
    /// By position; `None` for an expression that is no longer in the list.
    entries: Vec<Option<u32>>,
}

/// Expressions with the entries they belong to.
#[derive(Debug, Default)]
pub(super) struct Expressions(Vec<Part>);

impl CompiledSet {
    /// Compiles expressions, each of which is in the set once.
    fn new(expressions: &[&str]) -> Result<Self, TooLarge> {
        let mut positions = HashMap::with_capacity(expressions.len());
        let mut unique = Vec::with_capacity(expressions.len());
        for expression in expressions {
            if !positions.contains_key(*expression) {
                positions.insert(Box::from(*expression), unique.len());
                unique.push(*expression);
            }
        }
        let set = compile_all(&unique).map_err(|_| TooLarge)?;
        Ok(Self { set, positions })
    }

    fn len(&self) -> usize {
        self.positions.len()
    }
}

impl CompiledSets {
    /// Sets for exactly these expressions; most of them are reused.
    ///
    /// A set with few of them left is dropped. Expressions without a set are compiled, together with the sets that are
    /// not larger, so that there are only a few sets.
    ///
    /// The bound applies to these expressions. A reused set may also contain removed expressions, but fewer than
    /// current ones; they are not counted here. So a list that shrank needs at most about twice the bound, if its
    /// expressions are of one size.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when they together need too much memory.
    pub fn updated(&self, expressions: &[&str]) -> Result<Self, TooLarge> {
        let sizes = self.sizes(expressions)?;
        let mut sets = Vec::new();
        let mut uncovered = sizes.clone();
        for set in &self.sets {
            let texts = set.positions.keys();
            let count = texts.filter(|text| sizes.contains_key(*text)).count();
            if count.saturating_mul(2) > set.len() {
                uncovered.retain(|text, _| !set.positions.contains_key(text));
                sets.push(Arc::clone(set));
            }
        }
        if !uncovered.is_empty() {
            while let Some(last) = sets.pop_if(|last| last.len() <= uncovered.len()) {
                let held = last.positions.keys().filter_map(|text| {
                    let size = sizes.get(text)?;
                    Some((text.clone(), *size))
                });
                uncovered.extend(held);
            }
            let texts: Vec<&str> = uncovered.keys().map(AsRef::as_ref).collect();
            sets.push(Arc::new(CompiledSet::new(&texts)?));
        }
        Ok(Self {
            sets,
            sizes: Arc::new(sizes),
        })
    }

    /// These without the sets that have none of the expressions; nothing is compiled.
    #[must_use]
    pub fn without_unused(&self, expressions: &[&str]) -> Self {
        let is_used = |set: &&Arc<CompiledSet>| {
            let mut texts = expressions.iter();
            texts.any(|text| set.positions.contains_key(*text))
        };
        Self {
            sets: self.sets.iter().filter(is_used).cloned().collect(),
            sizes: Arc::clone(&self.sizes),
        }
    }

    /// The size of each expression, measured if unknown.
    fn sizes(&self, expressions: &[&str]) -> Result<HashMap<Box<str>, usize>, TooLarge> {
        let mut sizes = HashMap::with_capacity(expressions.len());
        let mut sum = 0_usize;
        for text in expressions {
            if sizes.contains_key(*text) {
                continue;
            }
            let known = self.sizes.get(*text).copied();
            let size = match known {
                Some(size) => size,
                None => compiled_size(text).ok_or(TooLarge)?,
            };
            sum = sum.saturating_add(size);
            if sum > EXPRESSIONS_SIZE {
                return Err(TooLarge);
            }
            sizes.insert(Box::from(*text), size);
        }
        Ok(sizes)
    }
}

impl Expressions {
    /// Compiles those of these expressions that are not in one of the sets.
    pub(super) fn new(found: &[(String, u32)], compiled: &CompiledSets) -> Result<Self, TooLarge> {
        let mut parts: Vec<Part> = compiled.sets.iter().map(Part::new).collect();
        let covers = |(text, _): &&(String, u32)| {
            let mut sets = compiled.sets.iter();
            !sets.any(|set| set.positions.contains_key(text.as_str()))
        };
        let rest: Vec<&str> = found
            .iter()
            .filter(covers)
            .map(|(text, _)| text.as_str())
            .collect();
        if !rest.is_empty() {
            parts.push(Part::new(&Arc::new(CompiledSet::new(&rest)?)));
        }
        for (text, number) in found {
            let entry = parts.iter_mut().find_map(|part| part.entry(text));
            if let Some(entry) = entry {
                *entry = first_of(*entry, Some(*number));
            }
        }
        parts.retain(|part| part.entries.iter().any(Option::is_some));
        Ok(Self(parts))
    }

    /// The first entry that matches.
    pub(super) fn find(&self, subject: &[u8]) -> Option<u32> {
        self.0.iter().filter_map(|part| part.find(subject)).min()
    }
}

impl Part {
    /// Without entries yet.
    fn new(compiled: &Arc<CompiledSet>) -> Self {
        Self {
            entries: vec![None; compiled.len()],
            compiled: Arc::clone(compiled),
        }
    }

    /// The entry of this expression.
    fn entry(&mut self, expression: &str) -> Option<&mut Option<u32>> {
        let position = self.compiled.positions.get(expression)?;
        self.entries.get_mut(*position)
    }

    fn find(&self, subject: &[u8]) -> Option<u32> {
        let matches = self.compiled.set.matches(subject);
        let entry = |position| self.entries.get(position).copied().flatten();
        matches.iter().filter_map(entry).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Expressions of which several match each subject.
    fn expressions() -> Vec<String> {
        let expression = |n: usize| format!("^[{}-9]x{{{}}}", n % 10, n / 10);
        (0..30).map(expression).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn sets_that_grew_find_what_each_expression_alone_finds(
            steps in proptest::collection::vec((0_usize..30, any::<bool>()), 1..40),
        ) {
            let all = expressions();
            let alone: Vec<ExpressionSet> = all.iter().map(|text| compile_all(&[text]).unwrap()).collect();
            let mut list: Vec<usize> = Vec::new();
            let mut compiled = CompiledSets::default();
            for (number, adds) in steps {
                if adds {
                    list.push(number);
                } else {
                    list.retain(|other| *other != number);
                }
                let texts: Vec<&str> = list.iter().map(|at| all[*at].as_str()).collect();
                compiled = compiled.updated(&texts).unwrap();
                let found: Vec<(String, u32)> = texts.iter().map(|text| (*text).to_owned()).zip(0..).collect();
                let grown = Expressions::new(&found, &compiled).unwrap();
                for subject in ["0", "5x", "9xx", "y", "3x"] {
                    let matches = |at: &usize| alone[*at].matches(subject.as_bytes()).iter().next().is_some();
                    let want = list.iter().position(matches).and_then(|at| u32::try_from(at).ok());
                    prop_assert_eq!(grown.find(subject.as_bytes()), want, "{} in {:?}", subject, texts);
                }
            }
        }
    }

    #[test]
    fn one_more_expression_compiles_few_of_the_others() {
        const COUNT: usize = 128;
        let all: Vec<String> = (0..COUNT).map(|n| format!("^host{n}\\.")).collect();
        let texts: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut compiled = CompiledSets::default();
        let mut work = 0;
        for count in 1..=COUNT {
            let next = compiled.updated(&texts[..count]).unwrap();
            let is_new =
                |set: &&Arc<CompiledSet>| !compiled.sets.iter().any(|old| Arc::ptr_eq(old, set));
            work += next
                .sets
                .iter()
                .filter(is_new)
                .map(|set| set.len())
                .sum::<usize>();
            assert!(next.sets.len() <= 8, "{} sets", next.sets.len());
            compiled = next;
        }
        assert!(work <= COUNT * 8, "{work} compilations");

        let most = compiled.updated(&texts[..COUNT - 8]).unwrap();
        let is_shared = Arc::ptr_eq(&most.sets[0], &compiled.sets[0]);
        assert!(is_shared, "an expression that goes compiles nothing");
        let few = compiled.updated(&texts[..10]).unwrap();
        assert_eq!(few.sets.iter().map(|set| set.len()).sum::<usize>(), 10);
        assert!(few.without_unused(&texts[10..]).sets.is_empty());
        assert_eq!(few.without_unused(&texts[9..]).sets.len(), 1);
    }

    #[test]
    fn expressions_are_bounded_together_and_not_by_set() {
        let one = |n: usize| format!("^{n}[a-z]{{5000}}");
        let size = compiled_size(&one(0)).unwrap();
        let most = EXPRESSIONS_SIZE / size;
        let all: Vec<String> = (0..=most).map(one).collect();
        let texts: Vec<&str> = all.iter().map(String::as_str).collect();
        let compiled = CompiledSets::default();
        assert!(
            compiled.sizes(&texts[..most]).is_ok(),
            "{most} of {size} bytes"
        );
        assert_eq!(compiled.updated(&texts).unwrap_err(), TooLarge);
    }
}

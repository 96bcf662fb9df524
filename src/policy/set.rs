//! Sets of expressions that are matched at once.
//!
//! The `regex` crate matches all expressions of a set with one automaton, whose states it makes as they are reached and
//! keeps up to a limit. With thousands of expressions these are so large that hardly any is ever found again, and a
//! search takes milliseconds. So there are at most [`PART`] expressions in a set, and as many sets as it takes: five
//! thousand then take some microseconds.
//!
//! The crate also looks for literals that begin or end a match, to skip what cannot match. Collecting them takes time
//! that grows with the square of the number of expressions, and with many sets it is of no use. An expression that can
//! begin with any byte, and comes first, ends the collection at once.

use std::iter;

use regex::bytes::{RegexSet, RegexSetBuilder, SetMatches};

/// Most expressions of a set. Collecting their literals takes a tenth of a second.
const PART: usize = 512;

/// Never matches, and may begin and end with any byte.
const NOTHING: &str = r"(?s-u:.)\A(?s-u:.)";

/// Expressions with the numbers of their order.
#[derive(Debug, Default)]
pub(super) struct ExpressionSet {
    first: RegexSet,
    /// The sets after the first one, if there are more than [`PART`] expressions.
    others: Vec<RegexSet>,
    /// How many expressions of its own stand before the others in each set.
    ahead: usize,
}

/// The expressions that match a subject.
#[derive(Debug)]
pub(super) struct Matches {
    first: Option<SetMatches>,
    /// Those of the other sets of which one matches, with the number of each set.
    others: Vec<(usize, SetMatches)>,
    ahead: usize,
}

impl ExpressionSet {
    /// The set of these expressions, compiled as `configure` says; `size` is how much memory all together may take, in
    /// bytes. Where there are many sets, each may take twice its share.
    ///
    /// # Errors
    ///
    /// If one cannot be compiled, or all together are too large.
    pub(super) fn new(
        expressions: &[&str],
        size: usize,
        configure: impl Fn(&mut RegexSetBuilder) -> &mut RegexSetBuilder,
    ) -> Result<Self, regex::Error> {
        let ahead = usize::from(expressions.len() > PART);
        let share = match expressions.len().div_ceil(PART) {
            0 | 1 => size,
            sets => size.saturating_mul(2).div_euclid(sets),
        };
        let build = |part: &[&str]| {
            let all = [NOTHING].into_iter().take(ahead);
            let mut builder = RegexSetBuilder::new(all.chain(part.iter().copied()));
            configure(&mut builder).size_limit(share).build()
        };
        let mut parts = expressions.chunks(PART);
        Ok(Self {
            first: build(parts.next().unwrap_or_default())?,
            others: parts.map(build).collect::<Result<_, _>>()?,
            ahead,
        })
    }

    /// How many expressions there are.
    pub(super) fn len(&self) -> usize {
        let sets = iter::once(&self.first).chain(&self.others);
        let all = sets.map(|set| set.len().saturating_sub(self.ahead));
        all.fold(0, usize::saturating_add)
    }

    /// Whether one of them matches: quicker than asking which, if most often none does.
    pub(super) fn is_match(&self, subject: &[u8]) -> bool {
        let mut sets = iter::once(&self.first).chain(&self.others);
        sets.any(|set| set.is_match(subject))
    }

    /// Those that match.
    pub(super) fn matches(&self, subject: &[u8]) -> Matches {
        if self.others.is_empty() {
            return Matches {
                first: Some(self.first.matches(subject)),
                others: Vec::new(),
                ahead: self.ahead,
            };
        }
        // Most sets have none. Making room for what matches takes as long as finding that out.
        let of = |set: &RegexSet| set.is_match(subject).then(|| set.matches(subject));
        let others = (1..).zip(&self.others);
        Matches {
            first: of(&self.first),
            others: others
                .filter_map(|(number, set)| Some((number, of(set)?)))
                .collect(),
            ahead: self.ahead,
        }
    }
}

impl Matches {
    /// Whether the expression of this number matches.
    pub(super) fn matched(&self, number: usize) -> bool {
        let set = match number / PART {
            0 => self.first.as_ref(),
            wanted => {
                let mut others = self.others.iter();
                let found = others.find(|(number, _)| *number == wanted);
                found.map(|(_, set)| set)
            }
        };
        let place = (number % PART).saturating_add(self.ahead);
        set.is_some_and(|set| set.matched(place))
    }

    /// The numbers of those that match, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let first = self.first.iter().map(|set| (0, set));
        let others = self.others.iter().map(|(number, set)| (*number, set));
        first.chain(others).flat_map(move |(number, set)| {
            let places = set.iter();
            places.filter_map(move |place| {
                let place = place.checked_sub(self.ahead)?;
                Some(number.saturating_mul(PART).saturating_add(place))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 64 << 20;

    #[test]
    fn expressions_keep_their_numbers_however_many_there_are() {
        for count in [1, PART, PART + 1, 2 * PART, 5 * PART + 7] {
            let texts: Vec<String> = (0..count).map(|number| format!("x{number}y")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let set = ExpressionSet::new(&texts, SIZE, |builder| builder.unicode(false)).unwrap();
            assert_eq!(set.len(), count);
            for (subject, want) in [
                ("x0y".to_owned(), Some(0)),
                (format!("x{}y", count - 1), Some(count - 1)),
                (format!("x{}yx0y", count - 1), Some(0)),
                (format!("x{count}y"), None),
                (String::new(), None),
                ("\n".to_owned(), None),
            ] {
                let matches = set.matches(subject.as_bytes());
                assert_eq!(matches.iter().next(), want, "{count} {subject}");
                let last = want.is_some() && subject.contains(texts[count - 1]);
                assert_eq!(matches.matched(count - 1), last, "{count} {subject}");
            }
        }
    }

    #[test]
    fn what_matches_comes_in_the_order_of_the_expressions() {
        let texts: Vec<String> = (0..3 * PART)
            .map(|number| format!("^x{}$", number % 7))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let set = ExpressionSet::new(&texts, SIZE, |builder| builder.unicode(false)).unwrap();
        let matches = set.matches(b"x3");
        let want: Vec<usize> = (0..texts.len()).filter(|number| number % 7 == 3).collect();
        assert_eq!(matches.iter().collect::<Vec<_>>(), want);
        for number in 0..texts.len() {
            assert_eq!(matches.matched(number), number % 7 == 3, "{number}");
        }
    }

    #[test]
    fn all_sets_together_are_bounded() {
        for count in [PART / 2, PART * 4] {
            let texts = vec!["[a-z]{9}"; count];
            let build = |size| ExpressionSet::new(&texts, size, |builder| builder.unicode(false));
            assert!(build(count * 2000).is_ok(), "{count}");
            assert!(build(count * 20).is_err(), "{count}");
        }
    }
}

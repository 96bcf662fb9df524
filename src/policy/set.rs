//! Many expressions, matched all at once.
//!
//! The `regex` crate looks for literals that begin or end a match, to skip what cannot match. Collecting them takes time
//! that grows with the square of the number of expressions, half a minute for 60,000, and so many are of no use.
//! An expression that can begin with any byte, and comes first, ends the collection at once.

use regex::bytes::{RegexSet, RegexSetBuilder, SetMatches};

/// Most expressions whose literals are collected: that takes a tenth of a second.
const MOST_WITH_LITERALS: usize = 4096;

/// Matches nothing, and may begin and end with any byte.
const NOTHING: &str = r"(?s-u:.)\A(?s-u:.)";

/// Expressions with the numbers of their order.
#[derive(Debug, Default)]
pub(super) struct ExpressionSet {
    set: RegexSet,
    /// How many expressions of its own stand before the others.
    ahead: usize,
}

/// Which expressions match a subject.
#[derive(Debug)]
pub(super) struct Matches {
    matches: SetMatches,
    ahead: usize,
}

impl ExpressionSet {
    /// The set of these expressions, compiled as `configure` says.
    ///
    /// # Errors
    ///
    /// When one cannot be compiled, or all together are too large.
    pub(super) fn new(
        expressions: &[&str],
        configure: impl FnOnce(&mut RegexSetBuilder) -> &mut RegexSetBuilder,
    ) -> Result<Self, regex::Error> {
        let ahead = usize::from(expressions.len() > MOST_WITH_LITERALS);
        let all = [NOTHING].into_iter().take(ahead);
        let mut builder = RegexSetBuilder::new(all.chain(expressions.iter().copied()));
        let set = configure(&mut builder).build()?;
        Ok(Self { set, ahead })
    }

    /// Those that match.
    pub(super) fn matches(&self, subject: &[u8]) -> Matches {
        Matches {
            matches: self.set.matches(subject),
            ahead: self.ahead,
        }
    }
}

impl Matches {
    /// Whether the expression of this number matches.
    pub(super) fn matched(&self, number: usize) -> bool {
        self.matches.matched(number.saturating_add(self.ahead))
    }

    /// The numbers of those that match, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let matches = self.matches.iter();
        matches.filter_map(|number| number.checked_sub(self.ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_keep_their_numbers_however_many_there_are() {
        for count in [1, MOST_WITH_LITERALS, MOST_WITH_LITERALS + 1] {
            let texts: Vec<String> = (0..count).map(|number| format!("x{number}y")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let set = ExpressionSet::new(&texts, |builder| builder.unicode(false)).unwrap();
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
}

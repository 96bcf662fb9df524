//! Sets of expressions that are matched at once.
//!
//! The `regex` crate collects literals that begin or end a match, to skip text that cannot match. The time for that
//! grows with the square of the number of expressions, to half a minute for 60,000, and that many literals are useless.
//! An expression in first place that can begin with any byte prevents the collection.

use regex::bytes::{RegexSet, RegexSetBuilder, SetMatches};

/// Maximum number of expressions whose literals are collected, which takes a tenth of a second.
const MOST_WITH_LITERALS: usize = 4096;

/// Never matches, and may begin and end with any byte.
const NOTHING: &str = r"(?s-u:.)\A(?s-u:.)";

/// Expressions with the numbers of their order.
#[derive(Debug, Default)]
pub(super) struct ExpressionSet {
    set: RegexSet,
    /// Number of added expressions before the others.
    ahead: usize,
}

/// The expressions that match a subject.
#[derive(Debug)]
pub(super) struct Matches {
    matches: SetMatches,
    ahead: usize,
}

impl ExpressionSet {
    /// The set of these expressions, compiled with the settings of `configure`.
    ///
    /// # Errors
    ///
    /// If one cannot be compiled, or all together are too large.
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

    /// The numbers of those that match, in order.
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

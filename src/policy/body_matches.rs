//! What the body clauses of rules have found in a message, searched for beforehand: a large body is searched on a thread
//! for such work.

/// What was found in a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyMatches {
    /// By the numbers of the expressions: whether one of the lines matches. Those at the end that do not may be missing.
    expressions: Vec<bool>,
    /// The texts that were searched for, and whether one of the lines has them.
    texts: Vec<(Box<str>, bool)>,
}

impl BodyMatches {
    /// These results.
    #[must_use]
    pub const fn new(expressions: Vec<bool>, texts: Vec<(Box<str>, bool)>) -> Self {
        Self { expressions, texts }
    }

    /// Whether the expression of this number matches a line.
    #[must_use]
    pub fn matches(&self, expression: usize) -> bool {
        self.expressions.get(expression) == Some(&true)
    }

    /// Whether a line has this text; `None` if it was not searched for.
    #[must_use]
    pub fn contains(&self, text: &str) -> Option<bool> {
        let mut found = self
            .texts
            .iter()
            .filter(|(searched, _)| **searched == *text);
        found.next().map(|(_, is_there)| *is_there)
    }
}

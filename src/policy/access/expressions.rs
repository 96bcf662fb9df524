//! Tables of expressions: `regexp_table(5)`, `pcre_table(5)`.
//!
//! All expressions of a table are matched at once; the lines are then evaluated with the result.

use regex::bytes::Regex;

use super::super::ere::{self, Captures, Expression};
use super::super::lists::{Entry, TooLarge};
use super::super::set::ExpressionSet;
use super::steps::Steps;
use super::{AccessResult, TableResult, Template};

/// An expression that has to match, or must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The expression.
    pub expression: Expression,
    /// Whether it must not match.
    pub negated: bool,
}

/// A line of a table.
#[derive(Debug)]
pub enum Line<R = AccessResult> {
    /// A result under a condition, or two.
    Rule(Rule<R>, Entry),
    /// The lines up to the `endif` are skipped unless this holds.
    If(Condition),
    /// The end of the last open `if`; ignored without one.
    EndIf,
}

/// Why a rule is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `$1` in a rule that is negated.
    #[error("a negated expression has no groups for the result")]
    Negated,
    /// `$2` with one group.
    #[error("the result has ${0}, but the expression only {1} group(s)")]
    NoGroup(u32, u32),
    /// `$1` where its content is ambiguous.
    #[error(
        "the match of the group is ambiguous: for this $1, the expression must not repeat a group, \
         and in a regexp: table must not have alternatives"
    )]
    Uncertain,
}

/// A result and its conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<R = AccessResult> {
    first: Condition,
    second: Option<Condition>,
    pub(in crate::policy) result: R,
    pub(in crate::policy) text: Template,
}

impl<R: TableResult> Rule<R> {
    /// A rule with the result `text`, whose groups are those of the first condition.
    ///
    /// # Errors
    ///
    /// [`RuleError`] if the text has groups that are not available.
    pub fn new(
        first: Condition,
        second: Option<Condition>,
        result: R,
        text: Template,
    ) -> Result<Self, RuleError> {
        let (wanted, groups) = (text.groups(), first.expression.groups());
        if wanted > 0 && first.negated {
            return Err(RuleError::Negated);
        }
        if wanted > groups {
            return Err(RuleError::NoGroup(wanted, groups));
        }
        let uncertain = first.expression.captures() == Captures::Uncertain;
        if wanted > 0 && uncertain && result.needs_certain_groups() {
            return Err(RuleError::Uncertain);
        }
        Ok(Self {
            first,
            second,
            result,
            text,
        })
    }

    /// The first expression compiled alone, if anybody gets to see the groups in the text. It compiled when it was
    /// parsed.
    pub(in crate::policy) fn captures(&self) -> Option<Regex> {
        let has_groups = self.text.groups() > 0 && self.result.shows_text();
        let compiled = has_groups.then(|| self.first.expression.compile().ok());
        compiled.flatten()
    }
}

/// A condition in a table: the number of its expression.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Test {
    expression: usize,
    pub(super) negated: bool,
}

impl Test {
    fn holds(self, matched: impl Fn(usize) -> bool) -> bool {
        matched(self.expression) != self.negated
    }
}

/// The expressions and lines of a table.
#[derive(Debug)]
pub(in crate::policy) struct ExpressionTable {
    set: ExpressionSet,
    steps: Steps<(Test, Option<Test>), Test>,
}

impl ExpressionTable {
    /// A table of these lines; `number` adds a rule as an entry and returns the entry's number.
    pub(in crate::policy) fn new<R>(
        lines: Vec<Line<R>>,
        mut number: impl FnMut(Rule<R>, Entry) -> u32,
    ) -> Result<Self, TooLarge> {
        let set = {
            let expressions: Vec<Expression> = lines.iter().flat_map(expressions).collect();
            ere::compile_all(&expressions).map_err(|_| TooLarge)?
        };
        let mut steps = Steps::new();
        let mut numbered = 0_usize;
        // Expressions are numbered in the order of `expressions`.
        let mut test = |condition: &Condition| {
            let expression = numbered;
            numbered = expression.saturating_add(1);
            Test {
                expression,
                negated: condition.negated,
            }
        };
        for line in lines {
            match line {
                Line::Rule(rule, entry) => {
                    let first = test(&rule.first);
                    let second = rule.second.as_ref().map(&mut test);
                    steps.rule((first, second), number(rule, entry));
                }
                Line::If(condition) => steps.begin(test(&condition)),
                Line::EndIf => steps.end(),
            }
        }
        Ok(Self { set, steps })
    }

    /// The number of the entry that decides on a subject, using only the rules that `counts` selects.
    pub(in crate::policy) fn find(
        &self,
        subject: &[u8],
        counts: impl Fn(Test) -> bool,
    ) -> Option<u32> {
        let matches = self.set.matches(subject);
        self.evaluate(|number| matches.matched(number), counts)
    }

    /// The number of the entry that decides on a subject with two forms: an expression matches it if it matches one.
    pub(in crate::policy) fn find_either(&self, subject: &[u8], other: &[u8]) -> Option<u32> {
        let (one, other) = (self.set.matches(subject), self.set.matches(other));
        let matched = |number| one.matched(number) || other.matched(number);
        self.evaluate(matched, |_| true)
    }

    /// The number of the entry that decides, if these expressions match.
    fn evaluate(
        &self,
        matched: impl Fn(usize) -> bool,
        counts: impl Fn(Test) -> bool,
    ) -> Option<u32> {
        let holds = |(first, second): &(Test, Option<Test>)| {
            counts(*first)
                && first.holds(&matched)
                && second.is_none_or(|test| test.holds(&matched))
        };
        self.steps.find(holds, |test| test.holds(&matched))
    }
}

/// The expressions of a line.
fn expressions<R>(line: &Line<R>) -> Vec<Expression> {
    match line {
        Line::Rule(rule, _) => {
            let second = rule.second.iter();
            let conditions = std::iter::once(&rule.first).chain(second);
            conditions
                .map(|condition| condition.expression.clone())
                .collect()
        }
        Line::If(condition) => vec![condition.expression.clone()],
        Line::EndIf => Vec::new(),
    }
}

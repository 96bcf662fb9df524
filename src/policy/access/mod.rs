//! Tables of expressions about clients, as `regexp_table(5)` has them, asked as
//! `check_client_access` asks them.
//!
//! In each table, the client's name is looked up first, whole, and its address if no line has
//! matched the name. The first line that matches decides, unless it says [`AccessResult::Nothing`]:
//! then the next table is asked.
//!
//! A line that begins with `!` is not asked about addresses. Postfix asks it; but what such a line is about has
//! been settled by the name then, and the address is none of the names it speaks of: `!/dynamic/ OK` would
//! excuse every client with a dynamic name by its address.
//!
//! All expressions of a table are matched at once; the lines are then gone through by what matched.
//! What `$1` stands for is found out only when the text is wanted.

mod result;
mod template;

use std::borrow::Cow;

use regex::bytes::Regex;

use super::ere::{self, Captures};
use super::lists::{Entries, Entry, TooLarge};
use super::set::{ExpressionSet, Matches};

pub use super::ere::{EreError, Expression, Flags, Misread};
pub(crate) use result::is_space;
pub use result::{AccessResult, ResultError, Severity};
pub use template::{Template, TemplateError};

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
pub enum Line {
    /// A result under a condition, or two.
    Rule(Rule, Entry),
    /// What follows up to the `endif` is passed over unless this holds.
    If(Condition),
    /// The end of what the last `if` that is open passes over; nothing if none is.
    EndIf,
}

/// Why a rule means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `$1` where nothing has matched.
    #[error("a negated expression has no groups for the result")]
    Negated,
    /// `$2` with one group.
    #[error("the result has ${0}, but the expression only {1} group(s)")]
    NoGroup(u32, u32),
    /// `$1` where it is not clear what it is.
    #[error(
        "the match of the group is ambiguous: for $1 in a reply, the expression must have \
         neither alternatives nor a group that is repeated"
    )]
    Uncertain,
}

/// A result, and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    first: Condition,
    second: Option<Condition>,
    result: AccessResult,
    text: Template,
}

impl Rule {
    /// A rule with the result that `text` has; the groups in it are those of the first condition.
    ///
    /// # Errors
    ///
    /// [`RuleError`] if the text has groups and they cannot be had.
    pub fn new(
        first: Condition,
        second: Option<Condition>,
        result: AccessResult,
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
        if wanted > 0 && uncertain && matches!(result, AccessResult::Reply(_)) {
            return Err(RuleError::Uncertain);
        }
        Ok(Self {
            first,
            second,
            result,
            text,
        })
    }
}

/// A condition in a table: the number of its expression.
#[derive(Debug, Clone, Copy)]
struct Test {
    expression: usize,
    negated: bool,
}

impl Test {
    fn holds(self, matches: &Matches) -> bool {
        matches.matched(self.expression) != self.negated
    }
}

/// What is done at a line.
#[derive(Debug)]
enum Step {
    /// If the tests hold, the outcome of this number is found.
    Rule(Test, Option<Test>, u32),
    /// Goes on at that step unless the test holds.
    If(Test, usize),
}

/// What a rule leads to.
#[derive(Debug)]
struct Consequence {
    result: AccessResult,
    text: Template,
    /// For the groups in the text.
    captures: Option<Regex>,
}

/// A table.
#[derive(Debug)]
struct Table {
    set: ExpressionSet,
    steps: Vec<Step>,
}

impl Table {
    /// The number of the entry that decides on a subject, among the rules that count.
    fn find(&self, subject: &[u8], counts: impl Fn(Test) -> bool) -> Option<u32> {
        let matches = self.set.matches(subject);
        let mut at = 0_usize;
        while let Some(step) = self.steps.get(at) {
            at = at.saturating_add(1);
            match step {
                Step::Rule(first, second, entry) => {
                    let holds = counts(*first) && first.holds(&matches);
                    if holds && second.is_none_or(|test| test.holds(&matches)) {
                        return Some(*entry);
                    }
                }
                Step::If(test, otherwise) => {
                    if !test.holds(&matches) {
                        at = *otherwise;
                    }
                }
            }
        }
        None
    }
}

/// Tables, in their order.
#[derive(Debug, Default)]
pub struct AccessTables {
    tables: Vec<Table>,
    entries: Entries,
    /// By the numbers of the entries.
    consequences: Vec<Consequence>,
}

/// What the tables say about a client.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The entry that decides.
    pub entry: u32,
    /// What it says.
    pub result: AccessResult,
    consequence: &'a Consequence,
    subject: &'a [u8],
}

impl Found<'_> {
    /// The text of the result, its groups put in; what is not printable in them is escaped.
    #[must_use]
    pub fn text(&self) -> String {
        let consequence = self.consequence;
        let text = consequence.text.expand(
            consequence.captures.as_ref(),
            self.subject,
            template::printable,
        );
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The text of the result, its groups put in as they are.
    #[must_use]
    pub fn raw_text(&self) -> Vec<u8> {
        let consequence = self.consequence;
        let expression = consequence.captures.as_ref();
        consequence
            .text
            .expand(expression, self.subject, Cow::Borrowed)
    }
}

impl AccessTables {
    /// Adds a table of these lines.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when its expressions take too much memory together; nothing is added.
    pub fn push(&mut self, lines: Vec<Line>) -> Result<(), TooLarge> {
        let mut building = Building::default();
        let set = {
            let expressions: Vec<Expression> = lines.iter().flat_map(expressions).collect();
            ere::compile_all(&expressions).map_err(|_| TooLarge)?
        };
        for line in lines {
            match line {
                Line::Rule(rule, entry) => {
                    let first = building.test(&rule.first);
                    let second = rule.second.as_ref().map(|second| building.test(second));
                    let number = self.entries.push(entry);
                    building.steps.push(Step::Rule(first, second, number));
                    self.consequences.push(consequence(rule));
                }
                Line::If(condition) => {
                    let test = building.test(&condition);
                    building.open.push(building.steps.len());
                    building.steps.push(Step::If(test, usize::MAX));
                }
                Line::EndIf => building.close(),
            }
        }
        let steps = building.steps;
        self.tables.push(Table { set, steps });
        Ok(())
    }

    /// What decides on a client; `None` if nothing does, and when that says nothing.
    #[must_use]
    pub fn find<'a>(&'a self, name: &'a [u8], address: &'a [u8]) -> Option<Found<'a>> {
        (0..self.tables.len()).find_map(|table| {
            let found = self.lookup(table, name);
            let by_address = || self.lookup_where(table, address, |test| !test.negated);
            let found = found.or_else(by_address)?;
            (found.result != AccessResult::Nothing).then_some(found)
        })
    }

    /// What one table says about one subject, be it [`AccessResult::Nothing`].
    #[must_use]
    pub fn lookup<'a>(&'a self, table: usize, subject: &'a [u8]) -> Option<Found<'a>> {
        self.lookup_where(table, subject, |_| true)
    }

    fn lookup_where<'a>(
        &'a self,
        table: usize,
        subject: &'a [u8],
        counts: impl Fn(Test) -> bool,
    ) -> Option<Found<'a>> {
        let entry = self.tables.get(table)?.find(subject, counts)?;
        let consequence = self.consequences.get(usize::try_from(entry).ok()?)?;
        Some(Found {
            entry,
            result: consequence.result,
            consequence,
            subject,
        })
    }

    /// Whether some line greylists.
    #[must_use]
    pub fn has_greylist(&self) -> bool {
        let mut all = self.consequences.iter();
        all.any(|consequence| consequence.result == AccessResult::Greylist)
    }

    /// Whether there is no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The entries of all tables.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.entries
    }
}

/// A table while its lines are added.
#[derive(Debug, Default)]
struct Building {
    steps: Vec<Step>,
    /// The steps of the `if`s that are open.
    open: Vec<usize>,
    expressions: usize,
}

impl Building {
    /// The test of a condition: expressions are numbered as [`expressions`] has them.
    fn test(&mut self, condition: &Condition) -> Test {
        let expression = self.expressions;
        self.expressions = expression.saturating_add(1);
        Test {
            expression,
            negated: condition.negated,
        }
    }

    fn close(&mut self) {
        let end = self.steps.len();
        let open = self.open.pop().and_then(|open| self.steps.get_mut(open));
        if let Some(Step::If(_, otherwise)) = open {
            *otherwise = end;
        }
    }
}

/// The expressions of a line.
fn expressions(line: &Line) -> Vec<Expression> {
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

fn consequence(rule: Rule) -> Consequence {
    let has_groups = rule.text.groups() > 0 && matches!(rule.result, AccessResult::Reply(_));
    Consequence {
        result: rule.result,
        // It did compile when it was read.
        captures: has_groups
            .then(|| rule.first.expression.compile().ok())
            .flatten(),
        text: rule.text,
    }
}

#[cfg(test)]
mod tests;

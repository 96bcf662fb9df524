//! Rules: for whom, what, and where it is written.

use super::format::Format;
use super::test::Clause;
use crate::policy::Entry;
use crate::types::Span;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// It matches when all of these hold: always, if there are none.
    pub clauses: Vec<Clause>,
    /// What it does.
    pub action: Action,
    /// Where it is written, and how often it has decided.
    pub entry: Entry,
}

/// What a rule does with those it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// They pass.
    Pass,
    /// They are greylisted.
    Greylist(Treatment),
    /// They are refused.
    Refuse(Refusal),
}

/// How those are treated who wait; `None` is what applies to everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Treatment {
    /// How long a new triplet waits.
    pub delay: Option<Span>,
    /// How long a triplet that has passed is kept.
    pub max_age: Option<Span>,
    /// The reply code, 400 to 499.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub enhanced_code: Option<Box<str>>,
    /// The text of the reply.
    pub text: Option<Format>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reply code, 500 to 599.
    pub code: u16,
    /// The enhanced status code.
    pub enhanced_code: Box<str>,
    /// The text.
    pub text: Format,
}

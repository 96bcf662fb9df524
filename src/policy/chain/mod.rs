//! The chain of rules: what an ordered list of entries says about an attempt.
//!
//! # Three values
//!
//! A test holds, does not hold, or is not known to: because it has to be looked up first, or because nobody has
//! answered. A rule matches when all of its clauses hold; the negation of what is not known is not known. So silence
//! neither refuses nor excuses anybody.
//!
//! # The search
//!
//! The first rule that matches decides. A rule that is not known to match does not end the search: what is found behind
//! it says what has to be looked up, namely what the rules before it lack, and nothing more.

mod apply;
mod ask;
mod build;
mod content;
mod effects;
mod format;
mod index;
mod lookups;
mod networks;
mod part_matches;
mod render;
mod rule;
mod search;
mod statements;
mod subject;
mod test;
mod truth;

pub use super::properties::{Number, Operator, Properties};
pub use super::schedule::{LocalTime, Schedule, ScheduleError};
pub use build::{Chain, Needs, Parts};
pub use effects::{
    AssignedValue, Effect, Effects, HeaderFormat, Operation, RateLimit, RateUnit, Scope,
};
pub use format::{Format, FormatToken, Piece, Remark, TimePart};
pub use render::{
    MAX_REPLY, RuleName, TokenValues, is_empty_in_replies, is_known_macro, is_of_reply,
};
pub use rule::{Action, Bounds, Fallback, Refusal, Rule, RuleAction, Terms, Treatment};
pub use search::Found;
pub use statements::{Report, Statements};
pub use subject::Subject;
pub use test::{Clause, MacroPattern, Pattern, PropertyPattern, Test};
pub use truth::Truth;

#[cfg(test)]
mod index_tests;
#[cfg(test)]
pub(in crate::policy) mod message_tests;
#[cfg(test)]
pub(in crate::policy) mod tests;

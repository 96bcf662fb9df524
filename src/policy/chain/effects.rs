//! What rules do besides deciding: properties, counts, lines for the log.
//!
//! Nothing here changes anything: a search says what its [`Effects`] are, and whoever makes the decision applies them,
//! once.

use super::format::Format;
use crate::policy::properties::{Number, Properties};
use crate::types::{AddedHeader, HeaderText, ReplyText, Span};

/// How long a property keeps its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `set`: to the end of the message.
    Message,
    /// `rset`: for this recipient.
    Recipient,
}

/// What is done with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `=`.
    Assign,
    /// `+=`.
    Add,
    /// `-=`.
    Subtract,
}

/// What a property is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignedValue {
    /// A text.
    Text(Format),
    /// A number, or the value of another property.
    Number(Number),
}

/// What a rule does with those it matches, besides its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A property gets a value.
    Set {
        /// For how long.
        scope: Scope,
        /// The property.
        property: Box<str>,
        /// What is done with it.
        operation: Operation,
        /// The value.
        value: AssignedValue,
    },
    /// This is written to the log.
    Log(Format),
    /// The message gets this field in its header, if it passes.
    Header(HeaderFormat),
    /// The header that says what greylisting has done has this text.
    Report(Format),
    /// The decision is not logged.
    NoLog,
}

/// A field of a header, as a rule has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFormat {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: Format,
    /// Where it is inserted, from the top; `None`: at the end.
    pub index: Option<u32>,
}

/// What a rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateUnit {
    /// Recipients.
    Recipients,
    /// Sessions of the milter protocol.
    Sessions,
    /// Bytes of messages, at their end.
    Bytes,
}

/// A limit that is exceeded when more than so many come within a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name in the file.
    pub name: Box<str>,
    /// What is counted.
    pub unit: RateUnit,
    /// How many.
    pub limit: u64,
    /// Within which time; at least a second.
    pub period: Span,
    /// What is counted together.
    pub key: Format,
}

/// What a decision does besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// The numbers of the rate limits that were asked, and how many more each counts.
    pub counted: Vec<(usize, u64)>,
    /// The numbers of the rules with `continue` that have matched.
    pub continued: Vec<u32>,
    /// The properties of the message, as they are now; `None` if none was set.
    pub properties: Option<Properties>,
    /// Lines for the log.
    pub lines: Vec<ReplyText>,
    /// Fields that the message gets in its header, if it passes.
    pub headers: Vec<AddedHeader>,
    /// The text of the header that says what greylisting has done, if a rule has one of its own.
    pub report: Option<HeaderText>,
    /// Whether the decision is not logged.
    pub is_unlogged: bool,
}

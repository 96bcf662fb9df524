//! Why a statement means nothing.

use crate::policy::ZoneError;
use crate::policy::access::EreError;
use crate::policy::chain::ScheduleError;
use crate::types::PrefixError;

use super::ast::Position;
use super::limits::{MAX_ENTRIES, MAX_TOKEN};

/// An error and where it is.
pub(super) type Failure = (Position, SyntaxError);

/// Why a statement means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SyntaxError {
    /// Something else was expected; and what was found.
    #[error("expected {0}, found {1}")]
    Expected(&'static str, String),
    /// Not a statement.
    #[error("unknown statement {0:?}")]
    Statement(String),
    /// Not a clause or a value.
    #[error("unknown clause {0:?}")]
    Clause(String),
    /// `\` and more.
    #[error("text after the backslash that continues the line; it would be ignored")]
    Continuation,
    #[error("a word, text or expression of more than {MAX_TOKEN} bytes")]
    Long,
    #[error("the closing quotation mark is missing on this line")]
    OpenQuote,
    #[error("the closing / of the expression is missing on this line")]
    OpenExpression,
    #[error("this is not UTF-8")]
    Encoding,
    #[error("a control character")]
    Control,
    #[error("an empty expression")]
    EmptyExpression,
    #[error("bad expression: {0}")]
    Expression(#[from] EreError),
    #[error("bad address {0:?}: {1}")]
    Address(String, PrefixError),
    #[error("bad zone {0:?}: {1}")]
    Zone(String, ZoneError),
    #[error("bad time: {0}")]
    Schedule(#[from] ScheduleError),
    #[error("{0:?} is not {1}")]
    Value(String, &'static str),
    #[error("{0:?} is longer than 400 days")]
    LongTime(String),
    #[error("no {0} {1:?} is defined above")]
    Undefined(&'static str, String),
    #[error("{0} {1:?} is defined at line {2} already")]
    Twice(&'static str, String, u32),
    #[error("a second {0} in this entry")]
    Again(&'static str),
    #[error("a clause must come before delay, msg and other values")]
    Order,
    #[error("default stands alone, without clauses")]
    NotAlone,
    #[error("no clause; write default for an entry that matches always")]
    NoClause,
    #[error("{0} cannot be negated")]
    Negated(&'static str),
    #[error("{0} can be tested in racl entries only")]
    RecipientOnly(&'static str),
    #[error(
        "{0} can be tested in dacl entries only: at RCPT, the message has not been received yet"
    )]
    MessageOnly(&'static str),
    #[error("a {0} reply needs a code that begins with {1}, not {2}")]
    CodeClass(&'static str, char, u16),
    #[error("ecode {1:?} does not begin with {0}, as the reply code does")]
    EnhancedClass(char, String),
    #[error("the delay is not shorter than the timeout at line {0}: no retry could pass")]
    DelayTimeout(u32),
    #[error("the name of the header in {0:?} must be constant: write \"Name: value\"")]
    HeaderName(String),
    #[error("{0}; the entry would apply to everybody without it")]
    Unsupported(&'static str),
    #[error("list {0:?} has items of type {1}: {2}")]
    UnsupportedList(String, &'static str, &'static str),
    #[error("more than {MAX_ENTRIES} entries")]
    Entries,
    #[error("not supported: {0}")]
    Refused(&'static str),
}

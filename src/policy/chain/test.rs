//! Tests of rules, as they are written.

use super::format::Format;
use crate::policy::access::Expression;
use crate::policy::properties::{Number, Operator};
use crate::policy::schedule::Schedule;
use crate::policy::{SpfResult, Zone};
use crate::types::Prefix;

/// A test, or the negation of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Whether the test must not hold.
    pub negated: bool,
    /// The test.
    pub test: Test,
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This text, in any case.
    Text(Box<str>),
    /// Something that matches.
    Matches(Expression),
}

/// What a property must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyPattern {
    /// This text, in any case.
    Text(Format),
    /// Something that matches.
    Matches(Expression),
}

/// A test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// The client's address is in this network.
    Network(Prefix),
    /// The client's name is this one, in lower case, or in the domain of this name.
    Domain(Box<str>),
    /// The client's name ends with this, in lower case.
    Suffix(Box<str>),
    /// The client's name matches.
    Name(Expression),
    /// What the client calls itself.
    Helo(Pattern),
    /// What the client calls itself is this text with its tokens replaced, in any case.
    HeloIs(Format),
    /// The sender, as it came or folded. An expression may match it in angle brackets.
    Sender(Pattern),
    /// The sender as it came; likewise.
    RawSender(Pattern),
    /// The recipient; likewise.
    Recipient(Pattern),
    /// The name as which the client has authenticated itself.
    AuthenticatedAs(Pattern),
    /// A DNS list has the client, with an answer in this network.
    DnsList(Zone, Prefix),
    /// What SPF says about the sender.
    Spf(SpfResult),
    /// The time is in this schedule.
    Time(Schedule),
    /// The rate limit of this number is exceeded.
    RateLimit(usize),
    /// The property has this value, in any case, or one that matches. One that is not set has none.
    Property(Box<str>, PropertyPattern),
    /// The property is a number that compares so.
    Compare(Box<str>, Operator, Number),
    /// One of the tests in the list of this number.
    AnyOf(usize),
    /// What no front end can tell.
    Unknown,
}

//! Tests of rules, as they are written.

use super::format::Format;
use crate::policy::access::Expression;
use crate::policy::message::DkimResult;
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
    /// A shell pattern that matches this text.
    GlobFor(Format),
}

/// What a macro must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MacroPattern {
    /// It has this value, or one that matches. Case counts in a text.
    Is(Pattern),
    /// It has none.
    Unset,
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
    /// The name as which the client has authenticated itself. Case counts in a text.
    AuthenticatedAs(Pattern),
    /// A DNS list has the client, with an answer in this network.
    DnsList(Zone, Prefix),
    /// What SPF says about the sender.
    Spf(SpfResult),
    /// The client is in a network of so many bits with a mail server of the sender's domain.
    SenderMx(u8),
    /// The time is in this schedule.
    Time(Schedule),
    /// The rate limit of this number is exceeded.
    RateLimit(usize),
    /// The property has this value, in any case, or one that matches. One that is not set has none.
    Property(Box<str>, PropertyPattern),
    /// The property is a number that compares so.
    Compare(Box<str>, Operator, Number),
    /// The subject of the client's verified certificate. Case counts in a text.
    Certificate(Pattern),
    /// A macro of the mail server, by its name without braces.
    Macro(Box<str>, MacroPattern),
    /// So many recipients were accepted before; at the end of the message, so many in all.
    RecipientCount(Operator, Number),
    /// A field of the header has this text, or one that matches. Case counts in a text.
    Header(Pattern),
    /// A field of the header has the value of this property.
    HeaderProperty(Box<str>),
    /// A line of the body has this text, or one that matches. Case counts in a text.
    Body(Pattern),
    /// A line of the body has the value of this property.
    BodyProperty(Box<str>),
    /// What a server of [`Parts::authserv_ids`](super::Parts::authserv_ids) has found about the message's signatures.
    Dkim(DkimResult),
    /// The message has so many bytes.
    MessageSize(Operator, Number),
    /// A spam filter takes the message for spam.
    Spam,
    /// Its score, in thousandths, compares so. A property has points.
    SpamScore(Operator, Number),
    /// It is not certain that the client has hung up in its last sleep.
    Tarpit,
    /// One of the tests in the list of this number.
    AnyOf(usize),
    /// What no front end can tell.
    Unknown,
}

/// A part of a message that tests read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Its header.
    Header,
    /// Its body.
    Body,
    /// Its size.
    Size,
    /// The score of a spam filter.
    Score,
}

impl Test {
    /// What it reads of the message besides the envelope.
    pub(super) const fn content(&self) -> Option<Content> {
        match self {
            Self::Header(_) | Self::HeaderProperty(_) | Self::Dkim(_) => Some(Content::Header),
            Self::Body(_) | Self::BodyProperty(_) => Some(Content::Body),
            Self::MessageSize(..) => Some(Content::Size),
            Self::Spam | Self::SpamScore(..) => Some(Content::Score),
            Self::Network(_)
            | Self::Domain(_)
            | Self::Suffix(_)
            | Self::Name(_)
            | Self::Helo(_)
            | Self::HeloIs(_)
            | Self::Sender(_)
            | Self::RawSender(_)
            | Self::Recipient(_)
            | Self::AuthenticatedAs(_)
            | Self::DnsList(..)
            | Self::Spf(_)
            | Self::SenderMx(_)
            | Self::Time(_)
            | Self::RateLimit(_)
            | Self::Property(..)
            | Self::Compare(..)
            | Self::Certificate(_)
            | Self::Macro(..)
            | Self::RecipientCount(..)
            | Self::Tarpit
            | Self::AnyOf(_)
            | Self::Unknown => None,
        }
    }
}

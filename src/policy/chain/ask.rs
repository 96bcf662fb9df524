//! Tests with their expressions in sets: one set for all that are asked about the same.

use super::effects::Effect;
use super::format::Format;
use super::index::{Index, Key, Part};
use super::networks::Networks;
use super::rule::Action;
use super::test::{Clause, Content, MacroPattern, Pattern, PropertyPattern, Test};
use crate::policy::access::Expression;
use crate::policy::ere;
use crate::policy::keys::fold_sender;
use crate::policy::message::DkimResult;
use crate::policy::properties::{Number, Operator};
use crate::policy::schedule::Schedule;
use crate::policy::set::ExpressionSet;
use crate::policy::{Cause, SpfResult, TooLarge, Zone};
use crate::types::Prefix;

/// A rule without its source.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) clauses: Vec<(bool, Ask)>,
    pub(super) effects: Vec<Effect>,
    pub(super) action: Action,
    /// What the record of a triplet has as its cause, if the rule makes it wait.
    pub(super) cause: Cause,
    /// Whether it has a clause that no front end can answer, so that it never matches.
    pub(super) is_unreachable: bool,
}

/// A list: true if one of its tests is.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) networks: Networks,
    pub(super) asks: Vec<Ask>,
    pub(super) index: Option<Index>,
    /// Whether testing it may count for a rate limit.
    counts: bool,
    /// Whether no front end can answer any of its tests.
    is_unknown: bool,
}

/// Whether no front end can answer a test.
fn is_unknown(test: &Test, lists: &[List]) -> bool {
    let is_unknown_list = |number: &usize| lists.get(*number).is_some_and(|list| list.is_unknown);
    matches!(test, Test::Unknown) || matches!(test, Test::AnyOf(number) if is_unknown_list(number))
}

/// A test with the number of its expression in place of the expression.
#[derive(Debug)]
pub(super) enum Ask {
    Network(Prefix),
    Domain(Box<str>),
    Suffix(Box<str>),
    Name(usize),
    Helo(Text),
    HeloIs(Format),
    Sender(Text),
    RawSender(Text),
    Recipient(Text),
    AuthenticatedAs(Text),
    DnsList(Zone, Prefix),
    Spf(SpfResult),
    SenderMx(u8),
    Time(Schedule),
    RateLimit(usize),
    Property(Box<str>, AskProperty),
    Certificate(Text),
    Macro(Box<str>, AskMacro),
    RecipientCount(Operator, Number),
    Content(AskContent),
    Tarpit,
    AnyOf(usize),
    Unknown,
}

impl Compiled {
    /// What a clause asks that is tested before anything is counted, and holds for few attempts.
    pub(super) fn key(&self, lists: &[List]) -> Option<Key<'_>> {
        let clauses = self.clauses.iter();
        let harmless = clauses.take_while(|(_, ask)| !ask.counts(lists));
        let keys = harmless.filter_map(|(negated, ask)| ask.key().filter(|_| !negated));
        keys.min_by_key(Key::is_expression)
    }
}

impl Ask {
    /// What it asks, if it holds for few attempts.
    fn key(&self) -> Option<Key<'_>> {
        match self {
            Self::Network(network) => Some(Key::Network(*network)),
            Self::Domain(name) => Some(Key::Domain(name)),
            Self::Suffix(end) => Some(Key::Suffix(end)),
            Self::Name(number) => Some(Key::Expression(Part::Name, *number)),
            Self::Helo(text) => Some(text.key(Part::Helo)),
            Self::Sender(text) => Some(text.key(Part::Sender)),
            Self::RawSender(text) => Some(text.key(Part::RawSender)),
            Self::Recipient(text) => Some(text.key(Part::Recipient)),
            Self::AuthenticatedAs(text) => Some(text.key(Part::User)),
            Self::Certificate(text) => Some(text.key(Part::Certificate)),
            Self::HeloIs(_)
            | Self::DnsList(..)
            | Self::Spf(_)
            | Self::SenderMx(_)
            | Self::Time(_)
            | Self::RateLimit(_)
            | Self::Property(..)
            | Self::Macro(..)
            | Self::RecipientCount(..)
            | Self::Content(_)
            | Self::Tarpit
            | Self::AnyOf(_)
            | Self::Unknown => None,
        }
    }

    /// Whether testing it may count for a rate limit.
    fn counts(&self, lists: &[List]) -> bool {
        match self {
            Self::RateLimit(_) => true,
            Self::AnyOf(number) => lists.get(*number).is_some_and(|list| list.counts),
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
            | Self::Property(..)
            | Self::Certificate(_)
            | Self::Macro(..)
            | Self::RecipientCount(..)
            | Self::Content(_)
            | Self::Tarpit
            | Self::Unknown => false,
        }
    }

    /// The text that it wants in a line of the body, if that is what it asks.
    pub(super) fn body_text(&self) -> Option<&str> {
        if let Self::Content(AskContent::Body(Text::Is(text))) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The keyword of greylist.conf for such a clause.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Network(_) => "addr",
            Self::Domain(_) | Self::Suffix(_) | Self::Name(_) => "domain",
            Self::Helo(_) | Self::HeloIs(_) => "helo",
            Self::Sender(_) | Self::RawSender(_) => "from",
            Self::Recipient(_) => "rcpt",
            Self::AuthenticatedAs(_) => "auth",
            Self::DnsList(..) => "dnsrbl",
            Self::Spf(_) => "spf",
            Self::SenderMx(_) => "mx",
            Self::Time(_) => "time",
            Self::RateLimit(_) => "ratelimit",
            Self::Property(..) => "property",
            Self::Certificate(_) => "tls",
            Self::Macro(..) => "sm_macro",
            Self::RecipientCount(..) => "rcptcount",
            Self::Content(AskContent::Header(_) | AskContent::HeaderProperty(_)) => "header",
            Self::Content(AskContent::Body(_) | AskContent::BodyProperty(_)) => "body",
            Self::Content(AskContent::Dkim(_)) => "dkim",
            Self::Content(AskContent::Size(..)) => "msgsize",
            Self::Content(AskContent::Spam | AskContent::Score(..)) => "spamd",
            Self::Tarpit => "tarpit",
            Self::AnyOf(_) => "list",
            Self::Unknown => "clause",
        }
    }
}

/// What a macro must be.
#[derive(Debug)]
pub(super) enum AskMacro {
    Unset,
    Is(Box<str>),
    Matches(ExpressionSet),
}

/// What a property must be.
#[derive(Debug)]
pub(super) enum AskProperty {
    Is(Format),
    Matches(ExpressionSet),
    GlobFor(Format),
    Compares(Operator, Number),
}

/// A test of what is in a message.
#[derive(Debug)]
pub(super) enum AskContent {
    Header(Text),
    HeaderProperty(Box<str>),
    Body(Text),
    BodyProperty(Box<str>),
    Dkim(DkimResult),
    Size(Operator, Number),
    Spam,
    Score(Operator, Number),
}

#[derive(Debug)]
pub(super) enum Text {
    Is(Box<str>),
    /// The same as a sender is folded.
    Folds(Box<str>, Vec<u8>),
    Matches(usize),
}

impl Text {
    /// What it asks of this part.
    fn key(&self, part: Part) -> Key<'_> {
        match self {
            Self::Is(text) => Key::Text(part, [text.as_bytes(); 2]),
            Self::Folds(text, folded) => Key::Text(part, [text.as_bytes(), folded]),
            Self::Matches(number) => Key::Expression(part, *number),
        }
    }
}

/// The expressions of all rules, by what they are asked about.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    names: Vec<Expression>,
    helos: Vec<Expression>,
    senders: Vec<Expression>,
    raw_senders: Vec<Expression>,
    recipients: Vec<Expression>,
    users: Vec<Expression>,
    certificates: Vec<Expression>,
    headers: Vec<Expression>,
    bodies: Vec<Expression>,
}

/// The same, compiled.
#[derive(Debug, Default)]
pub(super) struct Sets {
    pub(super) names: ExpressionSet,
    pub(super) helos: ExpressionSet,
    pub(super) senders: ExpressionSet,
    pub(super) raw_senders: ExpressionSet,
    pub(super) recipients: ExpressionSet,
    pub(super) users: ExpressionSet,
    pub(super) certificates: ExpressionSet,
    pub(super) headers: ExpressionSet,
    pub(super) bodies: ExpressionSet,
}

impl Expressions {
    /// Compiles them.
    pub(super) fn compile(&self) -> Result<Sets, TooLarge> {
        let set = |all: &[Expression]| ere::compile_all(all).map_err(|_| TooLarge);
        Ok(Sets {
            names: set(&self.names)?,
            helos: set(&self.helos)?,
            senders: set(&self.senders)?,
            raw_senders: set(&self.raw_senders)?,
            recipients: set(&self.recipients)?,
            users: set(&self.users)?,
            certificates: set(&self.certificates)?,
            headers: set(&self.headers)?,
            bodies: set(&self.bodies)?,
        })
    }

    pub(super) fn rule(
        &mut self,
        clauses: Vec<Clause>,
        effects: Vec<Effect>,
        action: Action,
        lists: &[List],
    ) -> Result<Compiled, TooLarge> {
        let mut tests = clauses.iter().map(|clause| &clause.test);
        let is_unreachable = tests.any(|test| is_unknown(test, lists));
        let cause = cause(&clauses);
        let clauses = clauses.into_iter().map(|clause| {
            let ask = self.ask(clause.test)?;
            Ok((clause.negated, ask))
        });
        Ok(Compiled {
            clauses: clauses.collect::<Result<_, _>>()?,
            effects,
            action,
            cause,
            is_unreachable,
        })
    }

    /// A list, which comes behind these.
    pub(super) fn list(&mut self, tests: Vec<Test>, lists: &[List]) -> Result<List, TooLarge> {
        let mut list = List {
            is_unknown: !tests.is_empty() && tests.iter().all(|test| is_unknown(test, lists)),
            ..List::default()
        };
        for test in tests {
            if let Test::Network(network) = test {
                list.networks.insert(network);
            } else {
                let ask = self.ask(test)?;
                list.counts |= ask.counts(lists);
                list.asks.push(ask);
            }
        }
        list.index = Index::new((0..).zip(list.asks.iter().map(Ask::key)));
        Ok(list)
    }

    fn ask(&mut self, test: Test) -> Result<Ask, TooLarge> {
        Ok(match test {
            Test::Network(network) => Ask::Network(network),
            Test::Domain(name) => Ask::Domain(name),
            Test::Suffix(end) => Ask::Suffix(end),
            Test::Name(expression) => Ask::Name(push(&mut self.names, expression)),
            Test::Helo(pattern) => Ask::Helo(text(pattern, &mut self.helos)),
            Test::HeloIs(format) => Ask::HeloIs(format),
            Test::Sender(pattern) => Ask::Sender(match text(pattern, &mut self.senders) {
                Text::Is(address) => {
                    let mut folded = Vec::new();
                    fold_sender(address.as_bytes(), &mut folded);
                    Text::Folds(address, folded)
                }
                other @ (Text::Folds(..) | Text::Matches(_)) => other,
            }),
            Test::RawSender(pattern) => Ask::RawSender(text(pattern, &mut self.raw_senders)),
            Test::Recipient(pattern) => Ask::Recipient(text(pattern, &mut self.recipients)),
            Test::AuthenticatedAs(pattern) => Ask::AuthenticatedAs(text(pattern, &mut self.users)),
            Test::DnsList(zone, answers) => Ask::DnsList(zone, answers),
            Test::Spf(result) => Ask::Spf(result),
            Test::SenderMx(bits) => Ask::SenderMx(bits),
            Test::Time(schedule) => Ask::Time(schedule),
            Test::Tarpit => Ask::Tarpit,
            Test::AnyOf(number) => Ask::AnyOf(number),
            Test::RateLimit(number) => Ask::RateLimit(number),
            Test::Property(name, PropertyPattern::Text(format)) => {
                Ask::Property(name, AskProperty::Is(format))
            }
            Test::Property(name, PropertyPattern::Matches(expression)) => {
                Ask::Property(name, AskProperty::Matches(alone(expression)?))
            }
            Test::Property(name, PropertyPattern::GlobFor(format)) => {
                Ask::Property(name, AskProperty::GlobFor(format))
            }
            Test::Compare(name, operator, number) => {
                Ask::Property(name, AskProperty::Compares(operator, number))
            }
            Test::Certificate(pattern) => Ask::Certificate(text(pattern, &mut self.certificates)),
            Test::Macro(name, MacroPattern::Unset) => Ask::Macro(name, AskMacro::Unset),
            Test::Macro(name, MacroPattern::Is(Pattern::Text(value))) => {
                Ask::Macro(name, AskMacro::Is(value))
            }
            Test::Macro(name, MacroPattern::Is(Pattern::Matches(expression))) => {
                Ask::Macro(name, AskMacro::Matches(alone(expression)?))
            }
            Test::RecipientCount(operator, number) => Ask::RecipientCount(operator, number),
            Test::Header(pattern) => {
                Ask::Content(AskContent::Header(text(pattern, &mut self.headers)))
            }
            Test::HeaderProperty(name) => Ask::Content(AskContent::HeaderProperty(name)),
            Test::Body(pattern) => Ask::Content(AskContent::Body(text(pattern, &mut self.bodies))),
            Test::BodyProperty(name) => Ask::Content(AskContent::BodyProperty(name)),
            Test::Dkim(result) => Ask::Content(AskContent::Dkim(result)),
            Test::MessageSize(operator, number) => Ask::Content(AskContent::Size(operator, number)),
            Test::Spam => Ask::Content(AskContent::Spam),
            Test::SpamScore(operator, number) => Ask::Content(AskContent::Score(operator, number)),
            Test::Unknown => Ask::Unknown,
        })
    }
}

/// What decides in a rule of these clauses: the first thing in the message that it asks for.
fn cause(clauses: &[Clause]) -> Cause {
    let asked = clauses.iter().filter(|clause| !clause.negated);
    let mut contents = asked.filter_map(|clause| clause.test.content());
    match contents.next() {
        Some(Content::Header) => Cause::Header,
        Some(Content::Body) => Cause::Body,
        Some(Content::Score) => Cause::Score,
        Some(Content::Size) | None => Cause::Rule,
    }
}

/// A set of one expression.
fn alone(expression: Expression) -> Result<ExpressionSet, TooLarge> {
    ere::compile_all(&[expression]).map_err(|_| TooLarge)
}

/// The number that the expression gets.
fn push(expressions: &mut Vec<Expression>, expression: Expression) -> usize {
    expressions.push(expression);
    expressions.len().saturating_sub(1)
}

fn text(pattern: Pattern, expressions: &mut Vec<Expression>) -> Text {
    match pattern {
        Pattern::Text(text) => Text::Is(text),
        Pattern::Matches(expression) => Text::Matches(push(expressions, expression)),
    }
}

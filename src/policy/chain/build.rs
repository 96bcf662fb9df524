//! Rules, compiled: every expression in a set with the others that are asked about the same.

use super::effects::{Effect, RateLimit};
use super::format::Format;
use super::networks::Networks;
use super::render::RuleName;
use super::rule::{Action, Bounds, Fallback, Rule};
use super::test::{Clause, Pattern, PropertyPattern, Test};
use crate::policy::access::Expression;
use crate::policy::ere;
use crate::policy::keys::fold_sender;
use crate::policy::properties::{Number, Operator};
use crate::policy::schedule::Schedule;
use crate::policy::set::ExpressionSet;
use crate::policy::{Entries, SpfResult, TooLarge, Zone};
use crate::types::Prefix;

/// Rules in their order, with everything compiled that they ask.
#[derive(Debug, Default)]
pub struct Chain {
    pub(super) rules: Vec<Compiled>,
    /// By the numbers of the rules; that of the default, if it is written, is the last.
    pub(super) entries: Entries,
    /// Likewise.
    pub(super) ids: Vec<Option<Box<str>>>,
    pub(super) fallback: Option<Action>,
    pub(super) lists: Vec<List>,
    pub(super) is_sticky: bool,
    /// Whether a rule depends on the time of the day.
    pub(super) asks_time: bool,
    pub(super) asks_known: bool,
    pub(super) bounds: Bounds,
    pub(super) held_back: usize,
    pub(super) rates: Vec<RateLimit>,
    pub(super) statistics: Vec<Format>,
    pub(super) names: ExpressionSet,
    pub(super) helos: ExpressionSet,
    pub(super) senders: ExpressionSet,
    pub(super) raw_senders: ExpressionSet,
    pub(super) recipients: ExpressionSet,
    pub(super) users: ExpressionSet,
}

/// What a chain is made of.
#[derive(Debug, Default)]
pub struct Parts {
    /// The rules, in this order.
    pub rules: Vec<Rule>,
    /// What [`Test::AnyOf`] has the numbers of; a list of lists is true by the lists before it alone.
    pub lists: Vec<Vec<Test>>,
    /// What [`Test::RateLimit`] has the numbers of.
    pub rates: Vec<RateLimit>,
    /// Lines that are written to the log for each recipient.
    pub statistics: Vec<Format>,
    /// What becomes of those that no rule matches. Without it, they are none of the chain's business.
    pub fallback: Option<Fallback>,
    /// Whether a rule that lets a recipient pass decides on the recipients of the message after it, too.
    pub is_sticky: bool,
    /// How many rules there are for the message as a whole, which nobody asks.
    pub held_back: usize,
}

/// A rule without its source.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) clauses: Vec<(bool, Ask)>,
    pub(super) effects: Vec<Effect>,
    pub(super) action: Action,
    /// Whether it has a clause that no front end can answer, so that it never matches.
    pub(super) is_unreachable: bool,
}

/// A list: true if one of its tests is.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) networks: Networks,
    pub(super) asks: Vec<Ask>,
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
    Time(Schedule),
    RateLimit(usize),
    Property(Box<str>, Format),
    PropertyMatches(Box<str>, ExpressionSet),
    Compare(Box<str>, Operator, Number),
    AnyOf(usize),
    Unknown,
}

#[derive(Debug)]
pub(super) enum Text {
    Is(Box<str>),
    /// The same as a sender is folded.
    Folds(Box<str>, Vec<u8>),
    Matches(usize),
}

/// The expressions of all rules, by what they are asked about.
#[derive(Debug, Default)]
struct Expressions {
    names: Vec<Expression>,
    helos: Vec<Expression>,
    senders: Vec<Expression>,
    raw_senders: Vec<Expression>,
    recipients: Vec<Expression>,
    users: Vec<Expression>,
}

impl Chain {
    /// A chain of these parts.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the expressions take too much memory together.
    pub fn new(parts: Parts) -> Result<Self, TooLarge> {
        let Parts {
            rules,
            lists,
            rates,
            statistics,
            fallback,
            is_sticky,
            held_back,
        } = parts;
        let mut expressions = Expressions::default();
        let is_time = |test: &Test| matches!(test, Test::Time(_));
        let mut asks_time = lists.iter().flatten().any(is_time);
        let lists = lists.into_iter().map(|tests| expressions.list(tests));
        let lists = lists.collect::<Result<_, _>>()?;
        let actions = rules.iter().map(|rule| &rule.action);
        let actions = actions.chain(fallback.as_ref().map(|fallback| &fallback.action));
        let refuses = |action: &Action| matches!(action, Action::Refuse(_));
        let has_effects = rules.iter().any(|rule| !rule.effects.is_empty());
        let asks_known = has_effects || !rates.is_empty() || actions.clone().any(refuses);
        let bounds = Bounds::of(actions);
        let (mut compiled, mut ids) = (Vec::with_capacity(rules.len()), Vec::new());
        let mut entries = Entries::default();
        for rule in rules {
            asks_time |= rule.clauses.iter().any(|clause| is_time(&clause.test));
            entries.push(rule.entry);
            ids.push(rule.id);
            compiled.push(expressions.rule(rule.clauses, rule.effects, rule.action)?);
        }
        let fallback = fallback.map(|Fallback { action, entry, id }| {
            if let Some(entry) = entry {
                entries.push(entry);
                ids.push(id);
            }
            action
        });
        let set = |all: &[Expression]| ere::compile_all(all).map_err(|_| TooLarge);
        Ok(Self {
            rules: compiled,
            entries,
            ids,
            fallback,
            lists,
            is_sticky,
            asks_time,
            asks_known,
            bounds,
            held_back,
            rates,
            statistics,
            names: set(&expressions.names)?,
            helos: set(&expressions.helos)?,
            senders: set(&expressions.senders)?,
            raw_senders: set(&expressions.raw_senders)?,
            recipients: set(&expressions.recipients)?,
            users: set(&expressions.users)?,
        })
    }

    /// Whether there is no rule and no default.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.fallback.is_none()
    }

    /// The rules as they were written, in their order, and the default, if it is written.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The line and the identifier of the rule of this number.
    #[must_use]
    pub fn name(&self, number: u32) -> Option<RuleName<'_>> {
        let line = self.entries.get(number)?.line()?;
        let id = self.id(number);
        Some(RuleName { line, id })
    }

    /// The identifier of the rule of this number, if it has one.
    #[must_use]
    pub fn id(&self, number: u32) -> Option<&str> {
        self.ids.get(usize::try_from(number).ok()?)?.as_deref()
    }

    /// What the rule of this number does, or the default, which has the number after the last.
    #[must_use]
    pub fn action(&self, number: u32) -> Option<&Action> {
        let number = usize::try_from(number).ok()?;
        match self.rules.get(number) {
            Some(rule) => Some(&rule.action),
            None => self
                .fallback
                .as_ref()
                .filter(|_| number == self.rules.len()),
        }
    }

    /// Whether this is the number of the default.
    pub(super) fn is_fallback(&self, number: u32) -> bool {
        usize::try_from(number).is_ok_and(|number| number >= self.rules.len())
    }

    /// What becomes of those that no rule matches, and the number of the default, if it is written.
    #[must_use]
    pub fn fallback(&self) -> Option<(&Action, Option<u32>)> {
        let number = u32::try_from(self.rules.len()).ok();
        let number = number.filter(|number| self.entries.get(*number).is_some());
        Some((self.fallback.as_ref()?, number))
    }

    /// Whether the time of the day makes a difference.
    #[must_use]
    pub const fn asks_time(&self) -> bool {
        self.asks_time
    }

    /// Whether a rule that lets one recipient pass decides on those after it.
    #[must_use]
    pub const fn is_sticky(&self) -> bool {
        self.is_sticky
    }

    /// Lines that are written to the log for each recipient.
    #[must_use]
    pub fn statistics(&self) -> &[Format] {
        &self.statistics
    }

    /// The rate limits, by their numbers.
    #[must_use]
    pub fn rates(&self) -> &[RateLimit] {
        &self.rates
    }

    /// How many rules can never match, because no front end can answer one of their clauses.
    #[must_use]
    pub fn unreachable(&self) -> usize {
        let rules = self.rules.iter().filter(|rule| rule.is_unreachable);
        rules.count().saturating_add(self.held_back)
    }

    /// The least and greatest terms that rules set.
    #[must_use]
    pub const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether rules are asked about known mail, too, whatever that takes: one refuses, or does something besides
    /// deciding.
    #[must_use]
    pub const fn asks_known(&self) -> bool {
        self.asks_known
    }
}

impl Expressions {
    fn rule(
        &mut self,
        clauses: Vec<Clause>,
        effects: Vec<Effect>,
        action: Action,
    ) -> Result<Compiled, TooLarge> {
        let is_unreachable = clauses.iter().any(|clause| clause.test == Test::Unknown);
        let clauses = clauses.into_iter().map(|clause| {
            let ask = self.ask(clause.test)?;
            Ok((clause.negated, ask))
        });
        Ok(Compiled {
            clauses: clauses.collect::<Result<_, _>>()?,
            effects,
            action,
            is_unreachable,
        })
    }

    fn list(&mut self, tests: Vec<Test>) -> Result<List, TooLarge> {
        let mut list = List::default();
        for test in tests {
            if let Test::Network(network) = test {
                list.networks.insert(network);
            } else {
                let ask = self.ask(test)?;
                list.asks.push(ask);
            }
        }
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
            Test::Time(schedule) => Ask::Time(schedule),
            Test::AnyOf(number) => Ask::AnyOf(number),
            Test::RateLimit(number) => Ask::RateLimit(number),
            Test::Property(name, PropertyPattern::Text(format)) => Ask::Property(name, format),
            Test::Property(name, PropertyPattern::Matches(expression)) => {
                let set = ere::compile_all(&[expression]).map_err(|_| TooLarge)?;
                Ask::PropertyMatches(name, set)
            }
            Test::Compare(name, operator, number) => Ask::Compare(name, operator, number),
            Test::Unknown => Ask::Unknown,
        })
    }
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

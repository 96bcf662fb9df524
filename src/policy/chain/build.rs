//! Rules, compiled.

use super::ask::{Ask, Compiled, Expressions, List, Sets};
use super::effects::{Effect, RateLimit, RateUnit};
use super::format::Format;
use super::index::Index;
use super::render::RuleName;
use super::rule::{Action, Bounds, Fallback, Rule};
use super::statements::Statements;
use super::test::{Content, Test};
use crate::policy::body_matches::BodyMatches;
use crate::policy::message::Message;
use crate::policy::{Cause, Entries, Finding, TooLarge};

/// Rules in their order, with everything compiled that they ask.
#[derive(Debug, Default)]
pub struct Chain {
    /// The rules for each recipient.
    pub(super) recipient: Section,
    /// The rules for the message as a whole.
    pub(super) message: Section,
    /// By the numbers of the rules, those for recipients first. A default, if it is written, comes behind the other
    /// rules of its kind.
    entries: Entries,
    /// Likewise.
    ids: Vec<Option<Box<str>>>,
    pub(super) lists: Vec<List>,
    /// Whether a rule depends on the time of the day.
    asks_time: bool,
    asks_known: bool,
    needs: Needs,
    bounds: Bounds,
    held_back: usize,
    pub(super) rates: Vec<RateLimit>,
    statistics: Vec<Format>,
    about_messages: Statements,
    pub(super) sets: Sets,
    pub(super) added_names: Vec<Box<str>>,
    /// The servers whose `Authentication-Results` count.
    pub(super) authserv_ids: Vec<Box<str>>,
}

/// Rules that are asked about the same, and what becomes of those that none matches.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// The number of the first rule.
    pub(super) first: u32,
    pub(super) rules: Vec<Compiled>,
    pub(super) index: Option<Index>,
    pub(super) fallback: Option<CompiledFallback>,
}

/// A default without its source.
#[derive(Debug)]
pub(super) struct CompiledFallback {
    pub(super) action: Action,
    pub(super) effects: Vec<Effect>,
    /// Its number, if it is written.
    pub(super) number: Option<u32>,
}

/// What rules read of a message besides its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of a message")]
pub struct Needs {
    /// Its header.
    pub header: bool,
    /// Its body.
    pub body: bool,
    /// Its size.
    pub size: bool,
    /// The score of a spam filter.
    pub score: bool,
}

/// What a chain is made of.
#[derive(Debug, Default)]
pub struct Parts {
    /// The rules for each recipient, in this order.
    pub rules: Vec<Rule>,
    /// What becomes of those that no rule matches. Without it, they are none of the chain's business.
    pub fallback: Option<Fallback>,
    /// The rules for the message as a whole, in this order.
    pub message: Vec<Rule>,
    /// What becomes of messages that no rule matches. Without it, they pass.
    pub message_fallback: Option<Fallback>,
    /// What [`Test::AnyOf`] has the numbers of; a list of lists is true by the lists before it alone.
    pub lists: Vec<Vec<Test>>,
    /// What [`Test::RateLimit`] has the numbers of.
    pub rates: Vec<RateLimit>,
    /// Lines that are written to the log for each recipient.
    pub statistics: Vec<Format>,
    /// What is stated about all messages.
    pub about_messages: Statements,
    /// How many rules there are for the message as a whole, which nobody asks.
    pub held_back: usize,
    /// What the servers are called whose `Authentication-Results` count.
    pub authserv_ids: Vec<Box<str>>,
}

impl Needs {
    /// What these tests read.
    fn of<'a>(tests: impl Iterator<Item = &'a Test>) -> Self {
        let mut needs = Self::default();
        for test in tests {
            match test.content() {
                Some(Content::Header) => needs.header = true,
                Some(Content::Body) => needs.body = true,
                Some(Content::Size) => needs.size = true,
                Some(Content::Score) => needs.score = true,
                None => {}
            }
        }
        needs
    }
}

impl Section {
    const fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.fallback.is_none()
    }

    fn actions(&self) -> impl Iterator<Item = &Action> {
        let fallback = self.fallback.iter().map(|fallback| &fallback.action);
        self.rules.iter().map(|rule| &rule.action).chain(fallback)
    }

    fn effects(&self) -> impl Iterator<Item = &Effect> {
        let fallback = self.fallback.iter().flat_map(|fallback| &fallback.effects);
        let rules = self.rules.iter().flat_map(|rule| &rule.effects);
        rules.chain(fallback)
    }

    /// The action of the rule of this number, or of the default, which has the number after the last.
    fn action(&self, number: u32) -> Option<&Action> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        if let Some(rule) = self.rules.get(place) {
            return Some(&rule.action);
        }
        let fallback = self.fallback.as_ref()?;
        (place == self.rules.len()).then_some(&fallback.action)
    }

    /// The same with an index, if that helps. Rules that never match are not in it.
    fn indexed(mut self, lists: &[List]) -> Self {
        let rules = (0..).zip(&self.rules);
        let reachable = rules.filter(|(_, rule)| !rule.is_unreachable);
        self.index = Index::new(reachable.map(|(place, rule)| (place, rule.key(lists))));
        self
    }

    /// The rule of this number.
    pub(super) fn rule(&self, number: u32) -> Option<&Compiled> {
        self.rules
            .get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn fallback(&self) -> Option<(&Action, Option<u32>)> {
        let fallback = self.fallback.as_ref()?;
        Some((&fallback.action, fallback.number))
    }
}

/// The sources of the rules, in the order of their numbers.
#[derive(Default)]
struct Sources {
    entries: Entries,
    ids: Vec<Option<Box<str>>>,
}

impl Sources {
    fn push(&mut self, entry: crate::policy::Entry, id: Option<Box<str>>) {
        self.entries.push(entry);
        self.ids.push(id);
    }

    /// The number of the next.
    fn next(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    /// Compiles the rules of a section, which get the next numbers.
    fn section(
        &mut self,
        rules: Vec<Rule>,
        fallback: Option<Fallback>,
        expressions: &mut Expressions,
        lists: &[List],
    ) -> Result<Section, TooLarge> {
        let first = self.next();
        let mut compiled = Vec::with_capacity(rules.len());
        for rule in rules {
            self.push(rule.entry, rule.id);
            compiled.push(expressions.rule(rule.clauses, rule.effects, rule.action, lists)?);
        }
        let fallback = fallback.map(|fallback| {
            let number = self.next();
            let number = fallback.entry.map(|entry| {
                self.push(entry, fallback.id);
                number
            });
            CompiledFallback {
                action: fallback.action,
                effects: fallback.effects,
                number,
            }
        });
        Ok(Section {
            first,
            rules: compiled,
            index: None,
            fallback,
        })
    }
}

impl Chain {
    /// A chain of these parts.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the expressions take too much memory together.
    pub fn new(parts: Parts) -> Result<Self, TooLarge> {
        let mut expressions = Expressions::default();
        let clauses = parts.rules.iter().chain(&parts.message);
        let clauses = clauses.flat_map(|rule| &rule.clauses);
        let tests = clauses.map(|clause| &clause.test);
        let tests = tests.chain(parts.lists.iter().flatten());
        let asks_time = tests.clone().any(|test| matches!(test, Test::Time(_)));
        let mut needs = Needs::of(tests);
        needs.size |= parts.rates.iter().any(|rate| rate.unit == RateUnit::Bytes);
        let mut lists = Vec::with_capacity(parts.lists.len());
        for tests in parts.lists {
            let list = expressions.list(tests, &lists)?;
            lists.push(list);
        }
        let mut sources = Sources::default();
        let mut section = |rules, fallback| -> Result<Section, TooLarge> {
            let section = sources.section(rules, fallback, &mut expressions, &lists)?;
            Ok(section.indexed(&lists))
        };
        let recipient = section(parts.rules, parts.fallback)?;
        let message = section(parts.message, parts.message_fallback)?;
        let added = recipient.effects().chain(message.effects());
        let mut added_names: Vec<Box<str>> = added
            .filter_map(|effect| match effect {
                Effect::Header(header) => Some(header.name.to_ascii_lowercase().into()),
                Effect::Set { .. } | Effect::Log(_) | Effect::Report(_) | Effect::NoLog => None,
            })
            .collect();
        added_names.retain(|name| name.starts_with("x-"));
        added_names.sort();
        added_names.dedup();
        let refuses = |action: &Action| matches!(action, Action::Refuse(_));
        let asks_known = !parts.rates.is_empty()
            || recipient.actions().any(refuses)
            || recipient.effects().next().is_some();
        Ok(Self {
            asks_time,
            asks_known,
            needs,
            bounds: Bounds::of(recipient.actions().chain(message.actions())),
            recipient,
            message,
            entries: sources.entries,
            ids: sources.ids,
            lists,
            held_back: parts.held_back,
            rates: parts.rates,
            statistics: parts.statistics,
            about_messages: parts.about_messages,
            sets: expressions.compile()?,
            added_names,
            authserv_ids: parts.authserv_ids,
        })
    }

    /// Whether there is no rule for recipients, and no default.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.recipient.is_empty()
    }

    /// The names of the fields beginning with `X-` that rules add to headers.
    #[must_use]
    pub fn added_names(&self) -> &[Box<str>] {
        &self.added_names
    }

    /// Whether there is a rule for messages, or a default.
    #[must_use]
    pub const fn has_message_rules(&self) -> bool {
        !self.message.is_empty()
    }

    /// What rules read of a message.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        self.needs
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

    /// What the rule of this number does, or the default of its kind.
    #[must_use]
    pub fn action(&self, number: u32) -> Option<&Action> {
        let sections = [&self.recipient, &self.message];
        let mut found = sections.into_iter().filter_map(|all| all.action(number));
        found.next()
    }

    /// What the record of a triplet has as its cause that this rule for messages makes wait.
    #[must_use]
    pub fn cause(&self, number: u32) -> Cause {
        self.message
            .rule(number)
            .map_or(Cause::Rule, |rule| rule.cause)
    }

    /// Searches the body of a message for what the clauses of rules for messages ask for, except values of properties;
    /// `None` if it was not kept, or no clause asks. For [`Evidence::body`](crate::policy::Evidence::body).
    #[must_use]
    pub fn search_body(&self, message: &Message) -> Option<BodyMatches> {
        if !self.needs.body {
            return None;
        }
        let rules = self.message.rules.iter();
        let clauses = rules.flat_map(|rule| &rule.clauses).map(|(_, ask)| ask);
        let lists = self.lists.iter().flat_map(|list| &list.asks);
        let texts = clauses.chain(lists).filter_map(Ask::body_text);
        super::content::search(message, &self.sets, texts)
    }

    /// Searches the body of a message for a text that a rule needs; [`Finding::NoAnswer`] if it was not kept.
    #[must_use]
    pub fn search_body_text(message: &Message, text: &str) -> Finding {
        let is_there = message.body_contains(text);
        is_there.map_or(Finding::NoAnswer, Finding::BodyText)
    }

    /// The keyword of a clause of the rule of this number, by the clause's number from 0, and whether it is negated.
    #[must_use]
    pub fn clause(&self, number: u32, clause: usize) -> Option<(&'static str, bool)> {
        let sections = [&self.recipient, &self.message];
        let mut rules = sections.into_iter().filter_map(|all| all.rule(number));
        let (negated, ask) = rules.next()?.clauses.get(clause)?;
        Some((ask.word(), *negated))
    }

    /// What becomes of recipients that no rule matches, and the number of the default, if it is written.
    #[must_use]
    pub fn fallback(&self) -> Option<(&Action, Option<u32>)> {
        self.recipient.fallback()
    }

    /// What becomes of messages that no rule matches, likewise.
    #[must_use]
    pub fn message_fallback(&self) -> Option<(&Action, Option<u32>)> {
        self.message.fallback()
    }

    /// Whether the time of the day makes a difference.
    #[must_use]
    pub const fn asks_time(&self) -> bool {
        self.asks_time
    }

    /// Lines that are written to the log for each recipient.
    #[must_use]
    pub fn statistics(&self) -> &[Format] {
        &self.statistics
    }

    /// What is stated about all messages.
    #[must_use]
    pub const fn about_messages(&self) -> Statements {
        self.about_messages
    }

    /// The rate limits, by their numbers.
    #[must_use]
    pub fn rates(&self) -> &[RateLimit] {
        &self.rates
    }

    /// How many rules can never match, because no front end can answer one of their clauses.
    #[must_use]
    pub fn unreachable(&self) -> usize {
        let rules = self.recipient.rules.iter().chain(&self.message.rules);
        let unreachable = rules.filter(|rule| rule.is_unreachable);
        unreachable.count().saturating_add(self.held_back)
    }

    /// The least and greatest terms that rules set.
    #[must_use]
    pub const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether rules are asked about recipients of known mail, too, whatever that takes: one refuses, or does something besides
    /// deciding.
    #[must_use]
    pub const fn asks_known(&self) -> bool {
        self.asks_known
    }
}

//! The search for the rule that decides.

use std::cell::OnceCell;

use super::networks::Networks;
use super::rule::{Action, Bounds, Fallback, Rule};
use super::subject::Subject;
use super::test::{Clause, Pattern, Test};
use super::truth::Truth;
use crate::policy::access::Expression;
use crate::policy::ere;
use crate::policy::evidence::is_listing;
use crate::policy::keys::fold_sender;
use crate::policy::set::{ExpressionSet, Matches};
use crate::policy::{
    Entries, Evidence, Finding, Lookup, SpfFinding, SpfQuestion, SpfResult, TooLarge, Zone,
};
use crate::types::Prefix;

/// Rules in their order, with everything compiled that they ask.
#[derive(Debug, Default)]
pub struct Chain {
    rules: Vec<Compiled>,
    /// By the numbers of the rules; that of the default, if it is written, is the last.
    entries: Entries,
    /// Likewise.
    ids: Vec<Option<Box<str>>>,
    fallback: Option<Action>,
    lists: Vec<List>,
    is_sticky: bool,
    /// Whether a rule depends on the time of the day.
    asks_time: bool,
    can_refuse: bool,
    bounds: Bounds,
    held_back: usize,
    names: ExpressionSet,
    helos: ExpressionSet,
    senders: ExpressionSet,
    raw_senders: ExpressionSet,
    recipients: ExpressionSet,
    users: ExpressionSet,
}

/// A rule without its source.
#[derive(Debug)]
struct Compiled {
    clauses: Vec<(bool, Ask)>,
    action: Action,
    /// Whether it has a clause that no front end can answer, so that it never matches.
    is_unreachable: bool,
}

/// A list: true if one of its tests is.
#[derive(Debug, Default)]
struct List {
    networks: Networks,
    asks: Vec<Ask>,
}

/// A test with the number of its expression in place of the expression.
#[derive(Debug)]
enum Ask {
    Network(Prefix),
    Domain(Box<str>),
    Suffix(Box<str>),
    Name(usize),
    Helo(Text),
    Sender(Text),
    RawSender(Text),
    Recipient(Text),
    AuthenticatedAs(Text),
    DnsList(Zone, Prefix),
    Spf(SpfResult),
    Time(super::schedule::Schedule),
    AnyOf(usize),
    Unknown,
}

#[derive(Debug)]
enum Text {
    Is(Box<str>),
    /// The same as a sender is folded.
    Folds(Box<str>, Vec<u8>),
    Matches(usize),
}

/// What the search has found.
#[derive(Debug)]
pub enum Found<'a> {
    /// The rule of this number decides.
    Rule(u32, &'a Action),
    /// No rule does.
    Nothing,
    /// It depends on these lookups.
    Lacks(Vec<Lookup>),
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
    /// A chain of these rules, in this order. `lists` are what [`Test::AnyOf`] has the numbers of; a list of lists is
    /// true by the lists before it alone. In a sticky chain, a rule that lets a recipient pass decides on the recipients
    /// of the message after it, too. Without a `fallback`, those that no rule matches are none of the chain's business.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the expressions take too much memory together.
    pub fn new(
        rules: Vec<Rule>,
        lists: Vec<Vec<Test>>,
        fallback: Option<Fallback>,
        is_sticky: bool,
    ) -> Result<Self, TooLarge> {
        let mut expressions = Expressions::default();
        let is_time = |test: &Test| matches!(test, Test::Time(_));
        let mut asks_time = lists.iter().flatten().any(is_time);
        let lists = lists.into_iter().map(|tests| expressions.list(tests));
        let lists = lists.collect();
        let actions = rules.iter().map(|rule| &rule.action);
        let actions = actions.chain(fallback.as_ref().map(|fallback| &fallback.action));
        let can_refuse = actions
            .clone()
            .any(|action| matches!(action, Action::Refuse(_)));
        let bounds = Bounds::of(actions);
        let (mut compiled, mut ids) = (Vec::with_capacity(rules.len()), Vec::new());
        let mut entries = Entries::default();
        for rule in rules {
            asks_time |= rule.clauses.iter().any(|clause| is_time(&clause.test));
            entries.push(rule.entry);
            ids.push(rule.id);
            compiled.push(expressions.rule(rule.clauses, rule.action));
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
            can_refuse,
            bounds,
            held_back: 0,
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

    /// Notes that the file has so many rules for the message as a whole, which nobody asks.
    pub const fn hold_back(&mut self, rules: usize) {
        self.held_back = rules;
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

    /// Whether a rule or the default refuses.
    #[must_use]
    pub const fn can_refuse(&self) -> bool {
        self.can_refuse
    }

    /// The first rule that matches. `earlier` is the rule that has decided on an earlier recipient of the message.
    #[must_use]
    pub fn find(
        &self,
        subject: &Subject<'_>,
        evidence: &Evidence,
        earlier: Option<u32>,
    ) -> Found<'_> {
        if let Some(number) = earlier.filter(|_| self.is_sticky)
            && let Some(action @ Action::Pass) = self.action(number)
        {
            return Found::Rule(number, action);
        }
        let search = Search {
            chain: self,
            subject,
            evidence,
            names: OnceCell::new(),
            helos: OnceCell::new(),
            senders: OnceCell::new(),
            raw_senders: OnceCell::new(),
            recipients: OnceCell::new(),
            users: OnceCell::new(),
        };
        let mut lacking = Vec::new();
        let rules = (0..).zip(&self.rules);
        for (number, rule) in rules.filter(|(_, rule)| !rule.is_unreachable) {
            let before = lacking.len();
            match search.all(&rule.clauses, &mut lacking) {
                Truth::True if lacking.is_empty() => return Found::Rule(number, &rule.action),
                Truth::True => break,
                Truth::False => lacking.truncate(before),
                Truth::Unknown => {}
            }
        }
        if lacking.is_empty() {
            return Found::Nothing;
        }
        let mut once: Vec<Lookup> = Vec::with_capacity(lacking.len());
        for lookup in lacking {
            if !once.contains(&lookup) {
                once.push(lookup);
            }
        }
        Found::Lacks(once)
    }
}

impl Expressions {
    fn rule(&mut self, clauses: Vec<Clause>, action: Action) -> Compiled {
        let is_unreachable = clauses.iter().any(|clause| clause.test == Test::Unknown);
        let clauses = clauses.into_iter().map(|clause| {
            let ask = self.ask(clause.test);
            (clause.negated, ask)
        });
        Compiled {
            clauses: clauses.collect(),
            action,
            is_unreachable,
        }
    }

    fn list(&mut self, tests: Vec<Test>) -> List {
        let mut list = List::default();
        for test in tests {
            if let Test::Network(network) = test {
                list.networks.insert(network);
            } else {
                let ask = self.ask(test);
                list.asks.push(ask);
            }
        }
        list
    }

    fn ask(&mut self, test: Test) -> Ask {
        match test {
            Test::Network(network) => Ask::Network(network),
            Test::Domain(name) => Ask::Domain(name),
            Test::Suffix(end) => Ask::Suffix(end),
            Test::Name(expression) => Ask::Name(push(&mut self.names, expression)),
            Test::Helo(pattern) => Ask::Helo(text(pattern, &mut self.helos)),
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
            Test::Unknown => Ask::Unknown,
        }
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

/// A search; each set of expressions is asked once, if at all.
struct Search<'a> {
    chain: &'a Chain,
    subject: &'a Subject<'a>,
    evidence: &'a Evidence,
    names: OnceCell<Vec<Matches>>,
    helos: OnceCell<Vec<Matches>>,
    senders: OnceCell<Vec<Matches>>,
    raw_senders: OnceCell<Vec<Matches>>,
    recipients: OnceCell<Vec<Matches>>,
    users: OnceCell<Vec<Matches>>,
}

impl Search<'_> {
    /// Whether all clauses hold; what is missing for that is added.
    fn all(&self, clauses: &[(bool, Ask)], lacking: &mut Vec<Lookup>) -> Truth {
        let mut all = Truth::True;
        for (negated, ask) in clauses {
            let truth = self.ask(ask, usize::MAX, lacking);
            all = all.and(if *negated { !truth } else { truth });
            if all == Truth::False {
                break;
            }
        }
        all
    }

    /// Whether a test holds; of lists, only those before `limit` are asked.
    fn ask(&self, ask: &Ask, limit: usize, lacking: &mut Vec<Lookup>) -> Truth {
        let subject = self.subject;
        match ask {
            Ask::Network(network) => network.contains(subject.client).into(),
            Ask::Domain(name) => is_within(&subject.name, name.as_bytes()).into(),
            Ask::Suffix(text) => ends_with(&subject.name, text.as_bytes()).into(),
            Ask::Name(number) => any(
                self.names
                    .get_or_init(|| vec![self.chain.names.matches(&subject.name)]),
                *number,
            ),
            Ask::Helo(text) => {
                let Some(helo) = subject.helo else {
                    return Truth::Unknown;
                };
                let matches = || vec![self.chain.helos.matches(helo)];
                holds(text, &[helo], &self.helos, matches)
            }
            Ask::Sender(text) => {
                let folded = &*subject.folded_sender;
                let matches = || bracketed(&self.chain.senders, &[subject.sender, folded]);
                holds(text, &[subject.sender, folded], &self.senders, matches)
            }
            Ask::RawSender(text) => {
                let matches = || bracketed(&self.chain.raw_senders, &[subject.sender]);
                holds(text, &[subject.sender], &self.raw_senders, matches)
            }
            Ask::Recipient(text) => {
                let matches = || bracketed(&self.chain.recipients, &[subject.recipient]);
                holds(text, &[subject.recipient], &self.recipients, matches)
            }
            Ask::AuthenticatedAs(text) => {
                let Some(user) = subject.user else {
                    return Truth::False;
                };
                let matches = || vec![self.chain.users.matches(user)];
                holds(text, &[user], &self.users, matches)
            }
            Ask::DnsList(zone, answers) => self.dns_list(zone, *answers, lacking),
            Ask::Spf(result) => self.spf(*result, lacking),
            Ask::Time(schedule) => schedule.contains(subject.time).into(),
            Ask::AnyOf(number) if *number < limit => self.list(*number, lacking),
            Ask::AnyOf(_) | Ask::Unknown => Truth::Unknown,
        }
    }

    fn list(&self, number: usize, lacking: &mut Vec<Lookup>) -> Truth {
        let Some(list) = self.chain.lists.get(number) else {
            return Truth::Unknown;
        };
        if list.networks.contain(self.subject.client) {
            return Truth::True;
        }
        let before = lacking.len();
        let mut one = Truth::False;
        for ask in &list.asks {
            one = one.or(self.ask(ask, number, lacking));
            if one == Truth::True {
                lacking.truncate(before);
                break;
            }
        }
        one
    }

    fn dns_list(&self, zone: &Zone, answers: Prefix, lacking: &mut Vec<Lookup>) -> Truth {
        if !self.subject.client.is_public() {
            return Truth::False;
        }
        let lookup = Lookup::DnsList(zone.clone(), self.subject.client);
        match self.evidence.find(&lookup) {
            Some(finding) if finding.error_code().is_some() => Truth::Unknown,
            Some(Finding::Addresses(found)) => {
                let listings = found.iter().copied().filter(|answer| is_listing(*answer));
                let mut clients = listings.map(|answer| crate::types::ClientIp::new(answer.into()));
                clients.any(|answer| answers.contains(answer)).into()
            }
            Some(Finding::Absent) => Truth::False,
            Some(Finding::NoAnswer | Finding::Text(_) | Finding::Spf(_)) => Truth::Unknown,
            None => {
                lacking.push(lookup);
                Truth::Unknown
            }
        }
    }

    fn spf(&self, wanted: SpfResult, lacking: &mut Vec<Lookup>) -> Truth {
        let Subject {
            client,
            helo,
            sender,
            ..
        } = self.subject;
        let helo = helo.unwrap_or_default();
        let Some(question) = SpfQuestion::new(*client, helo, sender) else {
            return (wanted == SpfResult::None).into();
        };
        let lookup = Lookup::Spf(question);
        match self.evidence.find(&lookup) {
            Some(Finding::Spf(SpfFinding::Passed(_))) => (wanted == SpfResult::Pass).into(),
            Some(Finding::Spf(SpfFinding::NotPassed(result))) => match *result {
                result if result == wanted => Truth::True,
                SpfResult::Temperror => Truth::Unknown,
                SpfResult::Pass
                | SpfResult::PassAny
                | SpfResult::None
                | SpfResult::Neutral
                | SpfResult::Softfail
                | SpfResult::Fail
                | SpfResult::Permerror => Truth::False,
            },
            Some(
                Finding::Addresses(_) | Finding::Text(_) | Finding::Absent | Finding::NoAnswer,
            ) => Truth::Unknown,
            None => {
                lacking.push(lookup);
                Truth::Unknown
            }
        }
    }
}

/// Whether a text is one of these, or an expression matches.
fn holds(
    text: &Text,
    subjects: &[&[u8]],
    cell: &OnceCell<Vec<Matches>>,
    matches: impl FnOnce() -> Vec<Matches>,
) -> Truth {
    let is = |text: &[u8]| {
        let mut subjects = subjects.iter();
        subjects.any(|subject| subject.eq_ignore_ascii_case(text))
    };
    match text {
        Text::Is(text) => is(text.as_bytes()).into(),
        Text::Folds(text, folded) => (is(text.as_bytes()) || is(folded)).into(),
        Text::Matches(number) => any(cell.get_or_init(matches), *number),
    }
}

/// What matches each of these, and each of these in angle brackets.
fn bracketed(set: &ExpressionSet, subjects: &[&[u8]]) -> Vec<Matches> {
    let both = subjects.iter().flat_map(|subject| {
        let brackets = [b"<", *subject, b">"].concat();
        [set.matches(subject), set.matches(&brackets)]
    });
    both.collect()
}

/// Whether the expression of this number is among them.
fn any(matches: &[Matches], number: usize) -> Truth {
    let mut all = matches.iter();
    all.any(|matches| matches.matched(number)).into()
}

/// Whether a name is this one or in its domain.
fn is_within(name: &[u8], domain: &[u8]) -> bool {
    let Some(rest) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    let ends = rest == 0 || name.get(rest.saturating_sub(1)) == Some(&b'.');
    ends && ends_with(name, domain)
}

/// Whether a name ends with this text, in any case.
fn ends_with(name: &[u8], text: &[u8]) -> bool {
    let begin = name.len().checked_sub(text.len());
    begin
        .and_then(|begin| name.get(begin..))
        .is_some_and(|end| end.eq_ignore_ascii_case(text))
}

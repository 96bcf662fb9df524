//! The search for the rule that decides.

use std::ops::ControlFlow;

use super::ask::{Ask, AskMacro, AskProperty, Compiled, List, Text};
use super::build::{Chain, Section};
use super::content::ContentReader;
use super::effects::{Effects, RateUnit};
use super::index::Part;
use super::part_matches::PartMatches;
use super::rule::Action;
use super::subject::Subject;
use super::truth::Truth;
use crate::policy::glob;
use crate::policy::properties::{Properties, count};
use crate::policy::set::Matches;
use crate::policy::{Evidence, Lookup};

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

impl Chain {
    /// The first rule that matches, and what rules do besides, if that rule is known.
    #[must_use]
    pub fn find(&self, subject: &Subject<'_>, evidence: &Evidence) -> (Found<'_>, Effects) {
        self.search((subject, evidence), true, &mut |_, _, _| {})
    }

    /// The same, one rule after the other; `heard` is called with each clause that was tested: the number of its rule,
    /// its own from 0, and whether it holds, its negation included.
    pub fn find_heard(
        &self,
        subject: &Subject<'_>,
        evidence: &Evidence,
        heard: &mut impl FnMut(u32, usize, Truth),
    ) -> (Found<'_>, Effects) {
        self.search((subject, evidence), false, heard)
    }

    /// The same, with or without the indexes.
    pub(super) fn search(
        &self,
        (subject, evidence): (&Subject<'_>, &Evidence),
        is_indexed: bool,
        heard: &mut impl FnMut(u32, usize, Truth),
    ) -> (Found<'_>, Effects) {
        let content = subject.content;
        let mut search = Search {
            chain: self,
            subject,
            evidence,
            properties: evidence.properties.clone(),
            of_message: evidence.properties.clone(),
            effects: Effects::default(),
            is_indexed,
            matches: PartMatches::default(),
            content: content
                .map(|(message, _)| ContentReader::new(message, &self.sets, &self.authserv_ids)),
        };
        let found = search.run(heard);
        (found, search.effects)
    }
}

/// Each of the lookups once.
fn once(lookups: Vec<Lookup>) -> Vec<Lookup> {
    let mut once: Vec<Lookup> = Vec::with_capacity(lookups.len());
    for lookup in lookups {
        if !once.contains(&lookup) {
            once.push(lookup);
        }
    }
    once
}

/// A search; each set of expressions is asked once, if at all.
pub(super) struct Search<'c, 'a> {
    pub(super) chain: &'c Chain,
    pub(super) subject: &'a Subject<'a>,
    pub(super) evidence: &'a Evidence,
    /// The properties of the message and of the recipient.
    pub(super) properties: Properties,
    /// Those of the message.
    pub(super) of_message: Properties,
    pub(super) effects: Effects,
    is_indexed: bool,
    matches: PartMatches,
    content: Option<ContentReader<'a>>,
}

impl<'c> Search<'c, '_> {
    fn run(&mut self, heard: &mut impl FnMut(u32, usize, Truth)) -> Found<'c> {
        let section = match self.subject.content {
            None => &self.chain.recipient,
            Some(_) => &self.chain.message,
        };
        let mut lacking = Vec::new();
        if let Some(found) = self.rules(section, &mut lacking, heard) {
            return found;
        }
        if !lacking.is_empty() {
            return Found::Lacks(once(lacking));
        }
        if let Some(fallback) = &section.fallback {
            self.apply(&fallback.effects, fallback.number);
        }
        Found::Nothing
    }

    /// Tests the rules that may match, in their order, until one decides; `None` if that is not known, or none does.
    fn rules(
        &mut self,
        section: &'c Section,
        lacking: &mut Vec<Lookup>,
        heard: &mut impl FnMut(u32, usize, Truth),
    ) -> Option<Found<'c>> {
        let Some(index) = section.index.as_ref().filter(|_| self.is_indexed) else {
            let mut rules = (section.first..).zip(&section.rules);
            let end = rules.try_for_each(|rule| self.rule(rule, lacking, heard));
            return end.break_value().flatten();
        };
        let mut candidates = index.candidates();
        while let Some(place) = candidates.next(self.subject, |part| self.matches(part)) {
            let number = section.first.saturating_add(place);
            let rule = section.rule(number)?;
            if let ControlFlow::Break(end) = self.rule((number, rule), lacking, heard) {
                return end;
            }
        }
        None
    }

    /// Tests a rule. The search ends with the rule if it decides, and with nothing if it would decide but for what is
    /// lacking.
    fn rule(
        &mut self,
        (number, rule): (u32, &'c Compiled),
        lacking: &mut Vec<Lookup>,
        heard: &mut impl FnMut(u32, usize, Truth),
    ) -> ControlFlow<Option<Found<'c>>> {
        if rule.is_unreachable {
            return ControlFlow::Continue(());
        }
        let before = lacking.len();
        match self.all((number, &rule.clauses), lacking, heard) {
            Truth::False => lacking.truncate(before),
            Truth::Unknown => {}
            // What it does is done when it is known that the search comes as far as this.
            Truth::True if !lacking.is_empty() => match rule.action {
                Action::Continue => {}
                Action::Pass | Action::Greylist(_) | Action::Refuse(_) => {
                    return ControlFlow::Break(None);
                }
            },
            Truth::True => {
                self.apply(&rule.effects, Some(number));
                match rule.action {
                    Action::Continue => self.effects.continued.push(number),
                    Action::Pass | Action::Greylist(_) | Action::Refuse(_) => {
                        return ControlFlow::Break(Some(Found::Rule(number, &rule.action)));
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The expressions that match a part.
    fn matches(&self, part: Part) -> &[Matches] {
        self.matches.of(part, &self.chain.sets, self.subject)
    }

    /// Whether a text is one of these, or an expression matches the part that they are.
    fn holds(&self, text: &Text, part: Part, texts: &[&[u8]]) -> Truth {
        let is = |wanted: &[u8]| texts.iter().any(|text| text.eq_ignore_ascii_case(wanted));
        match text {
            Text::Is(text) => is(text.as_bytes()).into(),
            Text::Folds(text, folded) => (is(text.as_bytes()) || is(folded)).into(),
            Text::Matches(number) => any(self.matches(part), *number),
        }
    }

    /// Whether a text is this one, in the same case, or an expression matches the part that it is.
    fn is_exactly(&self, wanted: &Text, part: Part, text: &[u8]) -> Truth {
        match wanted {
            Text::Is(wanted) | Text::Folds(wanted, _) => (text == wanted.as_bytes()).into(),
            Text::Matches(number) => any(self.matches(part), *number),
        }
    }

    /// Whether all clauses of a rule hold; what is missing for that is added.
    fn all(
        &mut self,
        (rule, clauses): (u32, &[(bool, Ask)]),
        lacking: &mut Vec<Lookup>,
        heard: &mut impl FnMut(u32, usize, Truth),
    ) -> Truth {
        let mut all = Truth::True;
        for (clause, (negated, ask)) in clauses.iter().enumerate() {
            let truth = self.ask(ask, usize::MAX, lacking);
            let truth = if *negated { !truth } else { truth };
            heard(rule, clause, truth);
            all = all.and(truth);
            if all == Truth::False {
                break;
            }
        }
        all
    }

    /// Whether a test holds; of lists, only those before `limit` are asked.
    fn ask(&mut self, ask: &Ask, limit: usize, lacking: &mut Vec<Lookup>) -> Truth {
        let subject = self.subject;
        match ask {
            Ask::Network(network) => network.contains(subject.client).into(),
            Ask::Domain(name) => is_within(&subject.name, name.as_bytes()).into(),
            Ask::Suffix(text) => ends_with(&subject.name, text.as_bytes()).into(),
            Ask::Name(number) => any(self.matches(Part::Name), *number),
            Ask::Helo(text) => match subject.helo {
                Some(helo) => self.holds(text, Part::Helo, &[helo]),
                None => Truth::Unknown,
            },
            Ask::HeloIs(format) => {
                let Some(helo) = subject.helo else {
                    return Truth::Unknown;
                };
                let wanted = self.values(None).bytes(format);
                helo.eq_ignore_ascii_case(&wanted).into()
            }
            Ask::Sender(text) => {
                let senders = [subject.sender, &*subject.folded_sender];
                self.holds(text, Part::Sender, &senders)
            }
            Ask::RawSender(text) => self.holds(text, Part::RawSender, &[subject.sender]),
            Ask::Recipient(text) => self.holds(text, Part::Recipient, subject.recipients()),
            Ask::AuthenticatedAs(text) => match subject.user {
                Some(user) => self.is_exactly(text, Part::User, user),
                None => Truth::False,
            },
            Ask::DnsList(zone, answers) => self.dns_list(zone, *answers, lacking),
            Ask::Spf(result) => self.spf(*result, lacking),
            Ask::SenderMx(bits) => self.sender_mx(*bits, lacking),
            Ask::Time(schedule) => schedule.contains(subject.time).into(),
            Ask::RateLimit(number) => self.rate_limit(*number),
            Ask::Property(name, wanted) => self.property(name, wanted).into(),
            Ask::Certificate(text) => self.certificate(text),
            Ask::Macro(name, wanted) => self.mail_server_macro(name, wanted),
            Ask::RecipientCount(operator, number) => {
                let holds = |accepted| self.properties.compares(count(accepted), *operator, number);
                subject
                    .accepted
                    .map_or(Truth::Unknown, |count| holds(count).into())
            }
            Ask::Content(ask) => self.content.as_ref().map_or(Truth::Unknown, |content| {
                content.ask(ask, (&self.properties, self.evidence), lacking)
            }),
            Ask::Tarpit => self
                .evidence
                .has_hung_up
                .map_or(Truth::Unknown, |has_hung_up| (!has_hung_up).into()),
            Ask::AnyOf(number) if *number < limit => self.list(*number, lacking),
            Ask::AnyOf(_) | Ask::Unknown => Truth::Unknown,
        }
    }

    /// Whether a property is as wanted; one that is not set never is.
    fn property(&self, name: &str, wanted: &AskProperty) -> bool {
        let value = self.properties.get(name).map(str::as_bytes);
        match wanted {
            AskProperty::Is(format) => {
                let wanted = self.values(None).bytes(format);
                value.is_some_and(|value| value.eq_ignore_ascii_case(&wanted))
            }
            AskProperty::Matches(set) => value.is_some_and(|value| set.matches(value).matched(0)),
            AskProperty::GlobFor(format) => {
                let text = self.values(None).bytes(format);
                value.is_some_and(|pattern| glob::matches(pattern, &text))
            }
            AskProperty::Compares(operator, number) => {
                let left = self.properties.number(name);
                left.is_some_and(|left| self.properties.compares(left, *operator, number))
            }
        }
    }

    /// Whether a macro of the mail server is as wanted.
    fn mail_server_macro(&self, name: &str, wanted: &AskMacro) -> Truth {
        let Some(macros) = self.subject.macros else {
            return Truth::Unknown;
        };
        let value = macros.value(name);
        let holds = match wanted {
            AskMacro::Unset => value.is_none(),
            AskMacro::Is(text) => value == Some(text.as_bytes()),
            AskMacro::Matches(set) => value.is_some_and(|value| set.matches(value).matched(0)),
        };
        holds.into()
    }

    fn list(&mut self, number: usize, lacking: &mut Vec<Lookup>) -> Truth {
        let Some(list) = self.chain.lists.get(number) else {
            return Truth::Unknown;
        };
        if list.networks.contain(self.subject.client) {
            return Truth::True;
        }
        let before = lacking.len();
        let one = self.one(number, list, lacking);
        if one == Truth::True {
            lacking.truncate(before);
        }
        one
    }

    /// Whether a test of a list holds.
    fn one(&mut self, number: usize, list: &'c List, lacking: &mut Vec<Lookup>) -> Truth {
        let mut one = Truth::False;
        let Some(index) = list.index.as_ref().filter(|_| self.is_indexed) else {
            for ask in &list.asks {
                one = one.or(self.ask(ask, number, lacking));
                if one == Truth::True {
                    break;
                }
            }
            return one;
        };
        let mut candidates = index.candidates();
        while let Some(place) = candidates.next(self.subject, |part| self.matches(part)) {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let Some(ask) = list.asks.get(place) else {
                break;
            };
            one = one.or(self.ask(ask, number, lacking));
            if one == Truth::True {
                break;
            }
        }
        one
    }

    /// Whether the subject of the client's certificate is as wanted.
    fn certificate(&self, wanted: &Text) -> Truth {
        match self.subject.certificate {
            None => Truth::Unknown,
            Some(b"") => Truth::False,
            Some(certificate) => self.is_exactly(wanted, Part::Certificate, certificate),
        }
    }

    /// Whether a rate limit is exceeded, which counts this once.
    fn rate_limit(&mut self, number: usize) -> Truth {
        let Some(amount) = self.amount(number) else {
            return Truth::Unknown;
        };
        let mut counted = self.effects.counted.iter();
        if counted.all(|(known, _)| *known != number) {
            self.effects.counted.push((number, amount));
        }
        self.is_exceeded(number, amount)
    }

    /// How many a rate limit counts for this; `None` if that cannot be known here.
    fn amount(&self, number: usize) -> Option<u64> {
        let subject = self.subject;
        match self.chain.rates.get(number)?.unit {
            RateUnit::Recipients => u64::try_from(subject.recipients().len()).ok(),
            RateUnit::Sessions => subject.is_in_session.then_some(1),
            RateUnit::Bytes => match subject.content {
                Some((message, _)) => message.size(),
                None => Some(0),
            },
        }
    }

    /// Whether more have come than the limit allows, this included.
    fn is_exceeded(&self, number: usize, amount: u64) -> Truth {
        let limit = self.chain.rates.get(number).map(|rate| rate.limit);
        let before = self.evidence.rates.get(number);
        match limit.zip(before) {
            Some((limit, before)) => (before.saturating_add(amount) > limit).into(),
            None => Truth::Unknown,
        }
    }
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

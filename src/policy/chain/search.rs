//! The search for the rule that decides.

use std::cell::OnceCell;

use super::build::{Ask, Chain, Text};
use super::rule::Action;
use super::subject::Subject;
use super::truth::Truth;
use crate::policy::evidence::is_listing;
use crate::policy::set::{ExpressionSet, Matches};
use crate::policy::{Evidence, Finding, Lookup, SpfFinding, SpfQuestion, SpfResult, Zone};
use crate::types::Prefix;

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

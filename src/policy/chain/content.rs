//! Tests of what is in a message.
//!
//! Before the end of the message, and if a part of it was not kept, nothing is known of it.

use std::cell::OnceCell;

use memchr::memmem;

use super::ask::{AskContent, Sets, Text};
use super::truth::Truth;
use crate::policy::body_matches::BodyMatches;
use crate::policy::message::{Message, dkim};
use crate::policy::properties::{Number, Properties, count};
use crate::policy::set::ExpressionSet;
use crate::policy::spam::thousandths;
use crate::policy::{Evidence, Finding, Lookup, SpamScore};

/// What is in a message, read when a test needs it.
pub(super) struct ContentReader<'a> {
    message: &'a Message,
    sets: &'a Sets,
    /// The servers whose `Authentication-Results` count.
    authserv_ids: &'a [Box<str>],
    /// Which expressions match a field of the header, by their numbers.
    in_header: OnceCell<Vec<bool>>,
    /// Which expressions match a line of the body.
    in_body: OnceCell<Vec<bool>>,
}

impl<'a> ContentReader<'a> {
    /// The content of this message, its expressions, and the servers whose `Authentication-Results` count.
    pub(super) const fn new(
        message: &'a Message,
        sets: &'a Sets,
        authserv_ids: &'a [Box<str>],
    ) -> Self {
        Self {
            message,
            sets,
            authserv_ids,
            in_header: OnceCell::new(),
            in_body: OnceCell::new(),
        }
    }

    /// Whether a test holds; what has to be looked up for that is added.
    pub(super) fn ask(
        &self,
        ask: &AskContent,
        (properties, evidence): (&Properties, &Evidence),
        lacking: &mut Vec<Lookup>,
    ) -> Truth {
        let is_of_header = matches!(
            ask,
            AskContent::Header(_) | AskContent::HeaderProperty(_) | AskContent::Dkim(_)
        );
        if is_of_header && self.message.is_header_unknown() {
            return Truth::Unknown;
        }
        match ask {
            AskContent::Header(text) => self.header_has(text).into(),
            AskContent::HeaderProperty(name) => {
                let value = value_of(properties, name);
                value.is_some_and(|value| self.is_in_header(value)).into()
            }
            AskContent::Body(text) => {
                let searched = evidence.body.as_deref();
                let found = searched.and_then(|searched| found(text, searched));
                let has = found.or_else(|| self.body_has(text));
                has.map_or(Truth::Unknown, Truth::from)
            }
            AskContent::BodyProperty(name) => {
                self.body_has_property((properties, name), evidence, lacking)
            }
            AskContent::Dkim(wanted) => {
                let found = dkim(self.message, self.authserv_ids);
                found.map_or(Truth::Unknown, |found| (found == *wanted).into())
            }
            AskContent::Size(operator, number) => {
                self.message.size().map_or(Truth::Unknown, |size| {
                    properties.compares(count(size), *operator, number).into()
                })
            }
            AskContent::Spam => {
                let score = score(evidence, lacking);
                let is_spam = score.and_then(|score| score.is_spam);
                is_spam.map_or(Truth::Unknown, Truth::from)
            }
            AskContent::Score(operator, number) => {
                let wanted = match number {
                    Number::Literal(number) => Some(*number),
                    Number::Property(name) => properties.get(name).and_then(thousandths),
                };
                let compared = score(evidence, lacking).zip(wanted);
                compared.map_or(Truth::Unknown, |(score, wanted)| {
                    operator.holds(score.score, wanted).into()
                })
            }
        }
    }

    /// Whether a line of the body has the value of a property. A large body, which was searched beforehand for what is
    /// known then, is searched for the value like it.
    fn body_has_property(
        &self,
        (properties, name): (&Properties, &str),
        evidence: &Evidence,
        lacking: &mut Vec<Lookup>,
    ) -> Truth {
        if self.message.body().is_none() {
            return Truth::Unknown;
        }
        let Some(value) = value_of(properties, name) else {
            return Truth::False;
        };
        if evidence.body.is_none() {
            let has = self.message.body_contains(value);
            return has.map_or(Truth::Unknown, Truth::from);
        }
        let lookup = Lookup::BodyText(value.into());
        match evidence.find(&lookup) {
            Some(Finding::BodyText(is_there)) => (*is_there).into(),
            Some(
                Finding::Addresses(_)
                | Finding::Text(_)
                | Finding::Spf(_)
                | Finding::SenderMx(_)
                | Finding::Score(_)
                | Finding::Absent
                | Finding::NoAnswer,
            ) => Truth::Unknown,
            None => {
                lacking.push(lookup);
                Truth::Unknown
            }
        }
    }

    /// The texts of the header's fields.
    fn header_texts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let message: &'a Message = self.message;
        message.header_texts().map(|(_, text)| text)
    }

    /// Whether a field of the header has a text, or an expression matches it.
    fn header_has(&self, text: &Text) -> bool {
        match text {
            Text::Is(text) | Text::Folds(text, _) => self.is_in_header(text),
            Text::Matches(number) => {
                let matched = || matching(&self.sets.headers, self.header_texts());
                self.in_header.get_or_init(matched).get(*number) == Some(&true)
            }
        }
    }

    /// Whether a line of the body has a text, or an expression matches it; `None` if the body was not kept.
    fn body_has(&self, text: &Text) -> Option<bool> {
        match text {
            Text::Is(text) | Text::Folds(text, _) => self.message.body_contains(text),
            Text::Matches(number) => self.message.body_lines().map(|lines| {
                let matched = || matching(&self.sets.bodies, lines);
                self.in_body.get_or_init(matched).get(*number) == Some(&true)
            }),
        }
    }

    /// Whether a field of the header has a text.
    fn is_in_header(&self, text: &str) -> bool {
        let finder = memmem::Finder::new(text.as_bytes());
        self.header_texts()
            .any(|field| finder.find(field).is_some())
    }
}

/// What a spam filter says of the message; what has to be looked up for that is added.
fn score<'e>(evidence: &'e Evidence, lacking: &mut Vec<Lookup>) -> Option<&'e SpamScore> {
    match evidence.find(&Lookup::Score) {
        Some(Finding::Score(score)) => Some(score),
        Some(
            Finding::Addresses(_)
            | Finding::Text(_)
            | Finding::Spf(_)
            | Finding::SenderMx(_)
            | Finding::Absent
            | Finding::BodyText(_)
            | Finding::NoAnswer,
        ) => None,
        None => {
            lacking.push(Lookup::Score);
            None
        }
    }
}

/// Whether a search beforehand has found this; `None` if it was not searched for.
fn found(text: &Text, searched: &BodyMatches) -> Option<bool> {
    match text {
        Text::Is(text) | Text::Folds(text, _) => searched.contains(text),
        Text::Matches(number) => Some(searched.matches(*number)),
    }
}

/// Searches the lines of a body for these expressions and texts. `None` if it was not kept.
pub(super) fn search<'t>(
    message: &Message,
    sets: &Sets,
    texts: impl Iterator<Item = &'t str>,
) -> Option<BodyMatches> {
    let texts = texts.map(|text| Some((text.into(), message.body_contains(text)?)));
    let texts = texts.collect::<Option<_>>()?;
    let matching = matching(&sets.bodies, message.body_lines()?);
    Some(BodyMatches::new(matching, texts))
}

/// The value of a property. One that is not set, or is empty, is nowhere.
fn value_of<'p>(properties: &'p Properties, name: &str) -> Option<&'p str> {
    properties.get(name).filter(|value| !value.is_empty())
}

/// Which expressions match one of these lines, by their numbers.
fn matching<'t>(set: &ExpressionSet, lines: impl Iterator<Item = &'t [u8]>) -> Vec<bool> {
    let mut matched = vec![false; set.len()];
    let mut left = set.len();
    // Most lines match nothing, and it is quicker to find that out first.
    let mut lines = lines.filter(|line| set.is_match(line));
    while left > 0
        && let Some(line) = lines.next()
    {
        // One that is alone needs no second search, and no further line is needed when all have matched.
        if let [alone] = matched.as_mut_slice() {
            (*alone, left) = (true, 0);
            continue;
        }
        for number in set.matches(line).iter() {
            if let Some(place) = matched.get_mut(number).filter(|place| !**place) {
                (*place, left) = (true, left.saturating_sub(1));
            }
        }
    }
    matched
}

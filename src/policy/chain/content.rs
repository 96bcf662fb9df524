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
            AskContent::Header(text) => {
                let matched = || matching(&self.sets.headers, self.header_texts());
                holds(text, self.header_texts(), &self.in_header, matched).into()
            }
            AskContent::HeaderProperty(name) => {
                contains_property(properties, name, self.header_texts()).into()
            }
            AskContent::Body(text) => {
                let searched = evidence.body.as_deref();
                if let Some(found) = searched.and_then(|searched| found(text, searched)) {
                    return found.into();
                }
                self.message.body_lines().map_or(Truth::Unknown, |lines| {
                    let again = || self.message.body_lines().into_iter().flatten();
                    let matched = || matching(&self.sets.bodies, again());
                    holds(text, lines, &self.in_body, matched).into()
                })
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
            let mut lines = self.message.body_lines().into_iter().flatten();
            return contain(&mut lines, value).into();
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
    let again = || message.body_lines().into_iter().flatten();
    message.body()?;
    let texts = texts.map(|text| (text.into(), contain(again(), text)));
    let texts = texts.collect();
    Some(BodyMatches::new(matching(&sets.bodies, again()), texts))
}

/// Searches the lines of a body for this text; unknown if it was not kept.
pub(super) fn search_text(message: &Message, text: &str) -> Option<bool> {
    message.body_lines().map(|lines| contain(lines, text))
}

/// The value of a property. One that is not set, or is empty, is nowhere.
fn value_of<'p>(properties: &'p Properties, name: &str) -> Option<&'p str> {
    properties.get(name).filter(|value| !value.is_empty())
}

/// Whether one of these lines has the value of a property.
fn contains_property<'t>(
    properties: &Properties,
    name: &str,
    lines: impl Iterator<Item = &'t [u8]>,
) -> bool {
    value_of(properties, name).is_some_and(|value| contain(lines, value))
}

/// Whether one of these lines has a text, or an expression matches it.
fn holds<'t>(
    text: &Text,
    lines: impl Iterator<Item = &'t [u8]>,
    cell: &OnceCell<Vec<bool>>,
    matches: impl FnOnce() -> Vec<bool>,
) -> bool {
    match text {
        Text::Is(text) | Text::Folds(text, _) => contain(lines, text),
        Text::Matches(number) => cell.get_or_init(matches).get(*number) == Some(&true),
    }
}

/// Whether one of these lines has the text.
fn contain<'t>(mut lines: impl Iterator<Item = &'t [u8]>, text: &str) -> bool {
    let finder = memmem::Finder::new(text.as_bytes());
    lines.any(|line| finder.find(line).is_some())
}

/// Which expressions match one of these lines, by their numbers.
fn matching<'t>(set: &ExpressionSet, lines: impl Iterator<Item = &'t [u8]>) -> Vec<bool> {
    let mut matched = Vec::new();
    for line in lines {
        for number in set.matches(line).iter() {
            if matched.len() <= number {
                matched.resize(number.saturating_add(1), false);
            }
            if let Some(place) = matched.get_mut(number) {
                *place = true;
            }
        }
    }
    matched
}

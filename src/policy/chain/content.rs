//! Tests of what is in a message.
//!
//! Before the end of the message, and if a part of it was not kept, nothing is known of it.

use std::cell::OnceCell;

use memchr::memmem;

use super::ask::{AskContent, Sets, Text};
use super::truth::Truth;
use crate::policy::message::{HeaderField, Message};
use crate::policy::properties::{Number, Properties, count};
use crate::policy::set::ExpressionSet;
use crate::policy::spam::thousandths;
use crate::policy::{Evidence, Finding, Lookup, SpamScore};

/// What is in a message, read when a test needs it.
pub(super) struct ContentReader<'a> {
    message: &'a Message,
    sets: &'a Sets,
    header: OnceCell<Vec<Vec<u8>>>,
    body: OnceCell<Option<Vec<&'a [u8]>>>,
    /// Which expressions match a field of the header, by their numbers.
    in_header: OnceCell<Vec<bool>>,
    /// Which expressions match a line of the body.
    in_body: OnceCell<Vec<bool>>,
}

impl<'a> ContentReader<'a> {
    /// The content of this message; its expressions are those of the sets.
    pub(super) const fn new(message: &'a Message, sets: &'a Sets) -> Self {
        Self {
            message,
            sets,
            header: OnceCell::new(),
            body: OnceCell::new(),
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
        match ask {
            AskContent::Header(text) => {
                let fields = self.header_texts();
                let matches = || matching(&self.sets.headers, fields);
                holds(text, fields, &self.in_header, matches).into()
            }
            AskContent::HeaderProperty(name) => {
                contains_property(properties, name, self.header_texts()).into()
            }
            AskContent::Body(text) => self.body_lines().map_or(Truth::Unknown, |lines| {
                let matches = || matching(&self.sets.bodies, lines);
                holds(text, lines, &self.in_body, matches).into()
            }),
            AskContent::BodyProperty(name) => self.body_lines().map_or(Truth::Unknown, |lines| {
                contains_property(properties, name, lines).into()
            }),
            AskContent::Size(operator, number) => properties
                .compares(count(self.message.size()), *operator, number)
                .into(),
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

    /// The fields of the header.
    fn header_texts(&self) -> &[Vec<u8>] {
        let read = || self.message.fields().iter().map(unfolded).collect();
        self.header.get_or_init(read)
    }

    /// The lines of the body, if they are known.
    fn body_lines(&self) -> Option<&[&[u8]]> {
        let read = || {
            let lines = self.message.body()?.split(|byte| *byte == b'\n');
            Some(
                lines
                    .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
                    .collect(),
            )
        };
        self.body.get_or_init(read).as_deref()
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
            | Finding::Absent
            | Finding::NoAnswer,
        ) => None,
        None => {
            lacking.push(Lookup::Score);
            None
        }
    }
}

/// Whether one of these lines has the value of a property. One that is not set, or is empty, is nowhere.
fn contains_property(properties: &Properties, name: &str, lines: &[impl AsRef<[u8]>]) -> bool {
    let value = properties.get(name).filter(|value| !value.is_empty());
    value.is_some_and(|value| contain(lines, value))
}

/// Whether one of these lines has a text, or an expression matches it.
fn holds(
    text: &Text,
    lines: &[impl AsRef<[u8]>],
    cell: &OnceCell<Vec<bool>>,
    matches: impl FnOnce() -> Vec<bool>,
) -> bool {
    match text {
        Text::Is(text) | Text::Folds(text, _) => contain(lines, text),
        Text::Matches(number) => cell.get_or_init(matches).get(*number) == Some(&true),
    }
}

/// Whether one of these lines has the text.
fn contain(lines: &[impl AsRef<[u8]>], text: &str) -> bool {
    let finder = memmem::Finder::new(text.as_bytes());
    let mut lines = lines.iter();
    lines.any(|line| finder.find(line.as_ref()).is_some())
}

/// Which expressions match one of these lines, by their numbers.
fn matching(set: &ExpressionSet, lines: &[impl AsRef<[u8]>]) -> Vec<bool> {
    let mut matched = Vec::new();
    for line in lines {
        for number in set.matches(line.as_ref()).iter() {
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

/// A field on one line: `Name: value`.
fn unfolded(field: &HeaderField) -> Vec<u8> {
    let breaks = |byte: &&u8| !matches!(byte, b'\r' | b'\n');
    let value = field.value.iter().filter(breaks);
    field
        .name
        .iter()
        .chain(b": ")
        .chain(value)
        .copied()
        .collect()
}

//! The header field that says what greylisting has done with a message.
//!
//! Each recipient brings one, and the decision at the end of the message; the message gets one of them.

use super::Decision;
use crate::types::{HeaderText, ReplyText};

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportField {
    /// This line.
    Line(ReplyText),
    /// Nothing: the message was delayed, which the rules do not want to be said.
    Unsaid,
    /// This line, which says only that there was no delay, so that another recipient's field takes its place.
    NotDelayed(ReplyText),
}

impl ReportField {
    /// The line that the message gets.
    #[must_use]
    pub const fn line(&self) -> Option<&ReplyText> {
        match self {
            Self::Line(line) | Self::NotDelayed(line) => Some(line),
            Self::Unsaid => None,
        }
    }

    /// How much one field counts against another; the greater one is written.
    const fn rank(&self) -> u8 {
        match self {
            Self::Line(_) => 2,
            Self::Unsaid => 1,
            Self::NotDelayed(_) => 0,
        }
    }

    /// The field of two that the message gets: the first one, unless the other counts more.
    #[must_use]
    pub fn or(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.rank() > one.rank() => Some(other),
            (one, other) => one.or(other),
        }
    }
}

/// The field for a decision; `own` is the text that a rule has for it, and `given` what the reply brings.
#[must_use]
pub fn field(
    decision: &Decision,
    own: Option<&HeaderText>,
    given: Option<ReplyText>,
) -> Option<ReportField> {
    let (rules, outcome) = (&decision.rules, &decision.outcome);
    let is_delayed = outcome.verdict.has_waited();
    if !rules.writes_report(outcome.verdict) {
        return is_delayed.then_some(ReportField::Unsaid);
    }
    if let Some(text) = own {
        let name = rules.texts.header_name();
        let line = ReplyText::new(format!("{name}: {text}"));
        return Some(ReportField::Line(line));
    }
    if let Some(line) = given {
        return Some(ReportField::Line(line));
    }
    let says_all = rules.lists.chain.about_messages().report.is_some();
    let says_nothing_else = says_all && !is_delayed;
    says_nothing_else
        .then(|| ReportField::NotDelayed(rules.texts.not_delayed(outcome.reason, decision.now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_stays_unless_it_says_only_that_there_was_no_delay() {
        let line = |text: &str| ReplyText::new(text.to_owned());
        let said = |text: &str| Some(ReportField::Line(line(text)));
        let not_delayed = |text: &str| Some(ReportField::NotDelayed(line(text)));
        let unsaid = Some(ReportField::Unsaid);
        for (one, other, want) in [
            (None, None, None),
            (not_delayed("a"), None, not_delayed("a")),
            (None, not_delayed("b"), not_delayed("b")),
            (not_delayed("a"), not_delayed("b"), not_delayed("a")),
            (not_delayed("a"), said("b"), said("b")),
            (said("a"), not_delayed("b"), said("a")),
            (said("a"), said("b"), said("a")),
            (unsaid.clone(), not_delayed("b"), unsaid.clone()),
            (not_delayed("a"), unsaid.clone(), unsaid.clone()),
            (unsaid.clone(), said("b"), said("b")),
            (said("a"), unsaid, said("a")),
        ] {
            let got = ReportField::or(one.clone(), other.clone());
            assert_eq!(got, want, "{one:?} {other:?}");
        }
    }
}

//! The header field that says what greylisting has done with a message.

use crate::policy::Verdict;
use crate::service::Decision;
use crate::types::{HeaderText, ReplyText};

/// The field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportField {
    /// The whole line.
    pub(super) line: ReplyText,
    /// Whether it says only that there was no delay, so that the field of another recipient takes its place.
    pub(super) yields: bool,
}

impl ReportField {
    pub(super) const fn new(line: ReplyText) -> Self {
        Self {
            line,
            yields: false,
        }
    }

    /// The field of two that the message gets: the first one, unless it yields.
    pub(super) fn or(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if one.yields && !other.yields => Some(other),
            (one, other) => one.or(other),
        }
    }
}

/// The field for a decision; `own` is the text that a rule has for it, and `given` what the reply brings.
pub(super) fn field(
    decision: &Decision,
    own: Option<&HeaderText>,
    given: Option<ReplyText>,
) -> Option<ReportField> {
    let (rules, outcome) = (&decision.rules, &decision.outcome);
    let is_delayed = matches!(outcome.verdict, Verdict::PassWithHeader { .. });
    let report = rules.lists.chain.about_messages().report;
    if report.is_some_and(|report| !report.covers(is_delayed)) {
        return None;
    }
    if let Some(text) = own {
        let name = rules.texts.header_name();
        return Some(ReportField::new(ReplyText::new(format!("{name}: {text}"))));
    }
    if let Some(line) = given {
        return Some(ReportField::new(line));
    }
    report.filter(|_| !is_delayed).map(|_| ReportField {
        line: rules.texts.not_delayed(outcome.reason, decision.now),
        yields: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_stays_unless_it_says_only_that_there_was_no_delay() {
        let field = |text: &str, yields| {
            let line = ReplyText::new(text.to_owned());
            Some(ReportField { line, yields })
        };
        for (one, other, want) in [
            (None, None, None),
            (field("a", true), None, field("a", true)),
            (None, field("b", true), field("b", true)),
            (field("a", true), field("b", true), field("a", true)),
            (field("a", true), field("b", false), field("b", false)),
            (field("a", false), field("b", true), field("a", false)),
            (field("a", false), field("b", false), field("a", false)),
        ] {
            let got = ReportField::or(one.clone(), other.clone());
            assert_eq!(got, want, "{one:?} {other:?}");
        }
    }
}

//! The steps of a decision about a message, in sentences.

use super::step_result::{Explained, StepResult, named};
use crate::policy::checks::CheckAction;
use crate::policy::spam::tenths;
use crate::policy::{EntryRef, ListName, Ruleset, Step};

/// The steps, the clauses of one rule together.
pub(super) fn grouped(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|one, other| match (one, other) {
        (Step::Clause(rule, ..), Step::Clause(next, number, _)) => rule == next && *number > 0,
        _ => false,
    })
}

/// The clauses of a rule, as far as they were tested.
pub(super) fn rule_of(clauses: &[Step], rules: &Ruleset) -> Explained {
    let mut answers = Vec::with_capacity(clauses.len());
    let mut finding = StepResult::Match;
    let (mut step, mut text) = (Step::Recipient(None), String::new());
    for clause in clauses {
        let Step::Clause(rule, number, holds) = *clause else {
            continue;
        };
        (step, text) = (*clause, named(rules, rule).unwrap_or_default());
        let answer = match holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        finding = match (finding, holds) {
            (_, Some(false)) => StepResult::NoMatch,
            (StepResult::Match, None) => StepResult::Unknown,
            (finding, _) => finding,
        };
        let (word, is_negated) = rules
            .lists
            .chain
            .clause(rule.number, number)
            .unwrap_or_default();
        let not = if is_negated { "not " } else { "" };
        answers.push(format!("{not}{word}: {answer}"));
    }
    text.push_str("; ");
    text.push_str(&answers.join(", "));
    Explained {
        step,
        finding,
        text,
    }
}

/// The result of a line of a table for messages.
pub(super) fn check_step(rules: &Ruleset, list: ListName, entry: EntryRef) -> StepResult {
    let checks = &rules.lists.checks;
    let tables = if list == ListName::HeaderChecks {
        &checks.header
    } else {
        &checks.body
    };
    match tables.action(entry.number) {
        Some(CheckAction::Reply(_)) => StepResult::Rejects,
        Some(CheckAction::Greylist) => StepResult::Suspicious,
        Some(
            CheckAction::Discard
            | CheckAction::Hold
            | CheckAction::Remove
            | CheckAction::Strip
            | CheckAction::Prepend(_)
            | CheckAction::Replace(_)
            | CheckAction::Info
            | CheckAction::Warn
            | CheckAction::Pass
            | CheckAction::Nothing,
        )
        | None => StepResult::Match,
    }
}

/// What the recipient of a message has got.
pub(super) fn recipient_step(is_open: Option<bool>) -> (StepResult, String) {
    let (finding, text) = match is_open {
        Some(true) => (
            StepResult::Continues,
            "accepted without having waited: rules for messages can greylist it",
        ),
        Some(false) => (
            StepResult::Passes,
            "accepted because it has waited, or is exempt: rules for messages cannot greylist it",
        ),
        None => (
            StepResult::Waiting,
            "not accepted now; what follows is for an attempt that is",
        ),
    };
    (finding, text.to_owned())
}

/// What a spam filter says.
pub(super) fn score_step(score: Option<i64>, is_spam: Option<bool>) -> (StepResult, String) {
    let Some(score) = score else {
        return (StepResult::Unknown, "no score".to_owned());
    };
    let (finding, taken) = match is_spam {
        Some(true) => (StepResult::Match, ", spam"),
        Some(false) => (StepResult::NoMatch, ", not spam"),
        None => (StepResult::Match, ""),
    };
    (finding, format!("{}{taken}", tenths(score)))
}

//! What a step of a decision has found, for administrators.

use crate::policy::{EntryRef, Ruleset, Step};

/// A step of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The step as the policy core noted it.
    pub step: Step,
    /// Its result.
    pub finding: StepResult,
    /// A sentence about it.
    pub text: String,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepResult {
    /// No entry, line or rule matches.
    NoMatch,
    /// A line of a client access table matches, or a DNS list has the client.
    Match,
    /// The request passes.
    Passes,
    /// The client is suspicious.
    Suspicious,
    /// The client is refused.
    Rejects,
    /// An exception from S25R matches.
    Exception,
    /// The records decide.
    Continues,
    /// There is no record, or it has expired; or a DNS list did not reply.
    Unknown,
    /// The client is not auto-whitelisted yet.
    Counted,
    /// The sleep is running.
    Sleeping,
    /// The sleep is over, and no DATA request has shown that the client survived it.
    HungUp,
    /// The triplet is waiting.
    Waiting,
    /// The triplet has passed.
    Passed,
}

/// The text and source of an entry, for an administrator.
pub(super) fn named(rules: &Ruleset, entry: EntryRef) -> Option<String> {
    rules.entry(entry).map(ToString::to_string)
}

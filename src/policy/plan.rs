//! The first half of a decision: what needs no records.
//!
//! [`plan`] walks the list of checks that the options make; `rules/checklist.rs` has their order.

mod asks;
mod case;
mod message;
mod walk;

use super::{
    Attempt, Because, EntryRef, Evidence, Outcome, Plan, Reason, Ruleset, Severity, SpfResult,
    Stage, Suspicion, Trace, Verdict,
};
use crate::types::{ClientIp, Reply};
use walk::{End, Walk};

pub use message::{MessageOutcome, MessagePlan, MessageVerdict, message_case, plan_message};

/// Settles what can be settled without the store, and notes the steps in `trace`.
///
/// A check that needs evidence does not end the walk while that is missing: what settles the attempt without it may come
/// behind.
pub fn plan(
    attempt: &Attempt<'_>,
    evidence: &Evidence,
    rules: &Ruleset,
    trace: &mut impl Trace,
) -> Plan {
    trace.restart();
    let parts = match Parts::read(attempt, rules) {
        Ok(parts) => parts,
        Err(settled) => return settled.plan(),
    };
    let mut walk = Walk::new(parts, evidence, rules);
    match walk.run(trace) {
        End::Settled(settled) => settled.plan(),
        End::Waits(suspicion) => walk.waits(suspicion, trace),
        End::Lacks => walk.lacks(),
    }
}

/// What was decided without the store.
struct Settled {
    verdict: Verdict,
    reason: Reason,
    because: Because,
    suspicion: Option<Suspicion>,
    /// The reply, if it has one of its own.
    reply: Option<Reply>,
}

impl Settled {
    fn plan(self) -> Plan {
        let outcome = Outcome {
            suspicion: self.suspicion,
            ..Outcome::new(self.verdict, self.reason, self.because)
        };
        match self.reply {
            None => Plan::Settled(outcome),
            Some(reply) => Plan::Replied(outcome, reply),
        }
    }
}

/// Passes, for this reason.
const fn pass(reason: Reason, because: Because) -> Settled {
    Settled {
        verdict: Verdict::Pass,
        reason,
        because,
        suspicion: None,
        reply: None,
    }
}

/// An attempt with everything in it that a decision needs.
struct Parts<'a> {
    attempt: &'a Attempt<'a>,
    name: &'a [u8],
    address: &'a [u8],
    client: ClientIp,
    helo: &'a [u8],
    sender: &'a [u8],
    recipient: &'a [u8],
    is_data: bool,
    /// Whether S25R takes the name for an end user's line, once it was asked.
    is_line: Option<bool>,
    /// What SPF says, once it was asked.
    spf: Option<SpfResult>,
}

impl<'a> Parts<'a> {
    /// The attempt, unless it has no parts to decide on.
    fn read(attempt: &'a Attempt<'a>, rules: &Ruleset) -> Result<Self, Settled> {
        let missing = |name| pass(Reason::AttributeMissing, Because::MissingAttribute(name));
        let address = attempt.client_address.ok_or(missing("client_address"))?;
        let name = attempt.client_name.ok_or(missing("client_name"))?;
        let recipient = attempt.recipient.ok_or(missing("recipient"))?;
        let sender = attempt.sender.ok_or(missing("sender"))?;
        let client = ClientIp::parse(address)
            .ok_or_else(|| pass(Reason::AddressUnparsable, Because::Request))?;
        let is_data = match attempt.stage {
            Stage::Recipient => false,
            Stage::Data if rules.is_targrey() => true,
            Stage::Data | Stage::Other => return Err(pass(Reason::OtherState, Because::Request)),
        };
        Ok(Self {
            attempt,
            name,
            address,
            client,
            helo: attempt.helo_name.unwrap_or_default(),
            sender,
            recipient,
            is_data,
            is_line: None,
            spf: None,
        })
    }
}

/// The outcome when this rule refuses. The text of the reply is made of the outcome.
fn refused(rule: EntryRef) -> Settled {
    Settled {
        verdict: Verdict::Reply(Severity::Reject),
        reason: Reason::RuleReject,
        because: Because::Entry(rule),
        suspicion: None,
        reply: None,
    }
}

#[cfg(test)]
mod checklist_tests;
#[cfg(test)]
mod dns_tests;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod oracle_tests;

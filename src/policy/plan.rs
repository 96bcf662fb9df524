//! The first half of a decision: what needs no records.

mod case;
mod checks;
mod message;

use super::chain::Action;
use super::{
    Attempt, Because, Case, EntryRef, Evidence, ListName, Lookup, Outcome, Plan, Reason, Ruleset,
    SpfResult, Stage, Step, Suspicion, Trace, Unmatched, Verdict,
};
use crate::types::{ClientIp, Reply};

pub use message::{MessageOutcome, MessagePlan, MessageVerdict, message_case, plan_message};

/// Settles what can be settled without the store, and notes the steps in `trace`.
///
/// The checks that need evidence come after all that can settle the attempt without it.
pub fn plan(
    attempt: &Attempt<'_>,
    evidence: &Evidence,
    rules: &Ruleset,
    trace: &mut impl Trace,
) -> Plan {
    trace.restart();
    let mut parts = match Parts::read(attempt, rules) {
        Ok(parts) => parts,
        Err(settled) => return settled.plan(),
    };
    let checked = parts
        .pass_lists(rules, trace)
        .and_then(|()| parts.suspicion(evidence, rules, trace));
    match checked {
        Ok(Check::Done(suspicion)) => {
            let missing = parts.names(evidence, rules, trace);
            let case = parts.case(evidence, rules, suspicion);
            match missing {
                None => Plan::Case(case),
                Some(lookup) => Plan::Ask(vec![lookup], case),
            }
        }
        Ok(Check::Lacks(lacking)) => {
            let case = Case {
                terms: rules.strictest_terms(),
                asks_known: lacking.asks_known,
                ..parts.case(evidence, rules, lacking.so_far)
            };
            Plan::Ask(lacking.lookups, case)
        }
        Err(settled) => settled.plan(),
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

/// What the suspicion checks say together.
enum Check {
    /// What makes the client suspicious, if anything does.
    Done(Option<Suspicion>),
    /// Something has to be looked up first.
    Lacks(Lacking),
}

/// What has to be looked up before it is known whether a client is suspicious.
struct Lacking {
    lookups: Vec<Lookup>,
    /// What makes the client suspicious so far.
    so_far: Option<Suspicion>,
    /// Whether that holds for known mail, too.
    asks_known: bool,
}

impl Lacking {
    fn only(lookup: Lookup, so_far: Option<Suspicion>) -> Self {
        Self {
            lookups: vec![lookup],
            so_far,
            asks_known: false,
        }
    }
}

/// What the rules say of an attempt, if they neither let it pass nor refuse it.
#[derive(Default)]
struct ByRules {
    /// The rule that greylists it.
    suspicion: Option<Suspicion>,
    /// What has to be looked up before it is known which rule decides.
    lacking: Vec<Lookup>,
    /// Whether that holds for known mail, too.
    asks_known: bool,
}

impl ByRules {
    /// Whether it is not known yet which rule decides.
    const fn is_open(&self) -> bool {
        !self.lacking.is_empty()
    }

    /// Adds what else has to be looked up.
    fn add(&mut self, lookups: Vec<Lookup>) {
        if self.lacking.is_empty() {
            self.lacking = lookups;
            return;
        }
        for lookup in lookups {
            if !self.lacking.contains(&lookup) {
                self.lacking.push(lookup);
            }
        }
    }

    fn lacks(self, so_far: Option<Suspicion>) -> Check {
        Check::Lacks(Lacking {
            lookups: self.lacking,
            so_far,
            asks_known: self.asks_known,
        })
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
            Stage::Data if rules.params.is_targrey() => true,
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

    /// Goes on, unless a list has the attempt.
    fn pass_lists(&self, rules: &Ruleset, trace: &mut impl Trace) -> Result<(), Settled> {
        let mut unless = |found: Option<EntryRef>, list, reason| {
            trace.note(Step::List(list, found));
            match found {
                Some(entry) => Err(pass(reason, Because::Entry(entry))),
                None => Ok(()),
            }
        };
        let client = rules.find(ListName::Client, |lists| {
            lists.clients.find(self.name, self.client)
        });
        unless(client, ListName::Client, Reason::ClientWhitelist)?;
        let recipient = rules.find(ListName::Recipient, |lists| {
            lists.recipients.find(self.recipient)
        });
        unless(recipient, ListName::Recipient, Reason::RecipientWhitelist)?;
        let sender = rules.find(ListName::Sender, |lists| lists.senders.find(self.sender));
        unless(sender, ListName::Sender, Reason::SenderWhitelist)
    }

    /// What makes the client suspicious, if anything does; the outcome when it passes without.
    ///
    /// The order: tables, rules, S25R, DNS lists, the default. An exemption from waiting comes behind tables and rules,
    /// because it does not exempt from their refusals. DNS lists that let a client pass do so before any of these refuses
    /// it or makes it wait.
    fn suspicion(
        &mut self,
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Check, Settled> {
        let by_tables = match self.by_tables(rules, trace) {
            Err(settled) if settled.reply.is_some() => {
                return self.replied(settled, evidence, rules, trace);
            }
            by_tables => by_tables?,
        };
        let exemption = self.exemption(rules, trace);
        let asked = (by_tables, exemption.is_err());
        let mut by_rules = self.by_rules(asked, evidence, rules, trace)?;
        if exemption.is_err() && by_rules.is_open() {
            return Ok(by_rules.lacks(None));
        }
        let opted_in = exemption?;
        let (rule, exception) = match by_tables.or(by_rules.suspicion) {
            Some(_) => (None, None),
            None => self.by_s25r(rules, trace),
        };
        let by_name = rule.filter(|_| exception.is_none()).map(Suspicion::S25r);
        let spf = rules.params.spf;
        let may_excuse = (by_name.is_some() && spf.excuses)
            || (by_rules.suspicion.is_some() && spf.excuses_rules);
        let spf = may_excuse.then(|| self.by_spf(evidence, trace));
        let is_excused = matches!(spf, Some(Ok(SpfResult::Pass)));
        let excusable = by_rules.suspicion.or(by_name);
        let so_far = by_tables.or(excusable.filter(|_| !is_excused));
        let asked = (so_far, by_rules.is_open());
        let by_lists = self.by_dns_lists(asked, evidence, rules, trace)?;
        match by_lists {
            Some(Check::Lacks(lacking)) => by_rules.add(lacking.lookups),
            Some(done @ Check::Done(_)) if !by_rules.is_open() => return Ok(done),
            Some(Check::Done(_)) | None => {}
        }
        if let Some(Err(lookup)) = spf {
            by_rules.add(vec![lookup]);
        }
        if by_rules.is_open() {
            return Ok(by_rules.lacks(so_far));
        }
        if so_far.is_some() {
            return Ok(Check::Done(so_far));
        }
        let because = exception.map_or(Because::Request, Because::Entry);
        if by_rules.suspicion.is_some() {
            return Err(pass(Reason::SpfPass, because));
        }
        self.by_default((opted_in, because, is_excused), evidence, rules, trace)
    }

    /// What becomes of a client that no check matches: the default of the rules, or else what the options say. Whether
    /// SPF has excused it from S25R is known.
    fn by_default(
        &mut self,
        (opted_in, because, is_excused): (Option<Suspicion>, Because, bool),
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Check, Settled> {
        let Some((action, entry)) = rules.lists.chain.fallback() else {
            let unmatched = rules.unmatched();
            trace.note(Step::Unmatched(unmatched));
            return match unmatched {
                Unmatched::Pass if is_excused => Err(pass(Reason::SpfPass, because)),
                Unmatched::Pass => Err(pass(Reason::NotSuspicious, because)),
                Unmatched::Greylist => Ok(Check::Done(opted_in)),
            };
        };
        // At DATA rules are not asked, and the records decide.
        if self.is_data {
            return Ok(Check::Done(None));
        }
        let entry = entry.map(EntryRef::of_rule);
        trace.note(Step::Rule(entry, action.kind()));
        match (action, entry) {
            (Action::Pass, _) if is_excused => Err(pass(Reason::SpfPass, because)),
            (Action::Pass, Some(entry)) => Err(pass(Reason::RulePass, Because::Entry(entry))),
            (Action::Pass, None) | (Action::Continue, _) => {
                Err(pass(Reason::NotSuspicious, because))
            }
            (Action::Refuse(_), Some(entry)) => Err(checks::refused(entry)),
            (Action::Refuse(_), None) => Ok(Check::Done(None)),
            (Action::Greylist(_), entry) => {
                let waits = Ok(Check::Done(entry.map(Suspicion::Entry).or(opted_in)));
                if !rules.params.spf.excuses_rules {
                    return waits;
                }
                match self.by_spf(evidence, trace) {
                    Ok(SpfResult::Pass) => Err(pass(Reason::SpfPass, because)),
                    Ok(_) => waits,
                    Err(lookup) => Ok(Check::Lacks(Lacking::only(lookup, opted_in))),
                }
            }
        }
    }
}

#[cfg(test)]
mod dns_tests;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod oracle_tests;

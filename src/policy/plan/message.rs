//! What the rules for messages say of one, at its end.

use super::Parts;
use crate::policy::chain::{Action, Effects, Found, Subject, Terms, Truth};
use crate::policy::{
    Attempt, Because, Case, EntryRef, Evidence, Lookup, MessageAttempt, Reason, Ruleset, SpfResult,
    Stage, Step, Suspicion, Trace,
};

/// What [`plan_message`] makes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum MessagePlan {
    /// It is settled.
    Settled(Box<MessageOutcome>),
    /// What is settled depends on these lookups.
    Ask(Vec<Lookup>),
}

/// What the rules say of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct MessageOutcome {
    /// What becomes of it.
    pub verdict: MessageVerdict,
    /// Why, unless open recipients wait: then the records say why.
    pub reason: Reason,
    /// What decided.
    pub because: Because,
    /// What rules do besides.
    pub effects: Effects,
    /// Whether it passes because no rule has decided, or by the default: a table may greylist it.
    pub is_undecided: bool,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageVerdict {
    /// It passes.
    Pass,
    /// A rule refuses it; [`Ruleset::message_refusal`] has the reply.
    Refuse(EntryRef),
    /// Open recipients are greylisted; [`message_case`] has the records of one, and
    /// [`Ruleset::message_deferral`] the reply.
    Greylist(Suspicion, Terms),
}

/// Asks the rules for messages about one, and notes the steps in `trace`.
pub fn plan_message(
    about: &MessageAttempt<'_>,
    evidence: &Evidence,
    rules: &Ruleset,
    trace: &mut impl Trace,
) -> MessagePlan {
    trace.restart();
    let chain = &rules.lists.chain;
    let outcome = |verdict, reason, because, effects| MessageOutcome {
        verdict,
        reason,
        because,
        effects,
        is_undecided: reason == Reason::NotSuspicious,
    };
    let settled = |verdict, reason, because, effects| {
        MessagePlan::Settled(Box::new(outcome(verdict, reason, because, effects)))
    };
    let pass = |reason, because, effects| settled(MessageVerdict::Pass, reason, because, effects);
    let nothing = |effects| pass(Reason::NotSuspicious, Because::Request, effects);
    let subject = Subject::of_message(about, evidence.time).filter(|_| chain.has_message_rules());
    let Some(mut subject) = subject else {
        return nothing(Effects::default());
    };
    subject.place = Some((rules.texts.host(), rules.texts.zone()));
    let (found, effects) = if trace.wants_clauses() {
        chain.find_heard(&subject, evidence, &mut |rule, clause, truth: Truth| {
            trace.note(Step::Clause(EntryRef::of_rule(rule), clause, truth.known()));
        })
    } else {
        chain.find(&subject, evidence)
    };
    let is_default = matches!(found, Found::Nothing);
    let (action, entry) = match found {
        Found::Rule(number, action) => (action, Some(EntryRef::of_rule(number))),
        Found::Lacks(lookups) => return MessagePlan::Ask(lookups),
        Found::Nothing => {
            let Some((action, number)) = chain.message_fallback() else {
                trace.note(Step::Rule(None, None));
                return nothing(effects);
            };
            (action, number.map(EntryRef::of_rule))
        }
    };
    trace.note(Step::Rule(entry, action.kind()));
    let Some(entry) = entry else {
        return nothing(effects);
    };
    let because = Because::Entry(entry);
    match action {
        Action::Continue => nothing(effects),
        Action::Pass => MessagePlan::Settled(Box::new(MessageOutcome {
            is_undecided: is_default,
            ..outcome(MessageVerdict::Pass, Reason::RulePass, because, effects)
        })),
        Action::Refuse(_) => settled(
            MessageVerdict::Refuse(entry),
            Reason::MessageReply,
            because,
            effects,
        ),
        Action::Greylist(_) if !about.has_open => pass(Reason::NoOpenRecipient, because, effects),
        Action::Greylist(treatment) => {
            match by_spf(about, evidence, rules, trace) {
                Err(lookup) => return MessagePlan::Ask(vec![lookup]),
                Ok(Some(SpfResult::Pass)) if rules.params.spf.excuses_rules => {
                    return pass(Reason::SpfPass, because, effects);
                }
                Ok(_) => {}
            }
            let suspicion = Suspicion::Message(entry, chain.cause(entry.number));
            let verdict = MessageVerdict::Greylist(suspicion, treatment.terms);
            settled(verdict, Reason::New, because, effects)
        }
    }
}

/// What SPF says, where a rule that greylists needs it; `Err`: it must be asked first.
fn by_spf(
    about: &MessageAttempt<'_>,
    evidence: &Evidence,
    rules: &Ruleset,
    trace: &mut impl Trace,
) -> Result<Option<SpfResult>, Lookup> {
    let spf = rules.params.spf;
    let attempt = Attempt {
        stage: Stage::Recipient,
        ..about.as_one()
    };
    if !spf.excuses_rules && !spf.names {
        return Ok(None);
    }
    let Ok(mut parts) = Parts::read(&attempt, rules) else {
        return Ok(None);
    };
    parts.by_spf(evidence, trace).map(Some)
}

/// The records that decide whether this recipient of a message waits, which a rule has greylisted for this reason; `None`
/// if the attempt lacks a part.
#[must_use]
pub fn message_case(
    attempt: &Attempt<'_>,
    evidence: &Evidence,
    rules: &Ruleset,
    suspicion: Suspicion,
) -> Option<Case> {
    let parts = Parts::read(attempt, rules).ok()?;
    Some(parts.case(evidence, rules, Some(suspicion)))
}

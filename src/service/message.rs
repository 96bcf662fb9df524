//! The path of a message through the service, at its end: rules for messages, and the records of those recipients that a
//! rule makes wait.
//!
//! Recipients that were accepted are covered or open. Covered ones have waited, or are exempt from waiting; open ones
//! have passed because nothing spoke against them. A rule that greylists a message looks at open ones only. As they
//! cannot be refused one by one any more, one that must wait defers the message for all.

use std::sync::Arc;

use tokio::time::Instant;

use super::internals::Inner;
use super::pipeline::{Context, Decision, Mode, PAUSED};
use crate::policy::chain::AddedHeader;
use crate::policy::message::Message;
use crate::policy::{
    self, Attempt, Because, Evidence, MessageAttempt, MessageOutcome, MessagePlan, MessageVerdict,
    Outcome, ROUNDS, Reason, Severity, SpamScore, Trace, Verdict,
};
use crate::types::{HeaderText, Reply};

/// A message with its transaction.
#[derive(Debug, Clone, Copy)]
pub struct MessageRequest<'a> {
    /// The transaction; without a recipient.
    pub attempt: &'a Attempt<'a>,
    /// The recipients that were accepted.
    pub recipients: &'a [&'a [u8]],
    /// Those of them that are open.
    pub open: &'a [&'a [u8]],
    /// The message.
    pub message: &'a Message,
}

/// A decision about a message.
#[derive(Debug)]
pub struct MessageDecision {
    /// The decision.
    pub decision: Decision,
    /// Fields that the header gets if the message passes.
    pub headers: Vec<AddedHeader>,
    /// The text of the header field about greylisting, if a rule has one of its own.
    pub report: Option<HeaderText>,
    /// What a spam filter says, if it was asked and has answered.
    pub score: Option<SpamScore>,
}

impl Inner {
    /// Decides on a message.
    pub(crate) async fn judge_message(
        &self,
        request: &MessageRequest<'_>,
        trace: &mut (impl Trace + Send),
    ) -> MessageDecision {
        let (now, expiry) = self.state.time(self.clock.as_ref());
        let rules = self.live_rules.rules();
        let decide = |outcome, reply| Decision::new(outcome, reply, now, Arc::clone(&rules));
        if self.pause.is_on(now, expiry, self.clock.as_ref()) {
            return MessageDecision::plain(decide(PAUSED, Reply::Continue));
        }
        let context = Context {
            now,
            expiry,
            rules: &rules,
            keys: self.instance_cache.keys(request.attempt),
            mode: Mode::Commit,
        };
        let about = MessageAttempt {
            attempt: request.attempt,
            recipients: request.recipients,
            has_open: !request.open.is_empty(),
            message: request.message,
        };
        let mut evidence = self.evidence(request.attempt, &context);
        // The rule that has let a recipient pass says nothing about the message.
        evidence.earlier_pass = None;
        let planned = self
            .plan_message(&about, &mut evidence, &context, trace)
            .await;
        let MessageOutcome {
            verdict,
            reason,
            because,
            effects,
        } = planned;
        let pass = |reason, because| Outcome::new(Verdict::Pass, reason, because);
        let (outcome, reply) = match verdict {
            MessageVerdict::Pass => (pass(reason, because), Reply::Continue),
            MessageVerdict::Refuse(entry) => {
                let verdict = Verdict::Reply(Severity::Reject);
                let outcome = Outcome::new(verdict, reason, because);
                let reply = rules.message_refusal(&about, &evidence, entry, now);
                (outcome, reply)
            }
            MessageVerdict::Greylist(suspicion, _) => {
                let cases = request.open.iter().filter_map(|recipient| {
                    let attempt = Attempt {
                        recipient: Some(recipient),
                        ..*request.attempt
                    };
                    let case = policy::message_case(&attempt, &evidence, &rules, suspicion)?;
                    Some((attempt, case))
                });
                let cases: Vec<_> = cases.collect();
                let outcomes = self.commit_all(&cases, &context).await;
                self.combine(&cases, &outcomes, (&about, &evidence), &context)
            }
        };
        self.note_message(&outcome, &context);
        let score = evidence.score().cloned();
        let mut decision = MessageDecision {
            headers: effects.headers.clone(),
            report: effects.report.clone(),
            score,
            decision: decide(outcome, reply),
        };
        decision.decision.is_unlogged = effects.is_unlogged;
        let message = context.keys.map(|keys| keys.message);
        let attempt = (request.attempt, message);
        self.rule_state.apply(&rules, attempt, effects, now);
        decision
    }

    /// Plans, and looks up what the rules for messages need.
    async fn plan_message(
        &self,
        about: &MessageAttempt<'_>,
        evidence: &mut Evidence,
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) -> MessageOutcome {
        let lookups = self.lookups();
        let deadline = Instant::now() + lookups.timeout();
        for _ in 0..ROUNDS {
            match policy::plan_message(about, evidence, context.rules, trace) {
                MessagePlan::Settled(outcome) => return *outcome,
                MessagePlan::Ask(missing) => {
                    let findings = lookups.ask(&missing, deadline).await;
                    if findings.is_empty() {
                        break;
                    }
                    evidence.add(findings);
                }
            }
        }
        evidence.close();
        match policy::plan_message(about, evidence, context.rules, trace) {
            MessagePlan::Settled(outcome) => *outcome,
            // Nothing is missing in evidence that is closed.
            MessagePlan::Ask(_) => MessageOutcome {
                verdict: MessageVerdict::Pass,
                reason: Reason::NotSuspicious,
                because: Because::Request,
                effects: policy::chain::Effects::default(),
            },
        }
    }

    /// The outcome for the message: that of the first recipient that has to wait; else that of the first that has waited.
    fn combine(
        &self,
        cases: &[(Attempt<'_>, policy::Case)],
        outcomes: &[Outcome],
        (about, evidence): (&MessageAttempt<'_>, &Evidence),
        context: &Context<'_>,
    ) -> (Outcome, Reply) {
        let now = context.now;
        for ((attempt, case), outcome) in cases.iter().zip(outcomes) {
            self.last_clients.note(attempt, case, outcome);
        }
        let mut waiting = outcomes
            .iter()
            .filter(|outcome| outcome.verdict.is_refusal());
        if let Some(outcome) = waiting.next() {
            let reply = context
                .rules
                .message_deferral(about, evidence, outcome, now);
            return (*outcome, reply);
        }
        let has_waited =
            |outcome: &&Outcome| matches!(outcome.verdict, Verdict::PassWithHeader { .. });
        let first = outcomes.iter().find(has_waited).or(outcomes.first());
        let outcome = first.copied().unwrap_or(Outcome::new(
            Verdict::Pass,
            Reason::NoOpenRecipient,
            Because::Request,
        ));
        let reply = context.rules.reply(about.attempt, &outcome, now);
        (outcome, reply)
    }

    /// Counts what was decided on a message otherwise than on its recipients.
    fn note_message(&self, outcome: &Outcome, context: &Context<'_>) {
        if let Some(entry) = outcome.entry()
            && let Some(entry) = context.rules.entry(entry)
        {
            entry.hits.note(context.now);
        }
        if outcome.verdict.is_refusal() {
            self.stats.count(outcome);
        }
    }
}

impl MessageDecision {
    const fn plain(decision: Decision) -> Self {
        Self {
            decision,
            headers: Vec::new(),
            report: None,
            score: None,
        }
    }
}

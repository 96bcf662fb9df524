//! The path of a message through the service, at its end: rules for messages, and the records of those recipients that a
//! rule makes wait.
//!
//! Recipients that were accepted are covered or open. Covered ones have waited, or are exempt from waiting; open ones
//! have passed because nothing spoke against them. A rule that greylists a message looks at open ones only. As they
//! cannot be refused one by one any more, one that must wait defers the message for all.

use std::sync::Arc;

use tokio::time::Instant;

use super::internals::Inner;
use super::message_content::Content;
use super::message_findings::{cause, note_findings, note_steps, replied};
use super::message_rules::MessageRules;
use super::pipeline::{Context, Decision, Mode, PAUSED};
use super::stats::MessageEnd;
use crate::policy::body_matches::BodyMatches;
use crate::policy::chain::Effects;
use crate::policy::checks::{Findings, HeaderEdit, Settlement};
use crate::policy::message::Message;
use crate::policy::{
    self, Attempt, Because, EntryRef, Evidence, Finding, Lookup, MessageAttempt, MessageOutcome,
    MessagePlan, MessageVerdict, Outcome, ROUNDS, Reason, Severity, SpamScore, Stage, Step,
    Suspicion, Trace, Verdict,
};
use crate::types::{AddedHeader, HeaderText, Reply, ReplyText};

/// A message with its transaction.
#[derive(Debug, Clone, Copy)]
pub struct MessageRequest<'a> {
    /// What it is decided by.
    pub rules: &'a MessageRules,
    /// The transaction; without a recipient.
    pub attempt: &'a Attempt<'a>,
    /// The recipients that were accepted.
    pub recipients: &'a [&'a [u8]],
    /// Those of them that are open.
    pub open: &'a [&'a [u8]],
    /// The message.
    pub message: &'a Arc<Message>,
    /// Whether it comes from a user of one's own: it is scored only if rules need the score, which is not
    /// written into it.
    pub is_own: bool,
}

/// What becomes of a message that is not refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MessageFate {
    /// It is delivered.
    #[default]
    Delivered,
    /// It is thrown away.
    Discarded,
    /// It is held, for this reason.
    Held(ReplyText),
}

/// A decision about a message.
#[derive(Debug)]
pub struct MessageDecision {
    /// The decision.
    pub decision: Decision,
    /// What becomes of it if it is not refused.
    pub fate: MessageFate,
    /// Changes of its header that tables want.
    pub edits: Vec<HeaderEdit>,
    /// Fields that the header gets if the message passes.
    pub headers: Vec<AddedHeader>,
    /// The text of the header field about greylisting, if a rule has one of its own.
    pub report: Option<HeaderText>,
    /// What a spam filter says, if it was asked and has answered.
    pub score: Option<SpamScore>,
}

impl Inner {
    /// What a message that begins now is decided by.
    pub(crate) fn message_rules(&self) -> MessageRules {
        MessageRules {
            rules: self.live_rules.rules(),
            filter: self.spam_filter.read().clone(),
        }
    }

    /// Decides on a message, and notes the steps in `trace`. In look mode nothing is changed, counted or logged.
    pub(crate) async fn judge_message(
        &self,
        request: &MessageRequest<'_>,
        mode: Mode,
        trace: &mut (impl Trace + Send),
    ) -> MessageDecision {
        let (now, expiry) = self.state.time(self.clock.as_ref());
        let rules = Arc::clone(&request.rules.rules);
        if self.pause.is_on(now, expiry, self.clock.as_ref()) {
            if matches!(mode, Mode::Look { .. }) {
                self.note_pause(now, trace);
            }
            let decision = Decision::new(PAUSED, Reply::Continue, now, rules);
            return MessageDecision::plain(decision);
        }
        let context = Context {
            now,
            expiry,
            rules: &rules,
            keys: self.instance_cache.keys(request.attempt),
            mode,
        };
        let mut kept = Content::new(request.message, &self.message_memory);
        let (findings, in_body) = kept.examine(&rules, now).await;
        note_steps(&rules, &findings, trace);
        if mode == Mode::Commit {
            note_findings(&rules, &findings, request.attempt, now);
        }
        let asked = (request, &mut kept);
        let decided = self.decide_message(asked, (findings, in_body), &context, trace);
        let Decided {
            outcome,
            reply,
            effects,
            fate,
            edits,
            score,
        } = decided.await;
        let mut decision = MessageDecision {
            decision: Decision {
                is_unlogged: effects.is_unlogged,
                ..Decision::new(outcome, reply, now, Arc::clone(&rules))
            },
            fate,
            edits,
            headers: effects.headers.clone(),
            report: effects.report.clone(),
            score,
        };
        if let Some(score) = decision
            .score
            .as_ref()
            .filter(|_| request.rules.writes_score() && !request.is_own)
        {
            decision.headers.extend(score.headers());
        }
        if mode == Mode::Commit {
            self.note_message((&outcome, &decision.fate), &context);
            if kept.is_unsearched(request.rules.needs()) {
                self.stats.count_unsearched();
            }
            let message = context.keys.map(|keys| keys.message);
            let about = (&counted(request), message);
            self.rule_state.apply(&rules, about, effects, now);
        }
        decision
    }

    /// What tables, rules and records say. A table that settles the message has the only say.
    async fn decide_message(
        &self,
        (request, kept): (&MessageRequest<'_>, &mut Content<'_>),
        (findings, in_body): (Findings, Option<BodyMatches>),
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) -> Decided {
        let edits = findings.edits.into_iter().map(|(edit, _)| edit);
        let edits = edits.collect();
        let mut fate = MessageFate::Delivered;
        match findings.settled {
            Some((Settlement::Reply(code, text), entry)) => {
                return Decided::new(replied(&code, entry), Reply::Code(code, text));
            }
            Some((Settlement::Discard(_), entry)) => {
                let because = Because::Entry(entry);
                let outcome = Outcome::new(Verdict::Pass, Reason::MessageReply, because);
                return Decided {
                    fate: MessageFate::Discarded,
                    ..Decided::new(outcome, Reply::Continue)
                };
            }
            Some((Settlement::Hold(text), _)) => fate = MessageFate::Held(text),
            None => {}
        }
        let about = about(request, request.message);
        let mut evidence = self.evidence(&counted(request), context);
        evidence.body = in_body.map(Arc::new);
        self.ask_filter(request, (&about, &mut evidence), context, trace)
            .await;
        let planned = self.plan_message((request, kept), &mut evidence, context, trace);
        let planned = planned.await;
        kept.forget_decoded();
        let asked = (request, findings.greylists);
        let decided = self.judge_content(asked, (&about, &evidence), (planned, context), trace);
        let (outcome, reply, effects) = decided.await;
        Decided {
            effects,
            fate,
            edits,
            score: evidence.score().cloned(),
            ..Decided::new(outcome, reply)
        }
    }

    /// Asks what scores messages, if there is anything, and about mail of own users if a rule needs the score. Without
    /// lookups, spamd is not asked.
    async fn ask_filter(
        &self,
        request: &MessageRequest<'_>,
        (about, evidence): (&MessageAttempt<'_>, &mut Evidence),
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) {
        let is_asked = !request.is_own || context.rules.lists.chain.needs().score;
        if let Some(filter) = request.rules.filter.as_ref().filter(|_| is_asked) {
            let host = context.rules.texts.host();
            let finding =
                if context.mode == (Mode::Look { looks_up: false }) && filter.writes_headers() {
                    Finding::NoAnswer
                } else {
                    filter.score(about, host, context.now).await
                };
            evidence.add([(Lookup::Score, finding)]);
            let score = evidence.score();
            trace.note(Step::SpamScore(
                score.map(|score| score.score),
                score.and_then(|score| score.is_spam),
            ));
        }
        trace.keep();
    }

    /// What the rules for messages and the score say, and the records of those recipients that wait for it. A table that
    /// greylists has its say if no rule but the default has.
    async fn judge_content(
        &self,
        (request, by_table): (&MessageRequest<'_>, Option<EntryRef>),
        (about, evidence): (&MessageAttempt<'_>, &Evidence),
        (planned, context): (MessageOutcome, &Context<'_>),
        trace: &mut (impl Trace + Send),
    ) -> (Outcome, Reply, Effects) {
        let (rules, now) = (context.rules, context.now);
        let MessageOutcome {
            verdict,
            reason,
            because,
            effects,
            is_undecided,
        } = planned;
        let suspicion = match verdict {
            MessageVerdict::Refuse(entry) => {
                let verdict = Verdict::Reply(Severity::Reject);
                let outcome = Outcome::new(verdict, reason, because);
                let reply = rules.message_refusal(about, evidence, entry, now);
                return (outcome, reply, effects);
            }
            MessageVerdict::Greylist(suspicion, _) => Some(suspicion),
            MessageVerdict::Pass if is_undecided => by_table
                .filter(|_| about.has_open)
                .map(|entry| Suspicion::Message(entry, cause(entry))),
            MessageVerdict::Pass => None,
        };
        let Some(suspicion) = suspicion else {
            let outcome = Outcome::new(Verdict::Pass, reason, because);
            return (outcome, Reply::Continue, effects);
        };
        let cases = request.open.iter().filter_map(|recipient| {
            let attempt = Attempt {
                recipient: Some(recipient),
                stage: Stage::Recipient,
                ..*request.attempt
            };
            let case = policy::message_case(&attempt, evidence, rules, suspicion)?;
            Some((attempt, case))
        });
        let mut cases: Vec<_> = cases.collect();
        let outcomes = match context.mode {
            Mode::Commit => self.commit_all(&mut cases, context).await,
            Mode::Look { .. } => self.preview_all(&mut cases, context, trace).await,
        };
        let (outcome, reply) = self.combine(&cases, &outcomes, (about, evidence), context);
        (outcome, reply, effects)
    }

    /// Plans, and looks up what the rules for messages need.
    async fn plan_message(
        &self,
        (request, kept): (&MessageRequest<'_>, &mut Content<'_>),
        evidence: &mut Evidence,
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) -> MessageOutcome {
        let lookups = self.lookups();
        let mut deadline = Instant::now() + lookups.timeout();
        let mut rounds = 0..ROUNDS;
        loop {
            let about = about(request, kept.message());
            let planned = policy::plan_message(&about, evidence, context.rules, trace);
            kept.count();
            let missing = match planned {
                MessagePlan::Settled(outcome) => return *outcome,
                MessagePlan::Ask(missing) => missing,
            };
            // What is looked up may depend on what is in the body. The search takes no time from the lookups.
            let begun = Instant::now();
            if let Some(findings) = kept.search(&missing, context.now).await {
                evidence.add(findings);
                deadline += begun.elapsed();
                continue;
            }
            if evidence.is_closed() {
                // Nothing else is missing in evidence that is closed.
                return MessageOutcome {
                    verdict: MessageVerdict::Pass,
                    reason: Reason::NotSuspicious,
                    because: Because::Request,
                    effects: Effects::default(),
                    is_undecided: true,
                };
            }
            let findings = match (rounds.next(), context.mode) {
                (None, _) => Vec::new(),
                (Some(_), Mode::Look { looks_up: false }) => lookups.cached(&missing),
                (Some(_), Mode::Look { looks_up: true } | Mode::Commit) => {
                    lookups.ask(&missing, deadline).await
                }
            };
            if findings.is_empty() {
                evidence.close();
            } else {
                evidence.add(findings);
            }
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
        if context.mode == Mode::Commit {
            for ((attempt, case), outcome) in cases.iter().zip(outcomes) {
                self.last_clients.note(attempt, case, outcome);
            }
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
        let has_waited = |outcome: &&Outcome| outcome.verdict.has_waited();
        let first = outcomes.iter().find(has_waited).or(outcomes.first());
        let outcome = first.copied().unwrap_or(Outcome::new(
            Verdict::Pass,
            Reason::NoOpenRecipient,
            Because::Request,
        ));
        let reply = context.rules.reply(about.attempt, &outcome, now);
        (outcome, reply)
    }

    /// Counts a message, and the hit of the entry that has decided.
    fn note_message(&self, (outcome, fate): (&Outcome, &MessageFate), context: &Context<'_>) {
        if let Some(entry) = outcome.entry()
            && let Some(entry) = context.rules.entry(entry)
        {
            entry.hits.note(context.now);
        }
        self.stats.count_message(end(outcome, fate), outcome);
    }
}

/// What was decided on a message.
struct Decided {
    outcome: Outcome,
    reply: Reply,
    effects: Effects,
    fate: MessageFate,
    edits: Vec<HeaderEdit>,
    score: Option<SpamScore>,
}

impl Decided {
    fn new(outcome: Outcome, reply: Reply) -> Self {
        Self {
            outcome,
            reply,
            effects: Effects::default(),
            fate: MessageFate::Delivered,
            edits: Vec::new(),
            score: None,
        }
    }
}

impl MessageDecision {
    const fn plain(decision: Decision) -> Self {
        Self {
            decision,
            fate: MessageFate::Delivered,
            edits: Vec::new(),
            headers: Vec::new(),
            report: None,
            score: None,
        }
    }
}

/// The message of a request, as rules are asked about it.
fn about<'a>(request: &MessageRequest<'a>, message: &'a Message) -> MessageAttempt<'a> {
    MessageAttempt {
        attempt: request.attempt,
        recipients: request.recipients,
        has_open: !request.open.is_empty(),
        message,
    }
}

/// What became of a message.
pub(super) const fn end(outcome: &Outcome, fate: &MessageFate) -> MessageEnd {
    match (outcome.verdict, fate) {
        (Verdict::Reply(_) | Verdict::Unavailable, _) => MessageEnd::Refused,
        (verdict, _) if verdict.is_refusal() => MessageEnd::Greylisted,
        (_, MessageFate::Delivered) => MessageEnd::Passed,
        (_, MessageFate::Discarded) => MessageEnd::Discarded,
        (_, MessageFate::Held(_)) => MessageEnd::Held,
    }
}

/// The attempt whose keys rate limits count under: with its recipient if it has only one.
const fn counted<'a>(request: &MessageRequest<'a>) -> Attempt<'a> {
    let recipient: &[u8] = match request.recipients {
        [recipient] => recipient,
        _ => b"",
    };
    Attempt {
        recipient: Some(recipient),
        ..*request.attempt
    }
}

//! The way of a request through the service: one pipeline for decisions and for Explain. They differ in their [`Mode`]
//! and in who listens to the steps.
//!
//! # The order
//!
//! 1. a pause, or the same request of the same message: the reply is known
//! 2. [`policy::plan`]; if it lacks evidence, the records are looked at first, for known mail never waits for a
//!    lookup; else all that is missing is looked up at once, and it is planned again
//! 3. the records: [`Case::decide`] on the caller's own task; what must be durable before the reply is decided again
//!    by the writer thread, inside its transaction
//! 4. what follows from it: caches, counters, hits
//!
//! No lock and no place in the tarpit is held while anything is waited for.

use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::instance_cache::Keys;
use super::internals::Inner;
use super::sleeps::decide;
use super::state::CommitError;
use super::worker::{Message, PendingRequest, QUEUE};
use crate::policy::{
    self, Attempt, Because, Case, Evidence, Expiry, Facts, Lookup, OnStoreFailure, Outcome, Plan,
    ROUNDS, Reason, Ruleset, Session, SpfResult, Step, Trace, Verdict,
};
use crate::store::StoreError;
use crate::types::{Reply, Timestamp};

/// How long a request waits for its commit, in seconds. Postfix waits 100, or what main.cf says.
const COMMIT_SECONDS: u64 = 20;

/// The outcome of every request while greylisting is paused. Nothing is looked up or recorded for it.
const PAUSED: Outcome = Outcome::new(Verdict::Pass, Reason::Paused, Because::Request);

/// What becomes of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing: it changes and counts nothing. Lookups that are not in the cache are sent only if `looks_up`.
    Look {
        /// Whether to ask outside.
        looks_up: bool,
    },
    /// It is the reply of a mail server, and is recorded.
    Commit,
}

/// An answered question.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// The reply to the mail server.
    pub reply: Reply,
    /// The time it was decided at.
    pub now: Timestamp,
    /// The rules it was decided by.
    pub rules: Arc<Ruleset>,
    /// Whether the same question of the same message was answered before.
    pub is_repeat: bool,
    /// What SPF says, if it was asked.
    pub spf: Option<SpfResult>,
}

/// Passes the steps on, and keeps the result of SPF for the decision.
struct SpfTrace<'t, T> {
    steps: &'t mut T,
    spf: Option<SpfResult>,
}

impl<T: Trace> Trace for SpfTrace<'_, T> {
    fn restart(&mut self) {
        self.spf = None;
        self.steps.restart();
    }

    fn note(&mut self, step: Step) {
        if let Step::Spf(result) = step {
            self.spf = Some(result);
        }
        self.steps.note(step);
    }

    fn note_names(&mut self, case: &Case, found: Option<usize>) {
        self.steps.note_names(case, found);
    }
}

/// The time and the rules of a request, the same from its beginning to its end.
struct Context<'a> {
    now: Timestamp,
    expiry: Expiry,
    rules: &'a Arc<Ruleset>,
    keys: Option<Keys>,
    mode: Mode,
}

/// Whether this is a reason to pass that the records give alone, whatever is found outside. At DATA all pass.
const fn is_known(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ClientAwl
            | Reason::TripletFound
            | Reason::TarpitSurvived
            | Reason::EarlyData
            | Reason::NotTarpitted
    )
}

/// Whether the reply to a repeat is found by deciding again: it takes what only lookups or rules know.
const fn is_worded_anew(reason: Reason) -> bool {
    matches!(reason, Reason::DnsReject | Reason::RuleReject)
}

impl Inner {
    /// Decides. `now` is read from the clock unless it is given.
    pub(crate) async fn judge(
        &self,
        attempt: &Attempt<'_>,
        now: Option<Timestamp>,
        mode: Mode,
        steps: &mut (impl Trace + Send),
    ) -> Decision {
        let trace = &mut SpfTrace { steps, spf: None };
        // A jump of the clock is seen by the first decision after it, not by a later look.
        let (now, expiry) = match now {
            None => self.state.time(self.clock.as_ref()),
            Some(now) => (now, self.state.expiry()),
        };
        if self.live_rules.is_due(now) && expiry == Expiry::Applies {
            self.live_rules.expire(now);
        }
        let rules = self.live_rules.rules();
        if self.pause.is_on(now, expiry, self.clock.as_ref()) {
            return self.let_pass(now, rules, mode, trace);
        }
        let keys = self.instance_cache.keys(attempt);
        let cached = keys.and_then(|keys| self.instance_cache.cached_reply(keys, now));
        // The text of a refusal is made anew, of what the cache of lookups has and the rules say.
        let refused = cached.map(|outcome| outcome.reason);
        let refused = refused.filter(|reason| is_worded_anew(*reason));
        if let Some(outcome) = cached
            && refused.is_none()
        {
            return Decision {
                outcome,
                reply: rules.repeated_reply(attempt, &outcome, now),
                now,
                rules,
                is_repeat: true,
                spf: None,
            };
        }
        let context = Context {
            now,
            expiry,
            rules: &rules,
            keys,
            mode,
        };
        let (outcome, reply) = match self.plan(attempt, &context, trace).await {
            Plan::Settled(outcome) => (outcome, None),
            Plan::Replied(outcome, reply) => (outcome, Some(reply)),
            // Nothing is missing any more: evidence that was not found is closed.
            Plan::Ask(_, case) | Plan::Case(case) => {
                let decided = match mode {
                    Mode::Look { .. } => self.preview(&case, &context, trace),
                    Mode::Commit => self.commit(&case, &context).await,
                };
                let outcome = decided.unwrap_or_else(|_| policy::without_store(&case, &rules));
                if mode == Mode::Commit {
                    self.last_clients.note(attempt, &case, &outcome);
                }
                (outcome, None)
            }
        };
        let is_repeat = refused == Some(outcome.reason);
        if mode == Mode::Commit && !is_repeat {
            self.note(attempt, &outcome, &context);
        }
        Decision {
            outcome,
            reply: reply.unwrap_or_else(|| rules.reply(attempt, &outcome, now)),
            now,
            rules,
            is_repeat,
            spf: trace.spf,
        }
    }

    /// The decision during a pause.
    fn let_pass(
        &self,
        now: Timestamp,
        rules: Arc<Ruleset>,
        mode: Mode,
        trace: &mut impl Trace,
    ) -> Decision {
        match mode {
            Mode::Look { .. } => {
                let pause = self.pause.get_at(now, self.clock.since_boot());
                trace.note(Step::Paused(pause.and_then(|pause| pause.until)));
            }
            Mode::Commit => self.stats.count(&PAUSED),
        }
        Decision {
            outcome: PAUSED,
            reply: Reply::Continue,
            now,
            rules,
            is_repeat: false,
            spf: None,
        }
    }

    /// Plans, with the evidence that it takes. The records come first: known mail waits for no lookup.
    async fn plan(
        &self,
        attempt: &Attempt<'_>,
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) -> Plan {
        let evidence = self.evidence(context);
        let plan = policy::plan(attempt, &evidence, context.rules, trace);
        let Plan::Ask(lookups, case) = plan else {
            return plan;
        };
        let asked = (lookups, evidence);
        match self.look(&case, context, &mut ()) {
            // A record that goes before the commit makes its client wait once, without having been looked up.
            Ok(outcome) if is_known(outcome.reason) && !case.may_refuse => return Plan::Case(case),
            // Everybody passes, whatever the evidence.
            Err(_)
                if context.rules.params.on_store_failure == OnStoreFailure::Pass
                    || case.triplet.is_none() =>
            {
                return Plan::Settled(policy::without_store(&case, context.rules));
            }
            // Known mail cannot be told from unknown: nobody is refused.
            Err(_) => {
                let plan = Box::pin(self.look_up(attempt, asked, context, trace)).await;
                return match plan {
                    Plan::Replied(outcome, _) if outcome.reason == Reason::DnsReject => {
                        Plan::Settled(policy::without_store(&case, context.rules))
                    }
                    plan @ (Plan::Settled(_)
                    | Plan::Replied(..)
                    | Plan::Ask(..)
                    | Plan::Case(_)) => plan,
                };
            }
            Ok(_) => {}
        }
        // On the heap, so that a connection's task does not grow.
        Box::pin(self.look_up(attempt, asked, context, trace)).await
    }

    /// What is known before anything is looked up: as far as rules ask for it, the time of the day, and which rule has
    /// let an earlier recipient of the message pass.
    fn evidence(&self, context: &Context<'_>) -> Evidence {
        let chain = &context.rules.lists.chain;
        let mut evidence = Evidence::default();
        if chain.asks_time() {
            evidence.time = context.rules.texts.local_time(context.now);
        }
        if chain.is_sticky()
            && let Some(keys) = context.keys
        {
            let state = self.instance_cache.message_state(keys, context.now);
            evidence.earlier_pass = state.passed_by;
        }
        evidence
    }

    /// Looks up what is missing, until the plan lacks nothing, the rounds are over, or the deadline has come.
    async fn look_up(
        &self,
        attempt: &Attempt<'_>,
        (mut missing, mut evidence): (Vec<Lookup>, Evidence),
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) -> Plan {
        let lookups = self.lookups();
        let deadline = Instant::now() + lookups.timeout();
        for _ in 0..ROUNDS {
            let findings = match context.mode {
                Mode::Look { looks_up: false } => lookups.cached(&missing),
                Mode::Look { looks_up: true } | Mode::Commit => {
                    lookups.ask(&missing, deadline).await
                }
            };
            // What was found may lead to more; what was not, is missing.
            if findings.is_empty() {
                break;
            }
            evidence.add(findings);
            match policy::plan(attempt, &evidence, context.rules, trace) {
                Plan::Ask(more, _) => missing = more,
                plan @ (Plan::Settled(_) | Plan::Replied(..) | Plan::Case(_)) => return plan,
            }
        }
        evidence.close();
        policy::plan(attempt, &evidence, context.rules, trace)
    }

    /// Decides on the records and changes nothing.
    fn look(
        &self,
        case: &Case,
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Result<Outcome, CommitError> {
        let session = self.session(context);
        let mut stored = self.stored(case)?;
        self.write_behind.merge_into(case, &mut stored);
        let facts = case.facts(&stored, session, &context.rules.params);
        Ok(case.decide(&facts, session, context.rules, trace))
    }

    /// What would be answered to a mail server.
    fn preview(
        &self,
        case: &Case,
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Result<Outcome, CommitError> {
        let outcome = self.look(case, context, trace)?;
        // What cannot be stored cannot be durable before the reply.
        if outcome.changes.durable && (self.state.trouble().is_some() || self.state.is_stalled()) {
            return Err(CommitError::Closed);
        }
        Ok(outcome)
    }

    /// The records that are stored. A failure is reported to the writer thread.
    fn stored(&self, case: &Case) -> Result<Facts, CommitError> {
        self.state
            .read(|reader| reader.facts(case))
            .map_err(|error| {
                if !matches!(error, StoreError::Closed) {
                    // A full queue means that the worker has trouble of its own.
                    drop(self.queue.try_send(Message::ReadFailed(error)));
                }
                CommitError::Closed
            })
    }

    /// What is known of this message besides the records.
    fn session(&self, context: &Context<'_>) -> Session {
        let state = context
            .keys
            .map(|keys| self.instance_cache.message_state(keys, context.now))
            .unwrap_or_default();
        Session {
            header_given: state.header,
            tarpitted: state.sleep,
            is_known: state.known_triplet,
            has_room: self.sleeps.has_room(&context.rules.params, context.now),
            now: context.now,
            expiry: context.expiry,
        }
    }

    /// Decides on the records, and has what must be durable written.
    async fn commit(&self, case: &Case, context: &Context<'_>) -> Result<Outcome, CommitError> {
        let (now, rules) = (context.now, context.rules);
        let session = self.session(context);
        let mut stored = self.stored(case)?;
        let mut place = None;
        let outcome = self.write_behind.decide(case, &mut stored, |stored| {
            let facts = case.facts(stored, session, &rules.params);
            let sleeps = &self.sleeps;
            let (outcome, reserved) = decide((case, &facts), session, rules, sleeps, &mut ());
            place = reserved;
            outcome
        });
        if outcome.changes.durable {
            // The writer thread reserves a place when it has decided.
            drop(place);
            return self.ask_writer(case, session, context).await;
        }
        if let Some(place) = place {
            place.settle(&outcome, now);
        }
        Ok(outcome)
    }

    /// Decides once more, on the writer thread, inside its transaction.
    async fn ask_writer(
        &self,
        case: &Case,
        session: Session,
        context: &Context<'_>,
    ) -> Result<Outcome, CommitError> {
        if self.state.is_stalled() {
            return Err(CommitError::Slow(COMMIT_SECONDS));
        }
        let (answer, answered) = oneshot::channel();
        let request = Box::new(PendingRequest {
            case: case.clone(),
            session,
            rules: Arc::clone(context.rules),
            answer,
        });
        match self.queue.try_send(Message::PendingRequest(request)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                let error = CommitError::Busy(QUEUE);
                self.state.stall(&error);
                return Err(error);
            }
            Err(TrySendError::Disconnected(_)) => return Err(CommitError::Closed),
        }
        let patience = Duration::from_secs(COMMIT_SECONDS);
        if let Ok(outcome) = tokio::time::timeout(patience, answered).await {
            return outcome.map_err(|_| CommitError::Closed);
        }
        let error = CommitError::Slow(COMMIT_SECONDS);
        self.state.stall(&error);
        Err(error)
    }

    /// What follows from a decision besides records: the instance cache, hits, counters.
    fn note(&self, attempt: &Attempt<'_>, outcome: &Outcome, context: &Context<'_>) {
        let (now, rules) = (context.now, context.rules);
        if let Some(keys) = context.keys
            && outcome.reason != Reason::StoreFailure
        {
            self.instance_cache
                .remember(keys, outcome, now, &rules.params);
        }
        if let Some(entry) = outcome.entry()
            && let Some(entry) = rules.entry(entry)
        {
            entry.hits.note(now);
        }
        self.stats.count(outcome);
        self.sleeps.watch(&rules.params, attempt.stage, outcome);
    }
}

//! The path of a request through the service: one pipeline for decisions and for Explain, which differ in their
//! [`Mode`] and their [`Trace`].
//!
//! # The order
//!
//! 1. a pause, or a repeated request of the same message: the reply is known
//! 2. [`policy::plan`]; if evidence is missing, the records are read first, because known mail never waits for a
//!    lookup; else all missing evidence is looked up at once, and the plan is repeated
//! 3. the records: [`Case::decide`] on the caller's task; a change that must be durable before the reply is decided
//!    again by the writer thread, inside its transaction
//! 4. caches, counters and hits
//!
//! No lock and no place in the tarpit is held across an await.

use std::sync::Arc;

use tokio::time::Instant;

use super::instance_cache::Keys;
use super::internals::Inner;
use super::sharing::waits;
use super::state::CommitError;
use super::worker::Message;
use crate::policy::chain::Effects;
use crate::policy::{
    self, Attempt, Because, Case, ClientKey, Evidence, Expiry, Lookup, OnStoreFailure, Outcome,
    Plan, ROUNDS, Reason, Ruleset, Session, SpfResult, Stage, Step, StoredRecords, Trace, Verdict,
};
use crate::store::StoreError;
use crate::types::{AddedHeader, ClientIp, HeaderText, Reply, Timestamp};

/// The outcome of every request while greylisting is paused. Nothing is looked up or recorded for it.
pub(super) const PAUSED: Outcome = Outcome::new(Verdict::Pass, Reason::Paused, Because::Request);

/// What to do with a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Return it; nothing is changed or counted. Lookups that are not in the cache are sent only if `looks_up`.
    Look {
        /// Whether to send lookups.
        looks_up: bool,
    },
    /// Record and count it: it is a reply to a mail server.
    Commit,
}

/// What a decision is based on, where that is not what holds at its beginning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Basis {
    /// Its time, if it is not that of the clock.
    pub(crate) now: Option<Timestamp>,
    /// The rules, if they are not the active ones: those of a message that began before.
    pub(crate) rules: Option<Arc<Ruleset>>,
}

/// A decided request.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The outcome.
    pub outcome: Outcome,
    /// The reply to the mail server.
    pub reply: Reply,
    /// The time of the decision.
    pub now: Timestamp,
    /// The rules of the decision.
    pub rules: Arc<Ruleset>,
    /// Whether the request was a repeated one of the same message.
    pub is_repeat: bool,
    /// The result of SPF, if it was evaluated.
    pub spf: Option<SpfResult>,
    /// The other host whose record has decided.
    pub host: Option<Arc<str>>,
    /// How many DNS lists have not replied, or with an error code.
    pub silent_lists: u32,
    /// Fields that the header of the message gets, if it passes.
    pub headers: Vec<AddedHeader>,
    /// The text of the header field about greylisting, if a rule has one of its own.
    pub report: Option<HeaderText>,
    /// Whether a rule keeps the decision out of the log.
    pub is_unlogged: bool,
    /// Whether the recipient has passed because nothing spoke against it, so that a rule for messages may greylist it.
    /// All others have waited, or are exempt.
    pub is_open: bool,
}

/// Whether a recipient with this outcome is open.
fn is_open(outcome: &Outcome, rules: &Ruleset) -> bool {
    let fallback = || rules.lists.chain.fallback();
    match (outcome.reason, outcome.because) {
        (Reason::NotSuspicious, _) => true,
        (Reason::RulePass, Because::Entry(entry)) => {
            fallback().is_some_and(|(_, number)| number == Some(entry.number))
        }
        _ => false,
    }
}

impl Decision {
    /// A decision, without what is known besides.
    pub(super) const fn new(
        outcome: Outcome,
        reply: Reply,
        now: Timestamp,
        rules: Arc<Ruleset>,
    ) -> Self {
        Self {
            outcome,
            reply,
            now,
            rules,
            is_repeat: false,
            spf: None,
            host: None,
            silent_lists: 0,
            headers: Vec::new(),
            report: None,
            is_unlogged: false,
            is_open: false,
        }
    }
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

    fn wants_clauses(&self) -> bool {
        self.steps.wants_clauses()
    }

    fn note_effects(&mut self, effects: Effects) {
        self.steps.note_effects(effects);
    }

    fn note_names(&mut self, case: &Case, found: Option<usize>) {
        self.steps.note_names(case, found);
    }

    fn keep(&mut self) {
        self.steps.keep();
    }
}

/// The time and the rules of a request, fixed at its beginning.
pub(super) struct Context<'a> {
    pub(super) now: Timestamp,
    pub(super) expiry: Expiry,
    pub(super) rules: &'a Arc<Ruleset>,
    pub(super) keys: Option<Keys>,
    pub(super) mode: Mode,
}

/// Whether this is a reason to pass that depends on the records only, not on evidence. At DATA all requests pass.
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

/// Whether the reply to a repeat is found by deciding again: it takes what only lookups know.
const fn is_worded_anew(reason: Reason) -> bool {
    matches!(reason, Reason::DnsReject)
}

impl Inner {
    /// Decides an attempt.
    pub(crate) async fn judge(
        &self,
        attempt: &Attempt<'_>,
        basis: Basis,
        mode: Mode,
        steps: &mut (impl Trace + Send),
    ) -> Decision {
        let trace = &mut SpfTrace { steps, spf: None };
        // The first decision after a jump of the clock must detect it.
        let (now, expiry) = match basis.now {
            None => self.state.time(self.clock.as_ref()),
            Some(now) => (now, self.state.expiry()),
        };
        if self.live_rules.is_due(now) && expiry == Expiry::Applies {
            self.live_rules.expire(now);
        }
        let rules = basis.rules.unwrap_or_else(|| self.live_rules.rules());
        if self.pause.is_on(now, expiry, self.clock.as_ref()) {
            return self.let_pass(now, rules, mode, trace);
        }
        let keys = self.instance_cache.keys(attempt);
        let cached = keys.and_then(|keys| self.instance_cache.cached_reply(keys, now));
        // The text of a refusal by DNS lists is made anew, of what the cache of lookups has.
        let refused = cached.map(|(outcome, _)| outcome.reason);
        let refused = refused.filter(|reason| is_worded_anew(*reason));
        if let Some((outcome, is_open)) = cached
            && refused.is_none()
        {
            let reply = rules.repeated_reply(attempt, &outcome, now);
            return Decision {
                is_repeat: true,
                is_open,
                host: self.publisher(&outcome),
                ..Decision::new(outcome, reply, now, rules)
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
            // After `look_up`, no evidence is missing: it was closed.
            Plan::Ask(_, mut case) | Plan::Case(mut case) => {
                let decided = match mode {
                    Mode::Look { .. } => {
                        case = self.with_shared(case, &context).await;
                        self.preview((&case, self.session(&context)), &context, trace)
                    }
                    Mode::Commit => self.commit(&mut case, &context).await,
                };
                let outcome = decided.unwrap_or_else(|_| policy::without_store(&case, &rules));
                if mode == Mode::Commit {
                    self.last_clients.note(attempt, &case, &outcome);
                }
                (outcome, None)
            }
        };
        let host = self.publisher(&outcome);
        let is_repeat = refused == Some(outcome.reason);
        if mode == Mode::Commit && !is_repeat {
            self.note(attempt, &outcome, &context);
        }
        let reply = reply.unwrap_or_else(|| rules.reply(attempt, &outcome, now));
        Decision {
            is_open: is_open(&outcome, &rules),
            is_repeat,
            spf: trace.spf,
            host,
            ..Decision::new(outcome, reply, now, rules)
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
            Mode::Look { .. } => self.note_pause(now, trace),
            Mode::Commit => self.stats.count(&PAUSED),
        }
        Decision::new(PAUSED, Reply::Continue, now, rules)
    }

    /// Notes the pause.
    pub(super) fn note_pause(&self, now: Timestamp, trace: &mut impl Trace) {
        let pause = self.pause.get_at(now, self.clock.since_boot());
        trace.note(Step::Paused(pause.and_then(|pause| pause.until)));
    }

    /// The case with what other hosts know, if it would wait without that.
    pub(super) async fn with_shared(&self, mut case: Case, context: &Context<'_>) -> Case {
        let asks = context.mode != Mode::Look { looks_up: false };
        if let Some(shared) = self.shared.get().filter(|_| asks)
            && (self.look((&case, self.session(context)), context, &mut ()))
                .is_ok_and(|outcome| waits(outcome.verdict))
        {
            // On the heap, so that a connection's task does not grow.
            case.shared = Box::pin(shared.ask(&case)).await;
        }
        case
    }

    /// Plans, with the evidence it needs. The records are read first, so that known mail does not wait for a lookup.
    async fn plan(
        &self,
        attempt: &Attempt<'_>,
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) -> Plan {
        let evidence = self.evidence(attempt, context);
        let plan = policy::plan(attempt, &evidence, context.rules, trace);
        let Plan::Ask(lookups, case) = plan else {
            return plan;
        };
        let asked = (lookups, evidence);
        match self.look((&case, self.session(context)), context, &mut ()) {
            // If the record expires before the commit, the client is deferred once, without lookups.
            Ok(outcome) if is_known(outcome.reason) && !case.asks_known => return Plan::Case(case),
            // All requests pass, whatever the evidence.
            Err(_)
                if context.rules.params.on_store_failure == OnStoreFailure::Pass
                    || case.triplet.is_none() =>
            {
                return Plan::Settled(policy::without_store(&case, context.rules));
            }
            // Known mail cannot be distinguished from unknown mail, so nothing is rejected.
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

    /// What is known before anything is looked up, as far as rules ask for it: the time of the day, what has been counted,
    /// and what earlier recipients of the message have left.
    pub(super) fn evidence(&self, attempt: &Attempt<'_>, context: &Context<'_>) -> Evidence {
        let chain = &context.rules.lists.chain;
        let mut evidence = Evidence::default();
        evidence.now = Some(context.now);
        if !chain.rates().is_empty() {
            evidence.rates = self.rule_state.counts(chain, attempt, context.now);
        }
        if self.rule_state.has_properties()
            && let Some(keys) = context.keys
        {
            evidence.properties = self.rule_state.properties(keys.message, context.now);
        }
        if chain.asks_time() {
            evidence.time = context.rules.texts.local_time(context.now);
        }
        if chain.bounds().is_targrey && attempt.stage == Stage::Recipient {
            evidence.has_hung_up = Some(self.has_hung_up(attempt, context));
        }
        evidence
    }

    /// Whether the client has hung up in its last sleep. One that has slept for this message is still there, and while
    /// the store is unavailable nobody counts as gone.
    fn has_hung_up(&self, attempt: &Attempt<'_>, context: &Context<'_>) -> bool {
        let Some(client) = attempt.client_address.and_then(ClientIp::parse) else {
            return false;
        };
        let session = self.session(context);
        if session.tarpitted.is_some() {
            return false;
        }
        let case = Case {
            sleep: Some(ClientKey::of_address(client)),
            ..Case::of(None, None)
        };
        self.stored(&case)
            .map(|stored| case.facts(&stored, session, &context.rules.params))
            .is_ok_and(|facts| facts.has_hung_up(context.now))
    }

    /// Looks up the missing evidence until the plan is complete, the rounds are used up, or the deadline has passed.
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
            // New findings may need more evidence; without any, nothing changes.
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
        (case, session): (&Case, Session),
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Result<Outcome, CommitError> {
        let mut stored = self.stored(case)?;
        self.write_behind.merge_into(case, &mut stored);
        let facts = case.facts(&stored, session, &context.rules.params);
        Ok(case.decide(&facts, session, context.rules, trace))
    }

    /// The outcome for a mail server, without committing it.
    pub(super) fn preview(
        &self,
        (case, session): (&Case, Session),
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Result<Outcome, CommitError> {
        let outcome = self.look((case, session), context, trace)?;
        // A change that cannot be stored cannot be durable before the reply.
        if outcome.changes.durable && (self.state.failure().is_some() || self.state.is_stalled()) {
            return Err(CommitError::Closed);
        }
        Ok(outcome)
    }

    /// The stored records. A failure is reported to the writer thread.
    pub(super) fn stored(&self, case: &Case) -> Result<StoredRecords, CommitError> {
        self.state
            .read(|reader| reader.facts(case))
            .map_err(|error| {
                if !matches!(error, StoreError::Closed) {
                    // If the queue is full, the writer thread has noticed the failure itself.
                    drop(self.queue.try_send(Message::ReadFailed(error)));
                }
                CommitError::Closed
            })
    }

    /// What is known of this message apart from the records.
    pub(super) fn session(&self, context: &Context<'_>) -> Session {
        let state = context
            .keys
            .map(|keys| self.instance_cache.message_state(keys, context.now))
            .unwrap_or_default();
        Session {
            header_given: state.header,
            tarpitted: state.sleep,
            is_known: state.known_triplet,
            is_exempt: state.exempt,
            is_at_end: false,
            has_room: self.sleeps.has_room(context.rules, context.now),
            now: context.now,
            expiry: context.expiry,
        }
    }

    /// Updates the instance cache, hits and counters after a decision.
    fn note(&self, attempt: &Attempt<'_>, outcome: &Outcome, context: &Context<'_>) {
        let (now, rules) = (context.now, context.rules);
        if let Some(keys) = context.keys
            && outcome.reason != Reason::StoreFailure
        {
            self.instance_cache
                .remember(keys, (outcome, is_open(outcome, rules)), now, rules);
        }
        if let Some(entry) = outcome.entry()
            && let Some(entry) = rules.entry(entry)
        {
            entry.hits.note(now);
        }
        self.stats.count(outcome);
        self.sleeps.watch(rules, attempt.stage, outcome);
    }
}

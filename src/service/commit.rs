//! Decisions on records, committed: by the caller if nothing must be durable before the reply, else by the writer thread.

use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::internals::Inner;
use super::pipeline::Context;
use super::sharing::waits;
use super::sleeps::decide;
use super::state::CommitError;
use super::worker::{Message, PendingRequest, QUEUE};
use crate::policy::{self, Attempt, Case, Changes, Outcome, Session, StoredRecords, Trace};

/// How long a request waits for its commit, in seconds. Postfix's timeout is 100 s by default.
const COMMIT_SECONDS: u64 = 20;

/// The answer of the writer thread.
type Answered = oneshot::Receiver<Outcome>;

/// A decision on the records.
enum Commit {
    /// It is made.
    Done(Outcome),
    /// The writer thread makes it. The records are those before it.
    Asked(Answered, Box<StoredRecords>),
}

/// What is known of a message apart from the records, when a decision on them begins.
type SessionOf = fn(&Inner, &Context<'_>) -> Session;

/// The end of a wait that begins now.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(COMMIT_SECONDS)
}

impl Inner {
    /// Decides on the records, and writes durable changes before returning. If the mail would have to wait, the case gets
    /// what other hosts know, and it is decided again.
    pub(super) async fn commit(
        &self,
        case: &mut Case,
        context: &Context<'_>,
    ) -> Result<Outcome, CommitError> {
        let begun = self.begin(case, Self::session, None, context).await?;
        self.ended(case, begun, deadline()).await
    }

    /// Begins a decision on the records. If the mail would have to wait by those of this host, the case gets what other hosts
    /// know, unless the time to ask them is over, and it is decided again.
    async fn begin(
        &self,
        case: &mut Case,
        session: SessionOf,
        until: Option<Instant>,
        context: &Context<'_>,
    ) -> Result<Commit, CommitError> {
        if let Some(shared) = self.shared.get()
            && until.is_none_or(|until| Instant::now() < until)
        {
            if let Some(begun) = self.begin_pass(case, session(self, context), context)? {
                return Ok(begun);
            }
            // On the heap, so that a connection's task does not grow.
            case.shared = Box::pin(shared.ask(case)).await;
        }
        self.begin_commit(case, session(self, context), context)
    }

    /// Decides on the records of this host alone, if the mail passes by them: it reads them once, as without other hosts.
    /// `None` if the mail would have to wait; nothing is changed then.
    fn begin_pass(
        &self,
        case: &Case,
        session: Session,
        context: &Context<'_>,
    ) -> Result<Option<Commit>, CommitError> {
        let rules = context.rules;
        let mut stored = self.stored(case)?;
        let mut has_passed = true;
        let outcome = self.write_behind.decide(case, &mut stored, |stored| {
            let facts = case.facts(stored, session, &rules.params);
            let outcome = case.decide(&facts, session, rules, &mut ());
            has_passed = !waits(outcome.verdict);
            let changes = if has_passed {
                outcome.changes
            } else {
                Changes::NONE
            };
            Outcome { changes, ..outcome }
        });
        if !has_passed {
            return Ok(None);
        }
        self.begun(case, (stored, outcome), session, context)
            .map(Some)
    }

    /// Decides on the records of all recipients of a message, as [`commit`](Self::commit) does on those of one. What must be
    /// durable is handed to the writer thread at once, before any of its answers is waited for.
    pub(super) async fn commit_all(
        &self,
        cases: &mut [(Attempt<'_>, Case)],
        until: Instant,
        context: &Context<'_>,
    ) -> Vec<Outcome> {
        let mut begun = Vec::with_capacity(cases.len());
        for (_, case) in &mut *cases {
            let until = Some(until);
            begun.push(self.begin(case, Self::session_at_end, until, context).await);
        }
        // One for all: on a stalled disk each would wait for its end.
        let deadline = deadline();
        let mut outcomes = Vec::with_capacity(cases.len());
        for ((_, case), begun) in cases.iter().zip(begun) {
            let decided = match begun {
                Ok(begun) => self.ended(case, begun, deadline).await,
                Err(error) => Err(error),
            };
            let without = |_| policy::without_store(case, context.rules);
            outcomes.push(decided.unwrap_or_else(without));
        }
        outcomes
    }

    /// What [`commit_all`](Self::commit_all) would decide.
    pub(super) fn preview_all(
        &self,
        cases: &[(Attempt<'_>, Case)],
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Vec<Outcome> {
        let session = self.session_at_end(context);
        let outcomes = cases.iter().map(|(_, case)| {
            let previewed = self.preview((case, session), context, trace);
            previewed.unwrap_or_else(|_| policy::without_store(case, context.rules))
        });
        outcomes.collect()
    }

    /// What is known at the end of a message apart from the records: there is no reply to RCPT any more that could be
    /// delayed.
    fn session_at_end(&self, context: &Context<'_>) -> Session {
        Session {
            is_at_end: true,
            has_room: false,
            ..self.session(context)
        }
    }

    /// Decides on the records. If a change must be durable, the writer thread is asked.
    fn begin_commit(
        &self,
        case: &Case,
        session: Session,
        context: &Context<'_>,
    ) -> Result<Commit, CommitError> {
        let (now, rules) = (context.now, context.rules);
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
            // The writer thread reserves a place itself.
            place = None;
        }
        let begun = self.begun(case, (stored, outcome), session, context)?;
        if let Some(place) = place {
            place.settle(&outcome, now);
        }
        Ok(begun)
    }

    /// Begins what follows a decision: the writer thread is asked if a change must be durable; otherwise other hosts are told.
    fn begun(
        &self,
        case: &Case,
        (stored, outcome): (StoredRecords, Outcome),
        session: Session,
        context: &Context<'_>,
    ) -> Result<Commit, CommitError> {
        if outcome.changes.durable {
            let answered = self.ask_writer(case, session, context)?;
            return Ok(Commit::Asked(answered, Box::new(stored)));
        }
        self.publish(case, &stored, &outcome);
        Ok(Commit::Done(outcome))
    }

    /// Makes the writer thread decide again, inside its transaction.
    fn ask_writer(
        &self,
        case: &Case,
        session: Session,
        context: &Context<'_>,
    ) -> Result<Answered, CommitError> {
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
        Ok(answered)
    }

    /// The outcome, when the writer thread has made it, if it is asked.
    async fn ended(
        &self,
        case: &Case,
        begun: Commit,
        deadline: Instant,
    ) -> Result<Outcome, CommitError> {
        match begun {
            Commit::Done(outcome) => Ok(outcome),
            Commit::Asked(answered, stored) => {
                self.committed((case, &stored), answered, deadline).await
            }
        }
    }

    /// Waits for the writer thread.
    async fn committed(
        &self,
        (case, stored): (&Case, &StoredRecords),
        answered: Answered,
        deadline: Instant,
    ) -> Result<Outcome, CommitError> {
        if let Ok(outcome) = tokio::time::timeout_at(deadline, answered).await {
            let outcome = outcome.map_err(|_| CommitError::Closed)?;
            self.publish(case, stored, &outcome);
            return Ok(outcome);
        }
        let error = CommitError::Slow(COMMIT_SECONDS);
        self.state.stall(&error);
        Err(error)
    }
}

//! Decisions on records, committed: by the caller if nothing must be durable before the reply, else by the writer thread.

use std::iter;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::internals::Inner;
use super::pipeline::{Context, Mode};
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
        let mut pending = Vec::new();
        let mut passed = None;
        if let Some(shared) = self.shared.get() {
            passed = self.begin_pass(case, self.session(context), &mut pending, context)?;
            if passed.is_none() {
                // On the heap, so that a connection's task does not grow.
                case.shared = Box::pin(shared.ask(case)).await;
            }
        }
        let begun = match passed {
            Some(begun) => begun,
            None => self.begin_commit(case, self.session(context), &mut pending, context)?,
        };
        self.submit(pending)?;
        self.ended(case, begun, deadline()).await
    }

    /// Decides on the records of this host alone, if the mail passes by them: it reads them once, as without other hosts.
    /// `None` if the mail would have to wait; nothing is changed then.
    fn begin_pass(
        &self,
        case: &Case,
        session: Session,
        pending: &mut Vec<PendingRequest>,
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
        self.begun(case, (stored, outcome), (session, pending), context)
            .map(Some)
    }

    /// Decides on the records of all recipients of a message, as [`commit`](Self::commit) does on those of one: other hosts
    /// are asked about all together, and what must be durable is written in one transaction.
    pub(super) async fn commit_all(
        &self,
        cases: &mut [(Attempt<'_>, Case)],
        context: &Context<'_>,
    ) -> Vec<Outcome> {
        let session = self.session_at_end(context);
        let mut pending = Vec::new();
        let mut passed: Vec<Option<Result<Commit, CommitError>>> = Vec::new();
        if self.shared.get().is_some() {
            let all = cases.iter();
            passed.extend(all.map(|(_, case)| {
                self.begin_pass(case, session, &mut pending, context)
                    .transpose()
            }));
            let waiting = cases.iter_mut().zip(&passed);
            let waiting = waiting.filter(|(_, passed)| passed.is_none());
            self.learn_all(waiting.map(|((_, case), _)| case).collect())
                .await;
        }
        let passed = passed.into_iter().chain(iter::repeat_with(|| None));
        let begun = cases.iter().zip(passed).map(|((_, case), passed)| {
            passed.unwrap_or_else(|| self.begin_commit(case, session, &mut pending, context))
        });
        let begun: Vec<_> = begun.collect();
        // An answer that nobody was asked for does not come, which is as if the store had failed.
        if let Err(error) = self.submit(pending) {
            log::debug!("the end of a message: {error}");
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

    /// Adds to these cases what other hosts know, if there are any.
    async fn learn_all(&self, mut cases: Vec<&mut Case>) {
        let Some(shared) = self.shared.get().filter(|_| !cases.is_empty()) else {
            return;
        };
        let asked: Vec<&Case> = cases.iter().map(|case| &**case).collect();
        // On the heap, so that a connection's task does not grow.
        let known = Box::pin(shared.ask_all(&asked)).await;
        for (case, known) in cases.iter_mut().zip(known) {
            case.shared = known;
        }
    }

    /// What [`commit_all`](Self::commit_all) would decide. Other hosts are asked only if lookups are sent.
    pub(super) async fn preview_all(
        &self,
        cases: &mut [(Attempt<'_>, Case)],
        context: &Context<'_>,
        trace: &mut (impl Trace + Send),
    ) -> Vec<Outcome> {
        let session = self.session_at_end(context);
        if context.mode == (Mode::Look { looks_up: true }) {
            let all = cases.iter_mut().map(|(_, case)| case);
            let waiting = all.filter(|case| {
                let previewed = self.preview((case, session), context, &mut ());
                previewed.is_ok_and(|outcome| waits(outcome.verdict))
            });
            self.learn_all(waiting.collect()).await;
        }
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
        pending: &mut Vec<PendingRequest>,
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
        let begun = self.begun(case, (stored, outcome), (session, pending), context)?;
        if let Some(place) = place {
            place.settle(&outcome, now);
        }
        Ok(begun)
    }

    /// Begins what follows a decision: if a change must be durable, a request to the writer thread, which decides again inside
    /// its transaction, is added to those that are `pending`; otherwise other hosts are told.
    fn begun(
        &self,
        case: &Case,
        (stored, outcome): (StoredRecords, Outcome),
        (session, pending): (Session, &mut Vec<PendingRequest>),
        context: &Context<'_>,
    ) -> Result<Commit, CommitError> {
        if !outcome.changes.durable {
            self.publish(case, &stored, &outcome);
            return Ok(Commit::Done(outcome));
        }
        if self.state.is_stalled() {
            return Err(CommitError::Slow(COMMIT_SECONDS));
        }
        let (answer, answered) = oneshot::channel();
        pending.push(PendingRequest {
            case: case.clone(),
            session,
            rules: Arc::clone(context.rules),
            answer,
        });
        Ok(Commit::Asked(answered, Box::new(stored)))
    }

    /// Hands requests to the writer thread, which commits them together.
    fn submit(&self, pending: Vec<PendingRequest>) -> Result<(), CommitError> {
        if pending.is_empty() {
            return Ok(());
        }
        match self.queue.try_send(Message::PendingRequests(pending)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                let error = CommitError::Busy(QUEUE);
                self.state.stall(&error);
                Err(error)
            }
            Err(TrySendError::Disconnected(_)) => Err(CommitError::Closed),
        }
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

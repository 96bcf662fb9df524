//! The gate: what front ends ask.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::{Clock, ClockGuard};
use super::instance_cache::{InstanceCache, Keys, MessageState};
use super::last_clients::LastClients;
use super::live_rules::LiveRules;
use super::pause::PauseSwitch;
use super::sleeps::Sleeps;
use super::state::{Status, StoreState};
use super::stats::Stats;
use super::worker::{Message, PendingRequest, Progress, Pulse, Shared, Worker};
use super::write_behind::WriteBehind;
use crate::policy::{
    self, Attempt, Because, Case, Expiry, Lists, Outcome, Pause, Plan, Reason, Ruleset, Session,
    Verdict,
};
use crate::store::{Opener, PrivacyError, StoreError};
use crate::types::{Reply, Timestamp};

/// Requests that may wait for the writer: more than there can be connections.
const QUEUE: usize = 65_536;

/// How long a request waits for its commit, in seconds. Postfix waits 100, or what main.cf says.
const COMMIT_SECONDS: u64 = 20;

/// The outcome of every request while greylisting is paused. Nothing is looked up or recorded for it.
pub(crate) const PAUSED: Outcome = Outcome::new(Verdict::Pass, Reason::Paused, Because::Request);

/// Why a gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options do not fit the database.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The thread that writes cannot be had.
    #[error("a thread: {0}")]
    Thread(io::Error),
}

/// Why a decision is not committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// No answer of the writer in time.
    #[error("no commit within {0} seconds; is the disk alive?")]
    Slow(u64),
    /// More work than the writer can take.
    #[error("{0} requests are waiting for the database already")]
    Busy(usize),
    /// The records cannot be read, or the writer has failed.
    #[error("the database is not open")]
    Closed,
}

/// The gate. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Gate(pub(super) Arc<Inner>);

/// What the control room works on. Who is given the gate alone cannot reach it.
#[derive(Clone)]
pub struct Internals(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) live_rules: Arc<LiveRules>,
    pub(crate) state: Arc<StoreState>,
    pub(crate) write_behind: Arc<WriteBehind>,
    pulse: Arc<Pulse>,
    pub(crate) pause: Arc<PauseSwitch>,
    pub(crate) instance_cache: InstanceCache,
    pub(crate) last_clients: LastClients,
    pub(crate) sleeps: Sleeps,
    pub(crate) stats: Arc<Stats>,
    pub(crate) queue: SyncSender<Message>,
    pub(crate) opener: Arc<dyn Opener>,
    list_errors: AtomicUsize,
    /// Held while an entry is added.
    pub(crate) adding: tokio::sync::Mutex<()>,
    /// Held while a backup is restored.
    pub(crate) restoring: tokio::sync::Mutex<()>,
}

/// A running gate and its thread.
pub struct Start {
    /// The gate.
    pub gate: Gate,
    /// What the control room works on.
    pub internals: Internals,
    /// Ends when the last clone of the gate is gone and everything is written.
    pub worker: JoinHandle<()>,
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
}

impl Gate {
    /// Opens the store and starts the thread that writes.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the options do not fit the database, or no thread can be had; every other trouble is
    /// survived, see [`Status::trouble`].
    pub fn start(
        rules: Ruleset,
        opener: Box<dyn Opener>,
        clock: Arc<dyn Clock>,
    ) -> Result<Start, StartError> {
        let (sender, receiver) = sync_channel(QUEUE);
        let live_rules = Arc::new(LiveRules::new(rules));
        let stats = Arc::new(Stats::new(clock.now()));
        let guard = ClockGuard::new(clock.as_ref(), None);
        let store_state = Arc::new(StoreState::new(guard));
        let (write_behind, pulse) = <(Arc<WriteBehind>, Arc<Pulse>)>::default();
        let pause = Arc::<PauseSwitch>::default();
        let shared = Shared {
            state: Arc::clone(&store_state),
            write_behind: Arc::clone(&write_behind),
            pulse: Arc::clone(&pulse),
            pause: Arc::clone(&pause),
            clock: Arc::clone(&clock),
            live_rules: Arc::clone(&live_rules),
            stats: Arc::clone(&stats),
        };
        let last_clients = LastClients::new(opener.is_hashed());
        let opener: Arc<dyn Opener> = Arc::from(opener);
        let worker = Worker::new(shared, Arc::clone(&opener))?;
        let worker = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || worker.run(&receiver))
            .map_err(StartError::Thread)?;
        let inner = Arc::new(Inner {
            clock,
            live_rules,
            state: store_state,
            write_behind,
            pulse,
            pause,
            instance_cache: InstanceCache::new(),
            last_clients,
            sleeps: Sleeps::default(),
            stats,
            queue: sender,
            opener,
            list_errors: AtomicUsize::new(0),
            adding: tokio::sync::Mutex::default(),
            restoring: tokio::sync::Mutex::default(),
        });
        Ok(Start {
            gate: Self(Arc::clone(&inner)),
            internals: Internals(inner),
            worker,
        })
    }

    /// The gate with these internals.
    pub(crate) const fn of(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// Decides. `now` is read from the clock unless it is given.
    pub async fn judge(&self, attempt: &Attempt<'_>, now: Option<Timestamp>) -> Decision {
        let inner = &self.0;
        // A jump of the clock is seen by the first decision after it, not by a later look.
        let (now, expiry) = match now {
            None => inner.state.time(inner.clock.as_ref()),
            Some(now) => (now, inner.state.expiry()),
        };
        if inner.live_rules.is_due(now) && expiry == Expiry::Applies {
            inner.live_rules.expire(now);
        }
        let rules = inner.live_rules.rules();
        if inner.pause.is_on(now, expiry, inner.clock.as_ref()) {
            return inner.let_pass(now, rules);
        }
        let keys = inner.instance_cache.keys(attempt);
        if let Some(outcome) = keys.and_then(|keys| inner.instance_cache.answered(keys, now)) {
            return Decision {
                outcome,
                reply: rules.repeated_reply(attempt, &outcome, now),
                now,
                rules,
                is_repeat: true,
            };
        }
        let mut text = None;
        let outcome = match policy::plan(attempt, &rules) {
            Plan::Settled(outcome) => outcome,
            Plan::Replied(outcome, own) => {
                text = Some(own);
                outcome
            }
            Plan::Needs(case) => {
                let session = inner.session(keys, &rules, now, expiry);
                let asked = inner.ask_store(&case, session, now, &rules).await;
                let outcome = asked.unwrap_or_else(|_| policy::without_store(&case, &rules));
                inner.last_clients.note(attempt, &case, &outcome);
                outcome
            }
        };
        if let Some(keys) = keys
            && outcome.reason != Reason::StoreFailure
        {
            let params = &rules.params;
            inner.instance_cache.remember(keys, &outcome, now, params);
        }
        if let Some(entry) = outcome.entry()
            && let Some(entry) = rules.entry(entry)
        {
            entry.hits.note(now);
        }
        inner.stats.count(&outcome);
        inner.sleeps.watch(&rules.params, attempt.stage, &outcome);
        Decision {
            outcome,
            reply: text.map_or_else(|| rules.reply(attempt, &outcome, now), Reply::Access),
            now,
            rules,
            is_repeat: false,
        }
    }

    /// Puts other lists in force; a decision that has begun goes on with those it began with. An entry
    /// that was there before keeps its hits.
    pub fn set_lists(&self, lists: Lists) {
        self.0.live_rules.set_lists(lists);
    }

    /// Notes how many errors there were in the files of the lists that are active.
    pub fn set_list_errors(&self, errors: usize) {
        self.0.list_errors.store(errors, Ordering::Relaxed);
    }

    /// Errors in the list files, for which something was left out of the lists.
    #[must_use]
    pub fn list_errors(&self) -> usize {
        self.0.list_errors.load(Ordering::Relaxed)
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Ruleset> {
        self.0.live_rules.rules()
    }

    /// How things are.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = &self.0.state;
        Status {
            counts: self.0.stats.counts(),
            figures: state.read(|reader| reader.figures()).ok(),
            whitelisted: state.whitelisted.load(Ordering::Relaxed),
            trouble: state.trouble(),
            expiry: state.expiry(),
            sleeping: self.0.sleeps.running(self.0.now()),
            list_errors: self.list_errors(),
            paused: self.0.paused(),
        }
    }

    /// The pause, while there is one.
    #[must_use]
    pub fn paused(&self) -> Option<Pause> {
        self.0.paused()
    }

    /// How far the writing thread is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.pulse.progress()
    }
}

impl Inner {
    /// What everybody gets during a pause.
    fn let_pass(&self, now: Timestamp, rules: Arc<Ruleset>) -> Decision {
        self.stats.count(&PAUSED);
        Decision {
            outcome: PAUSED,
            reply: Reply::Continue,
            now,
            rules,
            is_repeat: false,
        }
    }

    /// The pause, while there is one.
    pub(crate) fn paused(&self) -> Option<Pause> {
        let (now, clock) = (self.now(), self.clock.as_ref());
        let is_on = self.pause.is_on(now, self.state.expiry(), clock);
        let pause = self.pause.get_at(now, clock.since_boot());
        pause.filter(|_| is_on)
    }

    /// The time that records get.
    pub(crate) fn now(&self) -> Timestamp {
        self.state.time(self.clock.as_ref()).0
    }

    /// What is known of this message besides the records.
    pub(crate) fn session(
        &self,
        keys: Option<Keys>,
        rules: &Ruleset,
        now: Timestamp,
        expiry: Expiry,
    ) -> Session {
        let had = keys.map_or_else(MessageState::default, |keys| {
            self.instance_cache.had(keys, now)
        });
        Session {
            header_given: had.header,
            tarpitted: had.sleep,
            is_known: had.known_triplet,
            has_room: self.sleeps.has_room(&rules.params, now),
            expiry,
        }
    }

    /// Decides on records. What has to be promised goes to the thread that writes.
    async fn ask_store(
        &self,
        case: &Case,
        mut session: Session,
        now: Timestamp,
        rules: &Arc<Ruleset>,
    ) -> Result<Outcome, CommitError> {
        let mut facts = match self.state.read(|reader| reader.facts(case)) {
            Ok(facts) => facts,
            Err(error) => {
                if !matches!(error, StoreError::Closed) {
                    // A full queue means that the worker has trouble of its own.
                    drop(self.queue.try_send(Message::ReadFailed(error)));
                }
                return Err(CommitError::Closed);
            }
        };
        let mut place = None;
        let mut outcome = self.write_behind.decide(case, &mut facts, |facts| {
            let outcome = policy::decide(case, facts, session, now, rules);
            if matches!(outcome.verdict, Verdict::Tarpit { .. }) {
                place = self.sleeps.reserve(&rules.params, now);
                if place.is_none() {
                    session.has_room = false;
                    return policy::decide(case, facts, session, now, rules);
                }
            }
            outcome
        });
        if outcome.changes.durable {
            session.has_room = place.is_some();
            outcome = self.ask_writer(case, session, now, rules).await?;
        }
        if let Some(place) = place {
            place.settle(&outcome, now);
        }
        Ok(outcome)
    }

    /// Decides once more, on the thread that writes, inside its transaction.
    async fn ask_writer(
        &self,
        case: &Case,
        session: Session,
        now: Timestamp,
        rules: &Arc<Ruleset>,
    ) -> Result<Outcome, CommitError> {
        if self.state.is_stalled() {
            return Err(CommitError::Slow(COMMIT_SECONDS));
        }
        let (answer, answered) = oneshot::channel();
        let work = Box::new(PendingRequest {
            case: case.clone(),
            session,
            now,
            rules: Arc::clone(rules),
            answer,
        });
        match self.queue.try_send(Message::PendingRequest(work)) {
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
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Internals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Internals").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod tarpit_tests;

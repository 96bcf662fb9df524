//! The writer thread.
//!
//! It takes all queued requests, decides each again inside one write transaction, commits once and replies to all of
//! them. Between batches it does periodic work: it flushes the write-behind buffer, sweeps expired records in slices,
//! syncs idle data, checks the clock, and retries after a store failure.

mod chores;
mod queue;
mod restore;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::clock::{Clock, ClockGuard, monotonic};
use super::live_rules::LiveRules;
use super::pause::PauseSwitch;
use super::sleeps::{self, Sleeps};
use super::state::StoreState;
use super::stats::{Counts, Stats};
use super::triplet_counts::{TripletCounts, TripletEvent};
use super::write_behind::WriteBehind;
use crate::policy::Expiry;
use crate::store::{Commit, OpenError, Opener, PrivacyError, RequestError, StoreError, Writer};
use crate::types::Timestamp;
pub(crate) use queue::{AdminTask, AdminTaskError, Message, PendingRequest, QUEUE};
pub(crate) use restore::Restore;

/// Maximum number of requests in one transaction. More would not be faster, and would delay the first ones.
const BATCH: usize = 1024;

/// How long the thread waits for a message while other work remains. Otherwise it waits until the next duty, so that an
/// idle machine can sleep.
const TICK: Duration = Duration::from_millis(250);

/// How long a full store is swept without a pause in one attempt to free space.
const SPRINT: Duration = Duration::from_secs(1);

/// The progress of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// A number that changes while it works.
    pub turns: u64,
    /// Whether it is inside the store, where a slow disk may block it.
    pub is_in_store: bool,
    /// Whether it is idle.
    pub is_waiting: bool,
}

/// The progress of the thread, readable by the gate.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Counts the turns of the loop.
    turns: AtomicU64,
    /// Whether the thread is inside the store, where a slow disk may block it.
    in_store: AtomicBool,
    /// Whether it is idle.
    waiting: AtomicBool,
}

impl Pulse {
    /// The progress of the thread.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            turns: self.turns.load(Ordering::Relaxed),
            is_in_store: self.in_store.load(Ordering::Relaxed),
            is_waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// The state shared with the gate.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) state: Arc<StoreState>,
    pub(crate) write_behind: Arc<WriteBehind>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) pause: Arc<PauseSwitch>,
    pub(crate) sleeps: Arc<Sleeps>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) live_rules: Arc<LiveRules>,
    pub(crate) stats: Arc<Stats>,
}

/// The health of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Ok,
    /// It is full; records must expire first.
    Full,
    Ill,
}

/// The state of the thread.
pub(crate) struct Worker {
    shared: Shared,
    opener: Arc<dyn Opener>,
    writer: Option<Box<dyn Writer>>,
    health: Health,
    /// When each duty was last done, by the monotonic clock.
    flushed: Duration,
    committed: Option<Duration>,
    tried: Duration,
    looked: Duration,
    opened: Option<Duration>,
    sliced: Duration,
    /// Time between the last slice of the sweep and the next; at most [`TICK`] within a pass.
    pause: Duration,
    /// By the wall clock.
    swept: Option<Timestamp>,
    noted: Timestamp,
    /// Whether something was written since.
    is_unnoted: bool,
    /// The counters that are in the history.
    told: Counts,
    /// What greylisting did and is not in the history yet.
    triplet_counts: TripletCounts,
    /// Whether the clock was trusted when it was last checked.
    was_trusted: bool,
    /// Whether the clock guard is set; it is kept when the store is reopened.
    is_watching: bool,
}

impl Worker {
    /// Opens the store. A failure is retried later, unless the options do not match the database.
    pub(crate) fn new(shared: Shared, opener: Arc<dyn Opener>) -> Result<Self, PrivacyError> {
        let mut worker = Self {
            shared,
            opener,
            writer: None,
            health: Health::Ok,
            flushed: Duration::ZERO,
            committed: None,
            tried: monotonic(),
            looked: Duration::ZERO,
            opened: None,
            sliced: Duration::ZERO,
            pause: TICK,
            swept: None,
            noted: Timestamp::default(),
            is_unnoted: false,
            told: Counts::default(),
            triplet_counts: TripletCounts::default(),
            was_trusted: true,
            is_watching: false,
        };
        match worker.open() {
            Err(OpenError::Privacy(error)) => Err(error),
            Err(error) => {
                worker.stay_closed(&error);
                Ok(worker)
            }
            Ok(()) => Ok(worker),
        }
    }

    /// Works until every sender of the queue is gone; then flushes the write-behind buffer and syncs.
    pub(crate) fn run(mut self, queue: &Receiver<Message>) {
        // Every client is read, so the first reply must not wait for it.
        self.count_whitelisted();
        loop {
            let pulse = Arc::clone(&self.shared.pulse);
            pulse.waiting.store(true, Ordering::Relaxed);
            let received = queue.recv_timeout(self.rest(monotonic()));
            pulse.waiting.store(false, Ordering::Relaxed);
            match received {
                Ok(message) => self.take(message, queue),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.keep_house();
            self.shared.pulse.turns.fetch_add(1, Ordering::Relaxed);
        }
        // The rest of the last flush, and later updates.
        for _ in 0..2 {
            self.shared.write_behind.begin_flush();
            while self.flush() {}
        }
        self.flush_counters();
        if self.health == Health::Ok {
            self.store_pause();
        }
        self.with_writer(|writer| writer.sync());
        if self.writer.take().is_some() {
            self.opener.settle();
        }
    }

    /// Takes a message and the queued ones after it, up to a batch.
    fn take(&mut self, first: Message, queue: &Receiver<Message>) {
        let mut batch = Vec::new();
        let mut tasks = Vec::new();
        let mut restores = Vec::new();
        let others = std::iter::from_fn(|| queue.try_recv().ok());
        for message in std::iter::once(first).chain(others.take(BATCH - 1)) {
            match message {
                Message::PendingRequests(work) => batch.extend(work),
                Message::AdminTask(task) => tasks.push(*task),
                Message::Restore(restore) => restores.push(*restore),
                Message::ReadFailed(error) => self.fail(&error),
            }
        }
        // A request that has stopped waiting has its reply already.
        batch.retain(|work| !work.answer.is_closed());
        if self.health == Health::Ok && !batch.is_empty() {
            self.decide(batch);
        }
        for task in tasks {
            self.run_task(task);
        }
        for restore in restores {
            self.restore(restore);
        }
    }

    /// Runs an admin task. A full store still accepts deletions.
    fn run_task(&mut self, mut task: AdminTask) {
        if task.done.is_closed() {
            return;
        }
        if self.health == Health::Ill {
            let failure = self.shared.state.failure().unwrap_or_default();
            if task
                .done
                .send(Err(AdminTaskError::Failed(failure)))
                .is_err()
            {
                log::debug!("a task was not waited for");
            }
            return;
        }
        let done = self.attempt(|writer| writer.run(&mut *task.body, task.end));
        match &done {
            Ok(()) if task.end == Commit::Discard => {}
            Ok(()) => {
                (task.then)();
                self.wrote();
                if self.health == Health::Full {
                    // That may have freed space.
                    self.tried = Duration::ZERO;
                }
            }
            Err(RequestError::Refused(_)) => {}
            Err(RequestError::Store(StoreError::Full)) if self.health == Health::Full => {}
            Err(RequestError::Store(error)) => self.fail(error),
        }
        if task.done.send(done.map_err(AdminTaskError::from)).is_err() {
            log::debug!("a task was not waited for");
        }
    }

    /// Decides a batch in one transaction, commits it, then replies. On failure the reply channels are dropped; the
    /// receivers treat that as a store failure.
    fn decide(&mut self, batch: Vec<PendingRequest>) {
        let write_behind = Arc::clone(&self.shared.write_behind);
        let sleeps = Arc::clone(&self.shared.sleeps);
        let mut outcomes = Vec::with_capacity(batch.len());
        let done = self.attempt(|writer| {
            writer.transact(&mut |records| {
                outcomes.clear();
                for request in &batch {
                    let PendingRequest {
                        case,
                        session,
                        rules,
                        ..
                    } = request;
                    let mut stored = records.facts(case)?;
                    write_behind.merge_into(case, &mut stored);
                    let facts = case.facts(&stored, *session, &rules.params);
                    let asked = (case, &facts);
                    let (outcome, place) = sleeps::decide(asked, *session, rules, &sleeps, &mut ());
                    records.apply(case, &outcome.changes)?;
                    let event = TripletEvent::of(facts.triplet(), &outcome);
                    outcomes.push((outcome, place, event));
                }
                Ok(())
            })
        });
        match done {
            Ok(()) => self.wrote(),
            Err(RequestError::Store(StoreError::Full)) if batch.len() > 1 => {
                drop(outcomes);
                return self.decide_in_halves(batch);
            }
            Err(error) => return self.fail_request(&error),
        }
        for (request, (outcome, place, event)) in batch.into_iter().zip(outcomes) {
            write_behind.superseded(&request.case, &outcome.changes);
            if let Some(place) = place {
                place.settle(&outcome, request.session.now);
            }
            if let Some(event) = event {
                self.triplet_counts.count(event);
            }
            if outcome.whitelisted {
                let whitelisted = &self.shared.state.whitelisted;
                whitelisted.fetch_add(1, Ordering::Relaxed);
            }
            if request.answer.send(outcome).is_err() {
                log::debug!("an answer was not waited for");
            }
        }
    }

    /// Decides a batch in parts after it did not fit: smaller transactions need less space.
    fn decide_in_halves(&mut self, mut batch: Vec<PendingRequest>) {
        let rest = batch.split_off(batch.len() / 2);
        for half in [batch, rest] {
            if self.health == Health::Ok {
                self.decide(half);
            }
        }
    }

    /// Notes that something was written.
    fn wrote(&mut self) {
        self.committed = Some(monotonic());
        self.is_unnoted = true;
    }

    /// Opens the store.
    fn open(&mut self) -> Result<(), OpenError> {
        let (reader, writer) = self.in_store(|| self.opener.open())?;
        if !self.is_watching {
            let guard = ClockGuard::new(self.shared.clock.as_ref(), reader.latest()?);
            self.shared.state.watch_clock(guard);
            self.is_watching = true;
        }
        let (now, expiry) = self.check_clock();
        let Shared {
            state,
            pause,
            clock,
            ..
        } = &self.shared;
        self.shared
            .live_rules
            .load(reader.entries()?, state.trusted(now));
        let has_begun = pause.load(reader.pause()?);
        if has_begun && pause.is_on(now, expiry, clock.as_ref()) {
            log::warn!("greylisting is paused: everything passes");
        }
        self.writer = Some(writer);
        self.opened = Some(monotonic());
        self.shared.state.set_reader(Some(reader));
        Ok(())
    }

    /// Retries a failed store: opens it if it is closed, frees space if it is full, and writes a value.
    fn try_again(&mut self, mono: Duration) {
        self.tried = mono;
        if self.writer.is_none()
            && let Err(error) = self.open()
        {
            self.stay_closed(&error);
            return;
        }
        let health = std::mem::replace(&mut self.health, Health::Ok);
        let has_room = health != Health::Full || self.has_room() || self.make_room();
        let works = has_room && self.with_writer(|writer| writer.probe()).is_some();
        if works {
            self.count_whitelisted();
            self.shared.state.recover();
        } else if self.health == Health::Ok {
            self.health = health;
        }
    }

    /// Whether a full store has space again, after deletions by an administrator or the end of a backup.
    fn has_room(&mut self) -> bool {
        self.with_writer(|writer| writer.has_room()) == Some(true)
    }

    /// Sweeps without a pause until there is space; returns whether there is.
    fn make_room(&mut self) -> bool {
        self.swept = None;
        let Some(now) = self.trusted_now() else {
            return false;
        };
        let params = self.shared.live_rules.rules().expiry_params();
        let begun = monotonic();
        while monotonic().saturating_sub(begun) < SPRINT {
            match self.with_writer(|writer| writer.sweep(now, &params)) {
                Some(swept) if swept.removed > 0 && self.has_room() => return true,
                Some(swept) if !swept.finished => {}
                Some(_) | None => return false,
            }
        }
        false
    }

    /// The current time; `None` while the clock is not trusted. The clock is checked now, because it may have just
    /// jumped.
    fn trusted_now(&self) -> Option<Timestamp> {
        let (now, expiry) = self.check_clock();
        (expiry == Expiry::Applies).then_some(now)
    }

    /// The time for records, and whether they expire; updates the clock guard.
    fn check_clock(&self) -> (Timestamp, Expiry) {
        let Shared { clock, state, .. } = &self.shared;
        state.check_clock(clock.now(), clock.since_boot())
    }

    /// The time for records.
    fn now(&self) -> Timestamp {
        self.check_clock().0
    }

    /// Calls the writer; a failure is noted.
    fn with_writer<T>(
        &mut self,
        job: impl FnOnce(&mut dyn Writer) -> Result<T, StoreError>,
    ) -> Option<T> {
        self.writer.as_ref()?;
        self.attempt(job).map_err(|error| self.fail(&error)).ok()
    }

    /// Calls the writer.
    fn attempt<T, E: From<StoreError>>(
        &mut self,
        job: impl FnOnce(&mut dyn Writer) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = self.writer.take().ok_or(StoreError::Closed)?;
        let result = self.in_store(|| job(writer.as_mut()));
        self.writer = Some(writer);
        result
    }

    /// Does something that a slow disk may block, and marks that for the watchdog.
    fn in_store<T>(&self, job: impl FnOnce() -> T) -> T {
        let pulse = &self.shared.pulse;
        pulse.in_store.store(true, Ordering::Relaxed);
        let result = job();
        pulse.in_store.store(false, Ordering::Relaxed);
        result
    }

    /// Notes a failure. Data that may be damaged are no longer read.
    fn fail(&mut self, error: &StoreError) {
        if error.is_fatal_for_readers() {
            self.close();
        }
        let health = if matches!(error, StoreError::Full) {
            Health::Full
        } else {
            Health::Ill
        };
        self.enter(health, error);
    }

    /// Notes a failure of the daemon's own work, where even a refusal is not expected.
    fn fail_request(&mut self, error: &RequestError) {
        match error {
            RequestError::Store(error) => self.fail(error),
            RequestError::Refused(refusal) => self.enter(Health::Ill, refusal),
        }
    }

    /// Notes that the store cannot be opened.
    fn stay_closed(&mut self, error: &OpenError) {
        if let OpenError::Store(error) = error {
            return self.fail(error);
        }
        self.close();
        self.enter(Health::Ill, error);
    }

    fn close(&mut self) {
        self.shared.state.set_reader(None);
        self.writer = None;
        self.opened = None;
    }

    fn enter(&mut self, failure: Health, error: &dyn Display) {
        if self.health == Health::Ok {
            self.tried = monotonic();
        }
        self.health = failure;
        self.shared.state.degrade(error);
    }
}

//! The state of the store, shared by the gate and the writer thread: working, or failed.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::clock::{Clock, ClockGuard};
use super::stats::Counts;
use crate::policy::{Expiry, Pause};
use crate::shared;
use crate::store::{Reader, RecordCounts, StoreError};
use crate::types::sync::{Mutex, RwLock};
use crate::types::{Span, Timestamp};

/// Why a decision is not committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// The writer thread did not commit in time.
    #[error("no commit within {0} seconds; check the disk")]
    Slow(u64),
    /// The queue of the writer thread is full.
    #[error("{0} requests are waiting for the database already")]
    Busy(usize),
    /// The records cannot be read, or the writer has failed.
    #[error("the database is not open")]
    Closed,
}

/// The status for administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Decisions since the start.
    pub counts: Counts,
    /// Numbers of records, if the store can be read.
    pub figures: Option<RecordCounts>,
    /// Number of auto-whitelisted clients.
    pub whitelisted: u64,
    /// Why the database is unavailable.
    pub failure: Option<String>,
    /// Whether records expire.
    pub expiry: Expiry,
    /// Number of running sleeps.
    pub sleeping: usize,
    /// Errors in the list files, for which something was left out of the lists.
    pub list_errors: usize,
    /// Entries of the access lists that can never match.
    pub unreachable_rules: usize,
    /// The pause, while there is one.
    pub paused: Option<Pause>,
    /// How records are shared with the other hosts, if they are.
    pub shared: Option<shared::Status>,
}

/// The state of the store.
pub(crate) struct StoreState {
    guard: Mutex<ClockGuard>,
    /// The result of the last check of the clock, readable without the lock.
    believed_wall: AtomicU64,
    believed_boot: AtomicU64,
    reader: RwLock<Option<Arc<dyn Reader>>>,
    failure: RwLock<Option<String>>,
    /// Whether a request has waited too long for a commit, and none has succeeded since.
    stalled: AtomicBool,
    suspended: AtomicBool,
    pub(crate) whitelisted: AtomicU64,
}

impl StoreState {
    /// A store that is not open yet.
    pub(crate) fn new(guard: ClockGuard) -> Self {
        let state = Self {
            guard: Mutex::new(guard),
            believed_wall: AtomicU64::new(0),
            believed_boot: AtomicU64::new(0),
            reader: RwLock::default(),
            failure: RwLock::default(),
            stalled: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            whitelisted: AtomicU64::new(0),
        };
        state.set_believed(&guard);
        state
    }

    /// Calls the reader, if there is one. The reader is not cloned, so that the writer thread can drop it.
    pub(crate) fn read<T>(
        &self,
        ask: impl FnOnce(&dyn Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let reader = self.reader.read();
        match &*reader {
            Some(reader) => ask(reader.as_ref()),
            None => Err(StoreError::Closed),
        }
    }

    /// A clone of the reader, for slow reads. While it exists, the store cannot be reopened.
    pub(crate) fn reader(&self) -> Result<Arc<dyn Reader>, StoreError> {
        let reader = self.reader.read();
        reader.clone().ok_or(StoreError::Closed)
    }

    /// Sets or drops the reader.
    pub(crate) fn set_reader(&self, reader: Option<Arc<dyn Reader>>) {
        *self.reader.write() = reader;
    }

    /// Drops the reader unless there is a clone; returns whether it did.
    pub(super) fn take_reader(&self) -> bool {
        let mut reader = self.reader.write();
        let is_kept = |reader: &Arc<_>| Arc::strong_count(reader) > 1;
        let is_kept = reader.as_ref().is_some_and(is_kept);
        if !is_kept {
            *reader = None;
        }
        !is_kept
    }

    /// Sets the failure; one line is logged when it begins or changes.
    pub(crate) fn degrade(&self, error: &dyn Display) {
        let text = error.to_string();
        let mut failure = self.failure.write();
        if failure.as_ref() != Some(&text) {
            log::error!("database unavailable, retrying every 10 s: {text}");
            *failure = Some(text);
        }
    }

    /// Ends the failure; one line is logged if there was one.
    pub(crate) fn recover(&self) {
        self.stalled.store(false, Ordering::Relaxed);
        let mut failure = self.failure.write();
        if failure.take().is_some() {
            log::info!("the database is available again");
        }
    }

    /// The failure, if there is one.
    pub(crate) fn failure(&self) -> Option<String> {
        let failure = self.failure.read();
        failure.clone()
    }

    /// Whether commits are stalled; requests do not wait for them then.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Notes that a commit was not in time.
    pub(super) fn stall(&self, error: &CommitError) {
        self.stalled.store(true, Ordering::Relaxed);
        self.degrade(error);
    }

    /// Sets the clock guard.
    pub(crate) fn watch_clock(&self, guard: ClockGuard) {
        if guard.believed().is_none() {
            self.set_expiry(Expiry::Suspended);
        }
        self.set_believed(&guard);
        *self.guard.lock() = guard;
    }

    /// The time for records, and whether they expire. Does not lock while the clock is trusted.
    pub(crate) fn time(&self, clock: &dyn Clock) -> (Timestamp, Expiry) {
        let (now, boot) = (clock.now(), clock.since_boot());
        let believed = (
            Timestamp::from_seconds(self.believed_wall.load(Ordering::Relaxed)),
            Span::from_seconds(self.believed_boot.load(Ordering::Relaxed)),
        );
        if self.expiry() == Expiry::Applies && ClockGuard::goes_on(believed, now, boot) {
            return (now, Expiry::Applies);
        }
        self.check_clock(now, boot)
    }

    /// The same, but updates the clock guard.
    pub(crate) fn check_clock(&self, now: Timestamp, boot: Span) -> (Timestamp, Expiry) {
        let mut guard = self.guard.lock();
        let expiry = guard.check(now, boot);
        self.set_expiry(expiry);
        self.set_believed(&guard);
        (guard.time(now, boot), expiry)
    }

    /// The two halves are not set atomically, but at nearly the same time.
    fn set_believed(&self, guard: &ClockGuard) {
        if let Some((wall, boot)) = guard.believed() {
            self.believed_wall.store(wall.seconds(), Ordering::Relaxed);
            self.believed_boot.store(boot.seconds(), Ordering::Relaxed);
        }
    }

    /// The time by which entries expire; `None` while the clock is not trusted.
    pub(crate) fn trusted(&self, now: Timestamp) -> Option<Timestamp> {
        (self.expiry() == Expiry::Applies).then_some(now)
    }

    /// The result of the last check of the clock.
    pub(crate) fn expiry(&self) -> Expiry {
        if self.suspended.load(Ordering::Relaxed) {
            Expiry::Suspended
        } else {
            Expiry::Applies
        }
    }

    /// Sets whether records expire; one line is logged when that changes.
    fn set_expiry(&self, expiry: Expiry) {
        let suspended = expiry == Expiry::Suspended;
        if self.suspended.swap(suspended, Ordering::Relaxed) == suspended {
            return;
        }
        match expiry {
            Expiry::Suspended => log::warn!(
                "the clock has jumped by more than an hour: expiry suspended for 24 hours, or until the jump is undone"
            ),
            Expiry::Applies => log::info!("clock is plausible again: expiry resumed"),
        }
    }
}

impl std::fmt::Debug for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreState")
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

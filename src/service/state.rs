//! The state of the store, shared by the gate and the worker: well, or in what trouble.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::clock::{Clock, ClockGuard};
use super::stats::Counts;
use crate::policy::{Expiry, Pause};
use crate::store::{Reader, RecordCounts, StoreError};
use crate::types::sync::{Mutex, RwLock};
use crate::types::{Span, Timestamp};

/// Why a decision is not committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// No answer of the writer in time.
    #[error("no commit within {0} seconds; check the disk")]
    Slow(u64),
    /// More work than the writer can take.
    #[error("{0} requests are waiting for the database already")]
    Busy(usize),
    /// The records cannot be read, or the writer has failed.
    #[error("the database is not open")]
    Closed,
}

/// What an administrator sees first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Decisions since the start.
    pub counts: Counts,
    /// Records, when they can be counted.
    pub figures: Option<RecordCounts>,
    /// Clients that pass at once.
    pub whitelisted: u64,
    /// Why the database is unavailable.
    pub trouble: Option<String>,
    /// Whether records grow old.
    pub expiry: Expiry,
    /// Sleeps that run.
    pub sleeping: usize,
    /// Errors in the list files, for which something was left out of the lists.
    pub list_errors: usize,
    /// Entries of the access lists that can never match.
    pub unreachable_rules: usize,
    /// The pause, while there is one.
    pub paused: Option<Pause>,
}

/// The state of the store.
pub(crate) struct StoreState {
    guard: Mutex<ClockGuard>,
    /// What the guard believed last, for those who only look.
    believed_wall: AtomicU64,
    believed_boot: AtomicU64,
    reader: RwLock<Option<Arc<dyn Reader>>>,
    trouble: RwLock<Option<String>>,
    /// A request has waited too long for a commit, and none has come since.
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
            trouble: RwLock::default(),
            stalled: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            whitelisted: AtomicU64::new(0),
        };
        state.set_believed(&guard);
        state
    }

    /// Asks the reader, if there is one. The reader is not kept: the worker can take it away.
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

    /// The reader itself, for what takes long. While somebody keeps it, the store cannot be opened anew.
    pub(crate) fn reader(&self) -> Result<Arc<dyn Reader>, StoreError> {
        let reader = self.reader.read();
        reader.clone().ok_or(StoreError::Closed)
    }

    /// Gives or takes away the reader.
    pub(crate) fn set_reader(&self, reader: Option<Arc<dyn Reader>>) {
        *self.reader.write() = reader;
    }

    /// Takes the reader away unless somebody keeps it; says whether it is gone.
    pub(super) fn take_reader(&self) -> bool {
        let mut reader = self.reader.write();
        let is_kept = |reader: &Arc<_>| Arc::strong_count(reader) > 1;
        let is_kept = reader.as_ref().is_some_and(is_kept);
        if !is_kept {
            *reader = None;
        }
        !is_kept
    }

    /// Enters trouble, with one line in the log when it begins or changes.
    pub(crate) fn degrade(&self, error: &dyn Display) {
        let text = error.to_string();
        let mut trouble = self.trouble.write();
        if trouble.as_ref() != Some(&text) {
            log::error!("database unavailable, retrying every 10 s: {text}");
            *trouble = Some(text);
        }
    }

    /// Ends trouble, with one line in the log if there was any.
    pub(crate) fn recover(&self) {
        self.stalled.store(false, Ordering::Relaxed);
        let mut trouble = self.trouble.write();
        if trouble.take().is_some() {
            log::warn!("the database is available again");
        }
    }

    /// The trouble, if there is any.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.read();
        trouble.clone()
    }

    /// Whether commits do not come; requests do not wait for them then.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Notes that a commit did not come in time.
    pub(super) fn stall(&self, error: &CommitError) {
        self.stalled.store(true, Ordering::Relaxed);
        self.degrade(error);
    }

    /// Watches the clock from here on.
    pub(crate) fn watch_clock(&self, guard: ClockGuard) {
        if guard.believed().is_none() {
            self.set_expiry(Expiry::Suspended);
        }
        self.set_believed(&guard);
        *self.guard.lock() = guard;
    }

    /// The time that records get, and whether they grow old. Does not lock as long as the clock goes on as it should.
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

    /// The same, and what is believed is brought up to date.
    pub(crate) fn check_clock(&self, now: Timestamp, boot: Span) -> (Timestamp, Expiry) {
        let mut guard = self.guard.lock();
        let expiry = guard.check(now, boot);
        self.set_expiry(expiry);
        self.set_believed(&guard);
        (guard.time(now, boot), expiry)
    }

    /// The two halves are not set at one moment, but they belong to moments that are close.
    fn set_believed(&self, guard: &ClockGuard) {
        if let Some((wall, boot)) = guard.believed() {
            self.believed_wall.store(wall.seconds(), Ordering::Relaxed);
            self.believed_boot.store(boot.seconds(), Ordering::Relaxed);
        }
    }

    /// The time by which entries end: none while the clock is not to be trusted.
    pub(crate) fn trusted(&self, now: Timestamp) -> Option<Timestamp> {
        (self.expiry() == Expiry::Applies).then_some(now)
    }

    /// What the last look at the clock said.
    pub(crate) fn expiry(&self) -> Expiry {
        if self.suspended.load(Ordering::Relaxed) {
            Expiry::Suspended
        } else {
            Expiry::Applies
        }
    }

    /// Sets whether records grow old, with one line in the log when that changes.
    fn set_expiry(&self, expiry: Expiry) {
        let suspended = expiry == Expiry::Suspended;
        if self.suspended.swap(suspended, Ordering::Relaxed) == suspended {
            return;
        }
        match expiry {
            Expiry::Suspended => log::warn!(
                "the clock has jumped by more than an hour: expiry suspended for 24 hours, or until the jump is undone"
            ),
            Expiry::Applies => log::warn!("clock is plausible again: expiry resumed"),
        }
    }
}

impl std::fmt::Debug for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreState")
            .field("trouble", &self.trouble())
            .finish_non_exhaustive()
    }
}

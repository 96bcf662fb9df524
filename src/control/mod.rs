//! What administrators ask of the gate: entries, records, counters, and why.
//!
//! Everything here is slower than a decision and none of it holds one up: reading goes in pages on threads of
//! its own, writing goes through the writer thread, in transactions of bounded size.
//!
//! # Error handling
//!
//! [`ControlError`] says what is wrong with the request; [`ControlError::Store`] means that the database is unavailable.

mod backup;
mod entries;
mod explain;
mod import;
mod pause;
mod records;
mod restore;
mod statistics;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::policy::Dead;
use crate::policy::pattern::PatternError;
use crate::service::internals::Inner;
use crate::service::worker::{AdminTask, AdminTaskError, Message};
use crate::service::{Gate, Internals};
use crate::store::{Commit, Reader, Records, RequestError, StoreError, StoreRefusal};
use crate::types::sync::Mutex;

pub use entries::{EntryView, Lifetime, MOST_ENTRIES, PutEntry};
pub use explain::{Explained, Explanation, StepResult};
pub use import::Taken;
pub use records::{Filter, Removed, State};
pub use statistics::{Hour, Statistics};

pub use crate::store::{Page, RestoreError, Row, RowKey};

/// Why something is refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The pattern means nothing in this list.
    #[error("{pattern:?}: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: PatternError,
    },
    /// The pattern can be read and never matches.
    #[error("{pattern:?} never matches: {why}")]
    MatchesNothing {
        /// The pattern.
        pattern: String,
        /// Why.
        why: Dead,
    },
    /// Together with the entries that are there the expressions would be too large.
    #[error(
        "the expressions added over D-Bus together are too large; remove some, or write them to a file"
    )]
    TooLarge,
    /// The list cannot be added to.
    #[error("the entries of this list are in files: change the file and reload")]
    FilesOnly,
    /// A text is too long.
    #[error("{what}: at most {most} bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// How long it may be.
        most: usize,
    },
    /// There is no such entry.
    #[error("there is no such entry")]
    NoSuchEntry,
    /// The entry is in a file.
    #[error("the entry is in {0}: remove the line there and reload")]
    InFile(String),
    /// No filter.
    #[error("without a filter all records would be deleted; set everything to true for that")]
    EmptyFilter,
    /// There are only hashes.
    #[error(
        "with --privacy the database contains only hashes: give client, sender and recipient of one triplet"
    )]
    Hashed,
    /// Records of domains are not looked for.
    #[error("records of domains need --lookup-by-domain")]
    NotByDomain,
    /// A cursor that is none.
    #[error("invalid cursor")]
    BadCursor,
    /// A row that cannot be taken; nothing of the call was.
    #[error("row {number}: {why}")]
    Row {
        /// Which, from 1.
        number: usize,
        /// Why.
        why: &'static str,
    },
    /// Too many entries.
    #[error("{most} entries were added already; use a file for long lists")]
    TooMany {
        /// How many there may be.
        most: u32,
    },
    /// The copy cannot be written.
    #[error("the copy: {0}")]
    Copy(heed::Error),
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is in trouble that was logged already.
    #[error("{0}")]
    Trouble(String),
    /// The backup is not in place of the database.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl From<RequestError> for ControlError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(StoreRefusal::Hashed) => Self::Hashed,
            RequestError::Refused(StoreRefusal::BadCursor) => Self::BadCursor,
            RequestError::Refused(StoreRefusal::Length { most, .. }) => Self::TooLong {
                what: "a text",
                most,
            },
            RequestError::Refused(StoreRefusal::Copy(error)) => Self::Copy(error),
            RequestError::Store(error) => Self::Store(error),
        }
    }
}

impl From<AdminTaskError> for ControlError {
    fn from(error: AdminTaskError) -> Self {
        match error {
            AdminTaskError::Request(error) => error.into(),
            AdminTaskError::Trouble(trouble) => Self::Trouble(trouble),
        }
    }
}

/// What administrators may ask. Cheap to clone; all clones are one.
///
/// It is made from what [`Gate::start`](crate::service::Gate::start) yields beside the gate, so that a front end
/// that holds the gate alone cannot reach it.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

impl Control {
    /// What administrators may ask of a gate.
    #[must_use]
    pub fn new(internals: Internals) -> Self {
        Self(internals.0)
    }

    /// The gate itself: how it is, and by which rules it goes.
    #[must_use]
    pub fn gate(&self) -> Gate {
        Gate::of(Arc::clone(&self.0))
    }

    /// Runs `job` in a transaction of the writer thread and returns its value. The transaction ends as `end` says; `then`
    /// runs after a commit, on the writer thread, before anything else is written.
    async fn write<T, E, F>(
        &self,
        mut job: F,
        end: Commit,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<T, ControlError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Records) -> Result<T, E> + Send + 'static,
        E: Into<RequestError> + Send + 'static,
    {
        let value = Arc::new(Mutex::new(None));
        let for_job = Arc::clone(&value);
        let (done, is_done) = oneshot::channel();
        let task = AdminTask {
            body: Box::new(move |records| {
                let yielded = job(records).map_err(Into::into)?;
                *for_job.lock() = Some(yielded);
                Ok(())
            }),
            end,
            then: Box::new(then),
            done,
        };
        let queued = self.0.queue.try_send(Message::AdminTask(Box::new(task)));
        queued.map_err(|_| StoreError::Closed)?;
        is_done.await.map_err(|_| StoreError::Closed)??;
        let value = value.lock().take();
        value.ok_or(ControlError::Store(StoreError::Closed))
    }

    /// Runs a slow read on a thread that may block.
    async fn read<T, E, F>(&self, job: F) -> Result<T, ControlError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, E> + Send + 'static,
        E: Into<RequestError> + Send + 'static,
    {
        // The reader itself, not through the state: that must not be held for so long.
        let reader = self.0.state.reader().map_err(|error| {
            let trouble = self.0.state.trouble();
            trouble.map_or(ControlError::Store(error), ControlError::Trouble)
        })?;
        let read = tokio::task::spawn_blocking(move || job(reader.as_ref()));
        let read = read.await.map_err(|_| StoreError::Closed)?;
        Ok(read.map_err(Into::into)?)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Tasks of administrators: entries, records, counters, explanations, backups.
//!
//! These tasks are slower than decisions, but do not delay them: reading is done in pages on threads that may block,
//! writing by the writer thread, in transactions of bounded size.
//!
//! # Error handling
//!
//! [`ControlError`] says what is wrong with the request; [`ControlError::Store`] means that the database is unavailable.

mod backup;
mod entries;
mod explain;
mod explain_message;
mod import;
mod journal;
mod message_steps;
mod options;
mod pause;
mod records;
mod restore;
mod sharing;
mod statistics;
mod step_result;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::policy::Dead;
use crate::policy::pattern::PatternError;
use crate::service::internals::Inner;
use crate::service::worker::{AdminTask, AdminTaskError, Message};
use crate::service::{Gate, Internals};
use crate::store::{Commit, Reader, Records, RequestError, StoreError, StoreRefusal};
use crate::types::Prefix;
use crate::types::sync::Mutex;

pub use crate::policy::{Filter, State};
pub use entries::{EntryView, Lifetime, MOST_ENTRIES, PutEntry};
pub use explain::Explanation;
pub use explain_message::MessageExplanation;
pub use import::Taken;
pub use records::Removed;
pub use statistics::{Hour, Statistics};
pub use step_result::{Explained, StepResult};

pub use crate::store::{Page, RestoreError, Row, RowKey};

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The pattern is not valid for this list.
    #[error("{pattern:?}: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: PatternError,
    },
    /// The pattern is valid but never matches.
    #[error("{pattern:?} never matches: {why}")]
    MatchesNothing {
        /// The pattern.
        pattern: String,
        /// Why.
        why: Dead,
    },
    /// The pattern is a network, written with a host in it.
    #[error("{pattern:?} is a host in a network; write {network}, or the address alone")]
    HostInNetwork {
        /// The pattern.
        pattern: String,
        /// The network.
        network: Prefix,
    },
    /// Together with those of the existing entries, the expressions would be too large.
    #[error(
        "the expressions added over D-Bus together are too large; remove some, or write them to a file"
    )]
    TooLarge,
    /// The list has no runtime entries.
    #[error("the entries of this list are in files: change the file and reload")]
    FilesOnly,
    /// A text is too long.
    #[error("{what}: at most {most} bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// The maximum length in bytes.
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
    /// The database has only hashes.
    #[error(
        "with --privacy the database contains only hashes: give client, sender and recipient of one triplet"
    )]
    Hashed,
    /// There are no records of domains without `--lookup-by-domain`.
    #[error("records of domains need --lookup-by-domain")]
    NotByDomain,
    /// An invalid cursor.
    #[error("invalid cursor")]
    BadCursor,
    /// A row that cannot be imported; no row of the call was.
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
        /// The maximum number.
        most: u32,
    },
    /// The copy cannot be written.
    #[error("the copy: {0}")]
    Copy(heed::Error),
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store had failed before, which was logged.
    #[error("{0}")]
    Failed(String),
    /// The database was not replaced by the backup.
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
            AdminTaskError::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Carries out the tasks of administrators. Cheap to clone; all clones are one.
///
/// It is created from the [`Internals`] that [`Gate::start`](crate::service::Gate::start) returns besides the gate, so
/// a front end that has only the gate cannot reach it.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

impl Control {
    /// The tasks of the gate with these internals.
    #[must_use]
    pub fn new(internals: Internals) -> Self {
        Self(internals.0)
    }

    /// The gate itself: its status and its rules.
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
        // The reader itself, because the lock of the state must not be held for so long.
        let reader = self.0.state.reader().map_err(|error| {
            let failure = self.0.state.failure();
            failure.map_or(ControlError::Store(error), ControlError::Failed)
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

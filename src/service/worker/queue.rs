//! The messages of the writer thread's queue.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Restore;
use crate::policy::{Case, Outcome, Ruleset, Session};
use crate::store::{Commit, Records, RequestError, StoreError};

/// Maximum number of queued messages: more than there can be connections.
pub(crate) const QUEUE: usize = 65_536;

/// A request whose decision must be durable before the reply.
pub(crate) struct PendingRequest {
    pub(crate) case: Case,
    pub(crate) session: Session,
    pub(crate) rules: Arc<Ruleset>,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// A message.
pub(crate) enum Message {
    /// Decide and commit, in one transaction.
    PendingRequests(Vec<PendingRequest>),
    /// Run an admin task.
    AdminTask(Box<AdminTask>),
    /// Replace the database by a backup.
    Restore(Box<Restore>),
    /// A reader has failed.
    ReadFailed(StoreError),
}

/// A task of an administrator that writes in a separate transaction.
pub(crate) struct AdminTask {
    pub(crate) body: Box<SendTransactionBody>,
    /// How its transaction ends.
    pub(crate) end: Commit,
    /// Called after the commit, before anything else is written.
    pub(crate) then: Box<dyn FnOnce() + Send>,
    pub(crate) done: oneshot::Sender<Result<(), AdminTaskError>>,
}

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminTaskError {
    /// The transaction failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The store had failed before.
    #[error("{0}")]
    Failed(String),
}

/// The closure that runs inside a transaction.
type SendTransactionBody = dyn FnMut(&mut dyn Records) -> Result<(), RequestError> + Send;

//! What the writer thread's queue carries.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Restore;
use crate::policy::{Case, Outcome, Ruleset, Session};
use crate::store::{Commit, Records, RequestError, StoreError};

/// Requests that may wait for the writer: more than there can be connections.
pub(crate) const QUEUE: usize = 65_536;

/// A request that has to be remembered.
pub(crate) struct PendingRequest {
    pub(crate) case: Case,
    pub(crate) session: Session,
    pub(crate) rules: Arc<Ruleset>,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// What the queue carries.
pub(crate) enum Message {
    /// Decide and remember.
    PendingRequest(Box<PendingRequest>),
    /// Do something for an administrator.
    AdminTask(Box<AdminTask>),
    /// Put a backup in place of the database.
    Restore(Box<Restore>),
    /// A reader came upon this.
    ReadFailed(StoreError),
}

/// Something that an administrator wants to be written, in a transaction of its own.
pub(crate) struct AdminTask {
    pub(crate) body: Box<SendTransactionBody>,
    /// How its transaction ends.
    pub(crate) end: Commit,
    /// What follows once it is committed, before anything else is written.
    pub(crate) then: Box<dyn FnOnce() + Send>,
    pub(crate) done: oneshot::Sender<Result<(), AdminTaskError>>,
}

/// Why a task was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminTaskError {
    /// It was tried.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The store was in trouble before.
    #[error("{0}")]
    Trouble(String),
}

/// The closure that runs inside a transaction.
type SendTransactionBody = dyn FnMut(&mut dyn Records) -> Result<(), RequestError> + Send;

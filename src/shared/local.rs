//! What the background task needs of its host: the records, and the time.

use std::pin::Pin;

use super::record::{Key, Record};
use crate::policy::Params;
use crate::types::Timestamp;

/// The state of the host.
#[derive(Debug, Clone, Copy)]
pub struct LocalState {
    /// The time of records.
    pub now: Timestamp,
    /// The parameters by which records expire.
    pub params: Params,
    /// Whether its records may be published: the database works, and its clock is trusted.
    pub may_publish: bool,
}

/// A change of the host's records to wait for.
pub type Change = Pin<Box<dyn Future<Output = bool> + Send>>;

/// The host.
pub trait Local: Send + Sync {
    /// Its state; `None` when the daemon ends.
    fn state(&self) -> Option<LocalState>;

    /// The records of these keys; `None` if they cannot be read.
    fn read(&self, keys: &[Key]) -> Option<Vec<Option<Record>>>;

    /// Merges these into the host's records, if they are still there; yields whether that was done.
    fn learn(&self, records: Vec<(Key, Record)>) -> Change;
}

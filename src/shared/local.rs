//! What the background task needs of its host: the records, and the time.

use std::pin::Pin;

use super::acts::Act;
use super::journal::{Journal, Step};
use super::record::{Key, Record};
use crate::policy::{Added, Params};
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

/// A change of the journal.
pub type JournalChange = Box<dyn FnOnce(&mut Journal) + Send>;

/// The host.
pub trait Local: Send + Sync {
    /// Its state; `None` when the daemon ends.
    fn state(&self) -> Option<LocalState>;

    /// The records of these keys; `None` if they cannot be read.
    fn read(&self, keys: &[Key]) -> Option<Vec<Option<Record>>>;

    /// Merges these into the host's records, if they are still there; yields whether that was done.
    fn learn(&self, records: Vec<(Key, Record)>) -> Change;

    /// The keys of at most `most` records that were seen since `since`, and where the next ones begin; `after` is empty
    /// for the first, and there is no next after the last. `None` if they cannot be read.
    fn page(
        &self,
        after: &[u8],
        since: Timestamp,
        most: usize,
    ) -> Option<(Vec<Key>, Option<Vec<u8>>)>;

    /// The time until which all records were published.
    fn sent_until(&self) -> Timestamp;

    /// Notes the time until which all records were published, if it has been `from` until now: otherwise the database has
    /// been replaced by a backup.
    fn set_sent_until(&self, from: Timestamp, to: Timestamp) -> Change;
}

/// What the background task does for the administrators of other hosts.
pub trait Administration: Send + Sync {
    /// What was carried out, and what is to be appended; `None` if that cannot be read.
    fn journal(&self) -> Option<Journal>;

    /// The entries that administrators have added.
    fn entries(&self) -> Vec<Added>;

    /// Carries out an act, and notes that step in the log; fails if the last one did not end where this one begins, because
    /// the database has been replaced by a backup.
    fn carry_out(&self, act: Option<Act>, step: Option<Step>) -> Change;

    /// Changes the journal.
    fn change(&self, change: JournalChange) -> Change;
}

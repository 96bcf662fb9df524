//! The store: durable records.
//!
//! A store is opened as two halves: any number of [`Reader`]s, which see the last commit and never
//! wait, and one [`Writer`], whose transactions are atomic. [`policy`](crate::policy) defines what the records mean;
//! here they are bytes ([`schema`]) in LMDB ([`lmdb`]) or, in tests and replays, in memory
//! ([`memory`]).
//!
//! # Error handling
//!
//! Nothing here logs. A store that cannot be opened returns an [`OpenError`], a failed read or write a [`StoreError`].
//! A working store that cannot fulfil a request returns a [`StoreRefusal`]. After an error the transaction has changed
//! nothing. The caller decides whether to retry: see [`StoreError::is_fatal_for_readers`].

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod error;
pub mod lmdb;
mod lock;
mod locked;
pub mod memory;
mod open;
mod opener;
mod privacy;
mod restore;
mod rows;
pub mod schema;
mod staging;
mod unclean;

use std::collections::BTreeMap;
use std::fs::File;

use crate::policy::{
    Added, Case, Changes, Client, ClientKey, ListName, Params, Pause, Sleep, SleepChange,
    StoredRecords, Triplet, TripletKey,
};
use crate::types::{Span, Timestamp};

pub use error::{RequestError, StoreError, StoreRefusal};
pub use lock::{Lock, LockError};
pub use locked::Locked;
pub use open::{OpenError, UncleanError};
pub use opener::{Halves, LockState, Opener};
pub use privacy::{KeyError, PrivacyError, PrivacyKey};
pub use restore::{BackupDefect, Fill, RestoreError, StagedBackup};
pub use rows::{Page, Row, RowKey, Scope};
pub use unclean::check_database;

/// How long hourly counters are retained: a year, and a month to compare it with.
const HISTORY: Span = Span::from_days(400);

/// What the daemon notes besides records. An earlier version ignores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The time until which all records were published to the other hosts.
    SentUntil,
    /// The acts of administrators that were carried out, and those that the other hosts do not have yet.
    Acts,
    /// The digest of the options of the last start.
    Options,
}

impl Note {
    /// Its key in the database.
    pub(crate) const fn key(self) -> &'static [u8] {
        match self {
            Self::SentUntil => b"sent-until",
            Self::Acts => b"acts",
            Self::Options => b"options",
        }
    }
}

/// Counters by name.
pub type Counters = BTreeMap<String, u64>;

/// Numbers of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordCounts {
    /// Waiting triplets, including expired ones that were not swept yet.
    pub waiting: u64,
    /// Triplets that have passed.
    pub passed: u64,
    /// Clients with a record.
    pub clients: u64,
    /// Tarpitted clients that have not (yet) survived their sleep.
    pub sleeps: u64,
}

/// The result of one slice of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Records removed.
    pub removed: u64,
    /// Whether this slice completed a pass over all records.
    pub finished: bool,
}

/// The reading half. Cheap to use from any thread.
pub trait Reader: Send + Sync {
    /// The records a decision needs.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn facts(&self, case: &Case) -> Result<StoredRecords, StoreError>;

    /// The numbers of records.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be counted.
    fn record_counts(&self) -> Result<RecordCounts, StoreError>;

    /// The last time stored by [`Writer::note_time`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn latest(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Number of clients with at least `threshold` counted passes. Reads every client.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn count_whitelisted(&self, threshold: u32) -> Result<u64, StoreError>;

    /// The next records of `scope` that are `wanted`: at most `most`, which counts as 1 if it is 0. `after` is empty
    /// for the first page, and [`Page::next`] of the page before for each other one.
    ///
    /// Tables come one after the other; the records of a table are sorted by key. Each page sees the last commit, and
    /// nothing is locked between pages. A record that does not change between two pages is listed once. A triplet that
    /// passes between them may be listed twice, as waiting and as passed; one that restarts, twice or not at all.
    ///
    /// A page reads a bounded number of records, so it may have no rows although `next` is set. Expired records that
    /// were not swept yet are listed.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::BadCursor`] when `after` is not a cursor of this scope, [`StoreRefusal::Hashed`] when a network
    /// is selected under `--privacy`, [`StoreError`] when the records cannot be read.
    fn page(
        &self,
        scope: &Scope,
        after: &[u8],
        most: usize,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Page, RequestError>;

    /// All runtime entries, sorted by list and text. Expired ones are included.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn entries(&self) -> Result<Vec<Added>, StoreError>;

    /// The last stored pause, which may be over.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn pause(&self) -> Result<Option<Pause>, StoreError>;

    /// What was noted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn note(&self, note: Note) -> Result<Option<Vec<u8>>, StoreError>;

    /// The stored counters of the hours from that of `from` to that of `to`, both included, each with the time at
    /// which its hour begins.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn history(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, Counters)>, StoreError>;

    /// Writes a copy of the last commit to `file`, at its current position: a data file that can be opened as a store.
    /// The copy is compacted, and does not contain the key of `--privacy`. Writing continues during the copy, but pages
    /// that become free are not reused before its end. The caller syncs the file to disk, because it may be a pipe.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::Copy`] when it cannot be written: the file is incomplete then. [`StoreError`] when the records
    /// cannot be read.
    fn copy_to(&self, file: &mut File) -> Result<(), RequestError>;
}

/// The records as a transaction reads and changes them.
pub trait Records {
    /// A triplet's record: that of this key, or else the one that the key [refers to](Self::move_triplet).
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn triplet(&self, key: &TripletKey) -> Result<Option<Triplet>, StoreError>;

    /// A client's record.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn client(&self, key: &ClientKey) -> Result<Option<Client>, StoreError>;

    /// The record of a client's sleep.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn sleep(&self, key: &ClientKey) -> Result<Option<Sleep>, StoreError>;

    /// Stores a triplet's record, replacing an older one. If the key refers to the record of another key, that record
    /// is replaced, unless the new one began later: then it is stored under this key.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored.
    fn put_triplet(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError>;

    /// Deletes the record of this key itself, because `to` has `record` instead. A record that the key refers to may
    /// belong to another client, and is kept. If `record` is waiting, the key refers to it until it passes, restarts or
    /// is deleted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that cannot be stored.
    fn move_triplet(
        &mut self,
        key: &TripletKey,
        to: &TripletKey,
        record: Triplet,
    ) -> Result<(), StoreError>;

    /// Stores a client's record, replacing an older one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored.
    fn put_client(&mut self, key: &ClientKey, record: Client) -> Result<(), StoreError>;

    /// Stores or deletes the record of a client's sleep.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that fails.
    fn change_sleep(&mut self, key: &ClientKey, change: SleepChange) -> Result<(), StoreError>;

    /// Deletes a triplet, or the one that the key refers to; returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be deleted.
    fn remove_triplet(&mut self, key: &TripletKey) -> Result<bool, StoreError>;

    /// Deletes a client's record, not that of its sleep; returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be deleted.
    fn remove_client(&mut self, key: &ClientKey) -> Result<bool, StoreError>;

    /// Deletes the record of a listed row, by the stored key, unless it has changed state since: a triplet that passed
    /// or restarted, a client or sleep that was deleted and created again. Returns whether it was deleted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be deleted.
    fn remove_row(&mut self, row: &Row) -> Result<bool, StoreError>;

    /// Stores a runtime entry, replacing one of the same list and text. `--privacy` does not hash entries.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::Length`] when its text or comment is too long, [`StoreError`] when it cannot be stored.
    fn put_entry(&mut self, entry: &Added) -> Result<(), RequestError>;

    /// Deletes a runtime entry; returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be deleted.
    fn remove_entry(&mut self, list: ListName, text: &str) -> Result<bool, StoreError>;

    /// Stores a pause, or deletes it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored.
    fn put_pause(&mut self, pause: Option<Pause>) -> Result<(), StoreError>;

    /// What was noted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn note(&self, note: Note) -> Result<Option<Vec<u8>>, StoreError>;

    /// Notes something, or nothing any more.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored.
    fn put_note(&mut self, note: Note, value: Option<&[u8]>) -> Result<(), StoreError>;

    /// Adds to the counters of the hour that contains `hour`.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::Length`] when a name is empty or longer than 255 bytes, [`StoreError`] when the counters cannot
    /// be stored.
    fn add_counters(&mut self, hour: Timestamp, counters: &Counters) -> Result<(), RequestError>;

    /// Stores a triplet's record under this key, and under the key that this one refers to.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored.
    fn put_under_both(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError> {
        self.put_triplet(key, record)?;
        if self.triplet(key)?.is_none() {
            self.put_triplet(key, record)?;
        }
        Ok(())
    }

    /// The records a decision needs.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn facts(&self, case: &Case) -> Result<StoredRecords, StoreError> {
        let client = case.client.as_ref().map(|key| self.client(key));
        let triplet = case.triplet.as_ref().map(|key| self.triplet(key));
        let sleep = case.sleep.as_ref().map(|key| self.sleep(key));
        let mut facts = StoredRecords {
            client: client.transpose()?.flatten(),
            triplet: triplet.transpose()?.flatten(),
            sleep: sleep.transpose()?.flatten(),
            ..StoredRecords::default()
        };
        for (key, place) in case.others.iter().zip(&mut facts.others) {
            *place = self.triplet(key)?;
        }
        Ok(facts)
    }

    /// Stores the changes of a decision. A durable change of a triplet is stored under its first name; records under
    /// its other names are deleted, and while the triplet waits, these names refer to it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be stored.
    fn apply(&mut self, case: &Case, changes: &Changes) -> Result<(), StoreError> {
        if let (Some(key), Some(triplet)) = (case.name(changes), changes.triplet) {
            if changes.durable && triplet.is_passed() {
                // Other servers of the client may be known only by the name that this one refers to.
                self.put_under_both(key, triplet)?;
            } else {
                self.put_triplet(key, triplet)?;
            }
            if changes.durable {
                for other in &case.others {
                    self.move_triplet(other, key, triplet)?;
                }
            }
        }
        if let (Some(key), Some(client)) = (&case.client, changes.client) {
            self.put_client(key, client)?;
        }
        if let (Some(key), Some(change)) = (&case.sleep, changes.sleep) {
            self.change_sleep(key, change)?;
        }
        Ok(())
    }
}

/// Adds `more` to `total`.
fn add_up(total: &mut Counters, more: &Counters) {
    for (word, count) in more {
        let sum = total.entry(word.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
}

/// The closure that runs inside a transaction.
pub type TransactionBody<'a> = dyn FnMut(&mut dyn Records) -> Result<(), RequestError> + 'a;

/// How a transaction ends after its closure has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// The changes are committed.
    Keep,
    /// The changes are undone: a dry run.
    Discard,
}

/// The writing half.
pub trait Writer: Send {
    /// Runs `body` in one transaction and ends it as `end` says. After an error nothing is changed.
    ///
    /// # Errors
    ///
    /// The error of the closure, or [`StoreError`] when the commit fails.
    fn run(&mut self, body: &mut TransactionBody<'_>, end: Commit) -> Result<(), RequestError>;

    /// Runs `body` in one transaction and commits it. After an error nothing is changed.
    ///
    /// # Errors
    ///
    /// The error of the closure, or [`StoreError`] when the commit fails.
    fn transact(&mut self, body: &mut TransactionBody<'_>) -> Result<(), RequestError> {
        self.run(body, Commit::Keep)
    }

    /// Deletes expired records: one bounded slice of the work.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when reading or deleting fails.
    fn sweep(&mut self, now: Timestamp, params: &Params) -> Result<Swept, StoreError>;

    /// Whether there is space for more than a few new records.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that cannot be determined.
    fn has_room(&self) -> Result<bool, StoreError>;

    /// Stores the time `now`, so that the next start detects a clock that was set back.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored.
    fn note_time(&mut self, now: Timestamp) -> Result<(), StoreError>;

    /// Writes a value without meaning, to test whether the store is writable.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it is not.
    fn probe(&mut self) -> Result<(), StoreError>;

    /// Syncs everything committed to disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that fails.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Checks that the open data file is still at its path. Each commit does so too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Replaced`] when it was moved, removed or replaced.
    fn check_file(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod agreement_tests;
#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;

//! The records, kept.
//!
//! A store is opened as two halves: any number of [`Reader`]s, which see the last commit and never
//! wait, and one [`Writer`], whose transactions are all or nothing. What the records mean is the
//! core's business; here they are bytes ([`schema`]) in LMDB ([`lmdb`]) or, in tests, in memory
//! ([`memory`]).
//!
//! # Error handling
//!
//! Nothing here logs. A store that cannot be opened is an [`OpenError`]; reading or writing that fails is a
//! [`StoreError`]; what was asked for and cannot be had, with nothing wrong in the store, is a [`StoreRefusal`]. After an
//! error the transaction has changed nothing. Whether to try again is the caller's decision: see
//! [`StoreError::is_fatal_for_readers`].

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
    Added, Case, Changes, Client, ClientKey, Facts, ListName, Params, Pause, Sleep, SleepChange,
    Triplet, TripletKey,
};
use crate::types::{Span, Timestamp};

pub use error::{RequestError, StoreError, StoreRefusal};
pub use lock::{Lock, LockError};
pub use locked::Locked;
pub use open::{OpenError, UncleanError};
pub use opener::{Halves, LockState, Opener};
pub use privacy::PrivacyError;
pub use restore::{BackupDefect, Fill, RestoreError, StagedBackup};
pub use rows::{Page, Row, RowKey, Scope};
pub use unclean::check_database;

/// How long the counters of an hour are kept: a year and a month to compare it with.
const HISTORY: Span = Span::from_days(400);

/// Counters by their words.
pub type Counters = BTreeMap<String, u64>;

/// How many records there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordCounts {
    /// Triplets that wait, those whose time is over but which were not swept yet included.
    pub waiting: u64,
    /// Triplets that have passed.
    pub passed: u64,
    /// Clients with a record.
    pub clients: u64,
    /// Clients that were told to sleep and have not been seen to survive.
    pub sleeps: u64,
}

/// What one slice of sweeping did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Records removed.
    pub removed: u64,
    /// Whether this slice was the last of a pass over everything.
    pub finished: bool,
}

/// The reading half. Cheap to ask from any thread.
pub trait Reader: Send + Sync {
    /// The records a decision needs.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn facts(&self, case: &Case) -> Result<Facts, StoreError>;

    /// How many records there are.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be counted.
    fn record_counts(&self) -> Result<RecordCounts, StoreError>;

    /// The latest time that [`Writer::note_time`] noted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn latest(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How many clients have at least `threshold` counted passes. Looks at every client.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn count_whitelisted(&self, threshold: u32) -> Result<u64, StoreError>;

    /// The next records of `scope` that are `wanted`, at most `most` of them but at least one. `after` is empty for
    /// the first page and [`Page::next`] of the page before for any other.
    ///
    /// Tables come one after the other, records inside a table by their keys. Each page sees the last commit, and
    /// nothing is held from one page to the next. What is not changed meanwhile is seen once. A triplet that
    /// passes meanwhile may be seen twice, as waiting and as passed; one that begins anew may be seen twice or
    /// not at all.
    ///
    /// A page looks at a bounded number of records, so it may have no rows and yet a `next`. Records whose time
    /// is over but which were not swept yet are among them.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::BadCursor`] when `after` is none of a page of this scope, [`StoreRefusal::Hashed`] when a
    /// network is asked for under `--privacy`, [`StoreError`] when the records cannot be read.
    fn page(
        &self,
        scope: &Scope,
        after: &[u8],
        most: usize,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Page, RequestError>;

    /// All entries that were added, by list and text. Those whose time is over are among them.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn entries(&self) -> Result<Vec<Added>, StoreError>;

    /// The pause that was last stored, over or not.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn pause(&self) -> Result<Option<Pause>, StoreError>;

    /// The counters of the hours from that of `from` to that of `to`, both included, as far as there are any.
    /// Each with the time at which the hour begins.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn history(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, Counters)>, StoreError>;

    /// Writes a copy of the last commit to `file` from where it stands: a data file that can be opened as a
    /// store. It is as small as it can be, and the key of `--privacy` is not in it. Writers go on meanwhile, but
    /// the space of what they remove is not used again before the copy is done. Making sure that the copy is on
    /// the disk is left to the caller, for `file` may be a pipe.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::Copy`] when it cannot be written: what is in the file is of no use then. [`StoreError`] when the
    /// records cannot be read.
    fn copy_to(&self, file: &mut File) -> Result<(), RequestError>;
}

/// What a transaction sees and may change.
pub trait Records {
    /// A triplet's record: the one of this key, or else the one that the key [leads to](Self::move_triplet).
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

    /// Keeps a triplet's record in place of any older one. Where the key leads to the record of another key, that one
    /// is replaced, unless the new record was begun later: that one belongs to this key.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
    fn put_triplet(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError>;

    /// Removes the record of this key itself: `to` has `record` in place of it. The record that the key leads to may be
    /// another client's, and stays. If `record` waits, the key leads to it from now on, until it passes, is begun anew or is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that cannot be kept.
    fn move_triplet(
        &mut self,
        key: &TripletKey,
        to: &TripletKey,
        record: Triplet,
    ) -> Result<(), StoreError>;

    /// Keeps a client's record in place of any older one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
    fn put_client(&mut self, key: &ClientKey, record: Client) -> Result<(), StoreError>;

    /// Keeps the record of a client's sleep, or removes it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
    fn change_sleep(&mut self, key: &ClientKey, change: SleepChange) -> Result<(), StoreError>;

    /// Forgets a triplet, or the one that the key leads to; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be removed.
    fn remove_triplet(&mut self, key: &TripletKey) -> Result<bool, StoreError>;

    /// Forgets a client's record, not that of its sleep; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be removed.
    fn remove_client(&mut self, key: &ClientKey) -> Result<bool, StoreError>;

    /// Forgets what a page has shown, by the stored key, if the record is still of the same state: a triplet
    /// that has not passed or begun anew since, a client that was not forgotten and counted anew, the same sleep.
    /// Says whether it was removed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be removed.
    fn remove_row(&mut self, row: &Row) -> Result<bool, StoreError>;

    /// Keeps an entry in place of any of the same list and text. It is kept as it is under `--privacy` too.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::Length`] when its text or its comment is too long, [`StoreError`] when it cannot be kept.
    fn put_entry(&mut self, entry: &Added) -> Result<(), RequestError>;

    /// Removes an entry; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be removed.
    fn remove_entry(&mut self, list: ListName, text: &str) -> Result<bool, StoreError>;

    /// Stores a pause, or that there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be stored.
    fn put_pause(&mut self, pause: Option<Pause>) -> Result<(), StoreError>;

    /// Adds to the counters of the hour that `hour` lies in.
    ///
    /// # Errors
    ///
    /// [`StoreRefusal::Length`] when a word is empty or longer than 255 bytes, [`StoreError`] when the counters cannot
    /// be kept.
    fn add_counters(&mut self, hour: Timestamp, counters: &Counters) -> Result<(), RequestError>;

    /// Keeps a triplet's record under this key, and in place of the one that it leads to.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
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
    fn facts(&self, case: &Case) -> Result<Facts, StoreError> {
        let client = case.client.as_ref().map(|key| self.client(key));
        let triplet = case.triplet.as_ref().map(|key| self.triplet(key));
        let sleep = case.sleep.as_ref().map(|key| self.sleep(key));
        let mut facts = Facts {
            client: client.transpose()?.flatten(),
            triplet: triplet.transpose()?.flatten(),
            sleep: sleep.transpose()?.flatten(),
            ..Facts::default()
        };
        for (key, place) in case.others.iter().zip(&mut facts.others) {
            *place = self.triplet(key)?;
        }
        Ok(facts)
    }

    /// Keeps what a decision changed. A durable change of a triplet is kept under its first name: there is no record
    /// under its other names then, and while it waits, they lead to this one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
    fn apply(&mut self, case: &Case, changes: &Changes) -> Result<(), StoreError> {
        if let (Some(key), Some(triplet)) = (case.name(changes), changes.triplet) {
            if changes.durable && triplet.is_passed() {
                // Other servers of the client may be known by the name that this one leads to, and by that alone.
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

/// Adds counters to others.
fn add_up(total: &mut Counters, more: &Counters) {
    for (word, count) in more {
        let sum = total.entry(word.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
}

/// The closure that runs inside a transaction.
pub type TransactionBody<'a> = dyn FnMut(&mut dyn Records) -> Result<(), RequestError> + 'a;

/// How a transaction ends whose closure has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// What was changed is committed.
    Keep,
    /// What was changed is undone: the closure was only tried.
    Discard,
}

/// The writing half.
pub trait Writer: Send {
    /// Runs `body` in one transaction, which ends as `end` says; after an error nothing is changed.
    ///
    /// # Errors
    ///
    /// The error of the closure, or [`StoreError`] when the commit fails.
    fn run(&mut self, body: &mut TransactionBody<'_>, end: Commit) -> Result<(), RequestError>;

    /// Runs `body` in one transaction and commits it; after an error nothing is changed.
    ///
    /// # Errors
    ///
    /// The error of the closure, or [`StoreError`] when the commit fails.
    fn transact(&mut self, body: &mut TransactionBody<'_>) -> Result<(), RequestError> {
        self.run(body, Commit::Keep)
    }

    /// Removes records whose time is over: one bounded slice of the work.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when reading or removing fails.
    fn sweep(&mut self, now: Timestamp, params: &Params) -> Result<Swept, StoreError>;

    /// Whether there is room for more than a few new records.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that cannot be read.
    fn has_room(&self) -> Result<bool, StoreError>;

    /// Notes that it is `now`, so that a clock that was set back is noticed at the next start.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
    fn note_time(&mut self, now: Timestamp) -> Result<(), StoreError>;

    /// Writes something that means nothing, to see whether the store can be written to.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot.
    fn probe(&mut self) -> Result<(), StoreError>;

    /// Makes sure that everything committed is on the disk itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the disk refuses.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Sees that what is written to can still be found. Each commit does so too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Replaced`] when it is somewhere else or nowhere.
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

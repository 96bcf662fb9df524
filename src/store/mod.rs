//! The records, kept.
//!
//! A store is opened as two halves: any number of [`Reader`]s, which see the last commit and never
//! wait, and one [`Writer`], whose transactions are all or nothing. What the records mean is the
//! core's business; here they are bytes ([`schema`]) in LMDB ([`lmdb`]) or, in tests, in memory
//! ([`memory`]).
//!
//! # Error handling
//!
//! Nothing here logs. Every failure is a [`StoreError`]; after one the transaction has changed nothing.
//! Whether to try again is the caller's decision: see [`StoreError::is_fatal_for_readers`].

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod lmdb;
mod lock;
pub mod memory;
mod privacy;
mod rows;
pub mod schema;
mod unclean;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;

use crate::policy::{
    Added, Changes, Client, ClientKey, Facts, ListName, Params, Pause, Query, Sleep, SleepChange,
    Triplet, TripletKey,
};
use crate::types::{Span, Timestamp};

pub use lock::{Lock, LockError, Locked};
pub use rows::{Page, Row, RowKey, Scope};
pub use unclean::prove_database;

/// How long the counters of an hour are kept: a year and a month to compare it with.
const HISTORY: Span = Span::from_days(400);

/// Counters by their words.
pub type Tally = BTreeMap<String, u64>;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `--max-size` is reached.
    #[error(
        "the database has reached --max-size; give it more, or shorten --retry-window or --max-age"
    )]
    Full,
    /// The data file ends before the data do.
    #[error(
        "{file} is torn: it has {found} bytes and needs {needed}; \
         stop stargrey, move the file away or put a backup in its place, and start again"
    )]
    Torn {
        /// The data file.
        file: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The least size that holds its data.
        needed: u64,
    },
    /// The data file is of something else.
    #[error("{0} is no database of stargrey; move it away or name another --dbdir")]
    Foreign(PathBuf),
    /// Written by a later stargrey.
    #[error(
        "the database has format {found} and this stargrey knows up to {known}; install a later stargrey"
    )]
    Newer {
        /// The format found.
        found: u32,
        /// The last format known.
        known: u32,
    },
    /// A filled database of the other kind.
    #[error(
        "the database was filled {}; keep that, or start with an empty --dbdir",
        if *.hashed { "with --privacy" } else { "without --privacy" }
    )]
    Mode {
        /// Whether its keys are hashes.
        hashed: bool,
    },
    /// The key of `--privacy` is not the one that the database was filled with.
    #[error("{0} is not the key that the database was filled with; put the right one there")]
    WrongKey(PathBuf),
    /// The data file was taken away from under the daemon.
    #[error(
        "{0} was moved, removed or replaced while it was in use; what is there now is opened in its place"
    )]
    Replaced(PathBuf),
    /// The process that read the database first has failed.
    #[error(
        "{file} is damaged: a process that read all of it has failed ({status}); \
         stop stargrey, move the file away or put a backup in its place, and start again"
    )]
    Unsound {
        /// The data file.
        file: PathBuf,
        /// How the process ended.
        status: ExitStatus,
    },
    /// The daemon has died of it, as it seems.
    #[error(
        "stargreyd has ended without notice {times} times in a row, so {file} stays closed; \
         stop stargrey, move the file away or put a backup in its place, and start again; \
         if something else has ended it, remove {mark}"
    )]
    Suspected {
        /// The data file.
        file: PathBuf,
        /// What says so.
        mark: PathBuf,
        /// Ends in a row.
        times: u32,
    },
    /// A process reads the database first.
    #[error(
        "stargreyd has ended without notice more than once, so all of {0} is read before it is used"
    )]
    Proving(PathBuf),
    /// A record that has no meaning.
    #[error(
        "a record of the database cannot be read; \
         stop stargrey, move data.mdb away or put a backup in its place, and start again"
    )]
    Record,
    /// Pages that have no meaning.
    #[error(
        "the database is damaged ({0}); \
         stop stargrey, move data.mdb away or put a backup in its place, and start again"
    )]
    Damaged(heed::MdbError),
    /// A file cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock cannot be had.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// LMDB's own complaint.
    #[error("LMDB: {0}")]
    Lmdb(heed::Error),
    /// A page was asked for with a cursor that no page has yielded.
    #[error("this is no place to go on from")]
    BadCursor,
    /// A network was asked for where only hashes are kept.
    #[error("under --privacy records cannot be found by their network")]
    Hashed,
    /// A text that cannot be kept.
    #[error("a text of {found} bytes cannot be kept, only one of {least} to {most}")]
    Length {
        /// Its length.
        found: usize,
        /// The least length.
        least: usize,
        /// The greatest length.
        most: usize,
    },
    /// The copy cannot be written.
    #[error("the copy: {0}")]
    Copy(heed::Error),
    /// The thread that writes cannot be had.
    #[error("a thread: {0}")]
    Thread(io::Error),
    /// No answer of the writer in time.
    #[error("no commit within {0} seconds; is the disk alive?")]
    Slow(u64),
    /// More work than the writer can take.
    #[error("{0} requests are waiting for the database already")]
    Busy(usize),
    /// In trouble that was told of already.
    #[error("{0}")]
    Trouble(String),
    /// Everything was done as asked and then undone, as asked.
    #[error("a trial run, nothing is changed")]
    Trial,
    /// Not open, or closed for good.
    #[error("the database is not open")]
    Closed,
}

impl StoreError {
    /// Whether not even reading makes sense after this: the data themselves are in doubt.
    #[must_use]
    pub fn is_fatal_for_readers(&self) -> bool {
        match self {
            Self::Full
            | Self::Slow(_)
            | Self::Busy(_)
            | Self::BadCursor
            | Self::Hashed
            | Self::Length { .. }
            | Self::Copy(_)
            | Self::Trouble(_)
            | Self::Trial
            | Self::Lmdb(heed::Error::Io(_))
            | Self::File { .. } => false,
            Self::Torn { .. }
            | Self::Replaced(_)
            | Self::Unsound { .. }
            | Self::Proving(_)
            | Self::Suspected { .. }
            | Self::Foreign(_)
            | Self::Newer { .. }
            | Self::Mode { .. }
            | Self::WrongKey(_)
            | Self::Record
            | Self::Damaged(_)
            | Self::Thread(_)
            | Self::Lock(_)
            | Self::Lmdb(_)
            | Self::Closed => true,
        }
    }

    /// Whether what was asked for cannot be had, and the store is as well as before.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::BadCursor
                | Self::Hashed
                | Self::Length { .. }
                | Self::Copy(_)
                | Self::Trouble(_)
                | Self::Trial
        )
    }

    /// Whether the options are wrong rather than the disk: nothing but the administrator can mend it.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Mode { .. } | Self::WrongKey(_))
    }
}

impl From<heed::Error> for StoreError {
    fn from(error: heed::Error) -> Self {
        use heed::MdbError;
        match error {
            heed::Error::Mdb(MdbError::MapFull) => Self::Full,
            heed::Error::Mdb(damage @ (MdbError::Corrupted | MdbError::PageNotFound)) => {
                Self::Damaged(damage)
            }
            heed::Error::Mdb(_)
            | heed::Error::Io(_)
            | heed::Error::Encoding(_)
            | heed::Error::Decoding(_)
            | heed::Error::EnvAlreadyOpened => Self::Lmdb(error),
        }
    }
}

/// How many records there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
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
    fn facts(&self, query: &Query) -> Result<Facts, StoreError>;

    /// How many records there are.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be counted.
    fn figures(&self) -> Result<Figures, StoreError>;

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
    /// [`StoreError::BadCursor`] when `after` is none of a page of this scope, [`StoreError::Hashed`] when a
    /// network is asked for under `--privacy`, any other when the records cannot be read.
    fn page(
        &self,
        scope: &Scope,
        after: &[u8],
        most: usize,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Page, StoreError>;

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
    ) -> Result<Vec<(Timestamp, Tally)>, StoreError>;

    /// Writes a copy of the last commit to `file` from where it stands: a data file that can be opened as a
    /// store. It is as small as it can be, and the key of `--privacy` is not in it. Writers go on meanwhile, but
    /// the space of what they remove is not used again before the copy is done. Making sure that the copy is on
    /// the disk is left to the caller, for `file` may be a pipe.
    ///
    /// # Errors
    ///
    /// [`StoreError::Copy`] when it cannot be written: what is in the file is of no use then. Any other when the
    /// records cannot be read.
    fn copy_to(&self, file: &mut File) -> Result<(), StoreError>;
}

/// What a transaction sees and may change.
pub trait Records {
    /// A triplet's record.
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

    /// Keeps a triplet's record in place of any older one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
    fn put_triplet(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError>;

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

    /// Forgets a triplet; says whether there was one.
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
    /// [`StoreError::Length`] when its text or its comment is too long, any other when it cannot be kept.
    fn put_entry(&mut self, entry: &Added) -> Result<(), StoreError>;

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
    /// [`StoreError::Length`] when a word is empty or longer than 255 bytes, any other when the counters cannot
    /// be kept.
    fn add_tally(&mut self, hour: Timestamp, tally: &Tally) -> Result<(), StoreError>;

    /// The records a decision needs.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn facts(&self, query: &Query) -> Result<Facts, StoreError> {
        let client = query.client.as_ref().map(|key| self.client(key));
        let triplet = query.triplet.as_ref().map(|key| self.triplet(key));
        let sleep = query.sleep.as_ref().map(|key| self.sleep(key));
        Ok(Facts {
            client: client.transpose()?.flatten(),
            triplet: triplet.transpose()?.flatten(),
            sleep: sleep.transpose()?.flatten(),
        })
    }

    /// Keeps what a decision changed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be kept.
    fn apply(&mut self, query: &Query, changes: &Changes) -> Result<(), StoreError> {
        if let (Some(key), Some(triplet)) = (&query.triplet, changes.triplet) {
            self.put_triplet(key, triplet)?;
        }
        if let (Some(key), Some(client)) = (&query.client, changes.client) {
            self.put_client(key, client)?;
        }
        if let (Some(key), Some(change)) = (&query.sleep, changes.sleep) {
            self.change_sleep(key, change)?;
        }
        Ok(())
    }
}

/// Adds counters to others.
fn add_up(total: &mut Tally, more: &Tally) {
    for (word, count) in more {
        let sum = total.entry(word.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
}

/// A piece of work inside a transaction.
pub type Job<'a> = dyn FnMut(&mut dyn Records) -> Result<(), StoreError> + 'a;

/// The writing half.
pub trait Writer: Send {
    /// Runs `job` in one transaction and commits it; after an error nothing is changed.
    ///
    /// # Errors
    ///
    /// The job's, or [`StoreError`] when the commit fails.
    fn transact(&mut self, job: &mut Job<'_>) -> Result<(), StoreError>;

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
    fn look(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Both halves.
pub type Halves = (Arc<dyn Reader>, Box<dyn Writer>);

/// Opens a store, again and again if it must be.
pub trait Opener: Send {
    /// Opens it. The halves of an earlier opening must be gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] says what stands in the way.
    fn open(&self) -> Result<Halves, StoreError>;

    /// Whether the database has hashes instead of addresses (`--privacy`).
    fn is_hashed(&self) -> bool {
        false
    }

    /// Sees that what keeps others off is still in its place, and puts it there if not. Says whether it was.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be put there.
    fn keep(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Notes that what was opened does its work, or was closed in good order.
    fn settle(&self) {}
}

#[cfg(test)]
mod agreement_tests;
#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;

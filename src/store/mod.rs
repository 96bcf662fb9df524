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

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::policy::{
    Changes, Client, ClientKey, Facts, Params, Query, Sleep, SleepChange, Triplet, TripletKey,
};
use crate::types::Timestamp;

pub use lock::{Lock, LockError};
pub use rows::{Page, Row, RowKey};

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
    /// LMDB's own complaint.
    #[error("LMDB: {0}")]
    Lmdb(heed::Error),
    /// The thread that writes cannot be had.
    #[error("a thread: {0}")]
    Thread(io::Error),
    /// No answer of the writer in time.
    #[error("no commit within {0} seconds; is the disk alive?")]
    Slow(u64),
    /// More work than the writer can take.
    #[error("{0} requests are waiting for the database already")]
    Busy(usize),
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
            | Self::Lmdb(heed::Error::Io(_))
            | Self::File { .. } => false,
            Self::Torn { .. }
            | Self::Foreign(_)
            | Self::Newer { .. }
            | Self::Mode { .. }
            | Self::WrongKey(_)
            | Self::Record
            | Self::Damaged(_)
            | Self::Thread(_)
            | Self::Lmdb(_)
            | Self::Closed => true,
        }
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
}

#[cfg(test)]
mod tests;

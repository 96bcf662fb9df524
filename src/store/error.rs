//! Why reading or writing fails, and what is refused although nothing is wrong with the store.

use std::io;
use std::path::PathBuf;

/// Why a read or a commit has failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `--max-size` is reached.
    #[error(
        "the database has reached --max-size; give it more, or shorten --retry-window or --max-age"
    )]
    Full,
    /// The data file was taken away from under the daemon.
    #[error("{0} was moved, removed or replaced while in use; opening the file that is there now")]
    Replaced(PathBuf),
    /// A record that has no meaning.
    #[error(
        "the database has an invalid record; \
         stop stargrey, move data.mdb away or put a backup in its place, and start again"
    )]
    Record,
    /// Pages that have no meaning.
    #[error(
        "the database is damaged ({0}); \
         stop stargrey, move data.mdb away or put a backup in its place, and start again"
    )]
    Damaged(heed::MdbError),
    /// The data file cannot be looked at.
    #[error("{path}: {source}")]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// LMDB's own complaint.
    #[error("LMDB: {0}")]
    Lmdb(heed::Error),
    /// Not open, or closed for good.
    #[error("the database is not open")]
    Closed,
}

impl StoreError {
    /// Whether not even reading makes sense after this: the data themselves are in doubt.
    #[must_use]
    pub const fn is_fatal_for_readers(&self) -> bool {
        match self {
            Self::Full | Self::Lmdb(heed::Error::Io(_)) | Self::File { .. } => false,
            Self::Replaced(_) | Self::Record | Self::Damaged(_) | Self::Lmdb(_) | Self::Closed => {
                true
            }
        }
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

/// Why a request cannot be met by a store that works.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A page was asked for with a cursor that no page has yielded.
    #[error("invalid cursor")]
    BadCursor,
    /// A network was asked for where only hashes are kept.
    #[error("with --privacy, records cannot be searched by network")]
    Hashed,
    /// A text that cannot be kept.
    #[error("a string of {found} bytes cannot be stored, only {least} to {most} bytes")]
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
}

/// Why a request was not met.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It cannot be met; the store is as well as before.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<heed::Error> for RequestError {
    fn from(error: heed::Error) -> Self {
        StoreError::from(error).into()
    }
}

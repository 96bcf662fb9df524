//! Errors of reading and writing, and refusals by a working store.

use std::io;
use std::path::PathBuf;

/// Why a read or a commit failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `--max-size` is reached.
    #[error(
        "the database has reached --max-size; give it more, or shorten --retry-window or --max-age"
    )]
    Full,
    /// The data file was moved, removed or replaced while it was open.
    #[error("{0} was moved, removed or replaced while in use; opening the file that is there now")]
    Replaced(PathBuf),
    /// An invalid record.
    #[error(
        "the database has an invalid record; \
         stop stargrey, move data.mdb away or put a backup in its place, and start again"
    )]
    Record,
    /// Invalid pages.
    #[error(
        "the database is damaged ({0}); \
         stop stargrey, move data.mdb away or put a backup in its place, and start again"
    )]
    Damaged(heed::MdbError),
    /// The metadata of the data file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An error of LMDB.
    #[error("LMDB: {0}")]
    Lmdb(heed::Error),
    /// Not open, or shut down.
    #[error("the database is not open")]
    Closed,
}

impl StoreError {
    /// Whether reading must stop too, because the data may be damaged.
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

/// Why a working store refuses a request.
#[derive(Debug, thiserror::Error)]
pub enum StoreRefusal {
    /// Invalid cursor: not from [`Page::next`](super::Page::next).
    #[error("invalid cursor")]
    BadCursor,
    /// Selection by network in a database of hashes.
    #[error("with --privacy, records cannot be searched by network")]
    Hashed,
    /// A text with an invalid length.
    #[error("a string of {found} bytes cannot be stored, only {least} to {most} bytes")]
    Length {
        /// Its length in bytes.
        found: usize,
        /// The minimum length.
        least: usize,
        /// The maximum length.
        most: usize,
    },
    /// The backup cannot be written.
    #[error("the copy: {0}")]
    Copy(heed::Error),
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It was refused; the store works.
    #[error(transparent)]
    Refused(#[from] StoreRefusal),
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<heed::Error> for RequestError {
    fn from(error: heed::Error) -> Self {
        StoreError::from(error).into()
    }
}

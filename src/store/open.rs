//! Why a store cannot be opened.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::StoreError;
use super::lock::LockError;
use super::privacy::{KeyError, PrivacyError};

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `--privacy` does not match the database; the administrator must fix that.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The daemon has crashed or was killed, possibly because of the database.
    #[error(transparent)]
    Unclean(#[from] UncleanError),
    /// The data file is truncated.
    #[error(
        "{file} is truncated: it has {found} bytes and needs {needed}; \
         stop stargrey, move the file away or put a backup in its place, and start again"
    )]
    Truncated {
        /// The data file.
        file: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The minimum size for its data.
        needed: u64,
    },
    /// The data file is not a database of stargrey.
    #[error("{0} is not a database of stargrey; move it away or use another --dbdir")]
    Foreign(PathBuf),
    /// Written by a later stargrey.
    #[error(
        "the database has format {found}, this stargrey supports up to {known}; install a later stargrey"
    )]
    Newer {
        /// The format found.
        found: u32,
        /// The last format known.
        known: u32,
    },
    /// A file cannot be opened, read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The opened database cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeyError> for OpenError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Privacy(error) => error.into(),
            KeyError::File { path, source } => Self::File { path, source },
        }
    }
}

impl From<heed::Error> for OpenError {
    fn from(error: heed::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// Why a database stays closed after unclean ends.
#[derive(Debug, thiserror::Error)]
pub enum UncleanError {
    /// The child process that read the database has failed.
    #[error(
        "{file} is damaged: the process that read it has failed ({status}); \
         stop stargrey, move the file away or put a backup in its place, and start again"
    )]
    Damaged {
        /// The data file.
        file: PathBuf,
        /// How the process ended.
        status: ExitStatus,
    },
    /// The daemon has probably crashed because of it.
    #[error(
        "stargreyd has crashed or was killed {times} times in a row, so {file} stays closed; \
         stop stargrey, move the file away or put a backup in its place, and start again; \
         if the database is not the cause, remove {mark}"
    )]
    ManyCrashes {
        /// The data file.
        file: PathBuf,
        /// The path of the mark.
        mark: PathBuf,
        /// Unclean ends in a row.
        times: u32,
    },
    /// The child process is reading the database.
    #[error("stargreyd has crashed or was killed more than once: reading all of {0} before use")]
    Checking(PathBuf),
    /// The child process cannot be started.
    #[error("{path}: {source}")]
    Child {
        /// The data file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

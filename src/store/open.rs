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
    /// `--privacy` does not fit the database; nothing but the administrator can mend it.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The daemon has ended without notice, and the database may be why.
    #[error(transparent)]
    Unclean(#[from] UncleanError),
    /// The data file ends before the data do.
    #[error(
        "{file} is truncated: it has {found} bytes and needs {needed}; \
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
    /// A file cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was opened cannot be read or written.
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
    /// The process that read the database first has failed.
    #[error(
        "{file} is damaged: the process that read it has failed ({status}); \
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
        "stargreyd has crashed or was killed {times} times in a row, so {file} stays closed; \
         stop stargrey, move the file away or put a backup in its place, and start again; \
         if the database is not the cause, remove {mark}"
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
    #[error("stargreyd has crashed or was killed more than once: reading all of {0} before use")]
    Proving(PathBuf),
    /// That process cannot be had.
    #[error("{path}: {source}")]
    Child {
        /// The data file that it was to read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

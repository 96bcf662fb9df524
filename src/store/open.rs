//! Opening a store, and why that fails.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    Candidate, Fill, LockError, PrivacyError, Reader, RestoreError, StoreError, UncleanError,
    Writer,
};

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

impl From<heed::Error> for OpenError {
    fn from(error: heed::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// Both halves.
pub type Halves = (Arc<dyn Reader>, Box<dyn Writer>);

/// What was found of that which keeps others off.
#[derive(Debug)]
pub enum Kept {
    /// All of it, or nothing that was not said before.
    InPlace,
    /// A part was missing, and is there again.
    Restored,
    /// A part is missing and cannot be put there; the rest keeps others off.
    InPart(LockError),
}

/// Opens a store, again and again if it must be.
pub trait Opener: Send + Sync {
    /// Opens it. The halves of an earlier opening must be gone.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what stands in the way.
    fn open(&self) -> Result<Halves, OpenError>;

    /// Whether the database has hashes instead of addresses (`--privacy`).
    fn is_hashed(&self) -> bool {
        false
    }

    /// Sees that what keeps others off is still in its place, and puts it there if not.
    ///
    /// # Errors
    ///
    /// [`LockError`] when nothing keeps others off any more.
    fn keep(&self) -> Result<Kept, LockError> {
        Ok(Kept::InPlace)
    }

    /// Copies a backup of `size` bytes that `fill` writes and proves the copy, while the store is in use. Takes as long as the backup
    /// is large.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Unfit`] when the backup cannot be used, [`RestoreError::NoRoom`] or [`RestoreError::Failed`] when
    /// it cannot be copied.
    fn stage(&self, _size: u64, _fill: &mut Fill<'_>) -> Result<Candidate, RestoreError> {
        Err(OpenError::Store(StoreError::Closed).into())
    }

    /// Notes that what was opened does its work, or was closed in good order.
    fn settle(&self) {}
}

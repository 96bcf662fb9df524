//! The interface that opens a store, and what the writer thread does with the store as a whole.

use std::sync::Arc;

use super::lock::LockError;
use super::restore::{Fill, RestoreError, StagedBackup};
use super::{OpenError, Reader, StoreError, Writer};

/// The two halves of an open store.
pub type Halves = (Arc<dyn Reader>, Box<dyn Writer>);

/// The state of the lock.
#[derive(Debug)]
pub enum LockState {
    /// Complete, or unchanged since the last report.
    InPlace,
    /// A missing part was restored.
    Restored,
    /// A part is missing and cannot be restored; the rest still prevents a second daemon.
    InPart(LockError),
}

/// Opens a store, and reopens it after failures.
pub trait Opener: Send + Sync {
    /// Opens it. The halves of an earlier call must be dropped.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if that fails.
    fn open(&self) -> Result<Halves, OpenError>;

    /// Whether the database has hashes instead of addresses (`--privacy`).
    fn is_hashed(&self) -> bool {
        false
    }

    /// Checks that the lock is still in place, and restores it if not.
    ///
    /// # Errors
    ///
    /// [`LockError`] if nothing prevents a second daemon any more.
    fn keep(&self) -> Result<LockState, LockError> {
        Ok(LockState::InPlace)
    }

    /// Copies a backup of `size` bytes that `fill` writes, and checks the copy, while the store is in use. The time is
    /// proportional to the size.
    ///
    /// # Errors
    ///
    /// [`RestoreError::BackupDefect`] when the backup cannot be used, [`RestoreError::NoRoom`] or [`RestoreError::Failed`]
    /// when it cannot be copied.
    fn stage(&self, _size: u64, _fill: &mut Fill<'_>) -> Result<StagedBackup, RestoreError> {
        Err(OpenError::Store(StoreError::Closed).into())
    }

    /// Notes that the open store works, or was closed cleanly.
    fn settle(&self) {}
}

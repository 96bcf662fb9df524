//! What opens a store, and all that the writing thread does with it as a whole.

use std::sync::Arc;

use super::lock::LockError;
use super::restore::{Candidate, Fill, RestoreError};
use super::{OpenError, Reader, StoreError, Writer};

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

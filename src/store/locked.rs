//! The opener of the daemon: opens the database only under its lock, and not if it has crashed the daemon repeatedly.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::lmdb::LmdbOpener;
use super::lock::{Lock, LockError};
use super::opener::{Halves, LockState, Opener};
use super::restore::{Fill, RestoreError, StagedBackup, clear};
use super::unclean::Unclean;
use super::{OpenError, staging};
use crate::types::sync::{Mutex, MutexGuard};

/// Opens a database only under its lock, and not if it has crashed the daemon repeatedly.
#[derive(Debug, Clone)]
pub struct Locked {
    opener: LmdbOpener,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug)]
struct Held {
    lock: Option<Lock>,
    /// Whether a missing lock file was reported already.
    is_reported: bool,
    unclean: Unclean,
}

impl Locked {
    /// The opener with the lock, or `None` if it could not be taken yet. The lock is held until the last clone is
    /// dropped. The daemon was started at `since_boot`, the time since boot.
    #[must_use]
    pub fn new(opener: LmdbOpener, lock: Option<Lock>, since_boot: Duration) -> Self {
        if lock.is_some() {
            clear(&opener.directory);
        }
        Self {
            opener,
            held: Arc::new(Mutex::new(Held {
                lock,
                is_reported: false,
                unclean: Unclean::new(since_boot),
            })),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }
}

impl Held {
    /// Takes the lock if it is not held, or its file was removed or replaced.
    fn keep(&mut self, directory: &Path) -> Result<LockState, LockError> {
        let Some(lock) = &mut self.lock else {
            self.lock = Some(Lock::take(directory, None)?);
            return Ok(LockState::Restored);
        };
        if lock.is_in_place(directory) {
            self.is_reported = false;
            return Ok(LockState::InPlace);
        }
        if !lock.has_directory(directory) {
            *lock = Lock::take(directory, None)?;
            return Ok(LockState::Restored);
        }
        match lock.restore_file(directory) {
            Ok(()) => {
                self.is_reported = false;
                Ok(LockState::Restored)
            }
            Err(error @ LockError::Held(_)) => Err(error),
            Err(_) if std::mem::replace(&mut self.is_reported, true) => Ok(LockState::InPlace),
            Err(error) => Ok(LockState::InPart(error)),
        }
    }
}

impl Opener for Locked {
    fn open(&self) -> Result<Halves, OpenError> {
        let mut held = self.held();
        held.keep(&self.opener.directory)?;
        held.unclean.admit(&self.opener)?;
        self.opener.open()
    }

    fn is_hashed(&self) -> bool {
        self.opener.is_hashed()
    }

    fn keep(&self) -> Result<LockState, LockError> {
        self.held().keep(&self.opener.directory)
    }

    fn stage(&self, size: u64, fill: &mut Fill<'_>) -> Result<StagedBackup, RestoreError> {
        self.held()
            .keep(&self.opener.directory)
            .map_err(OpenError::from)?;
        staging::stage(&self.opener, size, fill)
    }

    fn settle(&self) {
        Unclean::settle(&self.opener.directory);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::lock::NAME;
    use super::*;
    use crate::store::tests::lmdb;

    #[test]
    fn without_its_file_the_lock_is_held_and_that_is_reported_once() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("db");
        let (file, away) = (directory.join(NAME), directory.join("away"));
        let lock = Lock::take(&directory, None).unwrap();
        let locked = Locked::new(lmdb(&directory), Some(lock), Duration::ZERO);
        assert!(matches!(locked.keep(), Ok(LockState::InPlace)));
        for round in 0..2 {
            fs::rename(&file, &away).unwrap();
            // Prevents that the file is created again.
            fs::create_dir(&file).unwrap();
            let Ok(LockState::InPart(error)) = locked.keep() else {
                panic!("the file cannot be made");
            };
            assert!(error.to_string().contains(NAME), "{error}");
            assert!(
                matches!(locked.keep(), Ok(LockState::InPlace)),
                "it was said"
            );
            assert!(locked.open().is_ok(), "the database can be opened");
            let second = Lock::take(&directory, None);
            assert!(matches!(second, Err(LockError::Held(_))), "{second:?}");
            fs::remove_dir(&file).unwrap();
            assert!(matches!(locked.keep(), Ok(LockState::Restored)), "{round}");
            assert!(file.is_file());
            assert!(matches!(locked.keep(), Ok(LockState::InPlace)));
            let second = Lock::take(&directory, None);
            assert!(matches!(second, Err(LockError::Held(_))), "{second:?}");
            fs::remove_file(&away).unwrap();
        }
        fs::rename(&directory, parent.path().join("moved")).unwrap();
        assert!(matches!(locked.keep(), Ok(LockState::Restored)));
        assert!(file.is_file(), "the lock goes with the name");
    }
}

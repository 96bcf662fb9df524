//! The lock that prevents a second daemon on the same database.
//!
//! Three things are locked: the file `stargrey.lock`, the directory itself, and, while the database is open, `data.mdb`
//! ([`lmdb`](super::lmdb)). If the lock file is removed, a second daemon finds the directory locked; if the data file
//! is moved elsewhere, it finds that locked.
//!
//! The start does not fail if the directory is not writable yet: the lock is then taken when the database is opened
//! ([`Locked`](super::Locked)), which fails without it.
//!
//! A missing lock file is created and locked again while the directory stays locked. If that fails, the lock of the
//! directory is sufficient.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// The name of the lock file.
pub(super) const NAME: &str = "stargrey.lock";

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
    /// `None` on a file system that cannot lock directories.
    directory: Option<Flock<File>>,
}

/// Why the lock cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{0} is locked by another stargreyd: stop that one, or use another --dbdir")]
    Held(PathBuf),
    /// The directory or the file cannot be opened, created or locked.
    #[error("{path}: {source}{}", advice(source))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Advice about an error with a less obvious cause.
fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "; if the database's directory was moved or removed while stargrey ran, restart stargrey"
    } else {
        ""
    }
}

impl LockError {
    /// Whether the error may be temporary, so that a retry makes sense: not if another process holds the lock, nor if
    /// the directory does not exist.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let Self::File { source, .. } = self else {
            return false;
        };
        let nowhere = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        !nowhere.contains(&source.kind())
    }
}

impl Lock {
    /// Creates the directory if it is missing (mode 0700) and takes the lock in it. Created files belong to `owner`
    /// (user and group id) if given.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] if another process holds it, [`LockError::File`] otherwise.
    pub fn take(directory: &Path, owner: Option<(u32, u32)>) -> Result<Self, LockError> {
        let (user, group) = owner.unzip();
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) if owner.is_some() => {
                std::os::unix::fs::chown(directory, user, group).map_err(refused(directory))?;
            }
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(directory)(error)),
        }
        let locked = match File::open(directory) {
            Ok(file) => match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Err((_, Errno::EWOULDBLOCK)) => {
                    return Err(LockError::Held(directory.join(NAME)));
                }
                locked => locked.ok(),
            },
            Err(error) => return Err(refused(directory)(error)),
        };
        Ok(Self {
            file: lock_file(directory, owner)?,
            directory: locked,
        })
    }

    /// Whether the lock file of `directory` is still the locked one.
    #[must_use]
    pub fn is_in_place(&self, directory: &Path) -> bool {
        // A symbolic link instead is not the locked file.
        is_at(&self.file, fs::symlink_metadata(directory.join(NAME))).unwrap_or(false)
    }

    /// Creates the lock file again and locks it, while the directory stays locked.
    pub(super) fn restore_file(&mut self, directory: &Path) -> Result<(), LockError> {
        self.file = lock_file(directory, None)?;
        Ok(())
    }

    /// Whether `directory` is the locked one; false on a file system that cannot lock directories.
    pub(super) fn has_directory(&self, directory: &Path) -> bool {
        let locked = self.directory.as_ref();
        locked.is_some_and(|locked| is_at(locked, fs::metadata(directory)).unwrap_or(false))
    }
}

/// Creates the lock file if it is missing, and locks it.
fn lock_file(directory: &Path, owner: Option<(u32, u32)>) -> Result<Flock<File>, LockError> {
    let path = directory.join(NAME);
    let mut made = File::options();
    made.create_new(true).write(true).mode(0o600);
    let file = match made.open(&path) {
        // Only a file created here is given to the owner: the directory's owner could have put a link there.
        Ok(file) => {
            if let Some((user, group)) = owner {
                fchown(&file, Some(user), Some(group)).map_err(refused(&path))?;
            }
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::options()
            .write(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(refused(&path))?,
        Err(error) => return Err(refused(&path)(error)),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(file),
        Err((_, Errno::EWOULDBLOCK)) => Err(LockError::Held(path)),
        Err((_, errno)) => Err(refused(&path)(errno.into())),
    }
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> LockError + use<> {
    let path = path.to_owned();
    move |source| LockError::File { path, source }
}

/// Whether an open file is the one that `found` describes; false if there is none.
pub(super) fn is_at(file: &File, found: io::Result<fs::Metadata>) -> io::Result<bool> {
    let there = match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let open = file.metadata()?;
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenError;

    #[test]
    fn a_directory_that_became_read_only_is_advised_of_and_other_errors_are_as_they_were() {
        for (errno, want) in [
            (
                Errno::EROFS,
                "/db: Read-only file system (os error 30); \
                 if the database's directory was moved or removed while stargrey ran, restart stargrey",
            ),
            (Errno::EACCES, "/db: Permission denied (os error 13)"),
        ] {
            let error = LockError::File {
                path: "/db".into(),
                source: errno.into(),
            };
            assert_eq!(error.to_string(), want);
            assert_eq!(OpenError::from(error).to_string(), want);
        }
    }
}

//! Replaces the database by a backup while the daemon runs.
//!
//! | step | in the directory of the database |
//! | --- | --- |
//! | [`stage`](super::Opener::stage): the backup is copied, and the copy is checked | `restore.new/data.mdb` |
//! | [`StagedBackup::install`]: the database gets a second name | `data.mdb.before-restore` |
//! | and the copy is renamed | `data.mdb` |
//!
//! If the copy cannot be opened then, the old database is put back: [`StagedBackup::roll_back`].
//!
//! `data.mdb` exists at every moment: the old or the new one, each complete and on disk. A kill in between leaves
//! `restore.new` behind, which the next start removes.
//!
//! Later changes of the caller's file are harmless, because only the copy is checked and used. A child process reads
//! the copy first, because a damaged one can crash its reader.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::OpenError;

/// The directory for the copy.
const STAGING: &str = "restore.new";

/// The name of the database before the last restore.
const BEFORE: &str = "data.mdb.before-restore";

/// Writes the backup into an empty file and syncs it to disk.
pub type Fill<'a> = dyn FnMut(&mut File) -> io::Result<()> + 'a;

/// Why a backup cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackupDefect {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is not a database of stargrey.
    #[error("it is not a database of stargrey")]
    Foreign,
    /// It is truncated.
    #[error("it is incomplete: it has {found} bytes and needs {needed}")]
    Truncated {
        /// Its size in bytes.
        found: u64,
        /// The minimum size for its data.
        needed: u64,
    },
    /// Written by a later stargrey.
    #[error(
        "it has format {found}, this stargrey supports up to {known}; install a later stargrey"
    )]
    Newer {
        /// The format found.
        found: u32,
        /// The last format known.
        known: u32,
    },
    /// Written in the other mode.
    #[error(
        "it was filled {} and the daemon runs {}",
        if *.hashed { "with --privacy" } else { "without --privacy" },
        if *.hashed { "without" } else { "with it" }
    )]
    Mode {
        /// Whether its keys are hashes.
        hashed: bool,
    },
    /// Written with another key.
    #[error("it belongs to another privacy.key than the database")]
    WrongKey,
    /// It cannot be read to its end.
    #[error("it is damaged")]
    Damaged,
}

/// Why a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be used. The database is unchanged.
    #[error("the backup cannot be restored: {0}")]
    BackupDefect(#[from] BackupDefect),
    /// A backup, a listing or an export reads the database. The database is unchanged.
    #[error("a backup, a listing or an export is reading the database")]
    InUse,
    /// Not enough disk space for a copy. The database is unchanged.
    #[error("{needed} bytes are needed in {directory}, and {free} are free")]
    NoRoom {
        /// The directory of the database.
        directory: PathBuf,
        /// Bytes that the copy needs.
        needed: u64,
        /// Bytes that the daemon may write there.
        free: u64,
    },
    /// The backup cannot be copied, checked or put in place. The database is unchanged.
    #[error(transparent)]
    Failed(#[from] OpenError),
    /// The backup was put in place and could not be opened. The old database is back, without buffered changes.
    #[error("{0}")]
    RolledBack(OpenError),
    /// The database cannot be opened any more.
    #[error("{0}")]
    Closed(String),
}

/// A checked copy of a backup, in a directory beside the database. Removed when dropped, unless it became the database.
#[derive(Debug)]
pub struct StagedBackup {
    directory: PathBuf,
}

/// Removes the files of an interrupted restore.
pub(super) fn clear(directory: &Path) {
    // If that fails, the next copy fails too and reports it.
    drop(fs::remove_dir_all(directory.join(STAGING)));
}

impl StagedBackup {
    /// A copy to be made beside the database in `directory`.
    pub(super) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Makes the copy the database, which must not be open. The old database gets a second name; a file of that name
    /// from an earlier restore is removed.
    ///
    /// # Errors
    ///
    /// [`OpenError::File`]; the database is unchanged then.
    pub fn install(&self) -> Result<(), OpenError> {
        let data = self.directory.join("data.mdb");
        let before = self.directory.join(BEFORE);
        unless_missing(fs::remove_file(&before))
            .and_then(|()| unless_missing(fs::hard_link(&data, &before)))
            .map_err(at(&before))?;
        fs::rename(self.staging().join("data.mdb"), &data).map_err(at(&data))
    }

    /// Puts the old database back and removes the copy; without an old one, there is no database then.
    ///
    /// # Errors
    ///
    /// [`OpenError::File`]; the database is the copy then.
    pub fn roll_back(&self) -> Result<(), OpenError> {
        let data = self.directory.join("data.mdb");
        match fs::rename(self.directory.join(BEFORE), &data) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                unless_missing(fs::remove_file(&data))
            }
            done => done,
        }
        .map_err(at(&data))?;
        self.sync()
    }

    /// Syncs the directory: after a power failure, too, the database is the copy.
    ///
    /// # Errors
    ///
    /// [`OpenError::File`].
    pub fn sync(&self) -> Result<(), OpenError> {
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(at(&self.directory))
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.directory.join(STAGING)
    }
}

#[cfg(test)]
impl StagedBackup {
    /// An unchecked copy, beside the database in `directory`.
    pub(crate) fn unchecked(directory: &Path, bytes: &[u8]) -> Self {
        let staged = Self {
            directory: directory.to_owned(),
        };
        fs::create_dir(staged.staging()).unwrap();
        fs::write(staged.staging().join("data.mdb"), bytes).unwrap();
        staged
    }
}

impl Drop for StagedBackup {
    fn drop(&mut self) {
        clear(&self.directory);
    }
}

/// Ignores the error of a missing file.
fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An error with the file it is about.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<'_> {
    move |source| OpenError::File {
        path: path.to_owned(),
        source,
    }
}

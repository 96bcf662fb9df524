//! A backup that takes the place of the database while the daemon runs.
//!
//! | step | in the directory of the database |
//! | --- | --- |
//! | [`stage`](super::Opener::stage): the backup is copied, and the copy is proved | `restore.new/data.mdb` |
//! | [`Candidate::take_place`]: the database gets a second name | `data.mdb.before-restore` |
//! | and the copy is renamed | `data.mdb` |
//!
//! If the copy cannot be opened then, it gives its place back: [`Candidate::give_back`].
//!
//! At every moment `data.mdb` is there: the old one or the new one, each complete and on the disk. A kill in between
//! leaves `restore.new` behind, which the next start removes.
//!
//! What the caller's file is changed to meanwhile does no harm, for only the copy is proved and used. The copy is read
//! by a child process first, because a damaged one can end the process that reads it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::OpenError;

/// The directory in which the copy is proved.
const STAGING: &str = "restore.new";

/// The name that the database before the last restore keeps.
const BEFORE: &str = "data.mdb.before-restore";

/// Writes the backup into an empty file and brings it to the disk.
pub type Fill<'a> = dyn FnMut(&mut File) -> io::Result<()> + 'a;

/// Why a backup cannot take the place of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It is of something else.
    #[error("it is not a database of stargrey")]
    Foreign,
    /// It ends before its data do.
    #[error("it is incomplete: it has {found} bytes and needs {needed}")]
    Torn {
        /// Its size in bytes.
        found: u64,
        /// The least size that holds its data.
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
    /// Filled under the other mode.
    #[error(
        "it was filled {} and the daemon runs {}",
        if *.hashed { "with --privacy" } else { "without --privacy" },
        if *.hashed { "without" } else { "with it" }
    )]
    Mode {
        /// Whether its keys are hashes.
        hashed: bool,
    },
    /// Filled under another key.
    #[error("it belongs to another privacy.key than the database")]
    WrongKey,
    /// It cannot be read to its end.
    #[error("it is damaged")]
    Damaged,
}

/// Why a backup is not in place of the database.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be used. The database is as it was.
    #[error("the backup cannot be restored: {0}")]
    Unfit(#[from] Unfit),
    /// Somebody reads the database, for longer than a request does. The database is as it was.
    #[error("a backup, a listing or an export is reading the database")]
    InUse,
    /// There is no room for a copy. The database is as it was.
    #[error("{needed} bytes are needed in {directory}, and {free} are free")]
    NoRoom {
        /// The directory of the database.
        directory: PathBuf,
        /// Bytes that the copy needs.
        needed: u64,
        /// Bytes that the daemon may write there.
        free: u64,
    },
    /// The backup cannot be copied, proved or put in place. The database is as it was.
    #[error(transparent)]
    Failed(#[from] OpenError),
    /// The backup was put in place and could not be opened. The database is the one before, but for what had not been
    /// written to it.
    #[error("{0}")]
    GivenBack(OpenError),
    /// What is there now cannot be opened.
    #[error("{0}")]
    Closed(String),
}

/// A proved copy of a backup, beside the database. It is removed with its directory if it does not take the place.
#[derive(Debug)]
pub struct Candidate {
    directory: PathBuf,
}

/// Removes what an interrupted restore has left.
pub(super) fn clear(directory: &Path) {
    // What stays is in the way of the next copy, which says so.
    drop(fs::remove_dir_all(directory.join(STAGING)));
}

impl Candidate {
    /// A copy to be made beside the database in `directory`.
    pub(super) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Puts the copy in place of the database, which nobody has open. The database keeps a second name; what had that
    /// name from an earlier restore is removed.
    ///
    /// # Errors
    ///
    /// [`OpenError::File`]; the database is as it was then.
    pub fn take_place(&self) -> Result<(), OpenError> {
        let data = self.directory.join("data.mdb");
        let before = self.directory.join(BEFORE);
        unless_missing(fs::remove_file(&before))
            .and_then(|()| unless_missing(fs::hard_link(&data, &before)))
            .map_err(at(&before))?;
        fs::rename(self.staging().join("data.mdb"), &data).map_err(at(&data))
    }

    /// Puts the database before back into its place, from which the copy goes; where there was none, there is none then.
    ///
    /// # Errors
    ///
    /// [`OpenError::File`]; the database is the copy then.
    pub fn give_back(&self) -> Result<(), OpenError> {
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

    /// Brings the names to the disk: after a power cut, too, the database is the copy.
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
impl Candidate {
    /// A copy that nobody has proved, beside the database in `directory`.
    pub(crate) fn unproved(directory: &Path, bytes: &[u8]) -> Self {
        let candidate = Self {
            directory: directory.to_owned(),
        };
        fs::create_dir(candidate.staging()).unwrap();
        fs::write(candidate.staging().join("data.mdb"), bytes).unwrap();
        candidate
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        clear(&self.directory);
    }
}

/// What was done, or could not be for want of a file.
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

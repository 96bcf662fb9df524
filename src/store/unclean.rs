//! Whether the last ends of the daemon were clean, and what is done if they were not.
//!
//! A database whose pages were overwritten can end every process that reads it ([`lmdb`](super::lmdb)). Started again
//! each time, the daemon would let no mail through. So each start leaves a mark, which a clean end removes, or an hour
//! without trouble. A kill or a power cut leaves it too, without any damage; so the mark alone closes nothing:
//!
//! | starts that did not end cleanly | the database |
//! | --- | --- |
//! | fewer than [`MOST`] | is opened |
//! | more | is read by a child process first ([`LmdbOpener::prove`]), and opened if the child survives |
//!
//! A file that was found damaged stays closed until it is another: it was replaced, or written to.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::StoreError;
use super::lmdb::LmdbOpener;

/// Starts without a clean end that are believed to be chance.
const MOST: u32 = 2;

/// How long the first attempt to open waits for the child. If it takes longer, mail is not held up, and a later attempt
/// finds the result.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at the child.
const PAUSE: Duration = Duration::from_millis(20);

/// The argument that makes the daemon's program read a database and end.
const MODE: &str = "--prove-database";

/// What the child ends with if the database is damaged; all else that is wrong is met again when it is opened.
const DAMAGED: u8 = 1;

/// The mark, and what is known of the file.
#[derive(Debug, Default)]
pub(super) struct Unclean {
    /// Starts before this one that did not end cleanly; `None` before the mark was made.
    starts: Option<u32>,
    proof: Proof,
}

/// What is known of a file.
#[derive(Debug, Default)]
enum Proof {
    #[default]
    None,
    Runs(Child, Identity),
    Failed(Identity, ExitStatus),
}

/// Which file it is, and in what state.
type Identity = (u64, u64, u64, i64, i64);

impl Unclean {
    /// Makes the mark, and has the database read by a child if there is reason to.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsound`] when the child died or found damage, [`StoreError::Proving`] while it runs.
    pub(super) fn admit(&mut self, opener: &LmdbOpener) -> Result<(), StoreError> {
        let mark = mark(&opener.directory);
        let data = opener.data();
        let starts = *self.starts.get_or_insert_with(|| {
            let before = count(&mark);
            // Without a mark this start is not counted: the database may still be opened.
            drop(fs::write(&mark, before.saturating_add(1).to_string()));
            before
        });
        let Ok(metadata) = fs::metadata(&data) else {
            return Ok(());
        };
        if starts < MOST || metadata.len() == 0 {
            return Ok(());
        }
        let identity = identity(&metadata);
        let refused = |source| StoreError::File {
            path: data.clone(),
            source,
        };
        let (mut child, of, patience) = match std::mem::take(&mut self.proof) {
            Proof::Failed(of, status) if of == identity => {
                self.proof = Proof::Failed(of, status);
                return Err(StoreError::Unsound { file: data, status });
            }
            Proof::Runs(child, of) => (child, of, Duration::ZERO),
            Proof::None | Proof::Failed(..) => {
                (start(opener).map_err(refused)?, identity, PATIENCE)
            }
        };
        let mut waited = Duration::ZERO;
        let status = loop {
            match child.try_wait().map_err(refused)? {
                Some(status) => break status,
                None if waited >= patience => {
                    self.proof = Proof::Runs(child, of);
                    return Err(StoreError::Proving(data));
                }
                None => {
                    thread::sleep(PAUSE);
                    waited = waited.saturating_add(PAUSE);
                }
            }
        };
        if status.success() {
            return Ok(());
        }
        // The child itself may have written.
        let of = fs::metadata(&data).map_or(of, |metadata| self::identity(&metadata));
        self.proof = Proof::Failed(of, status);
        Err(StoreError::Unsound { file: data, status })
    }

    /// Removes the mark.
    pub(super) fn settle(directory: &Path) {
        // If it stays, it costs a proof.
        drop(fs::remove_file(mark(directory)));
    }
}

fn mark(directory: &Path) -> PathBuf {
    directory.join("stargrey.unclean")
}

/// The number in the mark: none if there is no mark, or nothing that makes sense.
fn count(mark: &Path) -> u32 {
    let read = || {
        let mut text = String::new();
        File::open(mark)?.take(16).read_to_string(&mut text)?;
        io::Result::Ok(text)
    };
    let text = read().unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

fn identity(metadata: &Metadata) -> Identity {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    )
}

/// Starts the program itself once more, to read the database.
fn start(opener: &LmdbOpener) -> io::Result<Child> {
    // The same program, even if an upgrade has put another in its place.
    Command::new("/proc/self/exe")
        .arg0("stargreyd")
        .arg(MODE)
        .args(opener.to_arguments())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// What the child does: `None` if the program was not started as one.
#[must_use]
pub fn prove_database(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    if arguments.next()? != MODE {
        return None;
    }
    let opener = LmdbOpener::from_arguments(arguments)?;
    Some(match opener.prove() {
        Err(
            StoreError::Record | StoreError::Damaged(_) | StoreError::Lmdb(heed::Error::Mdb(_)),
        ) => ExitCode::from(DAMAGED),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::lmdb;

    #[test]
    fn each_start_is_counted_until_one_ends_cleanly() {
        let directory = tempfile::tempdir().unwrap();
        let opener = lmdb(directory.path());
        let mark = mark(directory.path());
        for want in [1, 2] {
            let mut unclean = Unclean::default();
            unclean.admit(&opener).unwrap();
            unclean.admit(&opener).unwrap();
            assert_eq!(count(&mark), want, "once a process");
        }
        Unclean::settle(directory.path());
        assert_eq!(count(&mark), 0);
        for (text, want) in [
            ("", 0),
            ("x", 0),
            ("-1", 0),
            ("7\n", 7),
            ("99999999999999999999", 0),
        ] {
            fs::write(&mark, text).unwrap();
            assert_eq!(count(&mark), want, "{text:?}");
        }
    }

    #[test]
    fn options_survive_the_way_to_the_child() {
        let opener = lmdb(Path::new("/somewhere"));
        let arguments = opener.to_arguments();
        let got = LmdbOpener::from_arguments(arguments.clone().into_iter()).unwrap();
        assert_eq!(got.to_arguments(), arguments);
        assert!(LmdbOpener::from_arguments(arguments.into_iter().skip(1)).is_none());
    }

    #[test]
    fn a_good_database_is_proved_and_a_damaged_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let opener = lmdb(directory.path());
        opener.prove().unwrap();
        opener.prove().unwrap();
        let data = opener.data();
        let mut bytes = fs::read(&data).unwrap();
        bytes[8192..].fill(0);
        fs::write(&data, bytes).unwrap();
        assert!(opener.prove().is_err());
    }
}

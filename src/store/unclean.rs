//! Detects unclean ends of the daemon, and decides whether the database may still be opened.
//!
//! A database with overwritten pages can crash every process that reads it ([`lmdb`](super::lmdb)). In a restart loop
//! the daemon would serve no request. So each start writes a mark, which a clean end or an hour of normal operation
//! removes. A kill or a power failure leaves it too, without damage; so the mark alone does not keep a database closed:
//!
//! | starts that did not end cleanly | the database |
//! | --- | --- |
//! | fewer than [`MOST`] | is opened |
//! | more | is read by a child process first ([`LmdbOpener::check`]), and opened if the child survives |
//! | [`MANY`] in a row, each within [`SHORT`] of the one before | stays closed, whatever a child would find |
//!
//! A row is counted by the time since boot, which a power failure resets: any number of power failures is not a row.
//!
//! A file that was found damaged, or closed after a row, stays closed until it is replaced or modified. After a row,
//! removing the mark opens it as well, since the daemon may have crashed for another reason.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::lmdb::LmdbOpener;
use super::{OpenError, StoreError, UncleanError};

/// Maximum starts without a clean end before the database is checked.
const MOST: u32 = 2;

/// Starts in a row without a clean end after which the database stays closed.
const MANY: u32 = 8;

/// Maximum time between two starts of a row: a daemon that runs longer removes the mark.
const SHORT: Duration = Duration::from_secs(3600);

/// How long the first attempt to open waits for the child. After that requests are served without a database, and a
/// later attempt finds the result.
const CHILD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two checks of the child.
const PAUSE: Duration = Duration::from_millis(20);

/// The argument that makes the daemon's program read a database and exit.
const MODE: &str = "--check-database";

/// Exit status of the child for a damaged database; other errors will occur again when the database is opened.
const DAMAGED: u8 = 1;

/// The mark, and the result of the check.
#[derive(Debug)]
pub(super) struct Unclean {
    /// The time of this start, since boot.
    since_boot: Duration,
    /// `None` before it is written.
    mark: Option<Mark>,
    check: CheckState,
}

/// The content of the mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    /// Starts since the last clean end, this one included.
    starts: u32,
    /// Those in a row, this one included.
    row: u32,
    /// The time of the last of them, in milliseconds since boot.
    at: u64,
    /// The file that stays closed after a row.
    closed: Option<FileState>,
}

/// The state of the check of a file.
#[derive(Debug, Default)]
enum CheckState {
    #[default]
    None,
    Runs(Checker, FileState),
    Failed(FileState, ExitStatus),
}

/// The child; killed when dropped.
#[derive(Debug)]
struct Checker(Child);

impl Drop for Checker {
    fn drop(&mut self) {
        // Fails if it has exited already, which is fine.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Identifies a file and its state: device, inode, length, modification time.
type FileState = (u64, u64, u64, i64, i64);

impl Unclean {
    /// For a start at `since_boot`, the time since boot.
    pub(super) fn new(since_boot: Duration) -> Self {
        Self {
            since_boot,
            mark: None,
            check: CheckState::None,
        }
    }

    /// Writes the mark, and lets a child read the database if there were unclean ends.
    ///
    /// # Errors
    ///
    /// [`UncleanError::ManyCrashes`] after a row of unclean ends, [`UncleanError::Damaged`] when the child died or found
    /// damage, [`UncleanError::Checking`] while it runs.
    pub(super) fn admit(&mut self, opener: &LmdbOpener) -> Result<(), UncleanError> {
        let path = path(&opener.directory);
        let data = opener.data();
        let since_boot = self.since_boot;
        let mark = self.mark.get_or_insert_with(|| {
            let mark = Mark::read(&path).next(since_boot);
            mark.write(&path);
            mark
        });
        let Ok(metadata) = fs::metadata(&data) else {
            return Ok(());
        };
        if metadata.len() == 0 {
            return Ok(());
        }
        let state = file_state(&metadata);
        let judged = mark.judged(state, path.exists());
        if judged != *mark {
            *mark = judged;
            mark.write(&path);
        }
        if mark.closed.is_some() {
            return Err(UncleanError::ManyCrashes {
                file: data,
                mark: path,
                times: MANY,
            });
        }
        if mark.starts > MOST {
            self.check(opener, data, state)
        } else {
            Ok(())
        }
    }

    /// Lets a child read the database; returns the result, or that it is still running.
    fn check(
        &mut self,
        opener: &LmdbOpener,
        data: PathBuf,
        state: FileState,
    ) -> Result<(), UncleanError> {
        let refused = |source| UncleanError::Child {
            path: data.clone(),
            source,
        };
        let (mut checker, of, patience) = match std::mem::take(&mut self.check) {
            CheckState::Failed(of, status) if of == state => {
                self.check = CheckState::Failed(of, status);
                return Err(UncleanError::Damaged { file: data, status });
            }
            CheckState::Runs(checker, of) => (checker, of, Duration::ZERO),
            CheckState::None | CheckState::Failed(..) => {
                (start(opener).map_err(refused)?, state, CHILD_TIMEOUT)
            }
        };
        let mut waited = Duration::ZERO;
        let status = loop {
            match checker.0.try_wait().map_err(refused)? {
                Some(status) => break status,
                None if waited >= patience => {
                    self.check = CheckState::Runs(checker, of);
                    return Err(UncleanError::Checking(data));
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
        let of = fs::metadata(&data).map_or(of, |metadata| file_state(&metadata));
        self.check = CheckState::Failed(of, status);
        Err(UncleanError::Damaged { file: data, status })
    }

    /// Removes the mark.
    pub(super) fn settle(directory: &Path) {
        // If that fails, the next start may check the database needlessly.
        drop(fs::remove_file(path(directory)));
    }
}

impl Mark {
    /// Reads the mark at `path`. An invalid one, as after a full disk or a power failure, causes a check.
    fn read(path: &Path) -> Self {
        let read = || {
            let mut text = String::new();
            File::open(path)?.take(256).read_to_string(&mut text)?;
            io::Result::Ok(text)
        };
        match read() {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Self::default()),
            Err(_) => None,
        }
        .unwrap_or(Self {
            starts: MOST,
            ..Self::default()
        })
    }

    /// Parses a mark; all but the first number may be missing.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let starts = words.next()?.parse().ok()?;
        let row = words.next().and_then(|word| word.parse().ok());
        let at = words.next().and_then(|word| word.parse().ok());
        let mut number = || words.next()?.parse::<i128>().ok();
        let mut closed = || {
            Some((
                number()?.try_into().ok()?,
                number()?.try_into().ok()?,
                number()?.try_into().ok()?,
                number()?.try_into().ok()?,
                number()?.try_into().ok()?,
            ))
        };
        Some(Self {
            starts,
            row: row.unwrap_or_default(),
            at: at.unwrap_or_default(),
            closed: closed(),
        })
    }

    /// Writes the mark atomically. If that fails, an earlier one remains; without one, this start is not counted, and
    /// the database may still be opened.
    fn write(self, path: &Path) {
        let new = path.with_extension("unclean.new");
        let written = fs::write(&new, format!("{self}\n")).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            drop(fs::remove_file(new));
        }
    }

    /// The mark of the next start.
    fn next(self, since_boot: Duration) -> Self {
        let at = u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX);
        let since = at.checked_sub(self.at).map(Duration::from_millis);
        let is_in_row = self.row > 0 && since.is_some_and(|since| since <= SHORT);
        Self {
            starts: self.starts.saturating_add(1),
            row: if is_in_row {
                self.row.saturating_add(1)
            } else {
                1
            },
            at,
            closed: self.closed,
        }
    }

    /// The mark after a look at the data file in this `state`; `is_there`: whether the mark still exists.
    fn judged(self, state: FileState, is_there: bool) -> Self {
        match self.closed {
            Some(closed) if closed == state && is_there => self,
            Some(_) => Self {
                row: 1,
                closed: None,
                ..self
            },
            None if self.row > MANY => Self {
                closed: Some(state),
                ..self
            },
            None => self,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.starts, self.row, self.at)?;
        if let Some((device, inode, length, seconds, nanoseconds)) = self.closed {
            write!(f, " {device} {inode} {length} {seconds} {nanoseconds}")?;
        }
        Ok(())
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("stargrey.unclean")
}

fn file_state(metadata: &Metadata) -> FileState {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    )
}

/// Lets a child read the database without a timeout; returns whether it exited normally and found no damage.
///
/// # Errors
///
/// [`UncleanError::Child`] if it cannot be started.
pub(super) fn survives_reading(opener: &LmdbOpener) -> Result<bool, UncleanError> {
    let ended = start(opener).and_then(|mut checker| checker.0.wait());
    let status = ended.map_err(|source| UncleanError::Child {
        path: opener.data(),
        source,
    })?;
    Ok(status.success())
}

/// Starts the same program as a child that reads the database.
fn start(opener: &LmdbOpener) -> io::Result<Checker> {
    // The running program, even if an upgrade has replaced the file.
    Command::new("/proc/self/exe")
        .arg0("stargreyd")
        .arg(MODE)
        .args(opener.to_arguments())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Checker)
}

/// The main function of the child; `None` if the program was not started as one.
#[must_use]
pub fn check_database(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    if arguments.next()? != MODE {
        return None;
    }
    let opener = LmdbOpener::from_arguments(arguments)?;
    Some(match opener.check() {
        Err(OpenError::Store(
            StoreError::Record | StoreError::Damaged(_) | StoreError::Lmdb(heed::Error::Mdb(_)),
        )) => ExitCode::from(DAMAGED),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Opener;
    use crate::store::tests::lmdb;

    /// A data file of this number.
    const fn file(inode: u64) -> FileState {
        (1, inode, 4096, -5, 999)
    }

    #[test]
    fn each_start_is_counted_until_one_ends_cleanly() {
        let directory = tempfile::tempdir().unwrap();
        let opener = lmdb(directory.path());
        let path = path(directory.path());
        for want in [1, 2] {
            let mut unclean = Unclean::new(Duration::from_secs(5));
            unclean.admit(&opener).unwrap();
            unclean.admit(&opener).unwrap();
            assert_eq!(Mark::read(&path).starts, want, "once a process");
        }
        Unclean::settle(directory.path());
        assert_eq!(Mark::read(&path), Mark::default());
    }

    #[test]
    fn a_mark_that_makes_no_sense_is_reason_for_a_check() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        for (text, want) in [
            ("", MOST),
            ("x", MOST),
            ("-1", MOST),
            ("99999999999999999999", MOST),
            ("7\n", 7),
            ("3 x 5", 3),
            ("1 1 1 1 1", 1),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(Mark::read(&path).starts, want, "{text:?}");
            assert_eq!(Mark::read(&path).closed, None, "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(Mark::read(&path).starts, MOST, "unreadable");
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_or_stays_what_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        let marks = [None, Some(file(7))].map(|closed| Mark {
            starts: 9,
            row: 8,
            at: u64::MAX,
            closed,
        });
        for mark in marks {
            mark.write(&path);
            assert_eq!(Mark::read(&path), mark);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
        // As if there were no room for a new one.
        fs::create_dir(path.with_extension("unclean.new")).unwrap();
        Mark::default().write(&path);
        assert_eq!(Mark::read(&path), marks[1]);
    }

    /// The mark after starts at these times since boot, in seconds, each of which ended at once.
    fn after(starts: &[u64]) -> Mark {
        let next = |mark: Mark, at: &u64| mark.next(Duration::from_secs(*at));
        starts.iter().fold(Mark::default(), next)
    }

    #[test]
    fn only_a_row_of_unclean_ends_in_short_time_closes_a_database() {
        let cases: [(&str, Vec<u64>, bool); 8] = [
            ("the first start", vec![5], false),
            ("a row, but one", (1..=8).collect(), false),
            ("a row", (1..=9).collect(), true),
            ("a row in one moment", vec![5; 9], true),
            ("an hour apart", (1..=9).map(|n| n * 3600).collect(), true),
            (
                "more than an hour",
                (1..=99).map(|n| n * 3601).collect(),
                false,
            ),
            ("power cuts", (1..=99).map(|n| 100 - n).collect(), false),
            (
                "power cuts, some of them twice",
                (1..=99).map(|n| 60 + n % 8).collect(),
                false,
            ),
        ];
        for (name, starts, want) in cases {
            let judged = after(&starts).judged(file(1), true);
            assert_eq!(judged.closed.is_some(), want, "{name}");
        }
    }

    #[test]
    fn what_a_row_has_closed_stays_closed_until_file_or_mark_are_gone() {
        let starts: Vec<u64> = (1..=9).collect();
        let closed = after(&starts).judged(file(1), true);
        for (name, since_boot, now, is_there, want) in [
            ("a later attempt", None, 1, true, true),
            ("another file", None, 2, true, false),
            ("without the mark", None, 1, false, false),
            ("the next start", Some(10), 1, true, true),
            ("after a boot, and late", Some(1), 1, true, true),
            ("much later", Some(999_999), 1, true, true),
            ("the next start with another file", Some(10), 2, true, false),
        ] {
            let next = |at| closed.next(Duration::from_secs(at));
            let mark = since_boot.map_or(closed, next);
            let judged = mark.judged(file(now), is_there);
            assert_eq!(judged.closed.is_some(), want, "{name}");
            assert!(want || judged.row == 1, "{name}: a new row");
        }
    }

    #[test]
    fn a_row_of_unclean_ends_closes_a_database_that_every_check_finds_good() {
        let directory = tempfile::tempdir().unwrap();
        let opener = lmdb(directory.path());
        drop(opener.open().unwrap());
        let path = path(directory.path());
        let start = || Unclean::new(Duration::from_secs(99));
        fs::write(&path, format!("1 {MANY} 98000")).unwrap();
        let mut unclean = start();
        let told = unclean.admit(&opener).unwrap_err().to_string();
        for advice in ["8 times", "move the file away", "remove "] {
            assert!(told.contains(advice), "{told}");
        }
        assert!(unclean.admit(&opener).is_err());
        assert!(start().admit(&opener).is_err(), "the next start");
        fs::remove_file(&path).unwrap();
        unclean.admit(&opener).unwrap();
    }

    #[test]
    fn a_child_does_not_outlive_who_waits_for_it() {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(process.exists());
        drop(Checker(child));
        assert!(!process.exists());
    }

    #[test]
    fn a_check_makes_no_database() {
        let directory = tempfile::tempdir().unwrap();
        let opener = lmdb(directory.path());
        let arguments = std::iter::once(MODE.into()).chain(opener.to_arguments());
        assert!(check_database(arguments.clone()).is_some());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        fs::write(opener.data(), "").unwrap();
        assert!(check_database(arguments).is_some());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(opener.data()).unwrap().len(), 0);
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
    fn a_good_database_passes_the_check_and_a_damaged_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let opener = lmdb(directory.path());
        drop(opener.open().unwrap());
        opener.check().unwrap();
        opener.check().unwrap();
        let data = opener.data();
        let mut bytes = fs::read(&data).unwrap();
        bytes[8192..].fill(0);
        fs::write(&data, bytes).unwrap();
        assert!(opener.check().is_err());
    }
}

//! Postgrey's database directory, read with Berkeley DB's programs.
//!
//! # Why a copy
//!
//! Postgrey writes to a log first and to its databases later, at the latest at a clean exit. After a crash the
//! databases lack the last writes, and may be empty; `db_dump` reads such a file without an error. The log is complete,
//! and `db_recover` applies it, but that writes. So databases and logs are copied to a private directory, recovered
//! there, and dumped from there. The original directory is only read. The files of the copy are unlinked once they are
//! recovered, so that they are gone however the program ends.
//!
//! # Why a lock
//!
//! Postgrey holds a lock on `postgrey.lock` as long as it runs. The reader holds it too, so that no Postgrey is running
//! and none can start. Without that file the directory is a copy, on which no Postgrey has run.
//!
//! # What it does not do
//!
//! It does not follow symbolic links, because the user of Postgrey owns the directory and the import may run as root.
//! It does not read a database environment with a `DB_CONFIG`, because its logs may be anywhere. A program that is
//! killed during the copy leaves the copy behind.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use tempfile::TempDir;

use super::{Item, Postgrey, PostgreyRules, ReadError};
use crate::types::Printable;

/// The databases, in the order they are read: triplets, clients, taRgrey's clients.
const DATABASES: [&str; 3] = ["postgrey.db", "postgrey_clients.db", "tarpit_clients.db"];

/// The programs for recovery and dump, by the names they go by.
const PROGRAMS: [(&str, &str); 2] = [("db_recover", "db_dump"), ("db5.3_recover", "db5.3_dump")];

/// The file in the copy for the programs' standard error.
const STDERR: &str = "stderr";

/// The path of a program's standard input, which works for an unlinked file too.
const STDIN: &str = "/proc/self/fd/0";

/// Why a directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Postgrey is running.
    #[error("{0} is locked: stop postgrey before its database is imported")]
    Held(PathBuf),
    /// There is no database.
    #[error("there is no {0}: this is not Postgrey's database directory")]
    NoDatabase(PathBuf),
    /// The environment has a configuration of its own.
    #[error("{0} is not part of a Postgrey database; run db_dump and import its output")]
    Configured(PathBuf),
    /// Something cannot be read.
    #[error("{path}: {source}")]
    File {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy cannot be made.
    #[error("cannot copy the database to {path}: {source}")]
    Copy {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The programs are not installed.
    #[error(
        "neither db_dump and db_recover nor db5.3_dump and db5.3_recover are installed: install the package db-util (Debian) or libdb-utils (Fedora)"
    )]
    NoPrograms,
    /// The database cannot be recovered.
    #[error("{program} failed: {said}")]
    Program {
        /// By which program.
        program: &'static str,
        /// The last line of what it said.
        said: String,
    },
}

/// The records of a database directory. While it lives, no Postgrey can start there.
#[derive(Debug)]
pub struct Directory {
    dump: Option<Dump>,
    /// All databases.
    databases: Vec<Database>,
    /// The number of those whose dump has begun.
    begun: usize,
    program: &'static str,
    rules: PostgreyRules,
    error_output: ErrorOutput,
    _lock: Option<Flock<File>>,
}

/// A database of the copy.
#[derive(Debug)]
struct Database {
    name: &'static str,
    file: File,
}

/// A running `db_dump`.
#[derive(Debug)]
struct Dump {
    rows: Postgrey<BufReader<ChildStdout>>,
    child: Child,
}

impl Directory {
    /// Locks the directory, copies what is in it and recovers the copy.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] if that fails.
    pub fn open(path: &Path, rules: PostgreyRules) -> Result<Self, DirectoryError> {
        Self::open_by(path, rules, &std::env::temp_dir())
    }

    /// The same, with another directory for temporary files.
    fn open_by(
        path: &Path,
        rules: PostgreyRules,
        temporary: &Path,
    ) -> Result<Self, DirectoryError> {
        let lock = lock(path)?;
        let (recover, dump) = programs().ok_or(DirectoryError::NoPrograms)?;
        let private = PrivateDirectory::new(temporary)?;
        let names = copy(path, &private)?;
        let error_output = private.error_output()?;
        recover_copy(recover, &private, &error_output)?;
        let databases = names.into_iter().map(|name| private.database(name));
        Ok(Self {
            dump: None,
            databases: databases.collect::<Result<_, _>>()?,
            begun: 0,
            program: dump,
            rules,
            error_output,
            _lock: lock,
        })
    }

    /// Restarts at the first record.
    pub fn rewind(&mut self) {
        self.abandon();
        self.begun = 0;
    }

    /// Starts the dump of a database.
    fn start(&self, database: &Database) -> io::Result<Dump> {
        let mut child = self
            .error_output
            .command(self.program)?
            .args(["-p", STDIN])
            .stdin(database.file.try_clone()?)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let rows = Postgrey::new(BufReader::new(stdout), self.rules);
        Ok(Dump { rows, child })
    }

    /// The next record, `None` after the last one of the last database.
    fn item(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            let dump = match &mut self.dump {
                Some(dump) => dump,
                None => match self.databases.get(self.begun) {
                    None => return Ok(None),
                    Some(database) => {
                        self.begun = self.begun.saturating_add(1);
                        let dump = self.start(database)?;
                        self.dump.insert(dump)
                    }
                },
            };
            match dump.rows.next() {
                Some(Ok(item)) => return Ok(Some(item)),
                // The program's own message about an early end is better.
                Some(Err(error @ (ReadError::EndsEarly(_) | ReadError::NotADump(_)))) => {
                    self.finish()?;
                    return Err(error);
                }
                Some(Err(error)) => return Err(error),
                None => self.finish()?,
            }
        }
    }

    /// Waits for the end of the dump and checks its exit status.
    fn finish(&mut self) -> Result<(), ReadError> {
        let Some(Dump { rows, mut child }) = self.dump.take() else {
            return Ok(());
        };
        // If it is still writing, it gets an error.
        drop(rows);
        let status = child.wait()?;
        if status.success() {
            return Ok(());
        }
        let database = self.begun.checked_sub(1);
        let database = database.and_then(|index| self.databases.get(index));
        let name = database.map_or(STDIN, |database| database.name);
        Err(ReadError::Program {
            program: self.program,
            said: self.error_output.last_words(status).replace(STDIN, name),
        })
    }

    /// Stops reading.
    fn abandon(&mut self) {
        self.begun = self.databases.len();
        if let Some(mut dump) = self.dump.take() {
            // Fails if it has exited already.
            drop(dump.child.kill());
            drop(dump.child.wait());
        }
    }
}

impl Iterator for Directory {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.item();
        if item.is_err() {
            self.abandon();
        }
        item.transpose()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A private temporary directory, removed when dropped.
#[derive(Debug)]
struct PrivateDirectory(TempDir);

impl PrivateDirectory {
    fn new(within: &Path) -> Result<Self, DirectoryError> {
        tempfile::Builder::new()
            .prefix("stargreyctl-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(within)
            .map(Self)
            .map_err(|source| DirectoryError::Copy {
                path: within.to_owned(),
                source,
            })
    }

    /// Creates the file for standard error.
    fn error_output(&self) -> Result<ErrorOutput, DirectoryError> {
        let path = self.0.path().join(STDERR);
        let file = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(&path);
        let copied = |source| DirectoryError::Copy { path, source };
        file.map(ErrorOutput).map_err(copied)
    }

    /// A database, which may lose its name from now on.
    fn database(&self, name: &'static str) -> Result<Database, DirectoryError> {
        let path = self.0.path().join(name);
        match File::open(&path) {
            Ok(file) => Ok(Database { name, file }),
            Err(source) => Err(DirectoryError::File { path, source }),
        }
    }
}

/// The standard error of the last command.
#[derive(Debug)]
struct ErrorOutput(File);

impl ErrorOutput {
    /// A command without input, with its standard error in this file.
    fn command(&self, program: &str) -> io::Result<Command> {
        self.0.set_len(0)?;
        let mut command = Command::new(program);
        command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.0.try_clone()?);
        Ok(command)
    }

    /// The last line of the last command's standard error, or else its exit status.
    fn last_words(&self, status: ExitStatus) -> String {
        let mut error_output = Vec::new();
        let mut file = &self.0;
        let read = file
            .rewind()
            .and_then(|()| file.read_to_end(&mut error_output));
        // If the file cannot be read, the exit status remains.
        drop(read);
        error_output
            .rsplit(|byte| *byte == b'\n')
            .find(|line| !line.is_empty())
            .map_or_else(|| status.to_string(), |line| Printable(line).to_string())
    }
}

/// Opens a file for reading without following a link or blocking.
fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
}

/// Takes Postgrey's lock, if the file exists.
fn lock(directory: &Path) -> Result<Option<Flock<File>>, DirectoryError> {
    let path = directory.join("postgrey.lock");
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DirectoryError::File { path, source }),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(Some(file)),
        Err((_, Errno::EWOULDBLOCK)) => Err(DirectoryError::Held(path)),
        Err((_, errno)) => Err(DirectoryError::File {
            path,
            source: errno.into(),
        }),
    }
}

/// The pair of programs that is installed.
fn programs() -> Option<(&'static str, &'static str)> {
    let is_there = |program: &str| {
        Command::new(program)
            .arg("-V")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    PROGRAMS
        .into_iter()
        .find(|(recover, dump)| is_there(recover) && is_there(dump))
}

/// Copies databases and logs; says which databases there are.
fn copy(from: &Path, to: &PrivateDirectory) -> Result<Vec<&'static str>, DirectoryError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| DirectoryError::File { path, source }
    };
    let mut databases = Vec::new();
    for entry in fs::read_dir(from).map_err(unreadable(from))? {
        let entry = entry.map_err(unreadable(from))?;
        let path = entry.path();
        let name = entry.file_name();
        if name == "DB_CONFIG" {
            return Err(DirectoryError::Configured(path));
        }
        let database = DATABASES.into_iter().find(|database| name == *database);
        if database.is_none() && !name.to_str().is_some_and(is_log) {
            continue;
        }
        let mut source = open(&path).map_err(unreadable(&path))?;
        let copy = to.0.path().join(&name);
        File::create_new(&copy)
            .and_then(|mut file| io::copy(&mut source, &mut file))
            .map_err(|source| DirectoryError::Copy { path: copy, source })?;
        databases.extend(database);
    }
    let [triplets, ..] = DATABASES;
    if !databases.contains(&triplets) {
        return Err(DirectoryError::NoDatabase(from.join(triplets)));
    }
    databases.sort_by_key(|name| DATABASES.iter().position(|other| other == name));
    Ok(databases)
}

/// Whether a file is one of the environment's logs: `log.0000000001`.
fn is_log(name: &str) -> bool {
    name.strip_prefix("log.")
        .is_some_and(|number| number.len() == 10 && number.bytes().all(|c| c.is_ascii_digit()))
}

/// Applies the logs to the databases.
fn recover_copy(
    program: &'static str,
    private: &PrivateDirectory,
    error_output: &ErrorOutput,
) -> Result<(), DirectoryError> {
    let status = error_output
        .command(program)
        .and_then(|mut command| command.arg("-h").arg(private.0.path()).status())
        .map_err(|source| DirectoryError::File {
            path: program.into(),
            source,
        })?;
    if status.success() {
        return Ok(());
    }
    Err(DirectoryError::Program {
        program,
        said: error_output.last_words(status),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::Imported;
    use super::*;

    /// Makes a database of keys and values, line by line.
    fn load(path: &Path, lines: &str) {
        let mut child = Command::new("db_load")
            .args(["-T", "-t", "btree"])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("db_load is installed by `make check-deps`");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }

    fn refusal(directory: &Path) -> String {
        Directory::open(directory, PostgreyRules::default())
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn only_a_database_directory_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let at = path.display();
        let missing = path.join("none");
        assert!(refusal(&missing).starts_with(&format!("{at}/none: No such file")));
        assert!(refusal(path).starts_with(&format!("there is no {at}/postgrey.db")));
        std::os::unix::fs::symlink("/etc/passwd", path.join("postgrey.db")).unwrap();
        assert!(refusal(path).starts_with(&format!("{at}/postgrey.db: ")));
        fs::remove_file(path.join("postgrey.db")).unwrap();
        fs::write(path.join("DB_CONFIG"), "").unwrap();
        assert!(refusal(path).starts_with(&format!("{at}/DB_CONFIG is not part")));
        fs::remove_file(path.join("DB_CONFIG")).unwrap();
        fs::write(path.join("postgrey.lock"), "").unwrap();
        let held = lock(path).unwrap();
        assert!(refusal(path).starts_with(&format!("{at}/postgrey.lock is locked")));
        drop(held);
        assert!(refusal(path).starts_with("there is no"));
    }

    #[test]
    fn what_is_no_database_is_told_in_the_words_of_the_program() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("postgrey.db"), "no database at all").unwrap();
        let mut rows = Directory::open(directory.path(), PostgreyRules::default()).unwrap();
        let error = rows.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("db_dump failed: "), "{error}");
        assert!(error.contains("postgrey.db"), "{error}");
        assert!(rows.next().is_none());
    }

    #[test]
    fn a_copy_without_lock_and_logs_is_read_database_by_database() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name| directory.path().join(name);
        load(&at("tarpit_clients.db"), "192.0.2.9\n3000\n");
        load(&at("postgrey_clients.db"), "192.0.2.7\n2,2000\n");
        load(&at("postgrey.db"), "192.0.2.0/a@b/c@d\n1000,1300,2\n");
        let rules = PostgreyRules {
            retry_count: 2,
            ..PostgreyRules::default()
        };
        let rows: Vec<_> = Directory::open(directory.path(), rules)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(
            matches!(
                rows.as_slice(),
                [
                    Item::Row(Imported::Triplet {
                        is_passed: true,
                        ..
                    }),
                    Item::Row(Imported::Client { count: 2, .. }),
                    Item::Row(Imported::Tarpit { .. }),
                ]
            ),
            "{rows:?}"
        );
    }

    #[test]
    fn a_copy_that_is_read_has_no_name_and_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("postgrey.db");
        let lines = (0..20_000).map(|i| format!("192.0.2.0/a{i}@b/c@d\n1,2\n"));
        load(&path, &lines.collect::<String>());
        let temporary = tempfile::tempdir().unwrap();
        let rules = PostgreyRules::default();
        let mut rows = Directory::open_by(directory.path(), rules, temporary.path()).unwrap();
        assert!(rows.next().unwrap().is_ok());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
        rows.rewind();
        assert_eq!(rows.by_ref().map(Result::unwrap).count(), 20_000);
        rows.rewind();
        assert_eq!(rows.by_ref().map(Result::unwrap).count(), 20_000);
        drop(rows);
        assert!(path.exists());
    }

    #[test]
    fn logs_have_ten_digits() {
        assert!(is_log("log.0000000001"));
        for name in ["log", "log.1", "log.00000000001", "log.000000000x"] {
            assert!(!is_log(name), "{name}");
        }
    }
}

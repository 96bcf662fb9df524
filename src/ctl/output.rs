//! Output: standard output, messages, files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::failure::Failure;

/// Writes to standard output.
///
/// # Errors
///
/// [`Failure::Pipe`] if its reader has closed it.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written.and_then(|()| stdout.flush()).map_err(unwritten)
}

/// The failure to write to standard output.
fn unwritten(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::Pipe
    } else {
        Failure::Output(error)
    }
}

/// Writes to standard error; ignores errors.
pub fn remark(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(stderr.write_all(text.as_bytes()));
    drop(stderr.flush());
}

/// The name of this machine, for what is sent or written to a file.
#[must_use]
pub fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A file that gets its name only when it is complete.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    replaces: bool,
}

impl NewFile {
    /// Creates a temporary file that only its owner may read. An existing file is replaced only with `--force`.
    ///
    /// # Errors
    ///
    /// [`Failure::Exists`], [`Failure::Create`].
    pub fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        let there = fs::symlink_metadata(path);
        if !force && there.is_ok() {
            return Err(Failure::Exists(path.to_owned()));
        }
        if there.is_ok_and(|metadata| !metadata.is_file()) {
            let source = io::Error::other("it is there and no file");
            return Err(uncreated(path)(source));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside = path.with_file_name(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(uncreated(path))?;
        Ok(Self {
            path: path.to_owned(),
            beside,
            file,
            replaces: force,
        })
    }

    /// The open file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Its name until then.
    #[must_use]
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Appends text.
    ///
    /// # Errors
    ///
    /// [`Failure::Create`].
    pub fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.write_bytes(text.as_bytes())
    }

    /// Appends bytes that need not be text.
    ///
    /// # Errors
    ///
    /// [`Failure::Create`].
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes);
        written.map_err(uncreated(&self.path))
    }

    /// Syncs the file to disk and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Failure::Exists`] if the name was created meanwhile, [`Failure::Create`].
    pub fn finish(self) -> Result<(), Failure> {
        self.file.sync_all().map_err(uncreated(&self.path))?;
        let named = if self.replaces {
            fs::rename(&self.beside, &self.path)
        } else {
            rename_new(&self.beside, &self.path)
        };
        match named {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::Exists(self.path.clone()));
            }
            Err(error) => return Err(uncreated(&self.path)(error)),
        }
        let directory = self.path.parent().filter(|path| *path != Path::new(""));
        let directory = directory.unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(uncreated(&self.path))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After the rename there is nothing to remove.
        drop(fs::remove_file(&self.beside));
    }
}

/// Renames a file to a name that must not exist. Some file systems cannot do that atomically (NFS), and some have no
/// hard links (FAT): then the old name is removed afterwards.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let flags = RenameFlags::RENAME_NOREPLACE;
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) {
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => fs::hard_link(from, to),
        done => done.map_err(io::Error::from),
    }
}

/// The failure to create a file.
fn uncreated(path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Create {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let mut new = NewFile::create(&path, false).unwrap();
        new.write("all").unwrap();
        assert!(!path.exists());
        new.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "all");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(directory.path()), ["copy"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        drop(NewFile::create(&path, false).unwrap());
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn a_file_is_replaced_by_force_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let mut late = NewFile::create(&path, false).unwrap();
        late.write("late").unwrap();
        fs::write(&path, "old").unwrap();
        assert!(matches!(late.finish(), Err(Failure::Exists(_))));
        assert!(matches!(
            NewFile::create(&path, false),
            Err(Failure::Exists(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let mut new = NewFile::create(&path, true).unwrap();
        new.write("new").unwrap();
        new.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(directory.path()), ["copy"]);
    }

    #[test]
    fn nothing_but_files_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let failure = NewFile::create(directory.path(), true).unwrap_err();
        assert!(matches!(failure, Failure::Create { .. }), "{failure}");
    }
}

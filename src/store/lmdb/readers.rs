//! LMDB's table of readers, in memory.
//!
//! Every read transaction writes to the table, which LMDB maps from the file `lock.mdb`. On a hung disk that is a page
//! fault that does not return and would block the reactor threads. So the name is a link to a file in memory. The
//! daemon's lock excludes other daemons; LMDB's tools, if permissions let them, find the same table through the link.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// The table; the link is removed when it is dropped.
#[derive(Debug)]
pub(super) struct ReaderTable {
    _memory: OwnedFd,
    link: PathBuf,
}

impl ReaderTable {
    /// Creates the table of an environment that is not open; `None` without `/proc`, where it must be a file on disk.
    /// Files of an environment that was not closed are removed.
    ///
    /// # Errors
    ///
    /// If such a file cannot be removed.
    pub(super) fn make(directory: &Path) -> io::Result<Option<Self>> {
        let link = directory.join("lock.mdb");
        remove(&link)?;
        let Ok(memory) = memfd_create("stargrey-readers", MFdFlags::MFD_CLOEXEC) else {
            return Ok(None);
        };
        let target = format!("/proc/{}/fd/{}", process::id(), memory.as_raw_fd());
        symlink(target, &link)?;
        let table = Self {
            _memory: memory,
            link,
        };
        let is_reached = File::options().read(true).write(true).open(&table.link);
        Ok(is_reached.is_ok().then_some(table))
    }
}

impl Drop for ReaderTable {
    fn drop(&mut self) {
        // If that fails, the next opening removes it.
        drop(fs::remove_file(&self.link));
    }
}

/// Removes a file, which may be missing.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

//! LMDB's table of readers, in memory.
//!
//! Every read transaction writes to the table, which LMDB maps from the file `lock.mdb`. On a disk that hangs
//! that is a page fault that does not end, and it would hold up the threads that answer. So the name is a
//! link to a file in memory. The daemon's own lock keeps others away; a tool of LMDB's that is let in by
//! the system finds the same table through the link.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// The table, as long as it is needed; the link goes with it.
#[derive(Debug)]
pub(super) struct ReaderTable {
    _memory: OwnedFd,
    link: PathBuf,
}

impl ReaderTable {
    /// Makes the table of an environment that nobody has open; `None` where it has to be a file on the disk,
    /// for want of `/proc`. What an environment that was not closed has left behind is removed.
    ///
    /// # Errors
    ///
    /// When what was left behind cannot be removed.
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
        // If it stays it is removed by who opens the environment next.
        drop(fs::remove_file(&self.link));
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

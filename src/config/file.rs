//! Size-limited reading of list and table files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::diagnostic::{Diagnostic, Diagnostics};

/// Largest list file in bytes: room for two million networks, and none for `/dev/zero`.
pub const MAX_LIST_BYTES: u64 = 64 << 20;

/// Reads a file of at most [`MAX_LIST_BYTES`].
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe without a writer would block.
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("a list cannot be read from a named pipe"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_LIST_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LIST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {MAX_LIST_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

/// The error about a file that an option names.
pub(super) fn unreadable(option: &'static str, path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::option(
        option,
        format!("{}: {}", path.display(), explain(path, error)),
    )
}

impl Diagnostics {
    /// The path of a file that an option names. A relative one is refused: the directory of the daemon is not the one of
    /// the shell in which the administrator tries a command line.
    pub(super) fn absolute(&mut self, option: &'static str, path: PathBuf) -> Option<PathBuf> {
        if path.is_absolute() {
            return Some(path);
        }
        self.error(
            option,
            format!(
                "{:?} is a relative path; write it from / on, because the daemon runs in another directory",
                path.display().to_string()
            ),
        );
        None
    }
}

/// The error message, with advice if the sandbox of the unit is the likely cause.
fn explain(path: &Path, error: &io::Error) -> String {
    let hidden = ["/home", "/root", "/run/user"]
        .iter()
        .any(|hidden| path.starts_with(hidden));
    if hidden && std::env::var_os("INVOCATION_ID").is_some() {
        format!(
            "{error}; the unit hides home directories: move the list to /etc/stargrey, \
             or add a drop-in with [Service] ProtectHome=read-only"
        )
    } else {
        error.to_string()
    }
}

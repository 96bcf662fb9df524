//! The message to explain, as a file that the daemon can read.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::ctl::failure::Failure;

/// The argument that means standard input.
const STDIN: &str = "-";

/// Opens the message. What is not a regular file is copied into memory first: the daemon reads no other.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    let opened = if path.as_os_str() == STDIN {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(path)
    };
    opened.and_then(regular).map_err(|source| Failure::Open {
        path: path.to_owned(),
        source,
    })
}

/// The file if it is a regular one, else a copy.
fn regular(mut file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut copy = File::from(memfd_create(c"message", MFdFlags::MFD_CLOEXEC)?);
    io::copy(&mut file, &mut copy)?;
    Ok(copy)
}

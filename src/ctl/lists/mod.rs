//! Lists from the web: fetched by one unit, checked, told by mail and installed by another.
//!
//! ```text
//! list-watch ─ watch ─→ fetch: curl → CACHE/NAME.list, .etag, .result
//!                    ─→ news: what differs from STATE/NAME.told, as text for the mail
//!                    ─→ install: checked by stargreyd → STATE/NAME, which is active where OPTIONS names it
//! ```
//!
//! The unit that fetches has a network and no privilege; the one that installs has no network. What the former has
//! written is data of a foreign program for the latter: `read_foreign` follows no link and reads no more than a list
//! may have.
//!
//! # Error handling
//!
//! A list that cannot be fetched or installed is news, not an error: it is told once, and the version that is installed
//! stays. Files of a list that cannot be read or written are news of that list, too. An error is what concerns all lists:
//! list-watch itself, the reload, the mail, and what cannot be remembered as told.

pub mod fetch;
pub mod install;
pub mod news;
pub mod watch;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::ctl::failure::Failure;
use crate::ctl::output::NewFile;

/// The most that a list may have, in bytes.
pub const MOST_BYTES: u64 = 8 << 20;

/// The file of a list with this ending.
fn beside(directory: &Path, name: &str, ending: &str) -> PathBuf {
    directory.join(format!("{name}.{ending}"))
}

/// A file that another program has written; `None` if there is none.
///
/// # Errors
///
/// [`Failure::Open`], also for what is not a plain file of at most [`MOST_BYTES`].
fn read_foreign(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |source| Failure::Open {
        path: path.to_owned(),
        source,
    };
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.nlink() != 1 || metadata.len() > MOST_BYTES {
        return Err(failed(io::Error::other(
            "not a plain file of 8 MiB at most",
        )));
    }
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES).read_to_end(&mut bytes);
    read.map_err(failed)?;
    Ok(Some(bytes))
}

/// A file that all users can read, before it has its name.
fn open_new(path: &Path, bytes: &[u8]) -> Result<NewFile, Failure> {
    let mut new = NewFile::create(path, true)?;
    new.write_bytes(bytes)?;
    let readable = fs::Permissions::from_mode(0o644);
    let readable = new.file().set_permissions(readable);
    readable.map_err(|source| Failure::Create {
        path: path.to_owned(),
        source,
    })?;
    Ok(new)
}

/// Writes such a file, or none.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    open_new(path, bytes)?.finish()
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Failure::Create {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// The entries of a list: its lines without comments and empty ones.
#[must_use]
pub fn entries(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim);
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_and_nothing_but_a_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("secret"), "x").unwrap();
        symlink(at("secret"), at("link")).unwrap();
        fs::write(at("twice"), "x").unwrap();
        fs::hard_link(at("twice"), at("again")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let large = File::create(at("large")).unwrap();
        large.set_len(MOST_BYTES + 1).unwrap();
        for name in ["link", "again", "pipe", "large", "."] {
            assert!(read_foreign(&at(name)).is_err(), "{name}");
        }
        assert_eq!(read_foreign(&at("secret")).unwrap(), Some(b"x".to_vec()));
        assert_eq!(read_foreign(&at("none")).unwrap(), None);
    }

    #[test]
    fn what_is_installed_is_for_all_users() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        replace(&path, b"a\n").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn comments_are_not_entries() {
        let text = b"# a\n\n example.com \n/x#y/\n\xff.example\n";
        assert_eq!(entries(text), ["example.com", "/x#y/", "\u{fffd}.example"]);
    }
}

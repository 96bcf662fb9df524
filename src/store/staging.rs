//! The first half of a [`restore`](super::restore): copies the backup beside the database, and checks the copy.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::lmdb::LmdbOpener;
use super::privacy::PrivacyError;
use super::restore::{Candidate, Fill, RestoreError, Unfit, at, clear};
use super::{OpenError, Opener, StoreError, unclean};

/// Disk space needed besides the copy, in bytes: opening it writes a few pages.
const MARGIN: u64 = 1 << 20;

/// The key of `--privacy`.
const KEY: &str = "privacy.key";

/// Copies a backup and checks that the copy is complete, of this architecture, of a known format and of the right mode
/// and key, and that all its pages and records can be read.
///
/// # Errors
///
/// [`RestoreError::Unfit`] when it cannot be used, [`RestoreError::NoRoom`] or [`RestoreError::Failed`] when the copy
/// cannot be made.
pub(super) fn stage(
    opener: &LmdbOpener,
    size: u64,
    fill: &mut Fill<'_>,
) -> Result<Candidate, RestoreError> {
    clear(&opener.directory);
    let free = free_bytes(&opener.directory).map_err(at(&opener.directory))?;
    let needed = size.saturating_add(MARGIN);
    if free < needed {
        return Err(RestoreError::NoRoom {
            directory: opener.directory.clone(),
            needed,
            free,
        });
    }
    let candidate = Candidate::new(opener.directory.clone());
    let staged = LmdbOpener {
        directory: candidate.staging(),
        ..opener.clone()
    };
    let written = DirBuilder::new()
        .mode(0o700)
        .create(&staged.directory)
        .and_then(|()| {
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o600);
            fill(&mut options.open(staged.data())?)
        })
        .and_then(|()| fs::metadata(staged.data()));
    if written.map_err(at(&staged.data()))?.len() == 0 {
        return Err(Unfit::Empty.into());
    }
    let key = opener.directory.join(KEY);
    match fs::copy(&key, staged.directory.join(KEY)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(at(&key)(source).into());
        }
        Ok(_) | Err(_) => {}
    }
    staged.examine().map_err(unfit)?;
    if !unclean::survives_reading(&staged).map_err(OpenError::from)? {
        return Err(Unfit::Damaged.into());
    }
    let (reader, mut writer) = staged.open().map_err(unfit)?;
    writer.sync().map_err(OpenError::from)?;
    drop((reader, writer));
    File::open(staged.data())
        .and_then(|file| file.sync_all())
        .map_err(at(&staged.data()))?;
    Ok(candidate)
}

/// Free bytes of the file system of a directory, for unprivileged users.
fn free_bytes(directory: &Path) -> io::Result<u64> {
    // The types are narrower on some architectures.
    fn wide(number: impl Into<u64>) -> u64 {
        number.into()
    }
    let found = statvfs(directory)?;
    Ok(wide(found.blocks_available()).saturating_mul(wide(found.fragment_size())))
}

/// The restore error for an error of opening the copy.
fn unfit(error: OpenError) -> RestoreError {
    RestoreError::Unfit(match error {
        OpenError::Foreign(_) => Unfit::Foreign,
        OpenError::Truncated { found, needed, .. } => Unfit::Truncated { found, needed },
        OpenError::Newer { found, known } => Unfit::Newer { found, known },
        OpenError::Privacy(PrivacyError::Mode { hashed }) => Unfit::Mode { hashed },
        OpenError::Privacy(PrivacyError::WrongKey(_)) => Unfit::WrongKey,
        OpenError::Store(
            StoreError::Record | StoreError::Damaged(_) | StoreError::Lmdb(heed::Error::Mdb(_)),
        ) => Unfit::Damaged,
        OpenError::Store(_)
        | OpenError::Lock(_)
        | OpenError::Unclean(_)
        | OpenError::File { .. } => return RestoreError::Failed(error),
    })
}

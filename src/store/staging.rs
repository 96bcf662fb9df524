//! The first half of a [`restore`](super::restore): copies the backup beside the database, and checks the copy.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::lmdb::LmdbOpener;
use super::privacy::FILE as KEY;
use super::privacy::PrivacyError;
use super::restore::{BackupDefect, Fill, RestoreError, StagedBackup, at, clear};
use super::{OpenError, Opener, StoreError, unclean};

/// Disk space needed besides the copy, in bytes: opening it writes a few pages.
const MARGIN: u64 = 1 << 20;

/// Copies a backup and checks that the copy is complete, of this architecture, of a known format and of the right mode
/// and key, and that all its pages and records can be read.
///
/// # Errors
///
/// [`RestoreError::BackupDefect`] when it cannot be used, [`RestoreError::NoRoom`] or [`RestoreError::Failed`] when the copy
/// cannot be made.
pub(super) fn stage(
    opener: &LmdbOpener,
    size: u64,
    fill: &mut Fill<'_>,
) -> Result<StagedBackup, RestoreError> {
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
    let staged = StagedBackup::new(opener.directory.clone());
    let copy = LmdbOpener {
        directory: staged.staging(),
        ..opener.clone()
    };
    let written = DirBuilder::new()
        .mode(0o700)
        .create(&copy.directory)
        .and_then(|()| {
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o600);
            fill(&mut options.open(copy.data())?)
        })
        .and_then(|()| fs::metadata(copy.data()));
    if written.map_err(at(&copy.data()))?.len() == 0 {
        return Err(BackupDefect::Empty.into());
    }
    let key = opener.directory.join(KEY);
    match fs::copy(&key, copy.directory.join(KEY)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(at(&key)(source).into());
        }
        Ok(_) | Err(_) => {}
    }
    copy.examine().map_err(backup_defect)?;
    if !unclean::survives_reading(&copy).map_err(OpenError::from)? {
        return Err(BackupDefect::Damaged.into());
    }
    let (reader, mut writer) = copy.open().map_err(backup_defect)?;
    writer.sync().map_err(OpenError::from)?;
    drop((reader, writer));
    File::open(copy.data())
        .and_then(|file| file.sync_all())
        .map_err(at(&copy.data()))?;
    Ok(staged)
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
fn backup_defect(error: OpenError) -> RestoreError {
    RestoreError::BackupDefect(match error {
        OpenError::Foreign(_) => BackupDefect::Foreign,
        OpenError::Truncated { found, needed, .. } => BackupDefect::Truncated { found, needed },
        OpenError::Newer { found, known } => BackupDefect::Newer { found, known },
        OpenError::Privacy(PrivacyError::Mode { hashed }) => BackupDefect::Mode { hashed },
        OpenError::Privacy(PrivacyError::WrongKey(_)) => BackupDefect::WrongKey,
        OpenError::Store(
            StoreError::Record | StoreError::Damaged(_) | StoreError::Lmdb(heed::Error::Mdb(_)),
        ) => BackupDefect::Damaged,
        OpenError::Store(_)
        | OpenError::Lock(_)
        | OpenError::Unclean(_)
        | OpenError::File { .. } => return RestoreError::Failed(error),
    })
}

//! Backup: a copy of the database.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::thread;

use super::{Control, ControlError};
use crate::service::clock::monotonic;
use crate::store::{Reader, RequestError, StoreError, StoreRefusal};

/// Bytes that are written and synced at once.
const PIECE: u64 = 1 << 20;

impl Control {
    /// Writes a copy of the database into a file, which is open for writing and empty, and syncs it to disk. The disk
    /// is busy with it at most half of the time, so that requests are not delayed.
    ///
    /// # Errors
    ///
    /// [`ControlError::Copy`] when it cannot be written, [`ControlError::Store`] when it cannot be read; the file is
    /// incomplete then.
    pub async fn backup(&self, mut file: File) -> Result<(), ControlError> {
        self.read(move |reader| {
            // A pipe cannot be synced; its reader sets the pace.
            if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                copy_gently(reader, &mut file)
            } else {
                reader.copy_to(&mut file)
            }
        })
        .await
    }
}

/// Copies in pieces. Written at once, the copy would be before the next commit in the disk's queue.
fn copy_gently(reader: &dyn Reader, file: &mut File) -> Result<(), RequestError> {
    let failed = |error: io::Error| StoreRefusal::Copy(error.into());
    let (pieces, sink) = io::pipe().map_err(failed)?;
    thread::scope(|scope| {
        let copying = thread::Builder::new().name("backup".to_owned());
        let copying = copying.spawn_scoped(scope, move || {
            reader.copy_to(&mut File::from(OwnedFd::from(sink)))
        });
        let copying = copying.map_err(failed)?;
        // If that fails, the pipe is closed, which ends the copying too.
        write_gently(pieces, file).map_err(failed)?;
        copying.join().unwrap_or(Err(StoreError::Closed.into()))
    })
}

/// Writes and syncs pieces, and pauses after each for as long as that took.
pub(super) fn write_gently(source: impl Read, file: &mut File) -> io::Result<()> {
    let mut pieces = source.take(PIECE);
    while io::copy(&mut pieces, file)? > 0 {
        let begun = monotonic();
        file.sync_data()?;
        thread::sleep(monotonic().saturating_sub(begun));
        pieces.set_limit(PIECE);
    }
    file.sync_all()
}

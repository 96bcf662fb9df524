//! Restore: replaces the database by a backup.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::backup::write_gently;
use super::{Control, ControlError};
use crate::service::worker::{Message, Restore};
use crate::store::{RestoreError, StagedBackup, StoreError};

/// How often it is tried while the database is being read, and the time between two attempts.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

impl Control {
    /// Replaces the database by a backup: its records, runtime entries, counters and pause take effect. Records created
    /// since the backup are lost. The backup is copied and checked while requests are served.
    ///
    /// # Errors
    ///
    /// [`ControlError::Restore`]; the database is unchanged unless that is [`RestoreError::Closed`], and buffered
    /// updates are lost with [`RestoreError::RolledBack`].
    pub async fn restore(&self, file: File) -> Result<(), ControlError> {
        let _one = self.0.restoring.lock().await;
        let opener = Arc::clone(&self.0.opener);
        let staging = tokio::task::spawn_blocking(move || {
            let size = file.metadata().map_err(|_| gone())?.len();
            // Data appended to the file from now on are not read.
            opener.stage(size, &mut |copy| write_gently((&file).take(size), copy))
        });
        let staged = Arc::new(staging.await.map_err(|_| gone())??);
        let mut attempts = 0_u32;
        while let Err(error) = self.put_in_place(&staged).await {
            attempts = attempts.saturating_add(1);
            if !matches!(error, RestoreError::InUse) || attempts >= ATTEMPTS {
                return Err(error.into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.count_whitelisted().await
    }

    /// Makes the writer thread install it, and notes the options of this start in it.
    pub(super) async fn put_in_place(
        &self,
        staged: &Arc<StagedBackup>,
    ) -> Result<(), RestoreError> {
        let (done, is_done) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        let restore = Box::new(Restore {
            staged: Arc::clone(staged),
            then: Box::new(move || {
                inner.instance_cache.clear();
                if let Some(shared) = inner.shared.get() {
                    shared.restart();
                }
            }),
            done,
        });
        let queued = self.0.queue.try_send(Message::Restore(restore));
        queued.map_err(|_| gone())?;
        is_done.await.map_err(|_| gone())??;
        if let Err(error) = self.note_options_of_restored().await {
            log::debug!("the options are not noted: {error}");
        }
        Ok(())
    }
}

/// The writer thread, or another, has ended.
fn gone() -> RestoreError {
    RestoreError::Closed(StoreError::Closed.to_string())
}

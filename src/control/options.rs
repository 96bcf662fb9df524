//! Whether the daemon was started with other options than the last time, which the history shows as a mark.

use super::{Control, ControlError};
use crate::service::Change;
use crate::store::{Commit, Note};

impl Control {
    /// Notes the options by their digest. Other ones than those of the last start count as a change in this hour; the
    /// first ones do not.
    ///
    /// # Errors
    ///
    /// [`ControlError::Store`] when the database is unavailable: the next start sees the difference then.
    pub async fn note_options(&self, digest: [u8; 32]) -> Result<(), ControlError> {
        *self.0.options.lock() = Some(digest);
        let before = self.read(|reader| reader.note(Note::Options)).await?;
        if before.as_deref() == Some(&digest) {
            return Ok(());
        }
        self.write(
            move |records| records.put_note(Note::Options, Some(&digest)),
            Commit::Keep,
            || {},
        )
        .await?;
        if before.is_some() {
            self.0.stats.count_change(Change::Options);
        }
        Ok(())
    }

    /// Notes the options of this start in a database that was restored: those of the backup, which may be another host's,
    /// are not a change.
    pub(super) async fn note_options_of_restored(&self) -> Result<(), ControlError> {
        let Some(digest) = *self.0.options.lock() else {
            return Ok(());
        };
        self.write(
            move |records| records.put_note(Note::Options, Some(&digest)),
            Commit::Keep,
            || {},
        )
        .await
    }
}

//! The journal of what administrators do here and the other hosts of the site are to do, too.

use super::{Control, ControlError};
use crate::shared::{Act, Journal, Shared, Step, What};
use crate::store::{Commit, Note, Records, StoreError, StoreRefusal};

impl Control {
    /// What an administrator does here, for the journal; `None` if nothing is shared.
    pub(super) fn act(&self, what: What) -> Option<Act> {
        let shared = self.0.shared.get()?;
        Some(Act {
            host: shared.me(),
            time: self.0.now(),
            what,
        })
    }

    /// Has an act appended to the log of the site; `is_whole` if all acts that wait for that have found room.
    pub(super) fn acted(&self, act: Option<&Act>, is_whole: bool) {
        if let (Some(act), Some(shared)) = (act, self.0.shared.get()) {
            shared.note_act(act);
            if !is_whole {
                shared.note_lost();
            }
        }
    }

    /// Changes the journal in a separate transaction, and yields what `change` does.
    pub(super) async fn change_journal<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Journal) -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        let mut change = Some(change);
        let writing = self.write(
            move |records| {
                let change = change.take().ok_or(StoreError::Closed)?;
                note(records, change)
            },
            Commit::Keep,
            || {},
        );
        writing.await
    }
}

/// Changes the journal, and yields what `change` does.
pub(super) fn note<T>(
    records: &mut dyn Records,
    change: impl FnOnce(&mut Journal) -> T,
) -> Result<T, StoreError> {
    let mut journal = Journal::decode(records.note(Note::Acts)?.as_deref());
    let yielded = change(&mut journal);
    records.put_note(Note::Acts, Some(&journal.encode()))?;
    Ok(yielded)
}

/// Notes a step in the log, in the transaction that takes it.
///
/// # Errors
///
/// When the last one did not end where this one begins, or the database has been replaced by a backup since it began.
pub(super) fn take_step(
    journal: &mut Journal,
    step: Step,
    shared: Option<&Shared>,
) -> Result<(), StoreRefusal> {
    let is_of_backup = shared.is_some_and(|shared| shared.restarts() != step.restarts);
    if is_of_backup || journal.done != step.from {
        return Err(StoreRefusal::BadCursor);
    }
    journal.done = step.to;
    Ok(())
}

//! The journal of what administrators do here and the other hosts of the site are to do, too.

use super::{Control, ControlError};
use crate::shared::{Act, Journal, Shared, Step, What};
use crate::store::{Commit, Note, Records, StoreError, StoreRefusal};

/// What an administrator does here.
#[derive(Debug, Clone)]
pub(super) struct OwnAct {
    pub(super) act: Act,
    /// How often the database had been replaced by a backup before.
    restarts: u64,
}

impl Control {
    /// What an administrator does here, for the journal; `None` if nothing is shared.
    pub(super) fn act(&self, what: What) -> Option<OwnAct> {
        let shared = self.0.shared.get()?;
        Some(OwnAct {
            act: Act {
                host: shared.me(),
                time: self.0.now(),
                what,
            },
            restarts: shared.restarts(),
        })
    }

    /// Has an act that the database has carried out appended to the log of the site; `is_whole` if all acts that wait for
    /// that have found room.
    pub(super) fn acted(&self, own: Option<&OwnAct>, is_whole: bool) {
        if let (Some(own), Some(shared)) = (own, self.0.shared.get()) {
            shared.note_carried_out(&own.act, own.restarts);
            self.append(own, is_whole);
        }
    }

    /// The same for an act that the database may not have carried out.
    pub(super) fn append(&self, own: &OwnAct, is_whole: bool) {
        if let Some(shared) = self.0.shared.get() {
            shared.note_act(&own.act);
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
    journal.go_on(step.to, step.at);
    Ok(())
}

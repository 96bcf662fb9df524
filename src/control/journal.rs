//! The journal of what administrators do here and the other hosts of the site are to do, too.

use super::{Control, ControlError};
use crate::shared::{Act, Journal, What};
use crate::store::{Commit, Note, Records, StoreError};

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

    /// Has an act appended to the log of the site.
    pub(super) fn acted(&self, act: Option<&Act>) {
        if let (Some(act), Some(shared)) = (act, self.0.shared.get()) {
            shared.note_act(act);
        }
    }

    /// Changes the journal in a separate transaction.
    pub(super) async fn change_journal(
        &self,
        change: impl FnOnce(&mut Journal) + Send + 'static,
    ) -> Result<(), ControlError> {
        let mut change = Some(change);
        let writing = self.write(
            move |records| {
                note(records, |journal| {
                    if let Some(change) = change.take() {
                        change(journal);
                    }
                })
            },
            Commit::Keep,
            || {},
        );
        writing.await
    }
}

/// Changes the journal.
pub(super) fn note(
    records: &mut dyn Records,
    change: impl FnOnce(&mut Journal),
) -> Result<(), StoreError> {
    let mut journal = Journal::decode(records.note(Note::Acts)?.as_deref());
    change(&mut journal);
    records.put_note(Note::Acts, Some(&journal.encode()))
}

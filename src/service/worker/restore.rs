//! Restore: replaces the database by a backup, between two batches.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Health, Worker};
use crate::service::clock::monotonic;
use crate::shared::{Act, Journal};
use crate::store::{Commit, Note, OpenError, RequestError, RestoreError, StagedBackup, StoreError};
use crate::types::Timestamp;

/// A request to replace the database by a backup.
pub(crate) struct Restore {
    pub(crate) staged: Arc<StagedBackup>,
    /// Called twice: when the files have been renamed, and again when the new database is open and its entries are in
    /// force, before the first request is decided on it.
    pub(crate) then: Box<dyn Fn() + Send>,
    pub(crate) done: oneshot::Sender<Result<(), RestoreError>>,
}

impl Worker {
    /// Replaces the database, in any state, by a backup.
    pub(super) fn restore(&mut self, restore: Restore) {
        let Restore { staged, then, done } = restore;
        if done.is_closed() {
            return;
        }
        if done.send(self.replace(&staged, &*then)).is_err() {
            log::debug!("a restore was not waited for");
        }
    }

    /// Closes the database, renames the files, and opens the new one. Requests that arrive meanwhile are answered as
    /// `--on-store-failure` says, so only opening may wait for the disk.
    fn replace(&mut self, staged: &StagedBackup, then: &dyn Fn()) -> Result<(), RestoreError> {
        // The old database gets the counters up to now.
        self.flush_counters();
        self.with_writer(|writer| writer.sync());
        let acts = self.unsent_acts();
        // During a read, LMDB keeps the database open and cannot open another at the same path.
        if !self.shared.state.take_reader() {
            return Err(RestoreError::InUse);
        }
        self.writer = None;
        self.opened = None;
        let placed = self.in_store(|| staged.install());
        if placed.is_ok() {
            self.shared.write_behind.clear();
            self.shared.pause.unload();
            then();
        }
        let opened = self.open();
        let opened = match (placed, opened) {
            (Ok(()), Ok(())) => {
                self.keep_acts(&acts);
                let synced = self.in_store(|| staged.sync());
                synced.or_else(|error| self.roll_back(staged, error))
            }
            (Ok(()), Err(error)) => self.roll_back(staged, error),
            (Err(error), Ok(())) => return Err(error.into()),
            (Err(_), Err(error)) => Err(self.unopened(&error)),
        };
        opened?;
        then();
        self.swept = None;
        self.noted = Timestamp::default();
        self.wrote();
        if self.health != Health::Ok {
            self.try_again(monotonic());
        }
        Ok(())
    }

    /// What administrators did here and the shared server does not know yet. The backup does not have it.
    fn unsent_acts(&self) -> Vec<Act> {
        let note = self.shared.state.read(|reader| reader.note(Note::Acts));
        match note {
            Ok(note) => {
                let mut journal = Journal::decode(note.as_deref());
                journal.reopen();
                journal.pending
            }
            Err(StoreError::Closed) => Vec::new(),
            Err(error) => {
                log::warn!(
                    "what administrators did here and other hosts do not know yet cannot be kept: {error}"
                );
                Vec::new()
            }
        }
    }

    /// Adds acts to those that wait in the database for the shared server.
    fn keep_acts(&mut self, acts: &[Act]) {
        if acts.is_empty() {
            return;
        }
        self.with_writer(|writer| {
            let added = writer.run(
                &mut |records| {
                    let mut journal = Journal::decode(records.note(Note::Acts)?.as_deref());
                    for act in acts {
                        if !journal.pending.contains(act) {
                            journal.add(act.clone());
                        }
                    }
                    Ok(records.put_note(Note::Acts, Some(&journal.encode()))?)
                },
                Commit::Keep,
            );
            match added {
                Err(RequestError::Store(error)) => Err(error),
                Ok(()) | Err(RequestError::Refused(_)) => Ok(()),
            }
        });
    }

    /// Puts the old database back and opens it.
    fn roll_back(&mut self, staged: &StagedBackup, why: OpenError) -> Result<(), RestoreError> {
        self.close();
        let given = self.in_store(|| staged.roll_back());
        if let Err(error) = given.and_then(|()| self.open()) {
            return Err(self.unopened(&error));
        }
        log::warn!(
            "a restored database cannot be opened: {why}; the one before is in its place again"
        );
        Err(RestoreError::RolledBack(why))
    }

    /// Notes that the database cannot be opened.
    fn unopened(&mut self, error: &OpenError) -> RestoreError {
        self.stay_closed(error);
        RestoreError::Closed(error.to_string())
    }
}

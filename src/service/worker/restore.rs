//! A backup put in place of the database, between two batches.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Health, Worker};
use crate::service::clock::monotonic;
use crate::store::{Candidate, RestoreError};
use crate::types::Timestamp;

/// A backup that an administrator wants to be the database.
pub(crate) struct Restore {
    pub(crate) candidate: Arc<Candidate>,
    /// What follows once it is, before the first request is decided on it.
    pub(crate) then: Box<dyn FnOnce() + Send>,
    pub(crate) done: oneshot::Sender<Result<(), RestoreError>>,
}

impl Worker {
    /// Puts a backup in place of the database, in whatever state that is.
    pub(super) fn restore(&mut self, restore: Restore) {
        let Restore {
            candidate,
            then,
            done,
        } = restore;
        if done.is_closed() {
            return;
        }
        if done.send(self.replace(&candidate, then)).is_err() {
            log::debug!("a restore was not waited for");
        }
    }

    /// Closes the database, renames the files, and opens what is there then. Requests that come meanwhile are answered
    /// as `--on-store-failure` says, so nothing here waits for the disk but opening.
    fn replace(
        &mut self,
        candidate: &Candidate,
        then: Box<dyn FnOnce() + Send>,
    ) -> Result<(), RestoreError> {
        // The old database keeps what was counted in it.
        self.flush_counters();
        self.with_writer(|writer| writer.sync());
        // While somebody reads, LMDB does not let go of it, and does not open another in its place.
        if !self.shared.state.take_reader() {
            return Err(RestoreError::InUse);
        }
        self.writer = None;
        self.opened = None;
        let placed = self.in_store(|| candidate.take_place());
        if placed.is_ok() {
            self.shared.write_behind.clear();
            self.shared.pause.unload();
            then();
        }
        let mut opened = self.open();
        if placed.is_ok() {
            opened = opened.and_then(|()| self.in_store(|| candidate.sync()));
        }
        if let Err(error) = opened {
            self.stay_closed(&error);
            return Err(RestoreError::Closed(error.to_string()));
        }
        placed?;
        self.swept = None;
        self.noted = Timestamp::default();
        self.wrote();
        if self.health != Health::Well {
            self.try_again(monotonic());
        }
        Ok(())
    }
}

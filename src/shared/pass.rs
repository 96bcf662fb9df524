//! The background pass: records that were not published when they changed, because the server was away, the queue was
//! full, or the daemon was restarted; and all of them, when the host joins or the server has lost its data.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::local::LocalState;
use super::server::{Connection, ServerError};
use super::task::Work;
use crate::types::Timestamp;

/// Records that are published in a second.
const MOST_RECORDS: usize = 500;

/// A pass over the records that were seen since `since`.
#[derive(Debug)]
pub(super) struct Pass {
    began: Timestamp,
    since: Timestamp,
    after: Vec<u8>,
    /// How many keys there had been no room for when it began.
    dropped: u64,
}

impl Work {
    /// Begins a pass.
    pub(super) fn begin_pass(&self, state: LocalState) -> Pass {
        self.shared.wants_pass.store(false, Ordering::Relaxed);
        Pass {
            began: state.now,
            since: self.local.sent_until(),
            after: Vec::new(),
            dropped: self.shared.queue.dropped(),
        }
    }

    /// One step of a pass; ends it with the last one.
    pub(super) async fn step(
        &self,
        connection: &Arc<dyn Connection>,
        pass: &mut Option<Pass>,
        state: LocalState,
    ) -> Result<(), ServerError> {
        let Some(running) = pass else {
            return Ok(());
        };
        let page = self.local.page(&running.after, running.since, MOST_RECORDS);
        let Some((keys, next)) = page else {
            return Ok(());
        };
        if let Some(error) = self.publish_keys(connection, keys, state).await {
            return Err(error);
        }
        if let Some(next) = next {
            running.after = next;
            return Ok(());
        }
        if self.local.set_sent_until(running.began).await {
            let is_complete = running.dropped == self.shared.queue.dropped();
            *pass = (!is_complete).then(|| self.begin_pass(state));
        }
        Ok(())
    }
}

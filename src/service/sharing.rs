//! The records of this host, for the other hosts of its site.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::internals::Inner;
use super::worker::{AdminTask, Message};
use crate::policy::{Case, Expiry};
use crate::shared::{Change, Key, Local, LocalState, Record};
use crate::store::{Commit, Records, StoreError};

/// The records of the gate. Does not keep the gate alive.
pub(super) struct LocalRecords(Weak<Inner>);

impl LocalRecords {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(inner))
    }
}

impl Local for LocalRecords {
    fn state(&self) -> Option<LocalState> {
        let inner = self.0.upgrade()?;
        let (now, expiry) = inner.time();
        Some(LocalState {
            now,
            params: inner.rules().expiry_params(),
            may_publish: expiry == Expiry::Applies && inner.state.failure().is_none(),
        })
    }

    fn read(&self, keys: &[Key]) -> Option<Vec<Option<Record>>> {
        let inner = self.0.upgrade()?;
        let records = keys.iter().map(|key| inner.shared_record(key));
        records.collect::<Result<_, _>>().ok()
    }

    fn learn(&self, learned: Vec<(Key, Record)>) -> Change {
        let (done, is_done) = oneshot::channel();
        let task = AdminTask {
            body: Box::new(move |records| {
                for (key, better) in &learned {
                    merge(records, key, *better)?;
                }
                Ok(())
            }),
            end: Commit::Keep,
            then: Box::new(|| {}),
            done,
        };
        let is_queued = self.0.upgrade().is_some_and(|inner| {
            let queued = inner.queue.try_send(Message::AdminTask(Box::new(task)));
            queued.is_ok()
        });
        Box::pin(async move { is_queued && matches!(is_done.await, Ok(Ok(()))) })
    }
}

impl Inner {
    /// The record of a key, with what is not written yet.
    fn shared_record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let case = match key.clone() {
            Key::Triplet(key) => Case::of(None, Some(key)),
            Key::Client(key) => Case::of(Some(key), None),
        };
        let mut stored = self.state.read(|reader| reader.facts(&case))?;
        self.write_behind.merge_into(&case, &mut stored);
        let client = stored.client.map(Record::Client);
        Ok(stored.triplet.map(Record::Triplet).or(client))
    }
}

/// Merges a record of another host into that of this one, which may have been deleted meanwhile.
fn merge(records: &mut dyn Records, key: &Key, better: Record) -> Result<(), StoreError> {
    match (key, better) {
        (Key::Triplet(key), Record::Triplet(better)) => {
            let stored = records.triplet(key)?;
            let merged = stored.map(|stored| stored.merge(better));
            match merged.filter(|_| merged != stored) {
                Some(merged) => records.put_triplet(key, merged),
                None => Ok(()),
            }
        }
        (Key::Client(key), Record::Client(better)) => {
            let stored = records.client(key)?;
            let merged = stored.map(|stored| stored.merge(better));
            match merged.filter(|_| merged != stored) {
                Some(merged) => records.put_client(key, merged),
                None => Ok(()),
            }
        }
        // A key has records of its own kind only.
        (Key::Triplet(_), Record::Client(_)) | (Key::Client(_), Record::Triplet(_)) => Ok(()),
    }
}

//! The records of this host, for the other hosts of its site.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::internals::Inner;
use super::worker::{AdminTask, Message};
use crate::policy::{
    Because, Case, ClientKey, Expiry, Outcome, StoredRecords, TripletKey, Verdict,
};
use crate::shared::{Change, Key, Local, LocalState, Record};
use crate::store::{Commit, Note, Records, RequestError, Row, RowKey, Scope, StoreError};
use crate::types::Timestamp;

/// The records of the gate. Does not keep the gate alive.
pub(super) struct LocalRecords(Weak<Inner>);

impl LocalRecords {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(inner))
    }

    /// Runs a job in a transaction of the writer thread.
    fn write(
        &self,
        mut job: impl FnMut(&mut dyn Records) -> Result<(), StoreError> + Send + 'static,
    ) -> Change {
        let (done, is_done) = oneshot::channel();
        let task = AdminTask {
            body: Box::new(move |records| Ok(job(records)?)),
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
        self.write(move |records| {
            let mut learned = learned.iter();
            learned.try_for_each(|(key, better)| merge(records, key, *better))
        })
    }
    fn page(
        &self,
        after: &[u8],
        since: Timestamp,
        most: usize,
    ) -> Option<(Vec<Key>, Option<Vec<u8>>)> {
        self.0.upgrade()?.shared_page(after, since, most).ok()
    }

    fn sent_until(&self) -> Timestamp {
        let note = self.0.upgrade().and_then(|inner| {
            let note = inner.state.read(|reader| reader.note(Note::SentUntil));
            note.ok().flatten()
        });
        time_of(note)
    }

    fn set_sent_until(&self, from: Timestamp, to: Timestamp) -> Change {
        self.write(move |records| {
            if time_of(records.note(Note::SentUntil)?) != from {
                return Ok(());
            }
            records.put_note(Note::SentUntil, Some(&to.seconds().to_be_bytes()))
        })
    }
}

impl Inner {
    /// The other host whose record has decided.
    pub(super) fn publisher(&self, outcome: &Outcome) -> Option<Arc<str>> {
        let Because::Shared(host) = outcome.because else {
            return None;
        };
        self.shared.get().map(|shared| shared.host(host))
    }

    /// Has a decision published to the other hosts, if there are any.
    pub(super) fn publish(&self, case: &Case, stored: &StoredRecords, outcome: &Outcome) {
        if let Some(shared) = self.shared.get() {
            shared.note(case, stored, &outcome.changes);
        }
    }

    /// The keys of a page of records.
    fn shared_page(
        &self,
        after: &[u8],
        since: Timestamp,
        most: usize,
    ) -> Result<(Vec<Key>, Option<Vec<u8>>), RequestError> {
        let scope = Scope {
            sleeps: false,
            ..Scope::ALL
        };
        let reader = self.state.reader()?;
        let page = reader.page(&scope, after, most, &|row| match row {
            Row::Triplet { record, .. } => record.last() >= since,
            Row::Client { record, .. } => record.last >= since,
            Row::Sleep { .. } => false,
        })?;
        let keys = page.rows.into_iter().filter_map(|row| match row {
            Row::Triplet {
                key: RowKey::Plain(parts),
                ..
            } => Some(Key::Triplet(parts.key())),
            Row::Client {
                key: RowKey::Plain(identity),
                ..
            } => Some(Key::Client(ClientKey::new(identity))),
            Row::Triplet {
                key: RowKey::Hashed(hash),
                ..
            } => Some(Key::Triplet(TripletKey::hashed(&hash))),
            Row::Client {
                key: RowKey::Hashed(hash),
                ..
            } => Some(Key::Client(ClientKey::hashed(&hash))),
            Row::Sleep { .. } => None,
        });
        Ok((keys.collect(), page.next))
    }

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

/// The time in a note; 0 if there is none.
fn time_of(note: Option<Vec<u8>>) -> Timestamp {
    let seconds = note.and_then(|note| note.try_into().ok().map(u64::from_be_bytes));
    Timestamp::from_seconds(seconds.unwrap_or_default())
}

/// Whether other hosts are asked about a mail with this verdict.
pub(super) const fn waits(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Defer { .. } | Verdict::Tarpit { .. })
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

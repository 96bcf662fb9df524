//! Write-behind buffer: record updates (last seen, retry counts) that no reply depends on. Reads see the buffered
//! value. A crash loses the buffer.
//!
//! An early retry, or mail of a known triplet, changes only when the record was last seen, and how often. These
//! requests are decided in a read transaction; the changed record is kept in this buffer and merged into the records
//! read later, so that no decision uses an older one.
//!
//! Records that are being written are separate from those that have changed since, so that each record is written at
//! most once per flush.
//!
//! # Limits
//!
//! [`CAPACITY`] records of each kind, and as many that are being written. While the buffer is full, changes of other
//! records are dropped.

use std::collections::HashMap;
use std::hash::Hash;

use crate::policy::{
    Case, Changes, Client, ClientKey, Outcome, StoredRecords, Triplet, TripletKey,
};
use crate::store::{Records, StoreError};
use crate::types::sync::{Mutex, MutexGuard};

/// Maximum number of records of each kind: about 10 MiB with keys.
const CAPACITY: usize = 65_536;

/// The buffer.
#[derive(Debug, Default)]
pub(crate) struct WriteBehind(Mutex<Both>);

#[derive(Debug, Default)]
struct Both {
    /// Records changed since the flush began.
    noted: DirtyRecords,
    /// Records that the flush has not written yet.
    flushing: DirtyRecords,
}

/// Changed records.
#[derive(Debug, Clone, Default)]
pub(crate) struct DirtyRecords {
    triplets: HashMap<TripletKey, Triplet>,
    clients: HashMap<ClientKey, Client>,
}

impl WriteBehind {
    /// Merges buffered updates into `facts`, calls `decide`, and buffers the changes that need not be durable before the
    /// reply.
    pub(crate) fn decide(
        &self,
        case: &Case,
        facts: &mut StoredRecords,
        decide: impl FnOnce(&StoredRecords) -> Outcome,
    ) -> Outcome {
        let mut both = self.lock();
        let Both { noted, flushing } = &mut *both;
        if !case.others.is_empty() {
            noted.merge_others_into(case, facts);
            flushing.merge_others_into(case, facts);
        }
        // Each key is looked up once: the slot found is read before the decision and written after it.
        let triplet = at(&mut noted.triplets, case.triplet.as_ref(), facts.triplet);
        let client = at(&mut noted.clients, case.client.as_ref(), facts.client);
        flushing.merge_into(case, facts, triplet.as_deref(), client.as_deref());
        let outcome = decide(facts);
        if outcome.changes.durable {
            return outcome;
        }
        let place = triplet.filter(|_| outcome.changes.name == 0);
        match (place, outcome.changes.triplet) {
            (Some(place), Some(next)) => *place = next,
            (None, Some(next)) => insert(&mut noted.triplets, case.name(&outcome.changes), next),
            (_, None) => {}
        }
        match (client, outcome.changes.client) {
            (Some(place), Some(next)) => *place = next,
            (None, Some(next)) => insert(&mut noted.clients, case.client.as_ref(), next),
            (_, None) => {}
        }
        outcome
    }

    /// Merges buffered updates into `facts`.
    pub(crate) fn merge_into(&self, case: &Case, facts: &mut StoredRecords) {
        let both = self.lock();
        both.noted.merge_others_into(case, facts);
        both.flushing.merge_others_into(case, facts);
        let triplet = case.triplet.as_ref();
        let client = case.client.as_ref();
        let triplet = triplet.and_then(|key| both.noted.triplets.get(key));
        let client = client.and_then(|key| both.noted.clients.get(key));
        both.flushing.merge_into(case, facts, triplet, client);
    }

    /// Begins a flush, unless the last one is not finished.
    pub(crate) fn begin_flush(&self) {
        let mut both = self.lock();
        if both.flushing.is_empty() {
            both.flushing = std::mem::take(&mut both.noted);
        }
    }

    /// Records that the flush has to write, at most `most` of each kind; they stay in the buffer until
    /// [`Self::written`].
    pub(crate) fn waiting(&self, most: usize) -> DirtyRecords {
        let both = self.lock();
        DirtyRecords {
            triplets: some(&both.flushing.triplets, most),
            clients: some(&both.flushing.clients, most),
        }
    }

    /// Drops written records.
    pub(crate) fn written(&self, written: &DirtyRecords) {
        let mut both = self.lock();
        for key in written.triplets.keys() {
            both.flushing.triplets.remove(key);
        }
        for key in written.clients.keys() {
            both.flushing.clients.remove(key);
        }
    }

    /// Drops everything, because the stored records may have been deleted.
    pub(crate) fn clear(&self) {
        *self.lock() = Both::default();
    }

    /// Drops records that a commit has superseded.
    pub(crate) fn superseded(&self, case: &Case, changes: &Changes) {
        let mut both = self.lock();
        let Both { noted, flushing } = &mut *both;
        for side in [noted, flushing] {
            if changes.triplet.is_some() {
                for key in case.names() {
                    side.triplets.remove(key);
                }
            }
            if let (Some(key), Some(_)) = (&case.client, changes.client) {
                side.clients.remove(key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Both> {
        self.0.lock()
    }
}

impl DirtyRecords {
    /// Merges buffered updates into `facts`: `triplet` and `client` if given, else those of this buffer.
    fn merge_into(
        &self,
        case: &Case,
        facts: &mut StoredRecords,
        triplet: Option<&Triplet>,
        client: Option<&Client>,
    ) {
        if let Some(stored) = facts.triplet {
            let seen = triplet.or_else(|| self.triplets.get(case.triplet.as_ref()?));
            facts.triplet = seen
                .filter(|seen| seen.same_state(stored))
                .map(|seen| seen.merge(stored))
                .or(facts.triplet);
        }
        if let Some(stored) = facts.client {
            let seen = client.or_else(|| self.clients.get(case.client.as_ref()?));
            facts.client = Some(seen.map_or(stored, |seen| seen.merge(stored)));
        }
    }

    /// Merges buffered updates of the triplet's records under its other names into `facts`.
    fn merge_others_into(&self, case: &Case, facts: &mut StoredRecords) {
        for (key, stored) in case.others.iter().zip(&mut facts.others) {
            if let (Some(record), Some(seen)) = (*stored, self.triplets.get(key))
                && seen.same_state(record)
            {
                *stored = Some(seen.merge(record));
            }
        }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The larger number of records of the two kinds.
    pub(crate) fn len(&self) -> usize {
        self.triplets.len().max(self.clients.len())
    }

    /// Writes the buffered updates whose stored record is still in the same state, merged with it: the update may
    /// predate the last commit.
    pub(crate) fn write(&self, records: &mut dyn Records) -> Result<(), StoreError> {
        for (key, seen) in &self.triplets {
            let stored = records.triplet(key)?;
            if let Some(stored) = stored.filter(|stored| stored.same_state(*seen)) {
                records.put_triplet(key, seen.merge(stored))?;
            }
        }
        for (key, seen) in &self.clients {
            if let Some(stored) = records.client(key)? {
                records.put_client(key, seen.merge(stored))?;
            }
        }
        Ok(())
    }
}

/// Some entries of a map.
fn some<K: Clone + Eq + Hash, V: Copy>(map: &HashMap<K, V>, most: usize) -> HashMap<K, V> {
    let entries = map.iter().take(most);
    entries.map(|(key, value)| (key.clone(), *value)).collect()
}

/// The slot of a buffered record, if there is one.
fn at<'m, K: Eq + Hash, V>(
    map: &'m mut HashMap<K, V>,
    key: Option<&K>,
    stored: Option<V>,
) -> Option<&'m mut V> {
    stored.and(key).and_then(|key| map.get_mut(key))
}

/// Buffers a record, if there is space.
fn insert<K: Clone + Eq + Hash, V>(map: &mut HashMap<K, V>, key: Option<&K>, record: V) {
    let Some(key) = key else { return };
    if let Some(old) = map.get_mut(key) {
        *old = record;
    } else if map.len() < CAPACITY {
        map.insert(key.clone(), record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Because, Reason, Verdict};
    use crate::store::Writer;
    use crate::store::memory::MemoryStore;
    use crate::types::{ClientIp, Timestamp};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn case(recipient: &str) -> Case {
        let network = ClientIp::parse(b"192.0.2.7").unwrap().network(24, 64);
        Case {
            client: Some(ClientKey::new(network)),
            triplet: Some(TripletKey::new(
                network,
                b"ann@a.example",
                recipient.as_bytes(),
            )),
            others: Vec::new(),
            sleep: None,
            suspicion: None,
            terms: crate::policy::Terms::default(),
            asks_known: false,
            is_stressed: false,
            shared: None,
        }
    }

    /// What the store has of a triplet that passed at the beginning.
    fn passed(mails: u32) -> Triplet {
        Triplet::Passed {
            first: at(0),
            passed: at(0),
            last: at(u64::from(mails)),
            mails,
        }
    }

    fn facts() -> StoredRecords {
        StoredRecords {
            triplet: Some(passed(0)),
            client: Some(Client {
                count: 1,
                last: at(0),
            }),
            ..StoredRecords::default()
        }
    }

    const fn mails(triplet: Triplet) -> u32 {
        match triplet {
            Triplet::Passed { mails, .. } => mails,
            Triplet::Waiting { .. } => 0,
        }
    }

    /// One more mail of a known triplet; yields its number.
    fn mail(write_behind: &WriteBehind, recipient: &str) -> u32 {
        let outcome = write_behind.decide(&case(recipient), &mut facts(), |facts| {
            let mut outcome = Outcome::new(Verdict::Pass, Reason::TripletFound, Because::Triplet);
            outcome.changes.triplet = facts.triplet.map(|triplet| passed(mails(triplet) + 1));
            outcome
        });
        outcome.changes.triplet.map_or(0, mails)
    }

    /// How many mails the flush would write of each triplet.
    fn flushed(write_behind: &WriteBehind) -> Vec<u32> {
        let waiting = write_behind.waiting(10);
        let mut all: Vec<u32> = waiting.triplets.values().copied().map(mails).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn every_decision_sees_what_the_last_one_noted() {
        let write_behind = WriteBehind::default();
        assert_eq!([1, 2].map(|_| mail(&write_behind, "joe@x")), [1, 2]);
        write_behind.begin_flush();
        assert_eq!([3, 4].map(|_| mail(&write_behind, "joe@x")), [3, 4]);
        let mut seen = facts();
        write_behind.merge_into(&case("joe@x"), &mut seen);
        assert_eq!(seen.triplet, Some(passed(4)));
        assert_eq!(mail(&write_behind, "jim@x"), 1);
    }

    #[test]
    fn a_flush_writes_each_record_once_however_often_it_changes_meanwhile() {
        let write_behind = WriteBehind::default();
        mail(&write_behind, "joe@x");
        mail(&write_behind, "joe@x");
        mail(&write_behind, "jim@x");
        write_behind.begin_flush();
        mail(&write_behind, "joe@x");
        write_behind.begin_flush();
        assert_eq!(flushed(&write_behind), [1, 2]);
        write_behind.written(&write_behind.waiting(10));
        assert_eq!(flushed(&write_behind), [0_u32; 0]);
        write_behind.begin_flush();
        assert_eq!(flushed(&write_behind), [3]);
    }

    #[test]
    fn a_note_that_comes_after_a_newer_commit_takes_none_of_it_back() {
        let write_behind = WriteBehind::default();
        // Decided by what was there before the commit of the ninth.
        assert_eq!(mail(&write_behind, "joe@x"), 1);
        let case = case("joe@x");
        let mut seen = facts();
        seen.triplet = Some(passed(9));
        write_behind.merge_into(&case, &mut seen);
        assert_eq!(seen.triplet.map(mails), Some(9));

        write_behind.begin_flush();
        let key = case.triplet.unwrap();
        let write = |records: &mut dyn Records| {
            records.put_triplet(&key, passed(9))?;
            write_behind.waiting(10).write(records)?;
            assert_eq!(records.triplet(&key)?.map(mails), Some(9));
            Ok(())
        };
        MemoryStore::new().transact(&mut { write }).unwrap();
    }

    #[test]
    fn a_note_of_a_clock_that_was_behind_sets_no_time_back() {
        let write_behind = WriteBehind::default();
        mail(&write_behind, "joe@x");
        let case = case("joe@x");
        let later = |mails, last| Triplet::Passed {
            first: at(0),
            passed: at(0),
            last: at(last),
            mails,
        };
        let stored = StoredRecords {
            triplet: Some(later(0, 500)),
            client: Some(Client {
                count: 1,
                last: at(500),
            }),
            ..StoredRecords::default()
        };
        let outcome = write_behind.decide(&case, &mut { stored }, |_| {
            let mut outcome = Outcome::new(Verdict::Pass, Reason::ClientAwl, Because::Client);
            outcome.changes.client = Some(Client {
                count: 2,
                last: at(100),
            });
            outcome
        });
        assert!(!outcome.changes.durable);
        let mut seen = stored;
        write_behind.merge_into(&case, &mut seen);
        let client = Some(Client {
            count: 2,
            last: at(500),
        });
        assert_eq!((seen.triplet, seen.client), (Some(later(1, 500)), client));

        write_behind.begin_flush();
        let (key, network) = (case.triplet.clone().unwrap(), case.client.clone().unwrap());
        let write = |records: &mut dyn Records| {
            records.put_triplet(&key, later(0, 500))?;
            records.put_client(&network, stored.client.unwrap())?;
            write_behind.waiting(10).write(records)?;
            assert_eq!(records.triplet(&key)?, Some(later(1, 500)));
            assert_eq!(records.client(&network)?, client);
            Ok(())
        };
        MemoryStore::new().transact(&mut { write }).unwrap();
    }

    #[test]
    fn what_a_commit_has_superseded_is_neither_seen_nor_written() {
        let write_behind = WriteBehind::default();
        mail(&write_behind, "joe@x");
        write_behind.begin_flush();
        mail(&write_behind, "joe@x");
        let mut committed = Changes::NONE;
        committed.triplet = Some(passed(9));
        write_behind.superseded(&case("joe@x"), &committed);
        assert_eq!(mail(&write_behind, "joe@x"), 1);
        assert_eq!(flushed(&write_behind), [0_u32; 0]);
    }
}

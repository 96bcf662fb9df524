//! What was seen and not promised: records waiting to ride along with a later commit.
//!
//! A retry that comes too early, or mail of a known triplet, changes only when the record was last seen and
//! how often. Such traffic is answered from a read transaction; the changed record waits here and is laid over
//! what is read, so that no decision sees an older one. A kill loses what waits.
//!
//! # Limits
//!
//! [`CAPACITY`] records of each kind; beyond that nothing is noted until the next flush.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::policy::{Changes, Client, ClientKey, Facts, Query, Triplet, TripletKey};
use crate::store::{Records, StoreError};

/// Most records of each kind: some 10 MiB with keys.
const CAPACITY: usize = 65_536;

/// The records that wait.
#[derive(Debug, Default)]
pub(super) struct Touches(Mutex<Noted>);

/// The records of one flush.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted {
    triplets: HashMap<TripletKey, Triplet>,
    clients: HashMap<ClientKey, Client>,
}

impl Touches {
    /// Notes what an answer changed without promising it.
    pub(super) fn note(&self, query: &Query, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let mut noted = self.lock();
        if let (Some(key), Some(triplet)) = (&query.triplet, changes.triplet) {
            insert(&mut noted.triplets, key, triplet);
        }
        if let (Some(key), Some(client)) = (&query.client, changes.client) {
            insert(&mut noted.clients, key, client);
        }
    }

    /// Lays what waits over what was read.
    pub(super) fn overlay(&self, query: &Query, facts: &mut Facts) {
        let noted = self.lock();
        if let Some(stored) = facts.triplet
            && let Some(key) = &query.triplet
            && let Some(seen) = noted.triplets.get(key)
            && seen.same_state(stored)
        {
            facts.triplet = Some(*seen);
        }
        if let Some(stored) = facts.client
            && let Some(key) = &query.client
            && let Some(seen) = noted.clients.get(key)
            && seen.count >= stored.count
        {
            facts.client = Some(*seen);
        }
    }

    /// Some of what waits now, at most `most` of each kind; it goes on waiting until [`Self::written`].
    pub(super) fn waiting(&self, most: usize) -> Noted {
        let noted = self.lock();
        Noted {
            triplets: some(&noted.triplets, most),
            clients: some(&noted.clients, most),
        }
    }

    /// Forgets what was written, unless it has changed since.
    pub(super) fn written(&self, written: &Noted) {
        let mut noted = self.lock();
        for (key, record) in &written.triplets {
            if noted.triplets.get(key) == Some(record) {
                noted.triplets.remove(key);
            }
        }
        for (key, record) in &written.clients {
            if noted.clients.get(key) == Some(record) {
                noted.clients.remove(key);
            }
        }
    }

    /// Forgets everything: what was only seen belongs to records that may be gone.
    pub(super) fn clear(&self) {
        *self.lock() = Noted::default();
    }

    /// Forgets what a commit has superseded.
    pub(super) fn superseded(&self, query: &Query, changes: &Changes) {
        let mut noted = self.lock();
        if let (Some(key), Some(_)) = (&query.triplet, changes.triplet) {
            noted.triplets.remove(key);
        }
        if let (Some(key), Some(_)) = (&query.client, changes.client) {
            noted.clients.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are of the kind that has more.
    pub(super) fn len(&self) -> usize {
        self.triplets.len().max(self.clients.len())
    }

    /// Writes what still belongs to the record in the store.
    pub(super) fn write(&self, records: &mut dyn Records) -> Result<(), StoreError> {
        for (key, seen) in &self.triplets {
            if records
                .triplet(key)?
                .is_some_and(|stored| stored.same_state(*seen))
            {
                records.put_triplet(key, *seen)?;
            }
        }
        for (key, seen) in &self.clients {
            if records
                .client(key)?
                .is_some_and(|stored| stored.count <= seen.count)
            {
                records.put_client(key, *seen)?;
            }
        }
        Ok(())
    }
}

/// Some entries of a map.
fn some<K: Clone + Eq + std::hash::Hash, V: Copy>(
    map: &HashMap<K, V>,
    most: usize,
) -> HashMap<K, V> {
    let entries = map.iter().take(most);
    entries.map(|(key, value)| (key.clone(), *value)).collect()
}

fn insert<K: Clone + Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, key: &K, value: V) {
    if let Some(old) = map.get_mut(key) {
        *old = value;
    } else if map.len() < CAPACITY {
        map.insert(key.clone(), value);
    }
}

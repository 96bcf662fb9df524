//! A store in memory: for tests, and for nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Figures, Halves, Opener, Reader, Records, StoreError, Swept, Writer};
use crate::policy::{
    Client, ClientKey, Facts, Params, Query, Sleep, SleepChange, Triplet, TripletKey,
};
use crate::types::Timestamp;

/// The records of a process that are gone with it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Clone, Default)]
struct Tables {
    triplets: BTreeMap<TripletKey, Triplet>,
    clients: BTreeMap<ClientKey, Client>,
    sleeps: BTreeMap<ClientKey, Sleep>,
    latest: Option<Timestamp>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records for Tables {
    fn triplet(&self, key: &TripletKey) -> Result<Option<Triplet>, StoreError> {
        Ok(self.triplets.get(key).copied())
    }

    fn client(&self, key: &ClientKey) -> Result<Option<Client>, StoreError> {
        Ok(self.clients.get(key).copied())
    }

    fn sleep(&self, key: &ClientKey) -> Result<Option<Sleep>, StoreError> {
        Ok(self.sleeps.get(key).copied())
    }

    fn put_triplet(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError> {
        self.triplets.insert(key.clone(), record);
        Ok(())
    }

    fn put_client(&mut self, key: &ClientKey, record: Client) -> Result<(), StoreError> {
        self.clients.insert(key.clone(), record);
        Ok(())
    }

    fn change_sleep(&mut self, key: &ClientKey, change: SleepChange) -> Result<(), StoreError> {
        match change {
            SleepChange::Keep(record) => self.sleeps.insert(key.clone(), record),
            SleepChange::Remove => self.sleeps.remove(key),
        };
        Ok(())
    }
}

impl Reader for MemoryStore {
    fn facts(&self, query: &Query) -> Result<Facts, StoreError> {
        self.tables().facts(query)
    }

    fn figures(&self) -> Result<Figures, StoreError> {
        let tables = self.tables();
        let passed = tables.triplets.values().filter(|t| t.is_passed()).count();
        Ok(Figures {
            waiting: (tables.triplets.len() as u64).saturating_sub(passed as u64),
            passed: passed as u64,
            clients: tables.clients.len() as u64,
            sleeps: tables.sleeps.len() as u64,
        })
    }

    fn latest(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.tables().latest)
    }

    fn count_whitelisted(&self, threshold: u32) -> Result<u64, StoreError> {
        let tables = self.tables();
        let whitelisted = tables.clients.values();
        Ok(whitelisted
            .filter(|client| client.is_whitelisted(threshold))
            .count() as u64)
    }
}

impl Writer for MemoryStore {
    fn transact(&mut self, job: &mut super::Job<'_>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let mut next = tables.clone();
        job(&mut next)?;
        *tables = next;
        Ok(())
    }

    fn sweep(&mut self, now: Timestamp, params: &Params) -> Result<Swept, StoreError> {
        let mut tables = self.tables();
        let count = |tables: &Tables| {
            let others = tables.clients.len().saturating_add(tables.sleeps.len());
            tables.triplets.len().saturating_add(others)
        };
        let before = count(&tables);
        tables.triplets.retain(|_, t| !t.is_expired(now, params));
        tables.clients.retain(|_, c| !c.is_expired(now, params));
        tables.sleeps.retain(|_, s| !s.is_expired(now, params));
        Ok(Swept {
            removed: before.saturating_sub(count(&tables)) as u64,
            finished: true,
        })
    }

    fn note_time(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.tables().latest = Some(now);
        Ok(())
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Opener for MemoryStore {
    fn open(&self) -> Result<Halves, StoreError> {
        Ok((Arc::new(self.clone()), Box::new(self.clone())))
    }
}

//! The reading half: a short read transaction for each question.

use super::Core;
use crate::policy::{Facts, Query};
use crate::store::schema::{self, stored_key};
use crate::store::{Figures, Reader, StoreError};
use crate::types::Timestamp;

/// Reads what was committed last.
#[derive(Debug)]
pub(super) struct LmdbReader {
    core: Core,
}

impl LmdbReader {
    pub(super) const fn new(core: Core) -> Self {
        Self { core }
    }
}

impl Reader for LmdbReader {
    fn facts(&self, query: &Query) -> Result<Facts, StoreError> {
        let txn = self.core.env.read_txn()?;
        let key = self.core.key.as_ref();
        let tables = &self.core.tables;
        let mut facts = Facts::default();
        if let Some(client) = &query.client {
            let stored = stored_key(client.as_bytes(), key);
            let bytes = tables.clients.get(&txn, &stored.key)?;
            facts.client = bytes.map(schema::decode_client).transpose()?;
        }
        if let Some(triplet) = &query.triplet {
            let stored = stored_key(triplet.as_bytes(), key);
            let found = tables.find(&txn, &self.core.occupied, &stored.key)?;
            facts.triplet = found.map(|(record, _)| record);
        }
        if let Some(client) = &query.sleep {
            let stored = stored_key(client.as_bytes(), key);
            let bytes = tables.sleeps.get(&txn, &stored.key)?;
            facts.sleep = bytes.map(schema::decode_sleep).transpose()?;
        }
        Ok(facts)
    }

    fn figures(&self) -> Result<Figures, StoreError> {
        let txn = self.core.env.read_txn()?;
        let mut waiting = 0_u64;
        for slot in &self.core.tables.waiting {
            waiting = waiting.saturating_add(slot.len(&txn)?);
        }
        Ok(Figures {
            waiting,
            passed: self.core.tables.passed.len(&txn)?,
            clients: self.core.tables.clients.len(&txn)?,
            sleeps: self.core.tables.sleeps.len(&txn)?,
        })
    }

    fn latest(&self) -> Result<Option<Timestamp>, StoreError> {
        let txn = self.core.env.read_txn()?;
        let bytes = self.core.tables.meta.get(&txn, b"latest")?;
        bytes.map(schema::decode_time).transpose()
    }

    fn count_whitelisted(&self, threshold: u32) -> Result<u64, StoreError> {
        let txn = self.core.env.read_txn()?;
        let mut count = 0_u64;
        for item in self.core.tables.clients.iter(&txn)? {
            let client = schema::decode_client(item?.1)?;
            count = count.saturating_add(u64::from(client.is_whitelisted(threshold)));
        }
        Ok(count)
    }
}

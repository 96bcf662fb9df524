//! The reading half: a short read transaction for each call, and a long one for a backup.

use std::fs::File;
use std::ops::Bound;

use heed::{CompactionOption, Error, MdbError};

use super::{Shared, pages};
use crate::policy::{Added, Case, Pause, StoredRecords, TripletKey};
use crate::store::rows::Collector;
use crate::store::schema::{self, stored_key};
use crate::store::{
    Counters, Note, Page, Reader, RecordCounts, RequestError, Row, Scope, StoreError, StoreRefusal,
};
use crate::types::Timestamp;

/// Reads the last commit.
#[derive(Debug)]
pub(super) struct LmdbReader {
    pub(super) shared: Shared,
}

impl LmdbReader {
    pub(super) const fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

impl Reader for LmdbReader {
    fn facts(&self, case: &Case) -> Result<StoredRecords, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let key = self.shared.key.as_ref();
        let tables = &self.shared.tables;
        let triplet = |triplet: &TripletKey| {
            let stored = stored_key(triplet.as_bytes(), key);
            let found = self.shared.find(&txn, &stored.key)?;
            Ok::<_, StoreError>(found.map(|found| found.record))
        };
        let mut facts = StoredRecords::default();
        if let Some(client) = &case.client {
            let stored = stored_key(client.as_bytes(), key);
            let bytes = tables.clients.get(&txn, &stored.key)?;
            facts.client = bytes.map(schema::decode_client).transpose()?;
        }
        if let Some(first) = &case.triplet {
            facts.triplet = triplet(first)?;
        }
        for (other, place) in case.others.iter().zip(&mut facts.others) {
            *place = triplet(other)?;
        }
        if let Some(client) = &case.sleep {
            let stored = stored_key(client.as_bytes(), key);
            let bytes = tables.sleeps.get(&txn, &stored.key)?;
            facts.sleep = bytes.map(schema::decode_sleep).transpose()?;
        }
        Ok(facts)
    }

    fn record_counts(&self) -> Result<RecordCounts, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let mut waiting = 0_u64;
        for slot in &self.shared.tables.waiting {
            waiting = waiting.saturating_add(slot.len(&txn)?);
        }
        Ok(RecordCounts {
            waiting,
            passed: self.shared.tables.passed.len(&txn)?,
            clients: self.shared.tables.clients.len(&txn)?,
            sleeps: self.shared.tables.sleeps.len(&txn)?,
        })
    }

    fn latest(&self) -> Result<Option<Timestamp>, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let bytes = self.shared.tables.meta.get(&txn, b"latest")?;
        bytes.map(schema::decode_time).transpose()
    }

    fn count_whitelisted(&self, threshold: u32) -> Result<u64, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let mut count = 0_u64;
        for item in self.shared.tables.clients.iter(&txn)? {
            let client = schema::decode_client(item?.1)?;
            count = count.saturating_add(u64::from(client.is_whitelisted(threshold)));
        }
        Ok(count)
    }

    fn page(
        &self,
        scope: &Scope,
        after: &[u8],
        most: usize,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Page, RequestError> {
        pages::page(&self.shared, scope, after, Collector::new(most, wanted))
    }

    fn entries(&self) -> Result<Vec<Added>, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let entries = self.shared.tables.entries.iter(&txn)?;
        entries
            .map(|item| item.map_err(StoreError::from))
            .map(|item| item.and_then(|(key, value)| schema::decode_entry(key, value)))
            .collect()
    }

    fn pause(&self) -> Result<Option<Pause>, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let bytes = self.shared.tables.meta.get(&txn, b"pause")?;
        bytes.map(schema::decode_pause).transpose()
    }

    fn note(&self, note: Note) -> Result<Option<Vec<u8>>, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let bytes = self.shared.tables.meta.get(&txn, note.key())?;
        Ok(bytes.map(<[u8]>::to_vec))
    }

    fn history(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, Counters)>, StoreError> {
        let (from, to) = (schema::encode_hour(from), schema::encode_hour(to));
        if from > to {
            return Ok(Vec::new());
        }
        let txn = self.shared.env.read_txn()?;
        let hours = (
            Bound::Included(from.as_slice()),
            Bound::Included(to.as_slice()),
        );
        let mut history = Vec::new();
        for item in self.shared.tables.history.range(&txn, &hours)? {
            let (key, value) = item?;
            history.push((schema::decode_hour(key)?, schema::decode_counters(value)?));
        }
        Ok(history)
    }

    fn copy_to(&self, file: &mut File) -> Result<(), RequestError> {
        let copied = self
            .shared
            .env
            .copy_to_file(file, CompactionOption::Enabled);
        copied.map_err(|error| match error {
            // LMDB reports unreachable pages as an incompatibility; the records are intact.
            Error::Io(_) | Error::Mdb(MdbError::Incompatible) => StoreRefusal::Copy(error).into(),
            Error::Mdb(_) | Error::Encoding(_) | Error::Decoding(_) | Error::EnvAlreadyOpened => {
                RequestError::from(error)
            }
        })
    }
}

//! What a write transaction sees and changes.

use std::cell::RefCell;

use heed::RwTxn;

use super::{Core, Place, Slots};
use crate::policy::{
    Added, Client, ClientKey, ListName, Pause, Sleep, SleepChange, Triplet, TripletKey,
};
use crate::store::privacy::HASH_LENGTH;
use crate::store::rows::{is_same_client, is_same_sleep};
use crate::store::schema::{self, StoredKey, stored_key};
use crate::store::{Records, RequestError, Row, RowKey, StoreError, Tally, add_up};
use crate::types::{Prefix, Span, Timestamp};

/// One write transaction.
pub(super) struct LmdbRecords<'w> {
    txn: RwTxn<'w>,
    core: &'w Core,
    slots: Slots,
    window: Span,
    /// Where the triplet is that was asked for last: most are asked for and then put.
    found: RefCell<Option<Found>>,
}

/// A key that was looked for, and what was found where.
type Found = (Vec<u8>, Option<(Triplet, Place)>);

impl<'w> LmdbRecords<'w> {
    pub(super) fn new(txn: RwTxn<'w>, core: &'w Core, slots: Slots, window: Span) -> Self {
        Self {
            txn,
            core,
            slots,
            window,
            found: RefCell::default(),
        }
    }

    /// The transaction and the slots, when the job is done.
    pub(super) fn into_parts(self) -> (RwTxn<'w>, Slots) {
        (self.txn, self.slots)
    }

    fn stored<'k>(&self, key: &'k TripletKey) -> StoredKey<'k> {
        stored_key(key.as_bytes(), self.core.key.as_ref())
    }

    fn find(&self, key: &[u8]) -> Result<Option<(Triplet, Place)>, StoreError> {
        if let Some((known, found)) = &*self.found.borrow()
            && known == key
        {
            return Ok(*found);
        }
        let found = self.core.tables.find(&self.txn, &self.core.occupied, key)?;
        self.found.replace(Some((key.to_vec(), found)));
        Ok(found)
    }

    /// Removes the triplet of this stored key, if its record is the right one.
    fn remove_stored(
        &mut self,
        key: &[u8],
        is_right: impl FnOnce(Triplet) -> bool,
    ) -> Result<bool, StoreError> {
        let Some((_, place)) = self.find(key)?.filter(|(record, _)| is_right(*record)) else {
            return Ok(false);
        };
        let table = self.core.tables.at(place)?;
        self.found.replace(None);
        Ok(table.delete(&mut self.txn, key)?)
    }

    /// The stored key of a row; `None` if this store has no such key.
    fn stored_row<T>(&self, key: &RowKey<T>, write: impl FnOnce(&T) -> Vec<u8>) -> Option<Vec<u8>> {
        let privacy = self.core.key.as_ref();
        match key {
            RowKey::Plain(parts) => Some(stored_key(&write(parts), privacy).key.into_owned()),
            RowKey::Hashed(hash) if privacy.is_some() && hash.len() == HASH_LENGTH => {
                Some(hash.clone())
            }
            RowKey::Hashed(_) => None,
        }
    }
}

impl Records for LmdbRecords<'_> {
    fn triplet(&self, key: &TripletKey) -> Result<Option<Triplet>, StoreError> {
        let found = self.find(&self.stored(key).key)?;
        Ok(found.map(|(record, _)| record))
    }

    fn client(&self, key: &ClientKey) -> Result<Option<Client>, StoreError> {
        let stored = stored_key(key.as_bytes(), self.core.key.as_ref());
        let bytes = self.core.tables.clients.get(&self.txn, &stored.key)?;
        bytes.map(schema::decode_client).transpose()
    }

    fn sleep(&self, key: &ClientKey) -> Result<Option<Sleep>, StoreError> {
        let stored = stored_key(key.as_bytes(), self.core.key.as_ref());
        let bytes = self.core.tables.sleeps.get(&self.txn, &stored.key)?;
        bytes.map(schema::decode_sleep).transpose()
    }

    fn put_triplet(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError> {
        let stored = self.stored(key);
        let found = self.find(&stored.key)?;
        let place = match (record, found) {
            (Triplet::Passed { .. }, _) => Place::Passed,
            // The slot goes by the beginning: one that has moved may have outlived its slot.
            (Triplet::Waiting { first, .. }, Some((old, place)))
                if !old.is_passed() && old.first() == first =>
            {
                place
            }
            // By the greater time, for `first` may be of a clock that was behind.
            (Triplet::Waiting { first, last, .. }, _) => {
                let at = self.slots.take(first.max(last), self.window);
                self.core.occupied.add(at);
                Place::Waiting(at)
            }
        };
        if let Some((_, old)) = found
            && old != place
        {
            self.core
                .tables
                .at(old)?
                .delete(&mut self.txn, &stored.key)?;
        }
        let value = schema::encode_triplet(record, stored.text);
        let table = self.core.tables.at(place)?;
        table.put(&mut self.txn, &stored.key, &value)?;
        self.found
            .replace(Some((stored.key.into_owned(), Some((record, place)))));
        Ok(())
    }

    fn put_client(&mut self, key: &ClientKey, record: Client) -> Result<(), StoreError> {
        let stored = stored_key(key.as_bytes(), self.core.key.as_ref());
        let value = schema::encode_client(record);
        self.core
            .tables
            .clients
            .put(&mut self.txn, &stored.key, &value)?;
        Ok(())
    }

    fn change_sleep(&mut self, key: &ClientKey, change: SleepChange) -> Result<(), StoreError> {
        let stored = stored_key(key.as_bytes(), self.core.key.as_ref());
        let table = self.core.tables.sleeps;
        match change {
            SleepChange::Keep(record) => {
                let value = schema::encode_sleep(record);
                table.put(&mut self.txn, &stored.key, &value)?;
            }
            SleepChange::Remove => {
                table.delete(&mut self.txn, &stored.key)?;
            }
        }
        Ok(())
    }

    fn remove_triplet(&mut self, key: &TripletKey) -> Result<bool, StoreError> {
        let stored = self.stored(key);
        self.remove_stored(&stored.key, |_| true)
    }

    fn remove_client(&mut self, key: &ClientKey) -> Result<bool, StoreError> {
        let stored = stored_key(key.as_bytes(), self.core.key.as_ref());
        let table = self.core.tables.clients;
        Ok(table.delete(&mut self.txn, &stored.key)?)
    }

    fn remove_row(&mut self, row: &Row) -> Result<bool, StoreError> {
        let network = |network: &Prefix| ClientKey::new(*network).as_bytes().to_vec();
        let (table, key, is_same) = match row {
            Row::Triplet { key, record } => {
                let Some(key) = self.stored_row(key, |parts| parts.key().as_bytes().to_vec())
                else {
                    return Ok(false);
                };
                return self.remove_stored(&key, |found| found.same_state(*record));
            }
            Row::Client { key, record } => {
                let table = self.core.tables.clients;
                let Some(key) = self.stored_row(key, network) else {
                    return Ok(false);
                };
                let found = table.get(&self.txn, &key)?.map(schema::decode_client);
                let is_same = found
                    .transpose()?
                    .is_some_and(|found| is_same_client(*record, found));
                (table, key, is_same)
            }
            Row::Sleep { key, record } => {
                let table = self.core.tables.sleeps;
                let Some(key) = self.stored_row(key, network) else {
                    return Ok(false);
                };
                let found = table.get(&self.txn, &key)?.map(schema::decode_sleep);
                let is_same = found
                    .transpose()?
                    .is_some_and(|found| is_same_sleep(*record, found));
                (table, key, is_same)
            }
        };
        Ok(is_same && table.delete(&mut self.txn, &key)?)
    }

    fn put_entry(&mut self, entry: &Added) -> Result<(), RequestError> {
        let key = schema::entry_key(entry.list, &entry.text)?;
        let value = schema::encode_entry(entry)?;
        self.core.tables.entries.put(&mut self.txn, &key, &value)?;
        Ok(())
    }

    fn remove_entry(&mut self, list: ListName, text: &str) -> Result<bool, StoreError> {
        // What is too long was never kept.
        let Ok(key) = schema::entry_key(list, text) else {
            return Ok(false);
        };
        Ok(self.core.tables.entries.delete(&mut self.txn, &key)?)
    }

    fn put_pause(&mut self, pause: Option<Pause>) -> Result<(), StoreError> {
        let meta = self.core.tables.meta;
        match pause {
            Some(pause) => meta.put(&mut self.txn, b"pause", &schema::encode_pause(pause))?,
            None => {
                meta.delete(&mut self.txn, b"pause")?;
            }
        }
        Ok(())
    }

    fn add_tally(&mut self, hour: Timestamp, tally: &Tally) -> Result<(), RequestError> {
        if tally.is_empty() {
            return Ok(());
        }
        let table = self.core.tables.history;
        let key = schema::encode_hour(hour);
        let kept = table.get(&self.txn, &key)?.map(schema::decode_tally);
        let mut total = kept.transpose()?.unwrap_or_default();
        add_up(&mut total, tally);
        table.put(&mut self.txn, &key, &schema::encode_tally(&total)?)?;
        Ok(())
    }
}

//! The records as a write transaction reads and changes them.

use std::borrow::Cow;
use std::cell::RefCell;

use heed::RwTxn;

use super::names::Located;
use super::{Shared, Slots, TripletTable};
use crate::policy::{
    Added, Client, ClientKey, Identity, ListName, OTHER_NAMES, Pause, Sleep, SleepChange, Triplet,
    TripletKey,
};
use crate::store::privacy::HASH_LENGTH;
use crate::store::rows::{is_same_client, is_same_sleep};
use crate::store::schema::{self, StoredKey, stored_key};
use crate::store::{Counters, Note, Records, RequestError, Row, RowKey, StoreError, add_up};
use crate::types::{Prefix, Span, Timestamp};

/// One write transaction.
pub(super) struct LmdbRecords<'w> {
    txn: RwTxn<'w>,
    shared: &'w Shared,
    slots: Slots,
    window: Span,
    /// The locations of the last triplets read: most are read and then stored, under each of their names.
    found: RefCell<Vec<Found>>,
    /// Whether a record was stored that earlier versions do not know.
    needs_format: bool,
}

/// A key that was searched for, and what was found.
type Found = (Vec<u8>, Option<Located>);

impl<'w> LmdbRecords<'w> {
    pub(super) fn new(txn: RwTxn<'w>, shared: &'w Shared, slots: Slots, window: Span) -> Self {
        Self {
            txn,
            shared,
            slots,
            window,
            found: RefCell::default(),
            needs_format: false,
        }
    }

    /// At the end: the transaction, the slots, and whether the last format is needed.
    pub(super) fn into_parts(self) -> (RwTxn<'w>, Slots, bool) {
        (self.txn, self.slots, self.needs_format)
    }

    fn stored<'k>(&self, key: &'k TripletKey) -> StoredKey<'k> {
        stored_key(key.as_bytes(), self.shared.key.as_ref())
    }

    fn find(&self, key: &[u8]) -> Result<Option<Located>, StoreError> {
        let mut known = self.found.borrow_mut();
        if let Some((_, found)) = known.iter().find(|(known, _)| known == key) {
            return Ok(found.clone());
        }
        let found = self.shared.find(&self.txn, key)?;
        if known.len() > OTHER_NAMES {
            known.remove(0);
        }
        known.push((key.to_vec(), found.clone()));
        Ok(found)
    }

    /// Drops the cached locations of a changed key and of keys that refer to it.
    fn invalidate(&self, key: &[u8]) {
        let refers = |found: &Option<Located>| {
            found
                .as_ref()
                .is_some_and(|found| found.under.as_deref() == Some(key))
        };
        let mut known = self.found.borrow_mut();
        known.retain(|(known, found)| known != key && !refers(found));
    }

    /// Stores a record, replacing the one of its key.
    fn put_stored(
        &mut self,
        stored: StoredKey<'_>,
        found: Option<(Triplet, TripletTable)>,
        record: Triplet,
    ) -> Result<(), StoreError> {
        let place = match (record, found) {
            (Triplet::Passed { .. }, _) => TripletTable::Passed,
            // The slot depends on the time it was first seen: a record that was moved may have outlived its slot.
            (Triplet::Waiting { first, .. }, Some((old, place)))
                if !old.is_passed() && old.first() == first =>
            {
                place
            }
            // The later of the two times, because `first` may be from a clock that was behind.
            (Triplet::Waiting { first, last, .. }, _) => {
                let at = self.slots.take(first.max(last), self.window);
                self.shared.occupied.add(at);
                TripletTable::Waiting(at)
            }
        };
        if let Some((_, old)) = found
            && old != place
        {
            let table = self.shared.tables.at(old)?;
            table.delete(&mut self.txn, &stored.key)?;
        }
        let value = schema::encode_triplet(record, stored.text);
        let table = self.shared.tables.at(place)?;
        table.put(&mut self.txn, &stored.key, &value)?;
        self.invalidate(&stored.key);
        let found = Located {
            record,
            place,
            under: None,
        };
        let found = (stored.key.into_owned(), Some(found));
        self.found.borrow_mut().push(found);
        Ok(())
    }

    /// Deletes the triplet that this stored key has or refers to, if it is the right one.
    fn remove_stored(
        &mut self,
        key: &[u8],
        is_right: impl FnOnce(&Located) -> bool,
    ) -> Result<bool, StoreError> {
        let Some(found) = self.find(key)?.filter(is_right) else {
            return Ok(false);
        };
        let table = self.shared.tables.at(found.place)?;
        let key = found.under.as_deref().unwrap_or(key);
        self.invalidate(key);
        Ok(table.delete(&mut self.txn, key)?)
    }

    /// The stored key of a row; `None` if this store has no such key.
    fn stored_row<T>(&self, key: &RowKey<T>, write: impl FnOnce(&T) -> Vec<u8>) -> Option<Vec<u8>> {
        let privacy = self.shared.key.as_ref();
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
        Ok(found.map(|found| found.record))
    }

    fn client(&self, key: &ClientKey) -> Result<Option<Client>, StoreError> {
        let stored = stored_key(key.as_bytes(), self.shared.key.as_ref());
        let bytes = self.shared.tables.clients.get(&self.txn, &stored.key)?;
        bytes.map(schema::decode_client).transpose()
    }

    fn sleep(&self, key: &ClientKey) -> Result<Option<Sleep>, StoreError> {
        let stored = stored_key(key.as_bytes(), self.shared.key.as_ref());
        let bytes = self.shared.tables.sleeps.get(&self.txn, &stored.key)?;
        bytes.map(schema::decode_sleep).transpose()
    }

    fn put_triplet(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError> {
        self.needs_format |= key.is_of_domain() || record.why().is_some();
        let stored = self.stored(key);
        let found = self.find(&stored.key)?;
        if let Some(found) = &found
            && let Some(under) = &found.under
            && record.first() <= found.record.first()
        {
            let table = self.shared.tables.at(found.place)?;
            let value = table.get(&self.txn, under)?.unwrap_or_default();
            let text = schema::triplet_text(value)?.map(<[u8]>::to_vec);
            let stored = StoredKey {
                key: Cow::Borrowed(under),
                text: text.as_deref(),
            };
            return self.put_stored(stored, Some((found.record, found.place)), record);
        }
        let found = found.filter(|found| found.under.is_none());
        let found = found.map(|found| (found.record, found.place));
        self.put_stored(stored, found, record)
    }

    fn move_triplet(
        &mut self,
        key: &TripletKey,
        to: &TripletKey,
        record: Triplet,
    ) -> Result<(), StoreError> {
        let stored = self.stored(key);
        self.remove_stored(&stored.key, |found| found.under.is_none())?;
        if record.is_passed() {
            return Ok(());
        }
        let to = self.stored(to);
        let Some(found) = self.find(&to.key)? else {
            return Ok(());
        };
        let to = found.under.as_deref().unwrap_or(&to.key);
        if let TripletTable::Waiting(slot) = found.place
            && to != &*stored.key
        {
            self.needs_format = true;
            let to = (to, slot, found.record);
            self.shared.refer(&mut self.txn, &stored.key, to)?;
            self.invalidate(&stored.key);
        }
        Ok(())
    }

    fn put_client(&mut self, key: &ClientKey, record: Client) -> Result<(), StoreError> {
        self.needs_format |= key.is_of_domain();
        let stored = stored_key(key.as_bytes(), self.shared.key.as_ref());
        let value = schema::encode_client(record);
        self.shared
            .tables
            .clients
            .put(&mut self.txn, &stored.key, &value)?;
        Ok(())
    }

    fn change_sleep(&mut self, key: &ClientKey, change: SleepChange) -> Result<(), StoreError> {
        let stored = stored_key(key.as_bytes(), self.shared.key.as_ref());
        let table = self.shared.tables.sleeps;
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
        let stored = stored_key(key.as_bytes(), self.shared.key.as_ref());
        let table = self.shared.tables.clients;
        Ok(table.delete(&mut self.txn, &stored.key)?)
    }

    fn remove_row(&mut self, row: &Row) -> Result<bool, StoreError> {
        let client = |client: &Identity| ClientKey::new(client.clone()).as_bytes().to_vec();
        let network = |network: &Prefix| ClientKey::new(*network).as_bytes().to_vec();
        let (table, key, is_same) = match row {
            Row::Triplet { key, record } => {
                let Some(key) = self.stored_row(key, |parts| parts.key().as_bytes().to_vec())
                else {
                    return Ok(false);
                };
                return self.remove_stored(&key, |found| {
                    found.under.is_none() && found.record.same_state(*record)
                });
            }
            Row::Client { key, record } => {
                let table = self.shared.tables.clients;
                let Some(key) = self.stored_row(key, client) else {
                    return Ok(false);
                };
                let found = table.get(&self.txn, &key)?.map(schema::decode_client);
                let is_same = found
                    .transpose()?
                    .is_some_and(|found| is_same_client(*record, found));
                (table, key, is_same)
            }
            Row::Sleep { key, record } => {
                let table = self.shared.tables.sleeps;
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
        self.shared
            .tables
            .entries
            .put(&mut self.txn, &key, &value)?;
        Ok(())
    }

    fn remove_entry(&mut self, list: ListName, text: &str) -> Result<bool, StoreError> {
        // A text that is too long was never stored.
        let Ok(key) = schema::entry_key(list, text) else {
            return Ok(false);
        };
        Ok(self.shared.tables.entries.delete(&mut self.txn, &key)?)
    }

    fn put_pause(&mut self, pause: Option<Pause>) -> Result<(), StoreError> {
        let meta = self.shared.tables.meta;
        match pause {
            Some(pause) => meta.put(&mut self.txn, b"pause", &schema::encode_pause(pause))?,
            None => {
                meta.delete(&mut self.txn, b"pause")?;
            }
        }
        Ok(())
    }

    fn note(&self, note: Note) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.shared.tables.meta.get(&self.txn, note.key())?;
        Ok(bytes.map(<[u8]>::to_vec))
    }

    fn put_note(&mut self, note: Note, value: Option<&[u8]>) -> Result<(), StoreError> {
        let meta = self.shared.tables.meta;
        match value {
            Some(value) => meta.put(&mut self.txn, note.key(), value)?,
            None => {
                meta.delete(&mut self.txn, note.key())?;
            }
        }
        Ok(())
    }

    fn add_counters(&mut self, hour: Timestamp, counters: &Counters) -> Result<(), RequestError> {
        if counters.is_empty() {
            return Ok(());
        }
        let table = self.shared.tables.history;
        let key = schema::encode_hour(hour);
        let kept = table.get(&self.txn, &key)?.map(schema::decode_counters);
        let mut total = kept.transpose()?.unwrap_or_default();
        add_up(&mut total, counters);
        table.put(&mut self.txn, &key, &schema::encode_counters(&total)?)?;
        Ok(())
    }
}

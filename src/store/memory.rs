//! A store in memory: for tests, and for the replay of a log.
//!
//! A transaction notes what it replaces, and puts it back if it does not commit: it costs what it changes, however many
//! records there are.

mod transaction;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use super::rows::{Collector, Cursor, Reach, is_same_client, is_same_sleep};
use super::schema;
use super::{
    Commit, Counters, HISTORY, Halves, Note, OpenError, Opener, Page, Reader, RecordCounts,
    Records, RequestError, Row, RowKey, Scope, StoreError, StoreRefusal, Swept, TransactionBody,
    Writer, add_up,
};
use crate::policy::{
    Added, Case, Client, ClientKey, Identity, ListName, Params, Pause, Sleep, SleepChange,
    StoredRecords, Triplet, TripletKey,
};
use crate::types::sync::{Mutex, MutexGuard};
use crate::types::{Prefix, Timestamp};
use transaction::{Replaced, Transaction, swap};

/// A store that is lost when the process ends.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pub(super) tables: Arc<Mutex<Tables>>,
    /// How often the records of a case were read.
    #[cfg(test)]
    pub(crate) reads: Arc<Mutex<u64>>,
    /// How many transactions have changed a triplet.
    #[cfg(test)]
    pub(crate) changes: Arc<Mutex<u64>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    triplets: BTreeMap<TripletKey, Triplet>,
    /// For each other name of a waiting triplet, the key that has the record, and when the record began.
    names: BTreeMap<TripletKey, (TripletKey, Timestamp)>,
    clients: BTreeMap<ClientKey, Client>,
    sleeps: BTreeMap<ClientKey, Sleep>,
    /// By list and text, as on disk.
    entries: BTreeMap<Vec<u8>, Added>,
    /// By hour, as on disk.
    history: BTreeMap<[u8; 4], Counters>,
    latest: Option<Timestamp>,
    pause: Option<Pause>,
    notes: BTreeMap<Note, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock()
    }
}

impl Tables {
    /// All rows of a scope, each with the number of its table and its key as on disk. Waiting triplets come first.
    fn rows(&self, scope: &Scope) -> Vec<(u8, Cow<'_, [u8]>, Row)> {
        let mut rows = Vec::new();
        for (key, record) in self.triplets.iter().filter(|_| scope.triplets) {
            let row = key.parts().map(|parts| Row::Triplet {
                key: RowKey::Plain(parts),
                record: *record,
            });
            rows.push((u8::from(record.is_passed()), key.as_bytes(), row));
        }
        for (key, &record) in self.clients.iter().filter(|_| scope.clients) {
            let key_of = key.identity().map(RowKey::Plain);
            let row = key_of.map(|key| Row::Client { key, record });
            rows.push((2, key.as_bytes(), row));
        }
        for (key, &record) in self.sleeps.iter().filter(|_| scope.sleeps) {
            let key_of = key.network().map(RowKey::Plain);
            let row = key_of.map(|key| Row::Sleep { key, record });
            rows.push((3, key.as_bytes(), row));
        }
        let mut rows: Vec<_> = rows
            .into_iter()
            .filter(|(_, key, _)| matches!(scope.reach(key), Ok(Reach::Inside)))
            .filter_map(|(table, key, row)| Some((table, schema::stored_key(key, None).key, row?)))
            .collect();
        rows.sort_by(|(a, a_key, _), (b, b_key, _)| (a, a_key).cmp(&(b, b_key)));
        rows
    }

    /// The key and the record that `key` has or refers to.
    fn under<'k>(&'k self, key: &'k TripletKey) -> Option<(&'k TripletKey, Triplet)> {
        if let Some(record) = self.triplets.get(key) {
            return Some((key, *record));
        }
        let (under, first) = self.names.get(key)?;
        let record = *self.triplets.get(under)?;
        let leads = !record.is_passed() && record.first() <= *first;
        leads.then_some((under, record))
    }
}

impl Records for Transaction<'_> {
    fn triplet(&self, key: &TripletKey) -> Result<Option<Triplet>, StoreError> {
        Ok(self.tables.under(key).map(|(_, record)| record))
    }

    fn client(&self, key: &ClientKey) -> Result<Option<Client>, StoreError> {
        Ok(self.tables.clients.get(key).copied())
    }

    fn sleep(&self, key: &ClientKey) -> Result<Option<Sleep>, StoreError> {
        Ok(self.tables.sleeps.get(key).copied())
    }

    fn put_triplet(&mut self, key: &TripletKey, record: Triplet) -> Result<(), StoreError> {
        let under = self.tables.under(key);
        let under = under.filter(|(_, old)| record.first() <= old.first());
        let under = under.map_or(key, |(under, _)| under).clone();
        self.set_triplet(&under, Some(record));
        Ok(())
    }

    fn move_triplet(
        &mut self,
        key: &TripletKey,
        to: &TripletKey,
        record: Triplet,
    ) -> Result<(), StoreError> {
        self.set_triplet(key, None);
        if record.is_passed() {
            return Ok(());
        }
        if let Some((under, found)) = self.tables.under(to)
            && under != key
        {
            let leads = (under.clone(), found.first());
            let old = self.tables.names.insert(key.clone(), leads);
            self.replaced.push(Replaced::Name(key.clone(), old));
        }
        Ok(())
    }

    fn put_client(&mut self, key: &ClientKey, record: Client) -> Result<(), StoreError> {
        self.set_client(key, Some(record));
        Ok(())
    }

    fn change_sleep(&mut self, key: &ClientKey, change: SleepChange) -> Result<(), StoreError> {
        self.set_sleep(
            key,
            match change {
                SleepChange::Keep(record) => Some(record),
                SleepChange::Remove => None,
            },
        );
        Ok(())
    }

    fn remove_triplet(&mut self, key: &TripletKey) -> Result<bool, StoreError> {
        let under = self.tables.under(key).map(|(under, _)| under.clone());
        Ok(under.is_some_and(|under| self.set_triplet(&under, None).is_some()))
    }

    fn remove_client(&mut self, key: &ClientKey) -> Result<bool, StoreError> {
        Ok(self.set_client(key, None).is_some())
    }

    fn remove_row(&mut self, row: &Row) -> Result<bool, StoreError> {
        let client = |key: &RowKey<Identity>| match key {
            RowKey::Plain(client) => Some(ClientKey::new(client.clone())),
            RowKey::Hashed(_) => None,
        };
        let sleeper = |key: &RowKey<Prefix>| match key {
            RowKey::Plain(network) => Some(ClientKey::new(*network)),
            RowKey::Hashed(_) => None,
        };
        let removed = match row {
            Row::Triplet {
                key: RowKey::Plain(parts),
                record,
            } => {
                let key = parts.key();
                let found = self.tables.triplets.get(&key).copied();
                let is_same = found.is_some_and(|found| found.same_state(*record));
                is_same && self.set_triplet(&key, None).is_some()
            }
            Row::Triplet { .. } => false,
            Row::Client { key, record } => client(key).is_some_and(|key| {
                let found = self.tables.clients.get(&key).copied();
                let is_same = found.is_some_and(|found| is_same_client(*record, found));
                is_same && self.set_client(&key, None).is_some()
            }),
            Row::Sleep { key, record } => sleeper(key).is_some_and(|key| {
                let found = self.tables.sleeps.get(&key).copied();
                let is_same = found.is_some_and(|found| is_same_sleep(*record, found));
                is_same && self.set_sleep(&key, None).is_some()
            }),
        };
        Ok(removed)
    }

    fn put_entry(&mut self, entry: &Added) -> Result<(), RequestError> {
        let key = schema::entry_key(entry.list, &entry.text)?;
        schema::encode_entry(entry)?;
        self.set_entry(key, Some(entry.clone()));
        Ok(())
    }

    fn remove_entry(&mut self, list: ListName, text: &str) -> Result<bool, StoreError> {
        let removed = schema::entry_key(list, text).map(|key| self.set_entry(key, None));
        Ok(removed.unwrap_or(false))
    }

    fn put_pause(&mut self, pause: Option<Pause>) -> Result<(), StoreError> {
        let old = std::mem::replace(&mut self.tables.pause, pause);
        self.replaced.push(Replaced::Pause(old));
        Ok(())
    }

    fn note(&self, note: Note) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.notes.get(&note).cloned())
    }

    fn put_note(&mut self, note: Note, value: Option<&[u8]>) -> Result<(), StoreError> {
        let old = swap(&mut self.tables.notes, note, value.map(<[u8]>::to_vec));
        self.replaced.push(Replaced::Note(note, old));
        Ok(())
    }

    fn add_counters(&mut self, hour: Timestamp, counters: &Counters) -> Result<(), RequestError> {
        schema::encode_counters(counters)?;
        if !counters.is_empty() {
            let hour = schema::encode_hour(hour);
            let old = self.tables.history.get(&hour).cloned();
            self.replaced.push(Replaced::Hour(hour, old));
            add_up(self.tables.history.entry(hour).or_default(), counters);
        }
        Ok(())
    }
}

impl Reader for MemoryStore {
    fn facts(&self, case: &Case) -> Result<StoredRecords, StoreError> {
        #[cfg(test)]
        (*self.reads.lock() += 1);
        Transaction::on(&mut self.tables()).facts(case)
    }

    fn record_counts(&self) -> Result<RecordCounts, StoreError> {
        let tables = self.tables();
        let passed = tables.triplets.values().filter(|t| t.is_passed()).count();
        Ok(RecordCounts {
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

    fn page(
        &self,
        scope: &Scope,
        after: &[u8],
        most: usize,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Page, RequestError> {
        let cursor = Cursor::decode(after, false)?;
        let is_of_scope = |table| match table {
            0 | 1 => scope.triplets,
            2 => scope.clients,
            3 => scope.sleeps,
            _ => false,
        };
        if cursor.is_some_and(|cursor| !is_of_scope(cursor.table)) {
            return Err(StoreRefusal::BadCursor.into());
        }
        let tables = self.tables();
        let mut collector = Collector::new(most, wanted);
        for (table, key, row) in tables.rows(scope) {
            let is_behind = cursor.is_none_or(|at| (table, &*key) > (at.table, at.key));
            if is_behind && collector.add(row) {
                return Ok(collector.page(Some(Cursor { table, key: &key })));
            }
        }
        Ok(collector.page(None))
    }

    fn entries(&self) -> Result<Vec<Added>, StoreError> {
        Ok(self.tables().entries.values().cloned().collect())
    }

    fn note(&self, note: Note) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables().notes.get(&note).cloned())
    }

    fn pause(&self) -> Result<Option<Pause>, StoreError> {
        Ok(self.tables().pause)
    }

    fn history(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, Counters)>, StoreError> {
        let (from, to) = (schema::encode_hour(from), schema::encode_hour(to));
        let tables = self.tables();
        let hours = tables.history.iter();
        hours
            .filter(|(hour, _)| (from..=to).contains(*hour))
            .map(|(hour, counters)| Ok((schema::decode_hour(hour)?, counters.clone())))
            .collect()
    }

    /// Writes the records as text, which cannot be opened as a store.
    fn copy_to(&self, file: &mut File) -> Result<(), RequestError> {
        write!(file, "{:?}", self.tables()).map_err(|error| StoreRefusal::Copy(error.into()).into())
    }
}

impl Writer for MemoryStore {
    fn run(&mut self, body: &mut TransactionBody<'_>, end: Commit) -> Result<(), RequestError> {
        let mut tables = self.tables();
        let mut transaction = Transaction::on(&mut tables);
        let ran = body(&mut transaction);
        #[cfg(test)]
        (*self.changes.lock() += u64::from(transaction.has_changed_a_triplet()));
        match end {
            Commit::Keep if ran.is_ok() => {}
            Commit::Keep | Commit::Discard => transaction.undo(),
        }
        ran
    }

    fn sweep(&mut self, now: Timestamp, params: &Params) -> Result<Swept, StoreError> {
        let mut tables = self.tables();
        let count = |tables: &Tables| {
            let clients = tables.clients.len().saturating_add(tables.sleeps.len());
            let others = clients.saturating_add(tables.history.len());
            tables.triplets.len().saturating_add(others)
        };
        let before = count(&tables);
        tables.triplets.retain(|_, t| !t.is_expired(now, params));
        let names = std::mem::take(&mut tables.names).into_iter();
        let names = names.filter(|(_, (under, _))| tables.triplets.contains_key(under));
        let names = names.collect();
        tables.names = names;
        tables.clients.retain(|_, c| !c.is_expired(now, params));
        tables.sleeps.retain(|_, s| !s.is_expired(now, params));
        let kept = schema::encode_hour(now.before(HISTORY));
        tables.history.retain(|hour, _| *hour >= kept);
        Ok(Swept {
            removed: before.saturating_sub(count(&tables)) as u64,
            finished: true,
        })
    }

    fn has_room(&self) -> Result<bool, StoreError> {
        Ok(true)
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
    fn open(&self) -> Result<Halves, OpenError> {
        Ok((Arc::new(self.clone()), Box::new(self.clone())))
    }
}

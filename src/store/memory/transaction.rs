//! A transaction of the store in memory, which can be undone.

use std::collections::BTreeMap;

use super::super::{Counters, Note};
use super::Tables;
use crate::policy::{Added, Client, ClientKey, Pause, Sleep, Triplet, TripletKey};
use crate::types::Timestamp;

/// A transaction: the tables, and what it has replaced in them.
pub(super) struct Transaction<'t> {
    pub(super) tables: &'t mut Tables,
    pub(super) replaced: Vec<Replaced>,
}

/// What was under a key before a transaction changed it.
pub(super) enum Replaced {
    Triplet(TripletKey, Option<Triplet>),
    Name(TripletKey, Option<(TripletKey, Timestamp)>),
    Client(ClientKey, Option<Client>),
    Sleep(ClientKey, Option<Sleep>),
    Entry(Vec<u8>, Option<Added>),
    Hour([u8; 4], Option<Counters>),
    Pause(Option<Pause>),
    Note(Note, Option<Vec<u8>>),
}

/// Puts a value, or none, under a key; returns what was there.
pub(super) fn swap<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    }
}

impl<'t> Transaction<'t> {
    pub(super) const fn on(tables: &'t mut Tables) -> Self {
        Self {
            tables,
            replaced: Vec::new(),
        }
    }

    pub(super) fn set_triplet(
        &mut self,
        key: &TripletKey,
        record: Option<Triplet>,
    ) -> Option<Triplet> {
        let old = swap(&mut self.tables.triplets, key.clone(), record);
        self.replaced.push(Replaced::Triplet(key.clone(), old));
        old
    }

    pub(super) fn set_client(&mut self, key: &ClientKey, record: Option<Client>) -> Option<Client> {
        let old = swap(&mut self.tables.clients, key.clone(), record);
        self.replaced.push(Replaced::Client(key.clone(), old));
        old
    }

    pub(super) fn set_sleep(&mut self, key: &ClientKey, record: Option<Sleep>) -> Option<Sleep> {
        let old = swap(&mut self.tables.sleeps, key.clone(), record);
        self.replaced.push(Replaced::Sleep(key.clone(), old));
        old
    }

    pub(super) fn set_entry(&mut self, key: Vec<u8>, entry: Option<Added>) -> bool {
        let old = swap(&mut self.tables.entries, key.clone(), entry);
        self.replaced.push(Replaced::Entry(key, old.clone()));
        old.is_some()
    }

    /// Whether it has changed a triplet.
    #[cfg(test)]
    pub(super) fn has_changed_a_triplet(&self) -> bool {
        let mut replaced = self.replaced.iter();
        replaced.any(|old| matches!(old, Replaced::Triplet(..)))
    }

    /// Puts back what was replaced, the last first.
    pub(super) fn undo(self) {
        for replaced in self.replaced.into_iter().rev() {
            match replaced {
                Replaced::Triplet(key, old) => drop(swap(&mut self.tables.triplets, key, old)),
                Replaced::Name(key, old) => drop(swap(&mut self.tables.names, key, old)),
                Replaced::Client(key, old) => drop(swap(&mut self.tables.clients, key, old)),
                Replaced::Sleep(key, old) => drop(swap(&mut self.tables.sleeps, key, old)),
                Replaced::Entry(key, old) => drop(swap(&mut self.tables.entries, key, old)),
                Replaced::Hour(key, old) => drop(swap(&mut self.tables.history, key, old)),
                Replaced::Pause(old) => self.tables.pause = old,
                Replaced::Note(note, old) => drop(swap(&mut self.tables.notes, note, old)),
            }
        }
    }
}

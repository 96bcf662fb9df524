//! The other names of waiting triplets.
//!
//! A waiting triplet may have several keys, one of which has the record (see [`policy::names`](crate::policy::names)).
//! For each other key, the table `names` has the key of the record:
//!
//! ```text
//! key   = slot:1 hash:16       ; the slot the record had then, the first bytes of the key's hash
//! value = first:8 key          ; when the record was first seen, its stored key
//! ```
//!
//! A name is void once its record has passed, restarted or been deleted, so it need not be deleted then. It stays good if
//! an older record takes the place of its own, which may be in another slot. Names are deleted with their slot, when no
//! record that is as old can be waiting any more. Lists and counts of records do not include them.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::{Db, SLOTS, Shared, TripletTable};
use crate::policy::Triplet;
use crate::store::StoreError;
use crate::store::schema;

/// Bytes of a hash: with 128 bits, collisions do not occur in practice.
const HASH: usize = 16;

/// Bytes of the time in a value.
const TIME: usize = 8;

/// A triplet's record and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) record: Triplet,
    pub(super) place: TripletTable,
    /// The key of the record, if the key that was searched for only refers to it.
    pub(super) under: Option<Vec<u8>>,
}

/// The key of a name in a slot.
fn name_key(slot: usize, hash: &blake3::Hash) -> [u8; HASH + 1] {
    let mut key = [u8::try_from(slot).unwrap_or(u8::MAX); HASH + 1];
    for (place, byte) in key.iter_mut().skip(1).zip(hash.as_bytes()) {
        *place = *byte;
    }
    key
}

impl Shared {
    /// The record that a stored key has or refers to.
    pub(super) fn find(&self, txn: &RoTxn<'_>, key: &[u8]) -> Result<Option<Located>, StoreError> {
        if let Some((record, place)) = self.tables.find(txn, &self.occupied, key)? {
            return Ok(Some(Located {
                record,
                place,
                under: None,
            }));
        }
        let mut hash = None;
        for slot in (0..SLOTS).filter(|slot| self.named.has(*slot)) {
            let hash = hash.get_or_insert_with(|| blake3::hash(key));
            let Some(value) = self.tables.names.get(txn, &name_key(slot, hash))? else {
                continue;
            };
            let (first, under) = value.split_at_checked(TIME).ok_or(StoreError::Record)?;
            let first = schema::decode_time(first)?;
            let found = self.tables.find(txn, &self.occupied, under)?;
            if let Some((record, place @ TripletTable::Waiting(_))) = found
                && record.first() <= first
            {
                return Ok(Some(Located {
                    record,
                    place,
                    under: Some(under.to_vec()),
                }));
            }
        }
        Ok(None)
    }

    /// Makes one stored key refer to the waiting record of another, and no longer to any other record.
    pub(super) fn refer(
        &self,
        txn: &mut RwTxn<'_>,
        key: &[u8],
        (to, slot, record): (&[u8], usize, Triplet),
    ) -> Result<(), StoreError> {
        let hash = blake3::hash(key);
        for other in (0..SLOTS).filter(|other| *other != slot && self.named.has(*other)) {
            self.tables.names.delete(txn, &name_key(other, &hash))?;
        }
        self.named.add(slot);
        let value = [&schema::encode_time(record.first()), to].concat();
        self.tables.names.put(txn, &name_key(slot, &hash), &value)?;
        Ok(())
    }

    /// Finds the slots with records that other names refer to.
    pub(super) fn find_named(&self) -> Result<(), StoreError> {
        let txn = self.env.read_txn()?;
        for slot in 0..SLOTS {
            if !is_empty(self.tables.names, &txn, slot)? {
                self.named.add(slot);
            }
        }
        Ok(())
    }

    /// Deletes the first names of a slot; returns whether none is left.
    pub(super) fn empty_names(
        &self,
        txn: &mut RwTxn<'_>,
        slot: usize,
        most: usize,
    ) -> Result<bool, StoreError> {
        if !self.named.has(slot) {
            return Ok(true);
        }
        let names = self.tables.names;
        let prefix = [u8::try_from(slot).unwrap_or(u8::MAX)];
        let last = names.prefix_iter(txn, &prefix)?.take(most).last();
        if let Some((last, _)) = last.transpose()? {
            let last = last.to_vec();
            let slice = (
                Bound::Included(prefix.as_slice()),
                Bound::Included(last.as_slice()),
            );
            names.delete_range(txn, &slice)?;
        }
        is_empty(names, txn, slot)
    }
}

fn is_empty(names: Db<'static>, txn: &RoTxn<'_>, slot: usize) -> Result<bool, StoreError> {
    let prefix = [u8::try_from(slot).unwrap_or(u8::MAX)];
    Ok(names
        .prefix_iter(txn, &prefix)?
        .next()
        .transpose()?
        .is_none())
}

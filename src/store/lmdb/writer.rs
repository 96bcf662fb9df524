//! The writing half: one transaction at a time, and the sweep.

use std::fs::File;
use std::ops::Bound;
use std::path::PathBuf;

use heed::RwTxn;
use nix::fcntl::Flock;

use super::records::LmdbRecords;
use super::{Db, LmdbOpener, Shared, Slots, TripletTable, file};
use crate::policy::Params;
use crate::store::lock;
use crate::store::schema::{self, FORMAT};
use crate::store::{Commit, HISTORY, RequestError, StoreError, Swept, TransactionBody, Writer};
use crate::types::{Span, Timestamp};

/// Maximum number of records read by one slice of the sweep: a fraction of a millisecond.
const SLICE: usize = 512;

/// Numbers of records that are deleted at once from an expired slot: the next smaller one is tried if the file has no
/// space for the pages that change.
const SLOT_SLICES: [usize; 4] = [512, 64, 8, 1];

/// Bounds, in bytes, of the reserve, which is an eighth of `--max-size` between them: without free space for the pages
/// that change, no record can be deleted.
const LEAST_RESERVE: u64 = 256 << 10;
const MOST_RESERVE: u64 = 64 << 20;

/// Free bytes that count as space for more than a few records.
const MORE_THAN_A_FEW: u64 = 64 << 10;

/// Bytes of a value that needs a thousand consecutive pages.
const LARGE: usize = 4 << 20;

/// Maximum number of single records that one slice of the sweep deletes: each is likely on another page.
const SLICE_REMOVED: usize = 32;

/// The writing half.
#[derive(Debug)]
pub(super) struct LmdbWriter {
    shared: Shared,
    file: Flock<File>,
    path: PathBuf,
    /// The minimum length of the file.
    length: u64,
    slots: Slots,
    window: Span,
    /// Bytes in use above which new records are refused: the rest is the reserve for the sweep.
    limit: u64,
    position: SweepPosition,
}

/// The position of the sweep: a table and the last key read.
#[derive(Debug, Clone)]
enum SweepPosition {
    Slots,
    Passed(Option<Vec<u8>>),
    Clients(Option<Vec<u8>>),
    Sleeps(Option<Vec<u8>>),
    History,
}

/// The result of sweeping a slice of the slots.
struct SlotSwept {
    removed: u64,
    /// Whether no slot is left to empty.
    is_done: bool,
}

/// A slice of a table.
struct Slice {
    /// Keys of expired records.
    expired: Vec<Vec<u8>>,
    /// Where to continue; `None` at the end of the table.
    next: Option<Vec<u8>>,
}

impl LmdbWriter {
    pub(super) fn new(
        shared: Shared,
        file: Flock<File>,
        slots: Slots,
        opener: &LmdbOpener,
    ) -> Self {
        let most = opener.max_size as u64;
        let reserve = (most >> 3).clamp(LEAST_RESERVE, MOST_RESERVE);
        Self {
            shared,
            file,
            path: opener.data(),
            length: 0,
            slots,
            window: opener.retry_window,
            limit: most.saturating_sub(reserve),
            position: SweepPosition::Slots,
        }
    }

    /// Makes LMDB load its list of free pages, by asking for more consecutive ones than there are.
    pub(super) fn load_free_pages(&mut self) -> Result<(), StoreError> {
        let mut txn = self.shared.env.write_txn()?;
        let large = vec![0; LARGE];
        match self.shared.tables.meta.put(&mut txn, b"probe", &large) {
            Ok(()) | Err(heed::Error::Mdb(heed::MdbError::MapFull)) => {
                txn.abort();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a closure in a transaction; returns the slots after it.
    fn commit(&self, body: &mut TransactionBody<'_>) -> Result<Slots, RequestError> {
        let txn = self.shared.env.write_txn()?;
        let before = self.shared.tables.size(&txn)?;
        let mut records = LmdbRecords::new(txn, &self.shared, self.slots, self.window);
        body(&mut records)?;
        let (mut txn, slots, needs_format) = records.into_parts();
        let size = self.shared.tables.size(&txn)?;
        if size > self.limit && size > before {
            return Err(StoreError::Full.into());
        }
        if slots.differ(&self.slots) {
            let table = self.shared.tables.meta;
            table.put(&mut txn, b"slots", &slots.encode())?;
        }
        if needs_format {
            self.note_format(&mut txn)?;
        }
        txn.commit()?;
        Ok(slots)
    }

    /// Stores the last format, because the database gets a record that earlier versions do not know.
    fn note_format(&self, txn: &mut RwTxn<'_>) -> Result<(), StoreError> {
        let (meta, format) = (self.shared.tables.meta, FORMAT.to_be_bytes());
        if meta.get(txn, b"format")? != Some(&format) {
            meta.put(txn, b"format", &format)?;
        }
        Ok(())
    }

    /// After a commit: checks that the file is still at its path, and extends it to the length that its pages need.
    fn committed(&mut self) -> Result<(), StoreError> {
        self.check_file()?;
        let pages = (self.shared.env.info().last_page_number as u64).saturating_add(1);
        let page_size = u64::from(self.shared.env.unnamed_database_stat().page_size);
        let needed = pages.saturating_mul(page_size);
        if needed > self.length {
            file::lengthen(&self.file, needed).map_err(|error| StoreError::Lmdb(error.into()))?;
            self.length = needed;
        }
        Ok(())
    }

    /// Closes the open slot when its time is over, and deletes a slice of an expired slot.
    fn sweep_slots(&mut self, now: Timestamp, window: Span) -> Result<SlotSwept, StoreError> {
        let mut slots = self.slots;
        slots.repair(now);
        slots.rotate(now, window);
        let overdue = slots.overdue(now, window);
        let mut swept = SlotSwept {
            removed: 0,
            is_done: overdue.is_none(),
        };
        if let Some(at) = overdue {
            // A transaction needs space for the pages it changes; a full file has little.
            let mut slices = SLOT_SLICES.iter();
            swept.removed = loop {
                let slice = slices.next().ok_or(StoreError::Full)?;
                match self.empty_slice(at, *slice, &mut slots) {
                    Err(StoreError::Full) => {}
                    removed => break removed?,
                }
            };
        } else if slots.differ(&self.slots) {
            let mut txn = self.shared.env.write_txn()?;
            self.shared
                .tables
                .meta
                .put(&mut txn, b"slots", &slots.encode())?;
            txn.commit()?;
        }
        self.slots = slots;
        Ok(swept)
    }

    /// Deletes the first records of a slot, in the order of their keys: deleting in random order is expensive, and
    /// emptying the slot at once needs space for the list of all pages that become free.
    fn empty_slice(&self, at: usize, slice: usize, slots: &mut Slots) -> Result<u64, StoreError> {
        let slot = self.shared.tables.at(TripletTable::Waiting(at))?;
        let mut txn = self.shared.env.write_txn()?;
        let last = slot.iter(&txn)?.take(slice).last().transpose()?;
        let mut removed = 0;
        if let Some(last) = last.map(|(key, _)| key.to_vec()) {
            let slice = (Bound::Unbounded, Bound::Included(last.as_slice()));
            removed = slot.delete_range(&mut txn, &slice)? as u64;
        }
        let mut next = *slots;
        // The other names follow the records: they are void then, but are deleted in slices too.
        if slot.is_empty(&txn)? && self.shared.empty_names(&mut txn, at, slice)? {
            next.emptied(at);
        }
        if next.differ(&self.slots) {
            self.shared
                .tables
                .meta
                .put(&mut txn, b"slots", &next.encode())?;
        }
        txn.commit()?;
        if next.differ(slots) {
            self.shared.occupied.remove(at);
            self.shared.named.remove(at);
        }
        *slots = next;
        Ok(removed)
    }

    /// Reads the next records of a table.
    fn slice(
        &self,
        table: Db<'static>,
        after: Option<&[u8]>,
        is_expired: impl Fn(&[u8]) -> Result<bool, StoreError>,
    ) -> Result<Slice, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut slice = Slice {
            expired: Vec::new(),
            next: None,
        };
        let range = (from, Bound::Unbounded);
        for (seen, item) in table.range(&txn, &range)?.enumerate() {
            let (key, value) = item?;
            if seen >= SLICE || slice.expired.len() >= SLICE_REMOVED {
                return Ok(slice);
            }
            if is_expired(value)? {
                slice.expired.push(key.to_vec());
            }
            match &mut slice.next {
                Some(next) => key.clone_into(next),
                None => slice.next = Some(key.to_vec()),
            }
        }
        slice.next = None;
        Ok(slice)
    }

    /// Deletes the first hours that are too old; returns whether none is left.
    fn sweep_history(&self, now: Timestamp) -> Result<(u64, bool), StoreError> {
        let table = self.shared.tables.history;
        let kept = schema::encode_hour(now.before(HISTORY));
        let old = (Bound::Unbounded, Bound::Excluded(kept.as_slice()));
        let txn = self.shared.env.read_txn()?;
        let mut expired = Vec::new();
        for item in table.range(&txn, &old)?.take(SLICE_REMOVED) {
            expired.push(item?.0.to_vec());
        }
        drop(txn);
        let removed = self.remove(table, &expired)?;
        Ok((removed, expired.len() < SLICE_REMOVED))
    }

    /// Deletes records. They have not changed since they were read, because there is one writer.
    fn remove(&self, table: Db<'static>, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut txn = self.shared.env.write_txn()?;
        for key in keys {
            table.delete(&mut txn, key)?;
        }
        txn.commit()?;
        Ok(keys.len() as u64)
    }
}

impl Writer for LmdbWriter {
    fn run(&mut self, body: &mut TransactionBody<'_>, end: Commit) -> Result<(), RequestError> {
        match end {
            Commit::Keep => {
                self.slots = self.commit(body)?;
                Ok(self.committed()?)
            }
            Commit::Discard => {
                let txn = self.shared.env.write_txn()?;
                let mut records = LmdbRecords::new(txn, &self.shared, self.slots, self.window);
                body(&mut records)?;
                records.into_parts().0.abort();
                Ok(())
            }
        }
    }

    fn sweep(&mut self, now: Timestamp, params: &Params) -> Result<Swept, StoreError> {
        self.window = params.retry_window;
        let (removed, next) = match &self.position {
            SweepPosition::Slots => {
                let swept = self.sweep_slots(now, params.retry_window)?;
                let next = if swept.is_done {
                    SweepPosition::Passed(None)
                } else {
                    SweepPosition::Slots
                };
                (swept.removed, next)
            }
            SweepPosition::Passed(after) => {
                let slice = self.slice(self.shared.tables.passed, after.as_deref(), |value| {
                    Ok(schema::decode_triplet(value)?.is_expired(now, params))
                })?;
                let removed = self.remove(self.shared.tables.passed, &slice.expired)?;
                let next = match slice.next {
                    None => SweepPosition::Clients(None),
                    next => SweepPosition::Passed(next),
                };
                (removed, next)
            }
            SweepPosition::Clients(after) => {
                let slice = self.slice(self.shared.tables.clients, after.as_deref(), |value| {
                    Ok(schema::decode_client(value)?.is_expired(now, params))
                })?;
                let removed = self.remove(self.shared.tables.clients, &slice.expired)?;
                let next = match slice.next {
                    None => SweepPosition::Sleeps(None),
                    next => SweepPosition::Clients(next),
                };
                (removed, next)
            }
            SweepPosition::Sleeps(after) => {
                let slice = self.slice(self.shared.tables.sleeps, after.as_deref(), |value| {
                    Ok(schema::decode_sleep(value)?.is_expired(now, params))
                })?;
                let removed = self.remove(self.shared.tables.sleeps, &slice.expired)?;
                let next = match slice.next {
                    None => SweepPosition::History,
                    next => SweepPosition::Sleeps(next),
                };
                (removed, next)
            }
            SweepPosition::History => {
                let (removed, is_done) = self.sweep_history(now)?;
                let next = if is_done {
                    SweepPosition::Slots
                } else {
                    SweepPosition::History
                };
                (removed, next)
            }
        };
        // Other names of triplets may have gone, which nobody counts.
        if removed > 0 || matches!(next, SweepPosition::Slots) {
            self.committed()?;
        }
        let was_last = matches!(self.position, SweepPosition::History);
        self.position = next;
        Ok(Swept {
            removed,
            finished: was_last && matches!(self.position, SweepPosition::Slots),
        })
    }

    fn has_room(&self) -> Result<bool, StoreError> {
        let txn = self.shared.env.read_txn()?;
        let size = self.shared.tables.size(&txn)?;
        Ok(size.saturating_add(MORE_THAN_A_FEW) <= self.limit)
    }

    fn note_time(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut txn = self.shared.env.write_txn()?;
        let time = schema::encode_time(now);
        self.shared.tables.meta.put(&mut txn, b"latest", &time)?;
        txn.commit()?;
        self.committed()
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        let mut txn = self.shared.env.write_txn()?;
        self.shared.tables.meta.put(&mut txn, b"probe", b"")?;
        txn.commit()?;
        self.committed()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.shared.env.force_sync()?;
        Ok(())
    }

    fn check_file(&self) -> Result<(), StoreError> {
        match lock::is_at(&self.file, std::fs::metadata(&self.path)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Replaced(self.path.clone())),
            Err(source) => Err(StoreError::File {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

//! The slots of the waiting triplets, by the time when they were first seen.
//!
//! One slot is open and gets every new triplet; after a third of the retry window it is closed and a free one is
//! opened. When the retry window of the youngest triplet of a closed slot is over, the slot is emptied, a slice at a
//! time, and is free again. That needs at most four slots, five while one is emptied; the sixth is for a retry window
//! that was made longer. Without a free slot the open one stays open, which keeps its triplets a little longer.
//!
//! How old the youngest triplet is, is known while the process lives. A slot that was open when the daemon was
//! started counts as closed at the moment it is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::store::StoreError;
use crate::types::{Span, Timestamp};

/// The number of slots.
pub(super) const SLOTS: usize = 6;

/// A time further in the future than this was set by a wrong clock.
const TOLERANCE: Span = Span::from_hours(1);

/// The slots that may hold records, shared by reader and writer. Searching an empty slot costs as much as a full one,
/// so only these are searched. If a reader misses a slot that is just being opened, it considers a triplet new, and the
/// writer, which never misses one, decides again.
#[derive(Debug, Clone, Default)]
pub(super) struct Occupied(Arc<AtomicU8>);

impl Occupied {
    /// Whether a slot may hold records.
    pub(super) fn has(&self, at: usize) -> bool {
        self.0.load(Ordering::Acquire) & bit(at) != 0
    }

    /// Called before the first record of a slot is committed.
    pub(super) fn add(&self, at: usize) {
        self.0.fetch_or(bit(at), Ordering::Release);
    }

    /// Called after an emptied slot is committed.
    pub(super) fn remove(&self, at: usize) {
        self.0.fetch_and(!bit(at), Ordering::Release);
    }
}

fn bit(at: usize) -> u8 {
    u32::try_from(at)
        .ok()
        .and_then(|at| 1_u8.checked_shl(at))
        .unwrap_or_default()
}

/// One slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Slot {
    /// Empty.
    #[default]
    Free,
    /// Gets new triplets.
    Open { since: Timestamp },
    /// Waits until its triplets are too old; none was first seen later than `at`.
    Closed { at: Timestamp },
    /// Is being emptied.
    Emptying,
}

/// All slots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slots {
    slots: [Slot; SLOTS],
    /// The latest first sight in the open slot; `None` when that is not known.
    youngest: Option<Timestamp>,
}

impl Slots {
    /// The slot for a triplet first seen at `first`.
    pub(super) fn take(&mut self, first: Timestamp, window: Span) -> usize {
        self.rotate(first, window);
        let at = self.open().map_or_else(
            || {
                let at = self.free().unwrap_or(0);
                self.set(at, Slot::Open { since: first });
                self.youngest = Some(first);
                at
            },
            |(at, _)| at,
        );
        self.youngest = self.youngest.map(|youngest| youngest.max(first));
        at
    }

    /// Closes the open slot if its time is over and another one is free.
    pub(super) fn rotate(&mut self, now: Timestamp, window: Span) {
        let third = Span::from_seconds(window.seconds().div_euclid(3).max(1));
        let (Some((at, since)), Some(free)) = (self.open(), self.free()) else {
            return;
        };
        if now.since(since) >= third || since > now.after(TOLERANCE) {
            let closed = self.youngest.unwrap_or_else(|| now.max(since.after(third)));
            self.set(at, Slot::Closed { at: closed });
            self.set(free, Slot::Open { since: now });
            self.youngest = Some(now);
        }
    }

    /// A slot to empty: one that is being emptied, or one whose triplets have all expired.
    pub(super) fn overdue(&mut self, now: Timestamp, window: Span) -> Option<usize> {
        let at = self.slots.iter().position(|slot| match slot {
            Slot::Emptying => true,
            Slot::Closed { at } => now.since(*at) > window,
            Slot::Free | Slot::Open { .. } => false,
        })?;
        self.set(at, Slot::Emptying);
        Some(at)
    }

    /// Notes that a slot is empty.
    pub(super) fn emptied(&mut self, at: usize) {
        self.set(at, Slot::Free);
    }

    /// Sets times in the future to now: they were set by a wrong clock.
    pub(super) fn repair(&mut self, now: Timestamp) {
        for slot in &mut self.slots {
            match slot {
                Slot::Closed { at } if *at > now.after(TOLERANCE) => *at = now,
                Slot::Free | Slot::Open { .. } | Slot::Closed { .. } | Slot::Emptying => {}
            }
        }
        self.youngest = self.youngest.map(|youngest| youngest.min(now));
    }

    /// Whether the stored times differ.
    pub(super) fn differ(&self, other: &Self) -> bool {
        self.slots != other.slots
    }

    /// As bytes: for each slot its kind and its time.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.slots
            .iter()
            .flat_map(|slot| {
                let (kind, time) = match slot {
                    Slot::Free => (0, Timestamp::default()),
                    Slot::Open { since } => (1, *since),
                    Slot::Closed { at } => (2, *at),
                    Slot::Emptying => (3, Timestamp::default()),
                };
                [kind].into_iter().chain(time.seconds().to_be_bytes())
            })
            .collect()
    }

    /// From bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut slots = Self::default();
        let (chunks, rest) = bytes.as_chunks::<9>();
        if chunks.len() != SLOTS || !rest.is_empty() {
            return Err(StoreError::Record);
        }
        for (slot, [kind, time @ ..]) in slots.slots.iter_mut().zip(chunks) {
            let time = Timestamp::from_seconds(u64::from_be_bytes(*time));
            *slot = match kind {
                0 => Slot::Free,
                1 => Slot::Open { since: time },
                2 => Slot::Closed { at: time },
                3 => Slot::Emptying,
                _ => return Err(StoreError::Record),
            };
        }
        Ok(slots)
    }

    fn open(&self) -> Option<(usize, Timestamp)> {
        self.slots
            .iter()
            .enumerate()
            .find_map(|(at, slot)| match slot {
                Slot::Open { since } => Some((at, *since)),
                Slot::Free | Slot::Closed { .. } | Slot::Emptying => None,
            })
    }

    fn free(&self) -> Option<usize> {
        self.slots.iter().position(|slot| *slot == Slot::Free)
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Span = Span::from_seconds(9000);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    /// Empties whatever can be emptied; says which slots that were.
    fn empty_all(slots: &mut Slots, now: Timestamp) -> Vec<usize> {
        std::iter::from_fn(|| {
            let at = slots.overdue(now, WINDOW)?;
            slots.emptied(at);
            Some(at)
        })
        .collect()
    }

    #[test]
    fn a_slot_takes_triplets_for_a_third_of_the_window_and_is_emptied_a_window_later() {
        let mut slots = Slots::default();
        assert_eq!(slots.take(at(0), WINDOW), 0);
        assert_eq!(slots.take(at(2999), WINDOW), 0);
        assert_eq!(slots.take(at(3000), WINDOW), 1);
        assert!(empty_all(&mut slots, at(2999 + 9000)).is_empty());
        assert_eq!(slots.overdue(at(2999 + 9001), WINDOW), Some(0));
        assert_eq!(slots.overdue(at(2999 + 9001), WINDOW), Some(0));
        slots.emptied(0);
        assert!(empty_all(&mut slots, at(2999 + 9001)).is_empty());
    }

    #[test]
    fn steady_traffic_never_runs_out_of_slots() {
        let mut slots = Slots::default();
        for step in 0..1000 {
            let now = at(step * 500);
            empty_all(&mut slots, now);
            slots.take(now, WINDOW);
            assert!(slots.free().is_some(), "{step}");
        }
    }

    #[test]
    fn no_triplet_is_dropped_before_its_window_is_over() {
        let restart = |slots: Slots| Slots::decode(&slots.encode()).unwrap();
        let shorter = Span::from_seconds(900);

        // A window that was made shorter.
        let mut slots = Slots::default();
        slots.take(at(0), WINDOW);
        slots.take(at(2900), WINDOW);
        let mut slots = restart(slots);
        slots.rotate(at(2950), shorter);
        assert_eq!(slots.take(at(2950), shorter), 1, "the first is closed");
        assert_eq!(slots.overdue(at(2950), shorter), None);

        // A clock that was in 1970 for a while.
        let mut slots = Slots::default();
        slots.take(at(0), WINDOW);
        slots.take(at(2000), WINDOW);
        slots.take(Timestamp::from_seconds(5), WINDOW);
        slots.repair(at(2100));
        assert!(empty_all(&mut slots, at(2000 + 9000)).is_empty());
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_holds_no_slot() {
        let mut slots = Slots::default();
        let ahead = at(365 * 86_400);
        slots.take(ahead, WINDOW);
        slots.take(ahead.after(WINDOW), WINDOW);
        assert_eq!(slots.take(at(0), WINDOW), 2);
        slots.repair(at(0));
        assert_eq!(empty_all(&mut slots, at(9001)), [0, 1]);
    }

    #[test]
    fn an_open_slot_without_traffic_counts_as_closed_with_its_youngest_triplet() {
        let mut slots = Slots::default();
        slots.take(at(10), WINDOW);
        let later = at(10 + 9001);
        slots.rotate(later, WINDOW);
        assert_eq!(empty_all(&mut slots, later), [0]);
    }

    #[test]
    fn slots_come_back_as_they_were() {
        let mut slots = Slots::default();
        slots.take(at(0), WINDOW);
        slots.take(at(5000), WINDOW);
        slots.overdue(at(20_000), WINDOW);
        assert!(!Slots::decode(&slots.encode()).unwrap().differ(&slots));
        assert!(Slots::decode(b"short").is_err());
    }
}

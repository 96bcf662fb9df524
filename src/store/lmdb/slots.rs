//! The slots of the waiting triplets, by time of first sight.
//!
//! One slot is open and takes every new triplet; after a third of the retry window it is closed and
//! a free one is opened. A closed slot is emptied when the whole window has gone by since it was closed:
//! then the youngest triplet in it is too old. That needs four slots at most, five while one is being
//! emptied; the sixth is there for a retry window that was made longer. Without a free slot the open
//! one begins anew, which keeps its triplets a little longer.

use crate::store::StoreError;
use crate::types::{Span, Timestamp};

/// How many slots there are.
pub(super) const SLOTS: usize = 6;

/// A time further ahead than this is the mark of a clock that was wrong.
const TOLERANCE: Span = Span::from_hours(1);

/// One slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Slot {
    /// Empty.
    #[default]
    Free,
    /// Takes new triplets.
    Open { since: Timestamp },
    /// Waits until its triplets are too old.
    Closed { at: Timestamp },
}

/// All slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slots([Slot; SLOTS]);

impl Slots {
    /// The slot that takes a triplet first seen `now`, after the open one has had its time.
    pub(super) fn take(&mut self, now: Timestamp, window: Span) -> usize {
        let third = Span::from_seconds(window.seconds().div_euclid(3).max(1));
        let free = self.0.iter().position(|slot| *slot == Slot::Free);
        let open = self.0.iter().enumerate().find_map(|(at, slot)| match slot {
            Slot::Open { since } => Some((at, *since)),
            Slot::Free | Slot::Closed { .. } => None,
        });
        match (open, free) {
            (Some((at, since)), Some(free)) if is_over(since, now, third) => {
                let end = since.after(third).min(now);
                self.set(at, Slot::Closed { at: end });
                self.set(free, Slot::Open { since: now });
                free
            }
            (Some((at, since)), None) if is_over(since, now, third) => {
                self.set(at, Slot::Open { since: now });
                at
            }
            (Some((at, _)), _) => at,
            (None, free) => {
                let at = free.unwrap_or(0);
                self.set(at, Slot::Open { since: now });
                at
            }
        }
    }

    /// A slot whose triplets are all too old; it counts as free from now on.
    pub(super) fn release(&mut self, now: Timestamp, window: Span) -> Option<usize> {
        let at = self
            .0
            .iter()
            .position(|slot| matches!(slot, Slot::Closed { at } if now.since(*at) > window))?;
        self.set(at, Slot::Free);
        Some(at)
    }

    /// Brings times that lie ahead back to now: they were set by a clock that was wrong.
    pub(super) fn mend(&mut self, now: Timestamp) {
        for slot in &mut self.0 {
            match slot {
                Slot::Closed { at } if *at > now.after(TOLERANCE) => *at = now,
                Slot::Free | Slot::Open { .. } | Slot::Closed { .. } => {}
            }
        }
    }

    /// As bytes: for each slot its kind and its time.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|slot| {
                let (kind, time) = match slot {
                    Slot::Free => (0, Timestamp::default()),
                    Slot::Open { since } => (1, *since),
                    Slot::Closed { at } => (2, *at),
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
        for (slot, [kind, time @ ..]) in slots.0.iter_mut().zip(chunks) {
            let time = Timestamp::from_seconds(u64::from_be_bytes(*time));
            *slot = match kind {
                0 => Slot::Free,
                1 => Slot::Open { since: time },
                2 => Slot::Closed { at: time },
                _ => return Err(StoreError::Record),
            };
        }
        Ok(slots)
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.0.get_mut(at) {
            *place = slot;
        }
    }
}

/// Whether a slot that was opened at `since` has had its time, or was opened by a clock that was wrong.
fn is_over(since: Timestamp, now: Timestamp, third: Span) -> bool {
    now.since(since) >= third || since > now.after(TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Span = Span::from_seconds(9000);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn a_slot_takes_triplets_for_a_third_of_the_window_and_is_released_a_window_later() {
        let mut slots = Slots::default();
        assert_eq!(slots.take(at(0), WINDOW), 0);
        assert_eq!(slots.take(at(2999), WINDOW), 0);
        assert_eq!(slots.take(at(3000), WINDOW), 1);
        assert_eq!(slots.release(at(3000 + 9000), WINDOW), None);
        assert_eq!(slots.release(at(3000 + 9001), WINDOW), Some(0));
        assert_eq!(slots.release(at(3000 + 9001), WINDOW), None);
    }

    #[test]
    fn steady_traffic_never_runs_out_of_slots() {
        let mut slots = Slots::default();
        for step in 0..1000 {
            let now = at(step * 500);
            slots.release(now, WINDOW);
            slots.take(now, WINDOW);
            assert!(slots.0.contains(&Slot::Free), "{step}");
        }
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_holds_no_slot() {
        let mut slots = Slots::default();
        let ahead = at(365 * 86_400);
        slots.take(ahead, WINDOW);
        slots.take(ahead.after(WINDOW), WINDOW);
        assert_eq!(slots.take(at(0), WINDOW), 2);
        slots.mend(at(0));
        assert_eq!(slots.release(at(9001), WINDOW), Some(0));
        assert_eq!(slots.release(at(9001), WINDOW), Some(1));
    }

    #[test]
    fn an_open_slot_without_traffic_counts_as_closed_when_its_time_was_over() {
        let mut slots = Slots::default();
        slots.take(at(0), WINDOW);
        let much_later = at(3000 + 9001);
        slots.take(much_later, WINDOW);
        assert_eq!(slots.release(much_later, WINDOW), Some(0));
    }

    #[test]
    fn without_a_free_slot_the_open_one_begins_anew() {
        let mut slots = Slots::default();
        for n in 0..SLOTS as u64 {
            slots.take(at(n * 3000), WINDOW);
        }
        let full = slots.take(at(6 * 3000), WINDOW);
        assert_eq!(
            slots.0[full],
            Slot::Open {
                since: at(6 * 3000)
            }
        );
    }

    #[test]
    fn slots_come_back_as_they_were() {
        let mut slots = Slots::default();
        slots.take(at(0), WINDOW);
        slots.take(at(5000), WINDOW);
        assert_eq!(Slots::decode(&slots.encode()).unwrap(), slots);
        assert!(Slots::decode(b"short").is_err());
    }
}

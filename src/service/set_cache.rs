//! Fixed-size set-associative cache of recent values, keyed by a 64-bit hash.
//!
//! A key belongs to one set of [`WAYS`] slots. When a set is full, its oldest slot is overwritten, so a lookup reads one
//! cache line, the keys of the set, and rarely more.

use crate::types::{Span, Timestamp};

/// Slots of a set: their keys and the number of the next slot fill a cache line.
const WAYS: usize = 7;

/// Lifetime of a cached reply: longer than all requests for one message take.
const LIFETIME: Span = Span::from_seconds(600);

/// Keyed hash with a per-process key, never zero. The chance of a collision is about 10^-14 per lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

/// `SETS` sets, at most 65,536.
#[derive(Debug)]
pub(super) struct SetCache<V, const SETS: usize> {
    /// The keys of each set, zero for an empty slot, and the number of the slot to be written next.
    keys: Vec<[u64; WAYS + 1]>,
    values: Vec<Option<Box<Slots<V>>>>,
}

/// The values of a set.
type Slots<V> = [Option<Slot<V>>; WAYS];

/// A value, and when it was written.
#[derive(Debug, Clone, Copy)]
struct Slot<V> {
    at: Timestamp,
    value: V,
}

impl Key {
    /// The key with this hash.
    pub(super) const fn new(hash: u64) -> Self {
        Self(if hash == 0 { 1 } else { hash })
    }
}

impl<V: Copy, const SETS: usize> SetCache<V, SETS> {
    /// An empty cache. Memory is allocated as it is needed.
    pub(super) fn new() -> Self {
        Self {
            keys: vec![[0; WAYS + 1]; SETS],
            values: std::iter::repeat_with(|| None).take(SETS).collect(),
        }
    }

    /// The value of this key, unless its lifetime is over or it was written in the future.
    pub(super) fn find(&self, key: Key, now: Timestamp) -> Option<V> {
        let set = Self::set_of(key);
        let [keys @ .., _next] = self.keys.get(set)?;
        let place = keys.iter().position(|taken| *taken == key.0)?;
        let slot = self.values.get(set)?.as_ref()?.get(place)?.as_ref()?;
        (slot.at <= now && now.since(slot.at) <= LIFETIME).then_some(slot.value)
    }

    /// Writes the value of this key.
    pub(super) fn insert(&mut self, key: Key, at: Timestamp, value: V) {
        let set = Self::set_of(key);
        let (Some([keys @ .., next]), Some(values)) =
            (self.keys.get_mut(set), self.values.get_mut(set))
        else {
            return;
        };
        let place = keys.iter().position(|taken| *taken == key.0);
        let place = place.unwrap_or_else(|| {
            let place = usize::try_from(*next).unwrap_or_default() % WAYS;
            *next = next.wrapping_add(1) % WAYS as u64;
            place
        });
        let slots = values.get_or_insert_with(|| Box::new([None; WAYS]));
        if let (Some(taken), Some(slot)) = (keys.get_mut(place), slots.get_mut(place)) {
            *taken = key.0;
            *slot = Some(Slot { at, value });
        }
    }

    /// The set that a key belongs to.
    fn set_of(key: Key) -> usize {
        let [first, second, ..] = key.0.to_ne_bytes();
        usize::from(u16::from_ne_bytes([first, second])) % SETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Few = SetCache<u32, 4>;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    /// So many keys of one set.
    fn neighbours(count: usize) -> Vec<Key> {
        let all = (0..).map(Key::new);
        all.filter(|key| Few::set_of(*key) == 1)
            .take(count)
            .collect()
    }

    #[test]
    fn what_was_told_is_believed_for_ten_minutes_and_never_before_its_time() {
        let mut cache = Few::new();
        let key = Key::new(0);
        assert_eq!(cache.find(key, at(100)), None);
        cache.insert(key, at(100), 7);
        for (seconds, want) in [(99, None), (100, Some(7)), (700, Some(7)), (701, None)] {
            assert_eq!(cache.find(key, at(seconds)), want, "{seconds}");
        }
        cache.insert(key, at(701), 8);
        assert_eq!(cache.find(key, at(701)), Some(8));
    }

    #[test]
    fn the_first_of_a_set_goes_when_it_is_full() {
        let mut cache = Few::new();
        let keys = neighbours(2 * WAYS + 1);
        for (number, key) in (0..).zip(&keys) {
            cache.insert(*key, at(0), number);
        }
        let there: Vec<u32> = keys
            .iter()
            .filter_map(|key| cache.find(*key, at(0)))
            .collect();
        assert_eq!(there, [8, 9, 10, 11, 12, 13, 14]);
    }

    #[test]
    fn sets_are_full_each_by_itself() {
        let mut cache = Few::new();
        for (number, key) in (0..).zip((1..1000).map(Key::new)) {
            cache.insert(key, at(0), number);
        }
        let there = (1..1000).filter(|key| cache.find(Key::new(*key), at(0)).is_some());
        assert_eq!(there.count(), 4 * WAYS);
    }
}

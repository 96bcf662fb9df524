//! A cache of two halves; the older half is dropped when the younger is full.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use tokio::time::Instant;

/// Maximum number of findings in the cache: each half fills a hash table of 65,536 slots to its maximum, seven eighths.
pub const MOST_CACHED: usize = 114_688;

/// At most `MOST` values, each with the end of its lifetime.
pub(super) struct Cache<K, V, const MOST: usize> {
    young: HashMap<K, (V, Instant)>,
    old: HashMap<K, (V, Instant)>,
}

impl<K: Eq + Hash, V, const MOST: usize> Cache<K, V, MOST> {
    /// The value, until its lifetime ends.
    pub(super) fn find<Q>(&self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let found = self.young.get(key).or_else(|| self.old.get(key));
        found
            .filter(|(_, until)| now < *until)
            .map(|(value, _)| value)
    }

    /// The number of values, including expired ones.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Inserts a value.
    pub(super) fn insert(&mut self, key: K, value: V, until: Instant) {
        if self.young.len() >= MOST / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, (value, until));
    }
}

impl<K, V, const MOST: usize> Default for Cache<K, V, MOST> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lookup::tests::listed;
    use crate::policy::{Finding, Lookup};

    type Findings = Cache<Lookup, Finding, MOST_CACHED>;

    const HALF: usize = MOST_CACHED / 2;

    #[test]
    fn a_finding_is_believed_until_its_lifetime_is_over() {
        let mut cache = Findings::default();
        let now = Instant::now();
        cache.insert(listed(1), Finding::Absent, now + Duration::from_secs(30));
        for (seconds, want) in [(0, true), (29, true), (30, false)] {
            let found = cache.find(&listed(1), now + Duration::from_secs(seconds));
            assert_eq!(found.is_some(), want, "{seconds}");
        }
        assert_eq!(cache.find(&listed(2), now), None);
    }

    #[test]
    fn the_cache_has_a_bound_and_keeps_the_younger_half() {
        let mut cache = Findings::default();
        let (now, most) = (Instant::now(), u32::try_from(HALF).unwrap());
        let until = now + Duration::from_secs(30);
        for number in 0..3 * most {
            cache.insert(listed(number), Finding::Absent, until);
        }
        assert!(cache.young.len() <= HALF && cache.old.len() <= HALF);
        assert!(cache.find(&listed(3 * most - 1), now).is_some());
        assert!(cache.find(&listed(2 * most - 1), now).is_some());
        assert!(cache.find(&listed(0), now).is_none());
    }
}

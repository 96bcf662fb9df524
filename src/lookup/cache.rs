//! The cache of findings: two halves, of which the older is let go when the younger is full.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::policy::{Finding, Lookup};

/// Most findings in the cache: some 20 MiB while most of them are that a client is not listed.
pub const MOST_CACHED: usize = 65_536;

/// Most findings in each half.
const HALF: usize = MOST_CACHED / 2;

/// Findings with the end of their lifetime.
#[derive(Default)]
pub(super) struct Cache {
    young: HashMap<Lookup, (Finding, Instant)>,
    old: HashMap<Lookup, (Finding, Instant)>,
}

impl Cache {
    /// What was found, while it is to be believed.
    pub(super) fn find(&self, lookup: &Lookup, now: Instant) -> Option<&Finding> {
        let found = self.young.get(lookup).or_else(|| self.old.get(lookup));
        found
            .filter(|(_, until)| now < *until)
            .map(|(finding, _)| finding)
    }

    /// Keeps a finding.
    pub(super) fn insert(&mut self, lookup: Lookup, finding: Finding, until: Instant) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(lookup, (finding, until));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lookup::tests::listed;

    #[test]
    fn a_finding_is_believed_until_its_lifetime_is_over() {
        let mut cache = Cache::default();
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
        let mut cache = Cache::default();
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

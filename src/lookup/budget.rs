//! Limits of lookups in progress. Lookups caused by senders have a separate budget, so that they cannot exhaust that of
//! the administrator's DNS lists.

use std::collections::HashMap;

use super::{MOST_EVALUATIONS, MOST_OF_NETWORK, MOST_OF_ZONE, MOST_TEXTS, MOST_UNDER_WAY};
use crate::policy::LookupSource;

/// The lookups in progress, counted by source.
#[derive(Default)]
pub(super) struct Budget {
    of_source: HashMap<LookupSource, usize>,
    /// Those of all zones.
    lists: usize,
    /// Those of all networks.
    evaluations: usize,
}

impl Budget {
    /// Whether one more may be sent.
    pub(super) fn has_room(&self, source: &LookupSource) -> bool {
        let (all, most) = match source {
            LookupSource::Zone(_) | LookupSource::Texts(_) => (self.lists, MOST_UNDER_WAY),
            LookupSource::Network(_) => (self.evaluations, MOST_EVALUATIONS),
            // It is not asked here.
            LookupSource::Message => return false,
        };
        let most_of_source = match source {
            LookupSource::Zone(_) => MOST_OF_ZONE,
            LookupSource::Texts(_) => MOST_TEXTS,
            LookupSource::Network(_) | LookupSource::Message => MOST_OF_NETWORK,
        };
        let of_source = self.of_source.get(source).copied().unwrap_or_default();
        all < most && of_source < most_of_source
    }

    /// Counts one that was sent.
    pub(super) fn begin(&mut self, source: LookupSource) {
        let all = self.all(&source);
        *all = all.saturating_add(1);
        let of_source = self.of_source.entry(source).or_default();
        *of_source = of_source.saturating_add(1);
    }

    /// Counts one that has ended.
    pub(super) fn end(&mut self, source: &LookupSource) {
        let all = self.all(source);
        *all = all.saturating_sub(1);
        if let Some(of_source) = self.of_source.get_mut(source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                self.of_source.remove(source);
            }
        }
    }

    fn all(&mut self, source: &LookupSource) -> &mut usize {
        match source {
            LookupSource::Zone(_) | LookupSource::Texts(_) => &mut self.lists,
            LookupSource::Network(_) | LookupSource::Message => &mut self.evaluations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::tests::{evaluation, listed};

    #[test]
    fn evaluations_have_a_bound_in_all_and_of_a_network_and_take_nothing_from_the_lists() {
        let mut budget = Budget::default();
        let one = evaluation(0, "a@example.com").source();
        for number in 0..MOST_OF_NETWORK {
            assert!(budget.has_room(&one), "{number}");
            budget.begin(one.clone());
        }
        let neighbour = evaluation(255, "b@example.org").source();
        assert!(!budget.has_room(&neighbour), "the same network");
        let mut client = 256;
        while budget.has_room(&evaluation(client, "a@example.com").source()) {
            budget.begin(evaluation(client, "a@example.com").source());
            client += 256;
        }
        assert_eq!(budget.evaluations, MOST_EVALUATIONS);
        for number in 0..MOST_OF_ZONE {
            let source = listed(0).source();
            assert!(budget.has_room(&source), "{number}");
            budget.begin(source);
        }
        assert!(!budget.has_room(&listed(0).source()));
        budget.end(&one);
        assert!(budget.has_room(&neighbour));
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let mut budget = Budget::default();
        for lookup in [listed(0), evaluation(0, "a@example.com")] {
            budget.begin(lookup.source());
            budget.end(&lookup.source());
        }
        assert_eq!(
            (budget.lists, budget.evaluations, budget.of_source.len()),
            (0, 0, 0)
        );
    }
}

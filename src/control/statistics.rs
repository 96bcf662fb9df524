//! Counters: since the start, and by the hour for more than a year.

use std::collections::BTreeMap;

use super::{Control, ControlError};
use crate::policy::{ListName, Reason, SpfResult, s25r};
use crate::service::Totals;
use crate::types::Timestamp;

/// The counters since the start or the last reset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Since when.
    pub since: Timestamp,
    /// How the requests ended.
    pub totals: Totals,
    /// By reason.
    pub reasons: Vec<(&'static str, u64)>,
    /// By rule of S25R.
    pub rules: Vec<(String, u64)>,
    /// By list.
    pub lists: Vec<(&'static str, u64)>,
    /// By DNS list and event, as `ZONE:EVENT`.
    pub dns_lists: Vec<(String, u64)>,
    /// Lookups, by result.
    pub lookups: Vec<(&'static str, u64)>,
    /// By SPF result.
    pub spf: Vec<(&'static str, u64)>,
    /// Messages, by what became of them at their end, and those that were not searched.
    pub messages: Vec<(&'static str, u64)>,
}

/// The counters of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hour {
    /// When it began.
    pub time: Timestamp,
    /// By name: `reason:…`, `s25r:…`, `list:…`, `dns:…`, `lookup:…`, `spf:…`, `message:…`, `strangers:…`, `came_back:…`, `delay:…`,
    /// `change:…`, `strangers`, `came_back`, and the names of [`Totals`].
    pub counters: BTreeMap<String, u64>,
}

impl Control {
    /// The counters since the start or the last reset.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (since, counts) = self.0.stats.since_zero();
        let rules = (0_u8..).take(s25r::RULES);
        Statistics {
            since,
            totals: counts.totals(),
            reasons: Reason::ALL
                .map(|reason| (reason.word(), counts.of(reason)))
                .to_vec(),
            rules: rules
                .map(|rule| (rule.to_string(), counts.of_rule(rule)))
                .collect(),
            lists: ListName::ALL
                .map(|list| (list.word(), counts.of_list(list)))
                .to_vec(),
            dns_lists: counts
                .of_dns_lists()
                .iter()
                .map(|(word, count)| (word.clone(), *count))
                .collect(),
            lookups: counts.of_lookups(),
            spf: SpfResult::ALL
                .map(|result| (result.word(), counts.of_spf(result)))
                .to_vec(),
            messages: counts.messages(),
        }
    }

    /// Sets these counters to zero. The history is not changed.
    pub fn reset_statistics(&self) {
        self.0.stats.reset(self.0.now());
    }

    /// The counters of the hours from that of `from` up to `to` in which there were decisions. The last seconds may be
    /// missing.
    ///
    /// # Errors
    ///
    /// [`ControlError::Store`] when they cannot be read.
    pub async fn history(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Hour>, ControlError> {
        let hours = self.read(move |reader| reader.history(from, to)).await?;
        let hours = hours.into_iter();
        Ok(hours
            .map(|(time, counters)| Hour { time, counters })
            .collect())
    }
}

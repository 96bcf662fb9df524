//! Counters of lookups.

use std::sync::atomic::{AtomicU64, Ordering};

/// An event that is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// A finding was in the cache.
    Cached,
    /// A lookup was sent.
    Sent,
    /// A lookup was not sent: too many are in progress, or the zone is silent.
    NotSent,
    /// A lookup had no answer.
    Unanswered,
}

/// Counters of lookups.
#[derive(Debug, Default)]
pub struct LookupCounts([AtomicU64; Self::WORDS.len()]);

impl LookupCounts {
    /// The names of the counters.
    pub const WORDS: [&'static str; 4] = ["cached", "sent", "not_sent", "unanswered"];

    pub(super) fn count(&self, event: Event) {
        if let Some(counter) = self.0.get(event as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters, in the order of their names.
    #[must_use]
    pub fn read(&self) -> [u64; Self::WORDS.len()] {
        self.0
            .each_ref()
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

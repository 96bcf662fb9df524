//! What rules of access lists remember from one request to the next: counts of rate limits, properties of messages.
//!
//! # Limits
//!
//! 65,536 keys of rate limits, 4,096 messages, and 256 keys of each milter session under way, in memory; nothing outlives the
//! process. When there is no more room, what is over makes room, and if nothing is, the oldest half; a session is not counted
//! for further keys. After a reload, a rate limit goes on unless its name, unit, time or key has changed; its number may.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::set_cache::Key;
use crate::policy::chain::{Chain, Effects, Properties, RateUnit, Subject};
use crate::policy::{Attempt, LocalTime, Ruleset};
use crate::types::sync::Mutex;
use crate::types::{Span, Timestamp};

/// Most keys of rate limits.
const MOST_KEYS: usize = 65_536;

/// Most keys for which one session is counted: with a key of its own for each recipient there is no end to them.
const MOST_OF_SESSION: usize = 256;

/// Most messages with properties.
const MOST_MESSAGES: usize = 4096;

/// For how long a message keeps its properties: longer than all requests for it take.
const MESSAGE_LIFETIME: Span = Span::from_seconds(600);

/// Parts of a period, each counted by itself, so that a count does not drop to zero at once.
const SLICES: usize = 16;

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct RuleState {
    hashing: RandomState,
    counts: Mutex<HashMap<u64, Count>>,
    messages: Mutex<HashMap<Key, (Timestamp, Properties)>>,
    /// Whether a property was ever set.
    has_properties: AtomicBool,
    /// The number of the last milter session.
    last_session: AtomicU64,
    /// The keys for which sessions under way have been counted, by their numbers.
    sessions: Mutex<HashMap<u64, Vec<u64>>>,
}

/// What has come for one key.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// The period of the limit.
    period: Span,
    /// The number of the slice that was counted last.
    slice: u64,
    slices: [u64; SLICES],
}

impl Count {
    const fn new(period: Span) -> Self {
        Self {
            period,
            slice: 0,
            slices: [0; SLICES],
        }
    }

    /// The number of the slice at this time.
    fn slice_at(&self, now: Timestamp) -> u64 {
        let parts = now.seconds().saturating_mul(SLICES as u64);
        parts.checked_div(self.period.seconds()).unwrap_or(0)
    }

    /// Drops what is older than the period. A clock that was set back goes on with the last slice.
    fn advance(&mut self, now: Timestamp) {
        let slice = self.slice_at(now).max(self.slice);
        let passed = slice.saturating_sub(self.slice).min(SLICES as u64);
        for n in 1..=passed {
            let over = self.slice.saturating_add(n) % SLICES as u64;
            let over = usize::try_from(over).unwrap_or(0);
            if let Some(count) = self.slices.get_mut(over) {
                *count = 0;
            }
        }
        self.slice = slice;
    }

    fn sum(&self) -> u64 {
        let slices = self.slices.iter();
        slices.fold(0, |sum, slice| sum.saturating_add(*slice))
    }

    fn add(&mut self, amount: u64) {
        let slice = usize::try_from(self.slice % SLICES as u64).unwrap_or(0);
        if let Some(count) = self.slices.get_mut(slice) {
            *count = count.saturating_add(amount);
        }
    }
}

impl RuleState {
    /// The hashes under which an attempt is counted, by the numbers of the rate limits.
    fn keys(&self, chain: &Chain, attempt: &Attempt<'_>) -> Vec<(u64, Span)> {
        let Some(subject) = Subject::new(attempt, LocalTime::default()) else {
            return Vec::new();
        };
        let values = subject.token_values();
        let limits = chain.rates().iter().map(|rate| {
            // Without its number: whoever raises or lowers it means what has come already.
            let limit = (&rate.name, rate.unit, rate.period);
            let key = (limit, values.bytes(&rate.key));
            (self.hashing.hash_one(key), rate.period)
        });
        limits.collect()
    }

    /// How many have been counted for each rate limit with the key of this attempt; the session of the attempt is not
    /// among them.
    pub(crate) fn counts(&self, chain: &Chain, attempt: &Attempt<'_>, now: Timestamp) -> Vec<u64> {
        let keys = self.keys(chain, attempt);
        let of_session = self.counted_sessions(attempt);
        let counts = self.counts.lock();
        let known = keys.into_iter().map(|(key, _)| {
            let count = counts.get(&key).copied();
            let sum = count.map_or(0, |mut count| {
                count.advance(now);
                count.sum()
            });
            sum.saturating_sub(u64::from(of_session.contains(&key)))
        });
        known.collect()
    }

    /// The keys for which the session of an attempt has been counted.
    fn counted_sessions(&self, attempt: &Attempt<'_>) -> Vec<u64> {
        let Some(session) = attempt.milter_session else {
            return Vec::new();
        };
        let sessions = self.sessions.lock();
        sessions.get(&session).cloned().unwrap_or_default()
    }

    /// Whether a session is to be counted for a key: once, and for so many keys only.
    fn begins(&self, attempt: &Attempt<'_>, key: u64) -> bool {
        let Some(session) = attempt.milter_session else {
            return false;
        };
        let mut sessions = self.sessions.lock();
        let counted = sessions.entry(session).or_default();
        let is_new = counted.len() < MOST_OF_SESSION && !counted.contains(&key);
        if is_new {
            counted.push(key);
        }
        is_new
    }

    /// The number of a milter session that begins.
    pub(super) fn begin_session(&self) -> u64 {
        let before = self.last_session.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }

    /// A milter session has ended.
    pub(super) fn end_session(&self, session: u64) {
        self.sessions.lock().remove(&session);
    }

    /// Applies what rules do besides deciding on an attempt.
    pub(super) fn apply(
        &self,
        rules: &Ruleset,
        (attempt, message): (&Attempt<'_>, Option<Key>),
        effects: Effects,
        now: Timestamp,
    ) {
        let chain = &rules.lists.chain;
        self.count(chain, attempt, &effects.counted, now);
        if let Some((message, properties)) = message.zip(effects.properties) {
            self.set_properties(message, properties, now);
        }
        let continued = effects.continued.iter();
        for entry in continued.filter_map(|rule| chain.entries().get(*rule)) {
            entry.hits.note(now);
        }
        for line in effects.lines {
            log::info!("{line}");
        }
    }

    /// Counts an attempt for rate limits: their numbers, and how many each counts.
    fn count(
        &self,
        chain: &Chain,
        attempt: &Attempt<'_>,
        numbers: &[(usize, u64)],
        now: Timestamp,
    ) {
        let keys = self.keys(chain, attempt);
        let counted = numbers.iter().filter_map(|(number, amount)| {
            let (rate, (key, period)) = chain.rates().get(*number).zip(keys.get(*number))?;
            let is_counted = rate.unit != RateUnit::Sessions || self.begins(attempt, *key);
            (is_counted && *amount > 0).then_some((key, period, *amount))
        });
        let counted: Vec<_> = counted.collect();
        let mut counts = self.counts.lock();
        for (key, period, amount) in counted {
            if counts.len() >= MOST_KEYS && !counts.contains_key(key) {
                make_room(&mut counts, now);
            }
            let count = counts.entry(*key).or_insert(Count::new(*period));
            count.advance(now);
            count.add(amount);
        }
    }

    /// Whether a message may have properties.
    pub(crate) fn has_properties(&self) -> bool {
        self.has_properties.load(Ordering::Relaxed)
    }

    /// The properties of a message.
    pub(crate) fn properties(&self, message: Key, now: Timestamp) -> Properties {
        let messages = self.messages.lock();
        let known = messages.get(&message);
        let known = known.filter(|(at, _)| now.since(*at) <= MESSAGE_LIFETIME);
        known
            .map(|(_, properties)| properties.clone())
            .unwrap_or_default()
    }

    /// Keeps the properties of a message.
    fn set_properties(&self, message: Key, properties: Properties, now: Timestamp) {
        let mut messages = self.messages.lock();
        if messages.len() >= MOST_MESSAGES && !messages.contains_key(&message) {
            messages.retain(|_, (at, _)| now.since(*at) <= MESSAGE_LIFETIME);
            if messages.len() >= MOST_MESSAGES {
                messages.clear();
            }
        }
        messages.insert(message, (now, properties));
        self.has_properties.store(true, Ordering::Relaxed);
    }
}

/// Removes the keys for which nothing counts any more; if there are none, half of all, those counted longest ago.
fn make_room(counts: &mut HashMap<u64, Count>, now: Timestamp) {
    counts.retain(|_, count| {
        count.advance(now);
        count.sum() > 0
    });
    if counts.len() < MOST_KEYS {
        return;
    }
    let age = |count: &Count| {
        let behind = count.slice_at(now).saturating_sub(count.slice);
        behind.saturating_mul(count.period.seconds())
    };
    let mut ages: Vec<u64> = counts.values().map(age).collect();
    let middle = ages.len() / 2;
    let (_, median, _) = ages.select_nth_unstable(middle);
    let median = *median;
    counts.retain(|_, count| age(count) < median);
    if counts.len() >= MOST_KEYS {
        counts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    #[test]
    fn what_came_a_period_ago_does_not_count_any_more() {
        let mut count = Count::new(Span::from_seconds(160));
        for (seconds, want) in [
            (0, 1),
            (1, 2),
            (80, 3),
            (159, 4),
            (161, 3),
            (400, 1),
            (399, 2),
        ] {
            count.advance(at(seconds));
            count.add(1);
            assert_eq!(count.sum(), want, "{seconds}");
        }
    }

    #[test]
    fn a_full_table_makes_room_and_keeps_what_counts_now() {
        let mut counts = HashMap::new();
        for n in 0..MOST_KEYS as u64 {
            let mut count = Count::new(Span::from_seconds(160));
            count.advance(at(n / 4096));
            count.add(1);
            counts.insert(n, count);
        }
        make_room(&mut counts, at(16));
        assert!(counts.len() < MOST_KEYS);
        make_room(&mut counts, at(1000));
        assert!(counts.is_empty(), "all are over");
    }

    #[test]
    fn properties_are_those_of_the_message() {
        let state = RuleState::default();
        let mut properties = Properties::default();
        properties.set("x", "1");
        state.set_properties(Key::new(1), properties.clone(), at(0));
        assert_eq!(state.properties(Key::new(1), at(600)), properties);
        assert_eq!(
            state.properties(Key::new(1), at(601)),
            Properties::default()
        );
        assert_eq!(state.properties(Key::new(2), at(0)), Properties::default());
        for n in 2..2 * MOST_MESSAGES as u64 {
            state.set_properties(Key::new(n), properties.clone(), at(0));
        }
        assert!(state.messages.lock().len() <= MOST_MESSAGES);
    }
}

//! The auto-whitelist: clients that have shown that they retry are not made to wait any more.
//!
//! Each first pass of a triplet counts one for its client, at most one an hour (Postgrey 1.37) or within
//! `auto_whitelist_delay` (taRgrey): a client that gets many mails through at once has shown it once. So does
//! each tarpit that the client survives, and under taRgrey DATA of a message whose triplet had passed before. From
//! [`Params::auto_whitelist`](super::Params) on it passes at once, and its record lives on from mail to mail; it
//! is forgotten when it was not seen for `max_age`.

use super::params::Params;
use crate::types::Timestamp;

/// What is known about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// How many passes were counted.
    pub count: u32,
    /// When the last one was counted.
    pub last: Timestamp,
}

impl Client {
    /// Whether the record's time is over and it counts as none.
    #[must_use]
    pub fn is_expired(self, now: Timestamp, params: &Params) -> bool {
        now.since(self.last) > params.max_age
    }

    /// Whether a client with this record passes at once.
    #[must_use]
    pub const fn is_whitelisted(self, threshold: u32) -> bool {
        self.count >= threshold
    }

    /// The record after a mail of a whitelisted client; `None` when it stays as it is. `last` is never set back:
    /// while the clock is behind it, the record stays as it is.
    #[must_use]
    pub fn seen(self, now: Timestamp, params: &Params) -> Option<Self> {
        self.may_count(now, params).then(|| self.counted(now))
    }

    /// What two versions of one record say together. No sum, for both may have counted the same pass.
    /// Commutative, associative and idempotent.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            count: self.count.max(other.count),
            last: self.last.max(other.last),
        }
    }

    fn may_count(self, now: Timestamp, params: &Params) -> bool {
        now >= self.last.after(params.auto_whitelist_delay)
    }

    fn counted(self, now: Timestamp) -> Self {
        Self {
            count: self.count.saturating_add(1),
            last: self.last.max(now),
        }
    }
}

/// The record after a first pass or a survived tarpit; `None` when this one does not count.
#[must_use]
pub(super) fn count(record: Option<Client>, now: Timestamp, params: &Params) -> Option<Client> {
    match record {
        None => Some(Client {
            count: 1,
            last: now,
        }),
        Some(client) => client.may_count(now, params).then(|| client.counted(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Span;

    #[test]
    fn passes_count_once_an_hour() {
        let at = Timestamp::from_seconds;
        let one = Client {
            count: 1,
            last: at(10_000),
        };
        let cases = [
            ("first", None, 10_000, Some(1)),
            ("within the hour", Some(one), 13_599, None),
            ("after the hour", Some(one), 13_600, Some(2)),
            ("before the last one", Some(one), 9_000, None),
        ];
        for (name, record, now, want) in cases {
            let next = count(record, at(now), &Params::default());
            assert_eq!(next.map(|client| client.count), want, "{name}");
            assert!(next.is_none_or(|client| client.last == at(now)), "{name}");
        }
    }

    #[test]
    fn a_whitelisted_client_is_noted_once_an_hour_and_never_set_back() {
        let client = Client {
            count: 7,
            last: Timestamp::from_seconds(10_000),
        };
        let at = |count, last| {
            let last = Timestamp::from_seconds(last);
            Some(Client { count, last })
        };
        for (now, auto_whitelist_delay, want) in [
            (10_001, 3600, None),
            (13_600, 3600, at(8, 13_600)),
            (9_999, 3600, None),
            (10_000, 0, at(8, 10_000)),
        ] {
            let params = Params {
                auto_whitelist_delay: Span::from_seconds(auto_whitelist_delay),
                ..Params::default()
            };
            assert_eq!(
                client.seen(Timestamp::from_seconds(now), &params),
                want,
                "{now}"
            );
        }
    }
}

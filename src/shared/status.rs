//! What administrators see of the sharing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Inner, Shared};
use crate::types::Span;

/// Time without a sign of a host after which it is away.
pub(super) const AWAY: Span = Span::from_seconds(180);

/// What the hosts have to do with each other, for administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Why records are not shared, or not published.
    pub failure: Option<String>,
    /// Keys that wait to be published.
    pub queued: usize,
    /// Keys that there was no room for, since the start.
    pub dropped: u64,
    /// The mean duration of the last requests to the server.
    pub latency: Duration,
    /// By how much the clock differs from the server's.
    pub apart: Span,
    /// How often the records of the other hosts were asked for, since the start.
    pub asked: u64,
    /// How often they were there in time.
    pub answered: u64,
    /// Records published since the start.
    pub published: u64,
    /// The other hosts, and whether they keep up.
    pub hosts: Vec<(String, HostState)>,
    /// Records that have become better by those of other hosts while they were published.
    pub learned: u64,
    /// Acts of administrators here that there was no room for while the server was away, since the start: other hosts do not
    /// carry them out.
    pub acts_lost: u64,
    /// Acts of administrators at other hosts that this version cannot read, since the start.
    pub acts_skipped: u64,
}

/// Whether another host of the site keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// It does.
    Ok,
    /// It has not carried out all acts of administrators yet.
    Behind,
    /// It has not been there for some minutes.
    Away,
}

impl Shared {
    /// What administrators see.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.0;
        Status {
            failure: shared.link.failure(),
            queued: {
                let in_flight = shared.in_flight.load(Ordering::Relaxed);
                shared.queue.len().saturating_add(in_flight)
            },
            dropped: shared.queue.dropped(),
            latency: shared.link.latency(),
            apart: Span::from_seconds(shared.apart.load(Ordering::Relaxed)),
            asked: shared.asked.load(Ordering::Relaxed),
            answered: shared.answered.load(Ordering::Relaxed),
            published: shared.published.load(Ordering::Relaxed),
            hosts: shared.host_states(),
            learned: shared.learned.load(Ordering::Relaxed),
            acts_lost: shared.acts_lost.load(Ordering::Relaxed),
            acts_skipped: shared.acts_skipped.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    /// The other hosts.
    fn host_states(&self) -> Vec<(String, HostState)> {
        let head = *self.head.lock();
        let hosts = self.hosts.read();
        let latest = hosts
            .values()
            .map(|known| known.seen)
            .max()
            .unwrap_or_default();
        let others = hosts.values().filter(|known| known.host != self.me);
        let mut states: Vec<(String, HostState)> = others
            .map(|known| {
                let state = if latest.since(known.seen) > AWAY {
                    HostState::Away
                } else if known.done != head {
                    HostState::Behind
                } else {
                    HostState::Ok
                };
                (known.name.clone(), state)
            })
            .collect();
        states.sort_by(|one, other| one.0.cmp(&other.0));
        states
    }
}

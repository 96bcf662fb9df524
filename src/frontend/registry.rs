//! The open connections: which are idle, which have been too slow, which has to go when there are too many.
//!
//! # Limits
//!
//! A request that was begun must be whole within [`HALF_REQUEST_SECONDS`]. A connection on which nothing
//! happens is closed after [`IDLE_SECONDS`], which is longer than Postfix keeps one. When as many are open
//! as there can be, the one that has been idle the longest is closed for the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Seconds within which a request must be whole. Postfix sends one in a single write.
pub const HALF_REQUEST_SECONDS: u64 = 60;

/// Seconds after which an idle connection is closed. Postfix closes its own after 300
/// (`smtpd_policy_service_max_idle`), and any after 1000 (`…_max_ttl`).
pub const IDLE_SECONDS: u64 = 3600;

/// One line in so many is logged of connections that have to go.
const EVERY: u64 = 100;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Doing {
    /// Nothing.
    Idle = 0,
    /// It has sent a part of a request.
    Sending = 1,
    /// It waits for an answer, or takes it.
    Asking = 2,
}

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Ending {
    /// Half a request for too long.
    HalfRequest = 1,
    /// Idle for too long.
    Idle = 2,
    /// Room is needed.
    Crowded = 3,
}

/// All open connections.
#[derive(Debug)]
pub struct Registry {
    table: Mutex<Table>,
    limit: usize,
    evicted: AtomicU64,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Table {
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
}

/// One connection, as the registry sees it.
#[derive(Debug)]
pub(super) struct Connection {
    doing: AtomicU8,
    /// Milliseconds from the registry's epoch to the moment it began to do what it does.
    since: AtomicU64,
    ending: AtomicU8,
    end: Notify,
}

/// A connection's place in the registry, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    registry: Arc<Registry>,
    id: u64,
    connection: Arc<Connection>,
}

impl Registry {
    /// A registry for at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            limit: limit.max(1),
            evicted: AtomicU64::new(0),
            epoch: Instant::now(),
        })
    }

    /// Takes a connection in; if that makes too many, another one is told to go: see [`Self::evict`].
    pub(super) fn admit(self: &Arc<Self>) -> Place {
        let connection = Arc::new(Connection {
            doing: AtomicU8::new(Doing::Idle as u8),
            since: AtomicU64::new(self.millis()),
            ending: AtomicU8::new(0),
            end: Notify::new(),
        });
        let mut table = self.table();
        if table.connections.len() >= self.limit {
            self.report(table.evict());
        }
        let id = table.next;
        table.next = table.next.wrapping_add(1);
        table.connections.insert(id, Arc::clone(&connection));
        Place {
            registry: Arc::clone(self),
            id,
            connection,
        }
    }

    /// Tells the longest-idle connection to go, or one that has sent half a request.
    pub(super) fn evict(&self) {
        let was_one = self.table().evict();
        self.report(was_one);
    }

    /// One line for the first connection that had to go, and for every hundredth after it.
    fn report(&self, was_one: bool) {
        if was_one
            && self
                .evicted
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(EVERY)
        {
            log::warn!(
                "too many connections (limit {}): closing those idle longest",
                self.limit
            );
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().connections.len()
    }

    /// Whether no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells those to go that have taken too long; for every few seconds.
    pub fn look_over(&self) {
        let now = self.millis();
        for connection in self.table().connections.values() {
            let spent = now.saturating_sub(connection.since.load(Ordering::Relaxed));
            let limit = |seconds: u64| seconds.saturating_mul(1000);
            match connection.doing() {
                Doing::Sending if spent >= limit(HALF_REQUEST_SECONDS) => {
                    connection.tell(Ending::HalfRequest);
                }
                Doing::Idle if spent >= limit(IDLE_SECONDS) => connection.tell(Ending::Idle),
                Doing::Sending | Doing::Idle | Doing::Asking => {}
            }
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Tells the longest-idle connection to go; where none is idle, the one that has sent half a request the longest.
    fn evict(&self) -> bool {
        let others = self.connections.values().filter(|connection| {
            connection.doing() != Doing::Asking && connection.ending.load(Ordering::Relaxed) == 0
        });
        let oldest = others.min_by_key(|connection| {
            let since = connection.since.load(Ordering::Relaxed);
            (connection.doing() != Doing::Idle, since)
        });
        oldest.is_some_and(|connection| {
            connection.tell(Ending::Crowded);
            true
        })
    }
}

impl Connection {
    fn doing(&self) -> Doing {
        match self.doing.load(Ordering::Relaxed) {
            0 => Doing::Idle,
            1 => Doing::Sending,
            _ => Doing::Asking,
        }
    }

    fn tell(&self, ending: Ending) {
        self.ending.store(ending as u8, Ordering::Relaxed);
        self.end.notify_one();
    }
}

impl Place {
    /// Says what the connection does from now on.
    pub(super) fn set(&self, doing: Doing) {
        if self.connection.doing() != doing || doing == Doing::Idle {
            // Nobody asks how long an answer takes.
            if doing != Doing::Asking {
                let now = self.registry.millis();
                self.connection.since.store(now, Ordering::Relaxed);
            }
            self.connection.doing.store(doing as u8, Ordering::Relaxed);
        }
    }

    /// Waits until the connection has to end, and why.
    pub(super) async fn told_to_end(&self) -> Ending {
        self.connection.end.notified().await;
        match self.connection.ending.load(Ordering::Relaxed) {
            1 => Ending::HalfRequest,
            2 => Ending::Idle,
            _ => Ending::Crowded,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.table().connections.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn ending(place: &Place) -> Option<Ending> {
        tokio::select! {
            biased;
            ending = place.told_to_end() => Some(ending),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_goes_when_there_are_too_many() {
        let registry = Registry::new(3);
        let second = Duration::from_secs(1);
        let busy = registry.admit();
        busy.set(Doing::Asking);
        tokio::time::advance(second).await;
        let old = registry.admit();
        tokio::time::advance(second).await;
        let young = registry.admit();
        tokio::time::advance(second).await;
        let next = registry.admit();
        assert_eq!(ending(&old).await, Some(Ending::Crowded));
        for place in [&busy, &young, &next] {
            assert_eq!(ending(place).await, None);
        }
        drop(old);
        assert_eq!(registry.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_goes_when_there_are_too_many_and_none_is_idle() {
        let registry = Registry::new(3);
        let mut places = Vec::new();
        for doing in [Doing::Sending, Doing::Asking, Doing::Sending] {
            let place = registry.admit();
            place.set(doing);
            places.push(place);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for want in [[true, false, false], [false, false, true], [false; 3]] {
            drop(registry.admit());
            for (place, want) in places.iter().zip(want) {
                assert_eq!(ending(place).await, want.then_some(Ending::Crowded));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_and_idleness_have_their_limits() {
        let registry = Registry::new(10);
        let half = registry.admit();
        half.set(Doing::Sending);
        let idle = registry.admit();
        let asking = registry.admit();
        asking.set(Doing::Asking);
        let rows = [
            (HALF_REQUEST_SECONDS - 1, None, None),
            (1, Some(Ending::HalfRequest), None),
            (IDLE_SECONDS - HALF_REQUEST_SECONDS - 1, None, None),
            (1, None, Some(Ending::Idle)),
        ];
        for (seconds, want_half, want_idle) in rows {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            if half.connection.ending.load(Ordering::Relaxed) != 0 {
                half.set(Doing::Asking);
            }
            registry.look_over();
            assert_eq!(ending(&half).await, want_half, "{seconds}");
            assert_eq!(ending(&idle).await, want_idle, "{seconds}");
            assert_eq!(ending(&asking).await, None, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_bytes_of_a_half_request_win_no_time() {
        let registry = Registry::new(10);
        let place = registry.admit();
        for _ in 0..HALF_REQUEST_SECONDS {
            place.set(Doing::Sending);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        registry.look_over();
        assert_eq!(ending(&place).await, Some(Ending::HalfRequest));
    }
}

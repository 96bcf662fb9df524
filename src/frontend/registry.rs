//! The open connections. Closes idle and slow ones, and makes room at the limit.
//!
//! # Limits
//!
//! A request must be complete within [`PARTIAL_REQUEST_SECONDS`] of its first byte. An idle connection is closed after
//! [`IDLE_SECONDS`], which is longer than Postfix keeps one. At the limit of connections, the next one closes the
//! longest idle one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::types::sync::{Mutex, MutexGuard};

/// Seconds within which a request must be complete. Postfix sends one in a single write.
pub const PARTIAL_REQUEST_SECONDS: u64 = 60;

/// Seconds after which an idle connection is closed. Postfix closes its own after 300
/// (`smtpd_policy_service_max_idle`), and any after 1000 (`…_max_ttl`).
pub const IDLE_SECONDS: u64 = 3600;

/// Of connections closed to make room, one in this many is logged.
const LOG_EVERY: u64 = 100;

/// What a connection is activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Activity {
    /// Nothing.
    Idle = 0,
    /// It has sent part of a request.
    PartialRequest = 1,
    /// A request is being decided, or its reply sent.
    Answering = 2,
}

/// Why the registry closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum CloseReason {
    /// Part of a request for too long.
    PartialRequest = 1,
    /// Idle for too long.
    Idle = 2,
    /// Too many connections.
    OverLimit = 3,
}

/// All open connections.
#[derive(Debug)]
pub struct Registry {
    table: Mutex<ConnectionTable>,
    limit: usize,
    evicted: AtomicU64,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
}

/// One connection, as the registry sees it.
#[derive(Debug)]
pub(super) struct Connection {
    activity: AtomicU8,
    /// When the current activity began, in milliseconds since the registry's epoch.
    since: AtomicU64,
    close_reason: AtomicU8,
    close: Notify,
}

/// A connection's registration; dropping it removes the connection.
#[derive(Debug)]
pub(super) struct Registration {
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

    /// Registers a connection. At the limit it closes another one: see [`Self::evict`].
    pub(super) fn admit(self: &Arc<Self>) -> Registration {
        let connection = Arc::new(Connection {
            activity: AtomicU8::new(Activity::Idle as u8),
            since: AtomicU64::new(self.millis()),
            close_reason: AtomicU8::new(0),
            close: Notify::new(),
        });
        let mut table = self.table();
        if table.connections.len() >= self.limit {
            self.report(table.evict());
        }
        let id = table.next;
        table.next = table.next.wrapping_add(1);
        table.connections.insert(id, Arc::clone(&connection));
        Registration {
            registry: Arc::clone(self),
            id,
            connection,
        }
    }

    /// Closes the longest idle connection, or one with a partial request.
    pub(super) fn evict(&self) {
        let was_one = self.table().evict();
        self.report(was_one);
    }

    /// Logs the first connection closed to make room, and every hundredth after it.
    fn report(&self, was_one: bool) {
        if was_one
            && self
                .evicted
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(LOG_EVERY)
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

    /// Closes connections that have exceeded their time. To be called every few seconds.
    pub fn close_expired(&self) {
        let now = self.millis();
        for connection in self.table().connections.values() {
            let spent = now.saturating_sub(connection.since.load(Ordering::Relaxed));
            let limit = |seconds: u64| seconds.saturating_mul(1000);
            match connection.activity() {
                Activity::PartialRequest if spent >= limit(PARTIAL_REQUEST_SECONDS) => {
                    connection.request_close(CloseReason::PartialRequest);
                }
                Activity::Idle if spent >= limit(IDLE_SECONDS) => {
                    connection.request_close(CloseReason::Idle);
                }
                Activity::PartialRequest | Activity::Idle | Activity::Answering => {}
            }
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn table(&self) -> MutexGuard<'_, ConnectionTable> {
        self.table.lock()
    }
}

impl ConnectionTable {
    /// Closes the longest idle connection. If none is idle, closes the one with the oldest partial request. Returns
    /// whether there was one.
    fn evict(&self) -> bool {
        let others = self.connections.values().filter(|connection| {
            connection.activity() != Activity::Answering
                && connection.close_reason.load(Ordering::Relaxed) == 0
        });
        let oldest = others.min_by_key(|connection| {
            let since = connection.since.load(Ordering::Relaxed);
            (connection.activity() != Activity::Idle, since)
        });
        oldest.is_some_and(|connection| {
            connection.request_close(CloseReason::OverLimit);
            true
        })
    }
}

impl Connection {
    fn activity(&self) -> Activity {
        match self.activity.load(Ordering::Relaxed) {
            0 => Activity::Idle,
            1 => Activity::PartialRequest,
            _ => Activity::Answering,
        }
    }

    fn request_close(&self, close_reason: CloseReason) {
        self.close_reason
            .store(close_reason as u8, Ordering::Relaxed);
        self.close.notify_one();
    }
}

impl Registration {
    /// Records what the connection does from now on.
    pub(super) fn set(&self, activity: Activity) {
        if self.connection.activity() != activity || activity == Activity::Idle {
            // The time that a reply takes has no limit here.
            if activity != Activity::Answering {
                let now = self.registry.millis();
                self.connection.since.store(now, Ordering::Relaxed);
            }
            self.connection
                .activity
                .store(activity as u8, Ordering::Relaxed);
        }
    }

    /// Waits until the registry closes the connection; returns why.
    pub(super) async fn close_requested(&self) -> CloseReason {
        self.connection.close.notified().await;
        match self.connection.close_reason.load(Ordering::Relaxed) {
            1 => CloseReason::PartialRequest,
            2 => CloseReason::Idle,
            _ => CloseReason::OverLimit,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.table().connections.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn close_reason(registration: &Registration) -> Option<CloseReason> {
        tokio::select! {
            biased;
            close_reason = registration.close_requested() => Some(close_reason),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_goes_when_there_are_too_many() {
        let registry = Registry::new(3);
        let second = Duration::from_secs(1);
        let busy = registry.admit();
        busy.set(Activity::Answering);
        tokio::time::advance(second).await;
        let old = registry.admit();
        tokio::time::advance(second).await;
        let young = registry.admit();
        tokio::time::advance(second).await;
        let next = registry.admit();
        assert_eq!(close_reason(&old).await, Some(CloseReason::OverLimit));
        for registration in [&busy, &young, &next] {
            assert_eq!(close_reason(registration).await, None);
        }
        drop(old);
        assert_eq!(registry.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_goes_when_there_are_too_many_and_none_is_idle() {
        let registry = Registry::new(3);
        let mut registrations = Vec::new();
        for activity in [
            Activity::PartialRequest,
            Activity::Answering,
            Activity::PartialRequest,
        ] {
            let registration = registry.admit();
            registration.set(activity);
            registrations.push(registration);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for want in [[true, false, false], [false, false, true], [false; 3]] {
            drop(registry.admit());
            for (registration, want) in registrations.iter().zip(want) {
                assert_eq!(
                    close_reason(registration).await,
                    want.then_some(CloseReason::OverLimit)
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_and_idleness_have_their_limits() {
        let registry = Registry::new(10);
        let half = registry.admit();
        half.set(Activity::PartialRequest);
        let idle = registry.admit();
        let asking = registry.admit();
        asking.set(Activity::Answering);
        let rows = [
            (PARTIAL_REQUEST_SECONDS - 1, None, None),
            (1, Some(CloseReason::PartialRequest), None),
            (IDLE_SECONDS - PARTIAL_REQUEST_SECONDS - 1, None, None),
            (1, None, Some(CloseReason::Idle)),
        ];
        for (seconds, want_half, want_idle) in rows {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            if half.connection.close_reason.load(Ordering::Relaxed) != 0 {
                half.set(Activity::Answering);
            }
            registry.close_expired();
            assert_eq!(close_reason(&half).await, want_half, "{seconds}");
            assert_eq!(close_reason(&idle).await, want_idle, "{seconds}");
            assert_eq!(close_reason(&asking).await, None, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_bytes_of_a_half_request_win_no_time() {
        let registry = Registry::new(10);
        let registration = registry.admit();
        for _ in 0..PARTIAL_REQUEST_SECONDS {
            registration.set(Activity::PartialRequest);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        registry.close_expired();
        assert_eq!(
            close_reason(&registration).await,
            Some(CloseReason::PartialRequest)
        );
    }
}

//! The link to the server: the connection while it works, and why there is none.
//!
//! It is also the circuit breaker. After [`MOST_STRIKES`] requests without a reply, or one error, the connection is
//! dropped, and no request is sent until the background task has a new one that works. So a mail waits at most
//! [`DEADLINE`] once for a server that hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use super::seal::Name;
use super::server::{Connection, ServerError};
use crate::types::sync::{Mutex, RwLock};

/// How long a request waits for the records of other hosts.
pub const DEADLINE: Duration = Duration::from_millis(300);

/// How many requests may wait for the records of other hosts at the same time.
pub const MOST_ASKED: usize = 1000;

/// Consecutive requests without a reply after which the connection is dropped.
const MOST_STRIKES: u32 = 2;

pub(super) struct Link {
    address: String,
    connection: RwLock<Option<Arc<dyn Connection>>>,
    strikes: AtomicU32,
    slots: Semaphore,
    failure: Mutex<Option<String>>,
    /// Notified when the connection is dropped.
    pub(super) lost: Notify,
    /// The mean of the last requests, in microseconds.
    latency: AtomicU64,
}

impl Link {
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            connection: RwLock::default(),
            strikes: AtomicU32::new(0),
            slots: Semaphore::new(MOST_ASKED),
            failure: Mutex::new(Some("connecting".to_owned())),
            lost: Notify::new(),
            latency: AtomicU64::new(0),
        }
    }

    /// The connection, while it works.
    pub(super) fn connection(&self) -> Option<Arc<dyn Connection>> {
        self.connection.read().clone()
    }

    /// The values of these keys; `None` if the server is not available, or too slow.
    pub(super) async fn ask(&self, names: Vec<Name>) -> Option<Vec<Option<Vec<u8>>>> {
        let connection = self.connection()?;
        let _slot = self.slots.try_acquire().ok()?;
        let begun = Instant::now();
        match timeout(DEADLINE, connection.get(names)).await {
            Ok(Ok(values)) => {
                self.strikes.store(0, Ordering::Relaxed);
                self.note_latency(begun.elapsed());
                Some(values)
            }
            Ok(Err(error)) => {
                self.failed(&connection, &error);
                None
            }
            Err(_) => {
                self.failed(&connection, &ServerError::Slow(DEADLINE));
                None
            }
        }
    }

    /// Notes an error of this connection, and drops it unless reading may go on.
    pub(super) fn failed(&self, connection: &Arc<dyn Connection>, error: &ServerError) {
        if let ServerError::Slow(_) = error {
            let strikes = self.strikes.fetch_add(1, Ordering::Relaxed);
            if strikes.saturating_add(1) < MOST_STRIKES {
                return;
            }
        }
        if !error.is_of_writes() {
            let mut current = self.connection.write();
            // One that was replaced meanwhile says nothing about the new one.
            let is_current = |current: &Arc<dyn Connection>| Arc::ptr_eq(current, connection);
            if !current.as_ref().is_some_and(is_current) {
                return;
            }
            *current = None;
            self.lost.notify_one();
        }
        self.unavailable(&error.to_string());
    }

    /// Notes why records cannot be shared; one line is logged when that begins or changes.
    pub(super) fn unavailable(&self, why: &str) {
        let mut failure = self.failure.lock();
        if failure.as_deref() != Some(why) {
            let address = &self.address;
            log::warn!(
                "records are not shared with the other hosts: {address}: {why}; this host decides by its own records"
            );
            *failure = Some(why.to_owned());
        }
    }

    /// Sets a connection that works.
    pub(super) fn connected(&self, connection: Arc<dyn Connection>) {
        *self.connection.write() = Some(connection);
        self.strikes.store(0, Ordering::Relaxed);
    }

    /// Notes that all works; one line is logged if it did not.
    pub(super) fn works(&self) {
        if self.failure.lock().take().is_some() {
            log::info!(
                "records are shared with the other hosts by {}",
                self.address
            );
        }
    }

    /// Drops the connection.
    pub(super) fn disconnect(&self) {
        *self.connection.write() = None;
    }

    /// Why records are not shared, or only received.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// The mean duration of the last requests.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    fn note_latency(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let before = self.latency.load(Ordering::Relaxed);
        let mean = if before == 0 {
            took
        } else {
            before.saturating_mul(7).saturating_add(took).div_euclid(8)
        };
        self.latency.store(mean, Ordering::Relaxed);
    }
}

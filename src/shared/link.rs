//! The link to the server: the connection while it works, and why there is none.
//!
//! It is also the circuit breaker. After two requests without a reply, or one error, the connection is dropped, and no request
//! is sent until the background task has a new one that works. So a mail waits at most [`DEADLINE`] once for a server that
//! hangs. After four replies that were [`SLOW`] in a row, the server is not asked for [`REST`], so that few mails wait for one
//! that is slow; what is published goes on.

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

/// Time after which a reply is slow.
const SLOW: Duration = Duration::from_millis(200);

/// How long a server is not asked whose replies are slow.
const REST: Duration = Duration::from_secs(60);

/// Strikes after which the connection is dropped. No reply is two, and one that is not slow takes one away.
const MOST_STRIKES: u32 = 4;

/// Slow replies in a row after which the server is not asked for a while.
const MOST_SLOW: u32 = 4;

pub(super) struct Link {
    address: String,
    connection: RwLock<Option<Arc<dyn Connection>>>,
    strikes: AtomicU32,
    /// The slow replies since the last one that was not.
    slow: AtomicU32,
    /// When it was found slow; it is not asked for [`REST`] from then on.
    rests_since: Mutex<Option<Instant>>,
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
            slow: AtomicU32::new(0),
            rests_since: Mutex::default(),
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
        let rests_since = *self.rests_since.lock();
        if rests_since.is_some_and(|since| since.elapsed() < REST) {
            return None;
        }
        let _slot = self.slots.try_acquire().ok()?;
        let begun = Instant::now();
        match timeout(DEADLINE, connection.get(names)).await {
            Ok(Ok(values)) => {
                self.note_reply(begun.elapsed());
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

    /// Notes how long a reply took. One line is logged when replies become slow, and none until one was quick again.
    fn note_reply(&self, took: Duration) {
        self.note_latency(took);
        if took <= SLOW {
            self.slow.store(0, Ordering::Relaxed);
            let less = |strikes: u32| strikes.checked_sub(1);
            // Without strikes there is none to take.
            (self.strikes)
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .ok();
            return;
        }
        let slow = self.slow.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if slow.is_multiple_of(MOST_SLOW) {
            *self.rests_since.lock() = Some(Instant::now());
        }
        if slow == MOST_SLOW {
            log::warn!(
                "replies of {} take more than {} ms; after {MOST_SLOW} of them no mail waits for another one for {} s",
                self.address,
                SLOW.as_millis(),
                REST.as_secs(),
            );
        }
    }

    /// Notes an error of this connection, and drops it unless reading may go on.
    pub(super) fn failed(&self, connection: &Arc<dyn Connection>, error: &ServerError) {
        if let ServerError::Slow(_) = error {
            let strikes = self.strikes.fetch_add(2, Ordering::Relaxed);
            if strikes.saturating_add(2) < MOST_STRIKES {
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

    /// Why records are not shared, or only received or sent.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.failure.lock().clone();
        failure.or_else(|| {
            self.is_slow().then(|| {
                format!(
                    "replies take more than {} ms, so mail does not wait for them; records are still sent",
                    SLOW.as_millis()
                )
            })
        })
    }

    /// Whether the server is not asked because its replies are slow, or was not until a short time ago and no reply has been
    /// quick since.
    fn is_slow(&self) -> bool {
        let rests_since = *self.rests_since.lock();
        let is_recent = rests_since.is_some_and(|since| since.elapsed() < REST.saturating_mul(2));
        is_recent && self.slow.load(Ordering::Relaxed) >= MOST_SLOW
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::server::{Pending, Write, Written};
    use super::*;
    use crate::types::Timestamp;

    /// A server that replies after this many milliseconds.
    struct Slow(AtomicU64);

    impl Connection for Slow {
        fn get(&self, _: Vec<Name>) -> Pending<Vec<Option<Vec<u8>>>> {
            let takes = Duration::from_millis(self.0.load(Ordering::Relaxed));
            Box::pin(async move {
                tokio::time::sleep(takes).await;
                Ok(Vec::new())
            })
        }

        fn write(&self, _: Vec<Write>) -> Pending<Vec<Written>> {
            Box::pin(async { Err(ServerError::ReadOnly) })
        }

        fn time(&self) -> Pending<Timestamp> {
            Box::pin(async { Err(ServerError::ReadOnly) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_slow_with_each_reply_is_not_asked_for_long() {
        // How long the replies take, in milliseconds; how many of thirty requests are sent; whether the connection is kept.
        let cases: [(&str, &[u64], u32, bool); 6] = [
            ("quick", &[90], 30, true),
            ("far away", &[190], 30, true),
            ("slow", &[290], 4, true),
            ("slow now and then", &[290, 90], 30, true),
            ("silent", &[400], 2, false),
            ("silent now and then", &[400, 90], 5, false),
        ];
        for (what, takes, want, is_kept) in cases {
            let link = Link::new("double".to_owned());
            let server = Arc::new(Slow(AtomicU64::new(0)));
            link.connected(Arc::clone(&server) as Arc<dyn Connection>);
            link.works();
            let mut asked = 0;
            for takes in takes.iter().cycle().take(30) {
                server.0.store(*takes, Ordering::Relaxed);
                let begun = Instant::now();
                let known = link.ask(Vec::new()).await;
                let waited = begun.elapsed();
                assert_eq!(known.is_some(), !waited.is_zero() && *takes < 300, "{what}");
                asked += u32::from(!waited.is_zero());
            }
            assert_eq!(
                (asked, link.connection().is_some()),
                (want, is_kept),
                "{what}"
            );
            let is_called_slow = |link: &Link| {
                let failure = link.failure();
                failure.is_some_and(|why| why.contains("more than 200 ms"))
            };
            assert_eq!(is_called_slow(&link), what == "slow", "{what}");
            tokio::time::advance(REST).await;
            assert_eq!(is_called_slow(&link), what == "slow", "{what}");
            server.0.store(90, Ordering::Relaxed);
            assert_eq!(link.ask(Vec::new()).await.is_some(), is_kept, "{what}");
            assert_eq!(link.failure().is_some(), !is_kept, "{what}");
        }
    }
}

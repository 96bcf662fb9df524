//! What all parts of the background task use.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::local::{Administration, Local};
use super::server::{Pending, Server, ServerError};
use super::{Inner, Shared};
use crate::types::Span;

/// How long the background task waits for a reply, and for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two rounds while nothing is to be published.
pub(super) const IDLE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

/// How long what the server has acknowledged may still be lost, because its replica takes over: an act is kept for that
/// long, and records that were sent in that time are sent again.
pub(super) const KEPT: Span = Span::from_seconds(90);

/// By how much a change may be older, by its clock, than the moment at which it is published.
pub(super) const MARGIN: Span = Span::from_seconds(30);

/// Waits for a reply.
pub(super) async fn within<T>(reply: Pending<T>) -> Result<T, ServerError> {
    match timeout(PATIENCE, reply).await {
        Ok(reply) => reply,
        Err(_) => Err(ServerError::Slow(PATIENCE)),
    }
}

/// The task.
pub(super) struct Work {
    pub(super) shared: Arc<Inner>,
    pub(super) server: Box<dyn Server>,
    pub(super) local: Arc<dyn Local>,
    pub(super) administration: Arc<dyn Administration>,
}

impl Shared {
    /// Has all records published that were seen since the time that the database has noted.
    pub fn send_all(&self) {
        self.0.restart_pass();
        self.0.queue.wake.notify_one();
    }

    /// Begins anew with what the database has now, which was replaced by a backup.
    pub fn restart(&self) {
        self.0.restarts.fetch_add(1, Ordering::Relaxed);
        self.0.carried_out.lock().clear();
        self.0.restart_pass();
        self.0.link.disconnect();
        self.0.link.lost.notify_one();
    }

    /// How often the database was replaced by a backup.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.0.restarts()
    }

    /// Has the files that a connection needs read again before the next one.
    pub fn reload(&self) {
        self.0.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// How often they were to be read again.
    #[must_use]
    pub fn reloads(&self) -> u64 {
        self.0.reloads.load(Ordering::Relaxed)
    }
}

//! What all parts of the background task use.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Inner;
use super::local::{Administration, Local};
use super::server::{Pending, Server, ServerError};

/// How long the background task waits for a reply, and for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two rounds while nothing is to be published.
pub(super) const IDLE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

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

//! What all parts of the background task use.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Inner;
use super::local::{Administration, Local};
use super::server::{Pending, Server, ServerError};
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

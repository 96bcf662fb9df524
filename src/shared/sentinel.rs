//! Sentinels: they know which server is the primary, and make a replica the primary when it is away.
//!
//! They are asked whenever a connection is made, and every few seconds while the server takes no writes: then another may
//! be the primary already. One that does not know of a failover yet may name a server that is away, or a replica by now,
//! which takes no writes; either ends the connection, and the next attempt begins with the next sentinel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::access::{Access, Wire};
use super::server::{Pending, ServerError};
use crate::types::sync::Mutex;

/// How long one sentinel may take.
const PATIENCE: Duration = Duration::from_millis(400);

/// Least time between two questions whether there is another primary.
const REST: Duration = Duration::from_secs(5);

/// The sentinels of a primary.
pub(super) struct Sentinels {
    hosts: Arc<[(String, u16)]>,
    name: Arc<str>,
    access: Access,
    /// How often they were asked.
    asked: AtomicUsize,
    /// The primary that was connected to last.
    connected: Arc<Mutex<Option<(String, u16)>>>,
    /// When it was last asked whether there is another one.
    looked: Mutex<Option<Instant>>,
}

impl Sentinels {
    pub(super) fn new(hosts: Vec<(String, u16)>, name: String, access: &Access) -> Self {
        Self {
            hosts: hosts.into(),
            name: name.into(),
            access: access.of_sentinels(),
            asked: AtomicUsize::new(0),
            connected: Arc::default(),
            looked: Mutex::default(),
        }
    }

    /// Connects to the primary.
    pub(super) fn connect(&self, access: Access) -> Pending<Wire> {
        let (primary, connected) = (self.primary(), Arc::clone(&self.connected));
        Box::pin(async move {
            let (host, port) = primary.await?;
            let wire = access.connect(&host, port).await?;
            *connected.lock() = Some((host, port));
            Ok(wire)
        })
    }

    /// Whether the primary is another one than that of the last connection; no, if that was asked a moment ago.
    pub(super) fn have_another(&self) -> Pending<bool> {
        let mut looked = self.looked.lock();
        if looked.is_some_and(|at| at.elapsed() < REST) {
            return Box::pin(async { Ok(false) });
        }
        *looked = Some(Instant::now());
        drop(looked);
        let (primary, connected) = (self.primary(), Arc::clone(&self.connected));
        Box::pin(async move {
            let primary = primary.await?;
            let connected = connected.lock();
            Ok(connected.as_ref().is_some_and(|before| *before != primary))
        })
    }

    /// The host and the port of the primary, as the first sentinel says that knows it.
    fn primary(&self) -> Pending<(String, u16)> {
        let (hosts, name) = (Arc::clone(&self.hosts), Arc::clone(&self.name));
        let access = self.access.clone();
        let first = self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let mut why = ServerError::NoPrimary(format!("none is asked about {name}"));
            let first = first.checked_rem(hosts.len()).unwrap_or_default();
            let (before, from) = hosts.split_at(first);
            for (host, port) in from.iter().chain(before) {
                match timeout(PATIENCE, ask(&access, (host, *port), &name)).await {
                    Ok(Ok(Some(primary))) => return Ok(primary),
                    Ok(Ok(None)) => {
                        why = ServerError::NoPrimary(format!("{name} is none of theirs"));
                    }
                    Ok(Err(error @ ServerError::Certificate(_))) => why = error,
                    Ok(Err(error)) => why = ServerError::NoPrimary(error.to_string()),
                    Err(_) => {
                        why = ServerError::NoPrimary(ServerError::Slow(PATIENCE).to_string());
                    }
                }
            }
            Err(why)
        })
    }
}

/// Asks one sentinel.
async fn ask(
    access: &Access,
    (host, port): (&str, u16),
    name: &str,
) -> Result<Option<(String, u16)>, ServerError> {
    let mut wire = access.connect(host, port).await?;
    let mut command = redis::cmd("SENTINEL");
    let command = command.arg("get-master-addr-by-name").arg(name);
    Ok(command.query_async(&mut wire.connection).await?)
}

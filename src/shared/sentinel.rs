//! Sentinels: they know which server is the primary, and make a replica the primary when it is away.
//!
//! They are asked whenever a connection is made. One that does not know of a failover yet may name a server that is away,
//! or a replica by now, which takes no writes; either ends the connection, and the next attempt begins with the next
//! sentinel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::Client;
use tokio::time::timeout;

use super::access::{Access, connect};
use super::server::{Pending, ServerError};

/// How long one sentinel may take.
const PATIENCE: Duration = Duration::from_millis(400);

/// The sentinels of a primary.
pub(super) struct Sentinels {
    clients: Arc<[Client]>,
    name: Arc<str>,
    /// How often they were asked.
    asked: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(
        hosts: &[(String, u16)],
        name: &str,
        access: &Access,
    ) -> Result<Self, ServerError> {
        let access = access.of_sentinels();
        let clients = hosts.iter().map(|(host, port)| access.client(host, *port));
        Ok(Self {
            clients: clients.collect::<Result<_, _>>()?,
            name: name.into(),
            asked: AtomicUsize::new(0),
        })
    }

    /// The host and the port of the primary, as the first sentinel says that knows it.
    pub(super) fn primary(&self) -> Pending<(String, u16)> {
        let (clients, name) = (Arc::clone(&self.clients), Arc::clone(&self.name));
        let first = self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let mut why = format!("none is asked about {name}");
            let first = first.checked_rem(clients.len()).unwrap_or_default();
            let (before, from) = clients.split_at(first);
            for client in from.iter().chain(before) {
                match timeout(PATIENCE, ask(client, &name)).await {
                    Ok(Ok(Some(primary))) => return Ok(primary),
                    Ok(Ok(None)) => why = format!("{name} is none of theirs"),
                    Ok(Err(error @ ServerError::Certificate(_))) => return Err(error),
                    Ok(Err(error)) => why = error.to_string(),
                    Err(_) => why = ServerError::Slow(PATIENCE).to_string(),
                }
            }
            Err(ServerError::NoPrimary(why))
        })
    }
}

/// Asks one sentinel.
async fn ask(client: &Client, name: &str) -> Result<Option<(String, u16)>, ServerError> {
    let mut connection = connect(client).await?;
    let mut command = redis::cmd("SENTINEL");
    let command = command.arg("get-master-addr-by-name").arg(name);
    Ok(command.query_async(&mut connection).await?)
}

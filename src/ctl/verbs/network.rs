//! Networks where a client should be: those that a triplet's record has, so that what `pending` shows can be pasted.

use crate::api::{CLIENT, FromRow, MOST_ROWS, NETWORK, RECIPIENT, Row, SENDER};
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::session::Session;
use crate::types::Prefix;

/// The network that was typed for a client, if it was one.
pub(super) fn typed(client: &str) -> Option<Prefix> {
    client.contains('/').then(|| Prefix::parse(client).ok())?
}

/// Sees that a triplet's record has this network, as it is: another one would stand for other clients than the daemon
/// knows together.
///
/// # Errors
///
/// [`ArgumentError::Network`] when none has.
pub(super) async fn find(
    session: &Session,
    network: Prefix,
    sender: Option<&str>,
    recipient: Option<&str>,
) -> Result<(), Failure> {
    let manager = session.manager().await?;
    let name = network.to_string();
    let filter = Row::new()
        .with(CLIENT, &*name)
        .with_some(SENDER, sender)
        .with_some(RECIPIENT, recipient)
        .build();
    let has_it = |row: &crate::api::Dict| {
        row.text(NETWORK).and_then(|text| Prefix::parse(text).ok()) == Some(network)
    };
    let mut after = Vec::new();
    loop {
        let page = manager.list_triplets(&filter, &after, MOST_ROWS);
        let (page, next) = session.ask("ListTriplets", page).await?;
        if page.iter().any(has_it) {
            return Ok(());
        }
        if next.is_empty() {
            return Err(ArgumentError::Network(name).into());
        }
        after = next;
    }
}

//! Networks instead of a client: accepted if a triplet's record has it, so that output of `pending` can be pasted.

use std::ops::ControlFlow;

use super::triplets;
use crate::api::{CLIENT, FromRow, NETWORK, RECIPIENT, Row, SENDER};
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::session::Session;
use crate::types::Prefix;

/// The network given instead of a client, if it is one.
pub(super) fn typed(client: &str) -> Option<Prefix> {
    client.contains('/').then(|| Prefix::parse(client).ok())?
}

/// Checks that a triplet's record has exactly this network: another one would cover other clients than the record does.
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
    let name = network.to_string();
    let filter = Row::new()
        .with(CLIENT, &*name)
        .with_some(SENDER, sender)
        .with_some(RECIPIENT, recipient)
        .build();
    let found = triplets::each(session, &filter, |row| {
        match row.text(NETWORK).and_then(|text| Prefix::parse(text).ok()) {
            Some(other) if other == network => ControlFlow::Break(()),
            Some(_) | None => ControlFlow::Continue(()),
        }
    });
    let missing = || ArgumentError::Network(name.clone()).into();
    found.await?.ok_or_else(missing)
}

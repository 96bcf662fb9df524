//! What rules are asked about.

use std::borrow::Cow;

use super::render::TokenValues;
use crate::policy::Attempt;
use crate::policy::keys::fold_sender;
use crate::policy::schedule::LocalTime;
use crate::types::ClientIp;

/// An attempt as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The client's address.
    pub client: ClientIp,
    /// Its verified name, or `[ADDRESS]`.
    pub name: Cow<'a, [u8]>,
    /// What it calls itself, if the front end says so.
    pub helo: Option<&'a [u8]>,
    /// The sender, empty for the null sender.
    pub sender: &'a [u8],
    /// The sender without what changes from mail to mail.
    pub folded_sender: Vec<u8>,
    /// The recipient.
    pub recipient: &'a [u8],
    /// The name as which the client has authenticated itself, if it has.
    pub user: Option<&'a [u8]>,
    /// The time where the mail server is.
    pub time: LocalTime,
}

impl<'a> Subject<'a> {
    /// What tokens stand for.
    #[must_use]
    pub fn token_values(&self) -> TokenValues<'_> {
        TokenValues {
            client: Some(self.client),
            client_name: &self.name,
            helo: self.helo.unwrap_or_default(),
            sender: self.sender,
            recipient: self.recipient,
            ..TokenValues::default()
        }
    }

    /// What rules see of an attempt; `None` if it lacks a part.
    #[must_use]
    pub fn new(attempt: &Attempt<'a>, time: LocalTime) -> Option<Self> {
        let client = ClientIp::parse(attempt.client_address?)?;
        let name = match attempt.client_name? {
            b"unknown" => Cow::Owned(format!("[{}]", client.address()).into_bytes()),
            name => Cow::Borrowed(name),
        };
        let sender = attempt.sender?;
        let mut folded_sender = Vec::with_capacity(sender.len());
        fold_sender(sender, &mut folded_sender);
        Some(Self {
            client,
            name,
            helo: attempt.helo_name,
            sender,
            folded_sender,
            recipient: attempt.recipient?,
            user: attempt.user,
            time,
        })
    }
}

//! What rules are asked about.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::render::TokenValues;
use crate::policy::keys::fold_sender;
use crate::policy::message::Message;
use crate::policy::schedule::LocalTime;
use crate::policy::{Attempt, MailServerMacros, MessageAttempt};
use crate::types::ClientIp;

/// An attempt as rules see it.
#[derive(Debug, Clone)]
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
    /// The recipient; empty at the end of a message that has several.
    pub recipient: &'a [u8],
    /// The name as which the client has authenticated itself, if it has.
    pub user: Option<&'a [u8]>,
    /// The subject of its verified certificate, empty if it has none, if the front end says so.
    pub certificate: Option<&'a [u8]>,
    /// The macros of the mail server, if the front end has them.
    pub macros: Option<&'a dyn MailServerMacros>,
    /// How many recipients were accepted before, if the front end says so; at the end of the message, how many in all.
    pub accepted: Option<usize>,
    /// Whether it is known which session it belongs to.
    pub is_in_session: bool,
    /// The message and all its recipients, at its end.
    pub content: Option<(&'a Message, &'a [&'a [u8]])>,
    /// The time where the mail server is.
    pub time: LocalTime,
    /// The name of the mail server, and its zone, for texts.
    pub place: Option<(&'a str, &'a TimeZone)>,
}

impl<'a> Subject<'a> {
    /// The recipients to look at.
    #[must_use]
    pub fn recipients(&self) -> &[&'a [u8]] {
        match self.content {
            Some((_, recipients)) => recipients,
            None => std::slice::from_ref(&self.recipient),
        }
    }

    /// What tokens stand for.
    #[must_use]
    pub fn token_values(&self) -> TokenValues<'_> {
        TokenValues {
            client: Some(self.client),
            client_name: &self.name,
            helo: self.helo.unwrap_or_default(),
            sender: self.sender,
            recipient: self.recipient,
            macros: self.macros,
            user: self.user.unwrap_or_default(),
            host: self.place.map_or("", |(host, _)| host),
            ..TokenValues::default()
        }
    }

    /// What rules see of an attempt; `None` if it lacks a part.
    #[must_use]
    pub fn new(attempt: &Attempt<'a>, time: LocalTime) -> Option<Self> {
        Self::with(attempt, attempt.recipient?, time)
    }

    /// What rules see of a message; `None` if it lacks a part.
    #[must_use]
    pub fn of_message(about: &MessageAttempt<'a>, time: LocalTime) -> Option<Self> {
        Some(Self {
            accepted: Some(about.recipients.len()),
            content: Some((about.message, about.recipients)),
            ..Self::with(about.attempt, about.only_recipient(), time)?
        })
    }

    fn with(attempt: &Attempt<'a>, recipient: &'a [u8], time: LocalTime) -> Option<Self> {
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
            recipient,
            user: attempt.user,
            certificate: attempt.certificate,
            macros: attempt.macros,
            accepted: attempt.accepted,
            is_in_session: attempt.milter_session.is_some(),
            content: None,
            place: None,
            time,
        })
    }
}

//! A delivery attempt, independent of the front end.

use std::fmt;

use super::message::Message;

/// The macros that a mail server has sent by now. Rules ask for the few that they name.
pub trait MailServerMacros: fmt::Debug + Sync {
    /// The value of the macro with this name, which is without braces; `None` if it was not sent.
    fn value(&self, name: &str) -> Option<&[u8]>;
}

/// The stage of the SMTP session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// RCPT TO, or unknown (Exim): the stage at which greylisting happens.
    #[default]
    Recipient,
    /// DATA: at least one recipient of the client was accepted.
    Data,
    /// Any other stage.
    Other,
}

/// An attempt. Attributes that the front end does not have are `None`; addresses are raw bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempt<'a> {
    /// The stage of the session.
    pub stage: Stage,
    /// The client's address as text.
    pub client_address: Option<&'a [u8]>,
    /// The client's verified host name, `unknown` if it has none.
    pub client_name: Option<&'a [u8]>,
    /// The client's HELO or EHLO name.
    pub helo_name: Option<&'a [u8]>,
    /// Envelope sender, empty for the null sender.
    pub sender: Option<&'a [u8]>,
    /// Envelope recipient.
    pub recipient: Option<&'a [u8]>,
    /// An identifier shared by all requests about one message.
    pub instance: Option<&'a [u8]>,
    /// The queue id, if there is one already.
    pub queue_id: Option<&'a [u8]>,
    /// Whether the mail server is under stress (`STRESS_README` of Postfix).
    pub is_stressed: bool,
    /// The SASL login name of an authenticated client.
    pub user: Option<&'a [u8]>,
    /// The subject of its verified certificate (TLS); empty if it has none.
    pub certificate: Option<&'a [u8]>,
    /// The macros of the mail server.
    pub macros: Option<&'a dyn MailServerMacros>,
    /// How many recipients of the message were accepted before.
    pub accepted: Option<usize>,
    /// The client's port, as text.
    pub client_port: Option<&'a [u8]>,
    /// The number of the message under way in a milter session with this client, if there is one. It identifies the
    /// message in place of [`instance`](Self::instance).
    pub milter_message: Option<u64>,
    /// The number of the milter session.
    pub milter_session: Option<u64>,
}

/// A message at its end, with what is known of its transaction.
#[derive(Debug, Clone, Copy)]
pub struct MessageAttempt<'a> {
    /// The transaction: client, sender and so on. It may have a recipient, which is not looked at.
    pub attempt: &'a Attempt<'a>,
    /// The recipients that were accepted.
    pub recipients: &'a [&'a [u8]],
    /// Whether one of them is open: it passed because nothing spoke against it.
    pub has_open: bool,
    /// The message.
    pub message: &'a Message,
}

impl<'a> MessageAttempt<'a> {
    /// The transaction with its recipient; with an empty one if there are several.
    pub(super) const fn as_one(&self) -> Attempt<'a> {
        Attempt {
            recipient: Some(self.only_recipient()),
            ..*self.attempt
        }
    }

    /// The recipient, if there is no other; else nothing.
    pub(super) const fn only_recipient(&self) -> &'a [u8] {
        match self.recipients {
            [recipient] => recipient,
            _ => b"",
        }
    }
}

/// Macros that are all known beforehand: names and values.
impl<V: AsRef<[u8]> + fmt::Debug + Sync, const N: usize> MailServerMacros for [(&str, V); N] {
    fn value(&self, name: &str) -> Option<&[u8]> {
        let mut sent = self.iter().filter(|(sent, _)| *sent == name);
        sent.next().map(|(_, value)| value.as_ref())
    }
}

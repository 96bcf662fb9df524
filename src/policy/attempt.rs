//! A delivery attempt, independent of the front end.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
}

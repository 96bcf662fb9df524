//! One attempt to deliver, whichever front end saw it.

/// Where in the SMTP dialogue the question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// At RCPT TO, or the front end does not say (Exim): the stage at which greylisting happens.
    #[default]
    Recipient,
    /// At DATA: the client has got at least one recipient accepted and goes on.
    Data,
    /// Anywhere else.
    Other,
}

/// The attempt. What the front end did not say is `None`; addresses are bytes as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempt<'a> {
    /// Where in the dialogue.
    pub stage: Stage,
    /// The client's address as text.
    pub client_address: Option<&'a [u8]>,
    /// The client's verified host name, `unknown` if it has none.
    pub client_name: Option<&'a [u8]>,
    /// What the client has called itself (HELO, EHLO).
    pub helo_name: Option<&'a [u8]>,
    /// Envelope sender, empty for the null sender.
    pub sender: Option<&'a [u8]>,
    /// Envelope recipient.
    pub recipient: Option<&'a [u8]>,
    /// What all questions about one message have in common.
    pub instance: Option<&'a [u8]>,
    /// The queue id, once there is one.
    pub queue_id: Option<&'a [u8]>,
    /// Whether the mail server says that it is under stress (`STRESS_README` of Postfix).
    pub is_stressed: bool,
    /// The name as which the client has authenticated itself (SASL), if it has.
    pub user: Option<&'a [u8]>,
}

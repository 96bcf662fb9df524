//! A decoded request, which borrows from the buffer.

/// A policy request. Attributes that were not sent are `None`; empty ones are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// `protocol_state`: `RCPT`, `DATA` and so on.
    pub protocol_state: Option<&'a [u8]>,
    /// `client_address`: IPv4 or IPv6, or `unknown`.
    pub client_address: Option<&'a [u8]>,
    /// `client_name`: the verified host name, or `unknown`.
    pub client_name: Option<&'a [u8]>,
    /// `helo_name`: the client's HELO or EHLO name.
    pub helo_name: Option<&'a [u8]>,
    /// `sender`: empty for the null sender.
    pub sender: Option<&'a [u8]>,
    /// `recipient`: at DATA empty when there are several.
    pub recipient: Option<&'a [u8]>,
    /// `instance`: the same for all requests about one message.
    pub instance: Option<&'a [u8]>,
    /// `queue_id`: empty before the first recipient is accepted.
    pub queue_id: Option<&'a [u8]>,
    /// `etrn_domain`: sent by Postfix 2.3 and later, mostly empty.
    pub etrn_domain: Option<&'a [u8]>,
    /// `stress`: `yes` or empty; Postfix 2.5 and later.
    pub stress: Option<&'a [u8]>,
    /// `sasl_username`: the login name of an authenticated client, else empty; Postfix 2.1 and later.
    pub sasl_username: Option<&'a [u8]>,
    /// `policy_test_time`: seconds since the epoch; Postfix does not send it.
    pub policy_test_time: Option<&'a [u8]>,
}

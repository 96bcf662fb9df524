//! A decoded request, which borrows from the buffer.

/// The attributes of a request that stargrey reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `request`.
    Request,
    /// `protocol_state`.
    ProtocolState,
    /// `client_address`.
    ClientAddress,
    /// `client_port`.
    ClientPort,
    /// `client_name`.
    ClientName,
    /// `helo_name`.
    HeloName,
    /// `sender`.
    Sender,
    /// `recipient`.
    Recipient,
    /// `instance`.
    Instance,
    /// `queue_id`.
    QueueId,
    /// `etrn_domain`.
    EtrnDomain,
    /// `stress`.
    Stress,
    /// `sasl_username`.
    SaslUsername,
    /// `ccert_subject`.
    CcertSubject,
    /// `policy_test_time`.
    PolicyTestTime,
}

impl Attribute {
    /// Number of attributes.
    pub(super) const COUNT: usize = Self::PolicyTestTime as usize + 1;

    /// The attribute of this name.
    #[must_use]
    pub fn by_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"request" => Self::Request,
            b"protocol_state" => Self::ProtocolState,
            b"client_address" => Self::ClientAddress,
            b"client_port" => Self::ClientPort,
            b"client_name" => Self::ClientName,
            b"helo_name" => Self::HeloName,
            b"sender" => Self::Sender,
            b"recipient" => Self::Recipient,
            b"instance" => Self::Instance,
            b"queue_id" => Self::QueueId,
            b"etrn_domain" => Self::EtrnDomain,
            b"stress" => Self::Stress,
            b"sasl_username" => Self::SaslUsername,
            b"ccert_subject" => Self::CcertSubject,
            b"policy_test_time" => Self::PolicyTestTime,
            _ => return None,
        })
    }
}

/// A policy request. Attributes that were not sent are `None`; empty ones are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// `protocol_state`: `RCPT`, `DATA` and so on.
    pub protocol_state: Option<&'a [u8]>,
    /// `client_address`: IPv4 or IPv6, or `unknown`.
    pub client_address: Option<&'a [u8]>,
    /// `client_port`: Postfix 3.0 and later.
    pub client_port: Option<&'a [u8]>,
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
    /// `ccert_subject`: the subject of the client's verified certificate, else empty; Postfix 2.2 and later. Postfix 2.2.11 and
    /// later encode it, see [`decoded`].
    pub ccert_subject: Option<&'a [u8]>,
    /// `policy_test_time`: seconds since the epoch; Postfix does not send it.
    pub policy_test_time: Option<&'a [u8]>,
}

/// The text behind an attribute in xtext (RFC 3461, 4), where `+` and two digits are a byte; `None` if it has no `+`, or not
/// in this form.
#[must_use]
pub fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut parts = text.split(|byte| *byte == b'+');
    let mut decoded = parts.next()?.to_vec();
    if decoded.len() == text.len() {
        return None;
    }
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        decoded.push(
            u8::from_str_radix(digits, 16)
                .ok()
                .filter(|_| !digits.starts_with('+'))?,
        );
        decoded.extend_from_slice(rest);
    }
    Some(decoded)
}

impl<'a> Request<'a> {
    /// The request with these values of attributes.
    pub fn new(value: impl Fn(Attribute) -> Option<&'a [u8]>) -> Self {
        Self {
            protocol_state: value(Attribute::ProtocolState),
            client_address: value(Attribute::ClientAddress),
            client_port: value(Attribute::ClientPort),
            client_name: value(Attribute::ClientName),
            helo_name: value(Attribute::HeloName),
            sender: value(Attribute::Sender),
            recipient: value(Attribute::Recipient),
            instance: value(Attribute::Instance),
            queue_id: value(Attribute::QueueId),
            etrn_domain: value(Attribute::EtrnDomain),
            stress: value(Attribute::Stress),
            sasl_username: value(Attribute::SaslUsername),
            ccert_subject: value(Attribute::CcertSubject),
            policy_test_time: value(Attribute::PolicyTestTime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_xtext_is_decoded_and_any_other_is_left_as_it_is() {
        for (text, want) in [
            ("Mail+20Relay+201", Some("Mail Relay 1")),
            ("a+2Bb+3Dc", Some("a+b=c")),
            ("+C3+BC", Some("ü")),
            ("mx.example", None),
            ("", None),
            ("a+", None),
            ("a+2", None),
            ("a+2G", None),
            ("a++20", None),
        ] {
            let want = want.map(|want| want.as_bytes().to_vec());
            assert_eq!(decoded(text.as_bytes()), want, "{text}");
        }
    }
}

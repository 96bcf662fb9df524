//! A request to spamd: the message as spamd would get it from the mail server.

use std::fmt::Write;

use jiff::tz::TimeZone;

use crate::policy::message::{HeaderField, Message};
use crate::policy::{Attempt, MessageAttempt};
use crate::types::{ClientIp, Timestamp};

/// What follows the fields.
pub(super) const END_OF_HEADER: &[u8] = b"\r\n";

/// The longest name or address of a stranger in a header field, in bytes.
const MOST_FOREIGN: usize = 256;

/// The bytes before the fields of the message's header, with the exact length of the whole. `None` if the body was not kept.
pub(super) fn head(about: &MessageAttempt<'_>, host: &str, now: Timestamp) -> Option<Vec<u8>> {
    let body = about.message.body()?;
    let received = received(about, host, now);
    let fields = fields(about.message).map(|field| field.len());
    let length = fields
        .fold(received.len(), usize::saturating_add)
        .saturating_add(END_OF_HEADER.len())
        .saturating_add(body.length());
    let head =
        format!("SYMBOLS SPAMC/1.5\r\nContent-length: {length}\r\nUser: nobody\r\n\r\n{received}");
    Some(head.into_bytes())
}

/// The fields of the header as they are sent, one by one: all of them together may be as much as many messages may keep.
pub(super) fn fields(message: &Message) -> impl Iterator<Item = Vec<u8>> {
    message.fields().iter().map(field)
}

/// The fields that the mail server would put before the others. SpamAssassin finds the client's address in the first
/// `Received`, and reads it in the form of Postfix.
fn received(about: &MessageAttempt<'_>, host: &str, now: Timestamp) -> String {
    let Attempt {
        client_address,
        client_name,
        helo_name,
        sender,
        queue_id,
        user,
        ..
    } = *about.attempt;
    let word = |bytes: Option<&[u8]>, otherwise: &str| {
        let text = word(bytes.unwrap_or_default());
        if text.is_empty() {
            otherwise.to_owned()
        } else {
            text
        }
    };
    let client = client_address.and_then(ClientIp::parse);
    let address = client.map(|client| match client.address() {
        address if address.is_ipv6() => format!("IPv6:{address}"),
        address => address.to_string(),
    });
    let date = now.zoned(&TimeZone::UTC);
    let date = date.map(|date| date.strftime("%a, %d %b %Y %T +0000").to_string());
    let mut out = String::new();
    let written = write!(
        out,
        "X-Envelope-From: <{}>\r\nReceived: from {} ({} [{}])\r\n\tby {} (Postfix) with {} id {}{};\r\n\t{}\r\n",
        self::word(sender.unwrap_or_default()),
        word(helo_name, "unknown"),
        word(client_name, "unknown"),
        address.unwrap_or_default(),
        word(Some(host.as_bytes()), "localhost"),
        if user.is_some() { "ESMTPA" } else { "ESMTP" },
        word(queue_id, "stargrey"),
        match about.recipients {
            [recipient] => format!("\r\n\tfor <{}>", self::word(recipient)),
            _ => String::new(),
        },
        date.unwrap_or_default(),
    );
    // Writing to a string does not fail.
    written.unwrap_or_default();
    out
}

/// What a stranger has chosen, as one word of a header field.
fn word(bytes: &[u8]) -> String {
    let safe = |byte: &u8| match byte {
        b'!'..=b'~' if !b"()<>[];\\\"".contains(byte) => char::from(*byte),
        _ => '?',
    };
    bytes.iter().take(MOST_FOREIGN).map(safe).collect()
}

/// A field, with its folds as lines.
fn field(field: &HeaderField) -> Vec<u8> {
    let mut out = field.name.to_vec();
    out.extend_from_slice(b": ");
    let mut lines = field.value.split(|byte| *byte == b'\n');
    let mut write = |line: &[u8]| {
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    };
    write(lines.next().unwrap_or_default());
    for line in lines {
        write(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let field = |name: &str, value: &str| HeaderField {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        };
        let fields = vec![field("Subject", "a\n\tb\r\n c"), field("X", "")];
        Message::new(fields, Some(b"body\r\n".to_vec().into()), 0)
    }

    fn rendered(attempt: &Attempt<'_>, recipients: &[&[u8]]) -> String {
        let message = message();
        let about = MessageAttempt {
            attempt,
            recipients,
            has_open: true,
            message: &message,
        };
        let now = Timestamp::from_seconds(1_795_000_000);
        let mut sent = head(&about, "mx.test", now).unwrap();
        sent.extend(fields(&message).flatten());
        sent.extend_from_slice(END_OF_HEADER);
        String::from_utf8(sent).unwrap()
    }

    #[test]
    fn a_request_has_the_length_of_what_follows_and_names_the_client_on_top() {
        let attempt = Attempt {
            client_address: Some(b"203.0.113.7"),
            client_name: Some(b"mail.example.net"),
            helo_name: Some(b"helo.example.net"),
            sender: Some(b"joe@example.org"),
            queue_id: Some(b"4BCD"),
            ..Attempt::default()
        };
        let text = rendered(&attempt, &[b"jane@example.com"]);
        let want = "X-Envelope-From: <joe@example.org>\r\n\
                    Received: from helo.example.net (mail.example.net [203.0.113.7])\r\n\
                    \tby mx.test (Postfix) with ESMTP id 4BCD\r\n\
                    \tfor <jane@example.com>;\r\n\
                    \tWed, 18 Nov 2026 11:06:40 +0000\r\n\
                    Subject: a\r\n\tb\r\n c\r\n\
                    X: \r\n\
                    \r\n";
        let length = want.len() + "body\r\n".len();
        let command =
            format!("SYMBOLS SPAMC/1.5\r\nContent-length: {length}\r\nUser: nobody\r\n\r\n");
        assert_eq!(text, format!("{command}{want}"));
    }

    #[test]
    fn what_a_stranger_has_chosen_adds_no_field() {
        let attempt = Attempt {
            client_address: Some(b"2001:db8::1"),
            client_name: Some(b"unknown"),
            helo_name: Some(b"x) [192.0.2.1]\r\nX-Spam: no"),
            sender: Some(b"a>\r\nb\xff@example.org"),
            user: Some(b"joe"),
            ..Attempt::default()
        };
        let text = rendered(&attempt, &[b"a@example.com", b"b@example.com"]);
        let received = "Received: from x???192.0.2.1???X-Spam:?no (unknown [IPv6:2001:db8::1])\r\n\
                        \tby mx.test (Postfix) with ESMTPA id stargrey;\r\n";
        assert!(text.contains(received), "{text}");
        assert!(
            text.contains("X-Envelope-From: <a???b?@example.org>\r\n"),
            "{text}"
        );
        assert!(!text.contains("\r\nX-Spam"), "{text}");
    }

    #[test]
    fn nothing_is_asked_about_a_message_whose_body_was_not_kept() {
        let message = Message::new(Vec::new(), None, 10);
        let about = MessageAttempt {
            attempt: &Attempt::default(),
            recipients: &[],
            has_open: true,
            message: &message,
        };
        assert_eq!(head(&about, "mx.test", Timestamp::from_seconds(0)), None);
    }
}

//! The messages that are under way in milter sessions.
//!
//! A mail server may ask both front ends about a message. Both see the address and port of the client, and Postfix asks
//! the policy server between the milter's MAIL and the end of the message. So its questions are found here, and are
//! decided as questions about the message of the milter: whichever comes second is a repeat.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::message_rules::MessageRules;
use crate::policy::{Attempt, Ruleset};
use crate::types::sync::Mutex;
use crate::types::{AddedHeader, ReplyText};

/// The messages under way.
#[derive(Debug, Default)]
pub(crate) struct MilterMessages {
    /// How many have an address: without any, a request of the policy server costs one load.
    count: AtomicUsize,
    last: AtomicU64,
    by_client: Mutex<HashMap<SocketAddr, Joined>>,
}

/// A message that requests of the policy server can be about.
#[derive(Debug)]
struct Joined {
    message: u64,
    rules: Arc<Ruleset>,
    given: GivenFields,
}

/// Header fields of a message that requests of the policy server have brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GivenFields {
    /// The one about greylisting.
    pub field: Option<ReplyText>,
    /// Whether a recipient has waited.
    pub was_delayed: bool,
    /// Those that rules add, each once.
    pub headers: Vec<AddedHeader>,
}

/// A message under way in a milter session; dropping it ends it.
#[derive(Debug)]
pub struct MilterMessage {
    messages: Arc<MilterMessages>,
    number: u64,
    client: Option<SocketAddr>,
    rules: MessageRules,
}

impl MilterMessages {
    /// A message begins, which is decided by these rules to its end.
    pub(crate) fn begin(
        self: &Arc<Self>,
        client: Option<SocketAddr>,
        rules: MessageRules,
    ) -> MilterMessage {
        let number = self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // A mail server that does not know the port says 0: that is every client of the address.
        let client = client.filter(|client| client.port() != 0);
        if let Some(client) = client {
            let joined = Joined {
                message: number,
                rules: Arc::clone(&rules.rules),
                given: GivenFields::default(),
            };
            let mut by_client = self.by_client.lock();
            by_client.insert(client, joined);
            self.count.store(by_client.len(), Ordering::Release);
        }
        MilterMessage {
            messages: Arc::clone(self),
            number,
            client,
            rules,
        }
    }

    /// The message that a request of the policy server is about, and its rules.
    pub(crate) fn find(&self, attempt: &Attempt<'_>) -> Option<(u64, Arc<Ruleset>)> {
        if self.count.load(Ordering::Acquire) == 0 || attempt.milter_message.is_some() {
            return None;
        }
        let client = client(attempt)?;
        let by_client = self.by_client.lock();
        let joined = by_client.get(&client)?;
        Some((joined.message, Arc::clone(&joined.rules)))
    }

    /// A request of the policy server has brought header fields of the message that it is about. The first field about
    /// greylisting stays.
    pub(crate) fn give(&self, attempt: &Attempt<'_>, given: GivenFields) {
        let mut by_client = self.by_client.lock();
        let joined = client(attempt).and_then(|client| by_client.get_mut(&client));
        if let Some(joined) = joined.filter(|joined| attempt.milter_message == Some(joined.message))
        {
            let known = &mut joined.given;
            known.field = known.field.take().or(given.field);
            known.was_delayed |= given.was_delayed;
            for header in given.headers {
                if !known.headers.contains(&header) {
                    known.headers.push(header);
                }
            }
        }
    }
}

/// The address and port of the client.
fn client(attempt: &Attempt<'_>) -> Option<SocketAddr> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let address: IpAddr = text(attempt.client_address?)?.parse().ok()?;
    let port = text(attempt.client_port?)?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

impl MilterMessage {
    /// Its number, for [`Attempt::milter_message`].
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// What it is decided by.
    #[must_use]
    pub const fn rules(&self) -> &MessageRules {
        &self.rules
    }

    /// The header fields that requests of the policy server have brought.
    #[must_use]
    pub fn take_fields(&self) -> GivenFields {
        let mut by_client = self.messages.by_client.lock();
        let joined = self.client.and_then(|client| by_client.get_mut(&client));
        let joined = joined.filter(|joined| joined.message == self.number);
        joined.map_or_else(GivenFields::default, |joined| {
            std::mem::take(&mut joined.given)
        })
    }
}

impl Drop for MilterMessage {
    fn drop(&mut self) {
        let Some(client) = self.client else {
            return;
        };
        let mut by_client = self.messages.by_client.lock();
        if by_client
            .get(&client)
            .is_some_and(|joined| joined.message == self.number)
        {
            by_client.remove(&client);
        }
        self.messages
            .count
            .store(by_client.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::policy::{Lists, Params, Texts};
    use crate::types::HeaderText;

    fn rules() -> MessageRules {
        let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
        MessageRules {
            rules: Arc::new(Ruleset::new(Params::default(), Lists::default(), texts)),
            filter: None,
        }
    }

    fn attempt<'a>(address: &'a str, port: Option<&'a str>) -> Attempt<'a> {
        Attempt {
            client_address: Some(address.as_bytes()),
            client_port: port.map(str::as_bytes),
            ..Attempt::default()
        }
    }

    #[test]
    fn a_request_is_about_the_message_of_the_same_client_and_port_while_it_is_under_way() {
        let messages = Arc::<MilterMessages>::default();
        let client: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        let find = |address, port| {
            let found = messages.find(&attempt(address, port));
            found.map(|(number, _)| number)
        };
        assert_eq!(find("192.0.2.7", Some("4711")), None);
        let first = messages.begin(Some(client), rules());
        let cases = [
            ("192.0.2.7", Some("4711"), Some(first.number())),
            ("192.0.2.7", Some("4712"), None),
            ("192.0.2.8", Some("4711"), None),
            ("192.0.2.7", None, None),
            ("unknown", Some("4711"), None),
        ];
        for (address, port, want) in cases {
            assert_eq!(find(address, port), want, "{address} {port:?}");
        }
        let field = ReplyText::new("X: y".to_owned());
        let about = Attempt {
            milter_message: Some(first.number()),
            ..attempt("192.0.2.7", Some("4711"))
        };
        let header = AddedHeader {
            name: "X-Seen".into(),
            value: HeaderText::new(b"x"),
            index: None,
        };
        let given = |field: Option<&ReplyText>| GivenFields {
            was_delayed: false,
            field: field.cloned(),
            headers: vec![header.clone()],
        };
        messages.give(&about, given(Some(&field)));
        messages.give(&about, given(None));
        messages.give(&about, given(Some(&ReplyText::new("X: z".to_owned()))));
        assert_eq!(first.take_fields(), given(Some(&field)));
        assert_eq!(first.take_fields(), GivenFields::default());

        let second = messages.begin(Some(client), rules());
        assert_ne!(first.number(), second.number());
        drop(first);
        assert_eq!(find("192.0.2.7", Some("4711")), Some(second.number()));
        drop(second);
        assert_eq!(find("192.0.2.7", Some("4711")), None);
        assert_ne!(messages.begin(None, rules()).number(), 0);
        let unknown = messages.begin(Some("192.0.2.7:0".parse().unwrap()), rules());
        assert_eq!(find("192.0.2.7", Some("0")), None, "{unknown:?}");
    }
}

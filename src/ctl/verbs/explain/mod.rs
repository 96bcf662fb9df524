//! `explain`: shows what would be decided, and why.
//!
//! The daemon decides on the attributes that Postfix would send: address and verified name of the client, sender and
//! recipient. stargreyctl looks up missing ones, or assumes them and says so.

mod message;
mod text;

use std::collections::HashMap;
use std::net::IpAddr;

use super::pending::Waiting;
use super::{Answer, bare, network};
use crate::api::{CLIENT, CLIENT_NAME, Row, STATE, STATE_WAITING};
use crate::ctl::args::Explain;
use crate::ctl::client::ClientArgument;
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::resolver::{Resolver, System, UNKNOWN, verified};
use crate::ctl::session::Session;
use crate::types::Prefix;

/// The assumed sender, in a domain that cannot exist (RFC 2606).
const SENDER: &str = "stranger@sender.invalid";

/// The assumed recipient.
const RECIPIENT: &str = "somebody@recipient.invalid";

/// The assumed SASL login of an authenticated client; its value does not matter.
const LOGIN: &str = "somebody";

/// Maximum number of listed triplets.
const LISTED: u32 = 10;

/// The attempt to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ExplainedAttempt {
    /// The client's address.
    address: IpAddr,
    /// Its verified name.
    name: String,
    /// The number of addresses that the name has.
    addresses: usize,
    sender: Option<String>,
    recipient: Option<String>,
    /// The name it gives with HELO.
    helo: Option<String>,
    /// Whether the client has authenticated itself.
    is_authenticated: bool,
    /// Whether it is about the end of a message.
    has_message: bool,
}

/// Runs the verb.
pub(super) async fn run(session: &Session, options: &Explain) -> Result<Answer, Failure> {
    let network = network::typed(&options.client);
    let mut options = options.clone();
    if let Some(network) = network {
        let (sender, recipient) = (options.sender.as_deref(), options.recipient.as_deref());
        network::find(session, network, sender.map(bare), recipient.map(bare)).await?;
        options.client = network.address().to_string();
    }
    let question = ExplainedAttempt::read(&options, &System)?;
    let manager = session.manager().await?;
    let address = question.address.to_string();
    let attributes = HashMap::from([
        ("client_address", address.as_str()),
        ("client_name", question.name.as_str()),
        ("sender", question.sender()),
        ("recipient", question.recipient()),
        ("helo_name", question.helo.as_deref().unwrap_or_default()),
        // Postfix 2.3 and later: the reply is the one with an enhanced status code.
        ("etrn_domain", ""),
        (
            "sasl_username",
            if question.is_authenticated { LOGIN } else { "" },
        ),
        ("lookups", if options.no_lookup { "no" } else { "yes" }),
    ]);
    let (result, steps) = match &options.message {
        None => session.ask("Explain", manager.explain(&attributes)).await?,
        Some(path) => {
            let file = message::open(path)?;
            let told = manager.explain_message(&attributes, zbus::Fd::from(&file));
            session.ask("ExplainMessage", told).await?
        }
    };
    let waiting = if question.is_whole() || options.message.is_some() {
        Waiting::default()
    } else {
        let of_client = || Row::new().with(CLIENT, &*address);
        let filters = [of_client().with(CLIENT_NAME, &*question.name), of_client()];
        let filters = filters.map(|of_client| {
            of_client
                .with(STATE, STATE_WAITING)
                .with_some("sender", question.sender.as_deref())
                .build()
        });
        match Waiting::collect(session, filters, LISTED).await {
            // Hashes cannot be searched by client.
            Err(Failure::Hashed(_)) => Waiting::default(),
            collected => collected?,
        }
    };
    let mut shown = text::shown(&question, (&result, &steps), &waiting, &session.view);
    if let Some(network) = network
        && !session.view.json
    {
        shown.push_str(&one_of(network));
    }
    Ok(Answer::yes(shown))
}

/// The message for a network.
fn one_of(network: Prefix) -> String {
    format!(
        "\nThis is the result for {}, the first address of {network}.\nLists and S25R apply to single clients: for one of them, give NAME[ADDRESS] as in the log.\n",
        network.address()
    )
}

impl ExplainedAttempt {
    /// The attempt of these options, with names and addresses looked up.
    fn read(options: &Explain, resolver: &impl Resolver) -> Result<Self, ArgumentError> {
        let typed = ClientArgument::read(&options.client)?;
        let address = match (typed.address, options.address) {
            (Some(_), Some(_)) => return Err(ArgumentError::TwoAddresses),
            (given, other) => given.or(other),
        };
        let name = options.name.as_deref().or(match address {
            // A name given together with an address counts as verified.
            Some(_) => typed.name,
            None => None,
        });
        let (address, addresses) = match (address, typed.name) {
            (Some(address), _) => (address, 1),
            (None, Some(_)) if options.no_lookup => return Err(ArgumentError::NoLookup),
            (None, name) => first_address(name.unwrap_or_default(), resolver)?,
        };
        let name = match name {
            Some(name) => name.to_owned(),
            None if options.no_lookup => UNKNOWN.to_owned(),
            None => verified(address, resolver),
        };
        let owned = |address: &Option<String>| address.as_deref().map(bare).map(str::to_owned);
        Ok(Self {
            address,
            name,
            addresses,
            sender: owned(&options.sender),
            recipient: owned(&options.recipient),
            helo: options.helo.clone(),
            is_authenticated: options.authenticated,
            has_message: options.message.is_some(),
        })
    }

    /// The sender, given or assumed.
    fn sender(&self) -> &str {
        self.sender.as_deref().unwrap_or(SENDER)
    }

    /// The recipient, given or assumed.
    fn recipient(&self) -> &str {
        self.recipient.as_deref().unwrap_or(RECIPIENT)
    }

    /// Whether nothing is assumed.
    const fn is_whole(&self) -> bool {
        self.sender.is_some() && self.recipient.is_some()
    }
}

/// The address to use of those that a name has, IPv4 before IPv6, and their number.
fn first_address(name: &str, resolver: &impl Resolver) -> Result<(IpAddr, usize), ArgumentError> {
    let addresses = resolver.addresses(name);
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    match v4.or(addresses.first()) {
        Some(address) => Ok((*address, addresses.len())),
        None => Err(ArgumentError::NoAddress(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::ctl::args::{Arguments, Verb};
    use crate::ctl::resolver::tests::Table;

    fn read(words: &[&str]) -> Result<ExplainedAttempt, String> {
        let line = ["stargreyctl", "explain"].iter().chain(words);
        let arguments = Arguments::try_parse_from(line).unwrap();
        let Some(Verb::Explain(options)) = arguments.verb else {
            panic!("{words:?}");
        };
        let table = Table(
            &[
                ("192.0.2.1", "mx.example.org"),
                ("192.0.2.2", "forged.example.org"),
            ],
            &[
                ("mx.example.org", &["2001:db8::1", "192.0.2.1"]),
                ("mail.example.org", &["192.0.2.1"]),
            ],
        );
        ExplainedAttempt::read(&options, &table).map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_addresses_are_found_out() {
        let cases: [(&[&str], &str, &str, usize); 11] = [
            (&["192.0.2.1"], "192.0.2.1", "mx.example.org", 1),
            (&["192.0.2.2"], "192.0.2.2", "unknown", 1),
            (&["mx.example.org"], "192.0.2.1", "mx.example.org", 2),
            // Its address has another name, and that is the one that Postfix sees.
            (&["mail.example.org"], "192.0.2.1", "mx.example.org", 1),
            (&["mail.example.org", "--name=a.b"], "192.0.2.1", "a.b", 1),
            (&["192.0.2.1", "--no-lookup"], "192.0.2.1", "unknown", 1),
            (&["192.0.2.1", "--name=a.b"], "192.0.2.1", "a.b", 1),
            (&["a.b", "--address=192.0.2.9"], "192.0.2.9", "a.b", 1),
            (&["a.b[192.0.2.9]"], "192.0.2.9", "a.b", 1),
            (&["unknown[2001:db8::9]"], "2001:db8::9", "unknown", 1),
            (&["[192.0.2.1]"], "192.0.2.1", "mx.example.org", 1),
        ];
        for (words, address, name, addresses) in cases {
            let got = read(words).unwrap();
            assert_eq!(got.address.to_string(), address, "{words:?}");
            assert_eq!((&*got.name, got.addresses), (name, addresses), "{words:?}");
        }
    }

    #[test]
    fn what_cannot_be_found_out_is_asked_for() {
        let cases: [(&[&str], &str); 5] = [
            (&[""], "the client is missing: give its address"),
            (&["192.0.2.0/24"], "192.0.2.0/24 is a network without"),
            (&["nowhere.example.org"], "has no address in the DNS"),
            (&["mx.example.org", "--no-lookup"], "give --address"),
            (&["192.0.2.1", "--address=192.0.2.2"], "an address already"),
        ];
        for (words, want) in cases {
            let error = read(words).unwrap_err();
            assert!(error.contains(want), "{words:?}: {error}");
        }
    }

    #[test]
    fn what_is_not_given_is_assumed() {
        let got = read(&["192.0.2.1", "<>"]).unwrap();
        assert_eq!((got.sender(), got.recipient()), ("", RECIPIENT));
        assert!(!got.is_whole());
        let got = read(&["192.0.2.1", "<a@b>", "c@d"]).unwrap();
        assert_eq!((got.sender(), got.recipient()), ("a@b", "c@d"));
        assert!(got.is_whole());
    }
}

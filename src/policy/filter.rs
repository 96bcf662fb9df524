//! A selection of records.

use super::greylist::Triplet;
use super::identity::Identity;
use super::keys::{ClientKey, TripletKey, TripletParts};
use super::params::{CountBy, Params};
use super::rules::Ruleset;
use super::{Client, names};
use crate::types::{ClientIp, Prefix, Timestamp};

/// The state of a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waiting.
    Waiting,
    /// Passed.
    Passed,
}

/// Selects records. All given conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this client or network, or of this domain.
    pub client: Option<Identity>,
    /// Of the domain of a client with this verified name, instead of the client's network.
    pub name: Option<Vec<u8>>,
    /// Of this sender.
    pub sender: Option<Vec<u8>>,
    /// Of this recipient.
    pub recipient: Option<Vec<u8>>,
    /// In this state.
    pub state: Option<State>,
    /// Waiting triplets that were retried at least once.
    pub retrying: bool,
    /// Only records that have begun by this time: triplets that were first seen, and clients that were last counted.
    pub begun_by: Option<Timestamp>,
}

impl Filter {
    /// Whether it selects all records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let timeless = Self {
            begun_by: None,
            ..self.clone()
        };
        timeless == Self::default()
    }

    /// Whether it has only a client, so that all records of the client are selected.
    #[must_use]
    pub fn is_about_clients(&self) -> bool {
        let others = Self {
            client: None,
            name: None,
            ..self.clone()
        };
        self.client.is_some() && others.is_empty()
    }

    /// Whether it selects by client, sender or recipient, which a database of hashes does not have.
    #[must_use]
    pub const fn asks_for_text(&self) -> bool {
        self.client.is_some()
            || self.name.is_some()
            || self.sender.is_some()
            || self.recipient.is_some()
    }

    /// The filter with the domain of its name instead of network and name; `None` if there is no such domain, so that
    /// nothing matches.
    #[must_use]
    pub fn resolved(mut self, rules: &Ruleset) -> Option<Self> {
        if let Some(name) = self.name.take() {
            let network = self.client.as_ref().and_then(Identity::network);
            let address = ClientIp::new(network?.address());
            let domain = names::domain(&name, address, rules);
            self.client = Some(domain.filter(|_| rules.params.knows_domains())?.into());
        }
        Some(self)
    }

    /// The key, if the filter has all three parts of one triplet.
    #[must_use]
    pub fn key(&self, params: &Params) -> Option<TripletKey> {
        if let Identity::Network(client) = self.client.as_ref()?
            && client.length() < params.bits_of_triplets(*client)
        {
            return None;
        }
        let (sender, recipient) = (self.sender.as_ref()?, self.recipient.as_ref()?);
        Some(TripletKey::new(
            self.of_triplets(params)?,
            sender,
            recipient,
        ))
    }

    /// The client as in the keys of triplets; a wider network is unchanged.
    #[must_use]
    pub fn of_triplets(&self, params: &Params) -> Option<Identity> {
        self.client.as_ref().map(|client| match client {
            Identity::Network(client) => params.network_of_triplets(*client).into(),
            Identity::Domain(_) => client.clone(),
        })
    }

    /// The client as in the keys of the auto-whitelist.
    #[must_use]
    pub fn of_counts(&self, params: &Params) -> Option<Identity> {
        match params.count_by {
            CountBy::Address | CountBy::Domain => self.client.clone(),
            CountBy::Subnet => self.of_triplets(params),
        }
    }

    /// Whether it selects a triplet of the client; `parts` are missing if the database has only hashes.
    #[must_use]
    pub fn wants_triplet(&self, parts: Option<&TripletParts>, record: &Triplet) -> bool {
        let (state, retried) = match record {
            Triplet::Waiting {
                retries, counted, ..
            } => (State::Waiting, *retries > 0 || *counted > 0),
            Triplet::Passed { .. } => (State::Passed, false),
        };
        let by_record = self.state.is_none_or(|wanted| wanted == state)
            && (retried || !self.retrying)
            && self.begun_by.is_none_or(|time| record.first() <= time);
        let Some(parts) = parts else {
            return by_record;
        };
        let sender_of =
            |sender: &[u8]| TripletKey::new(parts.identity.clone(), sender, &parts.recipient);
        by_record
            && (self.sender.as_ref()).is_none_or(|sender| sender_of(sender) == parts.key())
            && (self.recipient.as_ref())
                .is_none_or(|recipient| recipient.eq_ignore_ascii_case(&parts.recipient))
    }

    /// Whether it selects a client by its record.
    #[must_use]
    pub fn wants_client(&self, record: &Client) -> bool {
        self.begun_by.is_none_or(|time| record.last <= time)
    }

    /// Whether it selects the record of this triplet, of whatever client.
    #[must_use]
    pub fn has_triplet(&self, key: &TripletKey, record: &Triplet, params: &Params) -> bool {
        let Some(parts) = key.parts() else {
            return false;
        };
        let client = self.of_triplets(params);
        client.is_none_or(|client| client.has(&parts.identity))
            && self.wants_triplet(Some(&parts), record)
    }

    /// Whether it selects the record of this client.
    #[must_use]
    pub fn has_client(&self, key: &ClientKey, record: &Client, params: &Params) -> bool {
        let is_selected = match self.of_counts(params) {
            None => self.is_empty(),
            Some(client) => {
                self.is_about_clients() && key.identity().is_some_and(|other| client.has(&other))
            }
        };
        is_selected && self.wants_client(record)
    }
}

impl Identity {
    /// Whether `other` is this domain, this network or a network inside it.
    #[must_use]
    pub fn has(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Network(network), Self::Network(other)) => {
                let is_same_family = network.address().is_ipv4() == other.address().is_ipv4();
                is_same_family
                    && other.length() >= network.length()
                    && Prefix::masked(other.address(), network.length()) == *network
            }
            (Self::Domain(domain), Self::Domain(other)) => domain == other,
            (Self::Network(_), Self::Domain(_)) | (Self::Domain(_), Self::Network(_)) => false,
        }
    }
}

impl Params {
    /// The prefix length of triplets.
    #[must_use]
    pub fn bits_of_triplets(&self, client: Prefix) -> u8 {
        if client.address().is_ipv4() {
            self.ipv4_bits
        } else {
            self.ipv6_bits
        }
    }

    /// The network of a client's triplets; a wider one is unchanged.
    #[must_use]
    pub fn network_of_triplets(&self, client: Prefix) -> Prefix {
        let bits = self.bits_of_triplets(client);
        Prefix::masked(client.address(), client.length().min(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_itself_and_the_networks_inside_it() {
        let network = |text: &str| Identity::from(Prefix::parse(text).unwrap());
        let domain =
            |name: &str| Identity::from(super::super::Domain::of(name.as_bytes()).unwrap());
        for (outer, inner, want) in [
            (network("192.0.2.0/24"), network("192.0.2.0/24"), true),
            (network("192.0.2.0/24"), network("192.0.2.7/32"), true),
            (network("192.0.2.0/24"), network("192.0.0.0/16"), false),
            (network("192.0.2.0/24"), network("192.0.3.0/24"), false),
            (network("0.0.0.0/0"), network("::/0"), false),
            (domain("a.com"), domain("a.com"), true),
            (domain("a.com"), domain("b.com"), false),
            (domain("a.com"), network("192.0.2.0/24"), false),
        ] {
            assert_eq!(outer.has(&inner), want, "{outer} {inner}");
        }
    }
}

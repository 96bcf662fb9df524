//! A selection of records.

use super::greylist::Triplet;
use super::identity::Identity;
use super::keys::{ClientKey, TripletKey, TripletParts};
use super::params::{CountBy, Params};
use super::rules::Ruleset;
use super::tarpit::Sleep;
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
    /// Only what was selected at this time already: triplets that were first seen by then, and had passed or been retried
    /// by then if that is asked for; clients that were last counted, and sleeps that were ordered.
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
            && self
                .begun_by
                .is_none_or(|time| self.was_wanted(record, time));
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

    /// Whether a triplet that it selects now was selected at `time` already. One that was retried since counts as one that
    /// was not: how often it had been retried by then is not known.
    fn was_wanted(&self, record: &Triplet, time: Timestamp) -> bool {
        let was_so = match record {
            Triplet::Waiting { last, .. } => !self.retrying || *last <= time,
            Triplet::Passed { passed, .. } => self.state.is_none() || *passed <= time,
        };
        was_so && record.first() <= time
    }

    /// Whether it selects a sleep by its record.
    #[must_use]
    pub fn wants_sleep(&self, record: &Sleep) -> bool {
        self.begun_by.is_none_or(|time| record.ordered <= time)
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
    use crate::types::Span;

    #[test]
    fn a_selection_of_an_earlier_time_has_what_was_selected_then_and_none_of_what_came_later() {
        let at = Timestamp::from_seconds;
        let waiting = |last| Triplet::Waiting {
            first: at(100),
            last: at(last),
            retries: 1,
            counted: 0,
            why: None,
        };
        let passed = |passed| Triplet::Passed {
            first: at(100),
            passed: at(passed),
            last: at(900),
            mails: 3,
        };
        let sleep = Sleep {
            ordered: at(100),
            length: Span::from_seconds(60),
            seen: at(900),
        };
        let filter = |state, retrying, time| Filter {
            state,
            retrying,
            begun_by: Some(at(time)),
            ..Filter::default()
        };
        let (is_waiting, has_passed) = (Some(State::Waiting), Some(State::Passed));
        let triplets = [
            ("begun before", None, false, 100, waiting(900), true),
            ("begun later", None, false, 99, waiting(900), false),
            ("passed later", None, false, 100, passed(500), true),
            ("waiting", is_waiting, false, 100, waiting(900), true),
            ("not any more", is_waiting, false, 100, passed(500), false),
            ("retried before", None, true, 400, waiting(400), true),
            ("retried later", None, true, 399, waiting(400), false),
            ("passed before", has_passed, false, 500, passed(500), true),
            ("passed since", has_passed, false, 499, passed(500), false),
        ];
        for (what, state, retrying, time, record, want) in triplets {
            let is_selected = filter(state, retrying, time).wants_triplet(None, &record);
            assert_eq!(is_selected, want, "{what}");
        }
        for (time, want) in [(100, true), (99, false)] {
            let is_selected = filter(None, false, time).wants_sleep(&sleep);
            assert_eq!(is_selected, want, "a sleep, {time}");
        }
        assert!(Filter::default().wants_sleep(&sleep));
    }

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

//! Evidence: external facts about an attempt, for instance from DNS.
//!
//! A check reads the evidence it needs from the attempt's [`Evidence`]. If it is missing, [`plan`](super::plan) returns
//! what must be looked up; the caller does that, adds the findings and plans again.
//!
//! Evidence belongs to one request and only grows: nothing is looked up twice. After [`ROUNDS`] rounds, or at the
//! deadline, missing evidence becomes [`Finding::NoAnswer`]; each check defines what that means.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::body_matches::BodyMatches;
use super::domain::Domain;
use super::properties::Properties;
use super::schedule::LocalTime;
use super::spam::SpamScore;
use super::spf::{SpfFinding, SpfQuestion};
use super::zone::Zone;
use crate::types::{ClientIp, Prefix, ReplyText, Timestamp};

/// Maximum number of rounds of lookups for one request, each with the findings of the rounds before.
pub const ROUNDS: usize = 3;

/// A lookup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The A records of a client in a DNS list.
    DnsList(Zone, ClientIp),
    /// The TXT record of a client in a DNS list, which says why it is listed.
    DnsListText(Zone, ClientIp),
    /// Whether SPF passes.
    Spf(SpfQuestion),
    /// Whether the client is in a network of so many bits with a mail server of the sender's domain.
    SenderMx(SpfQuestion, u8),
    /// What a spam filter says of the message. It is asked with the message in hand.
    Score,
    /// Whether a line of the message's body has this text. A large body is searched with the message in hand.
    BodyText(Box<str>),
}

/// The source that caused a lookup, by which lookups are limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LookupSource {
    /// A DNS list of the administrator.
    Zone(Zone),
    /// The texts of a DNS list, needed only for the text of a rejection.
    Texts(Zone),
    /// The network of a client, whose sender chooses the names that are looked up.
    Network(Prefix),
    /// The message.
    Message,
}

impl Lookup {
    /// The text that is looked for in the body, if that is what it asks.
    #[must_use]
    pub fn body_text(&self) -> Option<&str> {
        match self {
            Self::BodyText(text) => Some(text),
            Self::DnsList(..)
            | Self::DnsListText(..)
            | Self::Spf(_)
            | Self::SenderMx(..)
            | Self::Score => None,
        }
    }

    /// Its source.
    #[must_use]
    pub fn source(&self) -> LookupSource {
        match self {
            Self::DnsList(zone, _) => LookupSource::Zone(zone.clone()),
            Self::DnsListText(zone, _) => LookupSource::Texts(zone.clone()),
            Self::Spf(question) | Self::SenderMx(question, _) => {
                LookupSource::Network(question.network())
            }
            Self::Score | Self::BodyText(_) => LookupSource::Message,
        }
    }
}

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// These addresses. The resolver drops those outside 127.0.0.0/8.
    Addresses(Arc<[Ipv4Addr]>),
    /// This text.
    Text(ReplyText),
    /// There is no record.
    Absent,
    /// The result of SPF.
    Spf(SpfFinding),
    /// Whether the client is near a mail server of the sender's domain.
    SenderMx(bool),
    /// What a spam filter says of the message.
    Score(Arc<SpamScore>),
    /// Whether the text is in the body.
    BodyText(bool),
    /// No answer in time, or an error.
    NoAnswer,
}

impl Finding {
    /// The error code of a DNS list's reply that has no listing; unspecified if the reply had no address in
    /// 127.0.0.0/8.
    #[must_use]
    pub fn error_code(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Addresses(addresses) => error_code(addresses),
            Self::Text(_)
            | Self::Absent
            | Self::Spf(_)
            | Self::SenderMx(_)
            | Self::Score(_)
            | Self::BodyText(_)
            | Self::NoAnswer => None,
        }
    }
}

/// The findings of one request, and what its message and the clock have to say.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    found: Vec<(Lookup, Finding)>,
    is_closed: bool,
    /// The time where the mail server is; some time if no rule asks for it.
    pub time: LocalTime,
    /// The time of the decision, for texts.
    pub now: Option<Timestamp>,
    /// Whether the client has hung up in its last sleep; `None` if no rule can ask.
    pub has_hung_up: Option<bool>,
    /// How many have been counted for each rate limit, by its number.
    pub rates: Vec<u64>,
    /// The properties that rules have set for the message.
    pub properties: Properties,
    /// What the clauses of rules have found in the body, if it was searched beforehand.
    pub body: Option<Arc<BodyMatches>>,
}

impl Evidence {
    /// The result of a lookup; `None` if it is missing.
    #[must_use]
    pub fn find(&self, lookup: &Lookup) -> Option<&Finding> {
        let found = self.found.iter().find(|(known, _)| known == lookup);
        let is_closed = self.is_closed && lookup.body_text().is_none();
        match found {
            Some((_, finding)) => Some(finding),
            None => is_closed.then_some(&Finding::NoAnswer),
        }
    }

    /// The organizational domain that SPF has passed for, if it was evaluated and passed.
    #[must_use]
    pub fn spf_domain(&self) -> Option<&Domain> {
        self.found.iter().find_map(|(_, finding)| match finding {
            Finding::Spf(SpfFinding::Passed(domain)) => Some(domain),
            Finding::Spf(SpfFinding::NotPassed(_))
            | Finding::Addresses(_)
            | Finding::Text(_)
            | Finding::Absent
            | Finding::SenderMx(_)
            | Finding::Score(_)
            | Finding::BodyText(_)
            | Finding::NoAnswer => None,
        })
    }

    /// What a spam filter says of the message, if it was asked and has answered.
    #[must_use]
    pub fn score(&self) -> Option<&SpamScore> {
        match self.find(&Lookup::Score)? {
            Finding::Score(score) => Some(score),
            Finding::Spf(_)
            | Finding::SenderMx(_)
            | Finding::Addresses(_)
            | Finding::Text(_)
            | Finding::Absent
            | Finding::BodyText(_)
            | Finding::NoAnswer => None,
        }
    }

    /// Adds findings, without replacing any.
    pub fn add(&mut self, findings: impl IntoIterator<Item = (Lookup, Finding)>) {
        for (lookup, finding) in findings {
            if self.found.iter().all(|(known, _)| *known != lookup) {
                self.found.push((lookup, finding));
            }
        }
    }

    /// Ends the lookups of the request: missing evidence counts as [`Finding::NoAnswer`], but for what is found in the
    /// message itself.
    pub const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether the lookups have ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }
}

/// The error code among these addresses, if no listing is among them.
pub(super) fn error_code(addresses: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    let is_listed = addresses.iter().copied().any(is_listing);
    let first = addresses.first().copied();
    (!is_listed).then(|| first.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

/// Whether an address is a listing, not an error code. 127.0.0.255 means that the name server is refused (dnswl.org).
pub(super) fn is_listing(answer: Ipv4Addr) -> bool {
    match answer.octets() {
        [127, 255, 255, _] | [127, 0, 0, 255] => false,
        [first, ..] => first == 127,
    }
}

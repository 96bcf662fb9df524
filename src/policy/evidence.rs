//! Evidence: what is known about an attempt from outside, for instance from DNS.
//!
//! A check that needs such an answer looks for it in the [`Evidence`] of the attempt. If it is missing,
//! [`plan`](super::plan) says what must be looked up; the caller asks, adds the findings and plans again.
//!
//! Evidence belongs to one request and only grows: what is in it is never looked up again. After [`ROUNDS`] rounds,
//! or at the deadline, what is still missing is [`Finding::NoAnswer`]; each check says what that means.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::domain::Domain;
use super::schedule::LocalTime;
use super::spf::{SpfFinding, SpfQuestion};
use super::zone::Zone;
use crate::types::{ClientIp, Prefix, ReplyText};

/// How often the lookups of one request are asked for, each time with what was found before.
pub const ROUNDS: usize = 3;

/// Something that can be looked up outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The A records of a client in a DNS list.
    DnsList(Zone, ClientIp),
    /// The TXT record of a client in a DNS list, which says why it is listed.
    DnsListText(Zone, ClientIp),
    /// Whether SPF passes.
    Spf(SpfQuestion),
}

/// On whose account a lookup is made, so that no one takes the room of the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LookupSource {
    /// A zone that the administrator has named.
    Zone(Zone),
    /// The texts of such a zone: they only adorn a refusal.
    Texts(Zone),
    /// The network of a client: who sends has chosen the names that are looked up.
    Network(Prefix),
}

impl Lookup {
    /// On whose account it is made.
    #[must_use]
    pub fn source(&self) -> LookupSource {
        match self {
            Self::DnsList(zone, _) => LookupSource::Zone(zone.clone()),
            Self::DnsListText(zone, _) => LookupSource::Texts(zone.clone()),
            Self::Spf(question) => LookupSource::Network(question.network()),
        }
    }
}

/// What a lookup has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// These addresses. The resolver leaves out all that are not in 127.0.0.0/8.
    Addresses(Arc<[Ipv4Addr]>),
    /// This text.
    Text(ReplyText),
    /// There is no record.
    Absent,
    /// What SPF says.
    Spf(SpfFinding),
    /// There was no answer in time, or an error.
    NoAnswer,
}

impl Finding {
    /// What a list has replied with if that was nothing but an error code; unspecified if it was no address of a list
    /// at all.
    #[must_use]
    pub fn error_code(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Addresses(addresses) => error_code(addresses),
            Self::Text(_) | Self::Absent | Self::Spf(_) | Self::NoAnswer => None,
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
    /// The number of the rule that has let an earlier recipient of the message pass.
    pub earlier_pass: Option<u32>,
}

impl Evidence {
    /// What a lookup has found; `None` if it must still be asked.
    #[must_use]
    pub fn find(&self, lookup: &Lookup) -> Option<&Finding> {
        let found = self.found.iter().find(|(known, _)| known == lookup);
        match found {
            Some((_, finding)) => Some(finding),
            None => self.is_closed.then_some(&Finding::NoAnswer),
        }
    }

    /// The organizational domain that SPF has passed for, if it was asked and has.
    #[must_use]
    pub fn spf_domain(&self) -> Option<&Domain> {
        self.found.iter().find_map(|(_, finding)| match finding {
            Finding::Spf(SpfFinding::Passed(domain)) => Some(domain),
            Finding::Spf(SpfFinding::NotPassed(_))
            | Finding::Addresses(_)
            | Finding::Text(_)
            | Finding::Absent
            | Finding::NoAnswer => None,
        })
    }

    /// Adds findings. What is known already stays.
    pub fn add(&mut self, findings: impl IntoIterator<Item = (Lookup, Finding)>) {
        for (lookup, finding) in findings {
            if self.found.iter().all(|(known, _)| *known != lookup) {
                self.found.push((lookup, finding));
            }
        }
    }

    /// Ends the lookups of the request: what is missing counts as [`Finding::NoAnswer`].
    pub const fn close(&mut self) {
        self.is_closed = true;
    }
}

/// The error code that these addresses are, if no listing is among them.
pub(super) fn error_code(addresses: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    let is_listed = addresses.iter().copied().any(is_listing);
    let first = addresses.first().copied();
    (!is_listed).then(|| first.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

/// Whether an address is the answer of a list, and not an error code. 127.0.0.255 says that a name server is refused
/// (dnswl.org).
pub(super) fn is_listing(answer: Ipv4Addr) -> bool {
    match answer.octets() {
        [127, 255, 255, _] | [127, 0, 0, 255] => false,
        [first, ..] => first == 127,
    }
}

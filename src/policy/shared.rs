//! What other hosts of the site know about a case.
//!
//! Their records are evidence: [`Case::facts`](super::Case::facts) merges them with the host's own. What is learned that
//! way becomes durable with the decision.

use super::greylist::Triplet;
use super::identity::OTHER_NAMES;
use super::reputation::Client;

/// A host of the site, by a number that stands for its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub u32);

/// The records of other hosts, each with the host that published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SharedRecords {
    /// The client's.
    pub client: Option<(Client, Host)>,
    /// The triplet's, under all names of the client, in their order.
    pub triplets: [Option<(Triplet, Host)>; 1 + OTHER_NAMES],
}

/// A record that can be merged with that of another host.
pub trait Mergeable: Copy + PartialEq {
    /// What both say together.
    #[must_use]
    fn merge(self, other: Self) -> Self;

    /// Whether a decision by both together may be another than by `own` alone.
    fn decides_over(self, own: Self) -> bool;
}

/// A record into which those of other hosts are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged<T> {
    /// What all of them say together.
    pub record: Option<T>,
    /// Whether the other hosts have added to it.
    pub is_learned: bool,
    /// The host without which a decision might be another.
    pub host: Option<Host>,
}

impl<T: Mergeable> Merged<T> {
    /// The record of this host.
    #[must_use]
    pub const fn own(record: Option<T>) -> Self {
        Self {
            record,
            is_learned: false,
            host: None,
        }
    }

    /// Merges the record of another host. The caller has left out an expired one.
    pub fn add(&mut self, other: T, host: Host) {
        let decides = self.record.is_none_or(|own| other.decides_over(own));
        let merged = self.record.map_or(other, |own| own.merge(other));
        self.is_learned |= self.record != Some(merged);
        self.host = if decides { Some(host) } else { self.host };
        self.record = Some(merged);
    }
}

impl Mergeable for Triplet {
    fn merge(self, other: Self) -> Self {
        Self::merge(self, other)
    }

    fn decides_over(self, own: Self) -> bool {
        match (self.is_passed(), own.is_passed()) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => self.first() < own.first(),
        }
    }
}

impl Mergeable for Client {
    fn merge(self, other: Self) -> Self {
        Self::merge(self, other)
    }

    fn decides_over(self, own: Self) -> bool {
        self.count > own.count
    }
}

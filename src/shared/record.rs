//! The records that are shared, and their bodies on the server.
//!
//! ```text
//! body = host:4 record      ; the number of the host that published it; the record as in the database
//! ```

use std::time::Duration;

use super::seal::{Kind, Name, Opened, Seal};
use crate::policy::{Client, ClientKey, Host, Mergeable, Params, Triplet, TripletKey};
use crate::store::schema;
use crate::types::{Span, Timestamp};

/// The key of a shared record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A triplet's.
    Triplet(TripletKey),
    /// A client's.
    Client(ClientKey),
}

/// A shared record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A triplet's.
    Triplet(Triplet),
    /// A client's.
    Client(Client),
}

/// What the server has of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing, or nothing from a host of this site.
    Absent,
    /// A record, and the host that published it.
    Known(Record, Host),
    /// Something from a later version.
    Unknown,
}

impl Key {
    /// The key on the server.
    pub(super) fn name(&self, seal: &Seal) -> Name {
        match self {
            Self::Triplet(key) => seal.name_of_record(Kind::Triplet, key.as_bytes()),
            Self::Client(key) => seal.name_of_record(Kind::Client, key.as_bytes()),
        }
    }

    /// Reads a value of the server; `is_forged` is set if no host of the site has written it.
    pub(super) fn read(
        &self,
        seal: &Seal,
        name: &Name,
        value: Option<&[u8]>,
        is_forged: &mut bool,
    ) -> Stored {
        let body = match value.map(|value| seal.open(name, value)) {
            None => return Stored::Absent,
            Some(Opened::Forged) => {
                *is_forged = true;
                return Stored::Absent;
            }
            Some(Opened::Unknown) => return Stored::Unknown,
            Some(Opened::Body(body)) => body,
        };
        let Some((host, bytes)) = body.split_first_chunk() else {
            return Stored::Unknown;
        };
        let record = match self {
            Self::Triplet(_) => schema::decode_triplet(bytes).map(Record::Triplet),
            Self::Client(_) => schema::decode_client(bytes).map(Record::Client),
        };
        let host = Host(u32::from_be_bytes(*host));
        record.map_or(Stored::Unknown, |record| Stored::Known(record, host))
    }
}

impl Record {
    /// The value for the server.
    pub(super) fn value(self, host: Host, seal: &Seal, name: &Name) -> Vec<u8> {
        let bytes = match self {
            Self::Triplet(triplet) => schema::encode_triplet(triplet, None),
            Self::Client(client) => schema::encode_client(client),
        };
        seal.close(name, &[&host.0.to_be_bytes()[..], &bytes].concat())
    }

    /// Whether its time is over.
    pub(super) fn is_expired(self, now: Timestamp, params: &Params) -> bool {
        match self {
            Self::Triplet(triplet) => triplet.is_expired(now, params),
            Self::Client(client) => client.is_expired(now, params),
        }
    }

    /// When it was last seen.
    pub(super) const fn last(self) -> Timestamp {
        match self {
            Self::Triplet(triplet) => triplet.last(),
            Self::Client(client) => client.last,
        }
    }

    /// How long the server keeps it: no less than it lives.
    pub(super) fn lifetime(self, now: Timestamp, params: &Params) -> Duration {
        let age = match self {
            Self::Triplet(Triplet::Waiting { .. }) => params.retry_window,
            Self::Triplet(Triplet::Passed { .. }) | Self::Client(_) => params.max_age,
        };
        let left = self.last().after(age).since(now);
        Duration::from_secs(left.seconds().max(Span::from_seconds(1).seconds()))
    }
}

impl Mergeable for Record {
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Triplet(one), Self::Triplet(other)) => Self::Triplet(one.merge(other)),
            (Self::Client(one), Self::Client(other)) => Self::Client(one.merge(other)),
            // Keys of two kinds have no value in common.
            (Self::Triplet(_), Self::Client(_)) | (Self::Client(_), Self::Triplet(_)) => self,
        }
    }

    fn decides_over(self, own: Self) -> bool {
        match (self, own) {
            (Self::Triplet(other), Self::Triplet(own)) => other.decides_over(own),
            (Self::Client(other), Self::Client(own)) => other.decides_over(own),
            (Self::Triplet(_), Self::Client(_)) | (Self::Client(_), Self::Triplet(_)) => false,
        }
    }
}

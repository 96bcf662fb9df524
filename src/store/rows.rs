//! Rows: records with their keys, listed in pages.
//!
//! # The cursor
//!
//! ```text
//! cursor = table key      ; the number of a table in its store, the last stored key that was read
//! ```
//!
//! It is a position among the keys, not a record: the next page begins after that position even if its record has been
//! deleted.
//!
//! # One network, one domain
//!
//! A key begins with the address family and prefix length of a network, followed by its address. The records of a
//! network and of the networks inside it are one range for each prefix length in use. [`Scope::reach`] returns, for any
//! key, where the next of these ranges begins, so that nothing else is read. The records of a domain are one range,
//! after those of all networks.

use std::cmp::Ordering;

use super::privacy::HASH_LENGTH;
use super::schema::LONGEST_KEY;
use super::{StoreError, StoreRefusal};
use crate::policy::{Client, ClientKey, Identity, Sleep, Triplet, TripletParts};
use crate::types::Prefix;

/// Maximum number of records read for one page: about ten milliseconds.
const MOST_READ: usize = 20_000;

/// Maximum size of the addresses in one page, in bytes, without the last row: far below the limit of a D-Bus message.
const MOST_BYTES: usize = 1 << 20;

/// The records to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Triplets, waiting and passed.
    pub triplets: bool,
    /// Clients.
    pub clients: bool,
    /// Sleeps.
    pub sleeps: bool,
    /// Only records of this domain, or of this network and the networks inside it. A key has the network as it was
    /// masked when the record was created.
    pub identity: Option<Identity>,
}

/// A record with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A triplet.
    Triplet {
        /// Its key.
        key: RowKey<TripletParts>,
        /// Its record.
        record: Triplet,
    },
    /// A client.
    Client {
        /// Its key.
        key: RowKey<Identity>,
        /// Its record.
        record: Client,
    },
    /// A tarpitted client.
    Sleep {
        /// Its key.
        key: RowKey<Prefix>,
        /// Its record.
        record: Sleep,
    },
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RowKey<T> {
    /// Its parts.
    Plain(T),
    /// Its hash, under `--privacy`.
    Hashed(Vec<u8>),
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// The cursor for the next page; `None` after the last one.
    pub next: Option<Vec<u8>>,
}

impl Scope {
    /// All records.
    pub const ALL: Self = Self {
        triplets: true,
        clients: true,
        sleeps: true,
        identity: None,
    };

    /// The first key of the scope's records with networks of `length` bits.
    fn first_of(network: Prefix, length: u8) -> Vec<u8> {
        let network = Prefix::masked(network.address(), length);
        ClientKey::new(network).as_bytes().to_vec()
    }

    /// The key to begin with in each table; `None` for its first key.
    pub(super) fn first(&self) -> Option<Vec<u8>> {
        let identity = self.identity.clone()?;
        Some(ClientKey::new(identity).as_bytes().to_vec())
    }

    /// Whether a key is in the scope and, if not, where the next one may be.
    pub(super) fn reach(&self, key: &[u8]) -> Result<Reach, StoreError> {
        let wanted = match &self.identity {
            None => return Ok(Reach::Inside),
            Some(Identity::Network(network)) => *network,
            Some(domain @ Identity::Domain(_)) => return Ok(Reach::of_domain(domain, key)),
        };
        let (identity, _) = Identity::read(key).ok_or(StoreError::Record)?;
        let Identity::Network(network) = identity else {
            return Ok(Reach::Beyond);
        };
        match (wanted.address().is_ipv4(), network.address().is_ipv4()) {
            (true, false) => return Ok(Reach::Beyond),
            (false, true) => return Ok(Reach::Next(Self::first_of(wanted, wanted.length()))),
            (true, true) | (false, false) => {}
        }
        let length = network.length();
        if length < wanted.length() {
            return Ok(Reach::Next(Self::first_of(wanted, wanted.length())));
        }
        let outer = Prefix::masked(network.address(), wanted.length());
        Ok(match outer.address().cmp(&wanted.address()) {
            Ordering::Equal => Reach::Inside,
            Ordering::Less => Reach::Next(Self::first_of(wanted, length)),
            Ordering::Greater => {
                let longer = length.saturating_add(1);
                let next = Prefix::masked(wanted.address(), longer);
                if next.length() == longer {
                    Reach::Next(Self::first_of(wanted, longer))
                } else {
                    Reach::Beyond
                }
            }
        })
    }
}

/// The position of a key relative to a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// Inside.
    Inside,
    /// Outside; no key before this one is inside.
    Next(Vec<u8>),
    /// After the last key that can be inside.
    Beyond,
}

impl Reach {
    /// The position of a key relative to the scope of a domain.
    fn of_domain(domain: &Identity, key: &[u8]) -> Self {
        let wanted = ClientKey::new(domain.clone());
        let wanted = wanted.as_bytes();
        if key.starts_with(wanted) {
            Self::Inside
        } else if key < wanted {
            Self::Next(wanted.to_vec())
        } else {
            Self::Beyond
        }
    }
}

/// Where to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor<'a> {
    pub(super) table: u8,
    pub(super) key: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Decodes it; `None` means the beginning.
    pub(super) fn decode(bytes: &'a [u8], is_hashed: bool) -> Result<Option<Self>, StoreRefusal> {
        let Some((table, key)) = bytes.split_first() else {
            return Ok(None);
        };
        let is_key = if is_hashed {
            key.len() == HASH_LENGTH
        } else {
            key.len() <= LONGEST_KEY && Identity::read(key).is_some()
        };
        if !is_key {
            return Err(StoreRefusal::BadCursor);
        }
        Ok(Some(Self { table: *table, key }))
    }

    pub(super) fn encode(self) -> Vec<u8> {
        [&[self.table], self.key].concat()
    }
}

/// Builds a page.
pub(super) struct Collector<'w> {
    wanted: &'w dyn Fn(&Row) -> bool,
    most: usize,
    read: usize,
    bytes: usize,
    rows: Vec<Row>,
}

impl<'w> Collector<'w> {
    pub(super) fn new(most: usize, wanted: &'w dyn Fn(&Row) -> bool) -> Self {
        Self {
            wanted,
            most: most.max(1),
            read: 0,
            bytes: 0,
            rows: Vec::new(),
        }
    }

    /// Adds a record if it is wanted; returns whether it was the last one of the page.
    pub(super) fn add(&mut self, row: Row) -> bool {
        self.read = self.read.saturating_add(1);
        if (self.wanted)(&row) {
            self.bytes = self.bytes.saturating_add(row.size());
            self.rows.push(row);
        }
        self.rows.len() >= self.most || self.read >= MOST_READ || self.bytes >= MOST_BYTES
    }

    /// The finished page; `at` is its last key, `None` at the end of all tables.
    pub(super) fn page(self, at: Option<Cursor<'_>>) -> Page {
        Page {
            rows: self.rows,
            next: at.map(Cursor::encode),
        }
    }
}

impl Row {
    /// Bytes of its addresses.
    fn size(&self) -> usize {
        match self {
            Self::Triplet {
                key: RowKey::Plain(parts),
                ..
            } => parts.sender.len().saturating_add(parts.recipient.len()),
            Self::Triplet { .. } | Self::Client { .. } | Self::Sleep { .. } => HASH_LENGTH,
        }
    }
}

/// Whether a client's record is the listed one; its count may have increased since.
pub(super) const fn is_same_client(shown: Client, found: Client) -> bool {
    found.count >= shown.count
}

/// Whether a sleep is the listed one; it may have been seen again since.
pub(super) fn is_same_sleep(shown: Sleep, found: Sleep) -> bool {
    found.ordered == shown.ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Domain;

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text).unwrap()
    }

    fn key(text: &str) -> Vec<u8> {
        ClientKey::new(prefix(text)).as_bytes().to_vec()
    }

    #[test]
    fn a_scope_reaches_its_network_and_those_inside_it() {
        let cases = [
            ("192.0.2.0/24", "192.0.2.0/24", Some("")),
            ("192.0.2.0/24", "192.0.2.7/32", Some("")),
            ("192.0.2.0/24", "192.0.2.128/25", Some("")),
            ("192.0.2.0/24", "192.0.0.0/16", Some("192.0.2.0/24")),
            ("192.0.2.0/24", "10.0.0.0/24", Some("192.0.2.0/24")),
            ("192.0.2.0/24", "192.0.3.0/24", Some("192.0.2.0/25")),
            ("192.0.2.0/24", "192.0.3.0/32", None),
            ("192.0.2.0/24", "10.0.0.1/32", Some("192.0.2.0/32")),
            ("192.0.2.0/24", "2001:db8::/64", None),
            ("0.0.0.0/0", "203.0.113.9/32", Some("")),
            ("2001:db8::/64", "192.0.2.0/24", Some("2001:db8::/64")),
            ("2001:db8::/64", "2001:db8:0:1::/64", Some("2001:db8::/65")),
            ("2001:db8::/64", "2001:db8::1/128", Some("")),
            ("::/0", "ffff::/16", Some("")),
            ("::/0", "255.0.0.0/8", Some("::/0")),
        ];
        for (wanted, found, want) in cases {
            let scope = Scope {
                identity: Some(prefix(wanted).into()),
                ..Scope::ALL
            };
            let want = match want {
                None => Reach::Beyond,
                Some("") => Reach::Inside,
                Some(next) => Reach::Next(key(next)),
            };
            assert_eq!(scope.reach(&key(found)).unwrap(), want, "{wanted} {found}");
        }
    }

    #[test]
    fn a_scope_of_a_domain_reaches_its_keys_behind_all_networks() {
        let domain = |name: &str| Domain::of(name.as_bytes()).unwrap();
        let key_of = |name: &str| ClientKey::new(domain(name)).as_bytes().to_vec();
        let scope = Scope {
            identity: Some(domain("b.com").into()),
            ..Scope::ALL
        };
        let next = Reach::Next(key_of("b.com"));
        assert_eq!(scope.first(), Some(key_of("b.com")));
        for (name, found, want) in [
            ("IPv4", key("192.0.2.7/32"), next.clone()),
            ("IPv6", key("2001:db8::/64"), next.clone()),
            ("a domain before it", key_of("a.com"), next),
            ("itself", key_of("b.com"), Reach::Inside),
            (
                "a triplet",
                [key_of("b.com"), b"x@y\0z".to_vec()].concat(),
                Reach::Inside,
            ),
            ("one that begins alike", key_of("b.com.de"), Reach::Beyond),
            ("a domain behind it", key_of("c.com"), Reach::Beyond),
        ] {
            assert_eq!(scope.reach(&found).unwrap(), want, "{name}");
        }
        for network in ["0.0.0.0/0", "::/0"] {
            let scope = Scope {
                identity: Some(prefix(network).into()),
                ..Scope::ALL
            };
            assert_eq!(scope.reach(&key_of("b.com")).unwrap(), Reach::Beyond);
        }
    }

    #[test]
    fn a_scope_of_everything_reaches_hashes_too() {
        assert_eq!(Scope::ALL.reach(&[0; 16]).unwrap(), Reach::Inside);
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_and_anything_else_is_refused() {
        let stored = key("192.0.2.0/24");
        let cursor = Cursor {
            table: 3,
            key: &stored,
        };
        let decode =
            |bytes: &[u8], is_hashed| Cursor::decode(bytes, is_hashed).map(|at| at.is_some());
        assert_eq!(
            Cursor::decode(&cursor.encode(), false).unwrap(),
            Some(cursor)
        );
        assert!(!decode(b"", false).unwrap());
        assert!(decode(&[0; 17], true).unwrap());
        let long = [vec![0], stored, vec![b'x'; 510]].concat();
        assert!(decode(&long[..512], false).unwrap());
        let foreign: [(&[u8], bool); 6] = [
            (&[3], false),
            (b"something else", false),
            (&[0; 17], false),
            (&long[..513], false),
            (&[0; 16], true),
            (&[0; 18], true),
        ];
        for (bytes, is_hashed) in foreign {
            let refused = decode(bytes, is_hashed);
            assert!(matches!(refused, Err(StoreRefusal::BadCursor)), "{bytes:?}");
        }
    }
}

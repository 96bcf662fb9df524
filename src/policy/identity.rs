//! The identity of a client in the keys of records: its network, or its organizational domain.
//!
//! # In a key
//!
//! ```text
//! identity = %x04 length address      ; an IPv4 network: prefix length, as many bytes as the length needs
//!          / %x06 length address      ; an IPv6 network
//!          / %x07 length name         ; a domain: bytes of the name, the name in lower case
//! ```
//!
//! An identity is self-delimiting. Domains are sorted after all networks, and the keys of one identity are one range.

use std::fmt;
use std::net::IpAddr;

use super::domain::Domain;
use crate::types::Prefix;

const IPV4: u8 = 4;
const IPV6: u8 = 6;
const DOMAIN: u8 = 7;

/// The first byte of a key that is known by its hash only.
const HASHED: u8 = 0;

/// Maximum length of a network's identity, in bytes.
pub(super) const LONGEST_NETWORK: usize = 18;

/// Most names of a client besides the first: see [`names`](super::names).
pub const OTHER_NAMES: usize = 2;

/// The identity of a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A network.
    Network(Prefix),
    /// An organizational domain.
    Domain(Domain),
}

impl Identity {
    /// The network, if it is one.
    #[must_use]
    pub const fn network(&self) -> Option<Prefix> {
        match self {
            Self::Network(network) => Some(*network),
            Self::Domain(_) => None,
        }
    }

    /// The identity at the beginning of a key, and the rest.
    pub(crate) fn read(key: &[u8]) -> Option<(Self, &[u8])> {
        let (&[family, length], rest) = key.split_first_chunk()?;
        if family == DOMAIN {
            let (name, rest) = rest.split_at_checked(usize::from(length))?;
            return Some((Self::Domain(Domain::from_key(name)?), rest));
        }
        let (address, rest) = rest.split_at_checked(usize::from(length).div_ceil(8))?;
        let address = match family {
            IPV4 => IpAddr::from(padded::<4>(address)?),
            IPV6 => IpAddr::from(padded::<16>(address)?),
            _ => return None,
        };
        let network = Prefix::masked(address, length);
        let is_whole = network.address() == address && network.length() == length;
        is_whole.then_some((Self::Network(network), rest))
    }

    /// Writes the beginning of a key.
    pub(super) fn write(&self, key: &mut Vec<u8>) {
        match self {
            Self::Network(network) => {
                let bytes = usize::from(network.length()).div_ceil(8);
                match network.address() {
                    IpAddr::V4(v4) => {
                        key.extend_from_slice(&[IPV4, network.length()]);
                        key.extend(v4.octets().iter().take(bytes));
                    }
                    IpAddr::V6(v6) => {
                        key.extend_from_slice(&[IPV6, network.length()]);
                        key.extend(v6.octets().iter().take(bytes));
                    }
                }
            }
            Self::Domain(domain) => {
                let name = domain.as_str().as_bytes();
                // No domain is longer than 253 bytes.
                key.extend_from_slice(&[DOMAIN, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
                key.extend_from_slice(name);
            }
        }
    }

    /// Maximum length in a key, in bytes.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Network(_) => LONGEST_NETWORK,
            Self::Domain(domain) => domain.as_str().len().saturating_add(2),
        }
    }

    /// The key that is known by its hash only.
    pub(super) fn hashed(hash: &[u8]) -> Vec<u8> {
        [&[HASHED], hash].concat()
    }

    /// The hash, if a key is known by it only.
    pub(super) fn hash_of(key: &[u8]) -> Option<&[u8]> {
        let (first, hash) = key.split_first()?;
        (*first == HASHED).then_some(hash)
    }

    /// Whether a key begins with a domain.
    pub(super) fn is_domain(key: &[u8]) -> bool {
        key.first() == Some(&DOMAIN)
    }
}

impl From<Prefix> for Identity {
    fn from(network: Prefix) -> Self {
        Self::Network(network)
    }
}

impl From<Domain> for Identity {
    fn from(domain: Domain) -> Self {
        Self::Domain(domain)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

/// The bytes, padded with zeros; `None` if there are too many.
fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    out.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(out)
}

//! Client addresses and networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The port of DNS (RFC 1035, 4.2).
pub const DNS_PORT: u16 = 53;

/// A client's address in its one canonical form: an IPv4-mapped IPv6 address is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// Parses the textual form, IPv4 or IPv6 in any spelling; `None` for anything else (`unknown`).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        text.parse().ok().map(Self::new)
    }

    /// The canonical form of `address`.
    #[must_use]
    pub const fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address itself.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.0
    }

    /// Whether it is an address of the machine itself.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }

    /// Whether it is a public address: not private, local or reserved.
    #[must_use]
    pub fn is_public(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                let is_shared = a == 100 && (64..128).contains(&b);
                !(v4.is_private()
                    || v4.is_loopback()
                    || v4.is_link_local()
                    || is_shared
                    || a == 0
                    || a >= 224)
            }
            // Only 2000::/3 is assigned for global unicast (RFC 4291, 2.4).
            IpAddr::V6(v6) => v6.octets().first().is_some_and(|first| first >> 5 == 1),
        }
    }

    /// The address in reverse, as labels of a name in DNS (RFC 5782, 2.1 and 2.4). It ends with a dot.
    #[must_use]
    pub fn reversed(self) -> String {
        match self.0 {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                format!("{d}.{c}.{b}.{a}.")
            }
            IpAddr::V6(v6) => {
                let octets = v6.octets().into_iter().rev();
                let nibbles = octets.flat_map(|octet| [octet & 15, octet >> 4]);
                let digits = nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16));
                digits.flat_map(|digit| [digit, '.']).collect()
            }
        }
    }

    /// The client's network: the first `v4` or `v6` bits, by family.
    #[must_use]
    pub fn network(self, v4: u8, v6: u8) -> Prefix {
        match self.0 {
            IpAddr::V4(_) => Prefix::masked(self.0, v4),
            IpAddr::V6(_) => Prefix::masked(self.0, v6),
        }
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A network: an address whose bits beyond the prefix length are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is not an address.
    #[error("this is not an IP address")]
    Address,
    /// The part after the slash is not a valid number of bits for the address.
    #[error("the prefix length must be a number from 0 to {0}")]
    Length(u8),
}

impl Prefix {
    /// The network of `length` bits that contains `address`; a length above that of the address is limited to it.
    #[must_use]
    pub fn masked(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let length = length.min(32);
                let host_bits = u32::from(32_u8.saturating_sub(length));
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or_default();
                Self {
                    address: IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask)),
                    length,
                }
            }
            IpAddr::V6(v6) => {
                let length = length.min(128);
                let host_bits = u32::from(128_u8.saturating_sub(length));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or_default();
                Self {
                    address: IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)),
                    length,
                }
            }
        }
    }

    /// Parses `address` or `address/length`. A mapped IPv4 address (`::ffff:192.0.2.0/120`) becomes the IPv4 network,
    /// as client addresses do.
    ///
    /// # Errors
    ///
    /// [`PrefixError`] says which of the two parts is invalid.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => widest,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|length| *length <= widest)
                .ok_or(PrefixError::Length(widest))?,
        };
        match address.to_canonical() {
            canonical @ IpAddr::V4(_) if address.is_ipv6() && length >= 96 => {
                Ok(Self::masked(canonical, length.saturating_sub(96)))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => Ok(Self::masked(address, length)),
        }
    }

    /// The first address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether this network contains `client`.
    #[must_use]
    pub fn contains(self, client: ClientIp) -> bool {
        self.address.is_ipv4() == client.0.is_ipv4() && Self::masked(client.0, self.length) == self
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientIp {
        ClientIp::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(client("::ffff:192.0.2.7"), client("192.0.2.7"));
        assert_eq!(
            Prefix::parse("::ffff:192.0.2.0/120").unwrap(),
            Prefix::parse("192.0.2.0/24").unwrap()
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "unknown",
            "",
            "10.1",
            "1.2.3.4.5",
            "1.2.3.256",
            "fe80::1%eth0",
            "[::1]",
        ] {
            assert_eq!(ClientIp::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn networks_are_parsed_masked_and_compared() {
        let cases = [
            ("192.0.2.77/24", "192.0.2.0/24", "192.0.2.200", true),
            ("192.0.2.77/24", "192.0.2.0/24", "192.0.3.200", false),
            ("10.9.8.7", "10.9.8.7/32", "10.9.8.7", true),
            ("0.0.0.0/0", "0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "0.0.0.0/0", "2001:db8::1", false),
            (
                "2001:DB8:0:1::99/64",
                "2001:db8:0:1::/64",
                "2001:db8:0:1:f::1",
                true,
            ),
            ("::/0", "::/0", "2001:db8::1", true),
        ];
        for (text, want, address, want_contains) in cases {
            let prefix = Prefix::parse(text).unwrap();
            assert_eq!(prefix.to_string(), want, "{text}");
            assert_eq!(
                prefix.contains(client(address)),
                want_contains,
                "{text} {address}"
            );
        }
    }

    #[test]
    fn bad_networks_say_which_part_is_bad() {
        assert_eq!(Prefix::parse("300.1.1.1/8"), Err(PrefixError::Address));
        assert_eq!(Prefix::parse("10.0.0.0/33"), Err(PrefixError::Length(32)));
        assert_eq!(Prefix::parse("::/x"), Err(PrefixError::Length(128)));
    }
}

//! Tables of networks: `cidr_table(5)`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::lists::Entry;
use super::steps::Steps;
use super::{AccessResult, Template};

/// Why a pattern is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// `[` without `]`.
    #[error("a [ without its ]")]
    Open,
    /// Text after `]`.
    #[error("text after the ]")]
    Behind,
    /// Not an address.
    #[error("{0:?} is not an IP address")]
    Address(String),
    /// Not a valid number of bits for the address.
    #[error("{0:?} is not a prefix length from 0 to {1}")]
    Length(String, u32),
    /// `192.0.2.1/24`.
    #[error("{0} is a host in a network; write {1}")]
    HostBits(String, String),
}

/// The addresses in a network, or those of its family outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    is_v4: bool,
    bits: u128,
    mask: u128,
    negated: bool,
}

impl Network {
    /// Parses `192.0.2.0/24`, `192.0.2.1`, `2001:db8::/32`, with or without brackets around the address or the whole.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] says why it is invalid.
    pub fn parse(text: &str, negated: bool) -> Result<Self, NetworkError> {
        let (address, length) = parts(text)?;
        let wrong = || NetworkError::Address(address.to_owned());
        let parsed = parse_address(address).ok_or_else(wrong)?;
        let (is_v4, bits, most) = number(parsed);
        let length = length.map_or(Ok(most), |length| {
            let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let number = length.parse::<u32>().ok().filter(|_| is_number);
            number
                .filter(|number| *number <= most)
                .ok_or_else(|| NetworkError::Length(length.to_owned(), most))
        })?;
        let host_bits = most.saturating_sub(length);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        if bits & !mask != 0 {
            let network = match u32::try_from(bits & mask) {
                Ok(v4) if is_v4 => IpAddr::V4(Ipv4Addr::from_bits(v4)),
                Ok(_) | Err(_) => IpAddr::V6(Ipv6Addr::from_bits(bits & mask)),
            };
            let better = format!("{network}/{length}");
            return Err(NetworkError::HostBits(text.to_owned(), better));
        }
        Ok(Self {
            is_v4,
            bits,
            mask,
            negated,
        })
    }

    /// Whether this matches the address. Negated or not, it matches only addresses of its own family.
    fn covers(self, is_v4: bool, bits: u128) -> bool {
        self.is_v4 == is_v4 && (bits & self.mask == self.bits) != self.negated
    }
}

/// The address and the prefix length of a pattern.
fn parts(text: &str) -> Result<(&str, Option<&str>), NetworkError> {
    let (inside, behind) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']').ok_or(NetworkError::Open)?,
        None => (text, ""),
    };
    if let Some(length) = behind.strip_prefix('/') {
        return Ok((inside, Some(length)));
    }
    if !behind.is_empty() {
        return Err(NetworkError::Behind);
    }
    Ok(match inside.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (inside, None),
    })
}

/// An address in the syntax of `inet_pton`.
fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        text.parse().ok().map(IpAddr::V6)
    } else {
        text.parse().ok().map(IpAddr::V4)
    }
}

/// Whether it is an IPv4 address, its bits, and how many it has.
fn number(address: IpAddr) -> (bool, u128, u32) {
    match address {
        IpAddr::V4(v4) => (true, v4.to_bits().into(), Ipv4Addr::BITS),
        IpAddr::V6(v6) => (false, v6.to_bits(), Ipv6Addr::BITS),
    }
}

/// A line of a table of networks.
#[derive(Debug)]
pub enum NetworkLine {
    /// A result for the addresses of a network.
    Rule(Network, AccessResult, Template, Entry),
    /// The lines up to the `endif` are skipped for other addresses.
    If(Network),
    /// The end of the last open `if`; ignored without one.
    EndIf,
}

/// The lines of a table. They are searched in order, in one or two nanoseconds each.
#[derive(Debug)]
pub(super) struct NetworkTable {
    steps: Steps<Network>,
}

impl NetworkTable {
    /// A table of these lines; `number` adds a result as an entry and returns the entry's number.
    pub(super) fn new(
        lines: Vec<NetworkLine>,
        mut number: impl FnMut(AccessResult, Template, Entry) -> u32,
    ) -> Self {
        let mut steps = Steps::new();
        for line in lines {
            match line {
                NetworkLine::Rule(network, result, text, entry) => {
                    steps.rule(network, number(result, text, entry));
                }
                NetworkLine::If(network) => steps.begin(network),
                NetworkLine::EndIf => steps.end(),
            }
        }
        Self { steps }
    }

    /// The number of the entry that decides on an address; `None` if `address` is not one.
    pub(super) fn find(&self, address: &[u8]) -> Option<u32> {
        let address = parse_address(str::from_utf8(address).ok()?)?;
        let (is_v4, bits, _) = number(address);
        let covers = |network: &Network| network.covers(is_v4, bits);
        self.steps.find(covers, covers)
    }
}

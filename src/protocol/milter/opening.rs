//! What a mail server sends before the first command of a client, with the address of the client in plain form.
//!
//! Sendmail writes `IPv6:` before an IPv6 address (RFC 5321, 4.1.3), which `indymilter` does not accept. [`Opening`] passes
//! packets on unchanged until it has seen the one that names the client; from there on the bytes need not be looked at.
//!
//! # On the wire
//!
//! ```text
//! packet  = length (4 bytes, big-endian, of what follows) letter data
//! connect = "C": name NUL "6" port (2 bytes) ["IPv6:"] address NUL
//! ```
//!
//! # Limits
//!
//! A packet of more than [`MOST_HELD`] bytes is not part of an opening: it and what follows pass unchanged.

use memchr::memchr;

/// Most bytes of a packet of an opening: macros and names are far shorter.
const MOST_HELD: usize = 16 << 10;

/// Bytes of a packet's length.
const LENGTH: usize = 4;

/// The letter of the packet that names the client.
const CONNECT: u8 = b'C';

/// The family of an IPv6 address, and the bytes of family and port.
const FAMILY_6: u8 = b'6';
const FAMILY_AND_PORT: usize = 3;

/// What Sendmail writes before an IPv6 address, in whatever case.
const PREFIX: &[u8] = b"IPv6:";

/// The opening of a connection, which comes in parts.
#[derive(Debug, Default)]
pub struct Opening {
    /// The beginning of a packet.
    held: Vec<u8>,
    is_over: bool,
}

impl Opening {
    /// Takes the next bytes of the connection, and appends those that can be passed on.
    pub fn take(&mut self, bytes: &[u8], passed: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        while !self.is_over
            && let Some(length) = packet_length(&self.held)
        {
            if length > MOST_HELD {
                self.is_over = true;
            } else if length <= self.held.len() {
                let rest = self.held.split_off(length);
                self.is_over = self.held.get(LENGTH) == Some(&CONNECT);
                pass(&self.held, passed);
                self.held = rest;
            } else {
                return;
            }
        }
        if self.is_over {
            self.end(passed);
        }
    }

    /// The connection has no more bytes: what was held is passed on.
    pub fn end(&mut self, passed: &mut Vec<u8>) {
        self.is_over = true;
        passed.append(&mut self.held);
    }

    /// Whether further bytes need not be taken.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }
}

/// The length of the packet that begins here, with that of its length.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let (length, _) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    Some(length.saturating_add(LENGTH))
}

/// Appends a packet, without the prefix of its address.
fn pass(packet: &[u8], passed: &mut Vec<u8>) {
    let Some((before, address)) = prefixed_address(packet) else {
        passed.extend_from_slice(packet);
        return;
    };
    let data = before.get(LENGTH..).unwrap_or_default();
    // Shorter than the packet, whose length has four bytes.
    let length = u32::try_from(data.len().saturating_add(address.len())).unwrap_or(u32::MAX);
    passed.extend_from_slice(&length.to_be_bytes());
    passed.extend_from_slice(data);
    passed.extend_from_slice(address);
}

/// If this packet names a client with a prefixed address: what is before the prefix, and what is behind it.
fn prefixed_address(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = LENGTH.saturating_add(1);
    if packet.get(LENGTH) != Some(&CONNECT) {
        return None;
    }
    let family = memchr(0, packet.get(name..)?)?
        .checked_add(name)?
        .checked_add(1)?;
    if packet.get(family) != Some(&FAMILY_6) {
        return None;
    }
    let (before, address) = packet.split_at_checked(family.checked_add(FAMILY_AND_PORT)?)?;
    let (prefix, address) = address.split_at_checked(PREFIX.len())?;
    prefix
        .eq_ignore_ascii_case(PREFIX)
        .then_some((before, address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet.
    fn packet(letter: u8, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len() + 1).unwrap();
        [&length.to_be_bytes()[..], &[letter], data].concat()
    }

    /// The packet that names a client.
    fn connect(name: &str, family: u8, address: &str) -> Vec<u8> {
        let parts = [
            name.as_bytes(),
            &[0, family, 0, 25],
            address.as_bytes(),
            &[0],
        ];
        packet(b'C', &parts.concat())
    }

    /// What is passed on of a connection whose bytes come in parts of this size.
    fn passed(bytes: &[u8], size: usize) -> Vec<u8> {
        let (mut opening, mut passed) = (Opening::default(), Vec::new());
        for part in bytes.chunks(size) {
            opening.take(part, &mut passed);
        }
        opening.end(&mut passed);
        passed
    }

    #[test]
    fn an_ipv6_address_loses_its_prefix_and_every_other_packet_stays() {
        let negotiation = packet(b'O', &[0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]);
        let macros = packet(b'D', b"C_\0a [IPv6:2001:db8::7]\0");
        let client = |address| connect("mx.example", b'6', address);
        let cases = [
            (
                "Sendmail",
                client("IPv6:2001:db8:0:0:0:0:0:7"),
                client("2001:db8:0:0:0:0:0:7"),
            ),
            ("another case", client("IPV6:::1"), client("::1")),
            ("Postfix", client("2001:db8::7"), client("2001:db8::7")),
            ("the prefix alone", client("IPv6:"), client("")),
            ("twice", client("IPv6:IPv6:::1"), client("IPv6:::1")),
            ("an empty address", client(""), client("")),
            (
                "a name like an address",
                connect("[IPv6:2001:db8::7]", b'6', "IPv6:2001:db8::7"),
                connect("[IPv6:2001:db8::7]", b'6', "2001:db8::7"),
            ),
            (
                "IPv4",
                connect("mx.example", b'4', "192.0.2.7"),
                connect("mx.example", b'4', "192.0.2.7"),
            ),
            (
                "a socket of this name",
                connect("x", b'L', "IPv6:x"),
                connect("x", b'L', "IPv6:x"),
            ),
            ("no client", packet(b'C', b"x\0U"), packet(b'C', b"x\0U")),
            ("no NUL", packet(b'C', b"x6"), packet(b'C', b"x6")),
            ("no data", packet(b'C', b""), packet(b'C', b"")),
            ("no letter", vec![0; 4], vec![0; 4]),
        ];
        // After the client's packet nothing is changed.
        let after = [packet(b'D', b"Hx\0y\0"), client("IPv6:::2"), vec![0xff; 9]].concat();
        for (name, client, want) in cases {
            let all = |client: &[u8]| [&negotiation, &macros, client].concat();
            for size in [1, 3, 4096] {
                assert_eq!(passed(&all(&client), size), all(&want), "{name}, by {size}");
            }
            if client.get(LENGTH) == Some(&CONNECT) {
                let (bytes, want) = ([&*client, &after].concat(), [&*want, &after].concat());
                assert_eq!(passed(&bytes, 7), want, "{name}, and more");
            }
        }
    }

    #[test]
    fn a_packet_is_passed_on_as_soon_as_it_is_there() {
        let (mut opening, mut passed) = (Opening::default(), Vec::new());
        let negotiation = packet(b'O', &[0; 12]);
        opening.take(&negotiation, &mut passed);
        assert_eq!((&passed, opening.is_over()), (&negotiation, false));
        opening.take(&connect("x", b'4', "192.0.2.7"), &mut passed);
        assert!(opening.is_over());
    }

    #[test]
    fn what_is_held_has_a_bound() {
        for (length, want_over) in [(MOST_HELD - LENGTH, false), (MOST_HELD - LENGTH + 1, true)] {
            let (mut opening, mut passed) = (Opening::default(), Vec::new());
            let bytes = [&u32::try_from(length).unwrap().to_be_bytes()[..], b"Dx"].concat();
            opening.take(&bytes, &mut passed);
            assert_eq!(opening.is_over(), want_over, "{length}");
            assert_eq!(passed.is_empty(), !want_over, "{length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_is_lost_but_a_prefix(bytes: Vec<u8>, size in 1_usize..20) {
            let passed = passed(&bytes, size);
            prop_assert!(passed == bytes || passed.len() + PREFIX.len() == bytes.len());
        }
    }
}

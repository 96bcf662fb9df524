//! The keys of records: a triplet's is the client's identity, the folded sender and the recipient.
//!
//! # The key
//!
//! ```text
//! triplet = identity sender NUL recipient    ; lower-cased bytes, of any length
//! client  = identity
//!         / %x00 hash                        ; of either, where only its hash is known (--privacy)
//! ```
//!
//! The [`Identity`] is self-delimiting and addresses contain no NUL, so two triplets never share a key. The triplets of
//! one network, and those of one domain, are one range. (Postgrey joins the parts with `/`, which addresses may
//! contain.)
//!
//! # Folding a sender
//!
//! Only the local part of an address with `@` is folded, in this order: SRS0 and SRS1 lose hash and
//! time stamp; BATV (`prvs=`) loses its tag; what follows the first `+` is cut; digits that stand as a
//! word become `#`. All but SRS is Postgrey 1.37's.

use super::identity::Identity;
use crate::types::{ClientIp, Prefix};

/// Identifies a triplet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TripletKey(Vec<u8>);

/// The parts of a triplet's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TripletParts {
    /// The client's identity.
    pub identity: Identity,
    /// The sender, folded and lower-cased.
    pub sender: Vec<u8>,
    /// The recipient, lower-cased.
    pub recipient: Vec<u8>,
}

/// Identifies a client, network or domain for the auto-whitelist. The keys of its triplets begin with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(Vec<u8>);

impl TripletKey {
    /// The key of a triplet; the sender is folded here.
    #[must_use]
    pub fn new(identity: impl Into<Identity>, sender: &[u8], recipient: &[u8]) -> Self {
        Self::write(&identity.into(), recipient, sender.len(), |key| {
            fold_sender(sender, key);
        })
    }

    /// The key with these [`parts`](Self::parts), whose sender is folded already. Folding it again might remove more:
    /// `PRVS=1=joe@…` is stored as `prvs=#=joe@…`, which would become `joe@…`.
    #[must_use]
    pub fn from_parts(identity: &Identity, folded_sender: &[u8], recipient: &[u8]) -> Self {
        Self::write(identity, recipient, folded_sender.len(), |key| {
            key.extend_from_slice(folded_sender);
        })
    }

    /// The key with these bytes.
    pub(crate) const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The parts of the key; `None` if the bytes are not a valid key.
    #[must_use]
    pub fn parts(&self) -> Option<TripletParts> {
        let (identity, text) = Identity::read(&self.0)?;
        let (sender, recipient) = split_once(text, 0)?;
        Some(TripletParts {
            identity,
            sender: sender.to_vec(),
            recipient: recipient.to_vec(),
        })
    }

    fn write(
        identity: &Identity,
        recipient: &[u8],
        sender_room: usize,
        write_sender: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let room = sender_room
            .saturating_add(recipient.len())
            .saturating_add(identity.room())
            // The NUL, and the bytes that folding may add.
            .saturating_add(6);
        let mut key = Vec::with_capacity(room);
        identity.write(&mut key);
        let text = key.len();
        write_sender(&mut key);
        key.push(0);
        key.extend_from_slice(recipient);
        if let Some(text) = key.get_mut(text..) {
            text.make_ascii_lowercase();
        }
        Self(key)
    }

    /// Whether the client's identity is a domain.
    #[must_use]
    pub fn is_of_domain(&self) -> bool {
        Identity::is_domain(&self.0)
    }

    /// The key of a triplet of which only the hash of its key is known, under `--privacy`.
    #[must_use]
    pub fn hashed(hash: &[u8]) -> Self {
        Self(Identity::hashed(hash))
    }

    /// The hash, if only that is known.
    #[must_use]
    pub fn hash(&self) -> Option<&[u8]> {
        Identity::hash_of(&self.0)
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TripletParts {
    /// Builds the key from them.
    #[must_use]
    pub fn key(&self) -> TripletKey {
        TripletKey::from_parts(&self.identity, &self.sender, &self.recipient)
    }
}

impl ClientKey {
    /// The key of a client, or of a network or a domain of clients.
    #[must_use]
    pub fn new(identity: impl Into<Identity>) -> Self {
        let identity = identity.into();
        let mut key = Vec::with_capacity(identity.room());
        identity.write(&mut key);
        Self(key)
    }

    /// The key of a client by its address alone.
    #[must_use]
    pub fn of_address(client: ClientIp) -> Self {
        Self::new(client.network(32, 128))
    }

    /// The key with these bytes.
    pub(crate) const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The client's identity; `None` if the bytes are not a valid key.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        let (identity, rest) = Identity::read(&self.0)?;
        rest.is_empty().then_some(identity)
    }

    /// The client's network; `None` if its identity is a domain, or the bytes are not a valid key.
    #[must_use]
    pub fn network(&self) -> Option<Prefix> {
        self.identity()?.network()
    }

    /// Whether the client's identity is a domain.
    #[must_use]
    pub fn is_of_domain(&self) -> bool {
        Identity::is_domain(&self.0)
    }

    /// The key of a client of which only the hash of its key is known, under `--privacy`.
    #[must_use]
    pub fn hashed(hash: &[u8]) -> Self {
        Self(Identity::hashed(hash))
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The hash, if only that is known of the key with these bytes.
#[must_use]
pub fn hash_of(key: &[u8]) -> Option<&[u8]> {
    Identity::hash_of(key)
}

/// Writes `sender` without the parts that change from mail to mail.
pub(super) fn fold_sender(sender: &[u8], out: &mut Vec<u8>) {
    let Some(at) = sender.iter().position(|byte| *byte == b'@') else {
        out.extend_from_slice(sender);
        return;
    };
    let (local, domain) = sender.split_at_checked(at).unwrap_or_default();
    if let Some(original) = strip_srs(local) {
        out.extend_from_slice(b"srs=");
        fold_digits(cut_extension(original), out);
    } else {
        fold_digits(cut_extension(strip_batv(local)), out);
    }
    out.extend_from_slice(domain);
}

/// `domain=local` of an SRS address: `SRS0=hash=time=domain=local`,
/// `SRS1=hash=host==hash=time=domain=local`. The separator behind the tag may be `=`, `+` or `-`.
fn strip_srs(local: &[u8]) -> Option<&[u8]> {
    let is_separator = |byte: &u8| matches!(byte, b'=' | b'+' | b'-');
    let (tag, rest) = local.split_at_checked(4)?;
    let rest = match rest {
        [separator, rest @ ..] if is_separator(separator) => rest,
        _ => return None,
    };
    let inner = match tag.to_ascii_lowercase().as_slice() {
        b"srs0" => rest,
        b"srs1" => {
            let (_hash, rest) = split_once(rest, b'=')?;
            let (_host, rest) = split_once(rest, b'=')?;
            match rest {
                [separator, rest @ ..] if is_separator(separator) => rest,
                _ => return None,
            }
        }
        _ => return None,
    };
    let (_hash, rest) = split_once(inner, b'=')?;
    let (_time, original) = split_once(rest, b'=')?;
    original.contains(&b'=').then_some(original)
}

/// The local part proper of a BATV address: `prvs=tag=local`, or `prvs=local=tag` as some write it.
/// A tag begins with ten digits or lower-case letters; if that does not decide, the second is taken.
fn strip_batv(local: &[u8]) -> &[u8] {
    if !local.starts_with(b"prvs=") {
        return local;
    }
    let end = local
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last.saturating_add(1));
    let mut fields = local
        .get(..end)
        .unwrap_or_default()
        .split(|byte| *byte == b'=')
        .skip(1);
    let (Some(first), Some(second), None) = (fields.next(), fields.next(), fields.next()) else {
        return local;
    };
    let is_tag = |field: &[u8]| {
        field.get(..10).is_some_and(|head| {
            head.iter()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        })
    };
    if is_tag(second) && !is_tag(first) {
        first
    } else {
        second
    }
}

/// The part before the first `+`.
fn cut_extension(local: &[u8]) -> &[u8] {
    local.split(|byte| *byte == b'+').next().unwrap_or_default()
}

/// Writes `local` with each number that is a whole word replaced by `#`.
fn fold_digits(local: &[u8], out: &mut Vec<u8>) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut rest = local;
    let mut after_word = false;
    while let [byte, tail @ ..] = rest {
        if !byte.is_ascii_digit() {
            out.push(*byte);
            after_word = is_word(*byte);
            rest = tail;
            continue;
        }
        let length = rest
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, tail) = rest.split_at_checked(length).unwrap_or_default();
        if after_word || tail.first().is_some_and(|next| is_word(*next)) {
            out.extend_from_slice(digits);
        } else {
            out.push(b'#');
        }
        after_word = true;
        rest = tail;
    }
}

/// The parts before and after the first `separator`.
fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    let (head, tail) = bytes.split_at_checked(at)?;
    tail.split_first().map(|(_, tail)| (head, tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Domain;
    use crate::types::ClientIp;

    fn identity() -> impl Strategy<Value = Identity> {
        let v4 = (any::<[u8; 4]>(), 0..=32_u8)
            .prop_map(|(octets, length)| Prefix::masked(octets.into(), length).into());
        let v6 = (any::<[u8; 16]>(), 0..=128_u8)
            .prop_map(|(octets, length)| Prefix::masked(octets.into(), length).into());
        let domain =
            "([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.){0,3}[A-Za-z0-9]{1,63}\\.(com|co\\.jp)"
                .prop_map(|name| Domain::of(name.as_bytes()).unwrap().into());
        prop_oneof![v4, v6, domain]
    }

    /// Addresses that have much to fold, and bytes.
    fn address() -> impl Strategy<Value = Vec<u8>> {
        let folded = "(prvs=|PRVS=|SRS0=|srs1=)?[a-zA-Z0-9=+_.-]{0,20}@?[a-zA-Z0-9.]{0,9}";
        prop_oneof![
            folded.prop_map(String::into_bytes),
            prop::collection::vec(1..=255_u8, 0..40),
        ]
    }

    proptest! {
        #[test]
        fn a_key_comes_back_from_its_parts(
            identity in identity(),
            sender in address(),
            recipient in address(),
        ) {
            let key = TripletKey::new(identity.clone(), &sender, &recipient);
            let parts = key.parts().unwrap();
            let mut folded = Vec::new();
            fold_sender(&sender, &mut folded);
            prop_assert_eq!(&parts.identity, &identity);
            prop_assert_eq!(&parts.sender, &folded.to_ascii_lowercase());
            prop_assert_eq!(&parts.recipient, &recipient.to_ascii_lowercase());
            prop_assert_eq!(TripletKey::from_parts(&identity, &parts.sender, &parts.recipient), key);
            prop_assert_eq!(ClientKey::new(identity.clone()).identity(), Some(identity));
        }

        #[test]
        fn bytes_that_have_parts_are_the_key_of_these(
            mut bytes in prop::collection::vec(any::<u8>(), 0..30),
            family in prop_oneof![Just(4_u8), Just(6), Just(7), any::<u8>()],
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = family;
            }
            bytes.make_ascii_lowercase();
            let key = TripletKey::from_bytes(bytes.clone());
            if let Some(parts) = key.parts() {
                let again = TripletKey::from_parts(&parts.identity, &parts.sender, &parts.recipient);
                prop_assert_eq!(again, key);
            }
            let client = ClientKey::from_bytes(bytes);
            if let Some(identity) = client.identity() {
                prop_assert_eq!(ClientKey::new(identity), client);
            }
        }
    }

    fn folded(sender: &str) -> String {
        let mut out = Vec::new();
        fold_sender(sender.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn senders_are_folded() {
        let cases = [
            ("", ""),
            ("no-at-123", "no-at-123"),
            ("user@example.org", "user@example.org"),
            ("user+ext+more@example.org", "user@example.org"),
            ("bounce-12345-67@example.org", "bounce-#-#@example.org"),
            ("a123b@example.org", "a123b@example.org"),
            ("a_12@example.org", "a_12@example.org"),
            ("12@34.example", "#@34.example"),
            ("1.2.3@example.org", "#.#.#@example.org"),
            ("é12@example.org", "é#@example.org"),
            ("x@1@2", "x@1@2"),
            ("prvs=0123456789=joe@example.org", "joe@example.org"),
            ("prvs=joe=0123456789@example.org", "joe@example.org"),
            ("prvs=joe=jim@example.org", "jim@example.org"),
            (
                "prvs=abcdefghij=abcdefghijk@example.org",
                "abcdefghijk@example.org",
            ),
            ("prvs=0123456789=joe==@example.org", "joe@example.org"),
            ("prvs=joe@example.org", "prvs=joe@example.org"),
            ("prvs=a=b=c@example.org", "prvs=a=b=c@example.org"),
            ("PRVS=0123456789=joe@example.org", "PRVS=#=joe@example.org"),
            (
                "SRS0=a1b2=TT=origin.example=joe@relay.example",
                "srs=origin.example=joe@relay.example",
            ),
            (
                "srs0+zz=UU=origin.example=joe+x@relay.example",
                "srs=origin.example=joe@relay.example",
            ),
            (
                "SRS1=hh=first.example==gg=TT=origin.example=joe@relay.example",
                "srs=origin.example=joe@relay.example",
            ),
            ("SRS0=short@relay.example", "SRS0=short@relay.example"),
            ("srs01@relay.example", "srs01@relay.example"),
        ];
        for (sender, want) in cases {
            assert_eq!(folded(sender), want, "{sender}");
        }
    }

    #[test]
    fn no_two_triplets_share_a_key() {
        let net = |text: &str, v4| ClientIp::parse(text.as_bytes()).unwrap().network(v4, 64);
        let keys = [
            TripletKey::new(net("192.0.2.7", 24), b"a/b", b"c"),
            TripletKey::new(net("192.0.2.7", 24), b"a", b"b/c"),
            TripletKey::new(net("192.0.2.7", 24), b"", b"a/b/c"),
            TripletKey::new(net("192.0.2.0", 32), b"a", b"b/c"),
            TripletKey::new(net("192.0.2.0", 16), b"a", b"b/c"),
            TripletKey::new(net("2001:db8::1", 24), b"a", b"b/c"),
            TripletKey::new(Domain::of(b"b.com").unwrap(), b"a", b"b/c"),
            TripletKey::new(Domain::of(b"b.coma.fr").unwrap(), b"", b"b/c"),
        ];
        for (n, key) in keys.iter().enumerate() {
            for other in &keys[..n] {
                assert_ne!(key, other);
            }
        }
    }

    #[test]
    fn neighbours_and_spellings_share_a_key() {
        let net = |text: &str| ClientIp::parse(text.as_bytes()).unwrap().network(24, 64);
        assert_eq!(
            TripletKey::new(net("192.0.2.7"), b"List-1@Example.org", b"Joe@Example.net"),
            TripletKey::new(
                net("::ffff:192.0.2.99"),
                b"list-22@example.ORG",
                b"joe@example.net"
            )
        );
        assert_eq!(
            TripletKey::new(net("2001:DB8::1"), b"", b"x"),
            TripletKey::new(net("2001:db8:0:0:1::"), b"", b"x")
        );
    }
}

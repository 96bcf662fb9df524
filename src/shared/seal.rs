//! Keys and values as the server has them.
//!
//! # On the server
//!
//! ```text
//! key   = "stargrey:" hash:16             ; a keyed hash of the kind and of what the value is about
//! value = version:1 body mac:16           ; %x01; a keyed hash of key, version and body
//! ```
//!
//! Both hashes are BLAKE3, with keys derived from the site's secret. So a dump of the server has no address in it, two
//! sites may use one server, and whoever can write to the server, but does not know the secret, can delete records and
//! do no more. A value without a right hash counts as absent. A value of another version is neither used nor
//! overwritten: hosts of two versions share what both understand.

/// Length of the site's secret key, in bytes.
pub const KEY_LENGTH: usize = 32;

const PREFIX: &[u8; 9] = b"stargrey:";
const HASH: usize = 16;
const NAME: usize = PREFIX.len() + HASH;

/// The version of values that is written here.
const VERSION: u8 = 1;

/// The key of a value on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name([u8; NAME]);

impl Name {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a value is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A triplet, by its key.
    Triplet = 1,
    /// A client, by its key.
    Client = 2,
    /// The site: how its hosts make records.
    Site = 3,
    /// The hosts of the site.
    Hosts = 4,
    /// The end of the log of acts.
    Head = 5,
    /// An act, by its place in the log.
    Act = 6,
}

/// A value of the server, or of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened<'v> {
    /// Its body.
    Body(&'v [u8]),
    /// The value of a later version.
    Unknown,
    /// It was not written by a host of the site.
    Forged,
}

/// Makes and checks keys and values.
#[derive(Clone)]
pub(super) struct Seal {
    names: [u8; KEY_LENGTH],
    macs: [u8; KEY_LENGTH],
}

impl Seal {
    pub(super) fn new(secret: &[u8; KEY_LENGTH]) -> Self {
        Self {
            names: blake3::derive_key("stargrey 2026-11-27 names of shared records", secret),
            macs: blake3::derive_key("stargrey 2026-11-27 values of shared records", secret),
        }
    }

    /// The key of a value about `what`.
    pub(super) fn name(&self, kind: Kind, what: &[u8]) -> Name {
        let mut name = [0; NAME];
        let (prefix, hash) = name.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        let mut hasher = blake3::Hasher::new_keyed(&self.names);
        hasher.update(&[kind as u8]).update(what);
        hasher.finalize_xof().fill(hash);
        Name(name)
    }

    /// The value with this body.
    pub(super) fn close(&self, name: &Name, body: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(body.len().saturating_add(1 + HASH));
        value.push(VERSION);
        value.extend_from_slice(body);
        let mac = self.mac(name, &value);
        value.extend_from_slice(&mac);
        value
    }

    /// The body of a value.
    pub(super) fn open<'v>(&self, name: &Name, value: &'v [u8]) -> Opened<'v> {
        if value.first().is_none_or(|version| *version != VERSION) {
            return Opened::Unknown;
        }
        let Some((signed, mac)) = value.split_last_chunk::<HASH>() else {
            return Opened::Forged;
        };
        // Compares in constant time.
        let wanted = blake3::Hash::from_bytes(padded(self.mac(name, signed)));
        match (blake3::Hash::from_bytes(padded(*mac)) == wanted, signed) {
            (true, [_, body @ ..]) => Opened::Body(body),
            (false, _) | (true, []) => Opened::Forged,
        }
    }

    fn mac(&self, name: &Name, signed: &[u8]) -> [u8; HASH] {
        let mut mac = [0; HASH];
        let mut hasher = blake3::Hasher::new_keyed(&self.macs);
        hasher.update(&name.0).update(signed);
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

fn padded(hash: [u8; HASH]) -> [u8; 32] {
    let mut whole = [0; 32];
    let (first, _) = whole.split_at_mut(HASH);
    first.copy_from_slice(&hash);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_its_key_and_of_its_site() {
        let (ours, theirs) = (Seal::new(&[1; 32]), Seal::new(&[2; 32]));
        let name = ours.name(Kind::Triplet, b"what");
        let value = ours.close(&name, b"body");
        assert_eq!(ours.open(&name, &value), Opened::Body(b"body"));
        let empty = ours.close(&name, b"");
        assert_eq!(ours.open(&name, &empty), Opened::Body(b""));
        let forged = [
            ("another site", theirs.open(&name, &value)),
            ("another key", {
                let other = ours.name(Kind::Client, b"what");
                ours.open(&other, &value)
            }),
            ("cut off", ours.open(&name, &value[..value.len() - 1])),
            ("too short", ours.open(&name, &value[..5])),
            ("changed", {
                let mut changed = value.clone();
                changed[2] ^= 1;
                if ours.open(&name, &changed) == Opened::Forged {
                    Opened::Forged
                } else {
                    Opened::Unknown
                }
            }),
        ];
        for (what, opened) in forged {
            assert_eq!(opened, Opened::Forged, "{what}");
        }
        let later = [&[2], &value[1..]].concat();
        assert_eq!(ours.open(&name, &later), Opened::Unknown);
        assert_eq!(ours.open(&name, b""), Opened::Unknown);
        assert!(name.as_bytes().starts_with(PREFIX));
        assert_ne!(name, theirs.name(Kind::Triplet, b"what"));
    }
}

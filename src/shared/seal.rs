//! Keys and values as the server has them.
//!
//! # On the server
//!
//! ```text
//! key   = "stargrey:" hash:16             ; a keyed hash of the kind and of what the value is about
//! value = version:1 body mac:16           ; %x01; a keyed hash of key, version and body
//! ```
//!
//! All versions have version and MAC in these places, so that it can be checked whether a host of the site has written a
//! value of a later version.
//!
//! Both hashes are BLAKE3, with keys derived from the site's secret. So two sites may use one server, and whoever can write
//! to the server, but does not know the secret, can delete records and do no more. A record has no address in it, by key or
//! by value. The acts of administrators have: bodies are not encrypted, and the pattern of an entry or the filter of a
//! deletion is there as it was written. The table of hosts has their names.
//!
//! A value without a right hash counts as absent. A value of another version is neither used nor overwritten: hosts of two
//! versions share what both understand.

use crate::store::PrivacyKey;

/// Length of the site's secret key, in bytes.
pub const KEY_LENGTH: usize = 32;

const PREFIX: &[u8; 9] = b"stargrey:";
const HASH: usize = 16;
const NAME: usize = PREFIX.len() + HASH;

/// The version of values that is written here.
const VERSION: u8 = 1;

/// The key of a value on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    bytes: [u8; NAME],
    longest: u32,
}

impl Name {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The length of the longest value that a host of the site writes there, in bytes. No more than one byte more is read,
    /// so a longer value is a forged one, whatever its length.
    #[must_use]
    pub const fn longest(&self) -> u32 {
        self.longest
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

impl Kind {
    /// The length of the longest value, in bytes, with room for what later versions add.
    const fn longest(self) -> u32 {
        match self {
            Self::Triplet | Self::Client | Self::Head => 256,
            Self::Site => 4096,
            Self::Hosts => 65_536,
            Self::Act => 65_536 + 64,
        }
    }
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
    privacy: Option<PrivacyKey>,
}

impl Seal {
    pub(super) fn new(secret: &[u8; KEY_LENGTH]) -> Self {
        Self {
            names: blake3::derive_key("stargrey 2026-11-27 names of shared records", secret),
            macs: blake3::derive_key("stargrey 2026-11-27 values of shared records", secret),
            privacy: None,
        }
    }

    /// The same for databases that have hashes in place of keys.
    pub(super) fn with_privacy(self, privacy: Option<PrivacyKey>) -> Self {
        Self { privacy, ..self }
    }

    /// The key of the hashes in the database.
    pub(super) const fn privacy(&self) -> Option<&PrivacyKey> {
        self.privacy.as_ref()
    }

    /// The key on the server of the record with this key. Where the database has only a hash of it, that stands for it.
    pub(super) fn name_of_record(&self, kind: Kind, key: &[u8]) -> Name {
        match &self.privacy {
            None => self.name(kind, key),
            Some(privacy) => self.name(kind, &privacy.stored(key)),
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
        Name {
            bytes: name,
            longest: kind.longest(),
        }
    }

    /// The value with this body.
    pub(super) fn close(&self, name: &Name, body: &[u8]) -> Vec<u8> {
        self.close_as(VERSION, name, body)
    }

    /// The value with this body as a host writes it whose values have another version.
    pub(super) fn close_as(&self, version: u8, name: &Name, body: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(body.len().saturating_add(1 + HASH));
        value.push(version);
        value.extend_from_slice(body);
        let mac = self.mac(name, &value);
        value.extend_from_slice(&mac);
        value
    }

    /// The body of a value.
    pub(super) fn open<'v>(&self, name: &Name, value: &'v [u8]) -> Opened<'v> {
        let Some((signed, mac)) = value.split_last_chunk::<HASH>() else {
            return Opened::Forged;
        };
        // Compares in constant time.
        let wanted = blake3::Hash::from_bytes(padded(self.mac(name, signed)));
        match (blake3::Hash::from_bytes(padded(*mac)) == wanted, signed) {
            (true, [VERSION, body @ ..]) => Opened::Body(body),
            (true, [_, ..]) => Opened::Unknown,
            (false, _) | (true, []) => Opened::Forged,
        }
    }

    fn mac(&self, name: &Name, signed: &[u8]) -> [u8; HASH] {
        let mut mac = [0; HASH];
        let mut hasher = blake3::Hasher::new_keyed(&self.macs);
        hasher.update(&name.bytes).update(signed);
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
        let changed = [&value[..2], b"x", &value[3..]].concat();
        let relabelled = [&[2], &value[1..]].concat();
        let forged = [
            ("another site", theirs.open(&name, &value)),
            ("another key", {
                let other = ours.name(Kind::Client, b"what");
                ours.open(&other, &value)
            }),
            ("cut off", ours.open(&name, &value[..value.len() - 1])),
            ("too short", ours.open(&name, &value[..5])),
            ("changed", ours.open(&name, &changed)),
            ("as of a later version", ours.open(&name, &relabelled)),
            ("empty", ours.open(&name, b"")),
        ];
        for (what, opened) in forged {
            assert_eq!(opened, Opened::Forged, "{what}");
        }
        let later = ours.close_as(2, &name, b"body");
        assert_eq!(ours.open(&name, &later), Opened::Unknown);
        assert_eq!(theirs.open(&name, &later), Opened::Forged);
        assert!(name.as_bytes().starts_with(PREFIX));
        assert_ne!(name, theirs.name(Kind::Triplet, b"what"));
    }
}

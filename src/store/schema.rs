//! Records as bytes.
//!
//! # On disk
//!
//! ```text
//! triplet = %x01 first:8 last:8 retries:4 [text]             ; waiting
//!         / %x04 first:8 last:8 retries:4 counted:4 [text]   ; waiting, with retries counted
//!         / %x02 first:8 passed:8 last:8 mails:4 [text]      ; passed
//! client  = %x03 count:4 last:8
//! sleep   = %x05 ordered:8 length:8 seen:8
//! ```
//!
//! Numbers are big-endian, times are seconds since the epoch. A key is the core's key as it is, up to 510
//! bytes. A longer one becomes its first 479 bytes and a 256-bit hash, 511 bytes in all, LMDB's most:
//! the length tells the two forms apart, so no key of one form is one of the other; the whole key then
//! stands as `text` behind the record. Under `--privacy` a key is a keyed hash of 128 bits and there is never a text.

use std::borrow::Cow;

use super::StoreError;
use super::privacy::PrivacyKey;
use crate::policy::{Client, Sleep, Triplet};
use crate::types::{Span, Timestamp};

/// The format this version writes, and the last it can read. What a format added:
///
/// | format | records |
/// | --- | --- |
/// | 1 | waiting, passed, client |
/// | 2 | waiting with retries counted, sleep |
pub const FORMAT: u32 = 2;

/// LMDB's longest key.
const LONGEST_KEY: usize = 511;

/// Bytes of the hash in a shortened key.
const HASH: usize = 32;

const WAITING: u8 = 1;
const PASSED: u8 = 2;
const CLIENT: u8 = 3;
const COUNTED: u8 = 4;
const SLEEP: u8 = 5;

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredKey<'k> {
    /// What LMDB gets.
    pub(super) key: Cow<'k, [u8]>,
    /// The whole key, when it does not fit.
    pub(super) text: Option<&'k [u8]>,
}

/// Brings a key into the form in which it is stored.
pub(super) fn stored_key<'k>(key: &'k [u8], privacy: Option<&PrivacyKey>) -> StoredKey<'k> {
    if let Some(privacy) = privacy {
        return StoredKey {
            key: Cow::Owned(privacy.hash(key).to_vec()),
            text: None,
        };
    }
    if key.len() < LONGEST_KEY {
        return StoredKey {
            key: Cow::Borrowed(key),
            text: None,
        };
    }
    let mut short = Vec::with_capacity(LONGEST_KEY);
    short.extend(key.iter().take(LONGEST_KEY - HASH));
    short.extend_from_slice(blake3::hash(key).as_bytes());
    StoredKey {
        key: Cow::Owned(short),
        text: Some(key),
    }
}

/// A triplet's record, `text` behind it.
#[must_use]
pub fn encode_triplet(record: Triplet, text: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(29);
    match record {
        Triplet::Waiting {
            first,
            last,
            retries,
            counted,
        } => {
            out.push(if counted == 0 { WAITING } else { COUNTED });
            put_time(&mut out, first);
            put_time(&mut out, last);
            out.extend_from_slice(&retries.to_be_bytes());
            if counted > 0 {
                out.extend_from_slice(&counted.to_be_bytes());
            }
        }
        Triplet::Passed {
            first,
            passed,
            last,
            mails,
        } => {
            out.push(PASSED);
            put_time(&mut out, first);
            put_time(&mut out, passed);
            put_time(&mut out, last);
            out.extend_from_slice(&mails.to_be_bytes());
        }
    }
    out.extend_from_slice(text.unwrap_or_default());
    out
}

/// Reads a triplet's record; what stands behind it is left.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are no such record.
pub fn decode_triplet(bytes: &[u8]) -> Result<Triplet, StoreError> {
    let mut fields = Fields::new(bytes)?;
    match fields.kind {
        WAITING => Ok(Triplet::Waiting {
            first: fields.time()?,
            last: fields.time()?,
            retries: fields.number()?,
            counted: 0,
        }),
        COUNTED => Ok(Triplet::Waiting {
            first: fields.time()?,
            last: fields.time()?,
            retries: fields.number()?,
            counted: fields.number()?,
        }),
        PASSED => Ok(Triplet::Passed {
            first: fields.time()?,
            passed: fields.time()?,
            last: fields.time()?,
            mails: fields.number()?,
        }),
        _ => Err(StoreError::Record),
    }
}

/// A client's record.
#[must_use]
pub fn encode_client(record: Client) -> Vec<u8> {
    let mut out = Vec::with_capacity(13);
    out.push(CLIENT);
    out.extend_from_slice(&record.count.to_be_bytes());
    put_time(&mut out, record.last);
    out
}

/// Reads a client's record.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are no such record.
pub fn decode_client(bytes: &[u8]) -> Result<Client, StoreError> {
    let mut fields = Fields::new(bytes)?;
    match fields.kind {
        CLIENT => Ok(Client {
            count: fields.number()?,
            last: fields.time()?,
        }),
        _ => Err(StoreError::Record),
    }
}

/// The record of a sleep.
#[must_use]
pub fn encode_sleep(record: Sleep) -> Vec<u8> {
    let mut out = Vec::with_capacity(25);
    out.push(SLEEP);
    put_time(&mut out, record.ordered);
    out.extend_from_slice(&record.length.seconds().to_be_bytes());
    put_time(&mut out, record.seen);
    out
}

/// Reads the record of a sleep.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are no such record.
pub fn decode_sleep(bytes: &[u8]) -> Result<Sleep, StoreError> {
    let mut fields = Fields::new(bytes)?;
    match fields.kind {
        SLEEP => Ok(Sleep {
            ordered: fields.time()?,
            length: Span::from_seconds(fields.time()?.seconds()),
            seen: fields.time()?,
        }),
        _ => Err(StoreError::Record),
    }
}

/// A time by itself.
pub(super) fn encode_time(time: Timestamp) -> [u8; 8] {
    time.seconds().to_be_bytes()
}

/// Reads a time that stands by itself.
pub(super) fn decode_time(bytes: &[u8]) -> Result<Timestamp, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Record)?;
    Ok(Timestamp::from_seconds(u64::from_be_bytes(bytes)))
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&encode_time(time));
}

/// Takes a record apart, field by field.
struct Fields<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let (kind, rest) = bytes.split_first().ok_or(StoreError::Record)?;
        Ok(Self { kind: *kind, rest })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(StoreError::Record)?;
        self.rest = rest;
        Ok(*field)
    }

    fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.take()
            .map(u64::from_be_bytes)
            .map(Timestamp::from_seconds)
    }

    fn number(&mut self) -> Result<u32, StoreError> {
        self.take().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> impl Strategy<Value = Timestamp> {
        any::<u64>().prop_map(Timestamp::from_seconds)
    }

    fn triplet() -> impl Strategy<Value = Triplet> {
        prop_oneof![
            (time(), time(), any::<u32>(), 0..3_u32).prop_map(|(first, last, retries, counted)| {
                Triplet::Waiting {
                    first,
                    last,
                    retries,
                    counted,
                }
            }),
            (time(), time(), time(), any::<u32>()).prop_map(|(first, passed, last, mails)| {
                Triplet::Passed {
                    first,
                    passed,
                    last,
                    mails,
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_triplet_comes_back_as_it_was(record in triplet(), text in any::<Option<Vec<u8>>>()) {
            let bytes = encode_triplet(record, text.as_deref());
            prop_assert_eq!(decode_triplet(&bytes).unwrap(), record);
        }

        #[test]
        fn a_client_comes_back_as_it_was(count in any::<u32>(), last in time()) {
            let record = Client { count, last };
            prop_assert_eq!(decode_client(&encode_client(record)).unwrap(), record);
        }

        #[test]
        fn a_sleep_comes_back_as_it_was(ordered in time(), length in any::<u64>(), seen in time()) {
            let record = Sleep { ordered, length: Span::from_seconds(length), seen };
            prop_assert_eq!(decode_sleep(&encode_sleep(record)).unwrap(), record);
        }

        #[test]
        fn foreign_bytes_are_an_error_and_nothing_worse(bytes in any::<Vec<u8>>()) {
            prop_assert!(decode_client(&bytes).is_ok() || bytes.len() < 13 || bytes[0] != CLIENT);
            prop_assert!(decode_triplet(&bytes).is_ok() || bytes.len() < 29 || ![WAITING, PASSED, COUNTED].contains(&bytes[0]));
        }

        #[test]
        fn stored_keys_differ_where_keys_differ(
            a in prop::collection::vec(any::<u8>(), 470..530),
            b in prop::collection::vec(any::<u8>(), 470..530),
        ) {
            let (stored_a, stored_b) = (stored_key(&a, None), stored_key(&b, None));
            prop_assert!(stored_a.key.len() <= LONGEST_KEY);
            prop_assert_eq!(a == b, stored_a.key == stored_b.key);
            prop_assert_eq!(stored_a.text.unwrap_or(&stored_a.key), a.as_slice());
        }
    }

    #[test]
    fn keys_are_kept_whole_up_to_510_bytes() {
        for (length, want) in [(510, None), (511, Some(511)), (70_000, Some(70_000))] {
            let key = vec![b'x'; length];
            let stored = stored_key(&key, None);
            assert_eq!(stored.text.map(<[u8]>::len), want, "{length}");
        }
    }
}

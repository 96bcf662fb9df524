//! Encoding of records and keys.
//!
//! # On disk
//!
//! ```text
//! triplet = %x01 first:8 last:8 retries:4 [text]             ; waiting
//!         / %x04 first:8 last:8 retries:4 counted:4 [text]   ; waiting, with retries counted
//!         / %x08 why:1 first:8 last:8 retries:4 [text]       ; the same two, with why it has to wait
//!         / %x09 why:1 first:8 last:8 retries:4 counted:4 [text]
//!         / %x02 first:8 passed:8 last:8 mails:4 [text]      ; passed
//! client  = %x03 count:4 last:8
//! sleep   = %x05 ordered:8 length:8 seen:8
//! entry   = %x06 flags:1 added:8 [expires:8] hits:8 [last-hit:8] comment  ; flags: 1 expires, 2 last-hit
//! counters = %x07 *( length:1 word count:8 )
//! why     = the number of a cause, and %x80 if a milter found it out
//! pause   = until:8                                          ; all bits set: no end
//! ```
//!
//! The key of an entry is the name of its list, NUL and its text; that of counters is the hour since the epoch, in
//! four bytes. `--privacy` does not hash these two keys, because they contain no addresses of mail.
//!
//! Numbers are big-endian, times are seconds since the epoch. A key of up to 510 bytes is stored unchanged. A longer
//! one is stored as its first 479 bytes and a 256-bit hash, together 511 bytes, LMDB's maximum; the whole key then
//! follows the record as `text`. The length distinguishes the two forms, so they cannot collide. Under `--privacy` a
//! key is a keyed hash of 128 bits, and there is no text.

use std::borrow::Cow;

use super::privacy::PrivacyKey;
use super::{Counters, StoreError, StoreRefusal};
use crate::policy::{Added, Client, ListName, Pause, Sleep, Triplet, TripletKey, Why};
use crate::types::{Span, Timestamp};

/// The last format that this version can read. Each format added these records:
///
/// | format | records |
/// | --- | --- |
/// | 1 | waiting, passed, client |
/// | 2 | waiting with retries counted, sleep, entry, counters |
/// | 3 | triplets and clients of domains, other names of waiting triplets, why a triplet waits |
pub const FORMAT: u32 = 3;

/// The format of a new database. The first record that needs a later format raises it; until then an earlier version
/// can open the database.
pub(super) const FORMAT_OF_NEW: u32 = 2;

/// LMDB's maximum key length in bytes.
pub(super) const LONGEST_KEY: usize = 511;

/// Bytes of the hash in a shortened key.
const HASH: usize = 32;

const WAITING: u8 = 1;
const PASSED: u8 = 2;
const CLIENT: u8 = 3;
const COUNTED: u8 = 4;
const SLEEP: u8 = 5;
const ENTRY: u8 = 6;
const COUNTERS: u8 = 7;
const WAITING_WHY: u8 = 8;
const COUNTED_WHY: u8 = 9;

/// The flags of an entry.
const HAS_EXPIRES: u8 = 1;
const HAS_LAST_HIT: u8 = 2;

/// Maximum length of a counter's name, in bytes: the length is stored in one byte.
const LONGEST_WORD: usize = 255;

/// The stored end of a pause without an end.
const OPEN_END: Timestamp = Timestamp::from_seconds(u64::MAX);

/// Seconds of an hour.
const HOUR: u64 = 3600;

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredKey<'k> {
    /// The key in LMDB.
    pub(super) key: Cow<'k, [u8]>,
    /// The whole key, if it was shortened.
    pub(super) text: Option<&'k [u8]>,
}

/// The stored form of a key.
pub(super) fn stored_key<'k>(key: &'k [u8], privacy: Option<&PrivacyKey>) -> StoredKey<'k> {
    if let Some(privacy) = privacy {
        return StoredKey {
            key: Cow::Owned(privacy.stored(key)),
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

/// Encodes a triplet's record, followed by `text`.
#[must_use]
pub fn encode_triplet(record: Triplet, text: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(30);
    match record {
        Triplet::Waiting {
            first,
            last,
            retries,
            counted,
            why,
        } => {
            out.push(match (counted, why) {
                (0, None) => WAITING,
                (_, None) => COUNTED,
                (0, Some(_)) => WAITING_WHY,
                (_, Some(_)) => COUNTED_WHY,
            });
            out.extend(why.map(Why::byte));
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

/// Decodes a triplet's record and ignores the text after it.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are not a valid record of this kind.
pub fn decode_triplet(bytes: &[u8]) -> Result<Triplet, StoreError> {
    split_triplet(bytes).map(|(record, _)| record)
}

/// Decodes a triplet's record; returns the rest too.
fn split_triplet(bytes: &[u8]) -> Result<(Triplet, &[u8]), StoreError> {
    let mut fields = Fields::new(bytes)?;
    let record = match fields.kind {
        kind @ (WAITING | COUNTED | WAITING_WHY | COUNTED_WHY) => {
            let has_why = matches!(kind, WAITING_WHY | COUNTED_WHY);
            let is_counted = matches!(kind, COUNTED | COUNTED_WHY);
            Triplet::Waiting {
                why: has_why.then(|| fields.why()).transpose()?,
                first: fields.time()?,
                last: fields.time()?,
                retries: fields.number()?,
                counted: if is_counted { fields.number()? } else { 0 },
            }
        }
        PASSED => Triplet::Passed {
            first: fields.time()?,
            passed: fields.time()?,
            last: fields.time()?,
            mails: fields.number()?,
        },
        _ => return Err(StoreError::Record),
    };
    Ok((record, fields.rest))
}

/// The text after a triplet's record, if there is one.
pub(super) fn triplet_text(bytes: &[u8]) -> Result<Option<&[u8]>, StoreError> {
    let (_, text) = split_triplet(bytes)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Decodes a triplet's record and its whole key. The stored key must not be a hash.
pub(super) fn whole_triplet(key: &[u8], bytes: &[u8]) -> Result<(Triplet, TripletKey), StoreError> {
    let (record, text) = split_triplet(bytes)?;
    let whole = if key.len() < LONGEST_KEY { key } else { text };
    Ok((record, TripletKey::from_bytes(whole.to_vec())))
}

/// Encodes a client's record.
#[must_use]
pub fn encode_client(record: Client) -> Vec<u8> {
    let mut out = Vec::with_capacity(13);
    out.push(CLIENT);
    out.extend_from_slice(&record.count.to_be_bytes());
    put_time(&mut out, record.last);
    out
}

/// Decodes a client's record.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are not a valid record of this kind.
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

/// Encodes the record of a sleep.
#[must_use]
pub fn encode_sleep(record: Sleep) -> Vec<u8> {
    let mut out = Vec::with_capacity(25);
    out.push(SLEEP);
    put_time(&mut out, record.ordered);
    out.extend_from_slice(&record.length.seconds().to_be_bytes());
    put_time(&mut out, record.seen);
    out
}

/// Decodes the record of a sleep.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are not a valid record of this kind.
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

/// The key of an entry.
///
/// # Errors
///
/// [`StoreRefusal::Length`] when the text is empty or too long.
pub fn entry_key(list: ListName, text: &str) -> Result<Vec<u8>, StoreRefusal> {
    bounded(text, 1, Added::LONGEST_TEXT)?;
    Ok([list.word().as_bytes(), &[0], text.as_bytes()].concat())
}

/// Encodes an entry's record; list and text are in its key.
///
/// # Errors
///
/// [`StoreRefusal::Length`] when the comment is too long.
pub fn encode_entry(entry: &Added) -> Result<Vec<u8>, StoreRefusal> {
    bounded(&entry.comment, 0, Added::LONGEST_COMMENT)?;
    let flag = |time: Option<Timestamp>, flag| time.map_or(0, |_| flag);
    let flags = flag(entry.expires, HAS_EXPIRES) | flag(entry.last_hit, HAS_LAST_HIT);
    let mut out = Vec::with_capacity(entry.comment.len().saturating_add(34));
    out.extend_from_slice(&[ENTRY, flags]);
    put_time(&mut out, entry.added);
    out.extend(entry.expires.iter().flat_map(|time| encode_time(*time)));
    out.extend_from_slice(&entry.hits.to_be_bytes());
    out.extend(entry.last_hit.iter().flat_map(|time| encode_time(*time)));
    out.extend_from_slice(entry.comment.as_bytes());
    Ok(out)
}

/// Decodes an entry from its key and its record.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are not a valid key or record.
pub fn decode_entry(key: &[u8], bytes: &[u8]) -> Result<Added, StoreError> {
    let (word, text) = utf8(key)?.split_once('\0').ok_or(StoreError::Record)?;
    let list = ListName::from_word(word).ok_or(StoreError::Record)?;
    let mut fields = Fields::new(bytes)?;
    let [flags] = fields.take()?;
    if fields.kind != ENTRY || flags & !(HAS_EXPIRES | HAS_LAST_HIT) != 0 {
        return Err(StoreError::Record);
    }
    let has = |flag| flags & flag != 0;
    Ok(Added {
        list,
        text: text.to_owned(),
        added: fields.time()?,
        expires: has(HAS_EXPIRES).then(|| fields.time()).transpose()?,
        hits: fields.take().map(u64::from_be_bytes)?,
        last_hit: has(HAS_LAST_HIT).then(|| fields.time()).transpose()?,
        comment: utf8(fields.rest)?.to_owned(),
    })
}

/// The key of the hour that contains `time`; at most the last hour that fits into four bytes.
pub(super) fn encode_hour(time: Timestamp) -> [u8; 4] {
    let hour = time.seconds().div_euclid(HOUR);
    u32::try_from(hour).unwrap_or(u32::MAX).to_be_bytes()
}

/// When an hour begins.
pub(super) fn decode_hour(key: &[u8]) -> Result<Timestamp, StoreError> {
    let hour = u32::from_be_bytes(key.try_into().map_err(|_| StoreError::Record)?);
    let seconds = u64::from(hour).saturating_mul(HOUR);
    Ok(Timestamp::from_seconds(seconds))
}

/// Encodes the counters of an hour.
///
/// # Errors
///
/// [`StoreRefusal::Length`] when a name is empty or too long.
pub fn encode_counters(counters: &Counters) -> Result<Vec<u8>, StoreRefusal> {
    let mut out = vec![COUNTERS];
    for (word, count) in counters {
        let length = bounded(word, 1, LONGEST_WORD)?;
        out.push(u8::try_from(length).unwrap_or(u8::MAX));
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(&count.to_be_bytes());
    }
    Ok(out)
}

/// Decodes the counters of an hour.
///
/// # Errors
///
/// [`StoreError::Record`] when the bytes are not a valid record of this kind.
pub fn decode_counters(bytes: &[u8]) -> Result<Counters, StoreError> {
    let mut fields = Fields::new(bytes)?;
    if fields.kind != COUNTERS {
        return Err(StoreError::Record);
    }
    let mut counters = Counters::new();
    while !fields.rest.is_empty() {
        let [length] = fields.take()?;
        if length == 0 {
            return Err(StoreError::Record);
        }
        let word = fields.text(usize::from(length))?;
        counters.insert(word.to_owned(), fields.take().map(u64::from_be_bytes)?);
    }
    Ok(counters)
}

/// The length of a text, if it may be stored.
fn bounded(text: &str, least: usize, most: usize) -> Result<usize, StoreRefusal> {
    let found = text.len();
    if (least..=most).contains(&found) {
        Ok(found)
    } else {
        Err(StoreRefusal::Length { found, least, most })
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes).map_err(|_| StoreError::Record)
}

/// Encodes a time.
pub(super) fn encode_time(time: Timestamp) -> [u8; 8] {
    time.seconds().to_be_bytes()
}

/// Decodes a value that is only a time.
pub(super) fn decode_time(bytes: &[u8]) -> Result<Timestamp, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Record)?;
    Ok(Timestamp::from_seconds(u64::from_be_bytes(bytes)))
}

/// Encodes a pause.
pub(super) fn encode_pause(pause: Pause) -> [u8; 8] {
    encode_time(pause.until.unwrap_or(OPEN_END))
}

/// Decodes a pause.
pub(super) fn decode_pause(bytes: &[u8]) -> Result<Pause, StoreError> {
    let until = decode_time(bytes)?;
    Ok(Pause {
        until: (until != OPEN_END).then_some(until),
    })
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&encode_time(time));
}

/// Decodes a record field by field.
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

    fn why(&mut self) -> Result<Why, StoreError> {
        let [byte] = self.take()?;
        Why::from_byte(byte).ok_or(StoreError::Record)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, StoreError> {
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(StoreError::Record)?;
        self.rest = rest;
        utf8(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> impl Strategy<Value = Timestamp> {
        any::<u64>().prop_map(Timestamp::from_seconds)
    }

    fn why() -> impl Strategy<Value = Option<Why>> {
        any::<u8>().prop_map(Why::from_byte)
    }

    fn triplet() -> impl Strategy<Value = Triplet> {
        prop_oneof![
            (time(), time(), any::<u32>(), 0..3_u32, why()).prop_map(
                |(first, last, retries, counted, why)| Triplet::Waiting {
                    first,
                    last,
                    retries,
                    counted,
                    why,
                }
            ),
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
        fn a_triplet_has_its_whole_key_however_it_is_stored(
            key in prop::collection::vec(any::<u8>(), 1..600),
            record in triplet(),
        ) {
            let stored = stored_key(&key, None);
            let bytes = encode_triplet(record, stored.text);
            let want = (record, TripletKey::from_bytes(key.clone()));
            prop_assert_eq!(whole_triplet(&stored.key, &bytes).unwrap(), want);
        }

        #[test]
        fn an_entry_comes_back_as_it_was(
            (list, text, comment) in (0..ListName::ALL.len(), ".{1,100}", ".{0,250}"),
            (added, expires) in (time(), prop::option::of(time())),
            (hits, last_hit) in (any::<u64>(), prop::option::of(time())),
        ) {
            let list = ListName::ALL[list];
            let entry = Added { list, text, comment, added, expires, hits, last_hit };
            let key = entry_key(list, &entry.text).unwrap();
            prop_assert!(key.len() < LONGEST_KEY);
            let bytes = encode_entry(&entry).unwrap();
            prop_assert_eq!(decode_entry(&key, &bytes).unwrap(), entry);
        }

        #[test]
        fn a_tally_comes_back_as_it_was(
            counters in prop::collection::btree_map(".{1,60}", any::<u64>(), 0..20),
        ) {
            let bytes = encode_counters(&counters).unwrap();
            prop_assert_eq!(decode_counters(&bytes).unwrap(), counters);
        }

        #[test]
        fn an_hour_is_the_one_that_the_time_lies_in(seconds in 0..u64::from(u32::MAX) * HOUR) {
            let hour = decode_hour(&encode_hour(Timestamp::from_seconds(seconds))).unwrap();
            prop_assert_eq!(hour.seconds() % HOUR, 0);
            prop_assert!((0..HOUR).contains(&(seconds - hour.seconds())));
        }

        #[test]
        fn foreign_entries_and_tallies_are_an_error_and_nothing_worse(
            kind in prop_oneof![Just(ENTRY), Just(COUNTERS), any::<u8>()],
            bytes in any::<Vec<u8>>(),
        ) {
            let bytes = [vec![kind], bytes].concat();
            let key = entry_key(ListName::Client, "x").unwrap();
            if let Ok(entry) = decode_entry(&key, &bytes)
                && entry.comment.len() <= Added::LONGEST_COMMENT
            {
                prop_assert_eq!(encode_entry(&entry).unwrap(), bytes.clone());
            }
            if let Ok(counters) = decode_counters(&bytes) {
                prop_assert!(counters.len() <= bytes.len() / 9);
                prop_assert!(encode_counters(&counters).is_ok());
            }
            prop_assert!(decode_entry(&bytes, &[&[ENTRY, 0][..], &[0; 16]].concat()).is_err());
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
    fn texts_are_kept_up_to_their_limits() {
        let entry = |text: usize, comment: usize| Added {
            list: ListName::S25rException,
            text: "t".repeat(text),
            comment: "c".repeat(comment),
            added: Timestamp::default(),
            expires: None,
            hits: 0,
            last_hit: None,
        };
        for (text, comment, want) in [
            (1, 0, true),
            (400, 1000, true),
            (0, 0, false),
            (401, 0, false),
            (1, 1001, false),
        ] {
            let entry = entry(text, comment);
            let kept = entry_key(entry.list, &entry.text).and_then(|_| encode_entry(&entry));
            assert_eq!(kept.is_ok(), want, "{text} {comment}");
        }
        for (length, want) in [(1, true), (255, true), (0, false), (256, false)] {
            let counters = Counters::from([("w".repeat(length), 1)]);
            assert_eq!(encode_counters(&counters).is_ok(), want, "{length}");
        }
        assert_eq!(encode_hour(Timestamp::from_seconds(u64::MAX)), [255; 4]);
    }

    #[test]
    fn a_counter_without_a_word_is_no_counter() {
        let bytes = [&[COUNTERS, 0][..], &[0; 8]].concat();
        assert!(matches!(decode_counters(&bytes), Err(StoreError::Record)));
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

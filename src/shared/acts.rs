//! The acts of administrators, which all hosts carry out: entries added and removed, records forgotten.
//!
//! They are a log, not records: a removal that was merged would be undone by the record of a host that has not heard of it.
//! Each host carries out all acts in their order, so all end with the same entries. Its own are done when they are
//! appended. They are done a second time if another host's come before them in the log, if the daemon has ended before it
//! noted that they were done, or if the database has been replaced by a backup. So a deletion is of what it selected at its
//! time ([`Filter::begun_by`]): nothing that has come or has passed since is deleted, however often it is done.
//!
//! A server that comes back with an older state, because a replica has taken over, gives numbers to acts that it had given to
//! others before. So each act has a random mark, and a host that has carried out what the log has lost goes back to the last
//! place that the log still has.
//!
//! # On the server
//!
//! ```text
//! head   = epoch:8 number:8 mark:8   ; the last act; an epoch begins when the server has no head
//! logged = mark:8 act                ; by epoch and number; a random number, which differs from that of an act
//!                                    ; that had this number before a failover
//! act    = host:4 time:8 what
//! what   = %x01 field field          ; an entry was added or changed: key and value as in the database
//!        / %x02 field                ; an entry was removed: its key
//!        / %x03 flags:1 *field       ; records were forgotten: client, sender and recipient as the flags say
//! field  = length:2 *OCTET
//! ```

use crate::policy::{Added, Client, ClientKey, Filter, Host, ListName, Params, State, Triplet};
use crate::shared::{Key, Record};
use crate::store::{PrivacyKey, schema};
use crate::types::Timestamp;

/// Length of the longest act, in bytes; the filter of a deletion may name addresses that no mail can have.
pub(super) const LONGEST_ACT: usize = 65_535;

const PUT: u8 = 1;
const REMOVE: u8 = 2;
const FORGET: u8 = 3;

const HAS_CLIENT: u8 = 1;
const HAS_SENDER: u8 = 2;
const HAS_RECIPIENT: u8 = 4;
const IS_WAITING: u8 = 8;
const IS_PASSED: u8 = 16;
const IS_RETRYING: u8 = 32;

/// What an administrator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Added or changed an entry.
    Put(Added),
    /// Removed an entry.
    Remove(ListName, String),
    /// Deleted records, all of them if the filter is empty.
    Forget(Filter),
}

/// An act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Where.
    pub host: Host,
    /// When.
    pub time: Timestamp,
    /// What.
    pub what: What,
}

impl Act {
    /// The list and the text of the entry that it is about, if it is about one.
    pub(super) fn entry(&self) -> Option<(ListName, &str)> {
        match &self.what {
            What::Put(entry) => Some((entry.list, &entry.text)),
            What::Remove(list, text) => Some((*list, text)),
            What::Forget(_) => None,
        }
    }

    /// Whether an entry was removed.
    pub(super) const fn is_removal(&self) -> bool {
        match self.what {
            What::Remove(..) => true,
            What::Put(_) | What::Forget(_) => false,
        }
    }

    /// Its bytes; `None` if it is too long to be shared.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = self.host.0.to_be_bytes().to_vec();
        out.extend_from_slice(&self.time.seconds().to_be_bytes());
        match &self.what {
            What::Put(entry) => {
                out.push(PUT);
                put_field(&mut out, &schema::entry_key(entry.list, &entry.text).ok()?)?;
                put_field(&mut out, &schema::encode_entry(entry).ok()?)?;
            }
            What::Remove(list, text) => {
                out.push(REMOVE);
                put_field(&mut out, &schema::entry_key(*list, text).ok()?)?;
            }
            What::Forget(filter) => {
                out.push(FORGET);
                let client = filter.client.clone().map(ClientKey::new);
                let fields = [
                    (HAS_CLIENT, client.as_ref().map(ClientKey::as_bytes)),
                    (HAS_SENDER, filter.sender.as_deref()),
                    (HAS_RECIPIENT, filter.recipient.as_deref()),
                ];
                let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
                let has = fields
                    .iter()
                    .map(|(bit, field)| flag(field.is_some(), *bit));
                let state = match filter.state {
                    None => 0,
                    Some(State::Waiting) => IS_WAITING,
                    Some(State::Passed) => IS_PASSED,
                };
                let retrying = flag(filter.retrying, IS_RETRYING);
                out.push(has.fold(state | retrying, |flags, bit| flags | bit));
                for field in fields.into_iter().filter_map(|(_, field)| field) {
                    put_field(&mut out, field)?;
                }
            }
        }
        Some(out).filter(|act| act.len() <= LONGEST_ACT)
    }

    /// An act from its bytes; `None` if they are none that this version knows.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (host, rest) = bytes.split_first_chunk()?;
        let (time, rest) = number(rest)?;
        let (kind, rest) = rest.split_first()?;
        let time = Timestamp::from_seconds(time);
        let what = match *kind {
            PUT => {
                let (key, rest) = field(rest)?;
                let (entry, _) = field(rest)?;
                What::Put(schema::decode_entry(key, entry).ok()?)
            }
            REMOVE => {
                let (key, _) = field(rest)?;
                let (list, text) = std::str::from_utf8(key).ok()?.split_once('\0')?;
                What::Remove(ListName::from_word(list)?, text.to_owned())
            }
            FORGET => What::Forget(read_filter(rest, time)?),
            _ => return None,
        };
        let host = Host(u32::from_be_bytes(*host));
        Some(Self { host, time, what })
    }

    /// Whether it was done after another one, which is in the log already.
    pub(super) fn is_after(&self, logged: &Self) -> bool {
        self.time > logged.time || (self.host == logged.host && self.time == logged.time)
    }

    /// Whether it has deleted the record.
    pub(super) fn has_forgotten(
        &self,
        key: &Key,
        record: &Record,
        params: &Params,
        privacy: Option<&PrivacyKey>,
    ) -> bool {
        let What::Forget(filter) = &self.what else {
            return false;
        };
        match (key, record) {
            (Key::Triplet(key), Record::Triplet(record)) => match key.hash().zip(privacy) {
                None => filter.has_triplet(key, record, params),
                // What selects by text selects exactly one triplet there.
                Some((hash, privacy)) => {
                    let is_selected = match filter.key(params) {
                        Some(selected) => privacy.stored(selected.as_bytes()) == hash,
                        None => !filter.asks_for_text(),
                    };
                    is_selected && filter.wants_triplet(None, record)
                }
            },
            (Key::Client(key), Record::Client(record)) => filter.has_client(key, record, params),
            (Key::Triplet(_), Record::Client(Client { .. }))
            | (Key::Client(_), Record::Triplet(Triplet::Waiting { .. } | Triplet::Passed { .. })) => {
                false
            }
        }
    }
}

/// The filter of a deletion at `time`.
fn read_filter(bytes: &[u8], time: Timestamp) -> Option<Filter> {
    let (flags, mut rest) = bytes.split_first()?;
    let mut next = |bit: u8| {
        if flags & bit == 0 {
            return Some(None);
        }
        let (value, more) = field(rest)?;
        rest = more;
        Some(Some(value.to_vec()))
    };
    let client = match next(HAS_CLIENT)? {
        None => None,
        Some(key) => Some(ClientKey::from_bytes(key).identity()?),
    };
    Some(Filter {
        client,
        name: None,
        sender: next(HAS_SENDER)?,
        recipient: next(HAS_RECIPIENT)?,
        state: match flags & (IS_WAITING | IS_PASSED) {
            0 => None,
            IS_WAITING => Some(State::Waiting),
            _ => Some(State::Passed),
        },
        retrying: flags & IS_RETRYING != 0,
        begun_by: Some(time),
    })
}

/// The number at the beginning of `bytes`, and the rest.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// The field at the beginning of `bytes`, and the rest.
pub(super) fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Writes a field; `None` if it is too long.
pub(super) fn put_field(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    let length = u16::try_from(value.len()).ok()?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::TripletKey;
    use crate::types::Prefix;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn act(time: u64, what: What) -> Act {
        Act {
            host: Host(7),
            time: at(time),
            what,
        }
    }

    fn put(time: u64, text: &str) -> Act {
        act(
            time,
            What::Put(Added {
                list: ListName::Client,
                text: text.to_owned(),
                comment: "why".to_owned(),
                added: at(time),
                expires: Some(at(time + 60)),
                hits: 0,
                last_hit: None,
            }),
        )
    }

    fn remove(time: u64, text: &str) -> Act {
        act(time, What::Remove(ListName::Client, text.to_owned()))
    }

    #[test]
    fn acts_come_back_as_they_were_and_nothing_else_is_one() {
        let whole = Filter {
            client: Some(Prefix::parse("192.0.2.0/24").unwrap().into()),
            sender: Some(b"a@b".to_vec()),
            recipient: Some(Vec::new()),
            state: Some(State::Passed),
            retrying: true,
            begun_by: Some(at(3)),
            ..Filter::default()
        };
        let everything = Filter {
            begun_by: Some(at(4)),
            ..Filter::default()
        };
        let acts = [
            put(1, "mx.example"),
            remove(2, "mx.example"),
            act(3, What::Forget(whole)),
            act(4, What::Forget(everything)),
        ];
        for act in &acts {
            let bytes = act.encode().unwrap();
            assert_eq!(Act::decode(&bytes).as_ref(), Some(act));
            for end in 0..bytes.len() {
                // Whatever comes of it, it does not panic.
                assert_ne!(Act::decode(&bytes[..end]).as_ref(), Some(act));
            }
        }
    }

    #[test]
    fn a_deletion_is_of_the_records_known_by_a_hash_that_it_selects() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("privacy.key"), [7; 32]).unwrap();
        let privacy = PrivacyKey::of_database(directory.path()).unwrap();
        let network = Prefix::parse("192.0.2.0/24").unwrap();
        let plain = TripletKey::new(network, b"a@b", b"c@d");
        let hashed = TripletKey::hashed(&privacy.stored(plain.as_bytes()));
        let record = Record::Triplet(Triplet::Waiting {
            first: at(5),
            last: at(5),
            retries: 0,
            counted: 0,
            why: None,
        });
        let exact = |recipient: &[u8]| Filter {
            client: Some(network.into()),
            sender: Some(b"a@b".to_vec()),
            recipient: Some(recipient.to_vec()),
            ..Filter::default()
        };
        let only = |state| Filter {
            state: Some(state),
            ..Filter::default()
        };
        let of_sender = Filter {
            client: None,
            ..exact(b"c@d")
        };
        let before = Filter {
            begun_by: Some(at(4)),
            ..exact(b"c@d")
        };
        for (what, filter, want) in [
            ("this triplet", exact(b"c@d"), true),
            ("another", exact(b"e@f"), false),
            ("this one, before it began", before, false),
            ("everything", Filter::default(), true),
            ("those that wait", only(State::Waiting), true),
            ("those that have passed", only(State::Passed), false),
            ("by text, which a hash does not have", of_sender, false),
        ] {
            let act = act(9, What::Forget(filter));
            let key = Key::Triplet(hashed.clone());
            let is_gone = act.has_forgotten(&key, &record, &Params::default(), Some(&privacy));
            assert_eq!(is_gone, want, "{what}");
        }
        assert_eq!(
            privacy.stored(hashed.as_bytes()),
            privacy.stored(plain.as_bytes())
        );
        assert!(hashed.parts().is_none() && plain.hash().is_none());
    }
}

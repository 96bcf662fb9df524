//! The acts of administrators, which all hosts carry out: entries added and removed, records forgotten.
//!
//! They are a log, not records: a removal that was merged would be undone by the record of a host that has not heard of it.
//! Each host carries out all acts in their order, so all end with the same entries. Its own are done when they are
//! appended. They are done a second time if another host's come before them in the log, if the daemon has ended before it
//! noted that they were done, or if the database has been replaced by a backup. So a deletion is of what it selected at its
//! time ([`Filter::begun_by`]): nothing that has come or has passed since is deleted, however often it is done.
//!
//! # On the server
//!
//! ```text
//! head = epoch:8 number:8            ; the number of the last act; an epoch begins when the server has no head
//! act  = host:4 time:8 what          ; by epoch and number
//! what = %x01 field field            ; an entry was added or changed: key and value as in the database
//!      / %x02 field                  ; an entry was removed: its key
//!      / %x03 flags:1 *field         ; records were forgotten: client, sender and recipient as the flags say
//! field = length:2 *OCTET
//! ```
//!
//! # In the database
//!
//! ```text
//! journal = epoch:8 number:8 *field  ; the last act that was carried out, and acts of this host
//! field   =/ length:2 act            ; it is not in the log yet
//!         =/ length:2 act time:8     ; it was appended then, and may be lost if a replica takes over; the first octet
//!                                    ; of its what has %x80 added
//! ```

use crate::policy::{Added, Client, ClientKey, Filter, Host, ListName, Params, State, Triplet};
use crate::shared::{Key, Record};
use crate::store::{PrivacyKey, schema};
use crate::types::Timestamp;

/// Most acts that wait to be appended, and most deletions that are remembered.
pub const MOST_ACTS: usize = 1000;

/// Length of the longest act, in bytes; the filter of a deletion may name addresses that no mail can have.
const LONGEST_ACT: usize = 65_535;

const PUT: u8 = 1;
const REMOVE: u8 = 2;
const FORGET: u8 = 3;

/// Where an act has the octet that says what was done, and what is added there to one that was appended.
const AT_WHAT: usize = 12;
const IS_APPENDED: u8 = 0x80;

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

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The epoch; 0 for none.
    pub epoch: u64,
    /// The number of an act, from 1; 0 before the first.
    pub number: u64,
}

/// A step of carrying out the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The last act that was carried out before it.
    pub from: Cursor,
    /// The last one that has been carried out then.
    pub to: Cursor,
    /// How often the database had been replaced by a backup when it began.
    pub restarts: u64,
}

/// What a host has carried out, and what it has still to append.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    /// The last act that was carried out.
    pub done: Cursor,
    /// Acts of this host that are not in the log yet.
    pub pending: Vec<Act>,
    /// Removals and deletions of this host that are in the log, and when they were appended; while it may lose them.
    pub appended: Vec<(Act, Timestamp)>,
}

impl Cursor {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.epoch.to_be_bytes(), self.number.to_be_bytes()].concat()
    }

    /// The cursor at the beginning of `bytes`, and the rest.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (epoch, rest) = number(bytes)?;
        let (number, rest) = number(rest)?;
        Some((Self { epoch, number }, rest))
    }
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
    fn is_after(&self, logged: &Self) -> bool {
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

impl Journal {
    /// The journal in these bytes. What cannot be read is left out.
    #[must_use]
    pub fn decode(bytes: Option<&[u8]>) -> Self {
        let Some((done, mut rest)) = bytes.and_then(Cursor::read) else {
            return Self::default();
        };
        let (mut pending, mut appended) = (Vec::new(), Vec::new());
        while let Some((act, more)) = field(rest) {
            match read_appended(act) {
                Some(act) => appended.push(act),
                None => pending.extend(Act::decode(act)),
            }
            rest = more;
        }
        Self {
            done,
            pending,
            appended,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.done.encode();
        for act in self.pending.iter().filter_map(Act::encode) {
            // An act that is too long is not in the journal.
            put_field(&mut out, &act);
        }
        for (act, at) in &self.appended {
            let Some(mut act) = act.encode() else {
                continue;
            };
            if let Some(what) = act.get_mut(AT_WHAT) {
                *what |= IS_APPENDED;
            }
            act.extend_from_slice(&at.seconds().to_be_bytes());
            // One that is too long for the time, too, is not kept.
            put_field(&mut out, &act);
        }
        out
    }

    /// Adds an act that is to be appended, in place of an older one about the same entry. Beyond [`MOST_ACTS`] an addition
    /// is dropped, because entries that the log does not have are appended by and by. Yields whether all acts will be in the
    /// log: if only removals and deletions are left, the oldest of them is lost.
    pub fn add(&mut self, act: Act) -> bool {
        if act.encode().is_none() {
            return false;
        }
        if act.entry().is_some() {
            self.pending.retain(|older| older.entry() != act.entry());
            self.appended
                .retain(|(older, _)| older.entry() != act.entry());
        }
        self.pending.push(act);
        if self.pending.len() <= MOST_ACTS {
            return true;
        }
        let is_put = |act: &Act| matches!(act.what, What::Put(_));
        let put = self.pending.iter().position(is_put);
        self.pending.remove(put.unwrap_or_default());
        put.is_some()
    }

    /// Whether an act from the log is to be carried out: not if a pending one about the same entry came later. A pending
    /// one that came before is dropped; if it is of the same host, its database was replaced by a backup.
    pub fn admits(&mut self, act: &Act) -> bool {
        let Some(entry) = act.entry() else {
            return true;
        };
        let about = |older: &Act| older.entry() == Some(entry);
        if self
            .pending
            .iter()
            .any(|own| about(own) && own != act && own.is_after(act))
        {
            return false;
        }
        self.pending.retain(|own| !about(own));
        self.appended.retain(|(own, _)| !about(own) || own == act);
        true
    }

    /// Notes that an act was appended. An addition is not kept, because entries that the log does not have are appended by
    /// and by.
    pub(super) fn note_appended(&mut self, act: &Act, now: Timestamp) {
        self.pending.retain(|other| other != act);
        self.appended.retain(|(other, _)| other != act);
        match act.what {
            What::Put(_) => {}
            What::Remove(..) | What::Forget(_) => {
                let excess = self.appended.len().saturating_sub(MOST_ACTS - 1);
                self.appended.drain(..excess);
                self.appended.push((act.clone(), now));
            }
        }
    }

    /// Has all acts appended again that are kept for that, because the log has begun anew or the database is replaced.
    pub fn reopen(&mut self) {
        let appended = std::mem::take(&mut self.appended);
        let pending = std::mem::take(&mut self.pending);
        let appended = appended.into_iter().map(|(act, _)| act);
        for act in appended.chain(pending) {
            self.add(act);
        }
    }
}

/// The act in a field of the journal that was appended, and when.
fn read_appended(field: &[u8]) -> Option<(Act, Timestamp)> {
    let what = field.get(AT_WHAT).filter(|what| **what >= IS_APPENDED)?;
    let (act, time) = field.split_last_chunk()?;
    let mut act = act.to_vec();
    *act.get_mut(AT_WHAT)? = what & !IS_APPENDED;
    let time = Timestamp::from_seconds(u64::from_be_bytes(*time));
    Some((Act::decode(&act)?, time))
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
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// The field at the beginning of `bytes`, and the rest.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Writes a field; `None` if it is too long.
fn put_field(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
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
        let journal = Journal {
            done: Cursor {
                epoch: 5,
                number: 6,
            },
            pending: acts.to_vec(),
            appended: acts[1..].iter().map(|act| (act.clone(), at(9))).collect(),
        };
        assert_eq!(Journal::decode(Some(&journal.encode())), journal);
        assert_eq!(Journal::decode(Some(b"?")), Journal::default());
        assert_eq!(Journal::decode(None), Journal::default());
    }

    #[test]
    fn the_later_of_two_acts_about_an_entry_holds() {
        let mut journal = Journal::default();
        journal.add(put(10, "a.example"));
        journal.add(put(20, "b.example"));
        journal.add(remove(30, "a.example"));
        assert_eq!(
            journal.pending,
            [put(20, "b.example"), remove(30, "a.example")]
        );
        let theirs = |act: Act| Act {
            host: Host(9),
            ..act
        };
        let (added, removed) = (put(25, "a.example"), remove(25, "b.example"));
        assert!(!journal.admits(&theirs(added)), "ours came later");
        let same = put(30, "a.example");
        assert!(!journal.admits(&same), "of one host, in the same second");
        assert!(journal.admits(&theirs(removed)), "ours came before");
        assert_eq!(journal.pending, [remove(30, "a.example")]);
        assert!(
            journal.admits(&put(31, "a.example")),
            "the database is that of a backup"
        );
        assert!(journal.pending.is_empty());
    }

    #[test]
    fn a_removal_or_deletion_that_was_appended_is_kept_until_a_later_act_about_the_same_entry() {
        let everything = act(12, What::Forget(Filter::default()));
        let appended = || {
            let mut journal = Journal::default();
            for act in [
                put(10, "b.example"),
                remove(11, "a.example"),
                everything.clone(),
            ] {
                journal.add(act.clone());
                journal.note_appended(&act, at(20));
                journal.note_appended(&act, at(21));
            }
            journal
        };
        let kept = [
            (remove(11, "a.example"), at(21)),
            (everything.clone(), at(21)),
        ];
        let mut journal = appended();
        assert_eq!(
            (&journal.pending[..], &journal.appended[..]),
            (&[][..], &kept[..])
        );
        assert!(journal.admits(&remove(11, "a.example")), "itself");
        assert_eq!(journal.appended, kept);
        assert!(journal.admits(&put(10, "a.example")), "later in the log");
        assert_eq!(journal.appended, kept[1..]);
        let mut journal = appended();
        journal.add(put(30, "a.example"));
        assert_eq!(journal.appended, kept[1..]);

        let mut journal = appended();
        journal.add(remove(30, "c.example"));
        journal.reopen();
        let want = [remove(11, "a.example"), everything, remove(30, "c.example")];
        assert_eq!(
            (&journal.pending[..], &journal.appended[..]),
            (&want[..], &[][..])
        );
        assert!(!journal.admits(&put(10, "a.example")), "ours came later");
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

    #[test]
    fn what_there_is_no_room_for_is_an_addition_if_there_is_one() {
        let mut journal = Journal::default();
        assert!(journal.add(remove(40, "gone.example")));
        for n in 0..2 * MOST_ACTS {
            assert!(journal.add(put(40, &format!("{n}.example"))), "{n}");
        }
        assert_eq!(journal.pending.len(), MOST_ACTS);
        assert_eq!(journal.pending[0], remove(40, "gone.example"));
        for n in 0..MOST_ACTS - 1 {
            assert!(journal.add(remove(41, &format!("r{n}.example"))), "{n}");
        }
        assert!(!journal.add(remove(41, "one-more.example")));
        assert_eq!(journal.pending.len(), MOST_ACTS);
        let long = Filter {
            sender: Some(vec![b'x'; LONGEST_ACT]),
            ..Filter::default()
        };
        assert!(!journal.add(act(42, What::Forget(long))));
        assert!(journal.pending.iter().all(|act| act.encode().is_some()));
    }
}

//! The journal of a host: which acts of the log it has carried out, and its own that the log does not have yet or may lose.
//!
//! # In the database
//!
//! ```text
//! journal = cursor count:1 *(cursor time:8) *field   ; the last act that was carried out; where the host was before, and
//!                                                    ; when it went on; acts of this host
//! cursor  = epoch:8 number:8 mark:8
//! field   = length:2 act                             ; it is not in the log yet
//!         / length:2 act time:8                      ; it was appended then, and may be lost if a replica takes over;
//!                                                    ; the first octet of its what has %x80 added
//! ```

use super::acts::{Act, What, field, number, put_field};
use crate::types::Timestamp;

/// Most acts that wait to be appended, and most deletions that are remembered.
pub const MOST_ACTS: usize = 1000;

/// Most places that are remembered where the host was before.
const MOST_BEFORE: usize = 64;

/// Where an act has the octet that says what was done, and what is added there to one that was appended.
const AT_WHAT: usize = 12;
const IS_APPENDED: u8 = 0x80;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The epoch; 0 for none.
    pub epoch: u64,
    /// The number of an act, from 1; 0 before the first.
    pub number: u64,
    /// The random number of that act; 0 if it is not known, and before the first. A server that comes back with an older
    /// state gives the same numbers to other acts.
    pub mark: u64,
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
    /// When it is taken.
    pub at: Timestamp,
}

/// What a host has carried out, and what it has still to append.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    /// The last act that was carried out.
    pub done: Cursor,
    /// Where the host was before that, the oldest first, and when it went on from there; as long as the log may lose what
    /// came then.
    pub before: Vec<(Cursor, Timestamp)>,
    /// Acts of this host that are not in the log yet.
    pub pending: Vec<Act>,
    /// Acts of this host that are in the log, and when they were appended; while it may lose them.
    pub appended: Vec<(Act, Timestamp)>,
}

impl Cursor {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.epoch, self.number, self.mark]
            .map(u64::to_be_bytes)
            .concat()
    }

    /// The cursor at the beginning of `bytes`, and the rest.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (epoch, rest) = number(bytes)?;
        let (place, rest) = number(rest)?;
        let (mark, rest) = number(rest)?;
        let cursor = Self {
            epoch,
            number: place,
            mark,
        };
        Some((cursor, rest))
    }
}

impl Journal {
    /// The journal in these bytes. What cannot be read is left out.
    #[must_use]
    pub fn decode(bytes: Option<&[u8]>) -> Self {
        let Some((done, rest)) = bytes.and_then(Cursor::read) else {
            return Self::default();
        };
        let (before, mut rest) = read_before(rest);
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
            before,
            pending,
            appended,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.done.encode();
        let before = self.before.iter().rev().take(MOST_BEFORE).rev();
        out.push(u8::try_from(before.len()).unwrap_or_default());
        for (cursor, at) in before {
            out.extend_from_slice(&cursor.encode());
            out.extend_from_slice(&at.seconds().to_be_bytes());
        }
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
        // If it is this host's own, it is yet to be noted that it is in the log.
        self.pending.retain(|own| !about(own) || own == act);
        self.appended.retain(|(own, _)| !about(own) || own == act);
        true
    }

    /// Notes that an act was appended, and keeps it while the log may lose it; of several about one entry the last one.
    pub(super) fn note_appended(&mut self, act: &Act, now: Timestamp) {
        self.pending.retain(|other| other != act);
        let about = |other: &Act| act.entry().is_some() && other.entry() == act.entry();
        self.appended
            .retain(|(other, _)| other != act && !about(other));
        // What was done about the entry meanwhile is still to be appended, and holds.
        if self.pending.iter().any(about) {
            return;
        }
        let excess = self.appended.len().saturating_sub(MOST_ACTS - 1);
        self.appended.drain(..excess);
        self.appended.push((act.clone(), now));
    }

    /// Goes on to another place in the log.
    pub fn go_on(&mut self, to: Cursor, now: Timestamp) {
        if to.epoch == self.done.epoch {
            let excess = self.before.len().saturating_sub(MOST_BEFORE - 1);
            self.before.drain(..excess);
            self.before.push((self.done, now));
        } else {
            self.before.clear();
        }
        self.done = to;
    }

    /// Where the host is and was, the last place first.
    pub(super) fn places(&self) -> impl Iterator<Item = Cursor> {
        let before = self.before.iter().rev().map(|(place, _)| *place);
        [self.done].into_iter().chain(before)
    }

    /// Goes back to a place where the host was, because the log has lost what came then. What other hosts have appended
    /// there instead is carried out, and what this host had appended is appended again.
    pub(super) fn go_back(&mut self, to: Cursor) {
        let at = self.places().position(|place| place == to);
        if let Some(at) = at {
            let left = self.before.len().saturating_sub(at);
            self.before.truncate(left);
            self.done = to;
            self.reopen();
        }
    }

    /// Whether there is something that the log cannot lose any more, because it has it since `settled` or longer.
    pub(super) fn has_settled(&self, settled: Timestamp) -> bool {
        let mut before = self.before.iter();
        before.any(|(_, at)| *at <= settled) || self.appended.iter().any(|(_, at)| *at <= settled)
    }

    /// Forgets about that.
    pub(super) fn settle(&mut self, settled: Timestamp) {
        self.before.retain(|(_, at)| *at > settled);
        self.appended.retain(|(_, at)| *at > settled);
    }

    /// Moves the acts that are kept for a failover back to those that are to be appended: a new log was begun, or the database
    /// was replaced.
    pub fn reopen(&mut self) {
        let appended = std::mem::take(&mut self.appended);
        let pending = std::mem::take(&mut self.pending);
        let appended = appended.into_iter().map(|(act, _)| act);
        for act in appended.chain(pending) {
            self.add(act);
        }
    }
}

/// The places at the beginning of `bytes`, and the rest.
fn read_before(bytes: &[u8]) -> (Vec<(Cursor, Timestamp)>, &[u8]) {
    let (count, mut rest) = bytes.split_first().unwrap_or((&0, bytes));
    let mut before = Vec::new();
    for _ in 0..*count {
        let place = Cursor::read(rest);
        let Some((place, (at, more))) =
            place.and_then(|(place, more)| Some((place, number(more)?)))
        else {
            break;
        };
        before.push((place, Timestamp::from_seconds(at)));
        rest = more;
    }
    (before, rest)
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

#[cfg(test)]
mod tests {
    use super::super::acts::LONGEST_ACT;
    use super::*;
    use crate::policy::{Added, Filter, Host, ListName};

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
    fn of_acts_about_one_entry_only_the_last_is_kept_for_a_failover() {
        let mut journal = Journal::default();
        let (added, removed) = (put(10, "a.example"), remove(10, "a.example"));
        journal.add(added.clone());
        // It was removed while it was being appended.
        journal.add(removed.clone());
        journal.note_appended(&added, at(11));
        assert!(journal.appended.is_empty());
        assert_eq!(journal.pending, std::slice::from_ref(&removed));
        // The reply to that is lost, and it is read in the log: it is still to be noted.
        assert!(journal.admits(&removed));
        assert_eq!(journal.pending, std::slice::from_ref(&removed));
        journal.note_appended(&removed, at(12));
        assert!(journal.pending.is_empty());
        assert_eq!(journal.appended, [(removed, at(12))]);
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
    fn an_act_that_was_appended_is_kept_until_a_later_act_about_the_same_entry() {
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
            (put(10, "b.example"), at(21)),
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
        let without = [kept[0].clone(), kept[2].clone()];
        assert!(journal.admits(&put(10, "a.example")), "later in the log");
        assert_eq!(journal.appended, without);
        let mut journal = appended();
        journal.add(put(30, "a.example"));
        assert_eq!(journal.appended, without);

        let mut journal = appended();
        journal.add(remove(30, "c.example"));
        journal.reopen();
        let want = [
            put(10, "b.example"),
            remove(11, "a.example"),
            everything,
            remove(30, "c.example"),
        ];
        assert_eq!(
            (&journal.pending[..], &journal.appended[..]),
            (&want[..], &[][..])
        );
        assert!(!journal.admits(&put(10, "a.example")), "ours came later");
    }

    #[test]
    fn a_host_goes_back_to_where_it_was_until_what_came_then_cannot_be_lost_any_more() {
        let place = |epoch, number| Cursor {
            epoch,
            number,
            mark: number * 11,
        };
        let mut journal = Journal::default();
        journal.go_on(place(5, 7), at(100));
        assert_eq!(journal.before, [], "of another epoch");
        for number in 8..11 {
            journal.go_on(place(5, number), at(100 + number));
        }
        let act = remove(110, "a.example");
        journal.note_appended(&act, at(110));
        let read = Journal::decode(Some(&journal.encode()));
        assert_eq!(read, journal);
        let places: Vec<u64> = journal.places().map(|place| place.number).collect();
        assert_eq!(places, [10, 9, 8, 7]);

        let mut back = journal.clone();
        back.go_back(place(5, 8));
        assert_eq!(
            (back.done, &back.before[..]),
            (place(5, 8), &[(place(5, 7), at(108))][..])
        );
        assert_eq!(
            (&back.pending[..], &back.appended[..]),
            (&[act][..], &[][..])
        );
        let mut nowhere = journal.clone();
        nowhere.go_back(place(5, 6));
        assert_eq!(nowhere, journal);

        assert!(!journal.has_settled(at(107)));
        assert!(journal.has_settled(at(109)));
        journal.settle(at(109));
        assert_eq!(journal.before, [(place(5, 9), at(110))]);
        assert_eq!(journal.appended.len(), 1);
        for number in 11..200 {
            journal.go_on(place(5, number), at(number));
        }
        assert_eq!(journal.before.len(), MOST_BEFORE);
        assert_eq!(Journal::decode(Some(&journal.encode())), journal);
        assert_eq!(Journal::decode(Some(b"?")), Journal::default());
        assert_eq!(Journal::decode(None), Journal::default());
        let bytes = journal.encode();
        for end in 0..bytes.len() {
            // Whatever comes of it, it does not panic.
            assert_ne!(Journal::decode(Some(&bytes[..end])), journal);
        }
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

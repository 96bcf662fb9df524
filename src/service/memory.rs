//! What an instance was told: a question asked twice gets one answer and counts once.
//!
//! Postfix evaluates its restriction lists at RCPT, for every recipient, so a service named in four lists
//! is asked four times about the same thing, and once more for each other recipient of the message. All these
//! questions carry the same `instance`. A repeat of (client address, instance, stage, sender, recipient)
//! changes nothing and gets the verdict without its one-time part; the header is given, and a sleep is ordered,
//! once for (client address, instance).
//!
//! # Limits
//!
//! [`CAPACITY`] entries, the oldest goes first; an entry is believed for [`LIFETIME`]. Nothing is
//! remembered without an instance, and nothing outlives the process.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::policy::{Because, Outcome, Reason, Stage, Transaction, Verdict};
use crate::types::{Span, Timestamp};

/// Most entries. A busy server's ten minutes; 8 MiB.
pub(super) const CAPACITY: usize = 65_536;

/// How long an entry is believed: longer than the questions about one message take.
const LIFETIME: Span = Span::from_seconds(600);

/// Identifies a question or a message: 128 bits under keys of this process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, u64);

impl Key {
    fn of(hashers: &[impl Hasher; 2]) -> Self {
        let [first, second] = hashers.each_ref().map(Hasher::finish);
        Self(first, second)
    }
}

/// Takes what is a hash already for its own.
#[derive(Debug, Clone, Copy, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, part: u64) {
        self.0 = part;
    }
}

/// The two keys of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    /// The question.
    pub(super) question: Key,
    /// The message.
    pub(super) message: Key,
}

#[derive(Debug, Clone, Copy)]
enum Told {
    /// The answer to a question.
    Answer(Verdict, Reason, Because),
    /// What the message had.
    Message(Had),
}

/// What a message had that there is once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Had {
    /// Its header.
    pub(super) header: bool,
    /// Its sleep, ordered then.
    pub(super) sleep: Option<Timestamp>,
}

/// The memory of all instances.
#[derive(Debug)]
pub(super) struct InstanceMemory {
    hashers: [RandomState; 2],
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    told: HashMap<Key, (Timestamp, Told), BuildHasherDefault<Ready>>,
    /// In the order they were told; one that was told again stands here twice.
    order: VecDeque<(Timestamp, Key)>,
}

impl InstanceMemory {
    pub(super) fn new() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            table: Mutex::default(),
        }
    }

    /// The keys of a transaction; `None` without an instance.
    pub(super) fn keys(&self, tx: &Transaction<'_>) -> Option<Keys> {
        let instance = tx.instance.filter(|instance| !instance.is_empty())?;
        let stage = match tx.stage {
            Stage::Recipient => 0_u8,
            Stage::Data => 1,
            Stage::Other => 2,
        };
        // What the two have in common is hashed once.
        let mut hashers = self.hashers.each_ref().map(BuildHasher::build_hasher);
        for hasher in &mut hashers {
            (tx.client_address, instance).hash(hasher);
        }
        let message = Key::of(&hashers);
        for hasher in &mut hashers {
            (stage, tx.sender, tx.recipient).hash(hasher);
        }
        Some(Keys {
            question: Key::of(&hashers),
            message,
        })
    }

    /// What was answered to this question, without its one-time part.
    pub(super) fn answered(&self, keys: Keys, now: Timestamp) -> Option<Outcome> {
        match self.table().find(keys.question, now)? {
            Told::Answer(verdict, reason, because) => {
                // An entry is known by its number in the rules of that time, and others may be in force.
                let because = match because {
                    Because::Entry(_) => Because::Request,
                    other @ (Because::Request
                    | Because::Missing(_)
                    | Because::Client
                    | Because::Triplet
                    | Because::Sleep
                    | Because::Store) => other,
                };
                Some(Outcome::new(verdict.repeated(), reason, because))
            }
            Told::Message(_) => None,
        }
    }

    /// What the message had.
    pub(super) fn had(&self, keys: Keys, now: Timestamp) -> Had {
        self.table().had(keys.message, now)
    }

    /// Remembers an answer.
    pub(super) fn remember(&self, keys: Keys, outcome: &Outcome, now: Timestamp) {
        let mut table = self.table();
        let answer = Told::Answer(outcome.verdict, outcome.reason, outcome.because);
        table.insert(keys.question, (now, answer));
        let had = table.had(keys.message, now);
        let has = Had {
            header: had.header || matches!(outcome.verdict, Verdict::PassWithHeader { .. }),
            sleep: match outcome.verdict {
                Verdict::Tarpit { .. } => Some(now),
                Verdict::Pass
                | Verdict::PassWithHeader { .. }
                | Verdict::Defer { .. }
                | Verdict::Reply(_)
                | Verdict::Unavailable => had.sleep,
            },
        };
        if has != had {
            table.insert(keys.message, (now, Told::Message(has)));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// An entry that is neither too old nor from the future.
    fn find(&self, key: Key, now: Timestamp) -> Option<Told> {
        let (at, told) = self.told.get(&key)?;
        (*at <= now && now.since(*at) <= LIFETIME).then_some(*told)
    }

    fn had(&self, message: Key, now: Timestamp) -> Had {
        match self.find(message, now) {
            Some(Told::Message(had)) => had,
            Some(Told::Answer(..)) | None => Had::default(),
        }
    }

    fn insert(&mut self, key: Key, entry: (Timestamp, Told)) {
        self.told.insert(key, entry);
        self.order.push_back((entry.0, key));
        while self.order.len() > CAPACITY {
            if let Some((at, oldest)) = self.order.pop_front()
                && self.told.get(&oldest).is_some_and(|(told, _)| *told == at)
            {
                self.told.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tx<'a>(instance: &'a str, recipient: &'a str) -> Transaction<'a> {
        Transaction {
            stage: Stage::Recipient,
            client_address: Some(b"192.0.2.7"),
            client_name: Some(b"mx.example"),
            sender: Some(b"a@b"),
            recipient: Some(recipient.as_bytes()),
            instance: Some(instance.as_bytes()),
            queue_id: None,
            enhanced_codes: true,
            is_stressed: false,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    const FIRST_PASS: Outcome = Outcome::new(
        Verdict::PassWithHeader {
            waited: Span::from_seconds(300),
        },
        Reason::TripletFound,
        Because::Triplet,
    );

    #[test]
    fn a_repeat_gets_the_verdict_without_its_one_time_part() {
        let memory = InstanceMemory::new();
        let keys = |instance, recipient| memory.keys(&tx(instance, recipient)).unwrap();
        let first = keys("1", "joe@x");
        assert!(memory.answered(first, at(0)).is_none());
        memory.remember(first, &FIRST_PASS, at(0));
        let again = memory.answered(first, at(600)).unwrap();
        assert_eq!(
            (again.verdict, again.reason),
            (Verdict::Pass, FIRST_PASS.reason)
        );

        assert!(memory.answered(keys("1", "jim@x"), at(0)).is_none());
        assert!(memory.had(keys("1", "jim@x"), at(0)).header);
        assert!(!memory.had(keys("2", "jim@x"), at(0)).header);
        assert!(memory.answered(keys("2", "joe@x"), at(0)).is_none());
    }

    #[test]
    fn an_entry_is_believed_for_ten_minutes_and_never_before_its_time() {
        let memory = InstanceMemory::new();
        let keys = memory.keys(&tx("1", "joe@x")).unwrap();
        memory.remember(keys, &FIRST_PASS, at(100));
        assert!(memory.answered(keys, at(700)).is_some());
        assert!(memory.answered(keys, at(701)).is_none());
        assert!(memory.answered(keys, at(99)).is_none());
    }

    #[test]
    fn nothing_is_remembered_without_an_instance() {
        let memory = InstanceMemory::new();
        assert!(memory.keys(&tx("", "joe@x")).is_none());
        let without = Transaction {
            instance: None,
            ..tx("", "joe@x")
        };
        assert!(memory.keys(&without).is_none());
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let memory = InstanceMemory::new();
        let deferred = Outcome::new(Verdict::Pass, Reason::New, Because::Triplet);
        let keys: Vec<Keys> = (0..=CAPACITY)
            .map(|n| memory.keys(&tx(&n.to_string(), "joe@x")).unwrap())
            .collect();
        for keys in keys.iter().take(CAPACITY) {
            memory.remember(*keys, &deferred, at(0));
        }
        assert!(memory.answered(keys[0], at(0)).is_some());
        memory.remember(keys[CAPACITY], &deferred, at(0));
        assert!(memory.answered(keys[0], at(0)).is_none());
        assert!(memory.answered(keys[1], at(0)).is_some());
        assert!(memory.answered(keys[CAPACITY], at(0)).is_some());
    }
}

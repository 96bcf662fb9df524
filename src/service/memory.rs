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
//! 114,688 answers and 14,336 messages, of which the oldest are let go for others, and each for ten minutes at most: see
//! [`recent`](super::recent). Nothing is remembered without an instance, and nothing outlives the process.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::recent::{Key, Recent};
use crate::policy::{Attempt, Because, Outcome, Params, Reason, Stage, Verdict};
use crate::types::Timestamp;

/// Sets of answers: 8 MiB when all are full.
const ANSWERS: usize = 16_384;

/// Sets of messages that had something. Few have.
const MESSAGES: usize = 2048;

/// The two keys of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// The question.
    pub(super) question: Key,
    /// The message.
    pub(super) message: Key,
}

/// What a message had that there is once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Had {
    /// Its header.
    pub(crate) header: bool,
    /// Its sleep, ordered then.
    pub(crate) sleep: Option<Timestamp>,
    /// A recipient whose triplet had passed before; noted under taRgrey only.
    pub(crate) known_triplet: bool,
}

/// The memory of all instances.
#[derive(Debug)]
pub(crate) struct InstanceMemory {
    hashing: RandomState,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    answers: Recent<(Verdict, Reason, Because), ANSWERS>,
    messages: Recent<Had, MESSAGES>,
}

impl InstanceMemory {
    pub(crate) fn new() -> Self {
        Self {
            hashing: RandomState::new(),
            told: Mutex::new(Told {
                answers: Recent::new(),
                messages: Recent::new(),
            }),
        }
    }

    /// The keys of an attempt; `None` without an instance.
    pub(crate) fn keys(&self, tx: &Attempt<'_>) -> Option<Keys> {
        let instance = tx.instance.filter(|instance| !instance.is_empty())?;
        let stage = match tx.stage {
            Stage::Recipient => 0_u8,
            Stage::Data => 1,
            Stage::Other => 2,
        };
        // What the two have in common is hashed once.
        let mut hasher = self.hashing.build_hasher();
        (tx.client_address, instance).hash(&mut hasher);
        let message = Key::new(hasher.finish());
        (stage, tx.sender, tx.recipient).hash(&mut hasher);
        Some(Keys {
            question: Key::new(hasher.finish()),
            message,
        })
    }

    /// What was answered to this question, without its one-time part.
    pub(crate) fn answered(&self, keys: Keys, now: Timestamp) -> Option<Outcome> {
        let (verdict, reason, because) = self.told().answers.find(keys.question, now)?;
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

    /// What the message had.
    pub(crate) fn had(&self, keys: Keys, now: Timestamp) -> Had {
        self.told().had(keys.message, now)
    }

    /// Remembers an answer.
    pub(crate) fn remember(&self, keys: Keys, outcome: &Outcome, now: Timestamp, params: &Params) {
        let mut told = self.told();
        let answer = (outcome.verdict, outcome.reason, outcome.because);
        told.answers.insert(keys.question, now, answer);
        let had = told.had(keys.message, now);
        let is_known = outcome.reason == Reason::TripletFound && outcome.waited.is_none();
        let has = Had {
            known_triplet: had.known_triplet || (is_known && params.is_targrey()),
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
            told.messages.insert(keys.message, now, has);
        }
    }

    /// Forgets all answers and messages.
    pub(crate) fn clear(&self) {
        let mut told = self.told();
        (told.answers, told.messages) = (Recent::new(), Recent::new());
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn had(&self, message: Key, now: Timestamp) -> Had {
        self.messages.find(message, now).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Span;

    fn tx<'a>(instance: &'a str, recipient: &'a str) -> Attempt<'a> {
        Attempt {
            stage: Stage::Recipient,
            client_address: Some(b"192.0.2.7"),
            client_name: Some(b"mx.example"),
            sender: Some(b"a@b"),
            recipient: Some(recipient.as_bytes()),
            instance: Some(instance.as_bytes()),
            queue_id: None,
            is_stressed: false,
            is_authenticated: false,
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
        memory.remember(first, &FIRST_PASS, at(0), &Params::default());
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
    fn nothing_is_remembered_without_an_instance() {
        let memory = InstanceMemory::new();
        assert!(memory.keys(&tx("", "joe@x")).is_none());
        let without = Attempt {
            instance: None,
            ..tx("", "joe@x")
        };
        assert!(memory.keys(&without).is_none());
    }
}

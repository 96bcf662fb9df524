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
//! [`set_cache`](super::set_cache). Nothing is remembered without an instance, and nothing outlives the process.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use super::set_cache::{Key, SetCache};
use crate::policy::{Attempt, Because, Outcome, Params, Reason, Stage, Verdict};
use crate::types::Timestamp;
use crate::types::sync::{Mutex, MutexGuard};

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
pub(crate) struct MessageState {
    /// Its header.
    pub(crate) header: bool,
    /// Its sleep, ordered then.
    pub(crate) sleep: Option<Timestamp>,
    /// A recipient whose triplet had passed before; noted under taRgrey only.
    pub(crate) known_triplet: bool,
}

/// The memory of all instances.
#[derive(Debug)]
pub(crate) struct InstanceCache {
    hashing: RandomState,
    caches: Mutex<Caches>,
}

#[derive(Debug)]
struct Caches {
    answers: SetCache<(Verdict, Reason, Because), ANSWERS>,
    messages: SetCache<MessageState, MESSAGES>,
}

impl InstanceCache {
    pub(crate) fn new() -> Self {
        Self {
            hashing: RandomState::new(),
            caches: Mutex::new(Caches {
                answers: SetCache::new(),
                messages: SetCache::new(),
            }),
        }
    }

    /// The keys of an attempt; `None` without an instance.
    pub(crate) fn keys(&self, attempt: &Attempt<'_>) -> Option<Keys> {
        let instance = attempt.instance.filter(|instance| !instance.is_empty())?;
        let stage = match attempt.stage {
            Stage::Recipient => 0_u8,
            Stage::Data => 1,
            Stage::Other => 2,
        };
        // What the two have in common is hashed once.
        let mut hasher = self.hashing.build_hasher();
        (attempt.client_address, instance).hash(&mut hasher);
        let message = Key::new(hasher.finish());
        (stage, attempt.sender, attempt.recipient).hash(&mut hasher);
        Some(Keys {
            question: Key::new(hasher.finish()),
            message,
        })
    }

    /// What was answered to this question, without its one-time part.
    pub(crate) fn answered(&self, keys: Keys, now: Timestamp) -> Option<Outcome> {
        let (verdict, reason, because) = self.caches().answers.find(keys.question, now)?;
        // An entry is known by its number in the rules of that time, and others may be active.
        let because = match because {
            Because::Entry(_) => Because::Request,
            other @ (Because::Request
            | Because::MissingAttribute(_)
            | Because::Client
            | Because::Triplet
            | Because::Sleep
            | Because::Store) => other,
        };
        Some(Outcome::new(verdict.repeated(), reason, because))
    }

    /// What the message had.
    pub(crate) fn had(&self, keys: Keys, now: Timestamp) -> MessageState {
        self.caches().had(keys.message, now)
    }

    /// Remembers an answer.
    pub(crate) fn remember(&self, keys: Keys, outcome: &Outcome, now: Timestamp, params: &Params) {
        let mut caches = self.caches();
        let answer = (outcome.verdict, outcome.reason, outcome.because);
        caches.answers.insert(keys.question, now, answer);
        let had = caches.had(keys.message, now);
        let is_known = outcome.reason == Reason::TripletFound && outcome.waited.is_none();
        let has = MessageState {
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
            caches.messages.insert(keys.message, now, has);
        }
    }

    /// Forgets all answers and messages.
    pub(crate) fn clear(&self) {
        let mut caches = self.caches();
        (caches.answers, caches.messages) = (SetCache::new(), SetCache::new());
    }

    fn caches(&self) -> MutexGuard<'_, Caches> {
        self.caches.lock()
    }
}

impl Caches {
    fn had(&self, message: Key, now: Timestamp) -> MessageState {
        self.messages.find(message, now).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Span;

    fn attempt<'a>(instance: &'a str, recipient: &'a str) -> Attempt<'a> {
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
        let memory = InstanceCache::new();
        let keys = |instance, recipient| memory.keys(&attempt(instance, recipient)).unwrap();
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
        let memory = InstanceCache::new();
        assert!(memory.keys(&attempt("", "joe@x")).is_none());
        let without = Attempt {
            instance: None,
            ..attempt("", "joe@x")
        };
        assert!(memory.keys(&without).is_none());
    }
}

//! Instance cache: a repeated request gets the cached reply and counts once.
//!
//! Postfix evaluates its restriction lists at RCPT, for every recipient, so a service named in four lists gets four equal
//! requests, and one more for each other recipient of the message. All of them have the same `instance`. A repeat of
//! (client address, instance, stage, sender, recipient) changes nothing and gets the verdict without its one-time part;
//! the header is given, and a sleep is ordered, once for (client address, instance).
//!
//! # Limits
//!
//! 114,688 replies and 14,336 messages, for ten minutes each; when the cache is full the oldest are overwritten: see
//! [`set_cache`](super::set_cache). Nothing is cached without an instance, and nothing outlives the process.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use super::set_cache::{Key, SetCache};
use crate::policy::{
    Attempt, Because, MessageSleep, Outcome, Reason, Ruleset, Stage, Suspicion, Verdict,
};
use crate::types::Timestamp;
use crate::types::sync::{Mutex, MutexGuard};

/// Sets of answers: 8 MiB when all are full.
const ANSWERS: usize = 16_384;

/// Sets of messages that had something. Few have.
const MESSAGES: usize = 2048;

/// The two keys of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// The request.
    pub(super) request: Key,
    /// The message.
    pub(super) message: Key,
}

/// What a message got that is given once per message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MessageState {
    /// Its header.
    pub(crate) header: bool,
    /// Its sleep.
    pub(crate) sleep: Option<MessageSleep>,
    /// Whether a triplet of it had passed before; only under taRgrey.
    pub(crate) known_triplet: bool,
    /// Whether a recipient passed for another reason than that it has waited; only where it matters who hangs up.
    pub(crate) exempt: bool,
}

/// The cache of all instances.
#[derive(Debug)]
pub(crate) struct InstanceCache {
    hashing: RandomState,
    caches: Mutex<Caches>,
}

#[derive(Debug)]
struct Caches {
    answers: SetCache<(Verdict, Reason, Because, Option<Suspicion>, bool), ANSWERS>,
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
        let message = attempt.milter_message;
        let instance = attempt.instance.unwrap_or_default();
        if instance.is_empty() && message.is_none() {
            return None;
        }
        // Both front ends may ask about a message of a milter session.
        let instance = if message.is_some() { b"" } else { instance };
        let stage = match attempt.stage {
            Stage::Recipient => 0_u8,
            Stage::Data => 1,
            Stage::Other => 2,
        };
        // Their common part is hashed once.
        let mut hasher = self.hashing.build_hasher();
        (attempt.client_address, message, instance).hash(&mut hasher);
        let message = Key::new(hasher.finish());
        (stage, attempt.sender, attempt.recipient).hash(&mut hasher);
        Some(Keys {
            request: Key::new(hasher.finish()),
            message,
        })
    }

    /// The cached reply to a request, without its one-time part, and whether the recipient is open.
    pub(crate) fn cached_reply(&self, keys: Keys, now: Timestamp) -> Option<(Outcome, bool)> {
        let (verdict, reason, because, suspicion, is_open) =
            self.caches().answers.find(keys.request, now)?;
        // An entry is identified by its number in the rules of that time, which may have been replaced.
        let because = match because {
            // A refusal has the words of its rule: after a reload at worst those of another.
            Because::Entry(rule) if reason == Reason::RuleReject => Because::Entry(rule),
            Because::Entry(_) => Because::Request,
            other @ (Because::Request
            | Because::MissingAttribute(_)
            | Because::Client
            | Because::Triplet
            | Because::Sleep
            | Because::Store
            | Because::Shared(_)) => other,
        };
        let outcome = Outcome {
            // A deferral has the words of its rule, likewise.
            suspicion,
            ..Outcome::new(verdict.repeated(), reason, because)
        };
        Some((outcome, is_open))
    }

    /// The state of a message.
    pub(crate) fn message_state(&self, keys: Keys, now: Timestamp) -> MessageState {
        self.caches().message_state(keys.message, now)
    }

    /// Caches a reply, and whether the recipient is open.
    pub(crate) fn remember(
        &self,
        keys: Keys,
        (outcome, is_open): (&Outcome, bool),
        now: Timestamp,
        rules: &Ruleset,
    ) {
        let mut caches = self.caches();
        let answer = (
            outcome.verdict,
            outcome.reason,
            outcome.because,
            outcome.suspicion,
            is_open,
        );
        caches.answers.insert(keys.request, now, answer);
        let had = caches.message_state(keys.message, now);
        let is_known = outcome.reason == Reason::TripletFound && outcome.waited.is_none();
        let has = MessageState {
            known_triplet: had.known_triplet || (is_known && rules.params.is_targrey()),
            exempt: had.exempt || (is_exempt(outcome) && rules.is_targrey()),
            header: had.header || matches!(outcome.verdict, Verdict::PassWithHeader { .. }),
            sleep: match outcome.verdict {
                Verdict::Tarpit { length, .. } => Some(MessageSleep {
                    ordered: now,
                    length,
                }),
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

    /// Drops all replies and messages.
    pub(crate) fn clear(&self) {
        let mut caches = self.caches();
        (caches.answers, caches.messages) = (SetCache::new(), SetCache::new());
    }

    fn caches(&self) -> MutexGuard<'_, Caches> {
        self.caches.lock()
    }
}

/// Whether a recipient passes for another reason than that it has waited.
const fn is_exempt(outcome: &Outcome) -> bool {
    let is_pass = matches!(outcome.verdict, Verdict::Pass);
    is_pass && matches!(outcome.because, Because::Entry(_) | Because::Request)
}

impl Caches {
    fn message_state(&self, message: Key, now: Timestamp) -> MessageState {
        self.messages.find(message, now).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::policy::{Lists, Params, Texts};
    use crate::types::Span;

    fn attempt<'a>(instance: &'a str, recipient: &'a str) -> Attempt<'a> {
        Attempt {
            client_address: Some(b"192.0.2.7"),
            client_name: Some(b"mx.example"),
            sender: Some(b"a@b"),
            recipient: Some(recipient.as_bytes()),
            instance: Some(instance.as_bytes()),
            ..Attempt::default()
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
        let cache = InstanceCache::new();
        let keys = |instance, recipient| cache.keys(&attempt(instance, recipient)).unwrap();
        let first = keys("1", "joe@x");
        assert!(cache.cached_reply(first, at(0)).is_none());
        let texts = Texts::new("450", "wait %s", "X: %t", "mx", TimeZone::UTC).unwrap();
        let rules = Ruleset::new(Params::default(), Lists::default(), texts);
        cache.remember(first, (&FIRST_PASS, true), at(0), &rules);
        let (again, is_open) = cache.cached_reply(first, at(600)).unwrap();
        assert_eq!(
            (again.verdict, again.reason, is_open),
            (Verdict::Pass, FIRST_PASS.reason, true)
        );

        assert!(cache.cached_reply(keys("1", "jim@x"), at(0)).is_none());
        assert!(cache.message_state(keys("1", "jim@x"), at(0)).header);
        assert!(!cache.message_state(keys("2", "jim@x"), at(0)).header);
        assert!(cache.cached_reply(keys("2", "joe@x"), at(0)).is_none());
    }

    #[test]
    fn nothing_is_remembered_without_an_instance() {
        let cache = InstanceCache::new();
        assert!(cache.keys(&attempt("", "joe@x")).is_none());
        let without = Attempt {
            instance: None,
            ..attempt("", "joe@x")
        };
        assert!(cache.keys(&without).is_none());
    }
}

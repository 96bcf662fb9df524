//! The content of a message while it is decided at its end: what is decoded of it, and how a large body is searched.
//!
//! Decoded, a message takes several times its size. What stays until the decision counts in the memory of all messages;
//! if there is no room for it, it is decoded again when it is needed. Large bodies are decoded and searched on threads for
//! such work, a few at a time, and nothing decoded of them stays. A message does not wait for that longer than
//! [`PATIENCE`]; then its body counts as one that was not kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::message_memory::{MemoryShare, MessageMemory};
use super::message_rules::MessageNeeds;
use crate::policy::body_matches::BodyMatches;
use crate::policy::chain::Chain;
use crate::policy::checks::Findings;
use crate::policy::message::Message;
use crate::policy::{Finding, Lookup, Ruleset};
use crate::types::Timestamp;

/// How long a message waits for its turns to be decoded, in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a large body may be searched for the values of properties, each of which may depend on what the search before
/// has found.
const MOST_SEARCHES: usize = 32;

/// A message with what is decoded of it.
#[derive(Debug)]
pub(super) struct Content<'a> {
    message: Message,
    memory: &'a Arc<MessageMemory>,
    /// For what is decoded.
    share: MemoryShare,
    /// How long it may wait yet.
    patience: Duration,
    searches: usize,
}

impl<'a> Content<'a> {
    /// A message, nothing of which is decoded yet.
    pub(super) fn new(message: &Message, memory: &'a Arc<MessageMemory>) -> Self {
        Self {
            message: message.undecoded(),
            memory,
            share: memory.share(),
            patience: PATIENCE,
            searches: 0,
        }
    }

    /// The message. After it was read, [`Content::count`] is to be called.
    pub(super) const fn message(&self) -> &Message {
        &self.message
    }

    /// Whether header or body are needed and were not kept, or not searched in time. A body that the mail server has not sent
    /// does not count.
    pub(super) fn is_unsearched(&self, needs: MessageNeeds) -> bool {
        let message = &self.message;
        let is_body_unknown = needs.body && message.body().is_none() && message.size().is_some();
        (needs.header && message.is_header_unknown()) || is_body_unknown
    }

    /// Counts what was decoded. If there is no room for that, it is thrown away.
    pub(super) fn count(&mut self) {
        let more = self.message.decoded_bytes();
        let more = more.saturating_sub(self.share.bytes());
        if !self.share.take(more) {
            self.forget_decoded();
        }
    }

    /// Throws away what was decoded.
    pub(super) fn forget_decoded(&mut self) {
        self.message = self.message.undecoded();
        self.share = self.memory.share();
    }

    /// What the tables want done with it, and what the rules have to know of a large body.
    pub(super) async fn examine(
        &mut self,
        rules: &Arc<Ruleset>,
        now: Timestamp,
    ) -> (Findings, Option<BodyMatches>) {
        let needs_lines = !rules.lists.checks.body.is_empty() || rules.lists.chain.needs().body;
        if needs_lines && self.message.is_large() {
            let rules = Arc::clone(rules);
            let lists = move |message: &Message| {
                let found = rules.lists.chain.search_body(message);
                (rules.lists.checks.examine(message), found)
            };
            if let Some(found) = self.read_apart(lists, now).await {
                return found;
            }
        }
        let findings = rules.lists.checks.examine(&self.message);
        self.count();
        (findings, None)
    }

    /// Searches a large body for texts that rules need, if there are such among these lookups; `None` if there are none.
    pub(super) async fn search(
        &mut self,
        lookups: &[Lookup],
        now: Timestamp,
    ) -> Option<Vec<(Lookup, Finding)>> {
        let texts = lookups.iter().filter_map(Lookup::body_text);
        let texts: Vec<Box<str>> = texts.map(Into::into).collect();
        if texts.is_empty() {
            return None;
        }
        self.searches = self.searches.saturating_add(1);
        if self.searches > MOST_SEARCHES {
            self.give_up(now);
        } else if self.message.is_large() {
            let texts = texts.clone();
            let search = move |message: &Message| {
                let found = texts.into_iter().map(|text| {
                    let finding = Chain::search_body_text(message, &text);
                    (Lookup::BodyText(text), finding)
                });
                found.collect()
            };
            if let Some(found) = self.read_apart(search, now).await {
                return Some(found);
            }
        }
        let texts = texts.into_iter().map(Lookup::BodyText);
        Some(texts.map(|text| (text, Finding::NoAnswer)).collect())
    }

    /// Reads the message on a thread for such work, when its turn has come. What is decoded for that goes at once. `None` if
    /// it has waited too long, and its body is not known any more.
    async fn read_apart<T: Default + Send + 'static>(
        &mut self,
        read: impl FnOnce(&Message) -> T + Send + 'static,
        now: Timestamp,
    ) -> Option<T> {
        let begun = Instant::now();
        let place = Arc::clone(self.memory.decoders()).acquire_owned();
        // The semaphore is never closed.
        let Ok(Ok(place)) = timeout(self.patience, place).await else {
            self.give_up(now);
            return None;
        };
        self.patience = self.patience.saturating_sub(begun.elapsed());
        let message = self.message.undecoded();
        let reading = tokio::task::spawn_blocking(move || {
            let result = read(&message);
            drop((message, place));
            result
        });
        Some(reading.await.unwrap_or_default())
    }

    /// The body is not looked at any more.
    fn give_up(&mut self, now: Timestamp) {
        self.message = self.message.undecoded().without_body();
        self.share = self.memory.share();
        if self.share.may_warn(now) {
            log::warn!(
                "large messages come faster than their bodies can be searched: one or more were not searched for what \
                 tables and rules say about the body"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message_memory::MOST_IN_ALL;
    use super::*;

    #[test]
    fn what_is_decoded_counts_while_there_is_room_and_goes_when_there_is_none() {
        let text = "Subject: =?utf-8?q?caf=C3=A9?=\n\nhello\n";
        let message = Message::received(text.as_bytes(), 0);
        let memory = Arc::<MessageMemory>::default();
        let mut content = Content::new(&message, &memory);
        let read = |content: &Content<'_>| content.message().header_texts().count();
        assert_eq!(read(&content), 2);
        content.count();
        let header = memory.taken();
        assert!(header > "Subject: =?utf-8?q?caf=C3=A9?=".len(), "{header}");
        content.count();
        assert_eq!(memory.taken(), header, "nothing more was decoded");
        content.message().body_lines().unwrap().count();
        content.count();
        let all = memory.taken();
        assert!(all >= header + "hello\n".len(), "{all}");

        let mut other = memory.share();
        assert!(other.take(MOST_IN_ALL - all));
        let mut second = Content::new(&message, &memory);
        assert_eq!(read(&second), 2);
        second.count();
        assert_eq!(second.message().decoded_bytes(), 0);
        assert_eq!(read(&second), 2, "it is decoded again");
        drop((content, second, other));
        assert_eq!(memory.taken(), 0);
    }
}

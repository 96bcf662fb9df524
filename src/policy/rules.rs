//! Everything a decision follows: numbers, lists, texts. Built once, swapped whole at a reload.

use std::sync::Arc;

use super::access::{AccessResult, AccessTables};
use super::attempt::Attempt;
use super::dns_lists::DnsLists;
use super::lists::{AddressList, ClientList, Entries, Entry, EntryRef};
use super::outcome::Outcome;
use super::params::{Params, Unmatched};
use super::text::Texts;
use super::verdict::Verdict;
use crate::types::{ListName, Reply, ReplyText, Timestamp};

/// The lists.
#[derive(Debug, Default)]
pub struct Lists {
    /// Clients that are never greylisted.
    pub clients: ClientList,
    /// Recipients for which nobody is greylisted.
    pub recipients: AddressList,
    /// Senders that are never greylisted.
    pub senders: AddressList,
    /// Clients whose names match S25R and who are no end users.
    pub s25r_exceptions: ClientList,
    /// Recipients that are greylisted; all others are not, where greylisting is opt-in.
    pub greylist_recipients: AddressList,
    /// Tables that say who is suspicious, passes or is turned away.
    pub access: AccessTables,
}

/// Everything a decision follows.
#[derive(Debug)]
pub struct Ruleset {
    /// The numbers.
    pub params: Params,
    /// The lists, from files.
    pub lists: Arc<Lists>,
    /// What the administrator has added to them.
    pub added: Arc<Lists>,
    /// Lists that are asked by DNS.
    pub dns_lists: Arc<DnsLists>,
    /// The wording of answers.
    pub texts: Arc<Texts>,
}

impl Lists {
    /// The entries of a list.
    #[must_use]
    pub const fn entries(&self, list: ListName) -> &Entries {
        match list {
            ListName::Client => self.clients.entries(),
            ListName::Recipient => self.recipients.entries(),
            ListName::Sender => self.senders.entries(),
            ListName::S25rException => self.s25r_exceptions.entries(),
            ListName::GreylistRecipient => self.greylist_recipients.entries(),
            ListName::ClientAccess => self.access.entries(),
        }
    }
}

impl Ruleset {
    /// Rules to which nothing was added.
    #[must_use]
    pub fn new(params: Params, lists: Lists, texts: Texts) -> Self {
        Self {
            params,
            lists: Arc::new(lists),
            added: Arc::default(),
            dns_lists: Arc::default(),
            texts: Arc::new(texts),
        }
    }

    /// An entry that decided.
    #[must_use]
    pub fn entry(&self, entry: EntryRef) -> Option<&Entry> {
        let lists = if entry.is_added {
            &self.added
        } else {
            &self.lists
        };
        lists.entries(entry.list).get(entry.number)
    }

    /// The reply for an outcome that no table has replied to.
    pub fn reply(&self, attempt: &Attempt<'_>, outcome: &Outcome, now: Timestamp) -> Reply {
        let recipient = attempt.recipient.unwrap_or_default();
        self.texts
            .reply(outcome.verdict, recipient, now, self.params.delay)
    }

    /// The reply to a request that is repeated. A table is searched again; it may be another one now.
    pub fn repeated_reply(
        &self,
        attempt: &Attempt<'_>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Reply {
        let client = (attempt.client_name, attempt.client_address);
        if let (Verdict::Reply(_), (Some(name), Some(address))) = (outcome.verdict, client) {
            let found = self.lists.access.find(name, address);
            return match found {
                Some(found) if matches!(found.result, AccessResult::Reply(_)) => {
                    Reply::Access(ReplyText::new(found.text()))
                }
                Some(_) | None => Reply::Continue,
            };
        }
        self.reply(attempt, outcome, now)
    }

    /// The entry that `find` comes upon: in the files, or else among what was added.
    pub(super) fn find(
        &self,
        list: ListName,
        find: impl Fn(&Lists) -> Option<u32>,
    ) -> Option<EntryRef> {
        let places = [(&self.lists, false), (&self.added, true)];
        places.into_iter().find_map(|(lists, is_added)| {
            find(lists).map(|number| EntryRef {
                list,
                is_added,
                number,
            })
        })
    }

    /// What becomes of a client that no suspicion check matches: it passes when one of the tests
    /// could have called it suspicious, and is greylisted when there is none that could.
    #[must_use]
    pub fn unmatched(&self) -> Unmatched {
        let greylists = self.params.s25r.is_some()
            || self.lists.access.has_greylist()
            || self.dns_lists.can_greylist();
        self.params.unmatched.unwrap_or(if greylists {
            Unmatched::Pass
        } else {
            Unmatched::Greylist
        })
    }
}

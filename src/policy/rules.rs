//! Everything a decision follows: numbers, lists, texts. Built once, swapped whole at a reload.

use std::sync::Arc;

use super::access::{AccessResult, AccessTables};
use super::attempt::Attempt;
use super::dns_lists::DnsLists;
use super::lists::{AddressList, ClientList, Entries, Entry, EntryRef};
use super::outcome::{Outcome, Verdict};
use super::tarpit::{Scheme, Tarpit};
use super::text::Texts;
use crate::types::{ClientIp, ListName, Prefix, Reply, ReplyText, Span, Timestamp};

/// Whom the auto-whitelist counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// The exact address (Postgrey).
    Address,
    /// The network that the triplet has.
    Subnet,
}

/// What to answer while the store is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// Mail flows.
    Pass,
    /// Requests that need the store are deferred.
    Defer,
}

/// What becomes of a client that no suspicion check matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// It passes.
    Pass,
    /// It is greylisted.
    Greylist,
}

/// What SPF is asked for; without anything it is never asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpfUse {
    /// A client that S25R suspects is not suspicious if SPF passes.
    pub excuses: bool,
    /// The domain that SPF passes for is a name of the triplet: it is asked for before a client waits.
    pub names: bool,
}

/// The numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// How long an unknown triplet is deferred; at least 0 seconds.
    pub delay: Span,
    /// Within which time of first sight the retry must come.
    pub retry_window: Span,
    /// After which time a record that was not seen again is forgotten.
    pub max_age: Span,
    /// Bits of an IPv4 client's network, 1 to 32.
    pub ipv4_bits: u8,
    /// Bits of an IPv6 client's network, 1 to 128.
    pub ipv6_bits: u8,
    /// Passes after which a client is auto-whitelisted; `None`: never.
    pub auto_whitelist: Option<u32>,
    /// Whom the auto-whitelist counts.
    pub count_by: CountBy,
    /// Within which time passes of a client count once; 0 seconds: each counts.
    pub auto_whitelist_delay: Span,
    /// How many retries must come once the delay is over; at least 1.
    pub retry_count: u32,
    /// Whether authenticated clients are exempt from waiting.
    pub exempt_authenticated: bool,
    /// Whether only the recipients of [`Lists::greylist_recipients`] are greylisted.
    pub recipients_opt_in: bool,
    /// Whether S25R is a test of suspicion.
    pub s25r: bool,
    /// What SPF is asked for.
    pub spf: SpfUse,
    /// What becomes of those that no suspicion check matches; `None`: what [`Ruleset::unmatched`] says.
    pub unmatched: Option<Unmatched>,
    /// The tarpit, if there is one.
    pub tarpit: Option<Tarpit>,
    /// What to answer while the store is unavailable.
    pub on_store_failure: OnStoreFailure,
}

impl Default for Params {
    /// Postgrey 1.37's numbers, and mail flows while the store fails.
    fn default() -> Self {
        Self {
            delay: Span::from_seconds(300),
            retry_window: Span::from_days(2),
            max_age: Span::from_days(35),
            ipv4_bits: 24,
            ipv6_bits: 64,
            auto_whitelist: Some(5),
            count_by: CountBy::Address,
            auto_whitelist_delay: Span::from_hours(1),
            retry_count: 1,
            exempt_authenticated: true,
            recipients_opt_in: false,
            s25r: false,
            spf: SpfUse::default(),
            unmatched: None,
            tarpit: None,
            on_store_failure: OnStoreFailure::Pass,
        }
    }
}

impl Params {
    /// Whether who hangs up in the tarpit is greylisted.
    #[must_use]
    pub fn is_targrey(&self) -> bool {
        self.tarpit
            .is_some_and(|tarpit| tarpit.scheme == Scheme::Targrey)
    }

    /// The network that stands for this client in its triplets.
    #[must_use]
    pub fn network(&self, client: ClientIp) -> Prefix {
        client.network(self.ipv4_bits, self.ipv6_bits)
    }
}

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
        let greylists =
            self.params.s25r || self.lists.access.has_greylist() || self.dns_lists.can_greylist();
        self.params.unmatched.unwrap_or(if greylists {
            Unmatched::Pass
        } else {
            Unmatched::Greylist
        })
    }
}

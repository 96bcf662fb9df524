//! Everything a decision follows: numbers, lists, texts. Built once, swapped whole at a reload.

mod checklist;
mod replies;

use std::ops::Deref;
use std::sync::Arc;

use super::access::AccessTables;
use super::attempt::Attempt;
use super::chain::{Action, Chain, Terms, Treatment};
use super::checks::MessageChecks;
use super::dns_lists::DnsLists;
use super::lists::{AddressList, ClientList, Entries, Entry, EntryRef};
use super::outcome::Suspicion;
use super::params::{Params, Unmatched};
use super::text::Texts;
use crate::types::{ClientIp, ListName, Prefix};
use checklist::Checklist;

pub(super) use checklist::{Check, Condition, Consequence};

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
    /// The access lists of `greylist.conf` for recipients.
    pub chain: Chain,
    /// Tables that say what becomes of messages.
    pub checks: MessageChecks,
}

/// What rules are made of.
#[derive(Debug, Clone)]
pub struct RulesetParts {
    /// The numbers.
    pub params: Params,
    /// The lists, from files.
    pub lists: Arc<Lists>,
    /// What the administrator has added to them.
    pub added: Arc<Lists>,
    /// Lists that are asked by DNS.
    pub dns_lists: Arc<DnsLists>,
    /// Networks of one's own, whose clients never wait.
    pub own_networks: Arc<[Prefix]>,
    /// The wording of answers.
    pub texts: Arc<Texts>,
}

/// Everything a decision follows: its parts, and the list of checks that these make. The parts can be read as its own
/// fields; [`Self::change`] changes them and makes the list anew.
#[derive(Debug)]
pub struct Ruleset {
    parts: RulesetParts,
    checks: Checklist,
}

impl From<RulesetParts> for Ruleset {
    fn from(parts: RulesetParts) -> Self {
        let checks = Checklist::of(&parts);
        Self { parts, checks }
    }
}

impl Deref for Ruleset {
    type Target = RulesetParts;

    fn deref(&self) -> &RulesetParts {
        &self.parts
    }
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
            ListName::GreylistConf => self.chain.entries(),
            ListName::HeaderChecks => self.checks.header.entries(),
            ListName::BodyChecks => self.checks.body.entries(),
        }
    }
}

impl Ruleset {
    /// Rules to which nothing was added.
    #[must_use]
    pub fn new(params: Params, lists: Lists, texts: Texts) -> Self {
        Self::from(RulesetParts {
            params,
            lists: Arc::new(lists),
            added: Arc::default(),
            dns_lists: Arc::default(),
            own_networks: Arc::default(),
            texts: Arc::new(texts),
        })
    }

    /// Changes the parts.
    pub fn change(&mut self, change: impl FnOnce(&mut RulesetParts)) {
        change(&mut self.parts);
        self.checks = Checklist::of(&self.parts);
    }

    /// The checks of a decision, in their order. The last always holds.
    pub(super) const fn checks(&self) -> &[Check] {
        self.checks.checks()
    }

    /// Whether an attempt comes from a user of one's own, who never waits: an authenticated client, one in a network of
    /// one's own, and for a milter the machine itself.
    #[must_use]
    pub fn is_own(&self, attempt: &Attempt<'_>) -> bool {
        let client = attempt.client_address.and_then(ClientIp::parse);
        let is_ours = |client: ClientIp| {
            let mut own = self.own_networks.iter();
            let is_local = attempt.milter_message.is_some() && client.is_loopback();
            is_local || own.any(|network| network.contains(client))
        };
        self.is_authenticated(attempt) || client.is_some_and(is_ours)
    }

    /// Whether an attempt comes from an authenticated client that is exempt for that.
    pub(super) fn is_authenticated(&self, attempt: &Attempt<'_>) -> bool {
        let has_certificate = || {
            attempt
                .certificate
                .is_some_and(|subject| !subject.is_empty())
        };
        (self.params.exempt_authenticated && attempt.user.is_some())
            || (self.params.exempt_certified && has_certificate())
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

    /// How the rule treats those whom it greylists that has made a client wait, if a rule has.
    fn treatment(&self, suspicion: Option<Suspicion>) -> Option<&Treatment> {
        let chain = &self.lists.chain;
        let action = match suspicion {
            None => chain.fallback()?.0,
            Some(Suspicion::Entry(entry) | Suspicion::Message(entry, _)) => match entry.list {
                ListName::GreylistConf => chain.action(entry.number)?,
                ListName::GreylistRecipient => chain.fallback()?.0,
                ListName::Client
                | ListName::Recipient
                | ListName::Sender
                | ListName::S25rException
                | ListName::ClientAccess
                | ListName::HeaderChecks
                | ListName::BodyChecks => return None,
            },
            Some(Suspicion::S25r(_) | Suspicion::DnsLists(_)) => return None,
        };
        match action {
            Action::Greylist(treatment) => Some(treatment),
            Action::Pass | Action::Refuse(_) | Action::Continue => None,
        }
    }

    /// The terms on which a client waits that is suspicious for this reason.
    pub(super) fn terms(&self, suspicion: Option<Suspicion>) -> Terms {
        let treatment = self.treatment(suspicion);
        treatment.map_or(Terms::default(), |treatment| treatment.terms)
    }

    /// The terms on which nobody passes whom the terms of any rule would not let pass.
    pub(super) fn strictest_terms(&self) -> Terms {
        let (params, bounds) = (&self.params, self.lists.chain.bounds());
        Terms {
            delay: bounds.greatest.delay.map(|delay| delay.max(params.delay)),
            max_age: bounds.least.max_age.map(|age| age.min(params.max_age)),
            tarpit: None,
        }
    }

    /// Whether any client may be made to sleep.
    #[must_use]
    pub fn has_tarpit(&self) -> bool {
        self.params.tarpit.is_some() || self.lists.chain.bounds().has_tarpit
    }

    /// Whether it makes a difference for any client that it hangs up in the tarpit.
    #[must_use]
    pub fn is_targrey(&self) -> bool {
        self.params.is_targrey() || self.lists.chain.bounds().is_targrey
    }

    /// The numbers by which records are removed: no rule would still use one that has expired by these.
    #[must_use]
    pub fn expiry_params(&self) -> Params {
        let (params, bounds) = (self.params, self.lists.chain.bounds());
        let delay = bounds.least.delay.map(|delay| delay.min(params.delay));
        let max_age = bounds.greatest.max_age.map(|age| age.max(params.max_age));
        Params {
            delay: delay.unwrap_or(params.delay),
            max_age: max_age.unwrap_or(params.max_age),
            ..params
        }
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
}

impl RulesetParts {
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

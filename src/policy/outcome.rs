//! The outcome of a decision: verdict, reason, cause, and changes of records.

use super::greylist::Triplet;
use super::lists::EntryRef;
use super::reputation::Client;
use super::shared::Host;
use super::tarpit::SleepChange;
use super::verdict::{Tarpitting, Verdict};
use super::why::Cause;
use crate::types::{ListName, Reason, Span};

/// What decided, for administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The request itself, or a rule without a record.
    Request,
    /// The attribute of this name is missing.
    MissingAttribute(&'static str),
    /// An entry of a list; [`Ruleset::entry`](super::Ruleset::entry) has it.
    Entry(EntryRef),
    /// The client's auto-whitelist record.
    Client,
    /// The triplet's record.
    Triplet,
    /// The record of the client's sleep, or that there is none.
    Sleep,
    /// The state of the store.
    Store,
    /// The record of the client or the triplet that another host has published.
    Shared(Host),
}

/// Why a client is suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// Its name matches this rule of [`s25r`](super::s25r), 0 to 7.
    S25r(u8),
    /// An entry matches.
    Entry(EntryRef),
    /// DNS lists have it, with this sum of weights.
    DnsLists(i32),
    /// A rule for messages matches, by what this cause says.
    Message(EntryRef, Cause),
}

impl Suspicion {
    /// The cause that the record of an unknown triplet gets.
    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::S25r(rule) => Cause::S25r(rule),
            Self::DnsLists(_) => Cause::DnsLists,
            Self::Message(_, cause) => cause,
            Self::Entry(entry) => match entry.list {
                ListName::ClientAccess => Cause::Table,
                ListName::GreylistConf => Cause::Rule,
                ListName::HeaderChecks => Cause::Header,
                ListName::BodyChecks => Cause::Body,
                // Where greylisting is opt-in, the recipient is listed, which is not a property of the client.
                ListName::Client
                | ListName::Recipient
                | ListName::Sender
                | ListName::S25rException
                | ListName::GreylistRecipient => Cause::Plain,
            },
        }
    }
}

/// The changes of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// The triplet's next record.
    pub triplet: Option<Triplet>,
    /// The name of the case under which it is stored: 0 is the first. Durable changes always use the first.
    pub name: usize,
    /// The client's next record.
    pub client: Option<Client>,
    /// The change of the client's sleep.
    pub sleep: Option<SleepChange>,
    /// Whether they must be durable before the reply. Others (last seen, early retries) may be lost in a crash.
    pub durable: bool,
}

impl Changes {
    /// No changes.
    pub const NONE: Self = Self {
        triplet: None,
        name: 0,
        client: None,
        sleep: None,
        durable: false,
    };

    /// Whether there are no changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.triplet.is_none() && self.client.is_none() && self.sleep.is_none()
    }
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What decided.
    pub because: Because,
    /// The changes of records.
    pub changes: Changes,
    /// How long the triplet had waited when it passed for the first time.
    pub waited: Option<Span>,
    /// Whether the client became auto-whitelisted by this.
    pub whitelisted: bool,
    /// What made the client suspicious.
    pub suspicion: Option<Suspicion>,
    /// The result of the tarpit.
    pub tarpitting: Tarpitting,
    /// The remaining time of the sleep, if DATA came too early.
    pub left: Span,
}

impl Outcome {
    /// The entry that decided, or that made the client suspicious.
    #[must_use]
    pub const fn entry(&self) -> Option<EntryRef> {
        match (self.because, self.suspicion) {
            (Because::Entry(entry), _)
            | (_, Some(Suspicion::Entry(entry) | Suspicion::Message(entry, _))) => Some(entry),
            (_, Some(Suspicion::S25r(_) | Suspicion::DnsLists(_)) | None) => None,
        }
    }

    /// The number of the rule that has made the client suspicious, if one has.
    #[must_use]
    pub fn rule(&self) -> Option<u32> {
        match self.suspicion {
            Some(Suspicion::Entry(entry) | Suspicion::Message(entry, _))
                if entry.list == ListName::GreylistConf =>
            {
                Some(entry.number)
            }
            Some(
                Suspicion::Entry(_)
                | Suspicion::Message(..)
                | Suspicion::S25r(_)
                | Suspicion::DnsLists(_),
            )
            | None => None,
        }
    }

    /// An outcome without changes.
    pub const fn new(verdict: Verdict, reason: Reason, because: Because) -> Self {
        Self {
            verdict,
            reason,
            because,
            changes: Changes::NONE,
            waited: None,
            whitelisted: false,
            suspicion: None,
            tarpitting: Tarpitting::None,
            left: Span::ZERO,
        }
    }
}

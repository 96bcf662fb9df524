//! The pure core: what to answer, and what to remember.
//!
//! [`plan`] settles what the lists settle, says what has to be looked up outside, or yields a [`Case`]; the case says
//! which records it needs, and [`Case::decide`] makes an [`Outcome`] of them. All are functions of their arguments:
//! no clock, no store, no environment, no log.
//!
//! # The order of a decision
//!
//! While greylisting is paused everything passes, and nothing here is asked.
//!
//! 1. an attribute is missing, or the client address is none: pass
//! 2. not at RCPT, nor at DATA under taRgrey: pass
//! 3. client list, recipient list, sender list: pass
//! 4. client access tables: pass, reply, or suspicious; a client that DNS lists know to be good passes before that, and
//!    before a rule refuses it or makes it wait
//! 5. the client has authenticated itself: pass
//! 6. greylisting is opt-in, and the recipient is not listed: pass
//! 7. the suspicion checks (S25R, unless SPF excuses; DNS lists), if there are any: a client that is not suspicious
//!    passes, one that DNS lists know to be good passes too, and one that they refuse is refused
//! 8. the client is auto-whitelisted: pass
//! 9. at DATA: whether the client has survived its sleep, see [`tarpit`]
//! 10. the triplet: see [`greylist`]; a deferral may become a sleep

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod access;
mod attempt;
pub mod body_matches;
pub mod chain;
pub mod checks;
mod dead;
mod decide;
mod dns_lists;
mod domain;
mod ere;
mod evidence;
mod filter;
mod glob;
pub mod greylist;
mod identity;
mod keys;
mod lists;
pub mod message;
pub mod names;
mod outcome;
mod params;
pub mod pattern;
mod pcre;
mod plan;
mod properties;
mod reputation;
mod rules;
pub mod s25r;
mod schedule;
mod set;
mod shared;
pub mod spam;
mod spf;
pub mod tarpit;
mod text;
mod trace;
mod verdict;
mod why;
mod zone;

pub use access::{AccessTables, Severity};
pub use attempt::{Attempt, MailServerMacros, MessageAttempt, Stage};
pub use chain::Terms;
pub use dead::Dead;
pub use decide::LiveFacts;
pub use dns_lists::{
    BadSite, DnsLists, MOST_SITES, MOST_WEIGHT, Score, SiteError, Standing, Thresholds, ZoneAnswer,
};
pub use domain::{Domain, is_host_name};
pub use evidence::{Evidence, Finding, Lookup, LookupSource, ROUNDS};
pub use filter::{Filter, State};
pub use greylist::Triplet;
pub use identity::{Identity, OTHER_NAMES};
pub use keys::{ClientKey, TripletKey, TripletParts, hash_of};
pub use lists::{
    Added, AddressList, ClientList, CompiledSets, Entries, Entry, EntryRef, Hits, Source, TooLarge,
};
pub use outcome::{Because, Changes, Outcome, Suspicion};
pub use params::{CountBy, OnStoreFailure, Params, Scheme, SpfUse, Tarpit, Unmatched};
pub use plan::{MessageOutcome, MessagePlan, MessageVerdict, message_case, plan, plan_message};
pub use reputation::Client;
pub use rules::{Lists, Ruleset, RulesetParts};
pub use schedule::LocalTime;
pub use shared::{Host, Mergeable, Merged, SharedRecords};
pub use spam::SpamScore;
pub use spf::{SpfFinding, SpfQuestion, SpfResult};
pub use tarpit::{MessageSleep, Sleep, SleepChange};
pub use text::{TextError, Texts};
pub use trace::{Step, Trace};
pub use verdict::{Remaining, Tarpitting, Then, Verdict};
pub use why::{Cause, Why};
pub use zone::{Zone, ZoneError};

pub use crate::types::{ListName, Reason};
use crate::types::{Reply, Timestamp};

/// What [`plan`] makes of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Plan {
    /// Settled without the store.
    Settled(Outcome),
    /// Settled with a reply of its own.
    Replied(Outcome, Reply),
    /// What is settled depends on these lookups. The case says which records there may be: if they let the attempt
    /// pass, nothing needs to be looked up.
    Ask(Vec<Lookup>, Case),
    /// The records decide.
    Case(Case),
}

/// What is left to decide when the attempt is not settled by itself, and which records that needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The client's record, unless the auto-whitelist is off.
    pub client: Option<ClientKey>,
    /// The triplet's record, under the first of the client's names; `None` at DATA.
    pub triplet: Option<TripletKey>,
    /// The same triplet under the client's other names, at most [`OTHER_NAMES`], in their order; empty unless clients
    /// are looked up by domain. See [`names`].
    pub others: Vec<TripletKey>,
    /// The record of the client's sleep, under taRgrey.
    pub sleep: Option<ClientKey>,
    /// What made the client suspicious.
    pub suspicion: Option<Suspicion>,
    /// The terms of the rule that makes the client wait.
    pub terms: Terms,
    /// Whether rules are asked about known mail, too: one may refuse it, or do something besides deciding.
    pub asks_known: bool,
    /// Whether the mail server is under stress.
    pub is_stressed: bool,
    /// What other hosts know, if they were asked.
    pub shared: Option<Box<SharedRecords>>,
}

impl Case {
    /// A case of these records alone.
    #[must_use]
    pub fn of(client: Option<ClientKey>, triplet: Option<TripletKey>) -> Self {
        Self {
            client,
            triplet,
            others: Vec::new(),
            sleep: None,
            suspicion: None,
            terms: Terms::default(),
            asks_known: false,
            is_stressed: false,
            shared: None,
        }
    }
}

/// The records as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredRecords {
    /// The client's record.
    pub client: Option<Client>,
    /// The triplet's record under the first name of the client.
    pub triplet: Option<Triplet>,
    /// Its records under the other names, as in [`Case::others`]. Two names may lead to the same record.
    pub others: [Option<Triplet>; OTHER_NAMES],
    /// The record of the client's sleep.
    pub sleep: Option<Sleep>,
}

/// Whether records grow old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// They do.
    #[default]
    Applies,
    /// They do not: the clock is not to be trusted for the moment.
    Suspended,
}

/// A pause of greylisting: everything passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When it ends by itself; `None` for never.
    pub until: Option<Timestamp>,
}

/// What is known besides the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Session {
    /// Whether this message has its header already.
    pub header_given: bool,
    /// The sleep of this message, if it was told to.
    pub tarpitted: Option<MessageSleep>,
    /// Whether a recipient of this message passed for another reason than that it has waited.
    pub is_exempt: bool,
    /// Whether a triplet of this message had passed before.
    pub is_known: bool,
    /// Whether another sleep may run.
    pub has_room: bool,
    /// Whether it is the end of a message, whose reply is not delayed.
    pub is_at_end: bool,
    /// When the request is decided.
    pub now: Timestamp,
    /// Whether records grow old.
    pub expiry: Expiry,
}

/// What to answer while the store is unavailable. At DATA nothing is at stake but what would be learned.
pub fn without_store(case: &Case, rules: &Ruleset) -> Outcome {
    let verdict = match rules.params.on_store_failure {
        OnStoreFailure::Defer if case.triplet.is_some() => Verdict::Unavailable,
        OnStoreFailure::Defer | OnStoreFailure::Pass => Verdict::Pass,
    };
    Outcome {
        suspicion: case.suspicion,
        ..Outcome::new(verdict, Reason::StoreFailure, Because::Store)
    }
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod spf_tests;
#[cfg(test)]
pub(crate) mod tests;

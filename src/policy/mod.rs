//! The pure core: what to answer, and what to remember.
//!
//! [`plan`] settles what the lists settle and otherwise says which records it needs; [`decide`] is given
//! those records and yields an [`Outcome`]. Both are functions of their arguments: no clock, no
//! store, no environment, no log.
//!
//! # The order of a decision
//!
//! 1. an attribute is missing, or the client address is none: pass
//! 2. not at RCPT: pass
//! 3. client list, recipient list, sender list: pass
//! 4. the client is auto-whitelisted: pass
//! 5. the triplet: see [`greylist`]

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod greylist;
mod keys;
mod lists;
mod outcome;
pub mod pattern;
mod reputation;
mod rules;
mod text;
mod transaction;

pub use greylist::Triplet;
pub use keys::{ClientKey, TripletKey};
pub use lists::{AddressList, ClientList, Entries, Entry, ListName, TooLarge};
pub use outcome::{Because, Changes, Outcome, Reason, Verdict};
pub use reputation::Client;
pub use rules::{CountBy, Lists, OnStoreFailure, Params, Ruleset};
pub use text::{TextError, Texts};
pub use transaction::{Stage, Transaction};

use crate::types::{ClientIp, Timestamp};

/// What [`plan`] makes of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Plan {
    /// Settled without the store.
    Settled(Outcome),
    /// The store has to be asked for these records.
    Needs(Query),
}

/// The records a decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The client's record, unless the auto-whitelist is off.
    pub client: Option<ClientKey>,
    /// The triplet's record.
    pub triplet: TripletKey,
}

/// The records as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The client's record.
    pub client: Option<Client>,
    /// The triplet's record.
    pub triplet: Option<Triplet>,
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

/// What is known besides the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Session {
    /// Whether this message has its header already.
    pub header_given: bool,
    /// Whether records grow old.
    pub expiry: Expiry,
}

/// Settles what can be settled without the store.
pub fn plan(tx: &Transaction<'_>, rules: &Ruleset) -> Plan {
    let settled = |reason, because| Plan::Settled(Outcome::new(Verdict::Pass, reason, because));
    let missing = |name| settled(Reason::AttributeMissing, Because::Missing(name));

    let Some(address) = tx.client_address else {
        return missing("client_address");
    };
    let Some(name) = tx.client_name else {
        return missing("client_name");
    };
    let Some(recipient) = tx.recipient else {
        return missing("recipient");
    };
    let Some(sender) = tx.sender else {
        return missing("sender");
    };
    let Some(client) = ClientIp::parse(address) else {
        return settled(Reason::AddressUnparsable, Because::Request);
    };
    if tx.stage == Stage::Other {
        return settled(Reason::OtherState, Because::Request);
    }

    let lists = &rules.lists;
    if let Some(entry) = lists.clients.find(name, client) {
        return settled(
            Reason::ClientWhitelist,
            Because::Entry(ListName::Client, entry),
        );
    }
    if let Some(entry) = lists.recipients.find(recipient) {
        return settled(
            Reason::RecipientWhitelist,
            Because::Entry(ListName::Recipient, entry),
        );
    }
    if let Some(entry) = lists.senders.find(sender) {
        return settled(
            Reason::SenderWhitelist,
            Because::Entry(ListName::Sender, entry),
        );
    }

    let network = rules.params.network(client);
    let counted = match rules.params.count_by {
        CountBy::Address => client.network(32, 128),
        CountBy::Subnet => network,
    };
    Plan::Needs(Query {
        client: rules.params.auto_whitelist.map(|_| ClientKey::new(counted)),
        triplet: TripletKey::new(network, sender, recipient),
    })
}

/// Decides on the records that [`plan`] asked for.
pub fn decide(facts: &Facts, session: Session, now: Timestamp, rules: &Ruleset) -> Outcome {
    let params = &rules.params;
    let grows_old = session.expiry == Expiry::Applies;
    let client = facts
        .client
        .filter(|client| !(grows_old && client.is_expired(now, params)));
    let triplet = facts
        .triplet
        .filter(|triplet| !(grows_old && triplet.is_expired(now, params)));

    if let (Some(threshold), Some(client)) = (params.auto_whitelist, client)
        && client.is_whitelisted(threshold)
    {
        let mut outcome = Outcome::new(Verdict::Pass, Reason::ClientAwl, Because::Client);
        outcome.changes.client = client.seen(now);
        return outcome;
    }

    let step = greylist::step(triplet, now, params);
    let counted = match (params.auto_whitelist, step.waited) {
        (Some(_), Some(_)) => reputation::count_pass(client, now),
        (_, None) | (None, Some(_)) => None,
    };
    Outcome {
        verdict: if session.header_given {
            step.verdict.repeated()
        } else {
            step.verdict
        },
        reason: step.reason,
        because: Because::Triplet,
        changes: Changes {
            triplet: Some(step.next),
            client: counted,
            promised: step.promised,
        },
        waited: step.waited,
        whitelisted: counted.is_some_and(|client| Some(client.count) == params.auto_whitelist),
    }
}

/// The outcome while the store cannot be asked.
pub fn without_store(rules: &Ruleset) -> Outcome {
    let verdict = match rules.params.on_store_failure {
        OnStoreFailure::Pass => Verdict::Pass,
        OnStoreFailure::Defer => Verdict::Unavailable,
    };
    Outcome::new(verdict, Reason::StoreFailure, Because::Store)
}

#[cfg(test)]
mod tests;

//! The steps of a decision, for Explain and counters.
//!
//! The decision itself notes its steps; without a listener that costs nothing.

use super::Case;
use super::chain::{Effects, RuleAction};
use super::dns_lists::{Score, ZoneAnswer};
use super::greylist::Triplet;
use super::lists::EntryRef;
use super::params::Unmatched;
use super::reputation::Client;
use super::s25r;
use super::spf::SpfResult;
use super::tarpit::Sleep;
use crate::types::{ListName, Timestamp};

/// A step of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Greylisting is paused, until this time or until it is resumed.
    Paused(Option<Timestamp>),
    /// A list was searched; the entry that matches.
    List(ListName, Option<EntryRef>),
    /// The client access tables were searched; the first entry with a result.
    Access(Option<EntryRef>),
    /// The rules were searched: the one that matches and what it does, or the default that applies. The default may not
    /// be written anywhere.
    Rule(Option<EntryRef>, Option<RuleAction>),
    /// The client has authenticated itself and is exempt.
    Authenticated,
    /// The client is in a network of one's own and is exempt.
    OwnNetwork,
    /// S25R: the result for the name, and the exception that applies, if any.
    S25r(s25r::NameMatch, Option<EntryRef>),
    /// SPF was evaluated.
    Spf(SpfResult),
    /// A DNS list was queried: its number in [`DnsLists::zones`](super::DnsLists::zones), and its answer.
    DnsList(usize, ZoneAnswer),
    /// All DNS lists were queried.
    DnsLists(Score),
    /// No suspicion check has matched: the treatment of these clients.
    Unmatched(Unmatched),
    /// The client's record, and the counted passes needed for auto-whitelisting.
    Client(Option<Client>, u32),
    /// The record of the client's sleep.
    Sleep(Option<Sleep>),
    /// The triplet's record.
    Triplet(Option<Triplet>),
    /// Of a message: whether its recipient is open; `None` if it would not be accepted now.
    Recipient(Option<bool>),
    /// Of a message: a clause of a rule was tested, by its number from 0, its negation included; `None` if that is not
    /// known.
    Clause(EntryRef, usize, Option<bool>),
    /// Of a message: the score in thousandths of a point, and whether that is spam, if a spam filter says so.
    SpamScore(Option<i64>, Option<bool>),
}

/// Listens to the steps of a decision.
pub trait Trace {
    /// The attempt is planned again, with more evidence: only the steps that follow count.
    fn restart(&mut self);

    /// The steps so far count, whatever is planned again after them.
    fn keep(&mut self) {}

    /// Takes a step.
    fn note(&mut self, step: Step);

    /// Whether it listens to clauses of rules. If it does, no rule is left out whose clauses cannot hold.
    fn wants_clauses(&self) -> bool {
        true
    }

    /// Takes what rules do besides deciding.
    fn note_effects(&mut self, effects: Effects);

    /// Takes the keys under which the triplet's record was searched for, and the number of the one that has it.
    fn note_names(&mut self, _: &Case, _: Option<usize>) {}
}

impl Trace for () {
    fn restart(&mut self) {}

    fn wants_clauses(&self) -> bool {
        false
    }

    fn note_effects(&mut self, _: Effects) {}

    fn note(&mut self, _: Step) {}
}

impl Trace for Vec<Step> {
    fn restart(&mut self) {
        self.clear();
    }

    fn note_effects(&mut self, _: Effects) {}

    fn note(&mut self, step: Step) {
        self.push(step);
    }
}

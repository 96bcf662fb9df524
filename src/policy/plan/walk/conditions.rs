//! Whether the condition of a check holds.

use super::{Answer, Source, Walk};
use crate::policy::access::AccessResult;
use crate::policy::chain::{Action, Found, Subject};
use crate::policy::dns_lists::{Rating, Standing};
use crate::policy::rules::Condition;
use crate::policy::{EntryRef, ListName, SpfResult, Step, Suspicion, Trace};
use crate::types::ReplyText;

impl From<bool> for Answer<'_> {
    fn from(holds: bool) -> Self {
        if holds {
            Self::Yes(Source::Request)
        } else {
            Self::No
        }
    }
}

impl<'a> Walk<'a> {
    /// Whether a condition holds.
    pub(super) fn ask(&mut self, condition: Condition, trace: &mut impl Trace) -> Answer<'a> {
        match condition {
            Condition::ClientListed => self.is_listed(ListName::Client, trace),
            Condition::RecipientListed => self.is_listed(ListName::Recipient, trace),
            Condition::SenderListed => self.is_listed(ListName::Sender, trace),
            Condition::ClientAccess => self.access(trace),
            Condition::Authenticated => {
                let holds = self.rules.is_authenticated(self.parts.attempt);
                noted(holds, Step::Authenticated, trace)
            }
            Condition::OwnMachine => {
                // A mail server with a milter does not leave out its own machine.
                let is_milter = self.parts.attempt.milter_message.is_some();
                let holds = is_milter && self.parts.client.is_loopback();
                noted(holds, Step::OwnNetwork, trace)
            }
            Condition::OwnNetwork => {
                let mut own = self.rules.own_networks.iter();
                let holds = own.any(|network| network.contains(self.parts.client));
                noted(holds, Step::OwnNetwork, trace)
            }
            Condition::NotOptedIn => self.is_not_opted_in(trace),
            Condition::FileRule => self.file_rule(trace),
            Condition::Exempt => self.exempt.is_some().into(),
            Condition::S25r => self.s25r(trace),
            Condition::SpfPass => self.spf_passes(trace),
            // Without thresholds beyond this they are not asked about one who is suspicious.
            Condition::DnsListed if self.so_far().is_some() => Answer::No,
            Condition::DnsAllowed | Condition::DnsRejected | Condition::DnsListed => {
                self.dns_lists(condition, trace)
            }
            Condition::Lacking => {
                let lacks = !self.lacking.is_empty() || self.lacking_spf.is_some();
                lacks.into()
            }
            Condition::Suspicious => self.so_far().is_some().into(),
            Condition::ExcusedFromRule => {
                let by_rule = self.suspicion.is_some_and(is_by_rule);
                (by_rule && self.is_excused).into()
            }
            Condition::Always => true.into(),
        }
    }

    fn is_listed(&self, list: ListName, trace: &mut impl Trace) -> Answer<'a> {
        let parts = &self.parts;
        let entry = self.rules.find(list, |lists| match list {
            ListName::Client => lists.clients.find(parts.name, parts.client),
            ListName::Recipient => lists.recipients.find(parts.recipient),
            ListName::Sender => lists.senders.find(parts.sender),
            ListName::GreylistRecipient => lists.greylist_recipients.find(parts.recipient),
            ListName::S25rException
            | ListName::ClientAccess
            | ListName::GreylistConf
            | ListName::HeaderChecks
            | ListName::BodyChecks => None,
        });
        trace.note(Step::List(list, entry));
        entry.map_or(Answer::No, |entry| Answer::Yes(Source::Entry(entry)))
    }

    fn access(&self, trace: &mut impl Trace) -> Answer<'a> {
        let tables = &self.rules.lists.access;
        let Some(found) = tables.find(self.parts.name, self.parts.address) else {
            trace.note(Step::Access(None));
            return Answer::No;
        };
        let entry = EntryRef {
            list: ListName::ClientAccess,
            is_added: false,
            number: found.entry,
        };
        trace.note(Step::Access(Some(entry)));
        let text = match found.result {
            AccessResult::Reply(_) => Some(ReplyText::new(found.text())),
            AccessResult::Permit | AccessResult::Greylist | AccessResult::Nothing => None,
        };
        Answer::Yes(Source::Table(entry, found.result, text))
    }

    fn is_not_opted_in(&mut self, trace: &mut impl Trace) -> Answer<'a> {
        if self.parts.is_data {
            return Answer::No;
        }
        match self.is_listed(ListName::GreylistRecipient, trace) {
            Answer::Yes(source) => {
                self.opted_in = source.suspicion();
                Answer::No
            }
            Answer::No | Answer::Unknown(_) => Answer::Yes(Source::Request),
        }
    }

    fn file_rule(&mut self, trace: &mut impl Trace) -> Answer<'a> {
        let rules = self.rules;
        let chain = &rules.lists.chain;
        if self.suspicion.is_some() || self.parts.is_data {
            return Answer::No;
        }
        let Some(mut subject) = Subject::new(self.parts.attempt, self.evidence.time) else {
            return Answer::No;
        };
        subject.place = Some((rules.texts.host(), rules.texts.zone()));
        let (found, effects) = chain.find(&subject, self.evidence);
        trace.note_effects(effects);
        match found {
            Found::Rule(number, action) => {
                let entry = EntryRef::of_rule(number);
                trace.note(Step::Rule(Some(entry), action.kind()));
                Answer::Yes(Source::Rule(entry, action))
            }
            // Who is exempt is asked about only where a rule may refuse.
            Found::Lacks(_) if self.exempt.is_some() && !chain.asks_known() => Answer::No,
            Found::Lacks(lookups) => {
                self.is_open = true;
                self.asks_known = chain.asks_known();
                Answer::Unknown(lookups)
            }
            Found::Nothing => {
                trace.note(Step::Rule(None, None));
                match chain.fallback() {
                    Some((action @ Action::Refuse(_), Some(entry))) if self.exempt.is_some() => {
                        Answer::Yes(Source::Rule(EntryRef::of_rule(entry), action))
                    }
                    Some(_) | None => Answer::No,
                }
            }
        }
    }

    fn s25r(&mut self, trace: &mut impl Trace) -> Answer<'a> {
        if self.suspicion.is_some() {
            return Answer::No;
        }
        let (rule, exception) = self.parts.by_s25r(self.rules, trace);
        self.exception = exception;
        match rule.filter(|_| exception.is_none()) {
            Some(rule) => Answer::Yes(Source::Name(rule)),
            None => Answer::No,
        }
    }

    fn spf_passes(&mut self, trace: &mut impl Trace) -> Answer<'a> {
        let spf = self.rules.params.spf;
        let may_excuse = match self.suspicion {
            None | Some(Suspicion::DnsLists(_) | Suspicion::Message(..)) => false,
            Some(Suspicion::S25r(_)) => spf.excuses,
            Some(suspicion @ Suspicion::Entry(_)) => spf.excuses_rules && is_by_rule(suspicion),
        };
        if !may_excuse {
            return Answer::No;
        }
        match self.parts.by_spf(self.evidence, trace) {
            Ok(result) => (result == SpfResult::Pass).into(),
            Err(lookup) => {
                self.lacking_spf = Some(lookup);
                Answer::No
            }
        }
    }

    /// Whether the DNS lists let the client pass, refuse it, or make it suspicious. While it is open which rule decides,
    /// they only let it pass.
    fn dns_lists(&mut self, condition: Condition, trace: &mut impl Trace) -> Answer<'a> {
        let lists = &self.rules.dns_lists;
        let rating = self.rating.get_or_insert_with(|| {
            let listen = |zone, answer| trace.note(Step::DnsList(zone, answer));
            let rating = lists.rate(self.parts.client, self.evidence, listen);
            if let Rating::Sum(score) = rating {
                trace.note(Step::DnsLists(score));
            }
            rating
        });
        let score = match rating {
            Rating::NotAsked => return Answer::No,
            // The first check that asks adds them; the others need the same.
            Rating::Unknown(lookups) => return Answer::Unknown(std::mem::take(lookups)),
            Rating::Sum(score) => *score,
        };
        let is_data = self.parts.is_data;
        match (condition, score.standing) {
            (Condition::DnsAllowed, Standing::Allowed) => true.into(),
            (Condition::DnsRejected, Standing::Rejected) if !self.is_open && !is_data => {
                match lists.refusal(self.parts.client, score, self.evidence) {
                    Err(lookup) => Answer::Unknown(vec![lookup]),
                    Ok(text) => Answer::Yes(Source::DnsLists(score, Some(text))),
                }
            }
            (Condition::DnsListed, Standing::Rejected) if !self.is_open && is_data => {
                Answer::Yes(Source::DnsLists(score, None))
            }
            (Condition::DnsListed, Standing::Suspicious) if !self.is_open => {
                Answer::Yes(Source::DnsLists(score, None))
            }
            (
                _,
                Standing::Allowed | Standing::Unlisted | Standing::Suspicious | Standing::Rejected,
            ) => Answer::No,
        }
    }
}

/// Whether a rule of `greylist.conf` has made a client suspicious.
fn is_by_rule(suspicion: Suspicion) -> bool {
    match suspicion {
        Suspicion::Entry(entry) => entry.list == ListName::GreylistConf,
        Suspicion::S25r(_) | Suspicion::DnsLists(_) | Suspicion::Message(..) => false,
    }
}

/// Whether something holds, which is a step if it does.
fn noted<'a>(holds: bool, step: Step, trace: &mut impl Trace) -> Answer<'a> {
    if holds {
        trace.note(step);
    }
    holds.into()
}

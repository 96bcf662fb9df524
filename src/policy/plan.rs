//! The first half of a decision: what needs no records.

use super::access::AccessResult;
use super::dns_lists::{Rating, Standing};
use super::{
    Attempt, Because, Case, ClientKey, CountBy, Domain, EntryRef, Evidence, Finding, Identity,
    ListName, Lookup, Outcome, Plan, Reason, Ruleset, Severity, SpfFinding, SpfQuestion, SpfResult,
    Stage, Step, Suspicion, Trace, TripletKey, Unmatched, Verdict, names, s25r,
};
use crate::types::{ClientIp, Reply, ReplyText};

/// Settles what can be settled without the store, and notes the steps in `trace`.
///
/// The checks that need evidence come after all that can settle the attempt without it.
pub fn plan(
    attempt: &Attempt<'_>,
    evidence: &Evidence,
    rules: &Ruleset,
    trace: &mut impl Trace,
) -> Plan {
    trace.restart();
    let mut parts = match Parts::read(attempt, rules) {
        Ok(parts) => parts,
        Err(settled) => return settled.plan(),
    };
    let checked = parts
        .pass_lists(rules, trace)
        .and_then(|()| parts.suspicion(evidence, rules, trace));
    match checked {
        Ok(Check::Done(suspicion)) => {
            let missing = parts.names(evidence, rules, trace);
            let case = parts.case(evidence, rules, suspicion);
            match missing {
                None => Plan::Case(case),
                Some(lookup) => Plan::Ask(vec![lookup], case),
            }
        }
        Ok(Check::Lacks(lookups, so_far)) => {
            Plan::Ask(lookups, parts.case(evidence, rules, so_far))
        }
        Err(settled) => settled.plan(),
    }
}

/// What was decided without the store.
struct Settled {
    verdict: Verdict,
    reason: Reason,
    because: Because,
    suspicion: Option<Suspicion>,
    /// The reply, if it has one of its own.
    reply: Option<Reply>,
}

impl Settled {
    fn plan(self) -> Plan {
        let outcome = Outcome {
            suspicion: self.suspicion,
            ..Outcome::new(self.verdict, self.reason, self.because)
        };
        match self.reply {
            None => Plan::Settled(outcome),
            Some(reply) => Plan::Replied(outcome, reply),
        }
    }
}

/// Passes, for this reason.
const fn pass(reason: Reason, because: Because) -> Settled {
    Settled {
        verdict: Verdict::Pass,
        reason,
        because,
        suspicion: None,
        reply: None,
    }
}

/// What the suspicion checks say together.
enum Check {
    /// What makes the client suspicious, if anything does.
    Done(Option<Suspicion>),
    /// These have to be looked up first; what makes the client suspicious so far.
    Lacks(Vec<Lookup>, Option<Suspicion>),
}

/// An attempt with everything in it that a decision needs.
struct Parts<'a> {
    name: &'a [u8],
    address: &'a [u8],
    client: ClientIp,
    helo: &'a [u8],
    sender: &'a [u8],
    recipient: &'a [u8],
    is_data: bool,
    is_stressed: bool,
    is_authenticated: bool,
    /// Whether S25R takes the name for an end user's line, once it was asked.
    is_line: Option<bool>,
    /// What SPF says, once it was asked.
    spf: Option<SpfResult>,
}

impl<'a> Parts<'a> {
    /// The attempt, unless it has no parts to decide on.
    fn read(attempt: &Attempt<'a>, rules: &Ruleset) -> Result<Self, Settled> {
        let missing = |name| pass(Reason::AttributeMissing, Because::MissingAttribute(name));
        let address = attempt.client_address.ok_or(missing("client_address"))?;
        let name = attempt.client_name.ok_or(missing("client_name"))?;
        let recipient = attempt.recipient.ok_or(missing("recipient"))?;
        let sender = attempt.sender.ok_or(missing("sender"))?;
        let client = ClientIp::parse(address)
            .ok_or_else(|| pass(Reason::AddressUnparsable, Because::Request))?;
        let is_data = match attempt.stage {
            Stage::Recipient => false,
            Stage::Data if rules.params.is_targrey() => true,
            Stage::Data | Stage::Other => return Err(pass(Reason::OtherState, Because::Request)),
        };
        Ok(Self {
            name,
            address,
            client,
            helo: attempt.helo_name.unwrap_or_default(),
            sender,
            recipient,
            is_data,
            is_stressed: attempt.is_stressed,
            is_authenticated: attempt.is_authenticated,
            is_line: None,
            spf: None,
        })
    }

    /// Goes on, unless a list has the attempt.
    fn pass_lists(&self, rules: &Ruleset, trace: &mut impl Trace) -> Result<(), Settled> {
        let mut unless = |found: Option<EntryRef>, list, reason| {
            trace.note(Step::List(list, found));
            match found {
                Some(entry) => Err(pass(reason, Because::Entry(entry))),
                None => Ok(()),
            }
        };
        let client = rules.find(ListName::Client, |lists| {
            lists.clients.find(self.name, self.client)
        });
        unless(client, ListName::Client, Reason::ClientWhitelist)?;
        let recipient = rules.find(ListName::Recipient, |lists| {
            lists.recipients.find(self.recipient)
        });
        unless(recipient, ListName::Recipient, Reason::RecipientWhitelist)?;
        let sender = rules.find(ListName::Sender, |lists| lists.senders.find(self.sender));
        unless(sender, ListName::Sender, Reason::SenderWhitelist)
    }

    /// What makes the client suspicious, if anything does; the outcome when it passes without.
    fn suspicion(
        &mut self,
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Check, Settled> {
        let by_tables = self.by_tables(rules, trace)?;
        // An exemption from waiting alone: what a table replies comes before it.
        if self.is_authenticated && rules.params.exempt_authenticated {
            trace.note(Step::Authenticated);
            return Err(pass(Reason::Authenticated, Because::Request));
        }
        let opted_in = self.opted_in(rules, trace)?;
        let (rule, exception) = match by_tables {
            Some(_) => (None, None),
            None => self.by_s25r(rules, trace),
        };
        let by_name = rule.filter(|_| exception.is_none()).map(Suspicion::S25r);
        let (is_excused, missing) = match by_name {
            Some(_) if rules.params.spf.excuses => match self.by_spf(evidence, trace) {
                Ok(result) => (result == SpfResult::Pass, None),
                Err(lookup) => (false, Some(lookup)),
            },
            Some(_) | None => (false, None),
        };
        let so_far = by_tables.or(by_name.filter(|_| !is_excused));
        match self.by_dns_lists((by_tables, so_far), evidence, rules, trace)? {
            Some(Check::Lacks(mut lookups, _)) => {
                lookups.extend(missing);
                return Ok(Check::Lacks(lookups, so_far));
            }
            Some(by_lists @ Check::Done(_)) => return Ok(by_lists),
            None => {}
        }
        if let Some(lookup) = missing {
            return Ok(Check::Lacks(vec![lookup], so_far));
        }
        if so_far.is_some() {
            return Ok(Check::Done(so_far));
        }
        let because = exception.map_or(Because::Request, Because::Entry);
        let unmatched = rules.unmatched();
        trace.note(Step::Unmatched(unmatched));
        match unmatched {
            Unmatched::Pass if is_excused => Err(pass(Reason::SpfPass, because)),
            Unmatched::Pass => Err(pass(Reason::NotSuspicious, because)),
            Unmatched::Greylist => Ok(Check::Done(opted_in)),
        }
    }

    /// The rule of S25R that the name matches, and the exception that it is, if it is one.
    fn by_s25r(
        &mut self,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> (Option<u8>, Option<EntryRef>) {
        let Some(of) = rules.params.s25r else {
            return (None, None);
        };
        let found = s25r::find(self.name, of);
        let rule = found.rule();
        let exception = rule.and_then(|_| {
            rules.find(ListName::S25rException, |lists| {
                lists.s25r_exceptions.find(self.name, self.client)
            })
        });
        self.is_line = Some(rule.is_some() && exception.is_none());
        trace.note(Step::S25r(found, exception));
        (rule, exception)
    }

    /// What SPF says; `Err`: it must be asked first.
    fn by_spf(&mut self, evidence: &Evidence, trace: &mut impl Trace) -> Result<SpfResult, Lookup> {
        if let Some(known) = self.spf {
            return Ok(known);
        }
        let question = SpfQuestion::new(self.client, self.helo, self.sender);
        let result = match question.map(Lookup::Spf) {
            None => SpfResult::None,
            Some(lookup) => match evidence.find(&lookup) {
                None => return Err(lookup),
                Some(Finding::Spf(SpfFinding::Passed(_))) => SpfResult::Pass,
                Some(Finding::Spf(SpfFinding::NotPassed(result))) => *result,
                Some(
                    Finding::NoAnswer | Finding::Absent | Finding::Text(_) | Finding::Addresses(_),
                ) => SpfResult::Temperror,
            },
        };
        self.spf = Some(result);
        trace.note(Step::Spf(result));
        Ok(result)
    }

    /// What must be looked up for the names of the triplet.
    fn names(
        &mut self,
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Option<Lookup> {
        let is_asked = rules.params.spf.names && !self.is_data;
        is_asked.then(|| self.by_spf(evidence, trace).err())?
    }

    /// What the DNS lists make of a client, if they can change what the tables say of it, and what the checks say
    /// so far; the outcome when they let it pass or refuse it.
    fn by_dns_lists(
        &self,
        (by_tables, so_far): (Option<Suspicion>, Option<Suspicion>),
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Option<Check>, Settled> {
        let lists = &rules.dns_lists;
        let thresholds = lists.thresholds();
        let may_pass = by_tables.is_none() && thresholds.allow.is_some();
        if so_far.is_some() && !may_pass && thresholds.reject.is_none() {
            return Ok(None);
        }
        let listen = |zone, answer| trace.note(Step::DnsList(zone, answer));
        let score = match lists.rate(self.client, evidence, listen) {
            Rating::NotAsked => return Ok(None),
            Rating::Unknown(lookups) => return Ok(Some(Check::Lacks(lookups, so_far))),
            Rating::Sum(score) => score,
        };
        trace.note(Step::DnsLists(score));
        let suspicion = Some(Suspicion::DnsLists(score.weight));
        match score.standing {
            Standing::Allowed if may_pass => Err(pass(Reason::DnsAllowlist, Because::Request)),
            Standing::Suspicious if so_far.is_none() => Ok(Some(Check::Done(suspicion))),
            Standing::Allowed | Standing::Suspicious | Standing::Unlisted => Ok(None),
            // Whoever has come as far as DATA is not refused.
            Standing::Rejected if self.is_data => {
                Ok(so_far.is_none().then_some(Check::Done(suspicion)))
            }
            Standing::Rejected => match lists.refusal(self.client, score, evidence) {
                Err(lookup) => Ok(Some(Check::Lacks(vec![lookup], so_far))),
                Ok(text) => Err(Settled {
                    verdict: Verdict::Reply(Severity::Reject),
                    reason: Reason::DnsReject,
                    because: Because::Request,
                    suspicion,
                    reply: Some(Reply::Reject(text)),
                }),
            },
        }
    }

    /// The entry that the recipient is greylisted for, where greylisting is opt-in; the outcome when there is none.
    /// At DATA the recipient is not looked at: of several Postfix names none.
    fn opted_in(
        &self,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Option<Suspicion>, Settled> {
        if !rules.params.recipients_opt_in || self.is_data {
            return Ok(None);
        }
        let entry = rules.find(ListName::GreylistRecipient, |lists| {
            lists.greylist_recipients.find(self.recipient)
        });
        trace.note(Step::List(ListName::GreylistRecipient, entry));
        match entry {
            Some(entry) => Ok(Some(Suspicion::Entry(entry))),
            None => Err(pass(Reason::RecipientNotListed, Because::Request)),
        }
    }

    /// What the client access tables make of the client, if they say anything.
    fn by_tables(
        &self,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Option<Suspicion>, Settled> {
        let tables = &rules.lists.access;
        if tables.is_empty() {
            return Ok(None);
        }
        let Some(found) = tables.find(self.name, self.address) else {
            trace.note(Step::Access(None));
            return Ok(None);
        };
        let entry = EntryRef {
            list: ListName::ClientAccess,
            is_added: false,
            number: found.entry,
        };
        trace.note(Step::Access(Some(entry)));
        match found.result {
            AccessResult::Permit => Err(pass(Reason::AccessPermit, Because::Entry(entry))),
            AccessResult::Reply(severity) => Err(Settled {
                verdict: Verdict::Reply(severity),
                reason: Reason::AccessReply,
                because: Because::Entry(entry),
                suspicion: None,
                reply: Some(Reply::Access(ReplyText::new(found.text()))),
            }),
            AccessResult::Greylist => Ok(Some(Suspicion::Entry(entry))),
            AccessResult::Nothing => Ok(None),
        }
    }

    /// The records that decide.
    fn case(&self, evidence: &Evidence, rules: &Ruleset, suspicion: Option<Suspicion>) -> Case {
        let params = &rules.params;
        let network = params.network(self.client);
        let address = self.client.network(32, 128);
        let domain = params
            .knows_domains()
            .then(|| {
                // The check has found it out, if S25R is one.
                let is_line = self.is_line;
                is_line.unwrap_or_else(|| names::is_line(self.name, self.client, rules))
            })
            .filter(|is_line| !is_line)
            .and_then(|_| Domain::of(self.name));
        let counted = match (params.count_by, &domain) {
            (CountBy::Subnet, _) => network.into(),
            (CountBy::Domain, Some(domain)) => domain.clone().into(),
            (CountBy::Address, _) | (CountBy::Domain, None) => Identity::from(address),
        };
        let key = |identity: Identity| TripletKey::new(identity, self.sender, self.recipient);
        let mut triplet = (!self.is_data).then(|| key(network.into()));
        let mut others = Vec::new();
        let domain = domain.filter(|_| params.by_domain);
        let by_spf = evidence.spf_domain().filter(|_| params.spf.names);
        let by_spf = by_spf.filter(|by_spf| Some(*by_spf) != domain.as_ref());
        // The last name first: each takes the first place.
        for domain in [by_spf.cloned(), domain].into_iter().flatten() {
            if let Some(first) = &mut triplet {
                others.insert(0, std::mem::replace(first, key(domain.into())));
            }
        }
        Case {
            client: params.auto_whitelist.map(|_| ClientKey::new(counted)),
            triplet,
            others,
            sleep: params.is_targrey().then(|| ClientKey::new(address)),
            suspicion,
            is_stressed: self.is_stressed,
        }
    }
}

#[cfg(test)]
mod dns_tests;

//! The order of the checks as code: what the walk along the list of checks must agree with.

use super::{Parts, Settled, pass, refused};
use crate::policy::access::AccessResult;
use crate::policy::chain::{Action, Found, Subject};
use crate::policy::dns_lists::{Rating, Standing};
use crate::policy::{
    Attempt, Because, Case, EntryRef, Evidence, ListName, Lookup, Plan, Reason, Ruleset, Severity,
    SpfResult, Step, Suspicion, Trace, Unmatched, Verdict,
};
use crate::types::{Reply, ReplyText, SmtpCode};

/// Settles what can be settled without the store, and notes the steps in `trace`.
///
/// The checks that need evidence come after all that can settle the attempt without it.
pub(super) fn plan(
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
        Ok(Check::Lacks(lacking)) => {
            let case = Case {
                terms: rules.strictest_terms(),
                asks_known: lacking.asks_known,
                ..parts.case(evidence, rules, lacking.so_far)
            };
            Plan::Ask(lacking.lookups, case)
        }
        Err(settled) => settled.plan(),
    }
}

/// What the suspicion checks say together.
pub(super) enum Check {
    /// What makes the client suspicious, if anything does.
    Done(Option<Suspicion>),
    /// Something has to be looked up first.
    Lacks(Lacking),
}

/// What has to be looked up before it is known whether a client is suspicious.
pub(super) struct Lacking {
    pub(super) lookups: Vec<Lookup>,
    /// What makes the client suspicious so far.
    pub(super) so_far: Option<Suspicion>,
    /// Whether that holds for known mail, too.
    asks_known: bool,
}

impl Lacking {
    pub(super) fn only(lookup: Lookup, so_far: Option<Suspicion>) -> Self {
        Self {
            lookups: vec![lookup],
            so_far,
            asks_known: false,
        }
    }
}

/// What the rules say of an attempt, if they neither let it pass nor refuse it.
#[derive(Default)]
struct ByRules {
    /// The rule that greylists it.
    suspicion: Option<Suspicion>,
    /// What has to be looked up before it is known which rule decides.
    lacking: Vec<Lookup>,
    /// Whether that holds for known mail, too.
    asks_known: bool,
}

impl ByRules {
    /// Whether it is not known yet which rule decides.
    const fn is_open(&self) -> bool {
        !self.lacking.is_empty()
    }

    /// Adds what else has to be looked up.
    fn add(&mut self, lookups: Vec<Lookup>) {
        if self.lacking.is_empty() {
            self.lacking = lookups;
            return;
        }
        for lookup in lookups {
            if !self.lacking.contains(&lookup) {
                self.lacking.push(lookup);
            }
        }
    }

    fn lacks(self, so_far: Option<Suspicion>) -> Check {
        Check::Lacks(Lacking {
            lookups: self.lacking,
            so_far,
            asks_known: self.asks_known,
        })
    }
}

impl Parts<'_> {
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
    ///
    /// The order: tables, rules, S25R, DNS lists, the default. An exemption from waiting comes behind tables and rules,
    /// because it does not exempt from their refusals. DNS lists that let a client pass do so before any of these refuses
    /// it or makes it wait.
    pub(super) fn suspicion(
        &mut self,
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Check, Settled> {
        let by_tables = match self.by_tables(rules, trace) {
            Err(settled) if settled.reply.is_some() => {
                return self.replied(settled, evidence, rules, trace);
            }
            by_tables => by_tables?,
        };
        let exemption = self.exemption(rules, trace);
        let asked = (by_tables, exemption.is_err());
        let mut by_rules = self.by_rules(asked, evidence, rules, trace)?;
        if exemption.is_err() && by_rules.is_open() {
            return Ok(by_rules.lacks(None));
        }
        let opted_in = exemption?;
        let (rule, exception) = match by_tables.or(by_rules.suspicion) {
            Some(_) => (None, None),
            None => self.by_s25r(rules, trace),
        };
        let by_name = rule.filter(|_| exception.is_none()).map(Suspicion::S25r);
        let spf = rules.params.spf;
        let may_excuse = (by_name.is_some() && spf.excuses)
            || (by_rules.suspicion.is_some() && spf.excuses_rules);
        let spf = may_excuse.then(|| self.by_spf(evidence, trace));
        let is_excused = matches!(spf, Some(Ok(SpfResult::Pass)));
        let excusable = by_rules.suspicion.or(by_name);
        let so_far = by_tables.or(excusable.filter(|_| !is_excused));
        let asked = (so_far, by_rules.is_open());
        let by_lists = self.by_dns_lists(asked, evidence, rules, trace)?;
        match by_lists {
            Some(Check::Lacks(lacking)) => by_rules.add(lacking.lookups),
            Some(done @ Check::Done(_)) if !by_rules.is_open() => return Ok(done),
            Some(Check::Done(_)) | None => {}
        }
        if let Some(Err(lookup)) = spf {
            by_rules.add(vec![lookup]);
        }
        if by_rules.is_open() {
            return Ok(by_rules.lacks(so_far));
        }
        if so_far.is_some() {
            return Ok(Check::Done(so_far));
        }
        let because = exception.map_or(Because::Request, Because::Entry);
        if by_rules.suspicion.is_some() {
            return Err(pass(Reason::SpfPass, because));
        }
        self.by_default((opted_in, because, is_excused), evidence, rules, trace)
    }

    /// What becomes of a client that no check matches: the default of the rules, or else what the options say. Whether
    /// SPF has excused it from S25R is known.
    fn by_default(
        &mut self,
        (opted_in, because, is_excused): (Option<Suspicion>, Because, bool),
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Check, Settled> {
        let Some((action, entry)) = rules.lists.chain.fallback() else {
            let unmatched = rules.unmatched();
            trace.note(Step::Unmatched(unmatched));
            return match unmatched {
                Unmatched::Pass if is_excused => Err(pass(Reason::SpfPass, because)),
                Unmatched::Pass => Err(pass(Reason::NotSuspicious, because)),
                Unmatched::Greylist => Ok(Check::Done(opted_in)),
            };
        };
        // At DATA rules are not asked, and the records decide.
        if self.is_data {
            return Ok(Check::Done(None));
        }
        let entry = entry.map(EntryRef::of_rule);
        trace.note(Step::Rule(entry, action.kind()));
        match (action, entry) {
            (Action::Pass, _) if is_excused => Err(pass(Reason::SpfPass, because)),
            (Action::Pass, Some(entry)) => Err(pass(Reason::RulePass, Because::Entry(entry))),
            (Action::Pass, None) | (Action::Continue, _) => {
                Err(pass(Reason::NotSuspicious, because))
            }
            (Action::Refuse(_), Some(entry)) => Err(refused(entry)),
            (Action::Refuse(_), None) => Ok(Check::Done(None)),
            (Action::Greylist(_), entry) => {
                let waits = Ok(Check::Done(entry.map(Suspicion::Entry).or(opted_in)));
                if !rules.params.spf.excuses_rules {
                    return waits;
                }
                match self.by_spf(evidence, trace) {
                    Ok(SpfResult::Pass) => Err(pass(Reason::SpfPass, because)),
                    Ok(_) => waits,
                    Err(lookup) => Ok(Check::Lacks(Lacking::only(lookup, opted_in))),
                }
            }
        }
    }

    /// What the DNS lists make of a client, if they can change what the checks say so far; the outcome when they let it
    /// pass or refuse it. While it `is_open` which rule decides, they do not refuse.
    pub(super) fn by_dns_lists(
        &self,
        (so_far, is_open): (Option<Suspicion>, bool),
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Option<Check>, Settled> {
        let lists = &rules.dns_lists;
        let thresholds = lists.thresholds();
        let may_pass = thresholds.allow.is_some();
        if so_far.is_some() && !may_pass && thresholds.reject.is_none() {
            return Ok(None);
        }
        let lacks = |lookups| {
            Ok(Some(Check::Lacks(Lacking {
                lookups,
                so_far,
                asks_known: false,
            })))
        };
        let listen = |zone, answer| trace.note(Step::DnsList(zone, answer));
        let score = match lists.rate(self.client, evidence, listen) {
            Rating::NotAsked => return Ok(None),
            Rating::Unknown(lookups) => return lacks(lookups),
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
            Standing::Rejected if is_open => Ok(None),
            Standing::Rejected => match lists.refusal(self.client, score, evidence) {
                Err(lookup) => lacks(vec![lookup]),
                Ok(text) => Err(Settled {
                    verdict: Verdict::Reply(Severity::Reject),
                    reason: Reason::DnsReject,
                    because: Because::Request,
                    suspicion,
                    reply: Some(Reply::Code(SmtpCode::REFUSED, text)),
                }),
            },
        }
    }

    /// What the rules say of an attempt, unless a table has marked the client as suspicious; the outcome when they let
    /// it pass or refuse it. Who is exempt from waiting is not exempt from a refusal.
    fn by_rules(
        &self,
        (by_tables, is_exempt): (Option<Suspicion>, bool),
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<ByRules, Settled> {
        let chain = &rules.lists.chain;
        // At DATA, of several recipients the mail server names none: there is nothing to ask rules about.
        if chain.is_empty() || by_tables.is_some() || self.is_data {
            return Ok(ByRules::default());
        }
        let Some(mut subject) = Subject::new(self.attempt, evidence.time) else {
            return Ok(ByRules::default());
        };
        subject.place = Some((rules.texts.host(), rules.texts.zone()));
        let (found, effects) = chain.find(&subject, evidence);
        trace.note_effects(effects);
        let (number, action) = match found {
            Found::Rule(number, action) => (number, action),
            Found::Lacks(lacking) => {
                let asks_known = chain.asks_known();
                let is_wanted = asks_known || !is_exempt;
                return Ok(ByRules {
                    suspicion: None,
                    lacking: if is_wanted { lacking } else { Vec::new() },
                    asks_known,
                });
            }
            Found::Nothing => {
                trace.note(Step::Rule(None, None));
                return match chain.fallback() {
                    Some((Action::Refuse(_), Some(entry))) if is_exempt => {
                        Err(refused(EntryRef::of_rule(entry)))
                    }
                    Some(_) | None => Ok(ByRules::default()),
                };
            }
        };
        let entry = EntryRef::of_rule(number);
        trace.note(Step::Rule(Some(entry), action.kind()));
        match action {
            Action::Continue => Ok(ByRules::default()),
            Action::Pass => Err(pass(Reason::RulePass, Because::Entry(entry))),
            Action::Greylist(_) => Ok(ByRules {
                suspicion: Some(Suspicion::Entry(entry)),
                ..ByRules::default()
            }),
            Action::Refuse(_) => {
                let lacking = if is_exempt {
                    Vec::new()
                } else {
                    self.unless_allowed(evidence, rules, trace)?
                };
                if lacking.is_empty() {
                    return Err(refused(entry));
                }
                Ok(ByRules {
                    suspicion: None,
                    lacking,
                    asks_known: true,
                })
            }
        }
    }

    /// The outcome when a table has a reply for the client, unless DNS lists let it pass before. Who is exempt from
    /// waiting is not looked up.
    pub(super) fn replied(
        &self,
        settled: Settled,
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Check, Settled> {
        let lookups = match self.exemption(rules, &mut ()) {
            Ok(_) => self.unless_allowed(evidence, rules, trace)?,
            Err(_) => Vec::new(),
        };
        if lookups.is_empty() {
            return Err(settled);
        }
        Ok(Check::Lacks(Lacking {
            lookups,
            so_far: None,
            asks_known: true,
        }))
    }

    /// The outcome when DNS lists let the client pass before a rule or a table refuses it; else what has to be looked up first.
    fn unless_allowed(
        &self,
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Vec<Lookup>, Settled> {
        let lists = &rules.dns_lists;
        if lists.thresholds().allow.is_none() {
            return Ok(Vec::new());
        }
        let listen = |zone, answer| trace.note(Step::DnsList(zone, answer));
        match lists.rate(self.client, evidence, listen) {
            Rating::Unknown(lookups) => Ok(lookups),
            Rating::Sum(score) if score.standing == Standing::Allowed => {
                trace.note(Step::DnsLists(score));
                Err(pass(Reason::DnsAllowlist, Because::Request))
            }
            Rating::Sum(_) | Rating::NotAsked => Ok(Vec::new()),
        }
    }

    /// The entry that the recipient is greylisted for, where greylisting is opt-in; the outcome when the attempt is
    /// exempt from waiting.
    pub(super) fn exemption(
        &self,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Result<Option<Suspicion>, Settled> {
        if rules.is_authenticated(self.attempt) {
            trace.note(Step::Authenticated);
            return Err(pass(Reason::Authenticated, Because::Request));
        }
        // A mail server with a milter does not leave out its own machine.
        let is_local = self.attempt.milter_message.is_some() && self.client.is_loopback();
        let mut own = rules.own_networks.iter();
        if is_local || own.any(|network| network.contains(self.client)) {
            trace.note(Step::OwnNetwork);
            return Err(pass(Reason::OwnNetwork, Because::Request));
        }
        self.opted_in(rules, trace)
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
    pub(super) fn by_tables(
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
}

//! The checks, each by itself.

use super::{ByRules, Check, Lacking, Parts, Settled, pass};
use crate::policy::access::AccessResult;
use crate::policy::chain::{Action, Found, Subject};
use crate::policy::dns_lists::{Rating, Standing};
use crate::policy::{
    Because, EntryRef, Evidence, Finding, ListName, Lookup, Reason, Ruleset, Severity, SpfFinding,
    SpfQuestion, SpfResult, Step, Suspicion, Trace, Verdict, s25r,
};
use crate::types::{Reply, ReplyText, SmtpCode};

impl Parts<'_> {
    /// The rule of S25R that the name matches, and the exception that it is, if it is one.
    pub(super) fn by_s25r(
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
    pub(super) fn by_spf(
        &mut self,
        evidence: &Evidence,
        trace: &mut impl Trace,
    ) -> Result<SpfResult, Lookup> {
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
                    Finding::NoAnswer
                    | Finding::Absent
                    | Finding::Text(_)
                    | Finding::SenderMx(_)
                    | Finding::Score(_)
                    | Finding::Addresses(_),
                ) => SpfResult::Temperror,
            },
        };
        self.spf = Some(result);
        trace.note(Step::Spf(result));
        Ok(result)
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
    pub(super) fn by_rules(
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
        if self.attempt.user.is_some() && rules.params.exempt_authenticated {
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

/// The outcome when this rule refuses. The text of the reply is made of the outcome.
pub(super) fn refused(rule: EntryRef) -> Settled {
    Settled {
        verdict: Verdict::Reply(Severity::Reject),
        reason: Reason::RuleReject,
        because: Because::Entry(rule),
        suspicion: None,
        reply: None,
    }
}

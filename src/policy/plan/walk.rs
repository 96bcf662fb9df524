//! The walk along the list of checks.

mod conditions;

use super::{Parts, Settled, pass, refused};
use crate::policy::access::AccessResult;
use crate::policy::chain::Action;
use crate::policy::dns_lists::{Rating, Score, Standing};
use crate::policy::rules::{Check, Consequence};
use crate::policy::{
    Because, Case, EntryRef, Evidence, Lookup, Plan, Reason, Ruleset, Severity, SpfResult, Step,
    Suspicion, Trace, Unmatched, Verdict,
};
use crate::types::{Reply, ReplyText, SmtpCode};

/// How a walk ends.
pub(super) enum End {
    /// It is settled without the store.
    Settled(Settled),
    /// The records decide; what has made the client suspicious, if anything has.
    Waits(Option<Suspicion>),
    /// Something has to be looked up first.
    Lacks,
}

/// Whether a condition holds.
enum Answer<'a> {
    /// It does; what was found.
    Yes(Source<'a>),
    /// It does not.
    No,
    /// It is not known before this is looked up.
    Unknown(Vec<Lookup>),
}

/// What was found.
enum Source<'a> {
    /// Nothing but the request.
    Request,
    /// An entry of a list.
    Entry(EntryRef),
    /// An entry of a client access table, its result, and the text of its reply.
    Table(EntryRef, AccessResult, Option<ReplyText>),
    /// A rule of `greylist.conf`.
    Rule(EntryRef, &'a Action),
    /// A rule of S25R.
    Name(u8),
    /// DNS lists, and the text of a refusal.
    DnsLists(Score, Option<ReplyText>),
}

impl Source<'_> {
    /// What the log names.
    const fn because(&self) -> Because {
        match self {
            Self::Entry(entry) | Self::Table(entry, ..) | Self::Rule(entry, _) => {
                Because::Entry(*entry)
            }
            Self::Request | Self::Name(_) | Self::DnsLists(..) => Because::Request,
        }
    }

    /// What makes a client suspicious.
    const fn suspicion(&self) -> Option<Suspicion> {
        match self {
            Self::Request => None,
            Self::Entry(entry) | Self::Table(entry, ..) | Self::Rule(entry, _) => {
                Some(Suspicion::Entry(*entry))
            }
            Self::Name(rule) => Some(Suspicion::S25r(*rule)),
            Self::DnsLists(score, _) => Some(Suspicion::DnsLists(score.weight)),
        }
    }
}

/// A walk along the checks, with what those behind have to know of those before.
pub(super) struct Walk<'a> {
    parts: Parts<'a>,
    evidence: &'a Evidence,
    rules: &'a Ruleset,
    /// Why the attempt is exempt from waiting, if it is.
    exempt: Option<Reason>,
    /// The entry that the recipient is greylisted for, where greylisting is opt-in.
    opted_in: Option<Suspicion>,
    /// What has made the client suspicious first.
    suspicion: Option<Suspicion>,
    /// Whether SPF has excused the client from that.
    is_excused: bool,
    /// The entry for which a name that matches S25R is none of an end user.
    exception: Option<EntryRef>,
    /// What the DNS lists say, once they were asked.
    rating: Option<Rating>,
    /// What has to be looked up.
    lacking: Vec<Lookup>,
    /// Likewise, behind the others.
    lacking_spf: Option<Lookup>,
    /// Whether it is not known yet which rule of `greylist.conf` decides.
    is_open: bool,
    /// Whether what is missing has to be looked up for known mail, too.
    asks_known: bool,
}

impl<'a> Walk<'a> {
    pub(super) const fn new(parts: Parts<'a>, evidence: &'a Evidence, rules: &'a Ruleset) -> Self {
        Self {
            parts,
            evidence,
            rules,
            exempt: None,
            opted_in: None,
            suspicion: None,
            is_excused: false,
            exception: None,
            rating: None,
            lacking: Vec::new(),
            lacking_spf: None,
            is_open: false,
            asks_known: false,
        }
    }

    /// Asks one check after the other until one ends the walk.
    pub(super) fn run(&mut self, trace: &mut impl Trace) -> End {
        let rules = self.rules;
        let mut checks = rules.checks().iter();
        let end = checks.find_map(|check| self.check(*check, trace));
        end.unwrap_or(End::Waits(None))
    }

    /// The plan where the records decide.
    pub(super) fn waits(mut self, suspicion: Option<Suspicion>, trace: &mut impl Trace) -> Plan {
        let missing = self.parts.names(self.evidence, self.rules, trace);
        let case = self.parts.case(self.evidence, self.rules, suspicion);
        match missing {
            None => Plan::Case(case),
            Some(lookup) => Plan::Ask(vec![lookup], case),
        }
    }

    /// The plan where something has to be looked up first.
    pub(super) fn lacks(self) -> Plan {
        let so_far = self.so_far();
        let case = Case {
            terms: self.rules.strictest_terms(),
            asks_known: self.asks_known,
            ..self.parts.case(self.evidence, self.rules, so_far)
        };
        Plan::Ask(self.lacking, case)
    }

    /// What makes the client suspicious so far.
    fn so_far(&self) -> Option<Suspicion> {
        self.suspicion.filter(|_| !self.is_excused)
    }

    /// Asks a check, and does what it says; `None`: the walk goes on.
    fn check(&mut self, check: Check, trace: &mut impl Trace) -> Option<End> {
        let is_exemption = matches!(check.consequence, Consequence::Exempt(_));
        if is_exemption && self.exempt.is_some() {
            return None;
        }
        let source = match self.ask(check.condition, trace) {
            Answer::No => return None,
            Answer::Unknown(lookups) => {
                self.add(lookups);
                return None;
            }
            Answer::Yes(source) => source,
        };
        match check.consequence {
            Consequence::Pass(reason) => Some(End::Settled(pass(reason, source.because()))),
            Consequence::Exempt(reason) => {
                self.exempt = Some(reason);
                None
            }
            Consequence::PassExempt if self.is_open => Some(End::Lacks),
            Consequence::PassExempt => {
                let reason = self.exempt?;
                Some(End::Settled(pass(reason, Because::Request)))
            }
            Consequence::AsWritten => self.as_written(source, trace),
            Consequence::Suspect => {
                self.suspicion = source.suspicion();
                self.is_excused = false;
                None
            }
            Consequence::Excuse => {
                self.is_excused = true;
                None
            }
            Consequence::Refuse => Some(refused_by_dns_lists(source)),
            Consequence::LookUp => {
                let spf = self.lacking_spf.take();
                self.add(spf.into_iter().collect());
                Some(End::Lacks)
            }
            Consequence::Greylist => Some(End::Waits(self.so_far())),
            Consequence::Default(unmatched) => Some(self.by_default(unmatched, trace)),
            Consequence::FileDefault => Some(self.by_file_default(trace)),
        }
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

    /// Does what an entry or a rule says.
    fn as_written(&mut self, source: Source<'_>, trace: &mut impl Trace) -> Option<End> {
        let because = source.because();
        match source {
            Source::Table(_, AccessResult::Permit, _) => {
                Some(End::Settled(pass(Reason::AccessPermit, because)))
            }
            Source::Table(_, AccessResult::Reply(severity), text) => {
                let settled = Settled {
                    verdict: Verdict::Reply(severity),
                    reason: Reason::AccessReply,
                    because,
                    suspicion: None,
                    reply: text.map(Reply::Access),
                };
                Some(self.reply(settled, trace))
            }
            Source::Rule(_, Action::Pass) => Some(End::Settled(pass(Reason::RulePass, because))),
            Source::Rule(entry, Action::Refuse(_)) => self.refuse(entry, trace),
            Source::Table(_, AccessResult::Greylist, _) | Source::Rule(_, Action::Greylist(_)) => {
                self.suspicion = source.suspicion();
                None
            }
            Source::Table(_, AccessResult::Nothing, _)
            | Source::Rule(_, Action::Continue)
            | Source::Request
            | Source::Entry(_)
            | Source::Name(_)
            | Source::DnsLists(..) => None,
        }
    }

    /// Replies what a table says, unless DNS lists let the client pass before. An exempt client is not looked up.
    fn reply(&mut self, settled: Settled, trace: &mut impl Trace) -> End {
        let rules = self.rules;
        let mut checks = rules.checks().iter();
        let is_exempt = checks.any(|check| {
            let is_exemption = matches!(check.consequence, Consequence::Exempt(_));
            is_exemption && matches!(self.ask(check.condition, &mut ()), Answer::Yes(_))
        });
        if is_exempt {
            return End::Settled(settled);
        }
        match self.unless_allowed(trace) {
            Err(allowed) => End::Settled(allowed),
            Ok(lookups) if lookups.is_empty() => End::Settled(settled),
            Ok(lookups) => {
                self.lacking = lookups;
                self.asks_known = true;
                End::Lacks
            }
        }
    }

    /// Refuses as a rule says, unless DNS lists let the client pass before. An exemption does not prevent the refusal.
    fn refuse(&mut self, rule: EntryRef, trace: &mut impl Trace) -> Option<End> {
        let lookups = if self.exempt.is_some() {
            Vec::new()
        } else {
            match self.unless_allowed(trace) {
                Err(allowed) => return Some(End::Settled(allowed)),
                Ok(lookups) => lookups,
            }
        };
        if lookups.is_empty() {
            return Some(End::Settled(refused(rule)));
        }
        self.is_open = true;
        self.asks_known = true;
        self.add(lookups);
        None
    }

    /// What has to be looked up before a rule or a table refuses; `Err`: DNS lists let the client pass.
    fn unless_allowed(&self, trace: &mut impl Trace) -> Result<Vec<Lookup>, Settled> {
        let lists = &self.rules.dns_lists;
        if lists.thresholds().allow.is_none() {
            return Ok(Vec::new());
        }
        let listen = |zone, answer| trace.note(Step::DnsList(zone, answer));
        match lists.rate(self.parts.client, self.evidence, listen) {
            Rating::Unknown(lookups) => Ok(lookups),
            Rating::Sum(score) if score.standing == Standing::Allowed => {
                trace.note(Step::DnsLists(score));
                Err(pass(Reason::DnsAllowlist, Because::Request))
            }
            Rating::Sum(_) | Rating::NotAsked => Ok(Vec::new()),
        }
    }

    /// What the log names when a client passes that no check matches.
    fn because(&self) -> Because {
        self.exception.map_or(Because::Request, Because::Entry)
    }

    /// What becomes of a client that no check matches.
    fn by_default(&self, unmatched: Unmatched, trace: &mut impl Trace) -> End {
        trace.note(Step::Unmatched(unmatched));
        match unmatched {
            Unmatched::Pass => End::Settled(pass(self.passing(), self.because())),
            Unmatched::Greylist => End::Waits(self.opted_in),
        }
    }

    /// Why a client passes that no check matches.
    const fn passing(&self) -> Reason {
        if self.is_excused {
            Reason::SpfPass
        } else {
            Reason::NotSuspicious
        }
    }

    /// Likewise, where `greylist.conf` has a default.
    fn by_file_default(&mut self, trace: &mut impl Trace) -> End {
        let rules = self.rules;
        // At DATA rules are not asked, and the records decide.
        let Some((action, entry)) = rules.lists.chain.fallback().filter(|_| !self.parts.is_data)
        else {
            return End::Waits(None);
        };
        let entry = entry.map(EntryRef::of_rule);
        trace.note(Step::Rule(entry, action.kind()));
        match (action, entry) {
            (Action::Pass, Some(entry)) if !self.is_excused => {
                End::Settled(pass(Reason::RulePass, Because::Entry(entry)))
            }
            (Action::Pass, _) => End::Settled(pass(self.passing(), self.because())),
            (Action::Continue, _) => End::Settled(pass(Reason::NotSuspicious, self.because())),
            (Action::Refuse(_), Some(entry)) => End::Settled(refused(entry)),
            (Action::Refuse(_), None) => End::Waits(None),
            (Action::Greylist(_), entry) => {
                let suspicion = entry.map(Suspicion::Entry).or(self.opted_in);
                self.unless_excused(suspicion, trace)
            }
        }
    }

    /// The default of `greylist.conf` greylists, unless SPF excuses from that.
    fn unless_excused(&mut self, suspicion: Option<Suspicion>, trace: &mut impl Trace) -> End {
        if !self.rules.params.spf.excuses_rules {
            return End::Waits(suspicion);
        }
        match self.parts.by_spf(self.evidence, trace) {
            Ok(SpfResult::Pass) => End::Settled(pass(Reason::SpfPass, self.because())),
            Ok(_) => End::Waits(suspicion),
            Err(lookup) => {
                self.suspicion = self.opted_in;
                self.is_excused = false;
                self.lacking = vec![lookup];
                End::Lacks
            }
        }
    }
}

/// The refusal of the DNS lists.
fn refused_by_dns_lists(source: Source<'_>) -> End {
    let suspicion = source.suspicion();
    let text = match source {
        Source::DnsLists(_, text) => text,
        Source::Request
        | Source::Entry(_)
        | Source::Table(..)
        | Source::Rule(..)
        | Source::Name(_) => None,
    };
    End::Settled(Settled {
        verdict: Verdict::Reply(Severity::Reject),
        reason: Reason::DnsReject,
        because: Because::Request,
        suspicion,
        reply: text.map(|text| Reply::Code(SmtpCode::REFUSED, text)),
    })
}

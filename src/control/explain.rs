//! Explain: a decision with each step that led to it, without changes.

use super::Control;
use super::message_steps::{check_step, grouped, recipient_step, rule_of, score_step};
use super::step_result::{Explained, StepResult, named};
use crate::policy::chain::{Effects, RuleAction};
use crate::policy::s25r::NameMatch;
use crate::policy::{
    Attempt, Case, Client, EntryRef, Identity, ListName, Outcome, Reason, Remaining, Ruleset,
    Score, Sleep, SpfResult, Standing, Step, Then, Thresholds, Trace, Triplet, TripletKey,
    Unmatched, Verdict, ZoneAnswer,
};
use crate::service::Decision;
use crate::service::pipeline::{Basis, Mode};
use crate::types::{Reply, ReplyText, Timestamp, counted};

/// A decision and its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The outcome.
    pub outcome: Outcome,
    /// The reply that the mail server would get.
    pub reply: Reply,
    /// The action for greylisted clients where the mail server is Postfix.
    pub greylist_action: ReplyText,
    /// The time of the decision.
    pub now: Timestamp,
    /// When the mail will pass; `None` if waiting does not help.
    pub passes_at: Option<Timestamp>,
    /// How many retries are required once the delay is over, if more than one.
    pub retries: Option<u32>,
    /// The end of the retry window.
    pub until: Option<Timestamp>,
    /// The entry that decides, or that makes the client suspicious.
    pub because: Option<String>,
    /// Every step.
    pub steps: Vec<Explained>,
}

/// Collects the steps of a decision, and the names of the triplet.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) noted: Vec<Step>,
    names: Vec<Identity>,
    found: Option<usize>,
    /// How many of those noted stay when the attempt is planned again.
    kept: usize,
}

impl Trace for Steps {
    fn restart(&mut self) {
        self.noted.truncate(self.kept);
        self.names.clear();
        self.found = None;
    }

    fn keep(&mut self) {
        self.kept = self.noted.len();
    }

    fn note(&mut self, step: Step) {
        self.noted.push(step);
    }

    fn note_effects(&mut self, _: Effects) {}

    fn note_names(&mut self, case: &Case, found: Option<usize>) {
        let parts = case.names().filter_map(TripletKey::parts);
        self.names = parts.map(|parts| parts.identity).collect();
        self.found = found;
    }
}

impl Steps {
    /// The names of the triplet, if it has more than its network.
    fn names(&self) -> String {
        if self.names.len() < 2 {
            return String::new();
        }
        if let Some(found) = self.found.and_then(|found| self.names.get(found)) {
            return format!("; known by {found}");
        }
        let names: Vec<_> = self.names.iter().map(ToString::to_string).collect();
        format!("; looked for by {}", names.join(", "))
    }
}

impl Control {
    /// The decision and each step that led to it. Nothing is changed or counted. Lookups are answered from the cache;
    /// with `looks_up`, missing ones are sent.
    pub async fn explain(&self, attempt: &Attempt<'_>, looks_up: bool) -> Explanation {
        let mut steps = Steps::default();
        let mode = Mode::Look { looks_up };
        let decision = self
            .0
            .judge(attempt, Basis::default(), mode, &mut steps)
            .await;
        explanation(decision, &steps)
    }
}

/// A decision and its steps, for an administrator.
pub(super) fn explanation(decision: Decision, steps: &Steps) -> Explanation {
    let Decision {
        outcome,
        reply,
        now,
        rules,
        host,
        ..
    } = decision;
    let record = outcome.changes.triplet;
    let remaining = outcome.verdict.remaining();
    let retries =
        remaining.and_then(|remaining| retries(remaining, record, rules.params.retry_count));
    Explanation {
        reply,
        greylist_action: rules.texts.greylist_action().clone(),
        now,
        passes_at: passes_at(outcome.verdict, now).filter(|_| retries.is_none()),
        retries,
        until: remaining
            .and(record)
            .map(|record| record.first().after(rules.params.retry_window)),
        because: outcome
            .entry()
            .and_then(|entry| named(&rules, entry))
            .or(host.as_ref().map(|host| format!("a record of {host}"))),
        steps: grouped(&steps.noted)
            .map(|group| {
                let mut explained = match group {
                    [step] => said(*step, &rules, now),
                    clauses => rule_of(clauses, &rules),
                };
                if matches!(explained.step, Step::Triplet(_)) {
                    explained.text.push_str(&steps.names());
                }
                if let Some(host) = &host
                    && has_decided(explained.step, &outcome)
                {
                    explained.text.push_str("; known from ");
                    explained.text.push_str(host);
                }
                explained
            })
            .collect(),
        outcome,
    }
}

/// Whether the record of a step has decided.
fn has_decided(step: Step, outcome: &Outcome) -> bool {
    if outcome.reason == Reason::ClientAwl {
        matches!(step, Step::Client(..))
    } else {
        matches!(step, Step::Triplet(_))
    }
}

/// How many of the `needed` retries are still required, if more than one is.
fn retries(remaining: Remaining, record: Option<Triplet>, needed: u32) -> Option<u32> {
    match remaining {
        Remaining::Retries(retries) => Some(retries),
        Remaining::Time(_) => {
            let counted = match record? {
                Triplet::Waiting { counted, .. } => counted,
                Triplet::Passed { .. } => return None,
            };
            let left = needed.saturating_sub(counted);
            (left > 1).then_some(left)
        }
    }
}

/// When the attempt would pass, if that depends on time alone.
fn passes_at(verdict: Verdict, now: Timestamp) -> Option<Timestamp> {
    match verdict {
        Verdict::Pass | Verdict::PassWithHeader { .. } => Some(now),
        Verdict::Tarpit {
            length,
            then: Then::Pass,
        } => Some(now.after(length)),
        Verdict::Defer { remaining }
        | Verdict::Tarpit {
            then: Then::Defer(remaining),
            ..
        } => match remaining {
            Remaining::Time(time) => Some(now.after(time)),
            Remaining::Retries(_) => None,
        },
        Verdict::Reply(_) | Verdict::Unavailable => None,
    }
}

/// Describes a step.
fn said(step: Step, rules: &Ruleset, now: Timestamp) -> Explained {
    let of_entry = |entry: EntryRef| named(rules, entry).unwrap_or_default();
    let (finding, text) = match step {
        Step::Paused(until) => (StepResult::Passes, pause_text(until, now)),
        Step::List(ListName::GreylistRecipient, None) => {
            (StepResult::Passes, "no entry has the recipient".to_owned())
        }
        Step::List(ListName::GreylistRecipient, Some(entry)) => {
            (StepResult::Continues, of_entry(entry))
        }
        Step::Authenticated => (
            StepResult::Passes,
            "the client has authenticated itself (SASL)".to_owned(),
        ),
        Step::OwnNetwork => (
            StepResult::Passes,
            "the client is in a network of one's own".to_owned(),
        ),
        Step::List(_, None) => (StepResult::NoMatch, "no entry matches".to_owned()),
        Step::List(list @ (ListName::HeaderChecks | ListName::BodyChecks), Some(entry)) => {
            (check_step(rules, list, entry), of_entry(entry))
        }
        Step::List(_, Some(entry)) => (StepResult::Passes, of_entry(entry)),
        Step::Access(None) => (StepResult::NoMatch, "no line has a result".to_owned()),
        Step::Access(Some(entry)) => (StepResult::Match, of_entry(entry)),
        Step::Rule(entry, action) => rule_step(entry.map(of_entry), action),
        Step::S25r(found, exception) => s25r_step(found, exception.map(of_entry)),
        Step::Spf(result) => spf_step(result),
        Step::DnsList(zone, answer) => zone_step(zone, answer, rules),
        Step::DnsLists(score) => dns_step(score, rules),
        Step::Unmatched(Unmatched::Pass) => (
            StepResult::Passes,
            "no check marks the client as suspicious".to_owned(),
        ),
        Step::Unmatched(Unmatched::Greylist) => (
            StepResult::Continues,
            "every client that is not exempt is greylisted".to_owned(),
        ),
        Step::Client(record, threshold) => client_step(record, threshold, now),
        Step::Sleep(None) => (
            StepResult::Unknown,
            "the client was not tarpitted".to_owned(),
        ),
        Step::Sleep(Some(sleep)) => sleep_step(sleep, now),
        Step::Triplet(None) => (
            StepResult::Unknown,
            "not seen before, or too long ago".to_owned(),
        ),
        Step::Triplet(Some(record)) => triplet_step(record, now),
        Step::Recipient(is_open) => recipient_step(is_open),
        Step::SpamScore(score, is_spam) => score_step(score, is_spam),
        Step::Clause(..) => return rule_of(&[step], rules),
    };
    Explained {
        step,
        finding,
        text,
    }
}

fn rule_step(entry: Option<String>, action: Option<RuleAction>) -> (StepResult, String) {
    let finding = match action {
        None => StepResult::NoMatch,
        Some(RuleAction::Pass) => StepResult::Passes,
        Some(RuleAction::Greylist) => StepResult::Match,
        Some(RuleAction::Refuse) => StepResult::Rejects,
    };
    let unwritten = || match action {
        None => "no entry matches".to_owned(),
        Some(RuleAction::Pass | RuleAction::Refuse) => {
            "without a default, who matches no entry passes after testmode".to_owned()
        }
        Some(RuleAction::Greylist) => {
            "without a default, who matches no entry is greylisted".to_owned()
        }
    };
    (finding, entry.unwrap_or_else(unwritten))
}

fn s25r_step(found: NameMatch, exception: Option<String>) -> (StepResult, String) {
    match (found, exception) {
        (NameMatch::NoMatch, _) => (StepResult::NoMatch, "the name matches no rule".to_owned()),
        (NameMatch::MailHost(rule), _) => (
            StepResult::NoMatch,
            format!(
                "the name matches rule {rule}, but is that of a mail host: one label that says mail, directly \
                 below its organizational domain"
            ),
        ),
        (NameMatch::Rule(rule), None) => (
            StepResult::Suspicious,
            format!("the name matches rule {rule}"),
        ),
        (NameMatch::Rule(rule), Some(exception)) => (
            StepResult::Exception,
            format!("the name matches rule {rule}, but: {exception}"),
        ),
    }
}

fn pause_text(until: Option<Timestamp>, now: Timestamp) -> String {
    match until {
        None => "greylisting is paused until it is resumed".to_owned(),
        Some(end) => format!("greylisting is paused for another {}", end.since(now)),
    }
}

fn spf_step(result: SpfResult) -> (StepResult, String) {
    let (finding, text) = match result {
        SpfResult::Pass => (StepResult::Match, "the domain lets the client send"),
        SpfResult::PassAny => (
            StepResult::NoMatch,
            "the domain lets anybody send, which counts for nothing",
        ),
        SpfResult::None => (
            StepResult::NoMatch,
            "the domain has no SPF record, or no known public suffix",
        ),
        SpfResult::Neutral => (StepResult::NoMatch, "the domain does not say"),
        SpfResult::Softfail => (
            StepResult::NoMatch,
            "the client is probably not allowed to send for the domain",
        ),
        SpfResult::Fail => (
            StepResult::NoMatch,
            "the client is not allowed to send for the domain",
        ),
        SpfResult::Permerror => (StepResult::NoMatch, "the record has errors"),
        SpfResult::Temperror => (StepResult::Unknown, "no reply in time, or not queried"),
    };
    (finding, format!("{}: {text}", result.word()))
}

fn zone_step(zone: usize, answer: ZoneAnswer, rules: &Ruleset) -> (StepResult, String) {
    let zone = rules.dns_lists.zones().nth(zone);
    let zone = zone.map_or_else(String::new, ToString::to_string);
    match answer {
        ZoneAnswer::Listed { address, weight } => {
            let text = format!("{zone}: {address}, weight {weight}");
            (StepResult::Match, text)
        }
        ZoneAnswer::Unlisted => (StepResult::NoMatch, format!("{zone}: not listed")),
        ZoneAnswer::Error(code) if code.is_unspecified() => (
            StepResult::Unknown,
            format!("{zone}: an address outside 127.0.0.0/8"),
        ),
        ZoneAnswer::Error(code) => (StepResult::Unknown, format!("{zone}: error code {code}")),
        ZoneAnswer::Silent => (
            StepResult::Unknown,
            format!("{zone}: no reply, or not queried"),
        ),
    }
}

fn dns_step(score: Score, rules: &Ruleset) -> (StepResult, String) {
    let finding = match score.standing {
        Standing::Allowed => StepResult::Passes,
        Standing::Unlisted => StepResult::NoMatch,
        Standing::Suspicious => StepResult::Suspicious,
        Standing::Rejected => StepResult::Rejects,
    };
    let Thresholds {
        suspicious,
        reject,
        allow,
    } = rules.dns_lists.thresholds();
    let refused = reject.map_or_else(String::new, |reject| format!(", refused from {reject}"));
    let exempt = allow.map_or_else(String::new, |allow| format!(", exempt at {allow} or below"));
    let mut text = format!(
        "the weights add up to {}; suspicious from {suspicious}{refused}{exempt}",
        score.weight
    );
    if score.silent > 0 {
        text.push_str("; without a reply: ");
        text.push_str(&counted(score.silent.into(), "list", "lists"));
    }
    let is_allowed = allow.is_some_and(|allow| score.weight <= allow);
    let is_refused = reject.is_some_and(|reject| score.weight >= reject);
    if is_allowed && score.standing != Standing::Allowed {
        text.push_str("; not exempt, because a list without a reply might have the client");
    }
    if is_refused && score.standing != Standing::Rejected {
        text.push_str("; not refused, because a list without a reply might speak for the client");
    }
    (finding, text)
}

fn client_step(record: Option<Client>, threshold: u32, now: Timestamp) -> (StepResult, String) {
    let Some(client) = record else {
        let text = format!("no greylisted mail has passed yet; {threshold} required");
        return (StepResult::Unknown, text);
    };
    let finding = if client.is_whitelisted(threshold) {
        StepResult::Passes
    } else {
        StepResult::Counted
    };
    let text = format!(
        "{} of {threshold} counted, the last {} ago",
        client.count.min(threshold),
        now.since(client.last)
    );
    (finding, text)
}

fn sleep_step(sleep: Sleep, now: Timestamp) -> (StepResult, String) {
    let (length, age) = (sleep.length, now.since(sleep.ordered));
    if age < length {
        let text = format!("tarpitted {age} ago for {length}, still sleeping");
        (StepResult::Sleeping, text)
    } else {
        let text = format!("tarpitted {age} ago for {length}, and not survived");
        (StepResult::HungUp, text)
    }
}

fn triplet_step(record: Triplet, now: Timestamp) -> (StepResult, String) {
    match record {
        Triplet::Waiting {
            first,
            retries,
            counted: after,
            ..
        } => {
            let text = format!(
                "first seen {} ago; {} before the delay was over, {after} after it",
                now.since(first),
                counted(retries.into(), "retry", "retries")
            );
            (StepResult::Waiting, text)
        }
        Triplet::Passed { last, mails, .. } => {
            let text = format!(
                "passed; {} so far, last seen {} ago",
                counted(mails.into(), "mail", "mails"),
                now.since(last)
            );
            (StepResult::Passed, text)
        }
    }
}

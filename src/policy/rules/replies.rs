//! The replies for outcomes, in the words of the options, or of the rule that decides.

use std::borrow::Cow;

use super::Ruleset;
use crate::policy::access::AccessResult;
use crate::policy::chain::{self, Refusal, TokenValues, Treatment};
use crate::policy::{
    Attempt, Because, EntryRef, Evidence, MessageAttempt, Outcome, SpamScore, Verdict,
};
use crate::types::{
    Action, ClientIp, ListName, Reason, Reply, ReplyText, SmtpCode, Span, Timestamp,
};

/// The codes of a deferral with a code of its own, unless the rule has others (milter-greylist).
const DEFERRED: (u16, &str) = (451, "4.7.1");

/// The codes that `stat` has for those that pass, of whom it shows none, and for those that are refused.
const ACCEPTED: (u16, &str) = (250, "");
const REFUSED: (u16, &str) = (551, "5.7.1");

impl Ruleset {
    /// The reply for an outcome that no table and no DNS list has replied to.
    pub fn reply(&self, attempt: &Attempt<'_>, outcome: &Outcome, now: Timestamp) -> Reply {
        if let (Reason::RuleReject, Because::Entry(entry)) = (outcome.reason, outcome.because) {
            return self.refusal((attempt, None), entry, now);
        }
        self.reply_to_deferred((attempt, None), outcome, now)
    }

    /// Whether the rules want a header field about greylisting where this is decided.
    #[must_use]
    pub fn writes_report(&self, verdict: Verdict) -> bool {
        let report = self.lists.chain.about_messages().report;
        report.is_none_or(|report| report.covers(verdict.has_waited()))
    }

    /// The reply to a message that this rule refuses.
    pub fn message_refusal(
        &self,
        about: &MessageAttempt<'_>,
        evidence: &Evidence,
        rule: EntryRef,
        now: Timestamp,
    ) -> Reply {
        let attempt = about.as_one();
        self.refusal((&attempt, evidence.score()), rule, now)
    }

    /// The reply to a message of which one recipient has to wait, as this outcome says.
    pub fn message_deferral(
        &self,
        about: &MessageAttempt<'_>,
        evidence: &Evidence,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Reply {
        let attempt = about.as_one();
        self.reply_to_deferred((&attempt, evidence.score()), outcome, now)
    }

    /// The reply for an outcome of the records.
    fn reply_to_deferred(
        &self,
        (attempt, score): (&Attempt<'_>, Option<&SpamScore>),
        outcome: &Outcome,
        now: Timestamp,
    ) -> Reply {
        if let Verdict::Defer { remaining } = outcome.verdict
            && let Some(treatment) = self.treatment(outcome.suspicion)
        {
            let delay = treatment.terms.delay.unwrap_or(self.params.delay);
            let remaining = remaining.try_again_in(delay);
            let about = (attempt, score);
            let deferral = self.deferral(about, (outcome, treatment), remaining, now);
            if let Some(reply) = deferral {
                return reply;
            }
        }
        if outcome.verdict.has_waited() && !self.writes_report(outcome.verdict) {
            return Reply::Continue;
        }
        let recipient = attempt.recipient.unwrap_or_default();
        self.texts
            .reply(outcome.verdict, recipient, now, self.params.delay)
    }

    /// The reply to a request that is repeated. A table is searched again; it may be another one now.
    pub fn repeated_reply(
        &self,
        attempt: &Attempt<'_>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Reply {
        if outcome.reason == Reason::RuleReject {
            return self.reply(attempt, outcome, now);
        }
        let client = (attempt.client_name, attempt.client_address);
        if let (Verdict::Reply(_), (Some(name), Some(address))) = (outcome.verdict, client) {
            let found = self.lists.access.find(name, address);
            return match found {
                Some(found) if matches!(found.result, AccessResult::Reply(_)) => {
                    Reply::Access(ReplyText::new(found.text()))
                }
                Some(_) | None => Reply::Continue,
            };
        }
        self.reply(attempt, outcome, now)
    }

    /// The reply to an attempt that this rule refuses.
    fn refusal(
        &self,
        (attempt, score): (&Attempt<'_>, Option<&SpamScore>),
        rule: EntryRef,
        now: Timestamp,
    ) -> Reply {
        let Some(chain::Action::Refuse(refusal)) = self.lists.chain.action(rule.number) else {
            return Reply::Continue;
        };
        let Refusal {
            code,
            enhanced_code,
            text,
        } = refusal;
        let values = TokenValues {
            code: Some(*code),
            enhanced_code,
            score: score.map(|score| score.score),
            ..self.token_values(attempt, Some(rule), now)
        };
        let code = SmtpCode {
            number: *code,
            enhanced: Cow::Owned(enhanced_code.to_string()),
        };
        Reply::Code(code, values.reply_text(text))
    }

    /// The reply to an attempt that is deferred as a rule says; `None` if the rule says nothing about it.
    fn deferral(
        &self,
        (attempt, score): (&Attempt<'_>, Option<&SpamScore>),
        (outcome, treatment): (&Outcome, &Treatment),
        remaining: Span,
        now: Timestamp,
    ) -> Option<Reply> {
        let has_code = treatment.code.is_some() || treatment.enhanced_code.is_some();
        if treatment.text.is_none() && !has_code {
            return None;
        }
        let waits = outcome
            .changes
            .triplet
            .map(|triplet| now.since(triplet.first()));
        let rule = outcome.rule().map(EntryRef::of_rule);
        let (code, enhanced_code) = DEFERRED;
        let code = treatment.code.unwrap_or(code);
        let enhanced_code = treatment.enhanced_code.as_deref().unwrap_or(enhanced_code);
        let values = TokenValues {
            code: Some(code),
            enhanced_code,
            elapsed: waits.unwrap_or_default(),
            remaining,
            score: score.map(|score| score.score),
            ..self.token_values(attempt, rule, now)
        };
        let text = if let Some(format) = &treatment.text {
            values.reply_text(format)
        } else {
            let recipient = attempt.recipient.unwrap_or_default();
            self.texts.deferral(remaining, recipient)
        };
        Some(if has_code {
            let code = SmtpCode {
                number: code,
                enhanced: Cow::Owned(enhanced_code.to_owned()),
            };
            Reply::Code(code, text)
        } else {
            Reply::Greylist {
                text,
                has_code: false,
            }
        })
    }

    /// The lines that access lists have the log get about a decision and its reply; the score is in thousandths.
    pub fn statistics(
        &self,
        attempt: &Attempt<'_>,
        (outcome, reply): (&Outcome, &Reply),
        (now, score): (Timestamp, Option<i64>),
    ) -> Vec<ReplyText> {
        let lines = self.lists.chain.statistics();
        if lines.is_empty() {
            return Vec::new();
        }
        let rule = match outcome.because {
            Because::Entry(entry) if entry.list == ListName::GreylistConf => Some(entry),
            Because::Entry(_)
            | Because::Request
            | Because::MissingAttribute(_)
            | Because::Client
            | Because::Triplet
            | Because::Sleep
            | Because::Store
            | Because::Shared(_) => outcome.rule().map(EntryRef::of_rule),
        };
        let (code, enhanced_code) = self.codes(outcome, rule);
        let code = reply.code().unwrap_or(code);
        let enhanced_code = match reply {
            Reply::Code(own, _) => &own.enhanced,
            Reply::Continue
            | Reply::AddHeader(_)
            | Reply::Greylist { .. }
            | Reply::Unavailable(_)
            | Reply::Sleep { .. }
            | Reply::Access(_) => enhanced_code,
        };
        let waits = outcome
            .changes
            .triplet
            .filter(|triplet| !triplet.is_passed());
        let waits = waits.map(|triplet| now.since(triplet.first()));
        let remaining = outcome.verdict.remaining();
        let values = TokenValues {
            code: Some(code),
            enhanced_code,
            text: reply.text(),
            elapsed: outcome.waited.or(waits).unwrap_or_default(),
            remaining: remaining.map_or(Span::ZERO, |left| left.try_again_in(self.params.delay)),
            tarpit: outcome.verdict.sleep().unwrap_or_default(),
            score,
            ..self.token_values(attempt, rule, now)
        };
        let lines = lines.iter().map(|format| values.reply_text(format));
        lines.collect()
    }

    /// The codes of the reply to an attempt.
    fn codes(&self, outcome: &Outcome, rule: Option<EntryRef>) -> (u16, &str) {
        let action = rule.and_then(|rule| self.lists.chain.action(rule.number));
        match (outcome.verdict.action(), action) {
            (Action::Pass, _) => ACCEPTED,
            (Action::Reject, Some(chain::Action::Refuse(refusal))) => {
                (refusal.code, &refusal.enhanced_code)
            }
            (Action::Reject, _) => REFUSED,
            (Action::Greylist | Action::Tarpit | Action::Defer, _) => {
                let (code, enhanced_code) = DEFERRED;
                let treatment = self.treatment(outcome.suspicion);
                let code = treatment
                    .and_then(|treatment| treatment.code)
                    .unwrap_or(code);
                let own = treatment.and_then(|treatment| treatment.enhanced_code.as_deref());
                (code, own.unwrap_or(enhanced_code))
            }
        }
    }

    /// What tokens stand for, whatever the outcome.
    fn token_values<'a>(
        &'a self,
        attempt: &Attempt<'a>,
        rule: Option<EntryRef>,
        now: Timestamp,
    ) -> TokenValues<'a> {
        let rule = rule.and_then(|rule| self.lists.chain.name(rule.number));
        TokenValues {
            client: attempt.client_address.and_then(ClientIp::parse),
            client_name: attempt.client_name.unwrap_or_default(),
            helo: attempt.helo_name.unwrap_or_default(),
            sender: attempt.sender.unwrap_or_default(),
            recipient: attempt.recipient.unwrap_or_default(),
            queue_id: attempt.queue_id.unwrap_or_default(),
            macros: attempt.macros,
            user: attempt.user.unwrap_or_default(),
            now: Some((now, self.texts.zone())),
            host: self.texts.host(),
            local_address: self.lists.chain.about_messages().local_address,
            rule,
            current: rule,
            ..TokenValues::default()
        }
    }
}

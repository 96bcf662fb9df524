//! The log record of a decision.
//!
//! # The line
//!
//! ```text
//! [QUEUEID: ]action=ACTION, reason=REASON[, delay=N][, client_name=…][, client_address=…]
//!     [, sender=…][, recipient=…][, s25r=RULE][, dnsbl=WEIGHT][, entry=FILE:LINE][, dnsbl_silent=N][, spf=RESULT]
//!     [, host=NAME][, tarpit=SECONDS|WHY NOT][, recipients=N][, score=POINTS][, fate=held|discarded]
//! ```
//!
//! Up to the recipient, the line is Postgrey's, so that tools that read its log work; additional fields follow. Empty
//! fields are omitted. White space and commas inside a value are escaped, so that an address cannot look like another
//! field. The journal has the same as structured fields ([`FIELDS`]), and the entry that decided or made the client
//! suspicious.

use std::fmt::Write;
use std::path::Path;

use log::{Level, Record};

use super::message::end;
use super::stats::MessageEnd;
use super::{Decision, MessageDecision};
use crate::policy::spam::tenths;
use crate::policy::{
    Attempt, Because, Outcome, Reason, Remaining, Stage, Suspicion, Tarpitting, Verdict,
};
use crate::types::{ListName, Printable, Unbroken};

/// The journal fields of a decision.
pub const FIELDS: &[&str] = &[
    "STARGREY_ACTION",
    "STARGREY_REASON",
    "STARGREY_DELAY",
    "STARGREY_MISSING",
    "STARGREY_RETRIES_MISSING",
    "STARGREY_S25R",
    "STARGREY_DNSBL",
    "STARGREY_DNSBL_SILENT",
    "STARGREY_SPF",
    "STARGREY_HOST",
    "STARGREY_TARPIT",
    "STARGREY_CLIENT_NAME",
    "STARGREY_CLIENT_ADDRESS",
    "STARGREY_SENDER",
    "STARGREY_RECIPIENT",
    "STARGREY_INSTANCE",
    "STARGREY_QUEUE_ID",
    "STARGREY_BECAUSE",
    "STARGREY_STAT",
    "STARGREY_RECIPIENTS",
    "STARGREY_SCORE",
    "STARGREY_FATE",
];

/// The target of decision records.
const TARGET: &str = "stargrey::decision";

/// What is logged of a message besides its decision, at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfMessage {
    /// How many recipients it has.
    recipients: usize,
    /// Its score in points, with one decimal.
    score: Option<String>,
    /// What becomes of it instead of being delivered, if it is accepted.
    fate: Option<&'static str>,
}

impl OfMessage {
    /// Names in the line, fields and values, in the order of the line.
    fn shown(&self) -> impl Iterator<Item = (&'static str, &'static str, String)> {
        let Self {
            recipients,
            score,
            fate,
        } = self;
        let score = score.clone();
        let fate = fate.map(str::to_owned);
        [
            (
                "recipients",
                "STARGREY_RECIPIENTS",
                Some(recipients.to_string()),
            ),
            ("score", "STARGREY_SCORE", score),
            ("fate", "STARGREY_FATE", fate),
        ]
        .into_iter()
        .filter_map(|(name, field, value)| Some((name, field, value?)))
    }
}

/// Logs a decision; a repeated request only at debug level. Without `each`, and if a rule says so, only a client that
/// becomes auto-whitelisted is logged.
pub fn record(attempt: &Attempt<'_>, decision: &Decision, each: bool) {
    record_with(attempt, (decision, None), each);
}

fn record_with(
    attempt: &Attempt<'_>,
    (decision, message): (&Decision, Option<&OfMessage>),
    each: bool,
) {
    let each = each && !decision.is_unlogged;
    let level = if decision.is_repeat {
        Level::Debug
    } else {
        Level::Info
    };
    if each && log::log_enabled!(target: TARGET, level) {
        let mut line = line(attempt, decision);
        let mut fields = fields(attempt, decision);
        for (name, field, value) in message.into_iter().flat_map(OfMessage::shown) {
            line.extend([", ", name, "=", &value]);
            fields.push((field, value));
        }
        log::logger().log(
            &Record::builder()
                .level(level)
                .target(TARGET)
                .key_values(&fields.as_slice())
                .args(format_args!("{line}"))
                .build(),
        );
    }
    let is_counted = !decision.is_repeat && !decision.is_unlogged;
    if is_counted && attempt.stage == Stage::Recipient {
        record_statistics(attempt, decision, None);
    }
    if decision.outcome.whitelisted {
        let how = match attempt.stage {
            Stage::Data => "tarpit whitelisted",
            Stage::Recipient | Stage::Other => "whitelisted",
        };
        log::info!(
            "{how}: {}[{}]",
            Unbroken(attempt.client_name.unwrap_or_default()),
            Unbroken(attempt.client_address.unwrap_or_default())
        );
    }
}

/// Logs the lines that access lists want about a decision; the score is in thousandths.
fn record_statistics(attempt: &Attempt<'_>, decision: &Decision, score: Option<i64>) {
    let decided = (&decision.outcome, &decision.reply);
    let when = (decision.now, score);
    for line in decision.rules.statistics(attempt, decided, when) {
        log::logger().log(
            &Record::builder()
                .level(Level::Info)
                .target(TARGET)
                .key_values(&[("STARGREY_STAT", line.as_str())].as_slice())
                .args(format_args!("{line}"))
                .build(),
        );
    }
}

/// Logs a decision about a message, unless it is delivered as its recipients have passed and has no score. Its recipient is
/// named if it has only one.
pub fn record_message(
    attempt: &Attempt<'_>,
    recipients: &[&[u8]],
    judged: &MessageDecision,
    each: bool,
) {
    let decision = &judged.decision;
    let is_nothing = matches!(
        decision.outcome.reason,
        Reason::NotSuspicious | Reason::Paused
    ) && decision.outcome.verdict == Verdict::Pass;
    let end = end(&decision.outcome, &judged.fate);
    let fate = matches!(end, MessageEnd::Discarded | MessageEnd::Held).then(|| end.word());
    if is_nothing && judged.score.is_none() && fate.is_none() {
        return;
    }
    if matches!(end, MessageEnd::Refused | MessageEnd::Greylisted) && !decision.is_unlogged {
        for recipient in recipients {
            let attempt = Attempt {
                recipient: Some(recipient),
                ..*attempt
            };
            let score = judged.score.as_ref().map(|score| score.score);
            record_statistics(&attempt, decision, score);
        }
    }
    let recipient = match recipients {
        [recipient] => Some(*recipient),
        _ => None,
    };
    let attempt = Attempt {
        recipient,
        ..*attempt
    };
    let message = OfMessage {
        recipients: recipients.len(),
        score: judged.score.as_ref().map(|score| tenths(score.score)),
        fate,
    };
    record_with(&attempt, (decision, Some(&message)), each);
}

/// The attributes of the line and the fields, in the order of the line.
fn shown<'a>(attempt: &Attempt<'a>) -> [(&'static str, &'static str, &'a [u8]); 4] {
    let shown = |attribute: Option<&'a [u8]>| attribute.unwrap_or_default();
    [
        (
            "client_name",
            "STARGREY_CLIENT_NAME",
            shown(attempt.client_name),
        ),
        (
            "client_address",
            "STARGREY_CLIENT_ADDRESS",
            shown(attempt.client_address),
        ),
        ("sender", "STARGREY_SENDER", shown(attempt.sender)),
        ("recipient", "STARGREY_RECIPIENT", shown(attempt.recipient)),
    ]
}

/// The line.
#[must_use]
pub fn line(attempt: &Attempt<'_>, decision: &Decision) -> String {
    let mut line = String::with_capacity(200);
    if let Err(error) = write_line(&mut line, attempt, decision) {
        log::debug!("{error}, ignoring");
    }
    line
}

fn write_line(line: &mut String, attempt: &Attempt<'_>, decision: &Decision) -> std::fmt::Result {
    let outcome = &decision.outcome;
    if let Some(queue_id) = attempt.queue_id.filter(|id| !id.is_empty()) {
        write!(line, "{}: ", Unbroken(queue_id))?;
    }
    write!(
        line,
        "action={}, reason={}",
        outcome.verdict.action().word(),
        outcome.reason.text().log_text
    )?;
    match (outcome.reason, outcome.verdict.remaining(), outcome.because) {
        (Reason::EarlyRetry, Some(Remaining::Time(time)), _) => {
            write!(line, " ({}s missing)", time.seconds())?;
        }
        (Reason::EarlyRetry, Some(Remaining::Retries(1)), _) => line.push_str(" (1 retry missing)"),
        (Reason::EarlyRetry, Some(Remaining::Retries(retries)), _) => {
            write!(line, " ({retries} retries missing)")?;
        }
        (Reason::EarlyData, ..) => write!(line, " ({}s missing)", outcome.left.seconds())?,
        (Reason::AttributeMissing, _, Because::MissingAttribute(name)) => write!(line, ": {name}")?,
        _ => {}
    }
    if let Some(waited) = outcome.waited {
        write!(line, ", delay={}", waited.seconds())?;
    }
    for (name, _, value) in shown(attempt) {
        if !value.is_empty() {
            write!(line, ", {name}={}", Unbroken(value))?;
        }
    }
    match outcome.suspicion {
        Some(Suspicion::S25r(rule)) => write!(line, ", s25r={rule}")?,
        Some(Suspicion::DnsLists(weight)) => write!(line, ", dnsbl={weight}")?,
        Some(Suspicion::Entry(_) | Suspicion::Message(..)) | None => {}
    }
    if let Some((file, entry_line)) = place(decision) {
        let file = file.as_os_str().as_encoded_bytes();
        write!(line, ", entry={}:{entry_line}", Unbroken(file))?;
    }
    if decision.silent_lists > 0 {
        write!(line, ", dnsbl_silent={}", decision.silent_lists)?;
    }
    if let Some(spf) = decision.spf {
        write!(line, ", spf={}", spf.word())?;
    }
    if let Some(host) = &decision.host {
        write!(line, ", host={}", Unbroken(host.as_bytes()))?;
    }
    if let Some(tarpit) = tarpit(outcome) {
        write!(line, ", tarpit={tarpit}")?;
    }
    Ok(())
}

/// Where the entry of a table or of greylist.conf is that decided, or that made the client suspicious. Entries of the
/// whitelists have reasons that say as much.
fn place(decision: &Decision) -> Option<(&Path, u32)> {
    let entry = decision.outcome.entry()?;
    match entry.list {
        ListName::ClientAccess
        | ListName::GreylistConf
        | ListName::HeaderChecks
        | ListName::BodyChecks => {}
        ListName::Client
        | ListName::Recipient
        | ListName::Sender
        | ListName::S25rException
        | ListName::GreylistRecipient => return None,
    }
    let entry = decision.rules.entry(entry)?;
    Some((entry.place()?.0, entry.line()?))
}

/// The length of the sleep, or why there was none.
fn tarpit(outcome: &Outcome) -> Option<String> {
    match (outcome.verdict, outcome.tarpitting) {
        (Verdict::Tarpit { length, .. }, _) => Some(length.seconds().to_string()),
        (_, Tarpitting::HungUp) => Some("hung-up".to_owned()),
        (_, Tarpitting::Stress) => Some("stress".to_owned()),
        (_, Tarpitting::Limit) => Some("limit".to_owned()),
        (_, Tarpitting::None | Tarpitting::Ordered | Tarpitting::Done) => None,
    }
}

/// The fields.
fn fields(attempt: &Attempt<'_>, decision: &Decision) -> Vec<(&'static str, String)> {
    let outcome = &decision.outcome;
    let mut fields = vec![
        (
            "STARGREY_ACTION",
            outcome.verdict.action().word().to_owned(),
        ),
        ("STARGREY_REASON", outcome.reason.word().to_owned()),
    ];
    if let Some(waited) = outcome.waited {
        fields.push(("STARGREY_DELAY", waited.seconds().to_string()));
    }
    match outcome.verdict.remaining() {
        Some(Remaining::Time(time)) => {
            fields.push(("STARGREY_MISSING", time.seconds().to_string()));
        }
        Some(Remaining::Retries(retries)) => {
            fields.push(("STARGREY_RETRIES_MISSING", retries.to_string()));
        }
        None => {}
    }
    match outcome.suspicion {
        Some(Suspicion::S25r(rule)) => fields.push(("STARGREY_S25R", rule.to_string())),
        Some(Suspicion::DnsLists(weight)) => fields.push(("STARGREY_DNSBL", weight.to_string())),
        Some(Suspicion::Entry(_) | Suspicion::Message(..)) | None => {}
    }
    if decision.silent_lists > 0 {
        fields.push(("STARGREY_DNSBL_SILENT", decision.silent_lists.to_string()));
    }
    if let Some(spf) = decision.spf {
        fields.push(("STARGREY_SPF", spf.word().to_owned()));
    }
    if let Some(host) = &decision.host {
        fields.push(("STARGREY_HOST", Printable(host.as_bytes()).to_string()));
    }
    if let Some(tarpit) = tarpit(outcome) {
        fields.push(("STARGREY_TARPIT", tarpit));
    }
    let ids = [
        (
            "",
            "STARGREY_INSTANCE",
            attempt.instance.unwrap_or_default(),
        ),
        (
            "",
            "STARGREY_QUEUE_ID",
            attempt.queue_id.unwrap_or_default(),
        ),
    ];
    for (_, field, value) in shown(attempt).into_iter().chain(ids) {
        if !value.is_empty() {
            fields.push((field, Printable(value).to_string()));
        }
    }
    let entry = outcome.entry();
    let entry = entry.and_then(|entry| decision.rules.entry(entry));
    if let Some(entry) = entry {
        fields.push(("STARGREY_BECAUSE", entry.to_string()));
    }
    fields
}

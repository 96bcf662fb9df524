//! The one record of a decision.
//!
//! # The line
//!
//! ```text
//! [QUEUEID: ]action=ACTION, reason=REASON[, delay=N][, client_name=…][, client_address=…][, sender=…][, recipient=…]
//! ```
//!
//! It is Postgrey's, so that tools that read its log go on working; what is empty is left out. In the journal
//! the same stands in fields of its own ([`FIELDS`]), and the list entry that decided with them.

use std::fmt::Write;

use log::{Level, Record};

use super::Decision;
use crate::policy::{Because, Reason, Transaction, Verdict};
use crate::types::Printable;

/// The journal fields of a decision.
pub const FIELDS: &[&str] = &[
    "STARGREY_ACTION",
    "STARGREY_REASON",
    "STARGREY_DELAY",
    "STARGREY_MISSING",
    "STARGREY_CLIENT_NAME",
    "STARGREY_CLIENT_ADDRESS",
    "STARGREY_SENDER",
    "STARGREY_RECIPIENT",
    "STARGREY_INSTANCE",
    "STARGREY_QUEUE_ID",
    "STARGREY_BECAUSE",
];

/// The target of decision records.
const TARGET: &str = "stargrey::decision";

/// Logs a decision; a repeat is told only to those who want to hear everything. Without `each` only the
/// client that is whitelisted from now on is worth a line.
pub fn record(tx: &Transaction<'_>, decision: &Decision, each: bool) {
    let level = if decision.is_repeat {
        Level::Debug
    } else {
        Level::Info
    };
    if each && log::log_enabled!(target: TARGET, level) {
        let line = line(tx, decision);
        let fields = fields(tx, decision);
        log::logger().log(
            &Record::builder()
                .level(level)
                .target(TARGET)
                .key_values(&fields.as_slice())
                .args(format_args!("{line}"))
                .build(),
        );
    }
    if decision.outcome.whitelisted {
        log::info!(
            "whitelisted: {}[{}]",
            Printable(tx.client_name.unwrap_or_default()),
            Printable(tx.client_address.unwrap_or_default())
        );
    }
}

/// The attributes that line and fields show, in the line's order.
fn shown<'a>(tx: &Transaction<'a>) -> [(&'static str, &'static str, &'a [u8]); 4] {
    let shown = |attribute: Option<&'a [u8]>| attribute.unwrap_or_default();
    [
        ("client_name", "STARGREY_CLIENT_NAME", shown(tx.client_name)),
        (
            "client_address",
            "STARGREY_CLIENT_ADDRESS",
            shown(tx.client_address),
        ),
        ("sender", "STARGREY_SENDER", shown(tx.sender)),
        ("recipient", "STARGREY_RECIPIENT", shown(tx.recipient)),
    ]
}

/// The line.
fn line(tx: &Transaction<'_>, decision: &Decision) -> String {
    let mut line = String::with_capacity(200);
    if let Err(error) = write_line(&mut line, tx, decision) {
        log::debug!("{error}, ignoring");
    }
    line
}

fn write_line(line: &mut String, tx: &Transaction<'_>, decision: &Decision) -> std::fmt::Result {
    let outcome = &decision.outcome;
    if let Some(queue_id) = tx.queue_id.filter(|id| !id.is_empty()) {
        write!(line, "{}: ", Printable(queue_id))?;
    }
    write!(
        line,
        "action={}, reason={}",
        outcome.verdict.word(),
        outcome.reason.log_text()
    )?;
    match (outcome.reason, outcome.verdict, outcome.because) {
        (Reason::EarlyRetry, Verdict::Defer { wait }, _) => {
            write!(line, " ({}s missing)", wait.seconds())?;
        }
        (Reason::AttributeMissing, _, Because::Missing(name)) => write!(line, ": {name}")?,
        _ => {}
    }
    if let Some(waited) = outcome.waited {
        write!(line, ", delay={}", waited.seconds())?;
    }
    for (name, _, value) in shown(tx) {
        if !value.is_empty() {
            write!(line, ", {name}={}", Printable(value))?;
        }
    }
    Ok(())
}

/// The fields.
fn fields(tx: &Transaction<'_>, decision: &Decision) -> Vec<(&'static str, String)> {
    let outcome = &decision.outcome;
    let mut fields = vec![
        ("STARGREY_ACTION", outcome.verdict.word().to_owned()),
        ("STARGREY_REASON", outcome.reason.word().to_owned()),
    ];
    if let Some(waited) = outcome.waited {
        fields.push(("STARGREY_DELAY", waited.seconds().to_string()));
    }
    if let Verdict::Defer { wait } = outcome.verdict {
        fields.push(("STARGREY_MISSING", wait.seconds().to_string()));
    }
    let ids = [
        ("", "STARGREY_INSTANCE", tx.instance.unwrap_or_default()),
        ("", "STARGREY_QUEUE_ID", tx.queue_id.unwrap_or_default()),
    ];
    for (_, field, value) in shown(tx).into_iter().chain(ids) {
        if !value.is_empty() {
            fields.push((field, Printable(value).to_string()));
        }
    }
    if let Because::Entry(list, number) = outcome.because
        && let Some(entry) = decision.rules.entry(list, number)
    {
        let place = format!("{}:{}: {}", entry.file.display(), entry.line, entry.text);
        fields.push(("STARGREY_BECAUSE", place));
    }
    fields
}

//! What tables want done with a message, at its end: their hits, their lines in the log.

use crate::policy::checks::{Findings, Settlement};
use crate::policy::{
    Attempt, Because, Cause, EntryRef, Outcome, Reason, Ruleset, Severity, Step, Trace, Verdict,
};
use crate::types::{ListName, SmtpCode, Timestamp, Unbroken};

/// Notes the entries that do something, and where none does.
pub(super) fn note_steps(rules: &Ruleset, findings: &Findings, trace: &mut impl Trace) {
    let checks = &rules.lists.checks;
    let notes = findings.notes.iter().map(|note| note.entry);
    let edits = findings.edits.iter().map(|(_, entry)| *entry);
    let settled = findings.settled.iter().map(|(_, entry)| *entry);
    let mut entries: Vec<EntryRef> = notes
        .chain(edits)
        .chain(findings.greylists)
        .chain(settled)
        .collect();
    entries.sort_by_key(|entry| entry.number);
    entries.dedup();
    let lists = [
        (ListName::HeaderChecks, &checks.header),
        (ListName::BodyChecks, &checks.body),
    ];
    for (list, _) in lists.into_iter().filter(|(_, tables)| !tables.is_empty()) {
        let mut of_list = entries.iter().filter(|entry| entry.list == list).peekable();
        if of_list.peek().is_none() {
            trace.note(Step::List(list, None));
        }
        for entry in of_list {
            trace.note(Step::List(list, Some(*entry)));
        }
    }
}

/// The outcome for a message to which a table replies.
pub(super) const fn replied(code: &SmtpCode, entry: EntryRef) -> Outcome {
    let severity = if code.number < 500 {
        Severity::Defer
    } else {
        Severity::Reject
    };
    let because = Because::Entry(entry);
    Outcome::new(Verdict::Reply(severity), Reason::MessageReply, because)
}

/// Counts the hits of tables, and logs what they want logged.
pub(super) fn note_findings(
    rules: &Ruleset,
    findings: &Findings,
    attempt: &Attempt<'_>,
    now: Timestamp,
) {
    for note in &findings.notes {
        note_hit(rules, note.entry, now);
        let text = format!("{}: {}", note.seen, note.text);
        log_entry(rules, (note.level.word(), &text, note.entry), attempt);
    }
    for (_, entry) in &findings.edits {
        note_hit(rules, *entry, now);
    }
    if let Some((settlement, entry)) = &findings.settled {
        let logged = match settlement {
            Settlement::Discard(text) => Some(("discard", text)),
            Settlement::Hold(text) => Some(("hold", text)),
            Settlement::Reply(..) => None,
        };
        if let Some((word, text)) = logged {
            note_hit(rules, *entry, now);
            log_entry(rules, (word, text.as_str(), *entry), attempt);
        }
    }
}

/// Counts a hit of an entry.
pub(super) fn note_hit(rules: &Ruleset, entry: EntryRef, now: Timestamp) {
    if let Some(entry) = rules.entry(entry) {
        entry.hits.note(now);
    }
}

/// Logs what an entry of a table has to say about a message.
fn log_entry(rules: &Ruleset, (word, text, entry): (&str, &str, EntryRef), attempt: &Attempt<'_>) {
    let place = rules.entry(entry).map(ToString::to_string);
    let part = |bytes: Option<&[u8]>| Unbroken(bytes.unwrap_or_default()).to_string();
    let (id, client) = (part(attempt.queue_id), part(attempt.client_address));
    let id = if id.is_empty() { id } else { format!("{id}: ") };
    log::info!(
        "{id}{word}: {text}, entry={}, client_address={client}, sender={}",
        place.unwrap_or_default(),
        part(attempt.sender)
    );
}

/// The cause of those that a table makes wait.
pub(super) const fn cause(entry: EntryRef) -> Cause {
    match entry.list {
        ListName::BodyChecks => Cause::Body,
        ListName::HeaderChecks
        | ListName::Client
        | ListName::Recipient
        | ListName::Sender
        | ListName::S25rException
        | ListName::GreylistRecipient
        | ListName::ClientAccess
        | ListName::GreylistConf => Cause::Header,
    }
}

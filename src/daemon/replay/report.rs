//! What a replay shows: the log, what was not judged, what is assumed, and the effect of each set of options in a column.

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::tz::TimeZone;

use super::mails::{Fate, Log};
use super::trial::{Deferred, Effect};
use crate::types::{Printable, Span, Timestamp, counted};

/// Most names of clients that are shown.
const MOST_NAMES: usize = 10;

/// A set of options and what it would have done.
#[derive(Debug)]
pub(super) struct Column {
    /// The options, as they were given.
    pub(super) options: String,
    /// The effect.
    pub(super) effect: Effect,
    /// What a log cannot answer, in a sentence each.
    pub(super) unjudged: Vec<String>,
    /// Whether DNS was queried.
    pub(super) is_asked: bool,
}

/// The whole report.
pub(super) fn text(
    name: &str,
    log: &Log,
    columns: &[Column],
    retry: Span,
    zone: &TimeZone,
) -> String {
    let mut out = String::new();
    let written = write(&mut out, (name, log), columns, retry, zone);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    out
}

fn write(
    out: &mut String,
    (name, log): (&str, &Log),
    columns: &[Column],
    retry: Span,
    zone: &TimeZone,
) -> std::fmt::Result {
    heading(out, name, log, zone)?;
    let unjudged: BTreeSet<&String> = columns.iter().flat_map(|column| &column.unjudged).collect();
    if !unjudged.is_empty() {
        let rules = counted(unjudged.len() as u64, "rule was", "rules were");
        writeln!(out, "{rules} not judged:")?;
        for rule in unjudged {
            writeln!(out, "  {rule}")?;
        }
    }
    if columns.iter().any(|column| column.is_asked) {
        let today = "DNS was queried: lists and SPF records are as they are today.";
        writeln!(out, "{today}")?;
    }
    assumption(out, columns, retry)?;
    writeln!(out)?;
    if let [_, _, ..] = columns {
        for (number, column) in (1..).zip(columns) {
            writeln!(out, "{number}: {}", column.options)?;
        }
        writeln!(out)?;
    }
    table(out, columns)?;
    names(out, columns)
}

/// The log.
fn heading(out: &mut String, name: &str, log: &Log, zone: &TimeZone) -> std::fmt::Result {
    let time = |time: Timestamp| {
        let zoned = time.zoned(zone);
        zoned.map_or_else(String::new, |zoned| zoned.strftime("%F %T").to_string())
    };
    write!(out, "Log: {name}, {}", counted(log.lines, "line", "lines"))?;
    if let (Some(first), Some(last)) = (log.mails.first(), log.mails.last()) {
        write!(out, ", {} to {}", time(first.time), time(last.time))?;
    }
    writeln!(out)?;
    if log.long_lines > 0 {
        let lines = counted(log.long_lines, "line was", "lines were");
        writeln!(out, "{lines} too long and skipped.")?;
    }
    let of = |fate| log.mails.iter().filter(|mail| mail.fate == fate).count();
    let mails = counted(log.mails.len() as u64, "mail", "mails");
    writeln!(
        out,
        "{mails} from outside: {} delivered, {} accepted and not seen to be delivered, {} refused, {} greylisted",
        of(Fate::Delivered),
        of(Fate::Accepted),
        of(Fate::Refused),
        of(Fate::Greylisted)
    )?;
    let skipped = log.skipped;
    writeln!(
        out,
        "Skipped: {} submitted by users, {} from own networks, {} to recipients that Postfix refuses anyway, {} incomplete",
        skipped.submitted, skipped.own, skipped.impossible, skipped.incomplete
    )
}

/// What is assumed, if anything is.
fn assumption(out: &mut String, columns: &[Column], retry: Span) -> std::fmt::Result {
    let assumed = columns.iter().any(|column| column.effect.assumed.all > 0);
    if !assumed {
        return Ok(());
    }
    let retry = match retry.seconds() {
        seconds if seconds % 60 == 0 => counted(seconds / 60, "minute", "minutes"),
        seconds => counted(seconds, "second", "seconds"),
    };
    writeln!(
        out,
        "Assumption: a mail that was accepted, and that would have been deferred, is retried once, {retry} later \
         (--replay-retry)."
    )?;
    for (number, column) in (1..).zip(columns) {
        let early = column.effect.assumed.delivered;
        if early > 0 {
            let mails = counted(early, "mail", "mails");
            let of = of(number, columns);
            writeln!(out, "{mails} would still have been deferred then{of}.")?;
        }
    }
    Ok(())
}

/// Which options a sentence is about, if there are others.
fn of(number: usize, columns: &[Column]) -> String {
    if columns.len() > 1 {
        format!(" with options {number}")
    } else {
        String::new()
    }
}

/// The figures, a column for each set of options.
fn table(out: &mut String, columns: &[Column]) -> std::fmt::Result {
    let rows = rows(columns);
    let label = rows.iter().map(|(label, _)| label.len()).max();
    let label = label.unwrap_or_default();
    if let [_, _, ..] = columns {
        write!(out, "{:label$}", "")?;
        for number in 1..=columns.len() {
            write!(out, "{number:>10}")?;
        }
        writeln!(out)?;
    }
    for (name, values) in rows {
        write!(out, "{name:label$}")?;
        for value in values {
            write!(out, "{value:>10}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The rows of the table.
fn rows(columns: &[Column]) -> Vec<(String, Vec<u64>)> {
    let row = |label: &str, value: &dyn Fn(&Effect) -> u64| {
        let values = columns.iter().map(|column| value(&column.effect));
        (label.to_owned(), values.collect())
    };
    let sum = |effect: &Effect, value: fn(&Deferred) -> u64| {
        let all = effect.deferred.values().map(value);
        all.fold(0, u64::saturating_add)
    };
    let mut rows = vec![
        row("Requests", &|effect| effect.requests),
        row("Unknown triplets deferred", &|effect| effect.strangers),
        row("Mails deferred", &|effect| sum(effect, |mails| mails.all)),
        row("  of these delivered", &|effect| {
            sum(effect, |mails| mails.delivered)
        }),
    ];
    let causes: BTreeSet<_> = columns
        .iter()
        .flat_map(|column| column.effect.deferred.keys().copied())
        .collect();
    for cause in causes {
        let of = |effect: &Effect| effect.deferred.get(&cause).copied().unwrap_or_default();
        let word = cause.word();
        rows.push(row(&format!("Deferred by {word}"), &|effect| {
            of(effect).all
        }));
        rows.push(row("  of these delivered", &|effect| of(effect).delivered));
    }
    if columns.iter().any(|column| column.effect.refused.all > 0) {
        rows.push(row("Mails refused", &|effect| effect.refused.all));
        rows.push(row("  of these delivered", &|effect| {
            effect.refused.delivered
        }));
    }
    rows
}

/// Whose delivered mails would have been deferred.
fn names(out: &mut String, columns: &[Column]) -> std::fmt::Result {
    for (number, column) in (1..).zip(columns) {
        let mut names: Vec<_> = column.effect.names.iter().collect();
        if names.is_empty() {
            continue;
        }
        names.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then(a_name.cmp(b_name)));
        let of = of(number, columns);
        writeln!(
            out,
            "\nClients whose delivered mails would be deferred{of}:"
        )?;
        for (name, count) in names.iter().take(MOST_NAMES) {
            writeln!(out, "{count:>10}  {}", Printable(name))?;
        }
        let more = names.len().saturating_sub(MOST_NAMES);
        if more > 0 {
            writeln!(out, "            and {more} more")?;
        }
    }
    Ok(())
}

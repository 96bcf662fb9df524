//! The report as text: for a terminal of 80 columns, and for a mail.

use super::effect::{bound, grouped, percent};
use super::{MOST_ROWS, Report, delay, rule_name};
use crate::ctl::render::{Cell, Chart, Column, Style, Table, TerminalStyle, wrapped};

/// The text.
#[must_use]
pub fn text(report: &Report, terminal: &TerminalStyle) -> String {
    let mut out = String::new();
    for sentence in report.sentences() {
        out.push_str(&wrapped(&sentence, ""));
    }
    let parts = [
        days(report, terminal),
        senders(report, terminal),
        absent(report, terminal),
        delays(report, terminal),
        rules(report, terminal),
        lists(report, terminal),
        blocked(report, terminal),
        hand(report),
        changes(report),
    ];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        out.push('\n');
        out.push_str(&part);
    }
    out
}

/// The mails that have not come back, for `--never-came-back`.
#[must_use]
pub fn absent_mails(report: &Report, terminal: &TerminalStyle) -> String {
    let columns = [
        Column::left("CLIENT"),
        Column::left("SENDER").shrinking(),
        Column::left("RECIPIENT").shrinking(),
        Column::right("TRIES"),
        Column::left("FIRST SEEN"),
    ];
    let mut table = Table::new(&columns, ("mail", "mails"));
    for row in report.names.iter().flat_map(|names| &names.absent_mails) {
        table.push([
            Cell::new(&row.client),
            shown(&row.sender),
            shown(&row.recipient),
            Cell::from(row.tries),
            Cell::new(report.local(row.first).get(4..).unwrap_or_default()),
        ]);
    }
    table.render(terminal)
}

/// A heading, and what is below it; nothing if there is nothing.
fn part(heading: &str, body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!("{heading}\n{body}")
    }
}

/// An address or a domain; the null sender is visible.
fn shown(address: &str) -> Cell {
    Cell::new(if address.is_empty() { "<>" } else { address })
}

/// How many rows of a table are left out.
fn more(all: usize) -> String {
    match all.saturating_sub(MOST_ROWS) {
        0 => String::new(),
        left => format!("and {left} more: --json has all\n"),
    }
}

fn days(report: &Report, terminal: &TerminalStyle) -> String {
    if report.days.len() < 2 {
        return String::new();
    }
    let mut chart = Chart::new()
        .with_series("came back", Style::Good)
        .with_series("never came back", Style::Bad)
        .with_series("can still come back", Style::Dim);
    for day in &report.days {
        let effect = &day.effect;
        let label = if day.changes.is_empty() {
            day.label.clone()
        } else {
            format!("{} *", day.label)
        };
        chart.push(
            label,
            [
                ("came back", effect.came_back),
                ("never came back", effect.never),
                ("can still come back", effect.waiting),
            ],
        );
    }
    part(
        "Strangers by day (* something changed):",
        &chart.render(terminal),
    )
}

fn senders(report: &Report, terminal: &TerminalStyle) -> String {
    let Some(names) = &report.names else {
        return String::new();
    };
    let columns = [
        Column::right("MAILS"),
        Column::right("MEDIAN"),
        Column::right("LONGEST"),
        Column::left("SENDER DOMAIN").shrinking(),
        Column::left("POOL"),
    ];
    let mut table = Table::new(&columns, ("sender domain", "sender domains"));
    let mut commands = String::new();
    for row in names.came_back.iter().take(MOST_ROWS) {
        let pool = if row.is_pool {
            format!("{} networks", row.clients)
        } else {
            String::new()
        };
        table.push([
            Cell::new(grouped(row.mails)),
            Cell::new(delay(row.median)),
            Cell::new(delay(row.longest)),
            shown(&row.domain),
            Cell::new(pool),
        ]);
        if let Some(allow) = &row.allow {
            let line = format!("  {allow}\n");
            if !commands.contains(&line) {
                commands.push_str(&line);
            }
        }
    }
    let table = without_count(&table, terminal, names.came_back.len());
    let mut out = part("Mail that had to wait and came back, worst first:", &table);
    out.push_str(&part(
        "To let it pass at once, in the same order:",
        &commands,
    ));
    out
}

fn absent(report: &Report, terminal: &TerminalStyle) -> String {
    let Some(names) = &report.names else {
        return String::new();
    };
    let columns = [
        Column::right("MAILS"),
        Column::right("TRIES"),
        Column::left("CLIENT"),
        Column::left("LAST NAME").shrinking(),
        Column::left("CHECK").minor(),
    ];
    let mut table = Table::new(&columns, ("client", "clients"));
    for row in names.absent.iter().take(MOST_ROWS) {
        let causes: Vec<String> = row.causes.iter().map(|word| rule_name(word)).collect();
        table.push([
            Cell::new(grouped(row.mails)),
            Cell::new(grouped(row.tries)),
            Cell::new(&row.client),
            Cell::new(row.name.as_deref().unwrap_or_default()),
            Cell::new(causes.join(", ")),
        ]);
    }
    let table = without_count(&table, terminal, names.absent.len());
    part("Mail that has not come back:", &table)
}

/// A table, and how many rows are left out, in place of the line that counts them.
fn without_count(table: &Table, terminal: &TerminalStyle, all: usize) -> String {
    let text = table.render(terminal);
    if all == 0 {
        return String::new();
    }
    if !terminal.legend {
        return text;
    }
    let rows = text.trim_end().rsplit_once("\n\n");
    let rows = rows.map_or(text.as_str(), |(rows, _)| rows);
    format!("{}\n{}", rows.trim_end(), more(all))
}

fn delays(report: &Report, terminal: &TerminalStyle) -> String {
    let mut chart = Chart::new();
    let mut any = false;
    for (most, count) in report.effect.delays() {
        any |= count > 0;
        chart.push(delay_class(most), [("mails", count)]);
    }
    if !any {
        return String::new();
    }
    part(
        "Those that came back, by delay:",
        &chart.render(&terminal.with_legend(false)),
    )
}

/// A class of delays.
#[must_use]
pub fn delay_class(most: Option<u64>) -> String {
    most.map_or_else(
        || "longer".to_owned(),
        |most| format!("up to {}", bound(most)),
    )
}

fn rules(report: &Report, terminal: &TerminalStyle) -> String {
    let columns = [
        Column::right("STRANGERS"),
        Column::right("CAME BACK"),
        Column::right("SHARE"),
        Column::left("CHECK"),
    ];
    let mut table = Table::new(&columns, ("check", "checks"));
    for rule in &report.rules {
        table.push([
            Cell::new(grouped(rule.strangers)),
            Cell::new(grouped(rule.came_back)),
            Cell::new(format!("{} %", percent(rule.came_back, rule.strangers))),
            Cell::new(rule_name(&rule.word)),
        ]);
    }
    part(
        "By check:",
        &without_count(&table, terminal, report.rules.len()),
    )
}

fn lists(report: &Report, terminal: &TerminalStyle) -> String {
    let columns = [
        Column::right("ASKED"),
        Column::right("LISTED"),
        Column::right("DECIDED"),
        Column::right("ALONE"),
        Column::right("ERRORS"),
        Column::right("SILENT"),
        Column::left("DNS LIST").shrinking(),
    ];
    let mut table = Table::new(&columns, ("list", "lists"));
    for list in &report.lists {
        let counts = list.counts.iter().map(|count| Cell::new(grouped(*count)));
        table.push(counts.chain([Cell::new(&list.zone)]));
    }
    part(
        "By DNS list:",
        &without_count(&table, terminal, report.lists.len()),
    )
}

fn blocked(report: &Report, terminal: &TerminalStyle) -> String {
    let mut table = Table::new(
        &[Column::right("BLOCKED"), Column::left("BY")],
        ("list", "lists"),
    );
    for (list, count) in &report.blocked {
        table.push([Cell::new(grouped(*count)), Cell::new(list)]);
    }
    part(
        "What Postfix itself blocked:",
        &without_count(&table, terminal, report.blocked.len()),
    )
}

fn hand(report: &Report) -> String {
    let lines = report.hand.iter().map(|line| wrapped(line, "  "));
    part("What needs a hand:", &lines.collect::<String>())
}

fn changes(report: &Report) -> String {
    let lines = report.changes.iter().map(|(time, text)| {
        let time = report.local(*time);
        wrapped(&format!("{time}  {text}"), "  ")
    });
    part("What changed:", &lines.collect::<String>())
}

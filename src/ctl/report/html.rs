//! The report as a page: one file, without script, link or anything that is fetched.
//!
//! Everything that is not written here is escaped; the page forbids by its policy what it does not have.

use super::effect::{grouped, percent};
use super::escaped::Escaped;
use super::{DnsList, MOST_ROWS, Report, delay, plots, rule_name};

/// The colours of page and plots, light and dark.
pub(super) const PALETTE: &str = "
:root { color-scheme: light dark; --ink: #1d2430; --dim: #5b6472; --paper: #fff; --line: #d7dce3;
  --back: #2f7d4f; --never: #b9c3d0; --waiting: #e0b040; --mark: #b03030; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --dim: #9aa5b4; --paper: #14181f; --line: #323a46;
  --back: #57b27d; --never: #56637a; --waiting: #a87f24; --mark: #e07070; } }
";

/// The style of the page, on a screen of any width and on paper. Colours are printed, for the key has no other sign.
const STYLE: &str = "
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .5rem; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
p { margin: 0 0 .75rem; }
.lead { font-size: 1.15rem; max-width: 60rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem; }
section { min-width: 0; margin-top: 1.5rem; break-inside: avoid; }
.grid section { margin-top: 0; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .3em; }
.key i.back { background: var(--back); } .key i.never { background: var(--never); }
.key i.waiting { background: var(--waiting); } .key i.mark { background: var(--mark); }
.key span { display: inline-block; margin-right: 1em; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .5rem .2rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 600; overflow-wrap: normal; }
th.n, td.n { text-align: right; white-space: nowrap; overflow-wrap: normal; }
td.w { overflow-wrap: normal; min-width: 5.5rem; }
td:last-child { width: 100%; }
th + th, td + td { padding-left: .5rem; }
small { color: var(--dim); font-size: 1em; }
code { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere; }
footer { margin-top: 1.5rem; }
.key, footer { color: var(--dim); font-size: .85rem; }
@media (min-width: 40rem) { td.w { white-space: nowrap; } }
@media (max-width: 40rem) { table.wide tr { display: grid; grid-template-columns: repeat(3, 1fr);
    border-bottom: 1px solid var(--line); }
  .wide th, .wide td { border: none; } .wide :last-child { grid-column: 1 / -1; order: -1; padding-left: 0; } }
@media print { body { max-width: none; padding: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  tr, svg { break-inside: avoid; } thead { display: table-header-group; } h2 { break-after: avoid; } }
";

/// Columns beside each other on a telephone, as the style has them.
const FOLDED: usize = 3;

/// The page.
#[must_use]
pub fn page(report: &Report, host: &str) -> String {
    let mut sections = paragraphs(report, "<p class=\"lead\">");
    let plots = [
        (
            "Strangers by day",
            plots::by_day(report),
            KEY,
            !report.days.is_empty(),
        ),
        (
            "By check",
            plots::by_rule(report),
            "",
            !report.rules.is_empty(),
        ),
        (
            "Those that came back, by delay",
            plots::by_delay(report),
            "",
            report.effect.came_back > 0,
        ),
        (
            "Strangers by weekday and hour",
            plots::by_weekday(report),
            "",
            report.effect.strangers > 0,
        ),
    ];
    let plots = plots.into_iter().filter(|(.., is_shown)| *is_shown);
    sections.push_str("<div class=\"grid\">");
    for (title, plot, key, _) in plots {
        sections.extend(["<section><h2>", title, "</h2>", &plot, key, "</section>"]);
    }
    sections.push_str("</div>");
    sections.push_str(&tables(report));
    let title = format!("stargrey on {host}");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>{PALETTE}{STYLE}{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{sections}\n\
         <footer><p>{}</p></footer>\n</body>\n</html>\n",
        plots::STYLE,
        Escaped(&format!(
            "From {} to {}.",
            report.local(report.period.from),
            report.local(report.period.to)
        )),
        title = Escaped(&title),
    )
}

/// The first sentences, each after this tag.
#[must_use]
pub fn paragraphs(report: &Report, tag: &str) -> String {
    let mut out = String::new();
    for sentence in report.sentences() {
        out.extend([tag, &Escaped(&sentence).to_string(), "</p>\n"]);
    }
    out
}

/// What the colours by day mean.
const KEY: &str = "<p class=\"key\"><span><i class=\"back\"></i>came back</span>\
    <span><i class=\"never\"></i>never came back</span>\
    <span><i class=\"waiting\"></i>can still come back</span>\
    <span><i class=\"mark\"></i>something changed</span></p>";

/// The tables, as the page and the mail have them.
#[must_use]
pub fn tables(report: &Report) -> String {
    [
        senders(report),
        absent(report),
        counters(report),
        rest(report),
    ]
    .concat()
}

fn senders(report: &Report) -> String {
    let names = report.names.as_ref();
    let senders = names.map(|names| &names.came_back).into_iter().flatten();
    let senders = senders.take(MOST_ROWS).map(|row| {
        let pool = if row.is_pool {
            format!(" (pool of {} networks)", row.clients)
        } else {
            String::new()
        };
        let domain = if row.domain.is_empty() {
            "<>"
        } else {
            &row.domain
        };
        let allow = row.allow.as_deref().unwrap_or_default();
        vec![
            number(row.mails),
            figure(&delay(row.median)),
            figure(&delay(row.longest)),
            format!(
                "<td>{}<br><code>{}</code></td>",
                Escaped(&format!("{domain}{pool}")),
                Escaped(allow)
            ),
        ]
    });
    let heads = [
        "#Mails",
        "#Median",
        "#Longest",
        "Sender domain, and how to let it pass at once",
    ];
    table("Mail that had to wait and came back", &heads, senders)
}

fn absent(report: &Report) -> String {
    let names = report.names.as_ref();
    let absent = names.map(|names| &names.absent).into_iter().flatten();
    let absent = absent.take(MOST_ROWS).map(|row| {
        let causes: Vec<String> = row.causes.iter().map(|word| rule_name(word)).collect();
        let name = row.name.as_deref();
        let name = name.map(|name| format!("<br><small>{}</small>", Escaped(name)));
        let name = name.unwrap_or_default();
        vec![
            number(row.mails),
            number(row.tries),
            words(&causes.join(", ")),
            format!("<td>{}{name}</td>", Escaped(&row.client)),
        ]
    });
    let heads = ["#Mails", "#Tries", "Check", "Client, and its last name"];
    table("Mail that has not come back", &heads, absent)
}

fn counters(report: &Report) -> String {
    let rules = report.rules.iter().map(|rule| {
        vec![
            number(rule.strangers),
            number(rule.came_back),
            figure(&format!("{} %", percent(rule.came_back, rule.strangers))),
            text(&rule_name(&rule.word)),
        ]
    });
    let heads = ["#Strangers", "#Came back", "#Share", "Check"];
    let rules = table("By check", &heads, rules);
    let lists = report.lists.iter().map(|list| {
        let cells = list.counts.iter().map(|count| number(*count));
        cells.chain([text(&list.zone)]).collect()
    });
    let heads = DnsList::WORDS.map(|word| format!("#{word}"));
    let heads: Vec<&str> = heads
        .iter()
        .map(String::as_str)
        .chain(["DNS list"])
        .collect();
    let lists = table("By DNS list", &heads, lists);
    let blocked = report.blocked.iter();
    let blocked = blocked.map(|(list, count)| vec![number(*count), text(list)]);
    let heads = ["#Blocked", "By"];
    let blocked = table("What Postfix itself blocked", &heads, blocked);
    [rules, lists, blocked].concat()
}

fn rest(report: &Report) -> String {
    let hand = report.hand.iter().map(|line| vec![text(line)]);
    let hand = table("What needs a hand", &[], hand);
    let changes = report.changes.iter();
    let changes = changes.map(|(time, line)| vec![words(&report.local(*time)), text(line)]);
    hand + &table("What changed", &[], changes)
}

fn text(text: &str) -> String {
    format!("<td>{}</td>", Escaped(text))
}

/// Short text, of which no word is broken.
fn words(text: &str) -> String {
    format!("<td class=\"w\">{}</td>", Escaped(text))
}

fn figure(text: &str) -> String {
    format!("<td class=\"n\" align=\"right\">{}</td>", Escaped(text))
}

fn number(number: u64) -> String {
    figure(&grouped(number))
}

/// A table with its heading; nothing without rows. Heads of numbers begin with `#`. A text beside [`FOLDED`] columns is too
/// wide for a telephone, where it gets a line for itself.
fn table(title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows = rows.map(|cells| ["<tr>", &cells.concat(), "</tr>\n"].concat());
    let rows = rows.collect::<String>();
    if rows.is_empty() {
        return String::new();
    }
    let is_wide = heads.len() > FOLDED;
    let class = if is_wide { " class=\"wide\"" } else { "" };
    let heads: String = heads
        .iter()
        .map(|head| match head.strip_prefix('#') {
            Some(head) => format!("<th class=\"n\" align=\"right\">{}</th>", Escaped(head)),
            None => format!("<th align=\"left\">{}</th>", Escaped(head)),
        })
        .collect();
    let heads = if heads.is_empty() {
        heads
    } else {
        format!("<thead><tr>{heads}</tr></thead>")
    };
    format!(
        "<section><h2>{}</h2><table{class}>{heads}<tbody>\n{rows}</tbody></table></section>\n",
        Escaped(title)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::api::{
        ADDED, CLIENT_NAME, DNS_LISTS, FIRST, LIST, NETWORK, PASSED, PATTERN, RECIPIENT, Row,
        SENDER, SOURCE, SOURCE_BUS, STATE, STATE_PASSED, STATE_WAITING, STRANGERS_BY, WHY,
    };
    use crate::ctl::render::TerminalStyle;
    use crate::ctl::report::effect::tests::hour;
    use crate::ctl::report::names::Collector;
    use crate::ctl::report::{Period, Sources, mail, text};

    /// What a sender, a name server or an administrator may write.
    const HOSTILE: [&str; 6] = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</td></table><style>*{}</style>",
        "&lt;b&gt;",
        "<!--",
    ];

    /// A report that has this text wherever text comes from outside.
    fn report_of(text: &str) -> Report {
        let counters = |word: String| HashMap::from([(word, 1_u64)]);
        let mut row = hour(3600, 2, &[("300", 1)], 0);
        row.extend(
            Row::new()
                .with(STRANGERS_BY, counters(text.to_owned()))
                .with(DNS_LISTS, counters(format!("{text}:asked")))
                .build(),
        );
        let triplet = |state: &str| {
            Row::new()
                .with(NETWORK, text)
                .with(SENDER, format!("a@{text}"))
                .with(RECIPIENT, text)
                .with(CLIENT_NAME, text)
                .with(STATE, state)
                .with(WHY, text)
                .with(FIRST, 3600_u64)
                .with(PASSED, 4000_u64)
                .build()
        };
        let mut names = Collector::default();
        names.add(&triplet(STATE_PASSED), (0, 7200));
        names.add(&triplet(STATE_WAITING), (0, 7200));
        let entry = Row::new()
            .with(PATTERN, text)
            .with(LIST, text)
            .with(SOURCE, SOURCE_BUS)
            .with(ADDED, 3601_u64);
        let zones = HashMap::from([(text.to_owned(), text.to_owned())]);
        let sources = Sources {
            hours: vec![row],
            properties: Row::new()
                .with("StoreState", text)
                .with("DnsLists", zones)
                .build(),
            names: Some(names.finish()),
            entries: vec![entry.build()],
            blocked: vec![(text.to_owned(), 1)],
        };
        let period = Period {
            from: 0,
            to: 7200,
            label: "Today".to_owned(),
        };
        Report::new(period, sources, 7200, &TimeZone::UTC)
    }

    #[test]
    fn nothing_from_outside_is_anything_but_text_in_page_and_mail() {
        let tags = |page: &str| page.matches('<').count();
        let harmless = page(&report_of("x"), "x");
        for text in HOSTILE {
            let report = report_of(text);
            let page = page(&report, text);
            assert_eq!(tags(&page), tags(&harmless), "{text}");
            assert!(!page.contains(text), "{text}");
            assert!(
                page.matches(&Escaped(text).to_string()).count() > 9,
                "{text}"
            );
            let message = mail::message(&report, "root", text);
            let (_, part) = message.split_once("text/html").unwrap();
            let part = part.replace("=\n", "").replace("=3D", "=");
            assert!(!part.contains(text), "{text}");
        }
    }

    #[test]
    fn a_page_fetches_nothing_and_runs_nothing() {
        let page = page(&report_of("x"), "mx.example.org");
        assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
        for word in [
            "<script", "<link", "<img", "<a ", "href", "src=", "url(", "http:", "https:", "@import",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn the_mail_has_both_parts_and_the_text_is_that_of_a_terminal() {
        let report = report_of("x");
        let message = mail::message(&report, "root", "mx.example.org");
        assert!(message.starts_with(
            "To: root\nSubject: stargrey on mx.example.org: Today strangers 2, came back 1\n"
        ));
        assert!(
            message.is_ascii() && message.lines().all(|line| line.len() <= 78),
            "{message}"
        );
        let parts: Vec<&str> = message.split("--=_stargrey_report_=").collect();
        assert_eq!(parts.len(), 4, "{message}");
        assert!(parts[1].contains("text/plain") && parts[2].contains("text/html"));
        let lines = text::text(&report, &TerminalStyle::of_mail());
        assert!(
            lines.lines().all(|line| line.chars().count() <= 80),
            "{lines}"
        );
    }
}

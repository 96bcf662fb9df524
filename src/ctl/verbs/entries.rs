//! `list`, `allow` and `remove`: the entries of the lists.

use super::Answer;
use crate::api::{
    COMMENT, Dict, EXPIRES, FromRow, HITS, LAST_HIT, LIST, MOST_ROWS, PATTERN, Row, SOURCE,
};
use crate::ctl::args::{Allow, List};
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::json;
use crate::ctl::render::{Cell, Column, Style, Table};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::Span;

/// Where the files of the lists usually are; tables are too narrow to say it in each row.
const USUAL: &str = "/etc/stargrey/";

/// Lists the entries.
pub(super) async fn list(session: &Session, list: Option<List>) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let filter = Row::new().with_some(LIST, list.map(List::word)).build();
    let mut rows = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = manager.list_entries(&filter, &after, MOST_ROWS).await;
        let (page, next) = page.map_err(|error| Failure::refused("ListEntries", error))?;
        rows.extend(page);
        if next.is_empty() {
            break;
        }
        after = next;
    }
    Ok(Answer::yes(text(&rows, list, &session.view)))
}

/// Adds an entry.
pub(super) async fn allow(session: &Session, options: &Allow) -> Result<Answer, Failure> {
    let view = &session.view;
    let lifetime = options.lifetime.map(|lifetime| lifetime.resolve(&view.now));
    let lifetime = lifetime.transpose().map_err(ArgumentError::When)?;
    let lifetime = lifetime.map_or(0, Span::seconds);
    let (list, pattern) = (options.list.word(), options.pattern.as_str());
    let manager = session.manager().await?;
    let done = manager
        .add_entry(list, pattern, &options.comment, lifetime)
        .await;
    done.map_err(|error| Failure::refused("AddEntry", error))?;
    let until = match lifetime {
        0 => String::new(),
        lifetime => {
            let end = view.time().after(Span::from_seconds(lifetime));
            format!(" until {}", view.local(end.seconds()))
        }
    };
    let sentence = format!("{} is on the {list}{until}.", printable(pattern));
    Ok(Answer::done(view, &sentence))
}

/// Removes an entry.
pub(super) async fn remove(
    session: &Session,
    list: List,
    pattern: &str,
) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let done = manager.remove_entry(list.word(), pattern).await;
    done.map_err(|error| Failure::refused("RemoveEntry", error))?;
    let sentence = format!("{} is off the {}.", printable(pattern), list.word());
    Ok(Answer::done(&session.view, &sentence))
}

/// A text that goes to a terminal.
fn printable(text: &str) -> crate::types::Printable<'_> {
    crate::types::Printable(text.as_bytes())
}

/// The entries, of one list or all.
fn text(rows: &[Dict], list: Option<List>, view: &View) -> String {
    if view.json {
        return json::shown(&json::array(rows));
    }
    let any = |key: &str| {
        let has = |row: &Dict| {
            row.number(key).is_some_and(|n| n > 0) || row.text(key).is_some_and(|t| !t.is_empty())
        };
        rows.iter().any(has)
    };
    let optional = [
        (list.is_none(), Column::left("LIST"), LIST),
        (true, Column::left("PATTERN").shrinking(), PATTERN),
        (true, Column::left("SOURCE").shrinking(), SOURCE),
        (true, Column::right("HITS"), HITS),
        (any(LAST_HIT), Column::right("HIT AGO"), LAST_HIT),
        (any(EXPIRES), Column::right("ENDS IN"), EXPIRES),
        (any(COMMENT), Column::left("COMMENT").shrinking(), COMMENT),
    ];
    let wanted: Vec<_> = optional
        .into_iter()
        .filter(|(is_wanted, ..)| *is_wanted)
        .collect();
    let columns: Vec<_> = wanted.iter().map(|(_, column, _)| *column).collect();
    let mut table = Table::new(&columns, ("entry", "entries"));
    for row in rows {
        table.push(wanted.iter().map(|(_, _, key)| cell(row, key, view)));
    }
    table.render(&view.manner)
}

/// A cell of the table.
fn cell(row: &Dict, key: &str, view: &View) -> Cell {
    let text = row.text(key).unwrap_or_default();
    match key {
        // As they may be typed, and the table is narrow.
        LIST => Cell::new(text.split('-').next().unwrap_or(text)),
        HITS => {
            let hits = row.number(key).unwrap_or_default();
            let style = if hits == 0 { Style::Dim } else { Style::Plain };
            Cell::from(hits).styled(style)
        }
        SOURCE => Cell::new(text.strip_prefix(USUAL).unwrap_or(text)),
        LAST_HIT | EXPIRES => Cell::from(view.apart_if_ever(row.number(key))),
        _ => Cell::new(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_318_397;

    fn rows() -> Vec<Dict> {
        let row = |list: &str, pattern: &str, source: &str, hits: u64| {
            Row::new()
                .with(LIST, list)
                .with(PATTERN, pattern)
                .with(SOURCE, source)
                .with(HITS, hits)
                .with(LAST_HIT, if hits == 0 { 0 } else { NOW - 303 })
        };
        let file = "/etc/stargrey/whitelist_clients:12";
        vec![
            row("client-whitelist", "google.com", file, 4711).build(),
            row("client-whitelist", "192.0.2.0/24", "bus", 3)
                .with(COMMENT, "branch office, ask Ann")
                .with(crate::api::ADDED, NOW - 86_400)
                .with(EXPIRES, NOW + 29 * 86_400)
                .build(),
            row(
                "recipient-whitelist",
                "postmaster@",
                "/etc/stargrey/whitelist_recipients:7",
                0,
            )
            .build(),
            row("s25r-exceptions", "/^a\u{7}b$/", "bus", 0).build(),
        ]
    }

    #[test]
    fn all_lists() {
        let want = "
LIST       PATTERN       SOURCE           HITS  HIT AGO  ENDS IN  COMMENT
client     google.com    whiteli…ents:12  4711  5min 3s
client     192.0.2.0/24  bus                 3  5min 3s  29 days  branch …sk Ann
recipient  postmaster@   whiteli…ients:7     0
s25r       /^a\\x07b$/    bus                 0

4 entries listed.
";
        let got = text(&rows(), None, &View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn one_list() {
        let want = "
PATTERN      SOURCE                  HITS
postmaster@  whitelist_recipients:7     0

1 entry listed.
";
        let got = text(&rows()[2..3], Some(List::Recipient), &View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn json_has_the_rows_as_they_are() {
        let got = text(&rows()[2..3], None, &View::of_json());
        let want = r#"[
  {
    "hits": 0,
    "last_hit": 0,
    "list": "recipient-whitelist",
    "pattern": "postmaster@",
    "source": "/etc/stargrey/whitelist_recipients:7"
  }
]
"#;
        assert_eq!(got, want);
    }
}

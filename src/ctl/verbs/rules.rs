//! `rules`: the entries of `greylist.conf`.

use super::{Answer, entries};
use crate::api::{Dict, FromRow, HITS, LAST_HIT, MONITOR, PATTERN, SOURCE};
use crate::ctl::args::ShownList;
use crate::ctl::failure::Failure;
use crate::ctl::json;
use crate::ctl::render::{Cell, Column, Style, Table};
use crate::ctl::session::Session;
use crate::ctl::view::View;

/// The line where there is no file.
const NO_FILE: &str = "There is no greylist.conf: stargreyd runs without --greylist-conf.\n";

/// Lists the entries, or those without hits.
pub(super) async fn run(session: &Session, never: bool) -> Result<Answer, Failure> {
    let (view, list) = (&session.view, Some(ShownList::GreylistConf));
    let mut rows = entries::entries(session, list, entries::PasswordPrompt::Allowed).await?;
    if rows.is_empty() && !view.json && view.terminal.legend {
        let properties = session.properties(MONITOR).await?;
        if properties.text("GreylistConf") == Some("") {
            return Ok(Answer::yes(NO_FILE));
        }
    }
    rows.retain(|row| !never || hits(row) == 0);
    Ok(Answer::yes(text(&rows, view)))
}

fn hits(row: &Dict) -> u64 {
    row.number(HITS).unwrap_or_default()
}

fn text(rows: &[Dict], view: &View) -> String {
    if view.json {
        return json::shown(&json::array(rows));
    }
    let columns = [
        Column::right("LINE"),
        Column::left("ENTRY").shrinking(),
        Column::right("HITS"),
        Column::right("HIT AGO"),
    ];
    let mut table = Table::new(&columns, ("entry", "entries"));
    for row in rows {
        let source = row.text(SOURCE).unwrap_or_default();
        let line = source.rsplit(':').next().unwrap_or_default();
        let (hits, last_hit) = match hits(row) {
            0 => (Cell::from(0).styled(Style::Warn), Cell::new("never")),
            hits => {
                let ago = view.apart_if_ever(row.number(LAST_HIT));
                (Cell::from(hits), Cell::new(ago))
            }
        };
        let entry = Cell::new(row.text(PATTERN).unwrap_or_default());
        table.push([Cell::new(line), entry, hits, last_hit]);
    }
    table.render(&view.terminal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Row;

    fn rows() -> Vec<Dict> {
        let row = |line: u32, pattern: &str, hits: u64, last_hit: u64| {
            Row::new()
                .with(PATTERN, pattern)
                .with(SOURCE, format!("/etc/mail/greylist.conf:{line}"))
                .with(HITS, hits)
                .with(LAST_HIT, last_hit)
                .build()
        };
        vec![
            row(9, "racl whitelist list \"own networks\"", 17, 1_795_318_094),
            row(
                10,
                "racl greylist domain /^[^.]*[0-9]\\.[^.]*[0-9]\\.[^.]+\\..+\\./ msg \"S25R rule 5\"",
                0,
                0,
            ),
            row(11, "racl whitelist default", 4711, 1_795_318_396),
        ]
    }

    #[test]
    fn entries_in_their_order_with_those_never_hit_marked() {
        let want = "
LINE  ENTRY                                                        HITS  HIT AGO
   9  racl whitelist list \"own networks\"                             17  5min 3s
  10  racl greylist domain /^[^.]*[…^.]+\\..+\\./ msg \"S25R rule 5\"     0    never
  11  racl whitelist default                                       4711       1s

3 entries listed.
";
        let got = text(&rows(), &View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn json_has_the_rows_as_they_are() {
        let got = text(&rows()[1..2], &View::of_json());
        for part in [
            "\"hits\": 0,",
            "\"source\": \"/etc/mail/greylist.conf:10\"",
            "/ msg \\\"S25R rule 5\\\"\"",
        ] {
            assert!(got.contains(part), "{part}: {got}");
        }
    }
}

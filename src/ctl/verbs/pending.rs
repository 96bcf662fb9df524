//! `pending`: who is waiting.
//!
//! Whoever has come back most often stands first, and among equals who waits longest: those behave like
//! mail servers, so that a delay is most likely to be somebody's real mail.

use std::cmp::Reverse;

use super::{Answer, bare, shown};
use crate::api::{
    CLIENT, COUNTED, Dict, FIRST, FromRow, HASH, LAST, MOST_ROWS, NETWORK, RECIPIENT, RETRIES,
    RETRYING, Row, SENDER, STATE, STATE_WAITING,
};
use crate::ctl::args::Pending;
use crate::ctl::failure::Failure;
use crate::ctl::json;
use crate::ctl::render::{self, Cell, Column, Style, Table};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::Timestamp;

/// Columns of the table.
const COLUMNS: [Column; 6] = [
    Column::left("CLIENT").shrinking(),
    Column::left("SENDER").shrinking(),
    Column::left("RECIPIENT").shrinking(),
    Column::right("TRIES"),
    Column::right("WAITS"),
    Column::right("SEEN AGO"),
];

/// What there is, or as much of it as was asked for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    rows: Vec<Dict>,
    /// Whether there is more.
    is_cut: bool,
}

/// Asks and shows.
pub(super) async fn run(session: &Session, options: &Pending) -> Result<Answer, Failure> {
    let filter = Row::new()
        .with(STATE, STATE_WAITING)
        .with_some(CLIENT, options.client.as_deref())
        .with_some(SENDER, options.sender.as_deref().map(bare))
        .with_some(RECIPIENT, options.recipient.as_deref().map(bare))
        .with_some(RETRYING, options.retrying.then_some(true));
    let waiting = Waiting::collect(session, &filter.build(), options.limit).await?;
    Ok(Answer::yes(waiting.text(&session.view)))
}

impl Waiting {
    /// Goes through the pages until there are `limit` rows.
    pub(super) async fn collect(
        session: &Session,
        filter: &Dict,
        limit: u32,
    ) -> Result<Self, Failure> {
        let manager = session.manager().await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        let mut after = Vec::new();
        loop {
            let page = manager.list_triplets(filter, &after, MOST_ROWS).await;
            let (page, next) = page.map_err(|error| Failure::refused("ListTriplets", error))?;
            rows.extend(page);
            if next.is_empty() || rows.len() > limit {
                let is_cut = rows.len() > limit;
                rows.truncate(limit);
                rows.sort_by_cached_key(rank);
                return Ok(Self { rows, is_cut });
            }
            after = next;
        }
    }

    /// Whether nobody waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table.
    pub(super) fn text(&self, view: &View) -> String {
        if view.json {
            return json::shown(&json::array(&self.rows));
        }
        let mut table = Table::new(&COLUMNS, ("triplet", "triplets"));
        for row in &self.rows {
            table.push(cells(row, view));
        }
        let mut text = table.render(&view.manner);
        if self.is_cut && view.manner.legend {
            text.push_str(
                "There are more: --limit shows more, a filter shows those that matter.\n",
            );
        }
        text
    }

    /// The rows as JSON.
    pub(super) fn array(&self) -> serde_json::Value {
        json::array(&self.rows)
    }
}

/// How often it was tried.
fn tries(row: &Dict) -> u64 {
    let number = |key| row.number(key).unwrap_or_default();
    number(RETRIES)
        .saturating_add(number(COUNTED))
        .saturating_add(1)
}

/// Where a row stands in the table.
fn rank(row: &Dict) -> (Reverse<u64>, u64) {
    (Reverse(tries(row)), row.number(FIRST).unwrap_or_default())
}

/// A row of the table.
fn cells(row: &Dict, view: &View) -> [Cell; 6] {
    let hash = row.text(HASH);
    let client = row.text(NETWORK).or(row.text(CLIENT)).or(hash);
    let address = |key| match hash {
        // There is nothing but the hash.
        Some(_) => "",
        None => shown(row.text(key).unwrap_or_default()),
    };
    let since = |key| {
        let then = Timestamp::from_seconds(row.number(key).unwrap_or_default());
        render::span(view.time().since(then))
    };
    let tries = tries(row);
    let style = if tries > 1 { Style::Bold } else { Style::Plain };
    [
        Cell::new(client.unwrap_or_default()),
        Cell::new(address(SENDER)),
        Cell::new(address(RECIPIENT)),
        Cell::from(tries).styled(style),
        Cell::from(since(FIRST)),
        Cell::from(since(LAST)),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: u64 = 1_795_318_397;

    pub(in crate::ctl::verbs) fn waiting() -> Waiting {
        let row = |network: &str, sender: &str, recipient: &str, (first, last, retries)| {
            Row::new()
                .with(NETWORK, network)
                .with(SENDER, sender)
                .with(RECIPIENT, recipient)
                .with(STATE, STATE_WAITING)
                .with(FIRST, NOW - first)
                .with(LAST, NOW - last)
                .with(RETRIES, retries)
                .build()
        };
        let mut rows = vec![
            row(
                "192.0.2.0/24",
                "ann@example.org",
                "bob@example.net",
                (240, 240, 0_u64),
            ),
            row(
                "2001:db8:1:2::/64",
                "bounce-0123456789-0123456789@lists.example.org",
                "carol@example.net",
                (7200, 63, 4),
            ),
            row(
                "198.51.100.0/24",
                "",
                "bob@example.net",
                (90_000, 86_400, 1),
            ),
        ];
        rows.sort_by_cached_key(rank);
        Waiting {
            rows,
            is_cut: false,
        }
    }

    #[test]
    fn who_comes_back_most_stands_first() {
        let want = "
CLIENT             SENDER            RECIPIENT         TRIES     WAITS  SEEN AGO
2001:db8:1:2::/64  bounce-0…ple.org  carol@ex…ple.net      5        2h   1min 3s
198.51.100.0/24    <>                bob@example.net       2  1 day 1h     1 day
192.0.2.0/24       ann@example.org   bob@example.net       1      4min      4min

3 triplets listed.
";
        let got = waiting().text(&View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn what_is_cut_off_is_said() {
        let mut waiting = waiting();
        waiting.is_cut = true;
        let text = waiting.text(&View::of_80_columns());
        assert!(
            text.contains("\n3 triplets listed.\nThere are more: --limit"),
            "{text}"
        );
        let nobody = Waiting::default().text(&View::of_80_columns());
        assert_eq!(nobody, "0 triplets listed.\n");
        assert_eq!(Waiting::default().text(&View::of_json()), "[]\n");
    }

    #[test]
    fn hashes_are_shown_for_what_they_stand_for() {
        let row = Row::new()
            .with(HASH, "0123456789abcdef0123456789abcdef")
            .with(FIRST, NOW - 60)
            .with(LAST, NOW)
            .build();
        let waiting = Waiting {
            rows: vec![row],
            is_cut: false,
        };
        let want = "
CLIENT                            SENDER  RECIPIENT  TRIES  WAITS  SEEN AGO
0123456789abcdef0123456789abcdef                         1   1min        0s

1 triplet listed.
";
        let got = waiting.text(&View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
    }
}

//! `pending`: lists waiting triplets.
//!
//! Those with the most attempts come first, and among equals the oldest: they behave like mail servers, so their mail
//! is most likely legitimate.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::{Answer, bare, shown, triplets};
use crate::api::{
    CLIENT, CLIENT_ADDRESS, CLIENT_NAME, COUNTED, DOMAIN, Dict, FIRST, FromRow, HASH, LAST,
    NETWORK, RECIPIENT, RETRIES, RETRYING, SENDER, STATE, STATE_WAITING,
};
use crate::ctl::args::Pending;
use crate::ctl::client::{filtered, filtered_by_name};
use crate::ctl::failure::Failure;
use crate::ctl::json;
use crate::ctl::render::{self, Cell, Column, Style, Table};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::Timestamp;

/// Columns of the table.
const COLUMNS: [Column; 6] = [
    Column::left("CLIENT").shrinking(),
    Column::left("SENDER"),
    Column::left("RECIPIENT"),
    Column::right("TRIES"),
    Column::right("WAITS"),
    Column::right("SEEN AGO"),
];

/// The message if there are more than are shown.
const MORE: &str = "There are more: raise --limit or use a filter.\n";

/// The waiting triplets, at most the requested number.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    rows: Vec<Dict>,
    /// Whether there are more.
    is_cut: bool,
}

/// The first rows in the sort order, at most `limit`. The last of them is at the top of the heap and is replaced first.
#[derive(Debug)]
struct TopRows {
    limit: usize,
    heap: BinaryHeap<RankedRow>,
    /// The number of rows so far.
    count: u64,
    is_cut: bool,
}

/// A row with its sort key: its rank, then its number in the input.
#[derive(Debug)]
struct RankedRow {
    key: (Reverse<u64>, u64, u64),
    row: Dict,
}

impl PartialEq for RankedRow {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for RankedRow {}

impl PartialOrd for RankedRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RankedRow {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl TopRows {
    /// Empty; holds at most `limit` rows.
    fn new(limit: u32) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            heap: BinaryHeap::new(),
            count: 0,
            is_cut: false,
        }
    }

    /// Adds a row, and drops the last one if there are more than `limit`.
    fn push(&mut self, row: Dict) {
        let (tries, first) = rank(&row);
        let key = (tries, first, self.count);
        self.count = self.count.saturating_add(1);
        self.heap.push(RankedRow { key, row });
        if self.heap.len() > self.limit {
            self.heap.pop();
            self.is_cut = true;
        }
    }

    /// The rows in order.
    fn sorted(self) -> Waiting {
        let rows = self.heap.into_sorted_vec().into_iter();
        Waiting {
            rows: rows.map(|ranked| ranked.row).collect(),
            is_cut: self.is_cut,
        }
    }
}

/// Runs the verb.
pub(super) async fn run(session: &Session, options: &Pending) -> Result<Answer, Failure> {
    let client = options.client.as_deref();
    let filters = [filtered_by_name(client), Some(filtered(client))];
    let filters = filters.into_iter().flatten().map(|of_client| {
        of_client
            .with(STATE, STATE_WAITING)
            .with_some(SENDER, options.sender.as_deref().map(bare))
            .with_some(RECIPIENT, options.recipient.as_deref().map(bare))
            .with_some(RETRYING, options.retrying.then_some(true))
            .build()
    });
    let waiting = Waiting::collect(session, filters, options.limit).await?;
    Ok(Answer::yes(waiting.text(&session.view, MORE)))
}

impl Waiting {
    /// Reads all pages of each filter, since the first rows may be on the last page; keeps `limit` rows.
    pub(super) async fn collect(
        session: &Session,
        filters: impl IntoIterator<Item = Dict>,
        limit: u32,
    ) -> Result<Self, Failure> {
        let mut top = TopRows::new(limit);
        for filter in filters {
            let all = triplets::each(session, &filter, |row| {
                top.push(row);
                ControlFlow::<()>::Continue(())
            });
            all.await?;
        }
        Ok(top.sorted())
    }

    /// Whether no triplet is waiting.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, followed by `more` if it is truncated.
    pub(super) fn text(&self, view: &View, more: &str) -> String {
        if view.json {
            return json::shown(&json::array(&self.rows));
        }
        let mut table = Table::new(&COLUMNS, ("triplet", "triplets"));
        for row in &self.rows {
            table.push(cells(row, view));
        }
        let mut text = table.render(&view.terminal);
        if self.is_cut && view.terminal.legend {
            text.push_str(more);
        }
        text
    }

    /// The rows as JSON.
    pub(super) fn array(&self) -> serde_json::Value {
        json::array(&self.rows)
    }
}

/// The number of attempts.
fn tries(row: &Dict) -> u64 {
    let number = |key| row.number(key).unwrap_or_default();
    number(RETRIES)
        .saturating_add(number(COUNTED))
        .saturating_add(1)
}

/// The sort key of a row.
fn rank(row: &Dict) -> (Reverse<u64>, u64) {
    (Reverse(tries(row)), row.number(FIRST).unwrap_or_default())
}

/// The client of the last attempt, as in the log of Postfix; the network or domain if that client is not known.
fn client(row: &Dict) -> Cell {
    match (row.text(CLIENT_NAME), row.text(CLIENT_ADDRESS)) {
        (Some(name), Some(address)) => Cell::new(name).before(format!("[{address}]")),
        (None, Some(address)) => Cell::default().before(address),
        (_, None) => match [NETWORK, DOMAIN, CLIENT]
            .iter()
            .find_map(|key| row.text(key))
        {
            Some(known_by) => Cell::default().before(known_by),
            None => Cell::new(row.text(HASH).unwrap_or_default()),
        },
    }
}

/// A row of the table.
fn cells(row: &Dict, view: &View) -> [Cell; 6] {
    let hash = row.text(HASH);
    let address = |key| match hash {
        // Only the hash is stored.
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
        client(row),
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
    use crate::api::Row;

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
        };
        let mut rows = vec![
            row(
                "192.0.2.0/24",
                "ann@example.org",
                "bob@example.net",
                (240, 240, 0_u64),
            )
            .with(CLIENT_ADDRESS, "192.0.2.7")
            .build(),
            row(
                "2001:db8:1:2::/64",
                "bounce-0123456789-0123456789@lists.example.org",
                "carol@example.net",
                (7200, 63, 4),
            )
            .with(CLIENT_ADDRESS, "2001:db8:1:2::19")
            .with(CLIENT_NAME, "mail-out-17.lists.example.org")
            .build(),
            row(
                "198.51.100.0/24",
                "",
                "bob@example.net",
                (90_000, 86_400, 1),
            )
            .build(),
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
CLIENT                      SENDER                                          RECIPIENT          TRIES     WAITS  SEEN AGO
mail…org[2001:db8:1:2::19]  bounce-0123456789-0123456789@lists.example.org  carol@example.net      5        2h   1min 3s
198.51.100.0/24             <>                                              bob@example.net        2  1 day 1h     1 day
192.0.2.7                   ann@example.org                                 bob@example.net        1      4min      4min

3 triplets listed.
";
        let got = waiting().text(&View::of_80_columns(), MORE);
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn what_is_cut_off_is_said() {
        let mut waiting = waiting();
        waiting.is_cut = true;
        let text = waiting.text(&View::of_80_columns(), MORE);
        assert!(
            text.contains("\n3 triplets listed.\nThere are more: raise --limit"),
            "{text}"
        );
        let nobody = Waiting::default().text(&View::of_80_columns(), MORE);
        assert_eq!(nobody, "0 triplets listed.\n");
        assert_eq!(Waiting::default().text(&View::of_json(), MORE), "[]\n");
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
CLIENT                            TRIES  WAITS  SEEN AGO
0123456789abcdef0123456789abcdef      1   1min        0s

1 triplet listed.
";
        let got = waiting.text(&View::of_80_columns(), MORE);
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn the_foremost_are_kept_wherever_they_come() {
        let retries = [0_u64, 3, 1, 7, 0, 7, 2, 9];
        let cases: [(u32, &[u64], bool); 4] = [
            (1, &[9], true),
            (3, &[9, 7, 7], true),
            (8, &[9, 7, 7, 3, 2, 1, 0, 0], false),
            (u32::MAX, &[9, 7, 7, 3, 2, 1, 0, 0], false),
        ];
        for (limit, want, want_cut) in cases {
            let mut top = TopRows::new(limit);
            for retries in retries {
                let row = Row::new().with(RETRIES, retries).with(FIRST, NOW);
                top.push(row.build());
            }
            let got = top.sorted();
            let rows = got.rows.iter().filter_map(|row| row.number(RETRIES));
            let rows: Vec<_> = rows.collect();
            assert_eq!((&*rows, got.is_cut), (want, want_cut), "{limit}");
        }
    }

    #[test]
    fn a_client_that_is_not_remembered_is_shown_by_its_network_or_its_domain() {
        for (key, known_by) in [(NETWORK, "192.0.2.0/24"), (DOMAIN, "example.org")] {
            let row = Row::new().with(key, known_by).build();
            assert_eq!(client(&row), Cell::default().before(known_by));
            let row = Row::new().with(key, known_by).with(CLIENT_ADDRESS, "::1");
            assert_eq!(client(&row.build()), Cell::default().before("::1"));
        }
    }

    #[test]
    fn a_sender_is_shown_as_a_filter_takes_it() {
        let row = Row::new()
            .with(NETWORK, "192.0.2.0/24")
            .with(SENDER, "a\\xff\\x5c@example.org")
            .with(RECIPIENT, "bob@example.net")
            .with(FIRST, NOW)
            .with(LAST, NOW)
            .build();
        let waiting = Waiting {
            rows: vec![row],
            is_cut: false,
        };
        let text = waiting.text(&View::of_80_columns(), MORE);
        assert!(text.contains("  a\\xff\\x5c@example.org  "), "{text}");
    }
}

//! Tables in the style of systemctl: headings in capitals, two blanks between columns, a last line with the
//! count.
//!
//! A column without any text is omitted. Where a table is wider than the terminal, columns that are marked as minor
//! shrink first, then the others that may, the widest first, and their texts lose the middle. Addresses are not
//! shortened, for they are pasted into commands. Where that is not enough lines are as long as they are.
//!
//! Without a terminal no text is shortened, for a program may read it; but no column is wider than
//! [`WIDEST`]: a longer text moves the rest of its own line only.

use std::borrow::Cow;
use std::iter;

use super::{Cell, Side, Style, TerminalStyle, filling, shortened, width};

/// Between two columns.
const GAP: &str = "  ";

/// Minimum width of a column that shrinks.
const NARROWEST: usize = 8;

/// Maximum width of a column without a terminal.
const WIDEST: usize = 64;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    heading: &'static str,
    side: Side,
    shrinks: Shrinks,
}

/// When a column shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shrinks {
    /// Before all others.
    First,
    /// When that is not enough.
    Last,
    Never,
}

impl Column {
    /// A column of texts.
    #[must_use]
    pub const fn left(heading: &'static str) -> Self {
        Self {
            heading,
            side: Side::Left,
            shrinks: Shrinks::Never,
        }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn right(heading: &'static str) -> Self {
        Self {
            heading,
            side: Side::Right,
            shrinks: Shrinks::Never,
        }
    }

    /// The same, whose texts may lose their middle.
    #[must_use]
    pub const fn shrinking(mut self) -> Self {
        self.shrinks = Shrinks::Last;
        self
    }

    /// The same, whose texts lose their middle before those of other columns do.
    #[must_use]
    pub const fn minor(mut self) -> Self {
        self.shrinks = Shrinks::First;
        self
    }
}

/// Rows under headings.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// What a row is called, and what several are.
    noun: (&'static str, &'static str),
}

impl Table {
    /// An empty table of rows that are called `noun`, one and several: `("entry", "entries")`.
    #[must_use]
    pub fn new(columns: &[Column], noun: (&'static str, &'static str)) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
            noun,
        }
    }

    /// Appends a row; cells beyond the columns are not shown.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        self.rows.push(row.into_iter().collect());
    }

    /// The table as text. Without a legend neither headings nor the line that counts.
    #[must_use]
    pub fn render(&self, terminal: &TerminalStyle) -> String {
        let mut out = String::new();
        let widths = self.widths(terminal);
        if terminal.legend && !self.rows.is_empty() {
            let headings: Vec<_> = self
                .columns
                .iter()
                .map(|column| Cell::new(column.heading).styled(Style::Bold))
                .collect();
            self.line(&mut out, &headings, &widths, terminal);
        }
        for row in &self.rows {
            self.line(&mut out, row, &widths, terminal);
        }
        if terminal.legend {
            let count = self.rows.len();
            let noun = if count == 1 { self.noun.0 } else { self.noun.1 };
            let apart = if count == 0 { "" } else { "\n" };
            out.extend([apart, &count.to_string(), " ", noun, " listed.\n"]);
        }
        out
    }

    /// How wide the columns are shown; 0 is for those without a text.
    fn widths(&self, terminal: &TerminalStyle) -> Vec<usize> {
        let columns: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let heading = if terminal.legend {
                    width(column.heading)
                } else {
                    0
                };
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                let natural = cells.clone().map(Cell::width).max().unwrap_or(0);
                if natural == 0 {
                    return (0, 0, Shrinks::Never);
                }
                let natural = natural.max(heading);
                let least = cells.map(|cell| cell.least(NARROWEST)).max().unwrap_or(0);
                let least = least.max(heading);
                (natural, least, column.shrinks)
            })
            .collect();
        let Some(limit) = terminal.width else {
            let widths = columns.into_iter();
            return widths.map(|(wide, ..)| wide.min(WIDEST)).collect();
        };
        let mut widths: Vec<_> = columns.iter().map(|(wide, ..)| *wide).collect();
        for turn in [Shrinks::First, Shrinks::Last] {
            let able = columns
                .iter()
                .map(|(wide, least, shrinks)| if *shrinks == turn { *least } else { *wide });
            shrink(&mut widths, &able.collect::<Vec<_>>(), limit);
        }
        widths
    }

    /// Appends one line to `out`.
    fn line(&self, out: &mut String, cells: &[Cell], widths: &[usize], terminal: &TerminalStyle) {
        let empty = Cell::default();
        let cells = cells.iter().chain(iter::repeat(&empty));
        let mut apart = String::new();
        for ((column, wide), cell) in iter::zip(&self.columns, widths).zip(cells) {
            if *wide == 0 {
                continue;
            }
            let text = match terminal.width {
                Some(_) => {
                    let room = wide.saturating_sub(width(&cell.whole));
                    (shortened(&cell.text, room, terminal) + &cell.whole).into()
                }
                None if cell.whole.is_empty() => Cow::Borrowed(&*cell.text),
                None => [&*cell.text, &*cell.whole].concat().into(),
            };
            let filling = filling(&text, *wide);
            if column.side == Side::Right {
                apart.push_str(&filling);
            }
            // Blanks are written before a text only: no line ends with any.
            if !text.is_empty() {
                out.push_str(&apart);
                apart.clear();
                cell.style.paint(out, &text, terminal);
            }
            if column.side == Side::Left {
                apart.push_str(&filling);
            }
            apart.push_str(GAP);
        }
        out.push('\n');
    }
}

/// Shrinks the widest columns, each down to its minimum, until all fit into `limit`. Each column is its width and its
/// minimum.
fn shrink(widths: &mut [usize], least: &[usize], limit: usize) {
    let shown = widths.iter().filter(|wide| **wide > 0).count();
    let gaps = shown.saturating_sub(1).saturating_mul(GAP.len());
    let all: usize = widths.iter().sum();
    let mut excess = all.saturating_add(gaps).saturating_sub(limit);
    while excess > 0 {
        let able = iter::zip(&mut *widths, least).filter(|(wide, least)| **wide > **least);
        let Some((wide, _)) = able.max_by_key(|(wide, _)| **wide) else {
            return;
        };
        *wide = wide.saturating_sub(1);
        excess = excess.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::left("NETWORK"),
        Column::left("SENDER").shrinking(),
        Column::left("RECIPIENT").shrinking(),
        Column::right("AGO"),
    ];

    fn table() -> Table {
        let mut table = Table::new(&COLUMNS, ("entry", "entries"));
        for (network, sender, recipient, age) in [
            ("192.0.2.0/24", "ann@example.org", "bob@example.net", "5s"),
            (
                "2001:db8::/64",
                "bounce-0123456789-0123456789@lists.example.org",
                "carol@example.net",
                "10min 3s",
            ),
            ("203.0.113.0/24", "", "日本@example.net", ""),
        ] {
            table.push([network, sender, recipient, age].map(Cell::from));
        }
        table
    }

    fn render(width: Option<usize>) -> String {
        let terminal = TerminalStyle {
            width,
            ..TerminalStyle::plain()
        };
        format!("\n{}", table().render(&terminal))
    }

    #[test]
    fn a_table_without_a_limit() {
        let want = "
NETWORK         SENDER                                          RECIPIENT               AGO
192.0.2.0/24    ann@example.org                                 bob@example.net          5s
2001:db8::/64   bounce-0123456789-0123456789@lists.example.org  carol@example.net  10min 3s
203.0.113.0/24                                                  日本@example.net

3 entries listed.
";
        assert_eq!(render(None), want);
    }

    #[test]
    fn a_table_of_80_columns() {
        let want = "
NETWORK         SENDER                               RECIPIENT               AGO
192.0.2.0/24    ann@example.org                      bob@example.net          5s
2001:db8::/64   bounce-0123456789…lists.example.org  carol@example.net  10min 3s
203.0.113.0/24                                       日本@example.net

3 entries listed.
";
        assert_eq!(render(Some(80)), want);
    }

    #[test]
    fn a_table_of_40_columns_shrinks_as_far_as_it_can() {
        let want = "
NETWORK         SENDER    RECIPIENT       AGO
192.0.2.0/24    ann@…org  bob@….net        5s
2001:db8::/64   boun…org  caro….net  10min 3s
203.0.113.0/24            日本….net

3 entries listed.
";
        assert_eq!(render(Some(40)), want);
    }

    #[test]
    fn minor_columns_shrink_before_the_others() {
        let columns = [
            Column::left("PATTERN").shrinking(),
            Column::left("SOURCE").minor(),
            Column::left("COMMENT").minor(),
        ];
        let mut table = Table::new(&columns, ("entry", "entries"));
        let pattern = "/^[a-z]+[0-9]{4}\\.(mx|out)\\.example\\.org$/";
        table.push([pattern, "/usr/share/lists/clients:12", "asked for by Ann"].map(Cell::from));
        let cases = [
            (68, format!("{pattern}  /usr/…ts:12  asked…y Ann")),
            (62, format!("{pattern}  /usr…:12  aske…Ann")),
            (36, "/^[a-z]+…\\.org$/  /usr…:12  aske…Ann".to_owned()),
        ];
        for (width, want) in cases {
            let terminal = TerminalStyle {
                width: Some(width),
                ..TerminalStyle::plain().with_legend(false)
            };
            assert_eq!(table.render(&terminal), format!("{want}\n"), "{width}");
        }
    }

    #[test]
    fn an_address_is_never_shortened_and_the_name_before_it_is() {
        let columns = [
            Column::left("CLIENT").shrinking(),
            Column::left("SENDER"),
            Column::right("TRIES"),
        ];
        let mut table = Table::new(&columns, ("triplet", "triplets"));
        let clients = [
            Cell::new("mail-out-17.example.org").before("[2001:db8:1:2:3:4:5:6]"),
            Cell::new("mx.example").before("[192.0.2.7]"),
            Cell::default().before("198.51.100.0/24"),
        ];
        for client in clients {
            table.push([client, Cell::new("ann@example.org"), Cell::from(1)]);
        }
        let cases = [
            (
                None,
                "
mail-out-17.example.org[2001:db8:1:2:3:4:5:6]  ann@example.org  1
mx.example[192.0.2.7]                          ann@example.org  1
198.51.100.0/24                                ann@example.org  1
",
            ),
            (
                Some(60),
                "
mail-out-…mple.org[2001:db8:1:2:3:4:5:6]  ann@example.org  1
mx.example[192.0.2.7]                     ann@example.org  1
198.51.100.0/24                           ann@example.org  1
",
            ),
            (
                Some(20),
                "
mail…org[2001:db8:1:2:3:4:5:6]  ann@example.org  1
mx.example[192.0.2.7]           ann@example.org  1
198.51.100.0/24                 ann@example.org  1
",
            ),
        ];
        for (width, want) in cases {
            let terminal = TerminalStyle {
                width,
                ..TerminalStyle::plain().with_legend(false)
            };
            assert_eq!(format!("\n{}", table.render(&terminal)), want, "{width:?}");
        }
    }

    #[test]
    fn a_column_without_a_text_is_left_out() {
        let mut table = Table::new(&COLUMNS, ("entry", "entries"));
        table.push(["192.0.2.0/24", "", "", "5s"].map(Cell::from));
        let want = "NETWORK       AGO\n192.0.2.0/24   5s\n\n1 entry listed.\n";
        assert_eq!(table.render(&TerminalStyle::plain()), want);
    }

    #[test]
    fn without_a_terminal_a_long_text_makes_its_own_line_long_only() {
        let mut table = Table::new(&COLUMNS, ("entry", "entries"));
        let long = "x".repeat(15_000);
        table.push(["192.0.2.0/24", "ann@example.org", "bob@example.net", "5s"].map(Cell::from));
        table.push(["192.0.2.0/24", &long, "bob@example.net", "5s"].map(Cell::from));
        let text = table.render(&TerminalStyle::plain());
        let lengths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [100, 100, 15_036, 0, 17], "{text}");
        assert!(text.contains(&long));
    }

    #[test]
    fn without_a_legend_there_are_rows_only() {
        let terminal = TerminalStyle::plain().with_legend(false);
        let mut table = Table::new(&COLUMNS, ("entry", "entries"));
        assert_eq!(table.render(&terminal), "");
        assert_eq!(table.render(&TerminalStyle::plain()), "0 entries listed.\n");
        table.push(["a", "b"].map(Cell::from));
        assert_eq!(table.render(&terminal), "a  b\n");
        assert!(
            table
                .render(&TerminalStyle::plain())
                .ends_with("\n\n1 entry listed.\n")
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let terminal = TerminalStyle {
            colours: true,
            ..TerminalStyle::plain()
        };
        let columns = [Column::right("A"), Column::left("B")];
        let mut table = Table::new(&columns, ("row", "rows"));
        table.push([
            Cell::from(7).styled(Style::Bad),
            Cell::new("x").styled(Style::Good),
        ]);
        table.push([Cell::from(12), Cell::new("y")]);
        let want = " \x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n \x1b[31m7\x1b[0m  \x1b[32mx\x1b[0m\n12  y\n\n2 rows listed.\n";
        assert_eq!(table.render(&terminal), want);
    }
}

//! Tables in the manner of systemctl: headings in capitals, two blanks between columns, a last line that
//! counts.
//!
//! Where a table is wider than the terminal, the columns that may shrink do so, the widest first, and
//! their texts lose the middle. Where that is not enough lines are as long as they are.

use std::iter;

use super::{Cell, Manner, Side, Style, filling, shortened, width};

/// Between two columns.
const GAP: &str = "  ";

/// No column shrinks below this.
const NARROWEST: usize = 8;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    heading: &'static str,
    side: Side,
    may_shrink: bool,
}

impl Column {
    /// A column of texts.
    #[must_use]
    pub const fn left(heading: &'static str) -> Self {
        Self {
            heading,
            side: Side::Left,
            may_shrink: false,
        }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn right(heading: &'static str) -> Self {
        Self {
            heading,
            side: Side::Right,
            may_shrink: false,
        }
    }

    /// The same, whose texts may lose their middle.
    #[must_use]
    pub const fn shrinking(mut self) -> Self {
        self.may_shrink = true;
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

    /// Puts a row at the end; cells beyond the columns are not shown.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        self.rows.push(row.into_iter().collect());
    }

    /// The table as text. Without a legend neither headings nor the line that counts.
    #[must_use]
    pub fn render(&self, manner: &Manner) -> String {
        let mut out = String::new();
        let widths = self.widths(manner);
        if manner.legend && !self.rows.is_empty() {
            let headings: Vec<_> = self
                .columns
                .iter()
                .map(|column| Cell::new(column.heading).styled(Style::Bold))
                .collect();
            self.line(&mut out, &headings, &widths, manner);
        }
        for row in &self.rows {
            self.line(&mut out, row, &widths, manner);
        }
        if manner.legend {
            let count = self.rows.len();
            let noun = if count == 1 { self.noun.0 } else { self.noun.1 };
            let apart = if count == 0 { "" } else { "\n" };
            out.extend([apart, &count.to_string(), " ", noun, " listed.\n"]);
        }
        out
    }

    /// How wide the columns are shown.
    fn widths(&self, manner: &Manner) -> Vec<usize> {
        let mut columns: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let heading = if manner.legend {
                    width(column.heading)
                } else {
                    0
                };
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                let natural = cells
                    .map(|cell| width(&cell.text))
                    .fold(heading, usize::max);
                let least = if column.may_shrink {
                    heading.max(NARROWEST).min(natural)
                } else {
                    natural
                };
                (natural, least)
            })
            .collect();
        if let Some(limit) = manner.width {
            shrink(&mut columns, limit);
        }
        columns.into_iter().map(|(wide, _)| wide).collect()
    }

    /// Puts one line behind `out`.
    fn line(&self, out: &mut String, cells: &[Cell], widths: &[usize], manner: &Manner) {
        let empty = Cell::default();
        let cells = cells.iter().chain(iter::repeat(&empty));
        let mut apart = String::new();
        for ((column, wide), cell) in iter::zip(&self.columns, widths).zip(cells) {
            let text = shortened(&cell.text, *wide, manner);
            let filling = filling(&text, *wide);
            if column.side == Side::Right {
                apart.push_str(&filling);
            }
            // Blanks are written before a text only: no line ends with any.
            if !text.is_empty() {
                out.push_str(&apart);
                apart.clear();
                cell.style.paint(out, &text, manner);
            }
            if column.side == Side::Left {
                apart.push_str(&filling);
            }
            apart.push_str(GAP);
        }
        out.push('\n');
    }
}

/// Takes from the widest columns what they can spare until all fit into `limit`. Each has a width and the
/// least that it can do with.
fn shrink(columns: &mut [(usize, usize)], limit: usize) {
    let gaps = columns.len().saturating_sub(1).saturating_mul(GAP.len());
    let all: usize = columns.iter().map(|(wide, _)| wide).sum();
    let mut excess = all.saturating_add(gaps).saturating_sub(limit);
    while excess > 0 {
        let able = columns.iter_mut().filter(|(wide, least)| wide > least);
        let Some((wide, _)) = able.max_by_key(|(wide, _)| *wide) else {
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
        let manner = Manner {
            width,
            ..Manner::plain()
        };
        format!("\n{}", table().render(&manner))
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
    fn without_a_legend_there_are_rows_only() {
        let manner = Manner::plain().with_legend(false);
        let mut table = Table::new(&COLUMNS, ("entry", "entries"));
        assert_eq!(table.render(&manner), "");
        assert_eq!(table.render(&Manner::plain()), "0 entries listed.\n");
        table.push(["a", "b"].map(Cell::from));
        assert_eq!(table.render(&manner), "a  b\n");
        assert!(
            table
                .render(&Manner::plain())
                .ends_with("\n\n1 entry listed.\n")
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let manner = Manner {
            colours: true,
            ..Manner::plain()
        };
        let columns = [Column::right("A"), Column::left("B")];
        let mut table = Table::new(&columns, ("row", "rows"));
        table.push([
            Cell::from(7).styled(Style::Bad),
            Cell::new("x").styled(Style::Good),
        ]);
        table.push([Cell::from(12), Cell::new("y")]);
        let want = " \x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n \x1b[31m7\x1b[0m  \x1b[32mx\x1b[0m\n12  y\n\n2 rows listed.\n";
        assert_eq!(table.render(&manner), want);
    }
}

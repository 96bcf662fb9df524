//! Horizontal bar charts.
//!
//! ```text
//! Monday   ████████████████████▓▓▓▓▓▓▓▓▓▓  30
//! Tuesday  ██████████                      10
//!
//! █ passed 30  ▓ deferred 10  total 40
//! ```
//!
//! All bars have the same scale; the longest fills the remaining width. A part greater than zero is visible at any
//! scale. Bars of a single part have a resolution of an eighth of a column.

use super::{Plain, Style, TerminalStyle, USUAL_WIDTH, filling, shortened, width};

/// Between label, bar and value.
const GAP: &str = "  ";

/// Minimum width of a bar field.
const NARROWEST: usize = 10;

/// The fill characters of the parts, in order of first use; reused if there are more parts.
const FILLS: [char; 4] = ['█', '▓', '▒', '░'];

/// The same in ASCII.
const ASCII_FILLS: [char; 4] = ['#', '=', '-', '.'];

/// One to seven eighths of a column.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A name of parts in all bars.
#[derive(Debug, Clone)]
struct Series {
    name: String,
    style: Style,
    total: u128,
}

/// Bars with labels.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    series: Vec<Series>,
    /// Labels, and the values by the index of their series.
    bars: Vec<(String, Vec<(usize, u64)>)>,
}

impl Chart {
    /// An empty chart.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names parts before they come up, in the order they are to be drawn, and says how they look.
    #[must_use]
    pub fn with_series(mut self, name: &str, style: Style) -> Self {
        let index = self.index(name);
        if let Some(series) = self.series.get_mut(index) {
            series.style = style;
        }
        self
    }

    /// Appends a bar of parts with a name and a value each.
    pub fn push<'a>(
        &mut self,
        label: impl AsRef<str>,
        parts: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let mut values = Vec::new();
        for (name, value) in parts {
            let index = self.index(name);
            if let Some(series) = self.series.get_mut(index) {
                series.total = series.total.saturating_add(value.into());
            }
            values.push((index, value));
        }
        values.sort_by_key(|(index, _)| *index);
        let label = Plain(label.as_ref()).to_string();
        self.bars.push((label, values));
    }

    /// The chart as text; the line with names and totals only with a legend.
    #[must_use]
    pub fn render(&self, terminal: &TerminalStyle) -> String {
        let sums: Vec<u128> = self.bars.iter().map(|(_, parts)| sum(parts)).collect();
        let most = sums.iter().copied().max().unwrap_or_default();
        let room = terminal.width.unwrap_or(USUAL_WIDTH);
        let labels = self.bars.iter().map(|(label, _)| width(label)).max();
        let labels = labels.unwrap_or_default().min((room / 3).max(NARROWEST));
        let values = most.to_string().len();
        let gaps = GAP.len().saturating_mul(2);
        let taken = labels.saturating_add(values).saturating_add(gaps);
        let columns = room.saturating_sub(taken).max(NARROWEST);
        let mut out = String::new();
        for ((label, parts), sum) in self.bars.iter().zip(sums) {
            let label = shortened(label, labels, terminal);
            let value = sum.to_string();
            out.extend([label.as_str(), &filling(&label, labels), GAP]);
            let drawn = self.draw(&mut out, parts, (most, columns), terminal);
            out.push_str(&" ".repeat(columns.saturating_sub(drawn)));
            out.extend([GAP, &filling(&value, values), &value, "\n"]);
        }
        if terminal.legend && !self.bars.is_empty() {
            out.push('\n');
            self.legend(&mut out, terminal);
        }
        out
    }

    /// Draws a bar; so many columns are `most`. Says how many were taken.
    fn draw(
        &self,
        out: &mut String,
        parts: &[(usize, u64)],
        (most, columns): (u128, usize),
        terminal: &TerminalStyle,
    ) -> usize {
        let is_fine = terminal.utf8 && self.series.len() == 1;
        let steps = if is_fine { 8 } else { 1 };
        let mut drawn = 0_usize;
        for (index, length) in lengths(parts, most, columns.saturating_mul(steps)) {
            let mut bar = fill(index, terminal).to_string().repeat(length / steps);
            let rest = (length % steps).checked_sub(1);
            bar.extend(rest.and_then(|eighths| EIGHTHS.get(eighths)));
            drawn = drawn.saturating_add(width(&bar));
            self.style(index).paint(out, &bar, terminal);
        }
        drawn
    }

    /// Puts the names and their totals behind `out`, on as many lines as it takes.
    fn legend(&self, out: &mut String, terminal: &TerminalStyle) {
        let room = terminal.width.unwrap_or(USUAL_WIDTH);
        let mut used = 0_usize;
        let mut place = |out: &mut String, wide: usize| {
            let begun = used.saturating_add(GAP.len()).saturating_add(wide);
            let fits = used > 0 && begun <= room;
            match (used, fits) {
                (0, _) => {}
                (_, true) => out.push_str(GAP),
                (_, false) => out.push('\n'),
            }
            used = if fits { begun } else { wide };
        };
        for (index, series) in self.series.iter().enumerate() {
            let mark = fill(index, terminal).to_string();
            let text = format!(" {} {}", series.name, series.total);
            place(out, width(&text).saturating_add(1));
            series.style.paint(out, &mark, terminal);
            out.push_str(&text);
        }
        if self.series.len() > 1 {
            let total: u128 = self.series.iter().map(|series| series.total).sum();
            let text = format!("total {total}");
            place(out, width(&text));
            out.push_str(&text);
        }
        out.push('\n');
    }

    /// The index of a series, which is made where there is none.
    fn index(&mut self, name: &str) -> usize {
        let name = Plain(name).to_string();
        let known = self.series.iter().position(|series| series.name == name);
        known.unwrap_or_else(|| {
            self.series.push(Series {
                name,
                style: Style::Plain,
                total: 0,
            });
            self.series.len().saturating_sub(1)
        })
    }

    /// The style of a series.
    fn style(&self, index: usize) -> Style {
        self.series.get(index).map_or(Style::Plain, |s| s.style)
    }
}

/// The fill character of a series.
fn fill(index: usize, terminal: &TerminalStyle) -> char {
    let [first, ..] = FILLS;
    let fills = if terminal.utf8 { FILLS } else { ASCII_FILLS };
    fills.get(index % fills.len()).copied().unwrap_or(first)
}

/// All parts together.
fn sum(parts: &[(usize, u64)]) -> u128 {
    parts.iter().map(|(_, value)| u128::from(*value)).sum()
}

/// How many steps each part takes that is not nothing, so that `most` takes all `steps`.
fn lengths(parts: &[(usize, u64)], most: u128, steps: usize) -> Vec<(usize, usize)> {
    let mut lengths: Vec<(usize, usize)> = Vec::new();
    let mut value_before = 0_u128;
    let mut before = 0_usize;
    for (index, value) in parts.iter().filter(|(_, value)| *value > 0) {
        value_before = value_before.saturating_add(u128::from(*value));
        let end = scaled(value_before, most, steps);
        let length = end.saturating_sub(before).max(1);
        lengths.push((*index, length));
        before = before.saturating_add(length);
    }
    // What was made longer to be seen at all is taken from the longest.
    while before > steps
        && let Some((_, longest)) = lengths.iter_mut().max_by_key(|(_, length)| *length)
        && *longest > 1
    {
        *longest = longest.saturating_sub(1);
        before = before.saturating_sub(1);
    }
    lengths
}

/// `value` of `most` as steps of `steps`, to the nearest.
fn scaled(value: u128, most: u128, steps: usize) -> usize {
    let most = most.max(1);
    let steps = u128::try_from(steps).unwrap_or(u128::MAX);
    let exact = value.saturating_mul(steps);
    let nearest = exact.saturating_add(most / 2) / most;
    usize::try_from(nearest).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(width: usize, utf8: bool) -> TerminalStyle {
        TerminalStyle {
            width: Some(width),
            utf8,
            ..TerminalStyle::plain()
        }
    }

    fn days() -> Chart {
        let mut chart = Chart::new().with_series("passed", Style::Good);
        chart.push("Monday", [("passed", 100), ("deferred", 900)]);
        chart.push("Tuesday", [("deferred", 240), ("passed", 1)]);
        chart.push("Wednesday, a holiday", []);
        chart
    }

    #[test]
    fn parts_at_80_columns() {
        let want = "
Monday                █████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  1000
Tuesday               █▓▓▓▓▓▓▓▓▓▓▓▓                                          241
Wednesday, a holiday                                                           0

█ passed 101  ▓ deferred 1140  total 1241
";
        assert_eq!(format!("\n{}", days().render(&terminal(80, true))), want);
    }

    #[test]
    fn parts_at_40_columns_in_ascii() {
        let want = "
Monday         ##=================  1000
Tuesday        #====                 241
Wedne...liday                          0

# passed 101  = deferred 1140
total 1241
";
        assert_eq!(format!("\n{}", days().render(&terminal(40, false))), want);
    }

    #[test]
    fn one_part_is_drawn_to_an_eighth() {
        let mut chart = Chart::new();
        for count in [80, 79, 78, 44, 1, 0] {
            chart.push(format!("{count} of 80"), [("mails", count)]);
        }
        let want = "
80 of 80  ████████████████  80
79 of 80  ███████████████▊  79
78 of 80  ███████████████▋  78
44 of 80  ████████▊         44
1 of 80   ▎                  1
0 of 80                      0

█ mails 282
";
        assert_eq!(format!("\n{}", chart.render(&terminal(30, true))), want);
    }

    #[test]
    fn the_smallest_part_is_seen_and_nothing_overflows() {
        let mut chart = Chart::new();
        chart.push("a", [("x", 1_000_000), ("y", 1), ("z", 1)]);
        chart.push("b", [("z", 1), ("y", 0)]);
        let want = "
a  ############=-  1000002
b  -                     1

# x 1000000  = y 1  - z 2
total 1000003
";
        assert_eq!(format!("\n{}", chart.render(&terminal(26, false))), want);
    }

    #[test]
    fn nothing_is_no_chart() {
        assert_eq!(Chart::new().render(&terminal(80, true)), "");
        let mut chart = Chart::new();
        chart.push("none", [("mails", 0)]);
        let want = format!("none  {}  0\n\n█ mails 0\n", " ".repeat(71));
        assert_eq!(chart.render(&terminal(80, true)), want);
    }

    #[test]
    fn no_number_is_too_large() {
        let mut chart = Chart::new();
        chart.push("a", [("x", u64::MAX), ("y", u64::MAX)]);
        let want = "
a  ##############==============  36893488147419103230

# x 18446744073709551615  = y 18446744073709551615
total 36893488147419103230
";
        assert_eq!(format!("\n{}", chart.render(&terminal(53, false))), want);
    }
}

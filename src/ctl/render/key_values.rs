//! Labelled values, one a line, in the style of `systemctl status`.
//!
//! ```text
//!    Mode: greylist
//!   Since: Sun 2026-11-22 04:33:17 CET
//! ```
//!
//! A long text continues on the next line, indented.

use super::{Cell, Style, TerminalStyle, USUAL_WIDTH, filling, width};

/// Minimum width of a text.
const NARROWEST: usize = 20;

/// Texts with labels.
#[derive(Debug, Clone, Default)]
pub struct KeyValues {
    rows: Vec<(Cell, Cell)>,
}

impl KeyValues {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a text with a label.
    #[must_use]
    pub fn with(mut self, label: &str, text: impl Into<Cell>) -> Self {
        self.rows.push((Cell::new(label), text.into()));
        self
    }

    /// The same, if there is a text.
    #[must_use]
    pub fn with_some(self, label: &str, text: Option<impl Into<Cell>>) -> Self {
        match text {
            Some(text) => self.with(label, text),
            None => self,
        }
    }

    /// All as text.
    #[must_use]
    pub fn render(&self, terminal: &TerminalStyle) -> String {
        let labels = self.rows.iter().map(|(label, _)| width(&label.text));
        let labels = labels.max().unwrap_or_default();
        let begin = labels.saturating_add(2);
        let room = terminal.width.map(|columns| {
            let room = columns.saturating_sub(begin);
            room.max(NARROWEST.min(USUAL_WIDTH))
        });
        let mut out = String::new();
        for (label, cell) in &self.rows {
            out.push_str(&filling(&label.text, labels));
            Style::Dim.paint(&mut out, &label.text, terminal);
            out.push(':');
            for (number, line) in folded(&cell.text, room).iter().enumerate() {
                let indent = if number == 0 { 1 } else { begin };
                if !line.is_empty() {
                    out.push_str(&" ".repeat(indent));
                    cell.style.paint(&mut out, line, terminal);
                }
                out.push('\n');
            }
        }
        out
    }
}

/// `text` in lines of so many columns, broken at blanks; a word that is longer stands alone.
pub(super) fn folded(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else {
        return vec![text.to_owned()];
    };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let wanted = width(line).saturating_add(1).saturating_add(width(word));
        if line.is_empty() {
            line.push_str(word);
        } else if wanted <= room {
            line.extend([" ", word]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_end_and_texts_begin_in_one_column() {
        let terminal = TerminalStyle {
            width: Some(40),
            ..TerminalStyle::plain()
        };
        let values = KeyValues::new()
            .with("Mode", "greylist")
            .with_some("Nothing", None::<&str>)
            .with(
                "Why",
                "the client came back before the delay was over, as a server does",
            )
            .with("Empty", "")
            .with("Entry", "\u{1b}");
        let want = "
 Mode: greylist
  Why: the client came back before the
       delay was over, as a server does
Empty:
Entry: \\x1b
";
        assert_eq!(format!("\n{}", values.render(&terminal)), want);
    }

    #[test]
    fn without_a_limit_nothing_is_folded() {
        let long = "a ".repeat(100);
        let values = KeyValues::new().with("A", long.trim_end());
        assert_eq!(values.render(&TerminalStyle::plain()).lines().count(), 1);
    }
}

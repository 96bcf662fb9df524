//! Text for people: tables, charts, times in words.
//!
//! [`TerminalStyle`] sets the style of all output; [`Table`], [`KeyValues`] and [`Chart`] are filled and then rendered
//! to a text that ends with a line break. Nothing here prints.
//!
//! All text in a table or a chart goes through [`Plain`], so that neither a mail address nor a list entry can send
//! control characters to a terminal.

mod chart;
mod key_values;
mod plain;
mod table;
mod terminal_style;
mod words;

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

pub use chart::Chart;
pub use key_values::KeyValues;
pub use plain::Plain;
pub use table::{Column, Table};
pub use terminal_style::TerminalStyle;
pub use words::{ago, local_time, span, wrapped};

/// The width of a terminal of unknown width.
pub const USUAL_WIDTH: usize = 80;

/// The style of a text, where colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// No style.
    #[default]
    Plain,
    /// A good state.
    Good,
    /// A warning.
    Warn,
    /// An error.
    Bad,
    /// Of less interest.
    Dim,
    /// Of more interest.
    Bold,
}

impl Style {
    /// The parameters of ANSI's SGR sequence.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
            Self::Dim => Some("2"),
            Self::Bold => Some("1"),
        }
    }

    /// Appends `text` in this style to `out`.
    fn paint(self, out: &mut String, text: &str, terminal: &TerminalStyle) {
        let code = self.code().filter(|_| terminal.colours && !text.is_empty());
        // Writing to a String cannot fail.
        let written = match code {
            None => out.write_str(text),
            Some(code) => write!(out, "\x1b[{code}m{text}\x1b[0m"),
        };
        debug_assert!(written.is_ok());
    }
}

/// A text with a style.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    text: String,
    /// A suffix that is never shortened.
    whole: String,
    style: Style,
}

impl Cell {
    /// A cell with this text, control characters escaped.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: Plain(text.as_ref()).to_string(),
            whole: String::new(),
            style: Style::Plain,
        }
    }

    /// The same, with `whole` directly behind its text: it is shown whole where the text is shortened.
    #[must_use]
    pub fn before(mut self, whole: impl AsRef<str>) -> Self {
        self.whole = Plain(whole.as_ref()).to_string();
        self
    }

    /// The columns that it takes on a terminal.
    fn width(&self) -> usize {
        width(&self.text).saturating_add(width(&self.whole))
    }

    /// The columns that it takes at least, where texts are shortened to `narrowest` columns.
    fn least(&self, narrowest: usize) -> usize {
        let text = width(&self.text).min(narrowest);
        text.saturating_add(width(&self.whole))
    }

    /// The same in a style.
    #[must_use]
    pub fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::new(number.to_string())
    }
}

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The columns that `text` takes on a terminal.
fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Blanks that fill `text` up to `wanted` columns.
fn filling(text: &str, wanted: usize) -> String {
    " ".repeat(wanted.saturating_sub(width(text)))
}

/// `text` in no more than `wanted` columns: what is too long loses its middle.
fn shortened(text: &str, wanted: usize, terminal: &TerminalStyle) -> String {
    if width(text) <= wanted {
        return text.to_owned();
    }
    let mark = if terminal.utf8 { "…" } else { "..." };
    let Some(room) = wanted.checked_sub(width(mark)) else {
        return ".".repeat(wanted);
    };
    let behind = room / 2;
    let head = fitting(text.chars(), room.saturating_sub(behind));
    let tail = fitting(text.chars().rev(), behind);
    let tail: String = tail.chars().rev().collect();
    [&head, mark, &tail].concat()
}

/// As many characters as fit.
fn fitting(characters: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0_usize;
    characters
        .take_while(|c| {
            used = used.saturating_add(c.width().unwrap_or(0));
            used <= room
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_loses_its_middle() {
        let utf8 = TerminalStyle::plain();
        let ascii = TerminalStyle {
            utf8: false,
            ..utf8
        };
        let cases = [
            ("ann@example.org", 15, "ann@example.org", "ann@example.org"),
            ("ann@example.org", 14, "ann@exa…le.org", "ann@ex...e.org"),
            ("ann@example.org", 3, "a…g", "..."),
            ("ann@example.org", 1, "…", "."),
            ("ann@example.org", 0, "", ""),
            ("日本語日本語", 12, "日本語日本語", "日本語日本語"),
            ("日本語日本語", 8, "日本…語", "日...語"),
        ];
        for (text, wanted, want_utf8, want_ascii) in cases {
            assert_eq!(shortened(text, wanted, &utf8), want_utf8, "{text} {wanted}");
            assert_eq!(
                shortened(text, wanted, &ascii),
                want_ascii,
                "{text} {wanted}"
            );
            assert!(width(want_utf8) <= wanted && width(want_ascii) <= wanted);
        }
    }

    #[test]
    fn styles_are_shown_where_there_are_colours() {
        let painted = |style: Style, colours| {
            let terminal = TerminalStyle {
                colours,
                ..TerminalStyle::plain()
            };
            let mut out = String::new();
            style.paint(&mut out, "on", &terminal);
            style.paint(&mut out, "", &terminal);
            out
        };
        assert_eq!(painted(Style::Good, true), "\x1b[32mon\x1b[0m");
        assert_eq!(painted(Style::Plain, true), "on");
        assert_eq!(painted(Style::Bad, false), "on");
    }

    #[test]
    fn no_control_character_comes_through() {
        assert_eq!(Cell::new("a\x1b[31m\\xff").text, "a\\x1b[31m\\xff");
    }
}

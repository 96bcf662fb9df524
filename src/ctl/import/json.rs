//! Reader of the output of `export`: JSON, a record a line.
//!
//! # On disk
//!
//! ```text
//! {"counted":true,"schema":1,"stargrey":"export","version":"0.1.0"}
//! {"kind":"triplet",…}
//! …
//! {"records":1234,"stargrey":"end"}
//! ```
//!
//! The first line says what it is, under which schema, which version has written it, and with `counted` that there is
//! a last line, which states the number of lines between the two. Without that line, or with another number of lines,
//! the export is incomplete. Earlier versions wrote neither `counted` nor the last line.
//!
//! Each line between them is a D-Bus row: numbers, booleans and strings under the keys of [`api`](crate::api). Empty
//! lines are ignored and not counted. A line that is not a row is counted and skipped.

use std::io::BufRead;

use serde_json::{Map, Value, json};

use super::line::{Line, Lines};
use super::{ReadError, Skip};
use crate::api::Dict;
use crate::ctl::json::row;
use crate::types::counted;

/// The schema that is written, and the only one that is read.
const SCHEMA: u64 = 1;

/// The first line.
#[must_use]
pub fn header() -> Value {
    json!({
        "stargrey": "export",
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "counted": true,
    })
}

/// The last line of an export with this number of records.
#[must_use]
pub fn trailer(records: u64) -> Value {
    json!({
        "stargrey": "end",
        "records": records,
    })
}

/// The number that a last line states; `None` for any other line.
fn stated(object: &Map<String, Value>) -> Option<u64> {
    let number = object.get("records")?.as_u64()?;
    (Value::Object(object.clone()) == trailer(number)).then_some(number)
}

/// Why an export cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No line can be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The first line is another one.
    #[error("this was not written by stargreyctl export: its first line is missing")]
    Header,
    /// The first line names another schema.
    #[error(
        "this was written by stargrey {version}, with a schema that this version does not support"
    )]
    Schema {
        /// By which version.
        version: String,
    },
    /// There is no last line.
    #[error(
        "the export is incomplete: it ends after {}, without the line that states how many there are",
        counted(*records, "record", "records")
    )]
    Incomplete {
        /// The records that are there.
        records: u64,
    },
    /// The last line states another number.
    #[error(
        "the export is incomplete or was changed: its last line states {}, and there {} {found}",
        counted(*stated, "record", "records"),
        if *.found == 1 { "is" } else { "are" }
    )]
    Count {
        /// By the last line.
        stated: u64,
        /// The records that are there.
        found: u64,
    },
    /// There is a line below the last one.
    #[error("line {0}: there is text after the last line of the export")]
    Beyond(u64),
}

/// An item of an export.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonItem {
    /// A D-Bus row.
    Row(Dict),
    /// A line that is not a row.
    Skipped(Skip),
    /// The end of an export without a last line, as earlier versions wrote them: it may be incomplete.
    Uncounted,
}

/// The rows of an export.
#[derive(Debug)]
pub struct JsonLines<R> {
    lines: Lines<R>,
    /// Lines between the first and the last.
    records: u64,
    position: Position,
}

/// The object of a line, or why the line is skipped.
type ParsedLine = Result<Map<String, Value>, Skip>;

/// The position of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before the first line.
    Header,
    /// Among the rows.
    Rows {
        /// Whether a last line must follow.
        is_counted: bool,
    },
    /// After the last line or an error.
    End,
}

impl<R: BufRead> JsonLines<R> {
    /// Reads an export from `reader`.
    pub const fn new(reader: R) -> Self {
        Self {
            lines: Lines::new(reader),
            records: 0,
            position: Position::Header,
        }
    }

    /// The next item, `None` at the end.
    fn item(&mut self) -> Result<Option<JsonItem>, LineError> {
        let is_counted = match self.position {
            Position::Header => self.header()?,
            Position::Rows { is_counted } => is_counted,
            Position::End => return Ok(None),
        };
        self.position = Position::Rows { is_counted };
        let found = match self.line()? {
            Some(found) => found,
            None if is_counted => {
                let records = self.records;
                return Err(LineError::Incomplete { records });
            }
            None => {
                self.position = Position::End;
                return Ok(Some(JsonItem::Uncounted));
            }
        };
        if let Ok(object) = &found
            && let Some(stated) = stated(object)
        {
            self.position = Position::End;
            return self.end(stated).map(|()| None);
        }
        self.records = self.records.saturating_add(1);
        let row = found.and_then(|object| row(object).ok_or(Skip::Json));
        Ok(Some(row.map_or_else(JsonItem::Skipped, JsonItem::Row)))
    }

    /// The object of the next line that is not empty, or why it is skipped; `None` at the end.
    fn line(&mut self) -> Result<Option<ParsedLine>, LineError> {
        loop {
            let line = match self.lines.next()? {
                None => return Ok(None),
                Some(Line::TooLong) => return Ok(Some(Err(Skip::TooLong))),
                Some(Line::Text(line)) => line,
            };
            if !line.trim_ascii().is_empty() {
                return Ok(Some(serde_json::from_slice(line).map_err(|_| Skip::Json)));
            }
        }
    }

    /// Checks the number in the last line, and that no line follows.
    fn end(&mut self, stated: u64) -> Result<(), LineError> {
        let found = self.records;
        if found != stated {
            return Err(LineError::Count { stated, found });
        }
        match self.line()? {
            None => Ok(()),
            Some(_) => Err(LineError::Beyond(self.lines.number())),
        }
    }

    /// Reads the first line and returns whether a last one must follow. A file without the first line is not an export.
    fn header(&mut self) -> Result<bool, LineError> {
        let Some(Ok(object)) = self.line()? else {
            return Err(LineError::Header);
        };
        let wanted = header();
        if object.get("stargrey") != wanted.get("stargrey") {
            return Err(LineError::Header);
        }
        if object.get("schema") != wanted.get("schema") {
            let version = object.get("version").and_then(Value::as_str);
            let version = version.unwrap_or("of another version").to_owned();
            return Err(LineError::Schema { version });
        }
        Ok(object.get("counted") == wanted.get("counted"))
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<JsonItem, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.item();
        if item.is_err() {
            self.position = Position::End;
        }
        item.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::LONGEST_LINE;
    use super::*;

    /// What each line is.
    fn read(text: &str) -> Result<Vec<JsonItem>, String> {
        JsonLines::new(text.as_bytes())
            .map(|item| item.map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn what_is_no_export_is_refused() {
        let cases = [
            (String::new(), "first line is missing"),
            ("{}".to_owned(), "first line is missing"),
            ("VERSION=3\n".to_owned(), "first line is missing"),
            (trailer(0).to_string(), "first line is missing"),
            (
                r#"{"stargrey":"export","schema":2,"version":"9.0"}"#.to_owned(),
                "written by stargrey 9.0",
            ),
        ];
        for (text, want) in cases {
            let error = read(&text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_passed_over() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST_LINE));
        let cases = [
            ("x", Skip::Json),
            ("[]", Skip::Json),
            (r#"{"a":null}"#, Skip::Json),
            (r#"{"a":-1}"#, Skip::Json),
            (r#"{"a":"b\u0000"}"#, Skip::Json),
            (r#"{"a\u0000":1}"#, Skip::Json),
            (long.as_str(), Skip::TooLong),
        ];
        let (first, last) = (header(), trailer(3));
        for (line, why) in cases {
            let text = format!("\n{first}\n{{\"a\":1}}\n\n{line}\n{{}}\n{last}\n\n");
            let items = read(&text).unwrap();
            let [JsonItem::Row(_), skipped, JsonItem::Row(_)] = items.as_slice() else {
                panic!("{why}: {items:?}");
            };
            assert_eq!(*skipped, JsonItem::Skipped(why), "{why}");
        }
    }

    #[test]
    fn every_beginning_of_an_export_is_known_for_one() {
        let text = format!("{}\n{{\"a\":1}}\n{{\"b\":2}}\n{}\n", header(), trailer(2));
        let end = text.len() - 1;
        for length in [end, text.len()] {
            let items = read(&text[..length]);
            assert_eq!(items.map(|items| items.len()), Ok(2), "{length}");
        }
        let first = header().to_string().len();
        for length in first..end {
            let error = read(&text[..length]).unwrap_err();
            assert!(
                error.starts_with("the export is incomplete: "),
                "{length}: {error}"
            );
        }
    }

    #[test]
    fn the_last_line_states_how_many_records_there_are_and_is_the_last() {
        let (row, last) = ("{\"a\":1}\n", trailer(1));
        for (name, rest, want) in [
            ("whole", format!("{row}{last}\n"), None),
            (
                "whole, with empty lines",
                format!("\n{row}\n{last}\n \n"),
                None,
            ),
            (
                "without the last line",
                row.to_owned(),
                Some(
                    "the export is incomplete: it ends after 1 record, without the line that states how many there are",
                ),
            ),
            (
                "without a record",
                last.to_string(),
                Some(
                    "the export is incomplete or was changed: its last line states 1 record, and there are 0",
                ),
            ),
            (
                "a record too many",
                format!("{row}{row}{last}"),
                Some(
                    "the export is incomplete or was changed: its last line states 1 record, and there are 2",
                ),
            ),
            (
                "another number",
                format!("{row}{}", trailer(5)),
                Some(
                    "the export is incomplete or was changed: its last line states 5 records, and there is 1",
                ),
            ),
            (
                "a record below it",
                format!("{row}{last}\n\n{row}"),
                Some("line 5: there is text after the last line of the export"),
            ),
            (
                "two exports",
                format!("{row}{last}\n{}\n{row}{last}\n", header()),
                Some("line 4: there is text after the last line of the export"),
            ),
        ] {
            let got = read(&format!("{}\n{rest}", header()));
            assert_eq!(got.err().as_deref(), want, "{name}");
        }
    }

    #[test]
    fn an_export_of_an_earlier_version_may_end_anywhere() {
        let first = r#"{"schema":1,"stargrey":"export","version":"0.1.0"}"#;
        for (rest, want) in [("", 0), ("\n{\"a\":1}", 1), ("\n{\"a\":1}\n{\"b\":", 2)] {
            let items = read(&format!("{first}{rest}")).unwrap();
            assert_eq!(items.len(), want + 1, "{rest:?}");
            assert_eq!(items.last(), Some(&JsonItem::Uncounted), "{rest:?}");
        }
    }
}

//! What `export` has written: JSON, a record a line.
//!
//! # On disk
//!
//! The first line says what it is, under which schema, and which version has written it:
//! `{"schema":1,"stargrey":"export","version":"0.1.0"}`. Each line below it is a row of the bus: numbers, truths
//! and texts under the keys of [`api`](crate::api). Empty lines mean nothing. A line that is no row is passed over.

use std::io::BufRead;

use serde_json::{Value, json};

use super::line::{Line, Lines};
use super::{ReadError, Skip};
use crate::api::Dict;
use crate::ctl::json::row;

/// The schema that is written, and the only one that is read.
const SCHEMA: u64 = 1;

/// The first line.
#[must_use]
pub fn header() -> Value {
    json!({
        "stargrey": "export",
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
    })
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
        "this was written by stargrey {version}, under a schema that this version does not read"
    )]
    Schema {
        /// By which version.
        version: String,
    },
}

/// The rows of an export.
#[derive(Debug)]
pub struct JsonLines<R> {
    lines: Lines<R>,
    is_begun: bool,
    is_over: bool,
}

impl<R: BufRead> JsonLines<R> {
    /// Reads an export from `reader`.
    pub const fn new(reader: R) -> Self {
        Self {
            lines: Lines::new(reader),
            is_begun: false,
            is_over: false,
        }
    }

    /// The next line, `None` at the end.
    fn row(&mut self) -> Result<Option<Result<Dict, Skip>>, LineError> {
        if !self.is_begun {
            self.header()?;
            self.is_begun = true;
        }
        loop {
            let line = match self.lines.next()? {
                None => return Ok(None),
                Some(Line::TooLong) => return Ok(Some(Err(Skip::TooLong))),
                Some(Line::Text(line)) => line,
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let row = match serde_json::from_slice(line) {
                Ok(Value::Object(object)) => row(object),
                Ok(_) | Err(_) => None,
            };
            return Ok(Some(row.ok_or(Skip::Json)));
        }
    }

    /// Reads the first line. Without it even an empty file is something else.
    fn header(&mut self) -> Result<(), LineError> {
        loop {
            let line = match self.lines.next()? {
                None | Some(Line::TooLong) => return Err(LineError::Header),
                Some(Line::Text(line)) => line,
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
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
            return Ok(());
        }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Result<Dict, Skip>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let row = self.row();
        self.is_over = !matches!(row, Ok(Some(_)));
        row.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::LONGEST_LINE;
    use super::*;

    /// What each line is: `None` for a row.
    fn read(text: &str) -> Result<Vec<Option<Skip>>, String> {
        JsonLines::new(text.as_bytes())
            .map(|row| row.map(Result::err).map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn what_is_no_export_is_refused() {
        let cases = [
            (String::new(), "first line is missing"),
            ("{}".to_owned(), "first line is missing"),
            ("VERSION=3\n".to_owned(), "first line is missing"),
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
        let good = header();
        assert_eq!(read(&good.to_string()), Ok(Vec::new()));
        for (line, why) in cases {
            let text = format!("\n{good}\n{{\"a\":1}}\n\n{line}\n{{}}\n");
            assert_eq!(read(&text), Ok(vec![None, Some(why), None]), "{why}");
        }
    }
}

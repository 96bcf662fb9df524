//! What `export` has written: JSON, a record a line.
//!
//! # On disk
//!
//! The first line says what it is, under which schema, and which version has written it:
//! `{"schema":1,"stargrey":"export","version":"0.1.0"}`. Each line below it is a row of the bus: numbers, truths
//! and texts under the keys of [`api`](crate::api). Empty lines mean nothing.

use std::io::BufRead;

use serde_json::{Value, json};

use super::ReadError;
use super::line::Lines;
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
    /// Not an object in JSON.
    #[error("line {0} is no JSON object")]
    Json(u64),
    /// There is something else in it.
    #[error("line {0} has something other than numbers, texts, true and false in it")]
    Value(u64),
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

    /// The next row, `None` at the end.
    fn row(&mut self) -> Result<Option<Dict>, LineError> {
        loop {
            let Some(line) = self.lines.next()? else {
                // Without its header even an empty file is something else.
                return if self.is_begun {
                    Ok(None)
                } else {
                    Err(LineError::Header)
                };
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let object = match serde_json::from_slice(line) {
                Ok(Value::Object(object)) => object,
                Ok(_) | Err(_) if self.is_begun => {
                    return Err(LineError::Json(self.lines.number()));
                }
                Ok(_) | Err(_) => return Err(LineError::Header),
            };
            if self.is_begun {
                let row = row(object).ok_or(LineError::Value(self.lines.number()))?;
                return Ok(Some(row));
            }
            let wanted = header();
            if object.get("stargrey") != wanted.get("stargrey") {
                return Err(LineError::Header);
            }
            if object.get("schema") != wanted.get("schema") {
                let version = object.get("version").and_then(Value::as_str);
                let version = version.unwrap_or("of another version").to_owned();
                return Err(LineError::Schema { version });
            }
            self.is_begun = true;
        }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Dict, LineError>;

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
    use super::*;

    fn read(text: &str) -> Result<usize, String> {
        let rows: Result<Vec<_>, _> = JsonLines::new(text.as_bytes()).collect();
        rows.map(|rows| rows.len())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_export_is_refused_with_the_line() {
        let good = header().to_string();
        let cases = [
            (String::new(), "first line is missing"),
            ("{}".to_owned(), "first line is missing"),
            ("VERSION=3\n".to_owned(), "first line is missing"),
            (
                r#"{"stargrey":"export","schema":2,"version":"9.0"}"#.to_owned(),
                "written by stargrey 9.0",
            ),
            (format!("{good}\n{{}}\nx"), "line 3 is no JSON"),
            (format!("{good}\n[]"), "line 2 is no JSON"),
            (
                format!("{good}\n\n{{\"a\":null}}"),
                "line 3 has something other",
            ),
        ];
        for (text, want) in cases {
            let error = read(&text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert_eq!(read(&good), Ok(0));
        assert_eq!(read(&format!("{good}\n{{\"a\":1}}\n\n{{}}\n")), Ok(2));
    }
}

//! The text that Berkeley DB's `db_dump` writes: keys and values of a database.
//!
//! # On the wire
//!
//! ```text
//! VERSION=3
//! format=print              or bytevalue
//! type=btree                or hash; others have no keys
//! db_pagesize=4096          and other names, which do not matter
//! HEADER=END
//!  192.0.2.0/a@b/c@d        a blank, the key; \NN for a byte in two hexadecimal digits, \\ for \
//!  1795235687,1795236087    a blank, its value
//! DATA=END
//! ```
//!
//! In `bytevalue` each byte is two hexadecimal digits. Several dumps may follow one another. A dump
//! without its last line was cut off and is an error, after the records that it does have. A record with a line that
//! is too long is skipped.

use std::io::BufRead;

use super::line::{Line, Lines};
use super::{ReadError, Skip};

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The line of the key, from 1.
    pub(super) line: u64,
    /// Both, or why they cannot be read.
    pub(super) content: Result<Content, Skip>,
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// The key.
    pub(super) key: Vec<u8>,
    /// The value.
    pub(super) value: Vec<u8>,
}

/// A line of the data.
enum Datum {
    /// A key or a value, unless it is too long.
    Bytes(Result<Vec<u8>, Skip>),
    /// The last line.
    End,
}

/// The encoding of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Two digits each.
    Digits,
    /// Printable bytes as they are.
    Printable,
}

/// The position in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before a dump, or after one.
    Outside,
    /// After a header.
    Data(Format),
    /// After an error.
    Over,
}

/// The records of a stream of dumps; nothing comes after an error.
#[derive(Debug)]
pub(super) struct Records<R> {
    lines: Lines<R>,
    position: Position,
}

impl<R: BufRead> Records<R> {
    /// Reads dumps from `reader`.
    pub(super) const fn new(reader: R) -> Self {
        Self {
            lines: Lines::new(reader),
            position: Position::Outside,
        }
    }

    /// The next record, `None` at the end of the stream.
    fn record(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            let format = match self.position {
                Position::Over => return Ok(None),
                Position::Data(format) => format,
                Position::Outside => match self.header()? {
                    None => return Ok(None),
                    Some(format) => format,
                },
            };
            self.position = Position::Data(format);
            let Datum::Bytes(key) = self.datum(format)? else {
                self.position = Position::Outside;
                continue;
            };
            let line = self.lines.number();
            // A key without a value.
            let Datum::Bytes(value) = self.datum(format)? else {
                return Err(ReadError::Encoding(self.lines.number()));
            };
            let content = key.and_then(|key| value.map(|value| Content { key, value }));
            return Ok(Some(Record { line, content }));
        }
    }

    /// Reads a header to its end; `None` when there is no further dump.
    fn header(&mut self) -> Result<Option<Format>, ReadError> {
        match self.lines.next()? {
            None => {
                // Not one dump: an empty file is none.
                return match self.lines.number() {
                    0 => Err(ReadError::NotADump(1)),
                    _ => Ok(None),
                };
            }
            Some(Line::Text(b"VERSION=3")) => {}
            Some(Line::Text(_) | Line::TooLong) => {
                return Err(ReadError::NotADump(self.lines.number()));
            }
        }
        let mut format = None;
        loop {
            let line = match self.lines.next()? {
                Some(Line::Text(line)) => Some(line.to_owned()),
                Some(Line::TooLong) => None,
                None => return Err(ReadError::EndsEarly(self.lines.number())),
            };
            let wrong = ReadError::Header(self.lines.number());
            let Some(line) = line else {
                return Err(wrong);
            };
            match line.as_slice() {
                b"HEADER=END" => return format.map(Some).ok_or(wrong),
                b"format=print" => format = Some(Format::Printable),
                b"format=bytevalue" => format = Some(Format::Digits),
                b"type=btree" | b"type=hash" => {}
                other if other.starts_with(b"format=") || other.starts_with(b"type=") => {
                    return Err(wrong);
                }
                other if other.starts_with(b" ") || !other.contains(&b'=') => return Err(wrong),
                _ => {}
            }
        }
    }

    /// The next key or value, or the line that ends the data.
    fn datum(&mut self, format: Format) -> Result<Datum, ReadError> {
        let bytes = match self.lines.next()? {
            None => return Err(ReadError::EndsEarly(self.lines.number())),
            Some(Line::TooLong) => return Ok(Datum::Bytes(Err(Skip::TooLong))),
            Some(Line::Text(b"DATA=END")) => return Ok(Datum::End),
            Some(Line::Text(line)) => line.strip_prefix(b" ").and_then(|text| match format {
                Format::Digits => digits(text),
                Format::Printable => printable(text),
            }),
        };
        let bytes = bytes.ok_or(ReadError::Encoding(self.lines.number()))?;
        Ok(Datum::Bytes(Ok(bytes)))
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.record();
        if next.is_err() {
            self.position = Position::Over;
        }
        next.transpose()
    }
}

/// A byte in two hexadecimal digits.
fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16);
    let value = digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?;
    u8::try_from(value).ok()
}

/// Undoes `bytevalue`.
fn digits(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| byte(*high, *low)).collect();
    rest.is_empty().then_some(bytes)?
}

/// Undoes `print`.
fn printable(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', high, low, rest @ ..] => {
                bytes.push(byte(*high, *low)?);
                rest
            }
            [b'\\', ..] => return None,
            [plain, rest @ ..] => {
                bytes.push(*plain);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::super::line::LONGEST_LINE;
    use super::*;

    const HEAD: &str = "VERSION=3\nformat=print\ntype=btree\ndb_pagesize=4096\nHEADER=END\n";

    fn read(text: &str) -> (Vec<(u64, String, String)>, Option<String>) {
        let mut rows = Vec::new();
        let mut error = None;
        for record in Records::new(text.as_bytes()) {
            match record {
                Ok(Record {
                    line,
                    content: Ok(Content { key, value }),
                }) => rows.push((
                    line,
                    key.escape_ascii().to_string(),
                    value.escape_ascii().to_string(),
                )),
                Ok(Record {
                    line,
                    content: Err(why),
                }) => rows.push((line, why.word().to_owned(), String::new())),
                Err(wrong) => error = Some(wrong.to_string()),
            }
        }
        (rows, error)
    }

    fn row(line: u64, key: &str, value: &str) -> (u64, String, String) {
        (line, key.to_owned(), value.to_owned())
    }

    #[test]
    fn both_formats_are_read() {
        let (rows, error) = read(&format!("{HEAD} a\\c3\\bc\\\\\n 1,2\n \n \nDATA=END\n"));
        let want = vec![row(6, r"a\xc3\xbc\\", "1,2"), row(8, "", "")];
        assert_eq!((rows, error), (want, None));
        let text = "VERSION=3\nformat=bytevalue\ntype=hash\nh_nelem=1\nHEADER=END\n 6100ff\n 312C32\nDATA=END\n";
        assert_eq!(read(text), (vec![row(6, r"a\x00\xff", "1,2")], None));
    }

    #[test]
    fn dumps_may_follow_one_another() {
        let (rows, error) = read(&format!(
            "{HEAD} a\n b\nDATA=END\n{HEAD}DATA=END\n{HEAD} c\n d\nDATA=END"
        ));
        let want = vec![row(6, "a", "b"), row(20, "c", "d")];
        assert_eq!((rows, error), (want, None));
    }

    #[test]
    fn a_record_with_a_line_that_is_too_long_is_passed_over() {
        let long = "a".repeat(LONGEST_LINE);
        let (rows, error) = read(&format!(
            "{HEAD} {long}\n 1\n b\n {long}\n {long}\n {long}\n c\n 2\nDATA=END\n"
        ));
        let skipped = |line| row(line, "too-long", "");
        let want = vec![skipped(6), skipped(8), skipped(10), row(12, "c", "2")];
        assert_eq!((rows, error), (want, None));
    }

    #[test]
    fn what_is_no_dump_says_where_it_is_not() {
        let head_of = |kind: &str| HEAD.replace("type=btree", kind);
        let cases = [
            ("empty", String::new(), 0, "line 1: not what db_dump"),
            (
                "no dump",
                "root:x:0\n".to_owned(),
                0,
                "line 1: not what db_dump",
            ),
            (
                "old dump",
                "VERSION=1\n".to_owned(),
                0,
                "line 1: not what db_dump",
            ),
            (
                "more behind",
                format!("{HEAD}DATA=END\nx\n"),
                0,
                "line 7: not what",
            ),
            (
                "no format",
                "VERSION=3\nHEADER=END\n".to_owned(),
                0,
                "line 2: the header",
            ),
            ("queue", head_of("type=queue"), 0, "line 3: the header"),
            ("data in header", head_of(" a"), 0, "line 3: the header"),
            (
                "head only",
                "VERSION=3\nformat=print\n".to_owned(),
                0,
                "the dump ends early, after line 2",
            ),
            (
                "cut off",
                format!("{HEAD} a\n b\n"),
                1,
                "the dump ends early, after line 7",
            ),
            (
                "cut within",
                format!("{HEAD} a\n b\n c\n"),
                1,
                "the dump ends early, after line 8",
            ),
            (
                "no value",
                format!("{HEAD} a\n b\n c\nDATA=END\n"),
                1,
                "line 9: not in the format",
            ),
            (
                "no blank",
                format!("{HEAD}a\n b\nDATA=END\n"),
                0,
                "line 6: not in the format",
            ),
            (
                "bad escape",
                format!("{HEAD} a\\4\n b\nDATA=END\n"),
                0,
                "line 6: not in the format",
            ),
            (
                "bad digit",
                format!("{HEAD} a\\4g\n b\nDATA=END\n"),
                0,
                "line 6: not in the format",
            ),
        ];
        for (name, text, want_rows, want_error) in cases {
            let (rows, error) = read(&text);
            assert_eq!(rows.len(), want_rows, "{name}");
            let error = error.expect(name);
            assert!(error.starts_with(want_error), "{name}: {error}");
        }
    }

    /// A line of data as `db_dump` writes it.
    fn written(bytes: &[u8], format: Format) -> String {
        let mut line = " ".to_owned();
        for byte in bytes {
            match (format, byte) {
                (Format::Printable, b'\\') => line.push_str("\\\\"),
                (Format::Printable, b' '..=b'~') => line.push(char::from(*byte)),
                (Format::Printable, _) => write!(line, "\\{byte:02x}").unwrap(),
                (Format::Digits, _) => write!(line, "{byte:02x}").unwrap(),
            }
        }
        line + "\n"
    }

    proptest! {
        #[test]
        fn all_that_is_written_is_read(rows: Vec<(Vec<u8>, Vec<u8>)>, is_printable: bool) {
            let (format, name) = if is_printable {
                (Format::Printable, "print")
            } else {
                (Format::Digits, "bytevalue")
            };
            let mut text = HEAD.replace("print", name);
            for (key, value) in &rows {
                text += &written(key, format);
                text += &written(value, format);
            }
            text += "DATA=END\n";
            let records: Result<Vec<_>, _> = Records::new(text.as_bytes()).collect();
            let records = records.unwrap().into_iter();
            let read = records.map(|record| {
                let content = record.content.unwrap();
                (content.key, content.value)
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), rows);
        }

        #[test]
        fn no_stream_reads_for_ever(text: Vec<u8>) {
            prop_assert!(Records::new(text.as_slice()).count() <= text.len().max(1));
            let headed = [HEAD.as_bytes(), &text].concat();
            prop_assert!(Records::new(headed.as_slice()).count() <= headed.len());
        }
    }
}

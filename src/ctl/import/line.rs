//! Reads the lines of a stream one at a time, with a length limit.

use std::io::{BufRead, Read};

use super::ReadError;

/// Maximum length of a line: a key of three parts, each far longer than SMTP allows, in two digits a byte.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its end.
    Text(&'a [u8]),
    /// It is longer than [`LONGEST_LINE`]; all of it has been read.
    TooLong,
}

/// Counts and reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line, `None` at the end of the stream.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        self.line.clear();
        let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        let mut limited = (&mut self.reader).take(limit.saturating_add(1));
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > LONGEST_LINE {
            self.line.clear();
            self.reader.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(&self.line)))
    }

    /// The number of the line read last, from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

/// A decimal number, nothing else.
pub(super) fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_longer_ones_are_passed_over() {
        let mut text = vec![b'a'; LONGEST_LINE];
        text.push(b'\n');
        text.extend(vec![b'b'; LONGEST_LINE + 1]);
        text.extend(b"\nc\n");
        text.extend(vec![b'd'; 3 * LONGEST_LINE]);
        let mut lines = Lines::new(text.as_slice());
        let longest = text.get(..LONGEST_LINE).unwrap();
        for want in [
            Some(Line::Text(longest)),
            Some(Line::TooLong),
            Some(Line::Text(b"c")),
            Some(Line::TooLong),
            None,
        ] {
            assert_eq!(lines.next().unwrap(), want);
        }
        assert_eq!(lines.number(), 4);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let mut lines = Lines::new(b"a\n\nb".as_slice());
        for want in [Some(b"a".as_slice()), Some(b""), Some(b"b"), None] {
            assert_eq!(lines.next().unwrap(), want.map(Line::Text));
        }
        assert_eq!(lines.number(), 3);
    }

    #[test]
    fn numbers_have_digits_only() {
        let cases: [(&[u8], Option<u32>); 6] = [
            (b"0", Some(0)),
            (b"4294967295", Some(u32::MAX)),
            (b"4294967296", None),
            (b"", None),
            (b"+1", None),
            (b" 1", None),
        ];
        for (text, want) in cases {
            assert_eq!(number::<u32>(text), want, "{}", text.escape_ascii());
        }
    }
}

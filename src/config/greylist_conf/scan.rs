//! Bytes to words, texts and expressions, with their places. What is expected where is the parser's affair.

use super::ast::Position;
use super::error::{Failure, SyntaxError};
use super::limits::MAX_TOKEN;

/// How much of what was found instead is shown.
const SHOWN: usize = 30;

/// A file while it is read. Nothing is copied but the text of the statement in hand.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u32,
    line_start: usize,
    /// The statement so far, in one line.
    statement: String,
    /// Whether blanks came after what was read last.
    after_blank: bool,
}

impl<'a> Scanner<'a> {
    /// Begins at the first line.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
            at: 0,
            line: 1,
            line_start: 0,
            statement: String::new(),
            after_blank: false,
        }
    }

    /// Where the next byte is.
    pub(super) fn position(&self) -> Position {
        let column = self.at.saturating_sub(self.line_start).saturating_add(1);
        Position {
            line: self.line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// Goes to the beginning of the next statement; `None` at the end of the file.
    pub(super) fn next_statement(&mut self) -> Result<Option<Position>, Failure> {
        self.statement.clear();
        loop {
            self.skip_blanks()?;
            self.after_blank = false;
            match self.byte() {
                Some(b'\n') => self.next_line(),
                Some(_) => return Ok(Some(self.position())),
                None => return Ok(None),
            }
        }
    }

    /// The statement as far as it was read, in one line and without comments.
    pub(super) fn statement(&self) -> &str {
        &self.statement
    }

    /// Goes past the rest of a statement that cannot be read. A backslash at the end of a line continues it.
    pub(super) fn skip_statement(&mut self) {
        let mut is_continued = false;
        while let Some(byte) = self.byte() {
            match byte {
                b'\n' if !is_continued => return,
                b'\n' => {
                    self.next_line();
                    is_continued = false;
                    continue;
                }
                b'\\' => is_continued = true,
                b' ' | b'\t' | b'\r' => {}
                b'#' if is_continued => {
                    self.skip_comment();
                    continue;
                }
                _ => is_continued = false,
            }
            self.advance(1);
        }
    }

    /// Whether the statement ends here.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Failure> {
        Ok(matches!(self.peek()?, None | Some(b'\n')))
    }

    /// The next byte that is not blank.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, Failure> {
        self.skip_blanks()?;
        Ok(self.byte())
    }

    /// Takes this symbol if it comes next.
    pub(super) fn eat(&mut self, symbol: &str) -> Result<bool, Failure> {
        self.skip_blanks()?;
        let is_next = self.rest().starts_with(symbol.as_bytes());
        if is_next {
            self.take(symbol.len())?;
        }
        Ok(is_next)
    }

    /// Takes the word that comes next, if one does: letters, digits and `._:%-`.
    pub(super) fn word(&mut self) -> Result<Option<&'a str>, Failure> {
        self.skip_blanks()?;
        let length = run(self.rest(), is_word);
        (length > 0).then(|| self.take(length)).transpose()
    }

    /// The word that comes next in lower case and without a colon behind it, not taken.
    pub(super) fn peek_keyword(&mut self) -> Result<Option<String>, Failure> {
        self.skip_blanks()?;
        let length = run(self.rest(), is_word).min(SHOWN);
        let word = self.rest().get(..length).unwrap_or_default();
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        Ok((length > 0).then(|| word.trim_end_matches(':').to_owned()))
    }

    /// Takes the name of a property if one comes next, without its `$`.
    pub(super) fn property(&mut self) -> Result<Option<&'a str>, Failure> {
        self.skip_blanks()?;
        let Some(name) = self.rest().strip_prefix(b"$") else {
            return Ok(None);
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let name = name.get(..run(name, is_name)).unwrap_or_default();
        // The minus of `$score-=5` is none of it.
        let length = name.iter().rposition(|byte| *byte != b'-');
        let Some(length) = length.map(|last| last.saturating_add(1)) else {
            return Err(self.expected("the name of a property"));
        };
        let taken = self.take(length.saturating_add(1))?;
        Ok(taken.strip_prefix('$'))
    }

    /// Takes the text in quotation marks that comes next, if one does.
    pub(super) fn quoted(&mut self) -> Result<Option<String>, Failure> {
        let inside = self.delimited(b'"', SyntaxError::OpenQuote)?;
        Ok(inside.map(|text| text.replace("\\\"", "\"")))
    }

    /// Takes the expression between slashes that comes next, if one does.
    pub(super) fn expression(&mut self) -> Result<Option<String>, Failure> {
        let at = self.position_of_next()?;
        let inside = self.delimited(b'/', SyntaxError::OpenExpression)?;
        if inside == Some("") {
            return Err((at, SyntaxError::EmptyExpression));
        }
        Ok(inside.map(|text| text.replace("\\/", "/")))
    }

    /// Takes the mail address that comes next, if one does.
    pub(super) fn mail_address(&mut self) -> Result<Option<&'a str>, Failure> {
        self.skip_blanks()?;
        let rest = self.rest();
        let local = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                run(quoted, |byte| byte.is_ascii_graphic() && byte != b'"').saturating_add(2)
            }
            None => run(rest, is_local),
        };
        let Some(domain) = rest.get(local..).and_then(|rest| rest.strip_prefix(b"@")) else {
            return Ok(None);
        };
        let domain = run(domain, is_domain);
        if local == 0 || domain == 0 {
            return Ok(None);
        }
        let length = local.saturating_add(domain).saturating_add(1);
        self.take(length).map(Some)
    }

    /// Where what comes next begins.
    pub(super) fn position_of_next(&mut self) -> Result<Position, Failure> {
        self.skip_blanks()?;
        Ok(self.position())
    }

    /// The failure that something else was expected here.
    pub(super) fn expected(&self, what: &'static str) -> Failure {
        (self.position(), SyntaxError::Expected(what, self.found()))
    }

    /// What comes next, for a message.
    fn found(&self) -> String {
        let rest = self.rest();
        let end = match rest.first() {
            None | Some(b'\n') => return "the end of the line".to_owned(),
            Some(_) => run(rest, |byte| !byte.is_ascii_whitespace()).clamp(1, SHOWN),
        };
        let shown = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
        format!("{:?}", shown.trim_end_matches(char::REPLACEMENT_CHARACTER))
    }

    /// What stands between two such bytes, on one line. A backslash keeps the closing one from closing, unless
    /// the line has no other.
    fn delimited(&mut self, delimiter: u8, open: SyntaxError) -> Result<Option<&'a str>, Failure> {
        self.skip_blanks()?;
        let at = self.position();
        let rest = self.rest();
        let Some(inside) = rest.strip_prefix(&[delimiter]) else {
            return Ok(None);
        };
        let inside = inside
            .get(..run(inside, |byte| byte != b'\n'))
            .unwrap_or_default();
        let (mut end, mut escaped) = (None, false);
        for (number, byte) in inside.iter().enumerate() {
            if *byte == delimiter {
                end = Some(number);
                if !escaped {
                    break;
                }
            }
            escaped = *byte == b'\\';
        }
        let Some(end) = end else {
            return Err((at, open));
        };
        let taken = self.take(end.saturating_add(2))?;
        Ok(taken.get(1..end.saturating_add(1)))
    }

    /// Takes the next `length` bytes of this line.
    fn take(&mut self, length: usize) -> Result<&'a str, Failure> {
        let at = self.position();
        let taken = self.rest().get(..length).unwrap_or_default();
        if length > MAX_TOKEN {
            return Err((at, SyntaxError::Long));
        }
        let text = str::from_utf8(taken).map_err(|_| (at, SyntaxError::Encoding))?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err((at, SyntaxError::Control));
        }
        if self.after_blank && !self.statement.is_empty() {
            self.statement.push(' ');
        }
        self.statement.push_str(text);
        self.after_blank = false;
        self.advance(length);
        Ok(text)
    }

    /// Goes past blanks, comments and ends of lines that are continued.
    fn skip_blanks(&mut self) -> Result<(), Failure> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t') => self.advance(1),
                Some(b'\r') if matches!(self.rest(), [_] | [_, b'\n', ..]) => self.advance(1),
                Some(b'#') => self.skip_comment(),
                Some(b'\\') => self.skip_continuation()?,
                Some(_) | None => return Ok(()),
            }
            self.after_blank = true;
        }
    }

    fn skip_comment(&mut self) {
        self.advance(run(self.rest(), |byte| byte != b'\n'));
    }

    fn skip_continuation(&mut self) -> Result<(), Failure> {
        let at = self.position();
        self.advance(1);
        self.advance(run(self.rest(), |byte| {
            matches!(byte, b' ' | b'\t' | b'\r')
        }));
        match self.byte() {
            Some(b'#') => self.skip_comment(),
            Some(b'\n') | None => {}
            Some(_) => return Err((at, SyntaxError::Continuation)),
        }
        if self.byte().is_some() {
            self.next_line();
        }
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    /// Goes past the end of a line.
    fn next_line(&mut self) {
        self.advance(1);
        self.line = self.line.saturating_add(1);
        self.line_start = self.at;
    }
}

/// How many bytes at the beginning are such.
fn run(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| !is_such(*byte));
    end.unwrap_or(bytes.len())
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'%')
}

const fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Whether it can be in a local part without quotation marks.
fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`}{|~.-".contains(&byte)
}

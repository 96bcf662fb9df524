//! The decoder: bytes to requests, independent of how the bytes are split.
//!
//! [`Decoder::feed`] adds bytes; [`Decoder::next`] returns complete requests. Each byte is read once: lines are parsed
//! when they are complete, and only the positions of known attributes are stored. A request borrows from the buffer.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::request::{Attribute, Request};

/// Maximum length of a line in bytes, without its end: eight times the default limit of Postfix for an SMTP line, 2,048
/// bytes. Its longest other attribute is the subject of a client certificate.
pub const MAX_LINE: usize = 16_384;

/// Maximum number of attributes in a request. Postfix 3.10 sends about 35.
pub const MAX_ATTRIBUTES: usize = 200;

/// Maximum size of a request in bytes, line ends included: a few lines may be long, but not all.
pub const MAX_REQUEST: usize = 65_536;

/// Size of the buffer that is kept for the next request; a request of Postfix has 600 to 900 bytes.
const KEPT: usize = 2_048;

/// Why a connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A line that is not an attribute.
    #[error("a line without '='")]
    NoEquals,
    /// A line that begins with the equals sign.
    #[error("an attribute without a name")]
    NoName,
    /// A NUL byte, which the protocol does not allow.
    #[error("a NUL byte")]
    Nul,
    /// A line longer than [`MAX_LINE`].
    #[error("a line of more than {MAX_LINE} bytes")]
    LineTooLong,
    /// More than [`MAX_ATTRIBUTES`] attributes.
    #[error("more than {MAX_ATTRIBUTES} attributes in a request")]
    TooManyAttributes,
    /// A request larger than [`MAX_REQUEST`].
    #[error("a request of more than {MAX_REQUEST} bytes")]
    RequestTooLong,
    /// A request of another kind, or without a kind.
    #[error("the request type is missing")]
    NoRequestType,
    /// A request of another kind.
    #[error("an unknown request type {0:?}")]
    WrongRequestType(String),
}

/// The positions of the current request's values in the buffer.
#[derive(Debug, Clone, Default)]
struct Values([Option<Range<usize>>; Attribute::COUNT]);

impl Values {
    fn set(&mut self, attribute: Attribute, range: Range<usize>) {
        if let Some(slot) = self.0.get_mut(attribute as usize) {
            *slot = Some(range);
        }
    }

    fn get<'a>(&self, attribute: Attribute, buffer: &'a [u8]) -> Option<&'a [u8]> {
        let range = self.0.get(attribute as usize)?.clone()?;
        buffer.get(range)
    }
}

/// Decodes requests.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// The beginning of the current request; the bytes before it were returned.
    start: usize,
    /// The beginning of the current line.
    line: usize,
    /// The position up to which the current line was searched for its end.
    searched: usize,
    attributes: usize,
    values: Values,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer with free space at its end for the next read.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.compact();
        self.buffer.reserve(KEPT);
        &mut self.buffer
    }

    /// Adds bytes that were read elsewhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.compact();
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether there is an incomplete request.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// The next complete request; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are not a request, or a limit is exceeded. The connection must be closed then,
    /// because the beginning of the next request is unknown.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend the buffer"
    )]
    pub fn next(&mut self) -> Result<Option<Request<'_>>, DecodeError> {
        while let Some(end) = self.line_end()? {
            let begin = self.line;
            self.line = end.saturating_add(1);
            self.searched = self.line;
            let content = match self.buffer.get(begin..end) {
                Some([content @ .., b'\r']) => begin..begin.saturating_add(content.len()),
                Some(_) | None => begin..end,
            };
            if content.is_empty() {
                let values = std::mem::take(&mut self.values);
                self.attributes = 0;
                self.start = self.line;
                return self.request(&values).map(Some);
            }
            self.attribute(content)?;
        }
        Ok(None)
    }

    /// The end of the current line; `None` if it was not received yet.
    fn line_end(&mut self) -> Result<Option<usize>, DecodeError> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let found = memchr2(b'\n', 0, unsearched).map(|at| self.searched.saturating_add(at));
        let reached = found.unwrap_or(self.buffer.len());
        self.within_limits(reached, found.is_some())?;
        if found.is_some_and(|at| self.buffer.get(at) == Some(&0)) {
            return Err(DecodeError::Nul);
        }
        self.searched = reached;
        Ok(found)
    }

    /// Checks the limits of the current line, up to `reached`, and of the request. If both are exceeded, the first one
    /// is reported, so that the split of the bytes makes no difference.
    fn within_limits(&self, reached: usize, is_ended: bool) -> Result<(), DecodeError> {
        let line = self.buffer.get(self.line..reached).unwrap_or_default();
        let most = MAX_LINE.saturating_add(usize::from(line.get(MAX_LINE) == Some(&b'\r')));
        let line_ends = self.line.saturating_add(most);
        let request_ends = self.start.saturating_add(MAX_REQUEST);
        let taken = reached.saturating_add(usize::from(is_ended));
        if line.len() > most && line_ends <= request_ends {
            Err(DecodeError::LineTooLong)
        } else if taken > request_ends {
            Err(DecodeError::RequestTooLong)
        } else {
            Ok(())
        }
    }

    /// Stores the position of an attribute.
    fn attribute(&mut self, line: Range<usize>) -> Result<(), DecodeError> {
        self.attributes = self.attributes.saturating_add(1);
        if self.attributes > MAX_ATTRIBUTES {
            return Err(DecodeError::TooManyAttributes);
        }
        let text = self.buffer.get(line.clone()).unwrap_or_default();
        let equals = memchr(b'=', text).ok_or(DecodeError::NoEquals)?;
        let (name, _) = text.split_at_checked(equals).unwrap_or_default();
        if name.is_empty() {
            return Err(DecodeError::NoName);
        }
        if let Some(attribute) = Attribute::by_name(name) {
            let value = line.start.saturating_add(equals).saturating_add(1)..line.end;
            self.values.set(attribute, value);
        }
        Ok(())
    }

    /// The request that is complete now.
    fn request(&self, values: &Values) -> Result<Request<'_>, DecodeError> {
        let value = |attribute| values.get(attribute, &self.buffer);
        match value(Attribute::Request) {
            Some(b"smtpd_access_policy") => {}
            Some(other) if !other.is_empty() => {
                let shown = other.get(..other.len().min(64)).unwrap_or_default();
                return Err(DecodeError::WrongRequestType(
                    String::from_utf8_lossy(shown).into_owned(),
                ));
            }
            Some(_) | None => return Err(DecodeError::NoRequestType),
        }
        Ok(Request::new(value))
    }

    /// Drops the bytes of returned requests.
    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        let done = std::mem::take(&mut self.start).min(self.buffer.len());
        self.buffer.drain(..done);
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT.saturating_mul(4) {
            self.buffer = Vec::new();
        }
        self.line = self.line.saturating_sub(done);
        self.searched = self.searched.saturating_sub(done);
        for range in self.values.0.iter_mut().flatten() {
            *range = range.start.saturating_sub(done)..range.end.saturating_sub(done);
        }
    }
}

#[cfg(test)]
mod tests;

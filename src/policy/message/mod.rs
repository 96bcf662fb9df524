//! A message, as far as a front end has kept it, and what a reader of it may see.
//!
//! What is encoded is decoded when it is first asked for, and once. That takes a millisecond for some hundred kilobytes, and
//! several times the memory: ask for the lines of a body above [`LARGE`] bytes on a thread for such work, and of a
//! [`Message::undecoded`] one, which takes them along when it goes.

mod authentication;
mod body;
mod charset;
mod mime;
mod raw_body;
mod transfer;
mod words;

use std::sync::{Arc, OnceLock};

pub use authentication::{DkimResult, dkim};
pub use raw_body::Body;

use body::Lines;
use words::{decoded, unfold};

/// The size of a body in bytes above which it is to be decoded, and searched, on a thread for such work.
pub const LARGE: usize = 64 << 10;

/// Maximum length in bytes of a header of which anything is known: its names and values.
pub const MAX_HEADER: usize = 256 << 10;

/// Maximum number of fields of such a header.
pub const MAX_FIELDS: usize = 1000;

/// Maximum length in bytes of a body that is kept.
pub const MAX_BODY: usize = 1 << 20;

/// The number of bytes at the beginning of a message that are enough for [`Message::received`]: the rest only counts.
pub const MAX_KEPT: usize = MAX_HEADER + 8 * MAX_FIELDS + 2 * MAX_BODY;

/// Maximum length in bytes of a line of a body; a longer one is several.
pub const MAX_LINE: usize = 4096;

/// A field of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// Its name, as it came.
    pub name: Box<[u8]>,
    /// Its value, as it came: the folds are in it, the blank behind the colon is not.
    pub value: Box<[u8]>,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    fields: Arc<Vec<HeaderField>>,
    body: Option<Arc<Body>>,
    size: u64,
    is_size_unknown: bool,
    is_header_unknown: bool,
    header_texts: OnceLock<Vec<HeaderText>>,
    lines: OnceLock<Lines>,
}

/// A field on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HeaderText {
    /// `Name: value`, as it came.
    raw: Vec<u8>,
    /// The same in UTF-8, if that is different.
    decoded: Option<String>,
}

impl Message {
    /// A message with this header and body, and this number of bytes in all. The body is `None` if it was not kept.
    #[must_use]
    pub fn new(fields: Vec<HeaderField>, body: Option<Body>, size: u64) -> Self {
        Self {
            fields: Arc::new(fields),
            body: body.map(Arc::new),
            size,
            is_size_unknown: false,
            is_header_unknown: false,
            header_texts: OnceLock::new(),
            lines: OnceLock::new(),
        }
    }

    /// The same if its header was too long to be kept as a whole: neither is known then, as the body cannot be read
    /// without.
    #[must_use]
    pub fn with_unknown_header(self) -> Self {
        Self {
            is_header_unknown: true,
            is_size_unknown: self.is_size_unknown,
            ..Self::new(Vec::new(), None, self.size)
        }
    }

    /// The same if the mail server has not sent its body, so that only the header could be counted.
    #[must_use]
    pub fn with_unknown_size(self) -> Self {
        Self {
            is_size_unknown: true,
            ..self
        }
    }

    /// The same if its body was not kept.
    #[must_use]
    pub fn without_body(self) -> Self {
        Self {
            body: None,
            lines: OnceLock::new(),
            ..self
        }
    }

    /// The same message, nothing of which is decoded yet. Header and body are not copied.
    #[must_use]
    pub fn undecoded(&self) -> Self {
        Self {
            fields: Arc::clone(&self.fields),
            body: self.body.clone(),
            size: self.size,
            is_size_unknown: self.is_size_unknown,
            is_header_unknown: self.is_header_unknown,
            header_texts: OnceLock::new(),
            lines: OnceLock::new(),
        }
    }

    /// How much memory its decoded forms take, in bytes.
    #[must_use]
    pub fn decoded_bytes(&self) -> usize {
        let texts = self.header_texts.get().map_or(0, |texts| {
            let bytes = texts.iter().map(HeaderText::bytes);
            bytes.fold(0, usize::saturating_add)
        });
        let lines = self.lines.get().map_or(0, Lines::bytes);
        texts.saturating_add(lines)
    }

    /// Whether its body is so large that it is to be decoded on a thread for such work.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.body().is_some_and(|body| body.length() > LARGE)
    }

    /// Whether the header was too long to be kept.
    #[must_use]
    pub const fn is_header_unknown(&self) -> bool {
        self.is_header_unknown
    }

    /// The message in a file: lines end with LF or CR LF, and there may be a line `From ` of a mailbox at its
    /// beginning. Without a header all of it is the body.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = match mime::split_line(bytes) {
            Some((line, rest)) if line.starts_with(b"From ") => rest,
            Some(_) | None => bytes,
        };
        let (fields, body) = mime::split_header(text);
        let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let size = size.saturating_add(bare_newlines(text));
        Self::new(owned(fields), Some(body.to_vec().into()), size)
    }

    /// The message in a file as a milter would have got and kept it: the lines of its body end with CR LF, and what is
    /// longer than its limit is not known. `bytes` are at least the first [`MAX_KEPT`] bytes of the file; after them come
    /// `more`, line ends counted as CR LF.
    #[must_use]
    pub fn received(bytes: &[u8], more: u64) -> Self {
        let parsed = Self::parse(bytes);
        let body = parsed.body().map(Body::bytes).unwrap_or_default();
        let fields = parsed.fields();
        let size = parsed.size.saturating_add(more);
        let lengths = fields.iter();
        let lengths = lengths.map(|field| field.name.len().saturating_add(field.value.len()));
        let header = bytes.len().saturating_sub(body.len());
        let is_cut =
            fields.len() >= MAX_FIELDS && !bytes.get(..header).is_some_and(ends_with_empty_line);
        if is_cut || lengths.sum::<usize>() > MAX_HEADER {
            return Self::new(Vec::new(), None, size).with_unknown_header();
        }
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let length = length
            .saturating_add(bare_newlines(&body))
            .saturating_add(more);
        let is_kept = usize::try_from(length).is_ok_and(|length| length <= MAX_BODY);
        let body = is_kept.then(|| Arc::new(with_cr_lf(&body).into()));
        Self {
            body,
            size,
            ..parsed
        }
    }

    /// The fields of the header, from the top.
    #[must_use]
    pub fn fields(&self) -> &[HeaderField] {
        &self.fields
    }

    /// The body as it came; `None` if it was not kept.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.body.as_deref()
    }

    /// The size of header and body, in bytes, lines ending with CR LF; `None` if the body was not sent.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        if self.is_size_unknown {
            None
        } else {
            Some(self.size)
        }
    }

    /// The texts of the header's fields with the fields' numbers, from the top: each `Name: value` on one line as it
    /// came, and then decoded if that is different.
    pub fn header_texts(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let texts = self.header_texts.get_or_init(|| {
            let texts = self.fields.iter().map(HeaderText::new);
            texts.collect()
        });
        texts.iter().enumerate().flat_map(|(number, text)| {
            let decoded = text.decoded.as_deref().map(str::as_bytes);
            let texts = [Some(text.raw.as_slice()), decoded];
            texts.into_iter().flatten().map(move |text| (number, text))
        })
    }

    /// The lines that a reader of the body may see, in UTF-8, each of at most [`MAX_LINE`] bytes: of all parts with
    /// text, of HTML its source and its text; the fields of the parts' headers, and the names of attachments. `None` if
    /// the body was not kept.
    pub fn body_lines(&self) -> Option<impl Iterator<Item = &[u8]>> {
        self.lines().map(Lines::iter)
    }

    /// Whether one of [`Self::body_lines`] has a text; `None` if the body was not kept.
    pub fn body_contains(&self, text: &str) -> Option<bool> {
        let lines = self.lines()?;
        Some(lines.contain(text.as_bytes()))
    }

    /// The lines of the body, decoded when they are first asked for.
    fn lines(&self) -> Option<&Lines> {
        let body = self.body()?;
        let lines = || body::lines(&self.fields, &body.bytes());
        Some(self.lines.get_or_init(lines))
    }

    /// Whether the body was decoded.
    #[cfg(test)]
    pub(crate) fn is_decoded(&self) -> bool {
        self.lines.get().is_some()
    }
}

/// The fields of a header.
fn owned(fields: Vec<mime::Field<'_>>) -> Vec<HeaderField> {
    let fields = fields.into_iter().map(|(name, value)| HeaderField {
        name: name.into(),
        value: value.into(),
    });
    fields.collect()
}

/// How many lines end with LF alone.
#[must_use]
pub fn bare_newlines(text: &[u8]) -> u64 {
    let newlines = memchr::memchr_iter(b'\n', text);
    let bare = newlines.filter(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        before != Some(&b'\r')
    });
    bare.fold(0, |count, _| u64::saturating_add(count, 1))
}

/// A text whose lines end with CR LF.
fn with_cr_lf(text: &[u8]) -> Vec<u8> {
    let mut with = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                with.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                with.extend_from_slice(b"\r\n");
            }
            None => with.extend_from_slice(line),
        }
    }
    with
}

/// Whether a header ends with the empty line behind it, and not before a line that is no part of it.
fn ends_with_empty_line(header: &[u8]) -> bool {
    header.ends_with(b"\n\n") || header.ends_with(b"\n\r\n")
}

impl HeaderText {
    fn new(field: &HeaderField) -> Self {
        let value = unfold(&field.value);
        let raw = text(&field.name, &value);
        let decoded = decoded_text(&field.name, &value, &raw);
        Self { raw, decoded }
    }

    /// How much memory it takes.
    fn bytes(&self) -> usize {
        let decoded = self.decoded.as_ref().map_or(0, String::capacity);
        let texts = self.raw.capacity().saturating_add(decoded);
        texts.saturating_add(size_of::<Self>())
    }
}

/// A field as `Name: value`.
fn text(name: &[u8], value: &[u8]) -> Vec<u8> {
    [name, b": ", value].concat()
}

/// A field in UTF-8, unless that is its text.
fn decoded_text(name: &[u8], value: &[u8], text: &[u8]) -> Option<String> {
    // Nothing in a value without these is encoded.
    let is_plain = |byte: &u8| byte.is_ascii() && !matches!(byte, 0x1b | b'=' | 0);
    if value.iter().all(is_plain) {
        return None;
    }
    let name = String::from_utf8_lossy(name);
    let decoded = format!("{name}: {}", decoded(value));
    (decoded.as_bytes() != text).then_some(decoded)
}

#[cfg(test)]
mod tests;

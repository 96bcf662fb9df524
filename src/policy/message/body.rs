//! The lines of a body: what a reader of the message may see, in UTF-8.
//!
//! | part | its lines |
//! | --- | --- |
//! | text | its lines |
//! | HTML | the lines of its source, and the lines of its text |
//! | several parts | those of the parts, and the lines before the first and behind the last |
//! | a message | the fields of its header, each on one line, and the lines of its body |
//! | anything else | none |
//!
//! The fields of a part's header are lines, too, and so are its names as a file, alone. A line that is longer than
//! [`MAX_LINE`] is several.
//!
//! # What is broken
//!
//! There are no errors. Base64 with other characters is read without them, and its lines are lines as well. Parts that
//! lack their boundary, and those that are nested too deep, are text.
//!
//! The parts are taken apart here and not by `mail-parser`: it nests its messages as deep as a stranger has, and frees
//! them recursively, which needs more than the stack of a thread; and it leaves broken base64 as it stands.

use std::borrow::Cow;

use mail_parser::decoders::html::html_to_text;

use super::charset::{into_utf8, to_utf8};
use super::mime::{Encoding, Kind, PartHeader, split_header, split_line};
use super::{HeaderField, MAX_LINE};

/// Maximum number of messages in messages.
const MAX_MESSAGES: usize = 8;

/// Maximum number of parts in parts: more than mail programs make, little enough for each level to be searched for its
/// boundary, and for the stack.
const MAX_DEPTH: usize = 32;

/// How far to search HTML for its character set, in bytes.
const META: usize = 1024;

/// The lines of the body of a message with this header.
pub(super) fn lines(header: &[HeaderField], body: &[u8]) -> Lines {
    let mut reader = Reader::default();
    let fields = header.iter();
    let fields = fields.map(|field| (&*field.name, Cow::Borrowed(&*field.value)));
    let header = PartHeader::new(fields, Kind::Text);
    reader.names(&header);
    reader.content(&header, body, Depth::default());
    let mut lines = reader.lines;
    lines.0.shrink_to_fit();
    lines
}

/// Lines of at most [`MAX_LINE`] bytes, each with a newline behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines(String);

/// How deep a part is.
#[derive(Debug, Clone, Copy, Default)]
struct Depth {
    messages: usize,
    parts: usize,
}

/// Collects lines.
#[derive(Debug, Default)]
struct Reader {
    lines: Lines,
}

impl Lines {
    /// The lines.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let text = self.0.as_bytes();
        let mut begin = 0;
        memchr::memchr_iter(b'\n', text).map(move |end| {
            let line = text.get(begin..end);
            begin = end.saturating_add(1);
            line.unwrap_or_default()
        })
    }

    /// Whether one of the lines has a text. All are searched at once: a text without a newline is in one line.
    pub(super) fn contain(&self, text: &[u8]) -> bool {
        if text.is_empty() {
            return !self.0.is_empty();
        }
        !text.contains(&b'\n') && memchr::memmem::find(self.0.as_bytes(), text).is_some()
    }

    /// How much memory they take.
    pub(super) const fn bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Adds the lines of a text.
    fn add(&mut self, text: &str) {
        // With a newline at the end, and one more for each line that is too long.
        let breaks = text.len().div_ceil(MAX_LINE).saturating_add(1);
        self.0.reserve(text.len().saturating_add(breaks));
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            let (line, behind) = rest.split_at(end);
            self.line(line.strip_suffix('\r').unwrap_or(line));
            rest = behind.strip_prefix('\n').unwrap_or(behind);
        }
        if !rest.is_empty() {
            self.line(rest);
        }
    }

    /// Adds a line, in pieces if it is too long.
    fn line(&mut self, line: &str) {
        let mut rest = line;
        while rest.len() > MAX_LINE {
            let mut ends = (0..=MAX_LINE).rev();
            let end = ends.find(|end| rest.is_char_boundary(*end));
            let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
            self.push(piece);
            rest = behind;
        }
        self.push(rest);
    }

    fn push(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

impl Reader {
    /// A part with its header.
    fn part(&mut self, part: &[u8], default: Kind, depth: Depth) {
        let (fields, content) = split_header(part);
        for (name, value) in &fields {
            let text = super::text(name, value);
            let decoded = super::decoded_text(name, value, &text);
            let text = decoded.map_or_else(|| to_utf8(None, &text), Cow::Owned);
            self.lines.add(&text);
        }
        let fields = fields.iter().map(|(name, value)| (*name, Cow::from(value)));
        let header = PartHeader::new(fields, default);
        self.names(&header);
        self.content(&header, content, depth);
    }

    /// The names of a part.
    fn names(&mut self, header: &PartHeader) {
        for name in &header.names {
            self.lines.add(name);
        }
    }

    /// The content of a part.
    fn content(&mut self, header: &PartHeader, content: &[u8], depth: Depth) {
        let parts = Depth {
            parts: depth.parts.saturating_add(1),
            ..depth
        };
        match (header.kind, &header.boundary) {
            (Kind::Multipart | Kind::Digest, Some(boundary)) if depth.parts < MAX_DEPTH => {
                let default = if header.kind == Kind::Digest {
                    Kind::Message
                } else {
                    Kind::Text
                };
                self.parts(content, boundary, default, parts);
            }
            (Kind::Message, _) if depth.messages < MAX_MESSAGES && depth.parts < MAX_DEPTH => {
                let (message, _) = header.encoding.decode(content);
                let messages = depth.messages.saturating_add(1);
                self.part(&message, Kind::Text, Depth { messages, ..parts });
            }
            (Kind::Multipart | Kind::Digest | Kind::Message | Kind::Text, _) => {
                self.text(header, content);
            }
            (Kind::Html, _) => self.html(header, content),
            (Kind::Binary, _) => {}
        }
    }

    /// Several parts, and the lines around them.
    fn parts(&mut self, content: &[u8], boundary: &[u8], default: Kind, depth: Depth) {
        let begin = |rest: &[u8]| content.len().saturating_sub(rest.len());
        let mut rest = content;
        // Where the text or part begins that a boundary ends.
        let (mut from, mut is_part) = (0, false);
        while let Some((line, behind)) = split_line(rest) {
            let found = delimiter(line, boundary);
            let (at, next) = (begin(rest), begin(behind));
            rest = behind;
            let Some(is_last) = found else { continue };
            let held = content.get(from..at).unwrap_or_default();
            self.held(held, is_part, default, depth);
            (from, is_part) = (next, !is_last);
        }
        let held = content.get(from..).unwrap_or_default();
        self.held(held, is_part, default, depth);
    }

    /// A part, or the lines before the first or behind the last.
    fn held(&mut self, held: &[u8], is_part: bool, default: Kind, depth: Depth) {
        // The end of the line before a boundary belongs to the boundary.
        let held = held.strip_suffix(b"\n").unwrap_or(held);
        let held = held.strip_suffix(b"\r").unwrap_or(held);
        if is_part {
            self.part(held, default, depth);
        } else {
            self.lines.add(&to_utf8(None, held));
        }
    }

    /// The lines of a text.
    fn text(&mut self, header: &PartHeader, content: &[u8]) {
        let text = self.decoded(header, header.charset.as_deref(), content);
        self.lines.add(&text);
    }

    /// The lines of HTML.
    fn html(&mut self, header: &PartHeader, content: &[u8]) {
        let charset = header.charset.clone().or_else(|| {
            let (bytes, _) = header.encoding.decode(content);
            meta_charset(&bytes)
        });
        let source = self.decoded(header, charset.as_deref(), content);
        self.lines.add(&source);
        self.lines.add(&html_to_text(&source));
    }

    /// The text of a part. If it is encoded and broken, its lines as they are are added.
    fn decoded<'c>(
        &mut self,
        header: &PartHeader,
        charset: Option<&[u8]>,
        content: &'c [u8],
    ) -> Cow<'c, str> {
        let (bytes, is_clean) = header.encoding.decode(content);
        if !is_clean && header.encoding == Encoding::Base64 {
            self.lines.add(&to_utf8(None, content));
        }
        into_utf8(charset, bytes)
    }
}

/// Whether a line is a boundary, and whether it is the last.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    match rest.trim_ascii_end() {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// The character set that HTML names at its beginning.
fn meta_charset(html: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"charset=";
    let begin = html.get(..META.min(html.len()))?.to_ascii_lowercase();
    let at = memchr::memmem::find(&begin, NAME)?;
    let behind = begin.get(at.saturating_add(NAME.len())..)?;
    let behind = behind.trim_ascii_start();
    let behind = behind
        .strip_prefix(b"\"")
        .or_else(|| behind.strip_prefix(b"'"))
        .unwrap_or(behind);
    let is_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let end = behind.iter().position(|byte| !is_name(byte));
    behind
        .get(..end.unwrap_or(behind.len()))
        .map(<[u8]>::to_vec)
}

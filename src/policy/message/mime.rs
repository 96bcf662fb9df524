//! The fields of a part of a message that say what it is (RFC 2045, 2183, 2231).

use std::borrow::Cow;

use super::MAX_FIELDS;
use super::charset::to_utf8;
use super::transfer::{base64, percent, quoted_printable};
use super::words::{decoded, unfold};

/// Maximum number of parameters of a field.
const MAX_PARAMETERS: usize = 100;

/// A field of a part's header, unfolded.
pub(super) type Field<'a> = (&'a [u8], Vec<u8>);

/// The type of a part, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text of any kind but HTML.
    Text,
    /// HTML.
    Html,
    /// Several parts.
    Multipart,
    /// Several parts that are messages unless they say otherwise.
    Digest,
    /// A message.
    Message,
    /// Anything else.
    Binary,
}

/// What the header of a part says.
#[derive(Debug)]
pub(super) struct PartHeader {
    /// Its type.
    pub(super) kind: Kind,
    /// Its boundary, if it has several parts.
    pub(super) boundary: Option<Vec<u8>>,
    /// Its character set.
    pub(super) charset: Option<Vec<u8>>,
    /// Its transfer encoding.
    pub(super) encoding: Encoding,
    /// The names that it has as a file, decoded.
    pub(super) names: Vec<String>,
}

/// A transfer encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// None, or an unknown one.
    Identity,
    /// Base64.
    Base64,
    /// Quoted-printable.
    QuotedPrintable,
}

impl PartHeader {
    /// What these fields say. Without a type it is a `default`.
    pub(super) fn new<'a>(
        fields: impl Iterator<Item = (&'a [u8], Cow<'a, [u8]>)>,
        default: Kind,
    ) -> Self {
        let mut header = Self {
            kind: default,
            boundary: None,
            charset: None,
            encoding: Encoding::Identity,
            names: Vec::new(),
        };
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"content-type") {
                let (kind, parameters) = parameters(&value);
                header.kind = Kind::new(&kind).unwrap_or(default);
                for (name, value) in parameters {
                    match name.as_slice() {
                        b"boundary" => header.boundary = Some(value.bytes),
                        b"charset" => header.charset = Some(value.bytes),
                        b"name" => header.names.push(value.text()),
                        _ => {}
                    }
                }
            } else if name.eq_ignore_ascii_case(b"content-disposition") {
                let (_, parameters) = parameters(&value);
                let names = parameters.into_iter();
                let names = names.filter(|(name, _)| name == b"filename");
                header.names.extend(names.map(|(_, value)| value.text()));
            } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
                header.encoding = Encoding::new(&value);
            }
        }
        header.names.dedup();
        header
    }
}

impl Kind {
    /// The type of this name; `None` if it is not a name of a type.
    fn new(name: &[u8]) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let slash = memchr::memchr(b'/', &name)?;
        let (kind, subtype) = name.split_at_checked(slash)?;
        Some(match (kind, subtype.get(1..)?) {
            (b"text", b"html") | (b"application", b"xhtml+xml") => Self::Html,
            (b"multipart", b"digest") => Self::Digest,
            (b"multipart", _) => Self::Multipart,
            (b"message", b"rfc822" | b"global" | b"news") => Self::Message,
            (b"text" | b"message", _) => Self::Text,
            _ => Self::Binary,
        })
    }
}

impl Encoding {
    fn new(name: &[u8]) -> Self {
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case(b"quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// The content, and whether nothing in it had to be skipped.
    pub(super) fn decode(self, content: &[u8]) -> (Cow<'_, [u8]>, bool) {
        match self {
            Self::Identity => (Cow::Borrowed(content), true),
            Self::Base64 => {
                let (bytes, is_clean) = base64(content);
                (Cow::Owned(bytes), is_clean)
            }
            Self::QuotedPrintable => (Cow::Owned(quoted_printable(content)), true),
        }
    }
}

/// The fields that a part begins with, and what follows the empty line after them. A line that is not a field ends
/// them, too.
pub(super) fn split_header(part: &[u8]) -> (Vec<Field<'_>>, &[u8]) {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut rest = part;
    while let Some((line, behind)) = split_line(rest) {
        if line.is_empty() {
            return (fields, behind);
        }
        if line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
        {
            let Some((_, value)) = fields.last_mut() else {
                break;
            };
            value.extend_from_slice(line);
        } else if let Some((name, value)) = field(line)
            && fields.len() < MAX_FIELDS
        {
            fields.push((name, value.to_vec()));
        } else {
            break;
        }
        rest = behind;
    }
    (fields, rest)
}

/// The first line of a text without its end, and what follows it; `None` at the end of the text.
pub(super) fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let (line, behind) = match memchr::memchr(b'\n', text) {
        Some(end) => (text.get(..end)?, text.get(end.saturating_add(1)..)?),
        None => (text, &[][..]),
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), behind))
}

/// The name and value of a field on one line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
    let name = name.trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, value.get(1..)?.trim_ascii_start()))
}

/// The value of a parameter.
#[derive(Debug, Default)]
struct Value {
    bytes: Vec<u8>,
    /// The character set of RFC 2231, if it has one.
    charset: Option<Vec<u8>>,
}

impl Value {
    fn text(&self) -> String {
        match &self.charset {
            Some(charset) => to_utf8(Some(charset), &self.bytes).into_owned(),
            None => decoded(&self.bytes),
        }
    }
}

/// The word that a value begins with, and its parameters with their names in lower case, their pieces joined.
fn parameters(value: &[u8]) -> (Vec<u8>, Vec<(Vec<u8>, Value)>) {
    let value = unfold(value);
    let mut pieces = split_parameters(&value);
    let first = pieces.next().unwrap_or_default().trim_ascii().to_vec();
    let mut whole: Vec<(Vec<u8>, Value)> = Vec::new();
    let mut numbered = Vec::new();
    for piece in pieces.take(MAX_PARAMETERS) {
        let Some(equals) = memchr::memchr(b'=', piece) else {
            continue;
        };
        let (name, value) = piece.split_at(equals);
        let name = name.trim_ascii().to_ascii_lowercase();
        let value = unquoted(value.get(1..).unwrap_or_default().trim_ascii());
        let mut parts = name.split(|byte| *byte == b'*');
        let base = parts.next().unwrap_or_default().to_vec();
        let number = parts
            .clone()
            .find_map(|part| std::str::from_utf8(part).ok()?.parse().ok());
        let is_extended = name.ends_with(b"*");
        let number: Option<u32> = number;
        let has_charset = is_extended && number.is_none_or(|number| number == 0);
        let value = extended(value, is_extended, has_charset);
        match number {
            Some(number) => numbered.push((base, number, value)),
            None => whole.push((base, value)),
        }
    }
    numbered.sort_by_key(|(_, number, _)| *number);
    for (name, number, value) in numbered {
        match whole.iter_mut().find(|(other, _)| *other == name) {
            Some((_, joined)) if number > 0 => joined.bytes.extend_from_slice(&value.bytes),
            Some(_) | None => whole.push((name, value)),
        }
    }
    (first, whole)
}

/// A value as RFC 2231 has it: `charset'language'text%20with%20codes`.
fn extended(value: Vec<u8>, is_extended: bool, has_charset: bool) -> Value {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    if has_charset
        && let (Some(charset), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next())
    {
        return Value {
            bytes: percent(text),
            charset: Some(charset.to_vec()),
        };
    }
    Value {
        bytes: if is_extended { percent(&value) } else { value },
        charset: None,
    }
}

/// The parts of a value between its semicolons that are not in quotes.
fn split_parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    value.split(move |byte| {
        let is_end = *byte == b';' && !is_quoted;
        if *byte == b'"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = *byte == b'\\' && is_quoted && !is_escaped;
        is_end
    })
}

/// A value without its quotes.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inside) = value.strip_prefix(b"\"") else {
        let end = value.iter().position(u8::is_ascii_whitespace);
        return value
            .get(..end.unwrap_or(value.len()))
            .unwrap_or_default()
            .to_vec();
    };
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => bytes.extend(rest.next()),
            _ => bytes.push(*byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parameters of a value as texts.
    fn texts(value: &str) -> Vec<(String, String)> {
        let (_, parameters) = parameters(value.as_bytes());
        let texts = parameters
            .into_iter()
            .map(|(name, value)| (String::from_utf8(name).unwrap(), value.text()));
        texts.collect()
    }

    #[test]
    fn parameters_are_read_as_mail_programs_write_them() {
        let cases: [(&str, &[(&str, &str)]); 11] = [
            ("text/plain", &[]),
            ("text/plain; charset=utf-8", &[("charset", "utf-8")]),
            (
                "a/b; NAME=\"a;b\\\"c\" ; x=y z",
                &[("name", "a;b\"c"), ("x", "y")],
            ),
            ("a/b; name=\"a", &[("name", "a")]),
            ("a/b;;;=; ; name", &[("", "")]),
            ("a/b; name*=utf-8''%E5%BA%83%20x", &[("name", "広 x")]),
            ("a/b; name*=utf-8%20x", &[("name", "utf-8 x")]),
            (
                "a/b; name*1*=%BA%83; name*0*=utf-8'ja'%E5; name*2=\".exe\"",
                &[("name", "広.exe")],
            ),
            ("a/b; name*0=a; name*1=b", &[("name", "ab")]),
            ("a/b; name=\"=?utf-8?B?5bqD?=.exe\"", &[("name", "広.exe")]),
            (
                "a/b; name*0*='; name*9999999999=x",
                &[("name", "x"), ("name", "'")],
            ),
        ];
        for (value, want) in cases {
            let mut found = texts(value);
            found.sort();
            let mut want: Vec<_> = want
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            want.sort();
            assert_eq!(found, want, "{value}");
        }
        assert_eq!(texts(&"; a=b".repeat(10_000)).len(), MAX_PARAMETERS);
    }

    #[test]
    fn a_header_ends_with_an_empty_line_or_what_is_not_a_field() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 7] = [
            ("A: b\r\nC:d\r\n\r\ntext", &[("A", "b"), ("C", "d")], "text"),
            ("A: b\n c\n\ntext", &[("A", "b c")], "text"),
            ("A: b\ntext\n", &[("A", "b")], "text\n"),
            ("\ntext", &[], "text"),
            ("text", &[], "text"),
            (" A: b\n", &[], " A: b\n"),
            ("A : b", &[("A", "b")], ""),
        ];
        for (text, want, body) in cases {
            let (fields, rest) = split_header(text.as_bytes());
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (*name, value.as_slice()))
                .collect();
            let want: Vec<_> = want
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                .collect();
            assert_eq!((fields, rest), (want, body.as_bytes()), "{text:?}");
        }
    }
}

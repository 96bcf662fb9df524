//! Changes of a header.

use crate::policy::message::HeaderField;

/// Longest text of an encoded word before it is encoded, in bytes: 75 characters with everything around it (RFC 2047).
const WORD: usize = 45;

/// The characters of base64.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A change of a header; fields have the numbers that they have in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// A field is added before the one of this number.
    Insert(usize, HeaderField),
    /// A field is put in the place of the one of this number. It may have another name.
    Replace(usize, HeaderField),
    /// The field of this number is removed.
    Remove(usize),
}

/// A field with this value. Bytes that would end the field or its line are blanks, and what is not ASCII is written as
/// encoded words, so that the header stays ASCII whatever `$1` was.
pub(super) fn field(name: &str, value: &[u8]) -> HeaderField {
    let blank = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
    let value: Vec<u8> = value.iter().copied().map(blank).collect();
    let value = if value.is_ascii() {
        value
    } else {
        encoded(&String::from_utf8_lossy(&value)).into_bytes()
    };
    HeaderField {
        name: name.as_bytes().into(),
        value: value.into(),
    }
}

/// A text as encoded words, one a line.
fn encoded(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut ends = (1..=rest.len().min(WORD)).rev();
        let end = ends.find(|end| rest.is_char_boundary(*end));
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(format!("=?UTF-8?B?{}?=", base64(word.as_bytes())));
        rest = behind;
    }
    words.join("\n ")
}

/// Bytes as base64.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |number: usize| u32::from(chunk.get(number).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (number, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let value = usize::try_from((bits >> shift) & 63).unwrap_or_default();
            let digit = BASE64.get(value).copied().unwrap_or(b'=');
            text.push(if number > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::message::Message;

    #[test]
    fn a_field_is_ascii_on_its_own_lines() {
        for (value, want) in [
            ("plain", "plain"),
            ("a\r\nBcc: b\0c", "a  Bcc: b c"),
            ("広告", "=?UTF-8?B?5bqD5ZGK?="),
            ("é\nX: y", "=?UTF-8?B?w6kgWDogeQ==?="),
        ] {
            let field = field("X", value.as_bytes());
            assert_eq!(String::from_utf8_lossy(&field.value), want, "{value:?}");
        }
    }

    #[test]
    fn a_long_value_is_what_it_was_when_it_is_decoded() {
        for text in ["広告".repeat(100), format!("é{}", "x".repeat(500))] {
            let field = field("X", text.as_bytes());
            let value = String::from_utf8(field.value.to_vec()).unwrap();
            assert!(value.lines().all(|line| line.len() <= 76), "{value}");
            let message = Message::new(vec![field], None, 0);
            let decoded = message.header_texts().last().unwrap().1;
            assert_eq!(String::from_utf8_lossy(decoded), format!("X: {text}"));
        }
    }
}

//! Text in the character sets of the world, as UTF-8.
//!
//! A declared character set counts, except that bytes which are plainly ISO-2022-JP are read as that, whatever they are
//! declared as. Bytes without a declared character set, or with one that is unknown or plainly wrong, are UTF-8, or
//! EUC-JP or `Shift_JIS` if they are valid in it.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

/// The escape character, which begins a sequence of ISO-2022-JP.
const ESCAPE: u8 = 0x1b;

/// The sequence of ISO-2022-JP that returns to ASCII.
const TO_ASCII: &[u8] = b"\x1b(B";

/// The sequences of ISO-2022-JP, without those that ASCII texts may have for a terminal.
const TO_JAPANESE: [&[u8]; 4] = [b"\x1b$B", b"\x1b$@", b"\x1b(I", b"\x1b$(D"];

/// What stands for bytes that are invalid.
const INVALID: char = char::REPLACEMENT_CHARACTER;

/// Maximum length of the name of a character set, in bytes. The longest that is known has 45.
const MAX_NAME: usize = 64;

/// The text as UTF-8; bytes that are invalid become U+FFFD.
pub(super) fn to_utf8<'b>(charset: Option<&[u8]>, bytes: &'b [u8]) -> Cow<'b, str> {
    if bytes.is_empty() {
        return Cow::Borrowed("");
    }
    if is_iso_2022_jp(bytes) {
        return Cow::Owned(decode(b"iso-2022-jp", &tidy(bytes)).unwrap_or_default());
    }
    match charset.map(name) {
        Some(name) if !is_guessed(&name) => {
            decode(&name, bytes).map_or_else(|| guess(bytes), Cow::Owned)
        }
        Some(_) | None => guess(bytes),
    }
}

/// The same of bytes that may be no longer needed.
pub(super) fn into_utf8<'b>(charset: Option<&[u8]>, bytes: Cow<'b, [u8]>) -> Cow<'b, str> {
    let bytes = match bytes {
        Cow::Borrowed(bytes) => return to_utf8(charset, bytes),
        Cow::Owned(bytes) => bytes,
    };
    match to_utf8(charset, &bytes) {
        Cow::Owned(text) => Cow::Owned(text),
        // They are valid as they are.
        Cow::Borrowed(_) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
    }
}

/// How many characters of a text stand for bytes that are invalid.
pub(super) fn count_invalid(text: &str) -> usize {
    text.matches(INVALID).count()
}

/// The text of bytes of an unknown character set.
fn guess(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    // Shift_JIS is nearly never valid as EUC-JP; the other way round, much of EUC-JP is half-width katakana.
    let mut clean = ["euc-jp", "shift_jis"]
        .into_iter()
        .filter_map(|name| decode(name.as_bytes(), bytes).filter(|text| count_invalid(text) == 0));
    let clean = clean.next().map(Cow::Owned);
    clean.unwrap_or_else(|| String::from_utf8_lossy(bytes))
}

/// The text, if the character set is known.
fn decode(name: &[u8], bytes: &[u8]) -> Option<String> {
    charset_decoder(name).map(|decoder| decoder(bytes))
}

/// The name of a character set in lower case, with hyphens.
fn name(charset: &[u8]) -> Vec<u8> {
    let name = charset.trim_ascii().iter().take(MAX_NAME);
    let name: Vec<u8> = name
        .map(|byte| match byte {
            b'_' => b'-',
            _ => byte.to_ascii_lowercase(),
        })
        .collect();
    match name.as_slice() {
        b"cp932" | b"ms-932" | b"windows-932" => b"shift_jis".to_vec(),
        b"cp51932" | b"eucjp" | b"ujis" => b"euc-jp".to_vec(),
        _ => name,
    }
}

/// Whether bytes with this name are read as if they had none: UTF-8 and its part with one byte a character, and those
/// for which the decoder returns a single U+FFFD, whatever the text, most of which may be ASCII.
fn is_guessed(name: &[u8]) -> bool {
    let is_utf8 = matches!(
        name,
        b"" | b"utf-8" | b"utf8" | b"us-ascii" | b"ascii" | b"ansi-x3.4-1968"
    );
    let has_no_decoder = matches!(
        name,
        b"iso-2022-kr"
            | b"csiso2022kr"
            | b"iso-2022-cn"
            | b"iso-2022-cn-ext"
            | b"hz-gb-2312"
            | b"replacement"
    );
    is_utf8 || has_no_decoder
}

/// Whether the bytes are of seven bits and have a sequence of ISO-2022-JP.
fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    let mut escapes = memchr::memchr_iter(ESCAPE, bytes);
    let is_japanese = |at| {
        let from = bytes.get(at..).unwrap_or_default();
        TO_JAPANESE
            .iter()
            .any(|sequence| from.starts_with(sequence))
    };
    escapes.any(is_japanese) && bytes.is_ascii()
}

/// The same text of ISO-2022-JP with each sequence directly before the character that needs it, and each line in ASCII
/// at its end. The decoder takes two sequences in a row, and the end of a line in Japanese, as errors.
fn tidy(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    let (mut wanted, mut current) = (TO_ASCII, TO_ASCII);
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        if let Some(sequence) = sequence(rest) {
            wanted = sequence;
            rest = rest.get(sequence.len()..).unwrap_or_default();
            continue;
        }
        let needed = match first {
            b'\r' | b'\n' => TO_ASCII,
            _ => wanted,
        };
        if needed != current {
            text.extend_from_slice(needed);
            current = needed;
        }
        text.push(*first);
        rest = behind;
    }
    text
}

/// The sequence that a text begins with.
fn sequence(text: &[u8]) -> Option<&[u8]> {
    let length = match text {
        [ESCAPE, b'$', b'(', b'D', ..] => 4,
        [ESCAPE, b'$', b'@' | b'B', ..] | [ESCAPE, b'(', b'B' | b'I' | b'J', ..] => 3,
        _ => return None,
    };
    text.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_in_each_character_set() {
        let cases: [(&str, Option<&str>, &[u8], &str); 18] = [
            (
                "UTF-8",
                Some("UTF-8"),
                "未承諾広告".as_bytes(),
                "未承諾広告",
            ),
            ("no name", None, "未承諾".as_bytes(), "未承諾"),
            (
                "ISO-2022-JP",
                Some("ISO-2022-JP"),
                b"\x1b$B9-9p\x1b(B!",
                "広告!",
            ),
            (
                "with another name",
                Some("iso-8859-1"),
                b"\x1b$B9-9p\x1b(B",
                "広告",
            ),
            ("without a name", None, b"\x1b$B9-9p\x1b(B", "広告"),
            (
                "JIS of 1978",
                Some("iso-2022-jp"),
                b"\x1b$@9-9p\x1b(J",
                "広告",
            ),
            ("half-width", Some("iso-2022-jp"), b"\x1b(I6\x1b(B", "ｶ"),
            (
                "two sequences in a row",
                Some("iso-2022-jp"),
                b"\x1b$B9-\x1b(B\x1b$B9p\x1b(B",
                "広告",
            ),
            (
                "a line that ends in Japanese",
                Some("iso-2022-jp"),
                b"\x1b$B9-\r\n9p\x1b(B",
                "広\r\n告",
            ),
            ("Shift_JIS", Some("Shift_JIS"), b"\x8dL\x8d\x90", "広告"),
            ("its Windows name", Some("CP932"), b"\x8dL\x8d\x90", "広告"),
            ("Shift_JIS without a name", None, b"\x8dL\x8d\x90", "広告"),
            ("EUC-JP", Some("EUC-JP"), b"\xb9\xad\xb9\xf0", "広告"),
            ("EUC-JP without a name", None, b"\xb9\xad\xb9\xf0", "広告"),
            ("Latin 1", Some("iso-8859-1"), b"caf\xe9", "café"),
            (
                "Latin 1 without a name",
                None,
                b"caf\xe9 x",
                "caf\u{fffd} x",
            ),
            (
                "a name without a decoder",
                Some("ISO_2022-KR"),
                b"buy it",
                "buy it",
            ),
            ("an unknown name", Some("x-klingon"), "é".as_bytes(), "é"),
        ];
        for (name, charset, bytes, want) in cases {
            let charset = charset.map(str::as_bytes);
            assert_eq!(to_utf8(charset, bytes), want, "{name}");
            for bytes in [Cow::Borrowed(bytes), Cow::Owned(bytes.to_vec())] {
                assert_eq!(into_utf8(charset, bytes), want, "{name}");
            }
        }
        assert_eq!(to_utf8(Some(b"iso-2022-jp"), b""), "");
        let long = vec![b'x'; 10_000];
        assert_eq!(to_utf8(Some(&long), b"a"), "a");
    }
}

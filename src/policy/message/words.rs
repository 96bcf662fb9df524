//! Encoded words (RFC 2047) in a field of a header.
//!
//! Words are decoded wherever they stand, in quotes, too, as mail clients do. A character may be split over two words
//! of the same character set, which the RFC forbids and old Japanese mailers do: adjacent words are first decoded
//! together.

use super::charset::{count_invalid, to_utf8};
use super::transfer::{base64, q_word};

/// Maximum length of the name of a character set with its language, in bytes.
const MAX_CHARSET: usize = 80;

/// Maximum length of the text of a word, in bytes. The RFC has 75 for the whole word. A limit keeps a header of words
/// that do not end from being searched again and again.
const MAX_TEXT: usize = 4096;

/// A word, before its character set is considered.
#[derive(Debug)]
struct Word<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
}

/// The value of a field on one line: without the ends of its lines.
pub(super) fn unfold(value: &[u8]) -> Vec<u8> {
    let bytes = value.iter().copied();
    bytes
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect()
}

/// The unfolded value in UTF-8 with its words decoded; a control character that could end a line is a blank.
pub(super) fn decoded(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    let mut words: Vec<Word<'_>> = Vec::new();
    let (mut plain, mut rest) = (value, value);
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let from = rest.get(at..).unwrap_or_default();
        let Some((word, behind)) = word(from) else {
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        let before = plain.len().saturating_sub(from.len());
        let before = plain.get(..before).unwrap_or_default();
        let is_adjacent = !words.is_empty() && before.iter().all(u8::is_ascii_whitespace);
        if !is_adjacent {
            flush(&mut words, &mut text);
            text.push_str(&to_utf8(None, before));
        }
        words.push(word);
        (plain, rest) = (behind, behind);
    }
    flush(&mut words, &mut text);
    text.push_str(&to_utf8(None, plain));
    text.replace(['\r', '\n', '\0'], " ")
}

/// Parses the word that a text begins with; returns what follows it, too.
fn word(text: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let text = text.strip_prefix(b"=?")?;
    let near = text.get(..MAX_CHARSET.min(text.len()))?;
    let (charset, behind) = text.split_at_checked(memchr::memchr(b'?', near)?)?;
    if charset.is_empty() || charset.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    let [b'?', encoding, b'?', behind @ ..] = behind else {
        return None;
    };
    let near = behind.get(..MAX_TEXT.min(behind.len()))?;
    let (encoded, behind) = behind.split_at_checked(memchr::memmem::find(near, b"?=")?)?;
    let bytes = match encoding {
        b'B' | b'b' => base64(encoded).0,
        b'Q' | b'q' => q_word(encoded),
        _ => return None,
    };
    // A language may follow the character set (RFC 2231).
    let charset = charset.split(|byte| *byte == b'*').next()?;
    Some((Word { charset, bytes }, behind.get(2..)?))
}

/// Appends adjacent words.
fn flush(words: &mut Vec<Word<'_>>, text: &mut String) {
    let same = |a: &Word<'_>, b: &Word<'_>| a.charset.eq_ignore_ascii_case(b.charset);
    for words in words.chunk_by(same) {
        let Some(first) = words.first() else { continue };
        let charset = Some(first.charset);
        let joined: Vec<u8> = words.iter().flat_map(|word| &word.bytes).copied().collect();
        let together = to_utf8(charset, &joined);
        let invalid = count_invalid(&together);
        if invalid == 0 || words.len() == 1 {
            text.push_str(&together);
            continue;
        }
        let each = words.iter().map(|word| to_utf8(charset, &word.bytes));
        let each: String = each.collect();
        text.push_str(if count_invalid(&each) < invalid {
            &each
        } else {
            &together
        });
    }
    words.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_decoded() {
        let cases: [(&[u8], &str); 19] = [
            (b"plain", "plain"),
            (b"=?UTF-8?B?5bqD5ZGK?=", "広告"),
            (b"=?utf-8?q?a_b=3F?= c", "a b? c"),
            (b"a =?iso-8859-1?Q?caf=E9?= b", "a café b"),
            (b"=?iso-8859-1*fr?Q?caf=E9?=", "café"),
            (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            (b"=?utf-8?q?a?=\t =?iso-8859-1?q?b?=", "ab"),
            (b"=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
            // A character split over two words.
            (b"=?utf-8?B?5bqD5Q==?= =?utf-8?B?kYo=?=", "広告"),
            (b"=?shift_jis?B?jQ==?= =?Shift_JIS?B?TI2Q?=", "広告"),
            // Japanese that goes on in the next word.
            (
                b"=?iso-2022-jp?B?GyRCOS0=?= =?iso-2022-jp?B?OXAbKEI=?=",
                "広告",
            ),
            // Words that are closed, and one that is not.
            (
                b"=?iso-2022-jp?B?GyRCOS0bKEI=?= =?iso-2022-jp?B?GyRCOXAbKEI=?=",
                "広告",
            ),
            (b"=?iso-2022-jp?B?GyRCOS0=?= =?iso-2022-jp?Q?abc?=", "広abc"),
            (b"\x1b$B9-9p\x1b(B", "広告"),
            (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
            (b"=?utf-8?B?abc", "=?utf-8?B?abc"),
            (b"=?=?utf-8?q?a?=", "=?a"),
            (b"=??q?a?=", "=??q?a?="),
            (b"=?utf-8?q?a=0D=0AX:=00b?=", "a  X: b"),
        ];
        for (value, want) in cases {
            assert_eq!(decoded(value), want, "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(unfold(b"a\r\n b\n\tc"), b"a b\tc");
    }

    #[test]
    fn words_that_do_not_end_take_no_time() {
        let value = b"=?a?B?x".repeat(256 * 1024 / 7);
        assert_eq!(decoded(&value).len(), value.len());
        let value = b"=?".repeat(128 * 1024);
        assert_eq!(decoded(&value).len(), value.len());
    }
}

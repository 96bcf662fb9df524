//! Text as systemd reads it: its check for UTF-8, and the split of a value into words.

/// Replaces bytes that are not UTF-8. It is not a character, and systemd refuses it too.
const UNDECODABLE: char = '\u{ffff}';

/// A file as text. Bytes that are not UTF-8 become one character for which [`is_undecodable`] holds.
#[must_use]
pub fn decoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(UNDECODABLE);
        }
    }
    text
}

/// Whether systemd treats text with this character as invalid UTF-8: code points that are not characters, and the
/// replacement of [`decoded`].
#[must_use]
pub const fn is_undecodable(c: char) -> bool {
    matches!(c as u32, 0xfdd0..=0xfdef) || c as u32 & 0xfffe == 0xfffe
}

/// A word of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<T> {
    /// Its first character, which may be a quote or a backslash.
    pub begin: T,
    /// Its characters without quotes.
    pub text: Vec<T>,
}

/// Splits a value at white space into words. Quotes enclose a word, and `\` makes the next character literal. The
/// second value is the quote that is never closed, if there is one: systemd uses the rest as the last word.
pub fn split_words<T: Copy>(
    value: impl IntoIterator<Item = T>,
    character: impl Fn(T) -> char,
) -> (Vec<Word<T>>, Option<T>) {
    let mut words = Vec::new();
    let mut word: Option<Word<T>> = None;
    let mut quote: Option<T> = None;
    let mut rest = value.into_iter();
    while let Some(item) = rest.next() {
        let c = character(item);
        if quote.is_none() && matches!(c, ' ' | '\t' | '\n' | '\r') {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| Word {
            begin: item,
            text: Vec::new(),
        });
        match (quote.map(&character), c) {
            (_, '\\') => word.text.extend(rest.next()),
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(item),
            (_, _) => word.text.push(item),
        }
    }
    words.extend(word);
    (words, quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_refuses_as_utf8_shows() {
        for (bytes, want) in [
            (&b"plain"[..], false),
            ("größer, \u{fffd}".as_bytes(), false),
            (b"gr\xf6\xdfer", true),
            (b"cut off \xc3", true),
            (b"a surrogate \xed\xa0\x80", true),
            ("\u{fdd0}".as_bytes(), true),
            ("\u{fffe}".as_bytes(), true),
            ("\u{1ffff}".as_bytes(), true),
        ] {
            assert_eq!(decoded(bytes).contains(is_undecodable), want, "{bytes:?}");
        }
        assert_eq!(decoded(b"a\xff\nb"), "a\u{ffff}\nb");
    }

    #[test]
    fn a_value_is_split_into_words_as_systemd_splits_it() {
        for (value, want, open) in [
            ("", vec![], None),
            (" --a  --b\n--c\t", vec!["--a", "--b", "--c"], None),
            ("--text='a b' \"c d\"", vec!["--text=a b", "c d"], None),
            ("a\\ b c\\\\d", vec!["a b", "c\\d"], None),
            ("'' x", vec!["", "x"], None),
            ("'open end", vec!["open end"], Some('\'')),
            ("'it'\\''s'", vec!["it's"], None),
            ("end\\", vec!["end"], None),
        ] {
            let (words, quote) = split_words(value.chars(), |c| c);
            let words: Vec<String> = words
                .into_iter()
                .map(|word| word.text.into_iter().collect())
                .collect();
            assert_eq!(
                (words, quote),
                (want.iter().map(ToString::to_string).collect(), open),
                "{value:?}"
            );
        }
    }
}

//! Words of a command line: out of a value as systemd splits it, and back.

use super::Problem;
use super::assignments::Character;

/// A word, with the line on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The word, quotes taken off.
    pub(super) text: String,
    /// The line, from 1.
    pub(super) line: u32,
}

/// Splits at blanks; quotes keep blanks together, and a backslash takes the next character for itself.
pub(super) fn split(text: &[Character]) -> Result<Vec<Word>, Problem> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<Character> = None;
    let mut characters = text.iter();
    while let Some(&character) = characters.next() {
        let Character { value, line } = character;
        if quote.is_none() && value.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| Word {
            text: String::new(),
            line,
        });
        match (value, quote) {
            (end, Some(begun)) if end == begun.value => quote = None,
            ('"' | '\'', None) => quote = Some(character),
            ('\\', _) => word.text.extend(characters.next().map(|c| c.value)),
            (plain, _) => word.text.push(plain),
        }
    }
    if let Some(begun) = quote {
        return Err(Problem::new(
            begun.line,
            format!("this {} is never closed", begun.value),
        ));
    }
    words.extend(word);
    Ok(words)
}

/// The words as one line, between the double quotes of systemd's `EnvironmentFile`.
pub(super) fn join(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let mut line = String::new();
    for c in quoted.join(" ").chars() {
        if matches!(c, '"' | '\\' | '`' | '$') {
            line.push('\\');
        }
        line.push(c);
    }
    line
}

/// A word that [`split`] reads as it is.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| !c.is_ascii_whitespace() && !matches!(c, '"' | '\'' | '\\');
    if word.chars().all(is_plain) {
        return word.to_owned();
    }
    // Quotes are around the value alone: it is easier to read.
    let (name, value) = match word.split_once('=') {
        Some((name, value)) if name.chars().all(is_plain) => (format!("{name}="), value),
        _ => (String::new(), word),
    };
    let quote = if value.contains('\'') { '"' } else { '\'' };
    let mut text = format!("{name}{quote}");
    for c in value.chars() {
        if c == quote || c == '\\' {
            text.push('\\');
        }
        text.push(c);
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::assignments;
    use super::*;

    /// The words of `A="…"`.
    fn words(value: &str) -> Vec<String> {
        let (values, problems) = assignments::read(&format!("A=\"{value}\""));
        assert_eq!(problems, [], "{value}");
        let words = split(&values["A"].text).unwrap();
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn quotes_are_used_where_they_are_needed() {
        for (given, want) in [
            (vec!["--delay=60", "-v"], "--delay=60 -v"),
            (vec!["--greylist-text=a b"], "--greylist-text='a b'"),
            (vec!["--greylist-text=it's"], "--greylist-text=\\\"it's\\\""),
            (vec!["a b"], "'a b'"),
        ] {
            let given: Vec<String> = given.iter().map(ToString::to_string).collect();
            assert_eq!(join(&given), want);
            assert_eq!(words(want), given);
        }
    }

    proptest! {
        #[test]
        fn what_is_joined_is_split_into_the_same(
            given in proptest::collection::vec("[-a=b'\"\\\\$` %é]{1,8}", 0..4),
        ) {
            prop_assert_eq!(words(&join(&given)), given);
        }
    }
}

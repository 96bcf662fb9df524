//! Splits a value into words as systemd does, and joins words.

use super::Problem;
use super::assignments::Character;
use crate::types::split_words;

/// A word, with the line on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The word, quotes taken off.
    pub(super) text: String,
    /// The line, from 1.
    pub(super) line: u32,
}

/// Splits at blanks; quotes protect blanks, and a backslash protects the next character.
pub(super) fn split(text: &[Character]) -> Result<Vec<Word>, Problem> {
    let (words, open) = split_words(text.iter().copied(), |c| c.value);
    if let Some(begun) = open {
        return Err(Problem::new(
            begun.line,
            format!("this {} is never closed", begun.value),
        ));
    }
    let words = words.into_iter().map(|word| Word {
        text: word.text.iter().map(|c| c.value).collect(),
        line: word.begin.line,
    });
    Ok(words.collect())
}

/// The words as one line, between the double quotes of systemd's `EnvironmentFile`. There is no `$` in them, and no
/// control character.
pub(super) fn join(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let mut line = String::new();
    for c in quoted.join(" ").chars() {
        if matches!(c, '"' | '\\' | '`') {
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
    use super::*;

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
        }
    }
}

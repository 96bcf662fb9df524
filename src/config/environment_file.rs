//! The option files of the unit, read as systemd reads them.
//!
//! `EnvironmentFile=` (systemd.exec(5)) and `$OPTIONS` in a command line (systemd.service(5)) each have a grammar. Both
//! are implemented here, so that `--check` sees the options that the daemon would get.
//!
//! | in a file | means |
//! | --- | --- |
//! | `# …`, `; …` | a comment |
//! | `NAME=text` | the text without blanks at either end; `\` takes the next character as it is |
//! | `NAME='text'` | the text as it is, over several lines too |
//! | `NAME="text"` | the same; `\` before `"`, `\`, `` ` `` and `$` goes |
//! | `\` at the end of a line of a value | the line goes on |
//!
//! A value is split at white space into words; quotes keep one together, and `\` takes the next character as it is.

use crate::types::split_words;

/// An assignment of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The number of its first line, from 1.
    pub line: u32,
    /// The text before `=`, trimmed; not necessarily a valid name.
    pub name: String,
    /// The value; `None` where the line has no `=`.
    pub value: Option<String>,
    /// Whether the line above is a comment that ends in `\`: before version 254 systemd continues the comment.
    pub is_below_comment: bool,
}

/// The syntactic context of the next character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Name,
    BeforeValue,
    Value,
    ValueEscape,
    Single,
    Double,
    DoubleEscape,
    Comment,
    CommentEscape,
}

/// How a character is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CharAction {
    Skip,
    /// It starts a name.
    Begin,
    Name,
    /// Part of the value, unless only blanks follow.
    Push,
    /// Part of the value, as are pending blanks before it.
    Keep,
    /// Part of the value, together with the backslash before it.
    KeepBoth,
    /// Not part of the value, but pending blanks before it are.
    Hold,
    EndName,
    EndValue,
}

/// The state after a character, and how the character is consumed.
const fn next(state: State, c: char) -> (State, CharAction) {
    let is_end = matches!(c, '\n' | '\r');
    let is_blank = is_end || matches!(c, ' ' | '\t');
    match state {
        State::Between if is_blank => (State::Between, CharAction::Skip),
        State::Between if matches!(c, '#' | ';') => (State::Comment, CharAction::Skip),
        State::Between => (State::Name, CharAction::Begin),
        State::Comment | State::CommentEscape if is_end => (State::Between, CharAction::Skip),
        State::Comment if c == '\\' => (State::CommentEscape, CharAction::Skip),
        State::Comment | State::CommentEscape => (State::Comment, CharAction::Skip),
        State::Name if is_end => (State::Between, CharAction::EndName),
        State::Name if c == '=' => (State::BeforeValue, CharAction::Skip),
        State::Name => (State::Name, CharAction::Name),
        State::BeforeValue | State::Value if is_end => (State::Between, CharAction::EndValue),
        State::BeforeValue if c == '\'' => (State::Single, CharAction::Skip),
        State::BeforeValue if c == '"' => (State::Double, CharAction::Skip),
        State::BeforeValue if is_blank => (State::BeforeValue, CharAction::Skip),
        State::BeforeValue | State::Value if c == '\\' => (State::ValueEscape, CharAction::Skip),
        State::Value if is_blank => (State::Value, CharAction::Push),
        State::ValueEscape if is_end => (State::Value, CharAction::Hold),
        State::BeforeValue | State::Value | State::ValueEscape => (State::Value, CharAction::Keep),
        State::Single if c == '\'' => (State::BeforeValue, CharAction::Skip),
        State::Single => (State::Single, CharAction::Keep),
        State::Double if c == '"' => (State::BeforeValue, CharAction::Skip),
        State::Double if c == '\\' => (State::DoubleEscape, CharAction::Skip),
        State::Double => (State::Double, CharAction::Keep),
        State::DoubleEscape if c == '\n' => (State::Double, CharAction::Hold),
        State::DoubleEscape if matches!(c, '"' | '\\' | '`' | '$') => {
            (State::Double, CharAction::Keep)
        }
        State::DoubleEscape => (State::Double, CharAction::KeepBoth),
    }
}

/// The assignments of a file in order, including lines without a `=`.
#[must_use]
pub fn assignments(text: &str) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut state = State::Between;
    let (mut line, mut begun) = (1_u32, 1_u32);
    let (mut name, mut value) = (String::new(), String::new());
    // Unquoted blanks at the end of a value.
    let mut kept = 0;
    // Lines below a comment that ends in a backslash.
    let mut below = Vec::new();
    for c in text.chars().chain(['\n']) {
        if state == State::CommentEscape && c == '\n' {
            below.push(line.saturating_add(1));
        }
        let step;
        (state, step) = next(state, c);
        match step {
            CharAction::Skip | CharAction::Hold => {}
            CharAction::Begin => {
                begun = line;
                name.push(c);
            }
            CharAction::Name => name.push(c),
            CharAction::Push | CharAction::Keep => value.push(c),
            CharAction::KeepBoth => value.extend(['\\', c]),
            CharAction::EndName => found.push(assignment(begun, &mut name, None)),
            CharAction::EndValue => {
                value.truncate(kept);
                found.push(assignment(begun, &mut name, Some(&mut value)));
            }
        }
        if !matches!(step, CharAction::Skip | CharAction::Push) {
            kept = value.len();
        }
        if c == '\n' {
            line = line.saturating_add(1);
        }
    }
    // Unclosed quotes end with the file; the line feed was added here.
    if matches!(state, State::Single | State::Double | State::ValueEscape) || !name.is_empty() {
        if matches!(state, State::Single | State::Double) && value.ends_with('\n') {
            value.pop();
        }
        found.push(assignment(begun, &mut name, Some(&mut value)));
    }
    for assignment in &mut found {
        assignment.is_below_comment = below.binary_search(&assignment.line).is_ok();
    }
    found
}

fn assignment(line: u32, name: &mut String, value: Option<&mut String>) -> Assignment {
    Assignment {
        line,
        name: std::mem::take(name).trim_end().to_owned(),
        value: value.map(std::mem::take),
        is_below_comment: false,
    }
}

/// The words that systemd makes of `$NAME` in the command line of a unit.
#[must_use]
pub fn words(value: &str) -> Vec<String> {
    let (words, _) = split_words(value.chars(), |c| c);
    let words = words.into_iter();
    words.map(|word| word.text.into_iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_systemd_reads_it() {
        for (text, want) in [
            ("", vec![]),
            ("# A=1\n;B=2\n\n", vec![]),
            ("A=1\nB=2", vec![("A", "1"), ("B", "2")]),
            ("  A = b c \t\n", vec![("A", "b c")]),
            ("A=\nB=", vec![("A", ""), ("B", "")]),
            ("A=\"b c\"  \n", vec![("A", "b c")]),
            (
                "A=\"--x\n --y\"\nB=1\n",
                vec![("A", "--x\n --y"), ("B", "1")],
            ),
            ("A=--x \\\n--y\n", vec![("A", "--x --y")]),
            ("A=\"--x \\\n--y\"\n", vec![("A", "--x --y")]),
            ("A='a\\b$c'\n", vec![("A", "a\\b$c")]),
            ("A=\"a\\b\\$c\\\"d\"\n", vec![("A", "a\\b$c\"d")]),
            ("A=a\\'b\n", vec![("A", "a'b")]),
            ("A=a'b c'\n", vec![("A", "a'b c'")]),
            ("A='a' \"b\" c\n", vec![("A", "abc")]),
            ("A='open\nB=1", vec![("A", "open\nB=1")]),
            ("export A=1\n", vec![("export A", "1")]),
        ] {
            let found = assignments(text);
            let got: Vec<(&str, &str)> = found
                .iter()
                .map(|a| (a.name.as_str(), a.value.as_deref().unwrap_or("no =")))
                .collect();
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn what_systemd_took_for_a_comment_before_version_254_shows() {
        for (text, want) in [
            ("# x \\\nA=1\nB=2", [true, false]),
            ("; x\\\n  A=1\n# y\\\nB=2", [true, true]),
            ("# x \\\n# y\nA=1\nB=2", [false, false]),
            ("# x \\\n\nA=1\nB=2", [false, false]),
            ("# x \\\\\nA=1\nB=2", [false, false]),
            ("# x \\ y\nA=1\nB=2", [false, false]),
            ("# x \\\r\nA=1\nB=2", [false, false]),
        ] {
            let found = assignments(text).into_iter();
            let got: Vec<bool> = found.map(|found| found.is_below_comment).collect();
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn an_assignment_knows_its_line_and_a_line_without_one_shows() {
        let found = assignments("# one\nA='1\n2'\nodd line\nB=3\n");
        let got: Vec<(u32, &str, bool)> = found
            .iter()
            .map(|a| (a.line, a.name.as_str(), a.value.is_some()))
            .collect();
        assert_eq!(
            got,
            [(2, "A", true), (4, "odd line", false), (5, "B", true)]
        );
    }
}

//! Parses shell assignments without running a shell.
//!
//! # The file
//!
//! `NAME=VALUE` and `NAME+=VALUE`, several on a line or one on many, `export` before them, comments, both kinds of
//! quotes, backslashes, `$NAME` and `${NAME}`. Everything else needs a shell and is a [`Problem`].

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use super::Problem;

/// Maximum characters that all `$NAME` of a file may expand to: no word of a command line is longer.
const MAX_EXPANDED: usize = 1 << 17;

/// A character of a value, with its line in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Character {
    /// The character.
    pub(super) value: char,
    /// The line, from 1.
    pub(super) line: u32,
}

/// Values by their names.
pub(super) type Values = BTreeMap<String, Value>;

/// The final value of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// The line of its last assignment.
    pub(super) line: u32,
    /// Its text, quotes taken off.
    pub(super) text: Vec<Character>,
}

/// Parses a file; returns the problems of skipped lines too.
pub(super) fn read(text: &str) -> (Values, Vec<Problem>) {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
        values: Values::new(),
        expanded: 0,
    };
    let mut problems = Vec::new();
    loop {
        match reader.assignment() {
            Ok(true) => {}
            Ok(false) => return (reader.values, problems),
            Err(problem) => {
                problems.push(problem);
                reader.skip_line();
            }
        }
    }
}

/// Whether a name is one that a start script may leave unset.
fn is_of_postgrey(name: &str) -> bool {
    name == "OPTIONS" || name.to_ascii_lowercase().starts_with("postgrey_")
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | ';')
}

const fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: u32,
    values: Values,
    /// Characters that `$NAME` has expanded to.
    expanded: usize,
}

impl Reader<'_> {
    /// The next character.
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line = self.line.saturating_add(1);
        }
        next
    }

    fn next_if(&mut self, is_wanted: impl Fn(char) -> bool) -> Option<char> {
        let is_next = self.rest.peek().is_some_and(|c| is_wanted(*c));
        if is_next { self.next() } else { None }
    }

    fn skip_line(&mut self) {
        while self.next_if(|c| c != '\n').is_some() {}
    }

    fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::new(self.line, what)
    }

    /// Reads the next assignment, or something to ignore; false at the end.
    fn assignment(&mut self) -> Result<bool, Problem> {
        while self.next_if(is_blank).is_some() {}
        match self.rest.peek() {
            None => return Ok(false),
            Some('#') => {
                self.skip_line();
                return Ok(true);
            }
            Some(_) => {}
        }
        let line = self.line;
        let name = self.name();
        if name == "export" && self.next_if(|c| matches!(c, ' ' | '\t')).is_some() {
            return Ok(true);
        }
        let appends = self.next_if(|c| c == '+').is_some();
        let is_assigned = !name.is_empty() && self.next_if(|c| c == '=').is_some();
        if !is_assigned {
            // What `export` names has been assigned before.
            let is_exported = self.values.contains_key(&name) && !appends;
            return if is_exported && self.rest.peek().is_none_or(|c| is_blank(*c)) {
                Ok(true)
            } else {
                Err(self.problem("not an assignment; this file is read, not run by a shell"))
            };
        }
        let text = self.value()?;
        let value = self.values.entry(name).or_insert(Value {
            line,
            text: Vec::new(),
        });
        value.line = line;
        if !appends {
            value.text.clear();
        }
        value.text.extend(text);
        Ok(true)
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.next_if(is_of_name) {
            name.push(c);
        }
        name
    }

    /// A value to its end.
    fn value(&mut self) -> Result<Vec<Character>, Problem> {
        let mut text = Vec::new();
        loop {
            let line = self.line;
            let Some(next) = self.next_if(|c| !is_blank(c)) else {
                return Ok(text);
            };
            match next {
                '\'' => self.single_quoted(&mut text)?,
                '"' => self.double_quoted(&mut text)?,
                '$' => self.reference(&mut text)?,
                '\\' => {
                    if let Some(value) = self.next().filter(|c| *c != '\n') {
                        text.push(Character { value, line });
                    }
                }
                '`' | '(' | ')' | '&' | '|' | '<' | '>' => {
                    return Err(Problem::new(line, format!("{next} needs a shell")));
                }
                value => text.push(Character { value, line }),
            }
        }
    }

    fn single_quoted(&mut self, text: &mut Vec<Character>) -> Result<(), Problem> {
        let begun = self.line;
        loop {
            let line = self.line;
            match self.next() {
                None => return Err(Problem::new(begun, "this ' is never closed")),
                Some('\'') => return Ok(()),
                Some(value) => text.push(Character { value, line }),
            }
        }
    }

    fn double_quoted(&mut self, text: &mut Vec<Character>) -> Result<(), Problem> {
        let begun = self.line;
        loop {
            let line = self.line;
            let value = match self.next() {
                None => return Err(Problem::new(begun, "this \" is never closed")),
                Some('"') => return Ok(()),
                Some('`') => return Err(Problem::new(line, "` needs a shell")),
                Some('$') => {
                    self.reference(text)?;
                    continue;
                }
                Some('\\') => match self.next_if(|c| matches!(c, '"' | '\\' | '$' | '`' | '\n')) {
                    Some('\n') => continue,
                    Some(escaped) => escaped,
                    None => '\\',
                },
                Some(plain) => plain,
            };
            text.push(Character { value, line });
        }
    }

    /// Expands the name after a `$`.
    fn reference(&mut self, text: &mut Vec<Character>) -> Result<(), Problem> {
        let is_braced = self.next_if(|c| c == '{').is_some();
        let name = self.name();
        if name.is_empty() || is_braced && self.next_if(|c| c == '}').is_none() {
            return Err(self.problem("only $NAME and ${NAME} can be replaced without a shell"));
        }
        match self.values.get(&name) {
            Some(value) => {
                self.expanded = self.expanded.saturating_add(value.text.len());
                if self.expanded > MAX_EXPANDED {
                    return Err(self.problem(format!(
                        "the values of all $NAME in this file together are longer than {MAX_EXPANDED} characters"
                    )));
                }
                text.extend(&value.text);
            }
            None if is_of_postgrey(&name) => {}
            None => return Err(self.problem(format!("${name} is not set in this file"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let (values, problems) = read(text);
        assert_eq!(problems, [], "{text}");
        let text = |value: Value| value.text.iter().map(|c| c.value).collect::<String>();
        let values = values.into_iter();
        values.map(|(name, value)| (name, text(value))).collect()
    }

    #[test]
    fn values_are_those_that_a_shell_would_make() {
        for (text, want) in [
            ("A=b", "b"),
            ("A='b c'", "b c"),
            ("A=\"b 'c'\"", "b 'c'"),
            ("A=\"b \\\"c\\\" \\d\"", "b \"c\" \\d"),
            ("A=b\\ c", "b c"),
            ("A=b'c'\"d\"", "bcd"),
            ("  export A=\"b\" # comment", "b"),
            ("A=b; export A", "b"),
            ("A=b\nA=\"$A c\"", "b c"),
            ("A=b\nA+=c", "bc"),
            ("A=b\nA=${A}c", "bc"),
            ("A=\"b\n  c \\\n d\"\n", "b\n  c  d"),
            ("# comment\n\nA=b\r\n", "b"),
            ("A=#b", "#b"),
            ("A=", ""),
            ("A=\"$POSTGREY_OPTS b\"", " b"),
        ] {
            let want = [("A".to_owned(), want.to_owned())];
            assert_eq!(values(text), want, "{text}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_a_problem_of_its_line() {
        for (text, line, want) in [
            ("\n. /etc/other", 2, "not an assignment"),
            ("if true; then", 1, "not an assignment"),
            ("A", 1, "not an assignment"),
            ("A=`b`", 1, "` needs a shell"),
            ("A=\"`b`\"", 1, "` needs a shell"),
            ("A=$(b)", 1, "only $NAME"),
            ("A=${B:-c}", 1, "only $NAME"),
            ("A=\n\nB=$HOME", 3, "$HOME is not set"),
            ("A=(b c)", 1, "( needs a shell"),
            ("A=b\nB='c\nd", 2, "this ' is never closed"),
            ("B=\"c\nd", 1, "this \" is never closed"),
        ] {
            let (_, problems) = read(text);
            let problem = problems.first().expect(text);
            assert_eq!(problem.line, line, "{text}");
            assert!(problem.what.starts_with(want), "{text}: {problem:?}");
        }
    }

    #[test]
    fn values_that_grow_with_every_line_end_as_a_problem() {
        for (first, more) in [("A=xxxx\n", "A=$A$A\n"), ("A=xxxx\n", "A+=$A\n")] {
            let (values, problems) = read(&format!("{first}{}", more.repeat(40)));
            let length: usize = values.values().map(|value| value.text.len()).sum();
            assert!(length < 2 * MAX_EXPANDED, "{more}: {length}");
            assert!(
                problems[0].what.contains("131072 characters"),
                "{problems:?}"
            );
        }
        let many: Vec<_> = (0..2000).map(|n| format!("B{n}=$A")).collect();
        let (values, _) = read(&format!("A={}\n{}", "x".repeat(10_000), many.join("\n")));
        let length: usize = values.values().map(|value| value.text.len()).sum();
        assert!(length < 2 * MAX_EXPANDED, "{length}");
    }
}

//! Converts option files and command lines of Postgrey into stargrey's option file.
//!
//! | input | is |
//! | --- | --- |
//! | with NUL bytes | `/proc/PID/cmdline` |
//! | a first line that is not an assignment | what `ps` shows of the daemon |
//! | anything else | assignments of a shell: Debian's, EPEL's, Puppet's, openSUSE's, FreeBSD's variables |
//!
//! # Error handling
//!
//! Everything that cannot be parsed is a [`Problem`] with its line; a single one suppresses the output.

mod assignments;
mod table;
mod words;

use std::fmt;

use assignments::{Value, Values};
use table::find;
pub use table::{Argument, KnownOption, Mapping, OPTIONS};
use words::{Word, join, split};

use crate::types::{decoded, is_undecodable};

/// The option file that is packaged.
const TEMPLATE: &str = include_str!("../../../systemd/stargrey.options");

/// The line of it that is replaced.
const EMPTY: &str = "OPTIONS=\"\"\n";

/// The variables whose values are options, in the order of the command line; with an option where the value may
/// be that option's.
const VARIABLES: [(&str, Option<&str>); 9] = [
    ("POSTGREY_TYPE", None),
    ("POSTGREY_PID", Some("pidfile")),
    ("POSTGREY_GROUP", Some("group")),
    ("POSTGREY_USER", Some("user")),
    ("POSTGREY_DELAY", Some("delay")),
    ("OPTIONS", None),
    ("POSTGREY_OPTS", None),
    ("POSTGREY_EXTRA_OPTIONS", None),
    ("postgrey_flags", None),
];

/// Debian's text, which comes last on the command line.
const TEXT: &str = "POSTGREY_TEXT";

/// Variables of FreeBSD's start script that are no options.
const OF_THE_SCRIPT: [&str; 2] = ["postgrey_enable", "postgrey_pidfile"];

/// Something that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, from 1.
    line: u32,
    /// What is wrong with it.
    what: String,
}

impl Problem {
    fn new(line: u32, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// An option with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GivenOption {
    known: &'static KnownOption,
    value: Option<String>,
    line: u32,
}

impl fmt::Display for GivenOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.known.name)?;
        self.value
            .as_ref()
            .map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

/// stargrey's option file with the options of this file.
///
/// # Errors
///
/// All problems.
pub fn translate(name: &str, bytes: &[u8]) -> Result<String, Vec<Problem>> {
    let text = &decoded(bytes);
    let mut problems = Vec::new();
    let given = if text.contains('\0') || !is_assigning(text) {
        of_command_line(text, &mut problems)
    } else {
        of_variables(text, &mut problems)
    };
    let (options, notes) = converted(&given, &mut problems);
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.line);
        return Err(problems);
    }
    let notes = notes.iter().map(|note| format!("# Left out: {note}."));
    let lines: Vec<_> = std::iter::once(format!("# The options of Postgrey in {name}."))
        .chain(notes)
        .chain([format!("OPTIONS=\"{}\"\n", join(&options))])
        .collect();
    Ok(TEMPLATE.replacen(EMPTY, &lines.join("\n"), 1))
}

/// Whether the first line that means something is an assignment or a comment.
fn is_assigning(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let end = first.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let (name, rest) = first.split_at(end.unwrap_or(first.len()));
    rest.starts_with(['#', '=']) || rest.starts_with("+=") || name == "export"
}

/// The options in a file of variables.
fn of_variables(text: &str, problems: &mut Vec<Problem>) -> Vec<GivenOption> {
    let (values, wrong) = assignments::read(text);
    problems.extend(wrong);
    problems.extend(unknown(&values));
    let mut given = Vec::new();
    for (name, option) in VARIABLES {
        let Some(value) = values.get(name) else {
            continue;
        };
        match split(&value.text) {
            Ok(mut words) => {
                if let ([word], Some(option)) = (words.as_mut_slice(), option)
                    && !word.text.starts_with('-')
                {
                    word.text = format!("--{option}={}", word.text);
                }
                given.extend(parse(&words, problems));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(Value { line, text }) = values.get(TEXT)
        && !text.is_empty()
        && let Ok(known) = find("greylist-text")
    {
        let value = Some(text.iter().map(|c| c.value).collect());
        given.push(GivenOption {
            known,
            value,
            line: *line,
        });
    }
    given
}

/// The problems with the names.
fn unknown(values: &Values) -> Vec<Problem> {
    let is_known = |name: &str| {
        name == TEXT
            || OF_THE_SCRIPT.contains(&name)
            || VARIABLES.iter().any(|(known, _)| *known == name)
    };
    let ours: Vec<_> = values
        .iter()
        .filter(|(name, _)| is_known(name) || name.to_ascii_lowercase().starts_with("postgrey"))
        .collect();
    if ours.is_empty() {
        let names = VARIABLES.map(|(name, _)| name).join(", ");
        return vec![Problem::new(
            1,
            format!("no variable of Postgrey is set here: {names}"),
        )];
    }
    ours.into_iter()
        .filter(|(name, _)| !is_known(name))
        .map(|(name, value)| {
            Problem::new(value.line, format!("{name} is not known to hold options"))
        })
        .collect()
}

/// The options on the command line of a daemon.
fn of_command_line(text: &str, problems: &mut Vec<Problem>) -> Vec<GivenOption> {
    // Postgrey's own name for its process is one text with blanks.
    let is_split = text.trim_end_matches('\0').contains('\0');
    for (line, text) in (1..).zip(text.lines()) {
        let words: Vec<&str> = if is_split {
            text.trim_end_matches('\0').split('\0').collect()
        } else {
            text.split(|c: char| c == '\0' || c.is_whitespace())
                .filter(|word| !word.is_empty())
                .collect()
        };
        let Some(at) = program(&words) else {
            continue;
        };
        let rest = words.into_iter().skip(at.saturating_add(1));
        let mut words: Vec<Word> = Vec::new();
        for word in rest {
            match words.last_mut() {
                // There are no arguments but options, so this is the rest of a value with blanks in it.
                Some(before) if !is_split && !word.starts_with('-') => {
                    let joint = if before.text.contains('=') { " " } else { "=" };
                    before.text.extend([joint, word]);
                }
                _ => words.push(Word {
                    text: word.to_owned(),
                    line,
                }),
            }
        }
        return parse(&words, problems);
    }
    problems.push(Problem::new(
        1,
        "neither assignments nor the command line of a postgrey",
    ));
    Vec::new()
}

/// Where in a command line the program is. Its user may have the same name, and so may a directory of its own.
fn program(words: &[&str]) -> Option<usize> {
    words.iter().enumerate().position(|(at, word)| {
        let next = words.get(at.saturating_add(1));
        !word.starts_with('-')
            && word.rsplit('/').next() == Some("postgrey")
            && next.is_none_or(|next| next.starts_with('-'))
    })
}

/// Words as options.
fn parse(words: &[Word], problems: &mut Vec<Problem>) -> Vec<GivenOption> {
    let mut given = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(Word { text, line }) = words.next() {
        let mut wrong =
            |what: String| problems.push(Problem::new(*line, format!("{text}: {what}")));
        let Some(option) = text.strip_prefix("--").or_else(|| text.strip_prefix('-')) else {
            wrong("this is not an option; Postgrey ignores options after it".to_owned());
            continue;
        };
        let (name, mut value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (option, None),
        };
        let known = match find(name) {
            Ok(known) => known,
            Err(what) => {
                wrong(what);
                continue;
            }
        };
        let takes_next = value.is_none()
            && match known.argument {
                Argument::None => false,
                Argument::Optional => words.peek().is_some_and(|next| !next.text.starts_with('-')),
                Argument::Needed => true,
            };
        if takes_next {
            value = words.next().map(|next| next.text.clone());
        }
        match (known.argument, &value) {
            (Argument::None, Some(_)) => wrong("this option does not have a value".to_owned()),
            (Argument::Needed, None) => wrong("the value is missing".to_owned()),
            (Argument::None | Argument::Optional, _) | (Argument::Needed, Some(_)) => {
                given.push(GivenOption {
                    known,
                    value,
                    line: *line,
                });
            }
        }
    }
    given
}

/// The words of stargrey's command line, and the omitted options with the reason.
fn converted(given: &[GivenOption], problems: &mut Vec<Problem>) -> (Vec<String>, Vec<String>) {
    let (mut options, mut notes) = (Vec::new(), Vec::new());
    for (at, option) in given.iter().enumerate() {
        let mut later = given.iter().skip(at.saturating_add(1));
        let is_last = later.all(|other| other.known != option.known);
        let is_zero = |value: &String| !value.is_empty() && value.bytes().all(|byte| byte == b'0');
        let text = option.to_string();
        let is_undecodable = text.contains(is_undecodable);
        if is_undecodable || text.contains(|c: char| c == '$' || c.is_control()) {
            let text = text.escape_debug();
            let why = if is_undecodable {
                "this is not UTF-8"
            } else {
                "stargreyd accepts neither $ nor a control character here"
            };
            problems.push(Problem::new(option.line, format!("{text}: {why}")));
            continue;
        }
        if !is_last && option.known.mapping != Mapping::Each {
            continue;
        }
        match option.known.mapping {
            Mapping::SameButZero if option.value.as_ref().is_some_and(is_zero) => {
                notes.push(format!("{text} (0 means the default there)"));
            }
            Mapping::Same | Mapping::Each | Mapping::SameButZero => options.push(text),
            Mapping::LeftOut(why) => notes.push(format!("{text} ({why})")),
        }
    }
    (options, notes)
}

#[cfg(test)]
mod tests;

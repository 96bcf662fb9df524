//! Client access tables: parses files in the formats of Postfix's tables and reports every error.
//!
//! # The files
//!
//! A line that begins with white space continues the line before it, across empty lines and
//! comments (`#`). What the resulting lines are depends on the kind of the table: `expressions`, `networks`,
//! `keys`. Results are read by [`AccessResult`].
//!
//! # Errors
//!
//! A line that Postfix skips with a warning is an error here, and skipped in the same way. What is probably not intended
//! is a warning: a backslash sequence that has another meaning in a Perl expression, a key that never matches.

mod expressions;
mod keys;
mod kind;
mod networks;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::policy::access::{
    AccessResult, AccessTables, Dollars, EreError, Line, NetworkError, PcreError, ResultError,
    RuleError, is_space,
};
use crate::policy::checks::{ActionError, CheckAction, CheckTables, MessageChecks, Place};
use crate::policy::{Entry, TooLarge};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::file;

pub use expressions::Dialect;
pub use kind::{TableFile, TableFileError, TableKind};

/// The option of tables.
pub(super) const OPTION: &str = "--client-access";

/// Why a line is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum LineError {
    #[error("white space at the beginning, but no line that this continues")]
    Continuation,
    #[error("this is not UTF-8; convert the file, for instance with iconv -f EUC-JP -t UTF-8")]
    Encoding,
    #[error("a NUL character")]
    Nul,
    #[error("expected /expression/, if or endif")]
    Unrecognized,
    #[error("no expression")]
    NoExpression,
    #[error("{0:?} cannot be a delimiter; use /")]
    Delimiter(char),
    #[error("the closing {0:?} of the expression is missing")]
    Unclosed(char),
    #[error("unknown flag {0:?}; flags are {1}")]
    Flag(char, &'static str),
    #[error("bad expression: {0}")]
    Posix(#[from] EreError),
    #[error("bad expression: {0}")]
    Perl(#[from] PcreError),
    #[error("no network; write 192.0.2.0/24, 2001:db8::/32 or an address")]
    NoNetwork,
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("a double quote without another")]
    Quote,
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error("endif without if")]
    EndIf,
    #[error("if without endif")]
    If,
    #[error("text after the expression of an if")]
    BehindIf,
    #[error("text after endif")]
    BehindEndIf,
}

/// Reads tables. Files that cannot be read and lines that cannot be parsed are skipped and reported. Lines whose
/// result is one of `greylist_results` greylist.
#[must_use]
pub fn load(files: &[TableFile], greylist_results: &[String]) -> (AccessTables, Diagnostics) {
    let mut tables = AccessTables::default();
    let mut findings = Diagnostics::default();
    for file in files {
        match file::read(&file.path) {
            Ok(bytes) => add(&mut tables, file, &bytes, greylist_results, &mut findings),
            Err(error) => {
                let error = file::unreadable(OPTION, &file.path, &error);
                findings.errors.push(error);
            }
        }
    }
    (tables, findings)
}

/// Parses the content of a file and adds the table. Lines that cannot be parsed are skipped and reported.
pub fn add(
    tables: &mut AccessTables,
    file: &TableFile,
    bytes: &[u8],
    greylist_results: &[String],
    findings: &mut Diagnostics,
) {
    let path = file.path.as_path();
    let mut source = Source {
        path,
        file: path.into(),
        names: greylist_results,
        findings,
    };
    let expressions = |source, dialect| {
        let parse = |text: &str| {
            Ok(AccessResult::parse(
                text,
                greylist_results,
                Dollars::Groups,
            )?)
        };
        expressions::read(source, bytes, dialect, parse)
    };
    let lines: Vec<Line> = match file.kind {
        TableKind::Regexp => expressions(source, Dialect::Posix),
        TableKind::Pcre => expressions(source, Dialect::Perl),
        TableKind::Cidr => {
            tables.push_networks(networks::read(&mut source, bytes));
            return;
        }
        TableKind::Texthash => {
            tables.push_keys(keys::read(&mut source, bytes));
            return;
        }
    };
    if let Err(error @ TooLarge) = tables.push(lines) {
        findings.errors.push(Diagnostic::file(path, error));
    }
}

/// Reads tables for messages. Files that cannot be read and lines that cannot be parsed are skipped and reported.
#[must_use]
pub fn load_checks(header: &[TableFile], body: &[TableFile]) -> (MessageChecks, Diagnostics) {
    let mut checks = MessageChecks::default();
    let mut findings = Diagnostics::default();
    for (place, files) in [(Place::Header, header), (Place::Body, body)] {
        let tables = match place {
            Place::Header => &mut checks.header,
            Place::Body => &mut checks.body,
        };
        for file in files {
            match file::read(&file.path) {
                Ok(bytes) => add_check(tables, place, file, &bytes, &mut findings),
                Err(error) => {
                    let error = file::unreadable(check_option(place), &file.path, &error);
                    findings.errors.push(error);
                }
            }
        }
    }
    (checks, findings)
}

/// The option of the tables for this part of a message.
#[must_use]
pub const fn check_option(place: Place) -> &'static str {
    match place {
        Place::Header => "--header-checks",
        Place::Body => "--body-checks",
    }
}

/// Parses the content of a file and adds the table for this part of a message. Lines that cannot be parsed are skipped
/// and reported.
pub fn add_check(
    tables: &mut CheckTables,
    place: Place,
    file: &TableFile,
    bytes: &[u8],
    findings: &mut Diagnostics,
) {
    let path = file.path.as_path();
    let dialect = match file.kind {
        TableKind::Regexp => Dialect::Posix,
        TableKind::Pcre => Dialect::Perl,
        TableKind::Cidr | TableKind::Texthash => {
            let error = Diagnostic::file(path, "a table for messages is regexp: or pcre:");
            findings.errors.push(error);
            return;
        }
    };
    let source = Source {
        path,
        file: path.into(),
        names: &[],
        findings,
    };
    let parse = |text: &str| Ok(CheckAction::parse(text, place)?);
    let lines = expressions::read(source, bytes, dialect, parse);
    if let Err(error @ TooLarge) = tables.push(lines) {
        findings.errors.push(Diagnostic::file(path, error));
    }
}

/// The file that is parsed, and the findings about it.
struct Source<'a> {
    path: &'a Path,
    file: Arc<Path>,
    /// Results that greylist.
    names: &'a [String],
    findings: &'a mut Diagnostics,
}

impl Source<'_> {
    fn report(&mut self, number: u32, error: &LineError) {
        let error = Diagnostic::line(self.path, number, error);
        self.findings.errors.push(error);
    }

    fn warn(&mut self, number: u32, warning: impl fmt::Display) {
        let warning = Diagnostic::line(self.path, number, warning);
        self.findings.warnings.push(warning);
    }

    fn entry(&self, number: u32, text: &str) -> Entry {
        Entry::in_file(&self.file, number, text)
    }
}

/// The text of a logical line.
fn text(bytes: &[u8]) -> Result<&str, LineError> {
    if bytes
        .first()
        .is_some_and(|byte| is_space(char::from(*byte)))
    {
        return Err(LineError::Continuation);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| LineError::Encoding)?;
    let text = text.trim_end_matches(is_space);
    if text.contains('\0') {
        return Err(LineError::Nul);
    }
    Ok(text)
}

/// `Some` if only white space is left.
fn only_space(rest: &str) -> Option<()> {
    rest.chars().all(is_space).then_some(())
}

/// The text after a keyword, if the text begins with it (case-insensitive).
fn keyword<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (begin, rest) = text.split_at_checked(word.len())?;
    let ends = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    (ends && begin.eq_ignore_ascii_case(word)).then_some(rest)
}

/// Whether the text is negated (an odd number of `!`, with white space between them), and the text after that.
fn negation(text: &str) -> (bool, &str) {
    let begin = text.trim_start_matches(|c| c == '!' || is_space(c));
    let before = text.strip_suffix(begin).unwrap_or_default();
    (before.matches('!').count() % 2 == 1, begin)
}

/// The logical lines of a file, each with the number of its first line.
fn logical_lines(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut lines: Vec<(u32, Vec<u8>)> = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let space = |byte: &u8| is_space(char::from(*byte));
        let begin = line.iter().find(|byte| !space(byte));
        if matches!(begin, None | Some(b'#')) {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.first().is_some_and(space) => last.extend_from_slice(line),
            _ => lines.push((number, line.to_vec())),
        }
    }
    lines
}

#[cfg(test)]
mod tests;

//! Client access tables: parses files in the format of `regexp_table(5)` and reports every error.
//!
//! # The file
//!
//! A line that begins with white space continues the line before it, across empty lines and
//! comments (`#`). What results is one of
//!
//! ```text
//! /expression/flags result
//! !/expression/flags result
//! /expression/flags!/expression/flags result
//! if /expression/flags
//! if !/expression/flags
//! endif
//! ```
//!
//! with anything that is not a letter, digit or white space in place of `/`. Expressions are read by
//! [`access::Expression`](crate::policy::access::Expression), results by
//! [`AccessResult`].
//!
//! # Errors
//!
//! A line that Postfix skips with a warning is an error here, and skipped in the same way. A backslash sequence that
//! has another meaning in a Perl expression is a warning.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::policy::access::{
    AccessResult, AccessTables, Condition, EreError, Expression, Flags, Line, ResultError, Rule,
    RuleError, is_space,
};
use crate::policy::{Entry, TooLarge};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::file;

/// Why a line is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum LineError {
    #[error("white space at the beginning, but no line that this continues")]
    Continuation,
    #[error("this is not UTF-8")]
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
    #[error("unknown flag {0:?}; flags are i, m and x")]
    Flag(char),
    #[error("bad expression: {0}")]
    Expression(#[from] EreError),
    #[error(transparent)]
    Result(#[from] ResultError),
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
pub fn load(paths: &[PathBuf], greylist_results: &[String]) -> (AccessTables, Diagnostics) {
    let mut tables = AccessTables::default();
    let mut findings = Diagnostics::default();
    for path in paths {
        let bytes = match file::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = Diagnostic::file(path, file::explain(path, &error));
                findings.errors.push(error);
                continue;
            }
        };
        let lines = read(path, &bytes, greylist_results, &mut findings);
        if let Err(error @ TooLarge) = tables.push(lines) {
            findings.errors.push(Diagnostic::file(path, error));
        }
    }
    (tables, findings)
}

/// Parses the content of a file. Lines that cannot be parsed are skipped and reported.
#[must_use]
pub fn read(
    path: &Path,
    bytes: &[u8],
    greylist_results: &[String],
    findings: &mut Diagnostics,
) -> Vec<Line> {
    let mut parser = TableParser {
        path,
        file: path.into(),
        names: greylist_results,
        lines: Vec::new(),
        open: Vec::new(),
        findings,
    };
    parser.read(bytes);
    parser.lines
}

/// Parser of one file.
struct TableParser<'a> {
    path: &'a Path,
    file: Arc<Path>,
    names: &'a [String],
    lines: Vec<Line>,
    /// Line numbers of the open `if`s.
    open: Vec<u32>,
    findings: &'a mut Diagnostics,
}

impl TableParser<'_> {
    fn read(&mut self, bytes: &[u8]) {
        for (number, text) in logical_lines(bytes) {
            if let Err(error) = self.line(number, &text) {
                self.report(number, &error);
            }
        }
        for number in std::mem::take(&mut self.open) {
            self.report(number, &LineError::If);
        }
    }

    fn report(&mut self, number: u32, error: &LineError) {
        let error = Diagnostic::line(self.path, number, error);
        self.findings.errors.push(error);
    }

    fn line(&mut self, number: u32, bytes: &[u8]) -> Result<(), LineError> {
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
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let rule = self.rule(number, text)?;
            let entry = Entry::in_file(&self.file, number, text);
            self.lines.push(Line::Rule(rule, entry));
            return Ok(());
        }
        if let Some(rest) = keyword(text, "if") {
            let mut rest = rest.trim_start_matches(is_space);
            let condition = self.condition(number, &mut rest)?;
            self.lines.push(Line::If(condition));
            self.open.push(number);
            return only_space(rest).ok_or(LineError::BehindIf);
        }
        if let Some(rest) = keyword(text, "endif") {
            self.open.pop().ok_or(LineError::EndIf)?;
            self.lines.push(Line::EndIf);
            return only_space(rest).ok_or(LineError::BehindEndIf);
        }
        Err(LineError::Unrecognized)
    }

    fn rule(&mut self, number: u32, text: &str) -> Result<Rule, LineError> {
        let mut rest = text;
        let first = self.condition(number, &mut rest)?;
        let second = if rest.starts_with('!') {
            Some(self.condition(number, &mut rest)?)
        } else {
            None
        };
        let text = rest.trim_matches(is_space);
        let (result, template) = AccessResult::parse(text, self.names)?;
        Ok(Rule::new(first, second, result, template)?)
    }

    /// Parses an expression as [`condition`] does, and warns of what is probably not intended in it.
    fn condition(&mut self, number: u32, rest: &mut &str) -> Result<Condition, LineError> {
        let condition = condition(rest)?;
        if let Some(misread) = condition.expression.misread() {
            let warning = Diagnostic::line(self.path, number, misread);
            self.findings.warnings.push(warning);
        }
        Ok(condition)
    }
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

/// Parses an expression with its negations and flags; sets `rest` to the text after it.
fn condition(rest: &mut &str) -> Result<Condition, LineError> {
    let text = *rest;
    let begin = text.trim_start_matches(|c| c == '!' || is_space(c));
    let before = text.get(..text.len() - begin.len()).unwrap_or_default();
    let negated = before.matches('!').count() % 2 == 1;
    let mut chars = begin.char_indices();
    let (_, delimiter) = chars.next().ok_or(LineError::NoExpression)?;
    if !delimiter.is_ascii() {
        return Err(LineError::Delimiter(delimiter));
    }
    let mut end = None;
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == delimiter {
            end = Some(at);
            break;
        }
    }
    let end = end.ok_or(LineError::Unclosed(delimiter))?;
    let inside = begin.get(delimiter.len_utf8()..end).unwrap_or_default();
    let behind = chars.as_str();
    let length = behind.find(|c| c == '!' || is_space(c));
    let (letters, behind) = behind.split_at(length.unwrap_or(behind.len()));
    *rest = behind;
    Ok(Condition {
        expression: Expression::parse(inside.as_bytes(), flags(letters)?)?,
        negated,
    })
}

fn flags(letters: &str) -> Result<Flags, LineError> {
    let mut flags = Flags::default();
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = !flags.ignore_case,
            'm' => flags.lines = !flags.lines,
            'x' => flags.extended = !flags.extended,
            other => return Err(LineError::Flag(other)),
        }
    }
    Ok(flags)
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

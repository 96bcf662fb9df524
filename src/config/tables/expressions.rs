//! Tables of expressions, in the form of `regexp_table(5)` or `pcre_table(5)`.
//!
//! ```text
//! /expression/flags result
//! !/expression/flags result
//! /expression/flags!/expression/flags result      (regexp only)
//! if /expression/flags
//! if !/expression/flags
//! endif
//! ```
//!
//! with anything that is not a letter, digit or white space in place of `/`. Expressions are read by
//! [`access::Expression`](crate::policy::access::Expression) and [`access::parse_pcre`](parse_pcre).

use super::{LineError, Source, keyword, logical_lines, negation, only_space};
use crate::policy::access::{
    Condition, Expression, Flags, Line, PcreFlags, Rule, TableResult, Template, is_space,
    parse_pcre,
};

/// The language of the expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// POSIX's, with the GNU C library's additions.
    Posix,
    /// Perl's, as PCRE2 has it.
    Perl,
}

/// Parses the content of a file, and the result of each line with `parse`.
pub(super) fn read<R: TableResult>(
    source: Source<'_>,
    bytes: &[u8],
    dialect: Dialect,
    parse: impl Fn(&str) -> Result<(R, Template), LineError>,
) -> Vec<Line<R>> {
    let mut parser = TableParser {
        source,
        dialect,
        parse,
        lines: Vec::new(),
        open: Vec::new(),
    };
    parser.read(bytes);
    parser.lines
}

/// Parser of one file.
struct TableParser<'a, R, P> {
    source: Source<'a>,
    dialect: Dialect,
    /// Parses a result.
    parse: P,
    lines: Vec<Line<R>>,
    /// Line numbers of the open `if`s.
    open: Vec<u32>,
}

impl<R: TableResult, P: Fn(&str) -> Result<(R, Template), LineError>> TableParser<'_, R, P> {
    fn read(&mut self, bytes: &[u8]) {
        for (number, bytes) in logical_lines(bytes) {
            let text = super::text(&bytes);
            if let Err(error) = text.and_then(|text| self.line(number, text)) {
                self.source.report(number, &error);
            }
        }
        for number in std::mem::take(&mut self.open) {
            self.source.report(number, &LineError::If);
        }
    }

    fn line(&mut self, number: u32, text: &str) -> Result<(), LineError> {
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let rule = self.rule(number, text)?;
            let entry = self.source.entry(number, text);
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

    fn rule(&mut self, number: u32, text: &str) -> Result<Rule<R>, LineError> {
        let mut rest = text;
        let first = self.condition(number, &mut rest)?;
        let second = if rest.starts_with('!') {
            Some(self.condition(number, &mut rest)?)
        } else {
            None
        };
        let text = rest.trim_matches(is_space);
        let (result, template) = (self.parse)(text)?;
        Ok(Rule::new(first, second, result, template)?)
    }

    /// Parses an expression with its negations and flags; sets `rest` to the text after it. Warns of what is probably
    /// not intended in it.
    fn condition(&mut self, number: u32, rest: &mut &str) -> Result<Condition, LineError> {
        let (negated, inside, letters) = delimited(rest, self.dialect)?;
        let expression = match self.dialect {
            Dialect::Posix => Expression::parse(inside.as_bytes(), posix_flags(letters)?)?,
            Dialect::Perl => parse_pcre(inside, perl_flags(letters)?)?,
        };
        if let Some(misread) = expression.misread() {
            self.source.warn(number, misread);
        }
        Ok(Condition {
            expression,
            negated,
        })
    }
}

/// Whether the expression is negated, the text between its delimiters, and its flags.
fn delimited<'a>(
    rest: &mut &'a str,
    dialect: Dialect,
) -> Result<(bool, &'a str, &'a str), LineError> {
    let (negated, begin) = negation(rest);
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
    let ends_flags = |c| (c == '!' && dialect == Dialect::Posix) || is_space(c);
    let (letters, behind) = behind.split_at(behind.find(ends_flags).unwrap_or(behind.len()));
    *rest = behind;
    Ok((negated, inside, letters))
}

fn posix_flags(letters: &str) -> Result<Flags, LineError> {
    let mut flags = Flags::default();
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = !flags.ignore_case,
            'm' => flags.lines = !flags.lines,
            'x' => flags.extended = !flags.extended,
            other => return Err(LineError::Flag(other, "i, m and x")),
        }
    }
    Ok(flags)
}

fn perl_flags(letters: &str) -> Result<PcreFlags, LineError> {
    let mut flags = PcreFlags::default();
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = !flags.ignore_case,
            'm' => flags.lines = !flags.lines,
            's' => flags.dot_all = !flags.dot_all,
            'x' => flags.extended = !flags.extended,
            'A' => flags.anchored = !flags.anchored,
            'U' => flags.ungreedy = !flags.ungreedy,
            // Where `$` is before a newline at the end; a name has none.
            'E' => {}
            other => return Err(LineError::Flag(other, "i, m, s, x, A, E and U")),
        }
    }
    Ok(flags)
}

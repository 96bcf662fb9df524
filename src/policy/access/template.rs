//! Result texts with the groups of a match.
//!
//! `$1`, `${1}` and `$(1)` are replaced by the first group, `$$` by a dollar. The number ends before the first
//! character that is not a letter, digit or underscore; if it contains anything but digits, that is an error.

use std::borrow::Cow;

use regex::bytes::{Captures, Regex};

use crate::types::Printable;

/// Maximum number of a group.
const MAX_GROUP: u32 = 9999;

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `$` without a group.
    #[error("a $ without a group number; write $$ for a dollar")]
    Empty,
    /// `${` without `}`, `$(` without `)`.
    #[error("a ${{ or $( that is not closed")]
    Open,
    /// Not a number.
    #[error(
        "${{{0}}} is not a group; write ${{1}} if letters follow a number, and $$ for a dollar"
    )]
    NoNumber(String),
    /// A number without a group.
    #[error("there is no group {0}")]
    NoGroup(String),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Text.
    Text(Box<str>),
    /// The content of a group.
    Group(u32),
}

/// A text with groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] says why it is invalid.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(behind) = behind.strip_prefix('$') {
                literal.push('$');
                rest = behind;
                continue;
            }
            let (name, behind) = name(behind)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Group(number(name)?));
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self(parts))
    }

    /// This text, without groups.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// The highest number of its groups; 0 without any.
    pub(crate) fn groups(&self) -> u32 {
        let numbers = self.0.iter().map(|part| match part {
            Part::Text(_) => 0,
            Part::Group(number) => *number,
        });
        numbers.max().unwrap_or(0)
    }

    /// The text for a subject, whose groups are those of `expression`, or empty without one. The content of groups is
    /// converted by `show`.
    pub(in crate::policy) fn expand<'s>(
        &self,
        expression: Option<&Regex>,
        subject: &'s [u8],
        show: impl Fn(&'s [u8]) -> Cow<'s, [u8]>,
    ) -> Vec<u8> {
        let captures: Option<Captures<'s>> = expression.and_then(|regex| regex.captures(subject));
        let mut text = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.extend_from_slice(part.as_bytes()),
                Part::Group(number) => {
                    let held = captures.as_ref().and_then(|captures| {
                        captures.get(usize::try_from(*number).unwrap_or(usize::MAX))
                    });
                    if let Some(held) = held {
                        text.extend_from_slice(&show(held.as_bytes()));
                    }
                }
            }
        }
        text
    }
}

/// The bytes, made printable.
pub(in crate::policy) fn printable(bytes: &[u8]) -> Cow<'_, [u8]> {
    let shown = Printable(bytes);
    if shown.is_plain() {
        Cow::Borrowed(bytes)
    } else {
        Cow::Owned(shown.to_string().into_bytes())
    }
}

/// The name of a group, and the rest; `text` begins after the `$`.
fn name(text: &str) -> Result<(&str, &str), TemplateError> {
    let close = match text.chars().next() {
        Some('{') => Some('}'),
        Some('(') => Some(')'),
        _ => None,
    };
    let found = if let Some(close) = close {
        let inside = text.get(1..).unwrap_or_default();
        inside.split_once(close).ok_or(TemplateError::Open)?
    } else {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        text.split_at(end.unwrap_or(text.len()))
    };
    if found.0.is_empty() {
        return Err(TemplateError::Empty);
    }
    Ok(found)
}

/// Parses a name as a number.
fn number(name: &str) -> Result<u32, TemplateError> {
    if !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TemplateError::NoNumber(name.to_owned()));
    }
    name.parse()
        .ok()
        .filter(|number| (1..=MAX_GROUP).contains(number))
        .ok_or_else(|| TemplateError::NoGroup(name.to_owned()))
}

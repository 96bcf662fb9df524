//! Client access tables, searched as by `check_client_access`: expressions (`regexp_table(5)`, `pcre_table(5)`),
//! networks (`cidr_table(5)`), names and addresses (`access(5)`).
//!
//! In a table of expressions, the whole client name is looked up first, and the address if no line matches the name. In
//! a table of networks the address is looked up; in a table of keys the name and its parent domains, then the address
//! and its prefixes. The first line that matches decides, unless its result is [`AccessResult::Nothing`]: then the next
//! table is searched.
//!
//! A line of expressions that begins with `!` is not searched for addresses, unlike in Postfix. The line was decided by
//! the name already, and an address never matches an expression for names: `!/dynamic/ OK` would exempt each client
//! with a dynamic name by its address.
//!
//! `$1` is evaluated only when the text is needed.

mod expressions;
mod keys;
mod networks;
mod result;
mod steps;
mod template;

use std::borrow::Cow;

use regex::bytes::Regex;

use super::lists::{Entries, Entry, TooLarge};
use keys::KeyTable;
use networks::NetworkTable;

pub use super::ere::{EreError, Expression, Flags, Misread};
pub use super::pcre::{PcreError, PcreFlags, parse as parse_pcre};
pub(in crate::policy) use expressions::ExpressionTable;
pub use expressions::{Condition, Line, Rule, RuleError};
pub use keys::KeyLine;
pub use networks::{Network, NetworkError, NetworkLine};
pub(in crate::policy) use result::is_enhanced_code;
pub(crate) use result::is_space;
pub use result::{AccessResult, Dollars, ResultError, Severity};
pub(in crate::policy) use template::printable;
pub use template::{Template, TemplateError};

/// The result of a rule.
#[derive(Debug)]
struct Consequence {
    result: AccessResult,
    text: Template,
    /// For the groups in the text.
    captures: Option<Regex>,
}

/// What a line of a table yields.
pub trait TableResult {
    /// Whether anybody gets to see its text.
    fn shows_text(&self) -> bool;

    /// Whether a group in its text must be what Postfix would put there.
    fn needs_certain_groups(&self) -> bool;
}

impl TableResult for AccessResult {
    fn shows_text(&self) -> bool {
        matches!(self, Self::Reply(_))
    }

    fn needs_certain_groups(&self) -> bool {
        self.shows_text()
    }
}

/// A table.
#[derive(Debug)]
enum Table {
    /// Of expressions.
    Expressions(ExpressionTable),
    /// Of networks.
    Networks(NetworkTable),
    /// Of names and addresses.
    Keys(KeyTable),
}

/// Tables, in their order.
#[derive(Debug, Default)]
pub struct AccessTables {
    tables: Vec<Table>,
    entries: Entries,
    /// By the numbers of the entries.
    consequences: Vec<Consequence>,
}

/// The result of the tables for a client.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The entry that decides.
    pub entry: u32,
    /// The result.
    pub result: AccessResult,
    consequence: &'a Consequence,
    subject: &'a [u8],
}

impl Found<'_> {
    /// The text of the result with its groups replaced; non-printable bytes in them are escaped.
    #[must_use]
    pub fn text(&self) -> String {
        let consequence = self.consequence;
        let text = consequence.text.expand(
            consequence.captures.as_ref(),
            self.subject,
            template::printable,
        );
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The text of the result with its groups replaced, without escapes. For comparison with Postfix's `postmap -q`.
    #[must_use]
    pub fn raw_text(&self) -> Vec<u8> {
        let consequence = self.consequence;
        let expression = consequence.captures.as_ref();
        consequence
            .text
            .expand(expression, self.subject, Cow::Borrowed)
    }
}

impl AccessTables {
    /// Adds a table of expressions.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when its expressions together need too much memory; nothing is added.
    pub fn push(&mut self, lines: Vec<Line>) -> Result<(), TooLarge> {
        let (entries, consequences) = (&mut self.entries, &mut self.consequences);
        let table = ExpressionTable::new(lines, |rule, entry| {
            consequences.push(consequence(rule));
            entries.push(entry)
        })?;
        self.tables.push(Table::Expressions(table));
        Ok(())
    }

    /// Adds a table of networks.
    pub fn push_networks(&mut self, lines: Vec<NetworkLine>) {
        let table = NetworkTable::new(lines, |result, text, entry| {
            self.number(result, text, entry)
        });
        self.tables.push(Table::Networks(table));
    }

    /// Adds a table of names and addresses.
    pub fn push_keys(&mut self, lines: Vec<KeyLine>) {
        let table = KeyTable::new(lines, |result, text, entry| {
            self.number(result, text, entry)
        });
        self.tables.push(Table::Keys(table));
    }

    /// Adds an entry with its result, whose text has no groups.
    fn number(&mut self, result: AccessResult, text: Template, entry: Entry) -> u32 {
        self.consequences.push(Consequence {
            result,
            text,
            captures: None,
        });
        self.entries.push(entry)
    }

    /// The line that decides on a client; `None` if none does.
    #[must_use]
    pub fn find<'a>(&'a self, name: &'a [u8], address: &'a [u8]) -> Option<Found<'a>> {
        self.tables.iter().find_map(|table| {
            let (entry, subject) = match table {
                Table::Expressions(table) => match table.find(name, |_| true) {
                    Some(entry) => (entry, name),
                    None => (table.find(address, |test| !test.negated)?, address),
                },
                Table::Networks(table) => (table.find(address)?, address),
                Table::Keys(table) => (table.find_client(name, address)?, name),
            };
            let found = self.found(entry, subject)?;
            (found.result != AccessResult::Nothing).then_some(found)
        })
    }

    /// The result of one table for one key, including [`AccessResult::Nothing`], as of Postfix's `postmap -q`.
    #[must_use]
    pub fn lookup<'a>(&'a self, table: usize, subject: &'a [u8]) -> Option<Found<'a>> {
        let entry = match self.tables.get(table)? {
            Table::Expressions(table) => table.find(subject, |_| true),
            Table::Networks(table) => table.find(subject),
            Table::Keys(table) => table.find(subject),
        };
        self.found(entry?, subject)
    }

    fn found<'a>(&'a self, entry: u32, subject: &'a [u8]) -> Option<Found<'a>> {
        let consequence = self.consequences.get(usize::try_from(entry).ok()?)?;
        Some(Found {
            entry,
            result: consequence.result,
            consequence,
            subject,
        })
    }

    /// Whether some line greylists.
    #[must_use]
    pub fn has_greylist(&self) -> bool {
        let mut all = self.consequences.iter();
        all.any(|consequence| consequence.result == AccessResult::Greylist)
    }

    /// Whether there is no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The entries of all tables.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.entries
    }
}

/// The result of an expression's rule.
fn consequence(rule: Rule) -> Consequence {
    Consequence {
        result: rule.result,
        captures: rule.captures(),
        text: rule.text,
    }
}

#[cfg(test)]
mod tests;

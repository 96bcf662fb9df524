//! Tables about clients, asked as `check_client_access` asks them: expressions (`regexp_table(5)`,
//! `pcre_table(5)`), networks (`cidr_table(5)`), names and addresses (`access(5)`).
//!
//! In a table of expressions, the client's name is looked up first, whole, and its address if no line has
//! matched the name. In one of `networks` the address is looked up, and in one of `keys` the name and its
//! parent domains, then the address and its prefixes. The first line that matches decides, unless it says
//! [`AccessResult::Nothing`]: then the next table is asked.
//!
//! A line of expressions that begins with `!` is not asked about addresses. Postfix asks it; but what such a line is
//! about has been settled by the name then, and the address is none of the names it speaks of: `!/dynamic/ OK` would
//! excuse every client with a dynamic name by its address.
//!
//! What `$1` stands for is found out only when the text is wanted.

mod expressions;
mod keys;
mod networks;
mod result;
mod steps;
mod template;

use std::borrow::Cow;

use regex::bytes::Regex;

use super::lists::{Entries, Entry, TooLarge};
use expressions::ExpressionTable;
use keys::KeyTable;
use networks::NetworkTable;

pub use super::ere::{EreError, Expression, Flags, Misread};
pub use super::pcre::{PcreError, PcreFlags, parse as parse_pcre};
pub use expressions::{Condition, Line, Rule, RuleError};
pub use keys::KeyLine;
pub use networks::{Network, NetworkError, NetworkLine};
pub(crate) use result::is_space;
pub use result::{AccessResult, Dollars, ResultError, Severity};
pub use template::{Template, TemplateError};

/// What a rule leads to.
#[derive(Debug)]
struct Consequence {
    result: AccessResult,
    text: Template,
    /// For the groups in the text.
    captures: Option<Regex>,
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

/// What the tables say about a client.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The entry that decides.
    pub entry: u32,
    /// What it says.
    pub result: AccessResult,
    consequence: &'a Consequence,
    subject: &'a [u8],
}

impl Found<'_> {
    /// The text of the result, its groups put in; what is not printable in them is escaped.
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

    /// The text of the result, its groups put in as they are.
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
    /// [`TooLarge`] when its expressions take too much memory together; nothing is added.
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

    /// What decides on a client; `None` if nothing does, and when that says nothing.
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

    /// What one table says about one subject, be it [`AccessResult::Nothing`].
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

/// What the rule of an expression leads to.
fn consequence(rule: Rule) -> Consequence {
    let has_groups = rule.text.groups() > 0 && matches!(rule.result, AccessResult::Reply(_));
    Consequence {
        result: rule.result,
        // It did compile when it was read.
        captures: has_groups
            .then(|| rule.first.expression.compile().ok())
            .flatten(),
        text: rule.text,
    }
}

#[cfg(test)]
mod tests;

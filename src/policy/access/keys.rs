//! Tables of names and addresses: `access(5)`, from the source of a `hash:` table.
//!
//! The keys that are looked up for a client, in this order:
//!
//! | key | example |
//! | --- | --- |
//! | its name | `mx1.mail.example.com` |
//! | each parent domain, with a dot before it and without | `.mail.example.com`, `mail.example.com`, … `com` |
//! | its address | `192.0.2.7`, `2001:db8::7` |
//! | the rest of that before the last `.` or `:` | `192.0.2`, `192.0`, `192`; `2001:db8:`, `2001:db8`, `2001` |
//!
//! Postfix looks up parent domains either with the dot or without it, by `parent_domain_matches_subdomains`; a key of
//! the other form is dead there.

use std::collections::HashMap;

use super::super::lists::Entry;
use super::{AccessResult, Template};
use crate::types::ClientIp;

/// A line of a table of keys.
#[derive(Debug)]
pub struct KeyLine {
    /// The key, which is case-insensitive.
    pub key: String,
    /// Its result.
    pub result: AccessResult,
    /// The text of the result.
    pub text: Template,
    /// The line.
    pub entry: Entry,
}

/// The keys of a table, in lower case.
#[derive(Debug)]
pub(super) struct KeyTable {
    keys: HashMap<Box<[u8]>, u32>,
}

impl KeyTable {
    /// A table of these lines; of two lines with the same key, the first counts. `number` adds a result as an entry and
    /// returns the entry's number.
    pub(super) fn new(
        lines: Vec<KeyLine>,
        mut number: impl FnMut(AccessResult, Template, Entry) -> u32,
    ) -> Self {
        let mut keys = HashMap::with_capacity(lines.len());
        for line in lines {
            let entry = number(line.result, line.text, line.entry);
            let key = line.key.to_ascii_lowercase().into_bytes();
            keys.entry(key.into_boxed_slice()).or_insert(entry);
        }
        Self { keys }
    }

    /// The number of the entry that has this key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.keys.get(key.to_ascii_lowercase().as_slice()).copied()
    }

    /// The number of the entry that decides on a client.
    pub(super) fn find_client(&self, name: &[u8], address: &[u8]) -> Option<u32> {
        if self.keys.is_empty() {
            return None;
        }
        let get = |key: &[u8]| self.keys.get(key).copied();
        let name = name.to_ascii_lowercase();
        let by_name = get(&name).or_else(|| {
            // A name that is an address has no parents.
            let mut rest = (ClientIp::parse(&name).is_none()).then_some(name.as_slice())?;
            while let Some(dot) = dot_in(rest) {
                let (_, dotted) = rest.split_at_checked(dot)?;
                rest = dotted.get(1..).filter(|parent| !parent.is_empty())?;
                if let Some(entry) = get(dotted).or_else(|| get(rest)) {
                    return Some(entry);
                }
            }
            None
        });
        by_name.or_else(|| {
            let address = address.to_ascii_lowercase();
            let delimiter = if address.contains(&b':') { b':' } else { b'.' };
            let mut rest = address.as_slice();
            loop {
                if let Some(entry) = get(rest) {
                    return Some(entry);
                }
                let end = rest.iter().rposition(|byte| *byte == delimiter)?;
                rest = rest.get(..end)?;
            }
        })
    }
}

/// The position of the first dot that is not at the beginning.
fn dot_in(name: &[u8]) -> Option<usize> {
    let behind = name.get(1..)?;
    let dot = behind.iter().position(|byte| *byte == b'.')?;
    Some(dot.saturating_add(1))
}

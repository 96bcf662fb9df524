//! The lists: clients, recipients and senders that are not greylisted.
//!
//! Host names, domains and addresses are looked up by hash, suffix by suffix; networks by longest prefix; expressions
//! in sets. The cost of a lookup hardly grows with the list.

mod address;
mod client;
mod entry;
mod expressions;

use crate::types::{ListName, Timestamp};

pub use address::AddressList;
pub use client::ClientList;
pub use entry::{Entry, EntryRef, Hits, Source};
pub use expressions::{CompiledSets, TooLarge};

use expressions::Expressions;

/// A runtime entry: added while the daemon runs, and stored in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its list.
    pub list: ListName,
    /// Its text.
    pub text: String,
    /// The administrator's comment.
    pub comment: String,
    /// When it was added.
    pub added: Timestamp,
    /// When it expires; `None` for never.
    pub expires: Option<Timestamp>,
    /// How often it has matched.
    pub hits: u64,
    /// When it last matched.
    pub last_hit: Option<Timestamp>,
}

impl Added {
    /// Maximum length of a text in bytes; the minimum is 1. Longer than any address or host name, and short enough for
    /// a key of the store.
    pub const LONGEST_TEXT: usize = 400;

    /// Maximum length of a comment in bytes: a paragraph.
    pub const LONGEST_COMMENT: usize = 1000;
}

/// The entries of a list, by number.
#[derive(Debug, Default)]
pub struct Entries(Vec<Entry>);

impl Entries {
    /// Adds an entry and returns its number.
    pub(super) fn push(&mut self, entry: Entry) -> u32 {
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.push(entry);
        number
    }

    /// The entry of this number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Entry> {
        self.0.get(usize::try_from(number).ok()?)
    }

    /// All of them, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The suffixes of `text` that begin after one of `separators`.
fn suffixes<'a>(text: &'a [u8], separators: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    text.iter().enumerate().filter_map(move |(at, byte)| {
        separators
            .contains(byte)
            .then(|| text.get(at.saturating_add(1)..))
            .flatten()
    })
}

/// The smaller of two entry numbers: the first entry in the list decides.
fn first_of(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

//! Entries of lists, with their source and hits.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::{ListName, Timestamp};

/// The source of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line of a file, from 1.
    Line(Arc<Path>, u32),
    /// A runtime entry.
    Bus,
}

/// An entry as it was written.
#[derive(Debug)]
pub struct Entry {
    /// Where it comes from.
    pub source: Source,
    /// Its text.
    pub text: Box<str>,
    /// Number of decisions made by this entry; incremented by the caller, not by the policy core.
    pub hits: Arc<Hits>,
}

/// The hits of an entry: the number of its decisions, and the time of the last.
#[derive(Debug, Default)]
pub struct Hits {
    count: AtomicU64,
    last: AtomicU64,
}

/// A reference to an entry that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryRef {
    /// Its list.
    pub list: ListName,
    /// Whether it is a runtime entry.
    pub is_added: bool,
    /// Its number among the file entries or the runtime entries of the list.
    pub number: u32,
}

impl EntryRef {
    /// The rule of this number.
    #[must_use]
    pub const fn of_rule(number: u32) -> Self {
        Self {
            list: ListName::GreylistConf,
            is_added: false,
            number,
        }
    }
}

impl Entry {
    /// An entry of a file.
    #[must_use]
    pub fn in_file(file: &Arc<Path>, line: u32, text: &str) -> Self {
        Self {
            source: Source::Line(Arc::clone(file), line),
            text: text.into(),
            hits: Arc::default(),
        }
    }

    /// A runtime entry; its hits are kept when its list is rebuilt.
    #[must_use]
    pub fn added(text: &str, hits: &Arc<Hits>) -> Self {
        Self {
            source: Source::Bus,
            text: text.into(),
            hits: Arc::clone(hits),
        }
    }

    /// Its file, if it has one, and its text, which stay the same when other lines change.
    #[must_use]
    pub fn place(&self) -> Option<(&Path, &str)> {
        match &self.source {
            Source::Line(file, _) => Some((file, &self.text)),
            Source::Bus => None,
        }
    }

    /// The line in its file, if it has one.
    #[must_use]
    pub const fn line(&self) -> Option<u32> {
        match self.source {
            Source::Line(_, line) => Some(line),
            Source::Bus => None,
        }
    }
}

impl Hits {
    /// `count` hits, the last at `last`.
    #[must_use]
    pub fn new(count: u64, last: Option<Timestamp>) -> Self {
        Self {
            count: AtomicU64::new(count),
            last: AtomicU64::new(last.unwrap_or_default().seconds()),
        }
    }

    /// Counts a hit.
    pub fn note(&self, now: Timestamp) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last.store(now.seconds(), Ordering::Relaxed);
    }

    /// The number of hits.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The time of the last hit.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::Relaxed);
        (last > 0).then(|| Timestamp::from_seconds(last))
    }

    /// Copies the hits of another entry.
    pub fn go_on_from(&self, other: &Self) {
        let (count, last) = (other.count(), other.last.load(Ordering::Relaxed));
        self.count.store(count, Ordering::Relaxed);
        self.last.store(last, Ordering::Relaxed);
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Bus => f.write_str("added over D-Bus"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.text)
    }
}

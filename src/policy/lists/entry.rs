//! Entries: where each comes from, and how often it has decided.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::{ListName, Timestamp};

/// Where an entry comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line of a file, from 1.
    Line(Arc<Path>, u32),
    /// The administrator, while the daemon ran.
    Bus,
}

/// An entry as it was written.
#[derive(Debug)]
pub struct Entry {
    /// Where it comes from.
    pub source: Source,
    /// What was written.
    pub text: Box<str>,
    /// Number of decisions made by this entry; incremented by the caller, not by the policy core.
    pub hits: Arc<Hits>,
}

/// How often an entry has decided, and when last.
#[derive(Debug, Default)]
pub struct Hits {
    count: AtomicU64,
    last: AtomicU64,
}

/// Which entry decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryRef {
    /// Of which list.
    pub list: ListName,
    /// Whether it was added while the daemon ran.
    pub is_added: bool,
    /// Its number among those of its kind.
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

    /// An entry that the administrator has added; its hits outlive the list that it is in.
    #[must_use]
    pub fn added(text: &str, hits: &Arc<Hits>) -> Self {
        Self {
            source: Source::Bus,
            text: text.into(),
            hits: Arc::clone(hits),
        }
    }

    /// The file it is in, if it is in one, and its text: what stays the same when other lines come and go.
    #[must_use]
    pub fn place(&self) -> Option<(&Path, &str)> {
        match &self.source {
            Source::Line(file, _) => Some((file, &self.text)),
            Source::Bus => None,
        }
    }

    /// The line of the file, if it is in one.
    #[must_use]
    pub const fn line(&self) -> Option<u32> {
        match self.source {
            Source::Line(_, line) => Some(line),
            Source::Bus => None,
        }
    }
}

impl Hits {
    /// So many, the last of them then.
    #[must_use]
    pub fn new(count: u64, last: Option<Timestamp>) -> Self {
        Self {
            count: AtomicU64::new(count),
            last: AtomicU64::new(last.unwrap_or_default().seconds()),
        }
    }

    /// Counts one.
    pub fn note(&self, now: Timestamp) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last.store(now.seconds(), Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// When the last was.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::Relaxed);
        (last > 0).then(|| Timestamp::from_seconds(last))
    }

    /// Goes on from those of another entry.
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

//! What administrators ask of the gate.

use std::collections::BTreeMap;
use std::fs::File;

use super::Gate;
use crate::policy::pattern::PatternError;
use crate::policy::{Because, ListName, Outcome, Reason, Source, Transaction, Verdict};
use crate::store::{Page, Row, StoreError};
use crate::types::{ClientIp, Prefix, Span, Timestamp};

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryView {
    /// The list.
    pub list: ListName,
    /// What was written.
    pub pattern: String,
    /// Where it comes from.
    pub source: Source,
    /// Why it is there.
    pub comment: String,
    /// When it was added.
    pub added: Option<Timestamp>,
    /// When its time is over.
    pub expires: Option<Timestamp>,
    /// How often it has decided.
    pub hits: u64,
    /// When it decided last.
    pub last_hit: Option<Timestamp>,
}

/// The state of a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Waiting,
    /// It has passed.
    Passed,
}

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this client or network.
    pub client: Option<Prefix>,
    /// Of this sender.
    pub sender: Option<Vec<u8>>,
    /// Of this recipient.
    pub recipient: Option<Vec<u8>>,
    /// In this state.
    pub state: Option<State>,
    /// That have come back.
    pub retrying: bool,
}

impl Filter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How much was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Triplets.
    pub triplets: u64,
    /// Clients.
    pub clients: u64,
    /// Sleeps.
    pub sleeps: u64,
}

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// New.
    pub new: u64,
    /// Changed what was there.
    pub changed: u64,
    /// Changed nothing.
    pub unchanged: u64,
}

/// The counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Since when.
    pub since: Timestamp,
    /// All decisions.
    pub requests: u64,
    /// Those that told the client to come back.
    pub greylisted: u64,
    /// Those that let it wait.
    pub tarpitted: u64,
    /// By reason.
    pub reasons: Vec<(&'static str, u64)>,
    /// By rule of S25R.
    pub rules: Vec<(String, u64)>,
    /// By list.
    pub lists: Vec<(&'static str, u64)>,
}

/// The counters of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hour {
    /// When it began.
    pub time: Timestamp,
    /// By word.
    pub counters: BTreeMap<String, u64>,
}

/// A decision with every step on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What would be decided.
    pub outcome: Outcome,
    /// What Postfix would be told.
    pub reply: String,
    /// The time it is decided at.
    pub now: Timestamp,
    /// When it would pass.
    pub passes_at: Option<Timestamp>,
    /// Until when it may come back.
    pub until: Option<Timestamp>,
    /// What decides.
    pub because: Option<String>,
    /// Every step.
    pub steps: Vec<Explained>,
}

/// A step of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Its word.
    pub step: &'static str,
    /// What it led to.
    pub result: &'static str,
    /// What is said about it.
    pub text: String,
}

/// Why something is refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The pattern means nothing in this list.
    #[error("{pattern:?}: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: PatternError,
    },
    /// A text is too long.
    #[error("{what}: at most {most} bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// How long it may be.
        most: usize,
    },
    /// There is no such entry.
    #[error("there is no such entry")]
    NoSuchEntry,
    /// The entry is in a file.
    #[error("the entry is in {0}")]
    InFile(String),
    /// No filter.
    #[error("no filter was given")]
    EmptyFilter,
    /// There are only hashes.
    #[error("the database has only hashes")]
    Hashed,
    /// A cursor that is none.
    #[error("the place to go on from is none")]
    BadCursor,
    /// A row that cannot be taken.
    #[error("row {number}: {why}")]
    Row {
        /// Which, from 1.
        number: usize,
        /// Why.
        why: &'static str,
    },
    /// Too many entries.
    #[error("there are {most} entries already")]
    TooMany {
        /// How many there may be.
        most: u32,
    },
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Gate {
    /// The entries of all lists.
    #[must_use]
    pub fn list_entries(&self) -> Vec<EntryView> {
        Vec::new()
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn add_entry(
        &self,
        _list: ListName,
        _pattern: &str,
        _comment: &str,
        _lifetime: Option<Span>,
    ) -> Result<(), ControlError> {
        closed().await
    }

    /// Removes an entry.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn remove_entry(&self, _list: ListName, _pattern: &str) -> Result<(), ControlError> {
        closed().await
    }

    /// What would be decided.
    #[must_use]
    pub fn explain(&self, _tx: &Transaction<'_>) -> Explanation {
        Explanation {
            outcome: Outcome::new(Verdict::Pass, Reason::StoreFailure, Because::Store),
            reply: "DUNNO".to_owned(),
            now: Timestamp::default(),
            passes_at: None,
            until: None,
            because: None,
            steps: Vec::new(),
        }
    }

    /// Records.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn page(
        &self,
        _filter: Filter,
        _all_kinds: bool,
        _after: Vec<u8>,
        _limit: u32,
    ) -> Result<Page, ControlError> {
        closed().await
    }

    /// Forgets records.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn forget(
        &self,
        _filter: Filter,
        _everything: bool,
    ) -> Result<Removed, ControlError> {
        closed().await
    }

    /// Lets a triplet pass.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn allow(
        &self,
        _client: ClientIp,
        _sender: &[u8],
        _recipient: &[u8],
    ) -> Result<(), ControlError> {
        closed().await
    }

    /// Takes rows.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn import(&self, _rows: Vec<Row>, _dry_run: bool) -> Result<Taken, ControlError> {
        closed().await
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics::default()
    }

    /// Sets them to zero.
    pub fn reset_statistics(&self) {}

    /// The counters of past hours.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn history(
        &self,
        _from: Timestamp,
        _to: Timestamp,
    ) -> Result<Vec<Hour>, ControlError> {
        closed().await
    }

    /// Writes a copy of the database.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn backup(&self, _file: File) -> Result<(), ControlError> {
        closed().await
    }
}

async fn closed<T>() -> Result<T, ControlError> {
    std::future::ready(Err(StoreError::Closed.into())).await
}

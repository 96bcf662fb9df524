//! Entries in an export: those added with `allow` follow the records, and an import adds them again.
//!
//! ```text
//! {"kind":"entry","list":…,"pattern":…,"comment":…,"added":…,"expires":…,"hits":…,"last_hit":…}
//! ```
//!
//! D-Bus has separate methods for entries, so the daemon never gets a row of this kind. The import uses list, pattern,
//! comment and remaining lifetime; the hits belong to the other machine.

use super::entries::{PasswordPrompt, entries, is_added, is_same};
use crate::api::{COMMENT, Dict, EXPIRES, FromRow, KIND, LIST, PATTERN, Row};
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;

/// `kind` of an entry in an export.
const KIND_ENTRY: &str = "entry";

/// The result of importing an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryResult {
    /// It was added.
    New,
    /// An entry with this pattern exists, or it has expired.
    Unchanged,
    /// The daemon rejects it.
    Refused(String),
}

/// The entries of the daemon, queried when the first entry is added.
#[derive(Debug, Default)]
pub(super) struct ExistingEntries(Option<Vec<Dict>>);

/// The added entries as rows of an export.
pub(super) async fn added(session: &Session) -> Result<Vec<Dict>, Failure> {
    let mut rows = entries(session, None, PasswordPrompt::Allowed).await?;
    rows.retain(is_added);
    for row in &mut rows {
        row.extend(Row::new().with(KIND, KIND_ENTRY).build());
    }
    Ok(rows)
}

/// Whether a row of an export is an entry.
pub(super) fn is_entry(row: &Dict) -> bool {
    row.text(KIND) == Some(KIND_ENTRY)
}

impl ExistingEntries {
    /// Adds an entry unless one with this pattern exists.
    pub(super) async fn add(
        &mut self,
        session: &Session,
        row: &Dict,
        is_dry: bool,
    ) -> Result<EntryResult, Failure> {
        let (Some(list), Some(pattern)) = (row.text(LIST), row.text(PATTERN)) else {
            return Ok(EntryResult::Refused(
                "the list or the pattern is missing".to_owned(),
            ));
        };
        let lifetime = match row.number(EXPIRES).unwrap_or_default() {
            0 => 0,
            end => match end.saturating_sub(session.view.time().seconds()) {
                0 => return Ok(EntryResult::Unchanged),
                rest => rest,
            },
        };
        let known = match self.0.take() {
            Some(known) => known,
            None => entries(session, None, PasswordPrompt::Allowed).await?,
        };
        let known = self.0.insert(known);
        let is_here = |known: &Dict| {
            is_added(known) && known.text(LIST) == Some(list) && is_same(known, pattern)
        };
        if known.iter().any(is_here) {
            return Ok(EntryResult::Unchanged);
        }
        if !is_dry {
            let manager = session.manager().await?;
            let comment = row.text(COMMENT).unwrap_or_default();
            let adding = manager.add_entry(list, pattern, comment, lifetime);
            match session.ask("AddEntry", adding).await {
                Ok(()) => {}
                Err(Failure::Refused(said)) => return Ok(EntryResult::Refused(said)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(EntryResult::New)
    }
}

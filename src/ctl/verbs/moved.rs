//! Entries in an export: those that were added with `allow` are written behind the records, and added again by an
//! import.
//!
//! ```text
//! {"kind":"entry","list":…,"pattern":…,"comment":…,"added":…,"expires":…,"hits":…,"last_hit":…}
//! ```
//!
//! The bus has other methods for entries than for records, so that a row of this kind is known to no daemon. What is
//! taken of it is list, pattern, comment, and how long it has still to go. Its hits belong to the other machine.

use super::entries::{Consent, entries, is_added, is_same};
use crate::api::{COMMENT, Dict, EXPIRES, FromRow, KIND, LIST, PATTERN, Row};
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;

/// `kind` of an entry in an export.
const KIND_ENTRY: &str = "entry";

/// What has become of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was added.
    New,
    /// There is one with this text, or its time is over.
    Unchanged,
    /// The daemon refuses it.
    Refused(String),
}

/// The entries that a daemon has, asked for when the first is to be added.
#[derive(Debug, Default)]
pub(super) struct Known(Option<Vec<Dict>>);

/// The entries that were added, as an export has them.
pub(super) async fn added(session: &Session) -> Result<Vec<Dict>, Failure> {
    let mut rows = entries(session, None, Consent::Asked).await?;
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

impl Known {
    /// Adds an entry unless there is one with this text.
    pub(super) async fn add(
        &mut self,
        session: &Session,
        row: &Dict,
        is_dry: bool,
    ) -> Result<Fate, Failure> {
        let (Some(list), Some(pattern)) = (row.text(LIST), row.text(PATTERN)) else {
            return Ok(Fate::Refused(
                "the list or the pattern is missing".to_owned(),
            ));
        };
        let lifetime = match row.number(EXPIRES).unwrap_or_default() {
            0 => 0,
            end => match end.saturating_sub(session.view.time().seconds()) {
                0 => return Ok(Fate::Unchanged),
                rest => rest,
            },
        };
        let known = match self.0.take() {
            Some(known) => known,
            None => entries(session, None, Consent::Asked).await?,
        };
        let known = self.0.insert(known);
        let is_here = |known: &Dict| {
            is_added(known) && known.text(LIST) == Some(list) && is_same(known, pattern)
        };
        if known.iter().any(is_here) {
            return Ok(Fate::Unchanged);
        }
        if !is_dry {
            let manager = session.manager().await?;
            let comment = row.text(COMMENT).unwrap_or_default();
            let adding = manager.add_entry(list, pattern, comment, lifetime);
            match session.ask("AddEntry", adding).await {
                Ok(()) => {}
                Err(Failure::Refused(said)) => return Ok(Fate::Refused(said)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(Fate::New)
    }
}

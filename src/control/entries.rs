//! Entries of lists: file entries can be listed, runtime entries can be listed, added and removed.

use std::sync::Arc;

use super::journal::{OwnAct, note};
use super::{Control, ControlError};
use crate::policy::{Added, Entry, ListName, Source};
use crate::service::live_rules::{Addition, has_ended, is_open};
use crate::service::pattern::{network_of_host, never_matches, normal};
use crate::shared::What;
use crate::store::{Commit, Records, RequestError, StoreError};
use crate::types::{Span, Timestamp};

/// Maximum number of runtime entries, because each change rebuilds their list.
pub const MOST_ENTRIES: u32 = 10_000;

/// The lifetime of an entry that is added or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As before; a new entry never expires.
    Unchanged,
    /// It expires after this time.
    Ends(Span),
    /// It never expires.
    Endless,
}

/// An entry that was added or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutEntry {
    /// As it is now.
    pub entry: Added,
    /// As it was before, if it existed and had not expired.
    pub before: Option<Added>,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryView {
    /// The list.
    pub list: ListName,
    /// Its pattern.
    pub pattern: String,
    /// Where it comes from.
    pub source: Source,
    /// The administrator's comment.
    pub comment: String,
    /// When it was added; `None` for a file entry.
    pub added: Option<Timestamp>,
    /// When it expires; `None` for never.
    pub expires: Option<Timestamp>,
    /// Number of decisions made by it: since the start for a file entry, since it was added for a runtime entry.
    pub hits: u64,
    /// Time of its last decision.
    pub last_hit: Option<Timestamp>,
}

impl Control {
    /// The entries of all lists, list by list, file entries first.
    #[must_use]
    pub fn list_entries(&self) -> Vec<EntryView> {
        let now = self.0.trusted_now();
        let rules = self.0.rules();
        let added = self.0.live_rules.entries();
        let mut views = Vec::new();
        for list in ListName::ALL {
            let of_files = rules.lists.entries(list).iter();
            views.extend(of_files.map(|entry| view_of_file(list, entry)));
            let of_bus = added.iter().filter(|entry| entry.list == list);
            views.extend(of_bus.filter(|entry| !has_ended(entry, now)).map(view));
        }
        views
    }

    /// Adds an entry, which takes effect with the next request. It replaces an equivalent entry of the list, but keeps
    /// its text and its hits.
    ///
    /// # Errors
    ///
    /// As [`Self::put_entry`].
    pub async fn add_entry(
        &self,
        list: ListName,
        pattern: &str,
        comment: &str,
        lifetime: Option<Span>,
    ) -> Result<(), ControlError> {
        let lifetime = lifetime.map_or(Lifetime::Endless, Lifetime::Ends);
        let putting = self.put_entry(list, pattern, Some(comment), lifetime);
        putting.await.map(drop)
    }

    /// Adds an entry, or changes the equivalent one, from the next request on. That one keeps its text and its hits,
    /// and without a new comment its comment.
    ///
    /// # Errors
    ///
    /// [`ControlError`]: the pattern is not valid for this list, a text is too long, or the entry cannot be stored.
    pub async fn put_entry(
        &self,
        list: ListName,
        pattern: &str,
        comment: Option<&str>,
        lifetime: Lifetime,
    ) -> Result<PutEntry, ControlError> {
        // One at a time, so that the limit holds.
        let _alone = self.0.adding.lock().await;
        let control = self.clone();
        let (pattern, comment) = (pattern.to_owned(), comment.map(str::to_owned));
        // Compiling expressions is slow and must not delay mail.
        let adding = tokio::task::spawn_blocking(move || {
            control.new_entry(list, &pattern, comment.as_deref(), lifetime)
        });
        let (addition, before) = adding.await.map_err(|_| StoreError::Closed)??;
        let (entry, live_rules) = (addition.entry().clone(), Arc::clone(&self.0.live_rules));
        let put = PutEntry {
            entry: entry.clone(),
            before,
        };
        let now = self.0.trusted_now();
        let act = self.act(What::Put(entry.clone()));
        let noted = act.clone();
        let writing = self.write(
            move |records| {
                records.put_entry(&entry)?;
                note_act(records, noted.as_ref())
            },
            Commit::Keep,
            move || live_rules.put(addition, now),
        );
        let is_whole = writing.await?;
        self.acted(act.as_ref(), is_whole);
        Ok(put)
    }

    /// The entry to add, and the one that it replaces.
    pub(super) fn new_entry(
        &self,
        list: ListName,
        pattern: &str,
        comment: Option<&str>,
        lifetime: Lifetime,
    ) -> Result<(Addition, Option<Added>), ControlError> {
        if !is_open(list) {
            return Err(ControlError::FilesOnly);
        }
        for (what, text, most) in [
            ("the pattern", pattern, Added::LONGEST_TEXT),
            (
                "the comment",
                comment.unwrap_or_default(),
                Added::LONGEST_COMMENT,
            ),
        ] {
            if text.len() > most {
                return Err(ControlError::TooLong { what, most });
            }
        }
        let (text, meaning) = normal(list, pattern).map_err(|why| ControlError::Pattern {
            pattern: pattern.to_owned(),
            why,
        })?;
        if let Some(why) = never_matches(&meaning) {
            return Err(ControlError::MatchesNothing {
                pattern: pattern.to_owned(),
                why,
            });
        }
        if let Some(network) = network_of_host(&meaning, pattern.trim()) {
            return Err(ControlError::HostInNetwork {
                pattern: pattern.to_owned(),
                network,
            });
        }
        let now = self.0.now();
        let old = self.0.live_rules.find(list, &text, Some(&meaning));
        let most = usize::try_from(MOST_ENTRIES).unwrap_or(usize::MAX);
        if old.is_none() && self.0.live_rules.len() >= most {
            return Err(ControlError::TooMany { most: MOST_ENTRIES });
        }
        let trusted = self.0.state.trusted(now);
        let before = old.clone().filter(|old| !has_ended(old, trusted));
        let kept = before.as_ref();
        let comment = comment.or_else(|| kept.map(|kept| kept.comment.as_str()));
        let entry = Added {
            list,
            comment: comment.unwrap_or_default().to_owned(),
            added: now,
            expires: match lifetime {
                Lifetime::Unchanged => kept.and_then(|kept| kept.expires),
                Lifetime::Ends(lifetime) => Some(now.after(lifetime)),
                Lifetime::Endless => None,
            },
            hits: old.as_ref().map_or(0, |old| old.hits),
            last_hit: old.as_ref().and_then(|old| old.last_hit),
            text: old.map_or(text, |old| old.text),
        };
        let addition = self.0.live_rules.prepare(entry, meaning);
        let addition = addition.map_err(|_| ControlError::TooLarge)?;
        Ok((addition, before))
    }

    /// Removes a runtime entry.
    ///
    /// # Errors
    ///
    /// [`ControlError::InFile`] with file and line of a file entry, and [`ControlError::NoSuchEntry`] if there is none.
    pub async fn remove_entry(&self, list: ListName, pattern: &str) -> Result<(), ControlError> {
        let _alone = self.0.adding.lock().await;
        let pattern = pattern.trim();
        let is_meant = |text: &str| {
            text == pattern || !pattern.starts_with('/') && text.eq_ignore_ascii_case(pattern)
        };
        // An expression has one spelling, so it need not be compiled.
        let meant = (!pattern.starts_with('/')).then(|| normal(list, pattern));
        let (text, meaning) = match meant {
            Some(Ok((text, meaning))) => (text, Some(meaning)),
            Some(Err(_)) | None => (pattern.to_owned(), None),
        };
        let Some(known) = self.0.live_rules.find(list, &text, meaning.as_ref()) else {
            let rules = self.0.rules();
            let mut written = rules.lists.entries(list).iter();
            return Err(match written.find(|entry| is_meant(&entry.text)) {
                Some(entry) => ControlError::InFile(entry.source.to_string()),
                None => ControlError::NoSuchEntry,
            });
        };
        let (entry, gone) = (known.clone(), [known]);
        let live_rules = Arc::clone(&self.0.live_rules);
        let now = self.0.trusted_now();
        let act = self.act(What::Remove(list, entry.text.clone()));
        let noted = act.clone();
        let writing = self.write(
            move |records| {
                records.remove_entry(list, &entry.text)?;
                note_act(records, noted.as_ref())
            },
            Commit::Keep,
            move || live_rules.remove(&gone, now),
        );
        let is_whole = writing.await?;
        self.acted(act.as_ref(), is_whole);
        Ok(())
    }
}

/// Notes in the journal what an administrator has done, if the other hosts are to do it too.
/// Yields whether all acts have found room in it.
fn note_act(records: &mut dyn Records, own: Option<&OwnAct>) -> Result<bool, RequestError> {
    match own {
        Some(own) => Ok(note(records, |journal| journal.add(own.act.clone()))?),
        None => Ok(true),
    }
}

fn view_of_file(list: ListName, entry: &Entry) -> EntryView {
    EntryView {
        list,
        pattern: entry.text.to_string(),
        source: entry.source.clone(),
        comment: String::new(),
        added: None,
        expires: None,
        hits: entry.hits.count(),
        last_hit: entry.hits.last(),
    }
}

fn view(entry: &Added) -> EntryView {
    EntryView {
        list: entry.list,
        pattern: entry.text.clone(),
        source: Source::Bus,
        comment: entry.comment.clone(),
        added: Some(entry.added),
        expires: entry.expires,
        hits: entry.hits,
        last_hit: entry.last_hit,
    }
}

//! What is new about the lists: told once, by mail.
//!
//! ```text
//! STATE/NAME.told     the version that was told last
//! STATE/NAME.notice   {"problem":…,"refusal":…}: what was told last that did not work
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::fetch::Fetched;
use super::install::{self, By};
use super::watch::Watched;
use super::{beside, entries, read_foreign, replace};
use crate::ctl::failure::Failure;
use crate::ctl::render::Plain;
use crate::types::{Span, Timestamp, counted};

/// Added entries, and removed ones, that a mail names for each list.
const MOST_ENTRIES: usize = 100;

/// The timer is a daily one; after this time the fetch does not work.
const STALE: Span = Span::from_hours(48);

/// Where the files are.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Those that were fetched.
    pub cache: &'a Path,
    /// Those that are installed.
    pub state: &'a Path,
}

/// What became of a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// There is no other version than the installed one.
    Already,
    /// It was installed just now.
    Now,
    /// It was not, for this reason.
    Refused(String),
    /// An administrator has to do it.
    ByHand,
}

/// What is new about a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The list.
    pub list: Watched,
    /// Why it was not fetched.
    pub problem: Option<String>,
    /// Whether no version was told before.
    pub is_first: bool,
    /// Entries that the version of before has not.
    pub added: Vec<String>,
    /// Entries that only the version of before has.
    pub removed: Vec<String>,
    /// Entries of the version.
    pub total: usize,
    /// What became of it.
    pub installed: Installed,
    /// The version.
    content: Option<Vec<u8>>,
    /// Whether any of this was not told before.
    is_new: bool,
}

impl News {
    /// Looks at what was fetched of a list, and installs it if list-watch says so. What fails concerns this list alone
    /// and is news of it: the others still get theirs.
    #[must_use]
    pub fn of(list: &Watched, places: Places<'_>, now: Timestamp) -> Self {
        let (content, problem) = match fetched(list, places.cache, now) {
            Ok(fetched) => fetched,
            // Not this user's file: one of whoever fetches.
            Err(failure) => (None, Some(failure.to_string())),
        };
        let installed = installed(list, content.as_deref(), places.state);
        let installed = installed.unwrap_or_else(|failure| Installed::Refused(failure.to_string()));
        // What cannot be read was not told.
        let known = |ending| {
            read_foreign(&beside(places.state, &list.name, ending))
                .ok()
                .flatten()
        };
        let told = known("told");
        let (before, after) = (
            told.as_deref().map(entries),
            content.as_deref().map(entries),
        );
        let (added, removed) = match (&before, &after) {
            (Some(before), Some(after)) => (missing(after, before), missing(before, after)),
            _ => (Vec::new(), Vec::new()),
        };
        let mut news = Self {
            list: list.clone(),
            problem,
            is_first: told.is_none() && content.is_some(),
            added,
            removed,
            total: after.map_or(0, |after| after.len()),
            installed,
            content,
            is_new: false,
        };
        let notice = known("notice");
        let notice = notice.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let notice = notice.unwrap_or_else(|| json!({ "problem": null, "refusal": null }));
        let is_told = |key: &str, text: Option<&str>| {
            text.is_none_or(|text| notice.get(key).and_then(Value::as_str) == Some(text))
        };
        news.is_new = news.is_first
            || !news.added.is_empty()
            || !news.removed.is_empty()
            || news.installed == Installed::Now
            || !is_told("problem", news.problem.as_deref())
            || !is_told("refusal", news.refusal());
        news
    }

    /// Whether it was not told before.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Remembers that it was told.
    ///
    /// # Errors
    ///
    /// [`Failure::Create`].
    pub fn remember(&self, state: &Path) -> Result<(), Failure> {
        let notice = json!({ "problem": self.problem, "refusal": self.refusal() });
        let notice = notice.to_string();
        if let Some(content) = &self.content {
            replace(&beside(state, &self.list.name, "told"), content)?;
        }
        replace(&beside(state, &self.list.name, "notice"), notice.as_bytes())
    }

    fn refusal(&self) -> Option<&str> {
        match &self.installed {
            Installed::Refused(reason) => Some(reason),
            Installed::Already | Installed::Now | Installed::ByHand => None,
        }
    }

    /// The same as text: what, then the entries.
    #[must_use]
    pub fn text(&self, state: &Path) -> String {
        let Watched {
            name, kind, url, ..
        } = &self.list;
        let mut out = format!("{name} ({}, {url})\n", kind.word());
        let mut line = |text: &str| out.extend(["  ", text, "\n"]);
        if let Some(problem) = &self.problem {
            line(&format!("not fetched: {problem}"));
        }
        let total = counted(self.total as u64, "entry", "entries");
        if self.is_first {
            line(&format!("the first version: {total}"));
        } else if !self.added.is_empty() || !self.removed.is_empty() {
            let (added, removed) = (self.added.len(), self.removed.len());
            line(&format!("{added} added, {removed} removed: {total}"));
        }
        match &self.installed {
            Installed::Already => {}
            Installed::Now => line(&format!("installed as {}", state.join(name).display())),
            Installed::Refused(reason) => {
                line(&format!("not installed: {reason}"));
                line(&format!("to install it: stargreyctl lists install {name}"));
            }
            Installed::ByHand => {
                line(&format!("to install it: stargreyctl lists install {name}"));
            }
        }
        for (sign, entries) in [('+', &self.added), ('-', &self.removed)] {
            let shown = entries.iter().take(MOST_ENTRIES);
            out.extend(shown.map(|entry| format!("  {sign} {}\n", Plain(entry))));
            match entries.len().saturating_sub(MOST_ENTRIES) {
                0 => {}
                left => out.extend([format!("  {sign} and {left} more\n")]),
            }
        }
        out
    }

    /// The same as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let installed = match &self.installed {
            Installed::Already => "already",
            Installed::Now => "now",
            Installed::Refused(_) => "refused",
            Installed::ByHand => "by-hand",
        };
        json!({
            "name": self.list.name,
            "kind": self.list.kind.word(),
            "url": self.list.url,
            "problem": self.problem,
            "entries": self.total,
            "added": self.added,
            "removed": self.removed,
            "installed": installed,
            "refusal": self.refusal(),
        })
    }
}

/// The version that came last, and why there is no later one.
fn fetched(
    list: &Watched,
    cache: &Path,
    now: Timestamp,
) -> Result<(Option<Vec<u8>>, Option<String>), Failure> {
    let attempt = Fetched::read(cache, &list.name)?;
    let Some(attempt) = attempt.filter(|attempt| attempt.url == list.url) else {
        let problem = "it was not tried yet: see stargrey-list-fetch.service";
        return Ok((None, Some(problem.to_owned())));
    };
    let is_stale = now.since(attempt.time) > STALE;
    let problem = attempt.problem.or_else(|| {
        let stale = "it was not tried for two days: see stargrey-list-fetch.service";
        is_stale.then(|| stale.to_owned())
    });
    Ok((Fetched::list(cache, &list.name)?, problem))
}

/// Installs a version that is not the installed one, if list-watch says so.
fn installed(list: &Watched, content: Option<&[u8]>, state: &Path) -> Result<Installed, Failure> {
    let Some(content) = content else {
        return Ok(Installed::Already);
    };
    if read_foreign(&state.join(&list.name))?.as_deref() == Some(content) {
        return Ok(Installed::Already);
    }
    if !list.is_installed {
        return Ok(Installed::ByHand);
    }
    let installed = install::install(list, content, state, By::Itself)?;
    Ok(match installed {
        Ok(_) => Installed::Now,
        Err(refusal) => Installed::Refused(refusal.to_string()),
    })
}

/// Entries of `all` that are not among `known`.
fn missing(all: &[String], known: &[String]) -> Vec<String> {
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    let missing = all.iter().filter(|entry| !known.contains(entry.as_str()));
    missing.cloned().collect()
}

//! The rules in force, and the entries that administrators have added to them while the daemon ran.
//!
//! What is added is kept by the store and lies in lists of its own beside those from the files, so that adding one
//! entry does not build a list of a hundred thousand anew. An entry whose time is over leaves its list
//! with the first decision after that, and the store soon after.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::policy::pattern::{AddressPattern, ClientPattern, PatternError};
use crate::policy::{
    Added, AddressList, ClientList, Entry, Hits, ListName, Lists, Ruleset, TooLarge,
};
use crate::types::Timestamp;

/// No entry ends.
const NEVER: u64 = u64::MAX;

/// The rules and what was added.
#[derive(Debug)]
pub(super) struct Book {
    rules: RwLock<Arc<Ruleset>>,
    entries: Mutex<Vec<Kept>>,
    /// When the next entry ends: seconds since the epoch.
    next_end: AtomicU64,
}

/// An entry that was added.
#[derive(Debug, Clone)]
struct Kept {
    /// As the store has it.
    stored: Added,
    /// As they go on.
    hits: Arc<Hits>,
}

impl Kept {
    fn new(entry: Added) -> Self {
        Self {
            hits: Arc::new(Hits::new(entry.hits, entry.last_hit)),
            stored: entry,
        }
    }

    /// As it is now.
    fn now(&self) -> Added {
        Added {
            hits: self.hits.count(),
            last_hit: self.hits.last(),
            ..self.stored.clone()
        }
    }

    fn is(&self, entry: &Added) -> bool {
        self.stored.list == entry.list && self.stored.text == entry.text
    }
}

/// What a pattern means in a list.
enum Meaning {
    Client(ClientPattern),
    Address(AddressPattern),
}

impl Book {
    pub(super) fn new(rules: Ruleset) -> Self {
        Self {
            rules: RwLock::new(Arc::new(rules)),
            entries: Mutex::default(),
            next_end: AtomicU64::new(NEVER),
        }
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> Arc<Ruleset> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other lists in force. An entry that was there before keeps its hits.
    pub(super) fn set_lists(&self, lists: Lists) {
        self.change(|rules| {
            keep_hits(&rules.lists, &lists);
            Ruleset {
                params: rules.params,
                lists: Arc::new(lists),
                added: Arc::clone(&rules.added),
                texts: Arc::clone(&rules.texts),
            }
        });
    }

    /// Takes what the store has kept in place of what is here. Here and below `now` is `None` while the clock is not
    /// to be trusted: then nothing ends.
    pub(super) fn load(&self, entries: Vec<Added>, now: Option<Timestamp>) {
        let mut all = self.lock();
        *all = entries.into_iter().map(Kept::new).collect();
        self.build(&all, now);
    }

    /// Adds an entry, in place of one of the same list and text, whose hits it goes on from.
    pub(super) fn put(&self, entry: Added, now: Option<Timestamp>) {
        let mut all = self.lock();
        match all.iter_mut().find(|old| old.is(&entry)) {
            Some(old) => old.stored = entry,
            None => all.push(Kept::new(entry)),
        }
        self.build(&all, now);
    }

    /// Removes entries.
    pub(super) fn remove(&self, entries: &[Added], now: Option<Timestamp>) {
        let gone: HashSet<(ListName, &str)> = entries
            .iter()
            .map(|entry| (entry.list, entry.text.as_str()))
            .collect();
        let mut all = self.lock();
        all.retain(|kept| !gone.contains(&(kept.stored.list, kept.stored.text.as_str())));
        self.build(&all, now);
    }

    /// Whether it may be that an entry has ended.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.seconds() >= self.next_end.load(Ordering::Relaxed)
    }

    /// Lets go of entries whose time is over.
    pub(super) fn expire(&self, now: Timestamp) {
        let all = self.lock();
        // Somebody else may have been first.
        if self.is_due(now) {
            self.build(&all, Some(now));
        }
    }

    /// Builds the lists anew after the clock was mistrusted, or begins to be.
    pub(super) fn rebuild(&self, now: Option<Timestamp>) {
        self.build(&self.lock(), now);
    }

    /// What was added, with the hits it has had so far; what has ended is among it until the store is rid of it.
    pub(super) fn entries(&self) -> Vec<Added> {
        self.lock().iter().map(Kept::now).collect()
    }

    /// Those with hits that the store does not have.
    pub(super) fn unwritten(&self) -> Vec<Added> {
        let all = self.lock();
        let changed = all
            .iter()
            .filter(|kept| kept.hits.count() != kept.stored.hits);
        changed.map(Kept::now).collect()
    }

    /// Notes that the store has these as they are here.
    pub(super) fn written(&self, entries: &[Added]) {
        let written: HashMap<(ListName, &str), &Added> = entries
            .iter()
            .map(|entry| ((entry.list, entry.text.as_str()), entry))
            .collect();
        for kept in self.lock().iter_mut() {
            let key = (kept.stored.list, kept.stored.text.as_str());
            if let Some(entry) = written.get(&key) {
                (kept.stored.hits, kept.stored.last_hit) = (entry.hits, entry.last_hit);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts rules in force that are made of those in force.
    fn change(&self, change: impl FnOnce(&Ruleset) -> Ruleset) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *rules = Arc::new(change(&rules));
    }

    /// Builds the lists anew.
    fn build(&self, all: &[Kept], now: Option<Timestamp>) {
        let ends = all.iter().filter_map(|kept| kept.stored.expires);
        let next = ends.filter(|end| now.is_none_or(|now| *end > now)).min();
        let next = next.map_or(NEVER, Timestamp::seconds);
        self.next_end.store(next, Ordering::Relaxed);
        let live = all.iter().filter(|kept| !has_ended(&kept.stored, now));
        let live = live.map(|kept| (&kept.stored, Arc::clone(&kept.hits)));
        match lists_of(live) {
            Ok(added) => self.change(|rules| Ruleset {
                params: rules.params,
                lists: Arc::clone(&rules.lists),
                added: Arc::new(added),
                texts: Arc::clone(&rules.texts),
            }),
            Err(error) => log::error!("the entries that were added are not in force: {error}"),
        }
    }
}

/// Whether an entry's time is over.
pub(super) fn has_ended(entry: &Added, now: Option<Timestamp>) -> bool {
    now.zip(entry.expires).is_some_and(|(now, end)| end <= now)
}

/// A pattern as it is kept: trimmed, and lower-cased unless it is an expression, where case may have a meaning.
///
/// # Errors
///
/// [`PatternError`] when it means nothing in this list.
pub(super) fn normal_text(list: ListName, text: &str) -> Result<String, PatternError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    meaning(list, text)?;
    Ok(if text.starts_with('/') {
        text.to_owned()
    } else {
        text.to_ascii_lowercase()
    })
}

/// Whether the list can be added to; tables are for files alone, because their order means something.
pub(super) const fn is_open(list: ListName) -> bool {
    match list {
        ListName::Client | ListName::Recipient | ListName::Sender | ListName::S25rException => true,
        ListName::ClientAccess => false,
    }
}

/// Why a pattern can match nothing, although it can be read: the lists take any word for a name, as Postgrey's do,
/// but who adds one entry by hand and goes away must be told.
pub(super) fn matches_nothing(list: ListName, text: &str) -> Option<&'static str> {
    let no_name = "this is no name of a host or a domain";
    let is_name = |name: &str| {
        let is_label = |label: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii();
            !label.is_empty() && label.chars().all(fits)
        };
        name.split('.').all(is_label)
    };
    match meaning(list, text).ok()? {
        Meaning::Address(AddressPattern::Domain(name)) if name.contains(['<', '>']) => {
            Some("write the address without angle brackets; the null sender is /^$/")
        }
        Meaning::Client(ClientPattern::Host(name))
        | Meaning::Address(AddressPattern::Domain(name)) => (!is_name(&name)).then_some(no_name),
        Meaning::Address(AddressPattern::Address(text) | AddressPattern::User(text)) => {
            if text.contains(['<', '>']) {
                Some("write the address without angle brackets")
            } else if text.starts_with('@') {
                Some("a domain is written without the @")
            } else {
                None
            }
        }
        Meaning::Client(ClientPattern::Expression(_) | ClientPattern::Network(_))
        | Meaning::Address(AddressPattern::Expression(_)) => None,
    }
}

/// Whether the entries of one list more fit together.
///
/// # Errors
///
/// [`TooLarge`] when they do not.
pub(super) fn fit_together(all: &[Added]) -> Result<(), TooLarge> {
    lists_of(all.iter().map(|entry| (entry, Arc::default()))).map(drop)
}

fn meaning(list: ListName, text: &str) -> Result<Meaning, PatternError> {
    match list {
        ListName::Client | ListName::S25rException | ListName::ClientAccess => {
            ClientPattern::parse(text).map(Meaning::Client)
        }
        ListName::Recipient | ListName::Sender => AddressPattern::parse(text).map(Meaning::Address),
    }
}

/// Lists of these entries.
fn lists_of<'a>(entries: impl Iterator<Item = (&'a Added, Arc<Hits>)>) -> Result<Lists, TooLarge> {
    let mut clients: HashMap<ListName, Vec<(ClientPattern, Entry)>> = HashMap::new();
    let mut addresses: HashMap<ListName, Vec<(AddressPattern, Entry)>> = HashMap::new();
    for (added, hits) in entries {
        let entry = Entry::added(&added.text, &hits);
        match meaning(added.list, &added.text) {
            Ok(Meaning::Client(pattern)) => {
                let of_list = clients.entry(added.list).or_default();
                of_list.push((pattern, entry));
            }
            Ok(Meaning::Address(pattern)) => {
                let of_list = addresses.entry(added.list).or_default();
                of_list.push((pattern, entry));
            }
            Err(error) => log::warn!("{} {:?}: {error}; ignoring", added.list.word(), added.text),
        }
    }
    let mut client_list = |list| ClientList::new(clients.remove(&list).unwrap_or_default());
    let mut address_list = |list| AddressList::new(addresses.remove(&list).unwrap_or_default());
    Ok(Lists {
        clients: client_list(ListName::Client)?,
        recipients: address_list(ListName::Recipient)?,
        senders: address_list(ListName::Sender)?,
        s25r_exceptions: client_list(ListName::S25rException)?,
        ..Lists::default()
    })
}

/// Lets the entries of the new lists go on from the hits that they had in the old ones.
fn keep_hits(old: &Lists, new: &Lists) {
    for list in ListName::ALL {
        let known: HashMap<(&Path, &str), &Entry> = old
            .entries(list)
            .iter()
            .filter(|entry| entry.hits.count() > 0)
            .filter_map(|entry| Some((entry.place()?, entry)))
            .collect();
        for entry in new.entries(list) {
            if let Some(place) = entry.place()
                && let Some(before) = known.get(&place)
            {
                entry.hits.go_on_from(&before.hits);
            }
        }
    }
}

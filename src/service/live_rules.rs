//! The active rules, and the runtime entries: those that administrators add while the daemon runs.
//!
//! Runtime entries are stored in the database and have lists separate from those of the files, so that adding one entry
//! does not rebuild a list of a hundred thousand. An expired entry leaves its list with the first decision after that,
//! and the database soon after.
//!
//! # Expressions
//!
//! Compiling is expensive, and lists are built on reactor threads or the writer thread. So each entry is parsed once, and
//! the lists share [`CompiledSets`]: [`LiveRules::prepare`] brings them up to date, on a thread that may block,
//! before [`LiveRules::put`] builds the lists. Expressions that are in no set are compiled as the lists are built.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::pattern::{AddressPattern, ClientPattern};
use crate::policy::{
    Added, AddressList, ClientList, CompiledSets, Entry, Hits, ListName, Lists, Params, Ruleset,
    RulesetParts, TooLarge,
};
use crate::service::pattern::{Pattern, parse};
use crate::types::Timestamp;
use crate::types::sync::{Mutex, MutexGuard, RwLock};

/// No entry expires.
const NEVER: u64 = u64::MAX;

/// The active rules and the runtime entries.
#[derive(Debug)]
pub(crate) struct LiveRules {
    rules: RwLock<Arc<Ruleset>>,
    entries: Mutex<Entries>,
    /// When the next entry expires: seconds since the epoch.
    next_end: AtomicU64,
}

/// The runtime entries.
#[derive(Debug, Default)]
struct Entries {
    all: Vec<RuntimeEntry>,
    /// Their expressions.
    compiled: Compiled,
}

/// The compiled expressions of each list.
type Compiled = HashMap<ListName, CompiledSets>;

/// A runtime entry.
#[derive(Debug, Clone)]
struct RuntimeEntry {
    /// As it is stored.
    stored: Added,
    /// Its current hits.
    hits: Arc<Hits>,
    /// Its parsed text; `None` for an invalid one from the store.
    pattern: Option<Pattern>,
}

/// A parsed entry to add, with the compiled expressions of its list.
#[derive(Debug)]
pub(crate) struct Addition {
    kept: RuntimeEntry,
    /// `None` when it is not an expression.
    compiled: Option<CompiledSets>,
}

impl RuntimeEntry {
    fn new(entry: Added, pattern: Option<Pattern>) -> Self {
        Self {
            hits: Arc::new(Hits::new(entry.hits, entry.last_hit)),
            stored: entry,
            pattern,
        }
    }

    /// One from the store.
    fn loaded(entry: Added) -> Self {
        let pattern = match parse(entry.list, &entry.text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                log::warn!("{} {:?}: {error}; ignoring", entry.list.word(), entry.text);
                None
            }
        };
        Self::new(entry, pattern)
    }

    /// Its expression, if it has one and belongs to this list.
    fn expression(&self, list: ListName) -> Option<&str> {
        let pattern = self.pattern.as_ref().filter(|_| self.stored.list == list);
        pattern.and_then(Pattern::expression)
    }

    /// With its current hits.
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

impl Addition {
    /// The entry to store.
    pub(crate) const fn entry(&self) -> &Added {
        &self.kept.stored
    }
}

impl LiveRules {
    pub(crate) fn new(rules: Ruleset) -> Self {
        Self {
            rules: RwLock::new(Arc::new(rules)),
            entries: Mutex::default(),
            next_end: AtomicU64::new(NEVER),
        }
    }

    /// The active rules.
    pub(crate) fn rules(&self) -> Arc<Ruleset> {
        Arc::clone(&self.rules.read())
    }

    /// Replaces the lists of the files, and the numbers that a file may set. An entry that was there before keeps its
    /// hits.
    pub(crate) fn set_lists(&self, lists: Lists, params: Option<Params>) {
        self.change(|rules| {
            keep_hits(&rules.lists, &lists);
            RulesetParts {
                params: params.unwrap_or(rules.params),
                lists: Arc::new(lists),
                ..RulesetParts::clone(rules)
            }
        });
    }

    /// Replaces the runtime entries by those in the database. Here and below, `now` is `None` while the clock is not
    /// trusted; no entry expires then.
    pub(crate) fn load(&self, entries: Vec<Added>, now: Option<Timestamp>) {
        let all: Vec<RuntimeEntry> = entries.into_iter().map(RuntimeEntry::loaded).collect();
        let mut compiled = Compiled::new();
        for list in ListName::ALL {
            // Too large together: reported when the lists are built.
            let of_list: Vec<&str> = expressions(&all, list).collect();
            if let Ok(sets) = CompiledSets::default().updated(&of_list) {
                compiled.insert(list, sets);
            }
        }
        let mut entries = self.lock();
        *entries = Entries { all, compiled };
        self.build(&entries, now);
    }

    /// Compiles what [`Self::put`] needs. That may be slow, but holds no lock.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the expressions of the list, with this one, are too large.
    pub(crate) fn prepare(&self, entry: Added, pattern: Pattern) -> Result<Addition, TooLarge> {
        let list = entry.list;
        let kept = RuntimeEntry::new(entry, Some(pattern));
        let Some(new) = kept.expression(list) else {
            return Ok(Addition {
                kept,
                compiled: None,
            });
        };
        let (others, before) = {
            let entries = self.lock();
            let others: Vec<String> = expressions(&entries.all, list).map(str::to_owned).collect();
            (others, entries.compiled.get(&list).cloned())
        };
        let all: Vec<&str> = others.iter().map(String::as_str).chain([new]).collect();
        let compiled = before.unwrap_or_default().updated(&all)?;
        Ok(Addition {
            kept,
            compiled: Some(compiled),
        })
    }

    /// Adds an entry. It replaces one of the same list and text and takes over its hits.
    pub(crate) fn put(&self, addition: Addition, now: Option<Timestamp>) {
        let Addition { kept, compiled } = addition;
        let mut entries = self.lock();
        if let Some(compiled) = compiled {
            entries.compiled.insert(kept.stored.list, compiled);
        }
        match entries.all.iter_mut().find(|old| old.is(&kept.stored)) {
            Some(old) => old.stored = kept.stored,
            None => entries.all.push(kept),
        }
        self.build(&entries, now);
    }

    /// Removes entries.
    pub(crate) fn remove(&self, entries: &[Added], now: Option<Timestamp>) {
        let gone: HashSet<(ListName, &str)> = entries
            .iter()
            .map(|entry| (entry.list, entry.text.as_str()))
            .collect();
        let mut entries = self.lock();
        let Entries { all, compiled } = &mut *entries;
        all.retain(|kept| !gone.contains(&(kept.stored.list, kept.stored.text.as_str())));
        for (list, sets) in compiled {
            let left: Vec<&str> = expressions(all, *list).collect();
            *sets = sets.without_unused(&left);
        }
        self.build(&entries, now);
    }

    /// Whether an entry may have expired.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.seconds() >= self.next_end.load(Ordering::Relaxed)
    }

    /// Drops expired entries from the lists.
    pub(crate) fn expire(&self, now: Timestamp) {
        let all = self.lock();
        // Another thread may have done it already.
        if self.is_due(now) {
            self.build(&all, Some(now));
        }
    }

    /// Rebuilds the lists when the clock becomes trusted or untrusted.
    pub(crate) fn rebuild(&self, now: Option<Timestamp>) {
        self.build(&self.lock(), now);
    }

    /// The runtime entries with their hit counts, including expired ones that the database still has.
    pub(crate) fn entries(&self) -> Vec<Added> {
        self.lock().all.iter().map(RuntimeEntry::now).collect()
    }

    /// The number of runtime entries.
    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// The entry of this list with this text, or else an equivalent one: a network can be written in several ways.
    pub(crate) fn find(
        &self,
        list: ListName,
        text: &str,
        pattern: Option<&Pattern>,
    ) -> Option<Added> {
        let entries = self.lock();
        let of_list = entries.all.iter().filter(|kept| kept.stored.list == list);
        let with_text = of_list.clone().find(|kept| kept.stored.text == text);
        let known = with_text.or_else(|| {
            let mut of_list = of_list;
            of_list.find(|kept| pattern.is_some() && kept.pattern.as_ref() == pattern)
        });
        known.map(RuntimeEntry::now)
    }

    /// The entries with hits that are not stored yet.
    pub(crate) fn unwritten(&self) -> Vec<Added> {
        let entries = self.lock();
        let changed = entries
            .all
            .iter()
            .filter(|kept| kept.hits.count() != kept.stored.hits);
        changed.map(RuntimeEntry::now).collect()
    }

    /// Marks these entries as stored.
    pub(crate) fn written(&self, entries: &[Added]) {
        let written: HashMap<(ListName, &str), &Added> = entries
            .iter()
            .map(|entry| ((entry.list, entry.text.as_str()), entry))
            .collect();
        for kept in &mut self.lock().all {
            let key = (kept.stored.list, kept.stored.text.as_str());
            if let Some(entry) = written.get(&key) {
                (kept.stored.hits, kept.stored.last_hit) = (entry.hits, entry.last_hit);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }

    /// Replaces the active rules by new ones that are derived from them.
    fn change(&self, change: impl FnOnce(&Ruleset) -> RulesetParts) {
        let mut rules = self.rules.write();
        *rules = Arc::new(change(&rules).into());
    }

    /// Rebuilds the lists.
    fn build(&self, entries: &Entries, now: Option<Timestamp>) {
        let all = &entries.all;
        let ends = all.iter().filter_map(|kept| kept.stored.expires);
        let next = ends.filter(|end| now.is_none_or(|now| *end > now)).min();
        let next = next.map_or(NEVER, Timestamp::seconds);
        self.next_end.store(next, Ordering::Relaxed);
        let live = all.iter().filter(|kept| !has_ended(&kept.stored, now));
        match lists_of(live, &entries.compiled) {
            Ok(added) => self.change(|rules| RulesetParts {
                added: Arc::new(added),
                ..RulesetParts::clone(rules)
            }),
            Err(error) => log::error!("the entries added over D-Bus are not active: {error}"),
        }
    }
}

/// Whether an entry has expired.
pub(crate) fn has_ended(entry: &Added, now: Option<Timestamp>) -> bool {
    now.zip(entry.expires).is_some_and(|(now, end)| end <= now)
}

/// Whether a list can have runtime entries. Tables cannot, because their order matters; nor can the recipients to
/// greylist, because an additional entry there would defer mail.
pub(crate) const fn is_open(list: ListName) -> bool {
    match list {
        ListName::Client | ListName::Recipient | ListName::Sender | ListName::S25rException => true,
        ListName::GreylistRecipient
        | ListName::ClientAccess
        | ListName::GreylistConf
        | ListName::HeaderChecks
        | ListName::BodyChecks => false,
    }
}

/// The expressions of a list.
fn expressions(all: &[RuntimeEntry], list: ListName) -> impl Iterator<Item = &str> {
    all.iter().filter_map(move |kept| kept.expression(list))
}

/// Lists of these entries.
fn lists_of<'a>(
    entries: impl Iterator<Item = &'a RuntimeEntry>,
    compiled: &Compiled,
) -> Result<Lists, TooLarge> {
    let mut clients: HashMap<ListName, Vec<(ClientPattern, Entry)>> = HashMap::new();
    let mut addresses: HashMap<ListName, Vec<(AddressPattern, Entry)>> = HashMap::new();
    for kept in entries {
        let list = kept.stored.list;
        let entry = Entry::added(&kept.stored.text, &kept.hits);
        match kept.pattern.clone() {
            Some(Pattern::Client(pattern)) => {
                clients.entry(list).or_default().push((pattern, entry));
            }
            Some(Pattern::Address(pattern)) => {
                addresses.entry(list).or_default().push((pattern, entry));
            }
            None => {}
        }
    }
    let none = CompiledSets::default();
    let sets = |list| compiled.get(&list).unwrap_or(&none);
    let mut client_list = |list| {
        let found = clients.remove(&list).unwrap_or_default();
        ClientList::with_compiled(found, sets(list))
    };
    let mut address_list = |list| {
        let found = addresses.remove(&list).unwrap_or_default();
        AddressList::with_compiled(found, sets(list))
    };
    Ok(Lists {
        clients: client_list(ListName::Client)?,
        recipients: address_list(ListName::Recipient)?,
        senders: address_list(ListName::Sender)?,
        s25r_exceptions: client_list(ListName::S25rException)?,
        ..Lists::default()
    })
}

/// Copies the hits of unchanged entries from the old lists to the new ones.
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

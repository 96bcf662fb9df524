//! What needs a hand: the state of the daemon in sentences, and entries that match nothing any more.

use std::collections::BTreeMap;

use super::{DAY, Sources};
use crate::api::{
    ADDED, DNS_LIST_ERROR, DNS_LIST_OK, DNS_LIST_SILENT, Dict, FromRow, LAST_HIT, LIST, PATTERN,
    SHARED_HOST_AWAY, SHARED_HOST_BEHIND, SHARED_HOST_OK, SHARED_OFF, SHARED_OK, SOURCE,
    SOURCE_BUS, SPAMD_AWAY, STORE_OK,
};
use crate::types::counted;

/// Days without a hit after which an entry needs a look.
const UNUSED_DAYS: u64 = 90;

/// Files of the package: most of their entries are for others.
const PACKAGED: [&str; 4] = [
    "s25r_exceptions",
    "whitelist_clients",
    "whitelist_recipients",
    "whitelist_senders",
];

/// What needs a hand, a sentence each.
pub(super) fn sentences(sources: &Sources, now: u64) -> Vec<String> {
    let properties = &sources.properties;
    let mut hand = daemon(properties);
    hand.extend(dns_lists(properties));
    hand.extend(others(properties));
    let long_ago = now.saturating_sub(UNUSED_DAYS * DAY);
    hand.extend(added(&sources.entries, long_ago));
    // The hits of these are known since the start of the daemon.
    let started = properties.number("StartedAt");
    if started.is_some_and(|started| started > 0 && started < long_ago) {
        hand.extend(of_files(&sources.entries, long_ago));
    }
    hand
}

/// Database, lists and pause.
fn daemon(properties: &Dict) -> Vec<String> {
    let mut hand = Vec::new();
    match properties.text("StoreState") {
        Some(STORE_OK) | None => {}
        Some(state) => hand.push(format!("The database is unavailable: {state}.")),
    }
    match properties.number("ListErrors").unwrap_or_default() {
        0 => {}
        errors => hand.push(format!(
            "The list files have {}; see `journalctl -u stargrey`.",
            counted(errors, "error", "errors")
        )),
    }
    match properties.number("UnreachableRules").unwrap_or_default() {
        0 => {}
        rules => hand.push(format!(
            "The access lists have {} that can never match; see `journalctl -u stargrey`.",
            counted(rules, "entry", "entries")
        )),
    }
    if properties.truth("Paused") == Some(true) {
        hand.push("Greylisting is paused: all mail passes.".to_owned());
    }
    hand
}

/// DNS lists without good replies.
fn dns_lists(properties: &Dict) -> Vec<String> {
    let lists = sorted(properties, "DnsLists").into_iter();
    let sentences = lists.filter_map(|(zone, state)| match state.as_str() {
        DNS_LIST_OK => None,
        DNS_LIST_SILENT => Some(format!("The DNS list {zone} does not reply.")),
        DNS_LIST_ERROR => Some(format!("The DNS list {zone} replies with an error code.")),
        other => Some(format!("The DNS list {zone}: {other}.")),
    });
    sentences.collect()
}

/// spamd, the server of shared records, and the other hosts.
fn others(properties: &Dict) -> Vec<String> {
    let mut hand = Vec::new();
    if properties.text("SpamdState") == Some(SPAMD_AWAY) {
        hand.push("spamd does not answer: messages have no score.".to_owned());
    }
    match properties.text("SharedState") {
        None | Some(SHARED_OFF | SHARED_OK) => {}
        Some(state) => hand.push(format!(
            "Records are not shared with the other hosts: {state}."
        )),
    }
    for (host, state) in sorted(properties, "SharedHosts") {
        match state.as_str() {
            SHARED_HOST_OK => {}
            SHARED_HOST_BEHIND => hand.push(format!(
                "The host {host} has not caught up with what administrators did."
            )),
            SHARED_HOST_AWAY => hand.push(format!("The host {host} is away.")),
            other => hand.push(format!("The host {host}: {other}.")),
        }
    }
    hand
}

fn sorted(properties: &Dict, key: &str) -> BTreeMap<String, String> {
    let words = properties.words(key).unwrap_or_default();
    words.into_iter().collect()
}

/// Runtime entries that were added before this time and have not been hit since then, one by one.
fn added(entries: &[Dict], long_ago: u64) -> impl Iterator<Item = String> {
    let entries = entries.iter();
    entries.filter_map(move |entry| {
        let number = |key| entry.number(key).unwrap_or_default();
        let used = number(ADDED).max(number(LAST_HIT));
        let is_unused = entry.text(SOURCE) == Some(SOURCE_BUS) && used > 0 && used < long_ago;
        let text = |key| entry.text(key).unwrap_or_default();
        is_unused.then(|| {
            let (pattern, list) = (text(PATTERN), text(LIST));
            format!("The entry {pattern} of the {list} was not hit for {UNUSED_DAYS} days.")
        })
    })
}

/// Entries of files that have not been hit since this time: how many of how many, and the first of them, for each file
/// that is not one of the package.
fn of_files(entries: &[Dict], long_ago: u64) -> Vec<String> {
    let mut files: BTreeMap<&str, (u64, Vec<&str>)> = BTreeMap::new();
    for entry in entries {
        let source = entry.text(SOURCE).unwrap_or_default();
        let Some((file, _)) = source.rsplit_once(':') else {
            continue;
        };
        let name = file.rsplit_once('/').map_or(file, |(_, name)| name);
        if PACKAGED.contains(&name) {
            continue;
        }
        let (all, unused) = files.entry(file).or_default();
        *all = all.saturating_add(1);
        if entry.number(LAST_HIT).unwrap_or_default() < long_ago {
            unused.push(entry.text(PATTERN).unwrap_or_default());
        }
    }
    let files = files.into_iter();
    let sentences = files.filter_map(|(file, (all, unused))| {
        let first = unused.first()?;
        let unused = unused.len();
        let of = counted(all, "entry", "entries");
        let verb = if unused == 1 { "was" } else { "were" };
        Some(format!(
            "{unused} of {of} in {file} {verb} not hit for {UNUSED_DAYS} days, the first of them {first}; see \
             `stargreyctl list`."
        ))
    });
    sentences.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::api::Row;

    const NOW: u64 = 1_795_310_000;

    fn entry(pattern: &str, source: &str, added: Option<u64>, last_hit: u64) -> Dict {
        Row::new()
            .with(PATTERN, pattern)
            .with(LIST, "client-whitelist")
            .with(SOURCE, source)
            .with_some(ADDED, added)
            .with(LAST_HIT, last_hit)
            .build()
    }

    fn of(properties: Row, entries: Vec<Dict>) -> Vec<String> {
        let sources = Sources {
            properties: properties.build(),
            entries,
            ..Sources::default()
        };
        sentences(&sources, NOW)
    }

    #[test]
    fn each_state_that_is_not_good_is_a_sentence() {
        let words = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        let good = Row::new()
            .with("StoreState", STORE_OK)
            .with("ListErrors", 0_u64)
            .with("UnreachableRules", 0_u64)
            .with("Paused", false)
            .with("DnsLists", words(&[("a.example", DNS_LIST_OK)]))
            .with("SpamdState", "ok")
            .with("SharedState", SHARED_OK)
            .with("SharedHosts", words(&[("mx1", SHARED_HOST_OK)]));
        assert_eq!(of(good, Vec::new()), [""; 0]);
        assert_eq!(of(Row::new(), Vec::new()), [""; 0], "an older daemon");
        let bad = Row::new()
            .with("StoreState", "the disk is full")
            .with("ListErrors", 1_u64)
            .with("UnreachableRules", 2_u64)
            .with("Paused", true)
            .with(
                "DnsLists",
                words(&[
                    ("a.example", DNS_LIST_SILENT),
                    ("b.example", DNS_LIST_ERROR),
                ]),
            )
            .with("SpamdState", SPAMD_AWAY)
            .with("SharedState", "the server refuses the password")
            .with(
                "SharedHosts",
                words(&[("mx1", SHARED_HOST_BEHIND), ("mx2", SHARED_HOST_AWAY)]),
            );
        let want = [
            "The database is unavailable: the disk is full.",
            "The list files have 1 error; see `journalctl -u stargrey`.",
            "The access lists have 2 entries that can never match; see `journalctl -u stargrey`.",
            "Greylisting is paused: all mail passes.",
            "The DNS list a.example does not reply.",
            "The DNS list b.example replies with an error code.",
            "spamd does not answer: messages have no score.",
            "Records are not shared with the other hosts: the server refuses the password.",
            "The host mx1 has not caught up with what administrators did.",
            "The host mx2 is away.",
        ];
        assert_eq!(of(bad, Vec::new()), want);
    }

    #[test]
    fn entries_that_match_nothing_for_long_are_named_and_those_of_the_package_are_not() {
        let (old, new) = (NOW - 91 * DAY, NOW - 89 * DAY);
        let local = "/etc/stargrey/whitelist_clients.local";
        let entries = || {
            vec![
                entry("old.example", SOURCE_BUS, Some(old), 0),
                entry("hit.example", SOURCE_BUS, Some(old), new),
                entry("new.example", SOURCE_BUS, Some(new), 0),
                entry("a.example", &format!("{local}:1"), None, new),
                entry("b.example", &format!("{local}:2"), None, 0),
                entry("c.example", &format!("{local}:3"), None, old),
                entry("d.example", "/etc/postfix/access:7", None, 0),
                entry("e.example", "/etc/stargrey/whitelist_clients:1", None, 0),
            ]
        };
        let runtime = "The entry old.example of the client-whitelist was not hit for 90 days.";
        let packaged = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lists"));
        let packaged = packaged.unwrap().map(|file| file.unwrap().file_name());
        let mut packaged: Vec<_> = packaged.collect();
        packaged.sort();
        assert_eq!(packaged, PACKAGED);
        // What was hit before the start is not known.
        let started = |at: u64| of(Row::new().with("StartedAt", at), entries());
        assert_eq!(started(new), [runtime]);
        let want = [
            runtime,
            "1 of 1 entry in /etc/postfix/access was not hit for 90 days, the first of them d.example; see \
             `stargreyctl list`.",
            "2 of 3 entries in /etc/stargrey/whitelist_clients.local were not hit for 90 days, the first of them \
             b.example; see `stargreyctl list`.",
        ];
        assert_eq!(started(old), want);
    }
}

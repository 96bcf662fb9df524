//! Entries over the bus: whoever was told that one is there, or gone, finds it so after a kill.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stargrey::api::{Dict, Error, FromRow, ManagerProxy};
use tokio::runtime::Runtime;
use zbus::Connection;

use super::super::bus::harness::Bus;
use crate::postgrey::random::Random;

/// Names that entries are made of.
const NAMES: u64 = 40;

/// How long is waited for a daemon that is not on the bus yet.
const PAUSE: Duration = Duration::from_millis(2);

const LIST: &str = "client-whitelist";

/// An administrator who adds and removes entries, and what is owed.
pub(super) struct Administrator {
    runtime: Runtime,
    connection: Connection,
    random: Random,
    /// What is there as far as was answered.
    there: BTreeSet<String>,
    /// What may be there or not: its change was never answered.
    doubtful: Option<String>,
}

impl Administrator {
    /// Somebody on this bus.
    pub(super) fn new(bus: &Bus, random: Random) -> Self {
        let (runtime, connection) = bus.connect();
        Self {
            runtime,
            connection,
            random,
            there: BTreeSet::new(),
            doubtful: None,
        }
    }

    /// Waits for the daemon, looks at what there is, and changes it until the daemon is gone or `is_over`.
    /// Counts the entries that were found as promised.
    pub(super) fn work(&mut self, is_over: &AtomicBool, kept: &AtomicU64) {
        let Self {
            runtime,
            connection,
            random,
            there,
            doubtful,
        } = self;
        runtime.block_on(async {
            let Ok(manager) = ManagerProxy::new(connection).await else {
                return;
            };
            let found = loop {
                match entries(&manager).await {
                    Ok(found) => break found,
                    Err(_) if is_over.load(Ordering::Relaxed) => return,
                    Err(_) => std::thread::park_timeout(PAUSE),
                }
            };
            check(&found, there, doubtful.take().as_ref());
            kept.fetch_add(found.len() as u64, Ordering::Relaxed);
            *there = found;
            while !is_over.load(Ordering::Relaxed) {
                let name = format!("mx{}.example.org", random.below(NAMES));
                let done = if there.contains(&name) {
                    manager.remove_entry(LIST, &name).await
                } else {
                    manager.add_entry(LIST, &name, "", 0).await
                };
                if done.is_err() {
                    *doubtful = Some(name);
                    return;
                }
                if !there.remove(&name) {
                    there.insert(name);
                }
            }
        });
    }
}

/// All entries there are.
async fn entries(manager: &ManagerProxy<'_>) -> Result<BTreeSet<String>, Error> {
    let (rows, _) = manager.list_entries(&Dict::new(), &[], 1000).await?;
    let patterns = rows.iter().filter_map(|row| row.text("pattern"));
    Ok(patterns.map(str::to_owned).collect())
}

/// Compares what there is with what was promised.
fn check(found: &BTreeSet<String>, there: &BTreeSet<String>, doubtful: Option<&String>) {
    for name in found.symmetric_difference(there) {
        assert_eq!(
            Some(name),
            doubtful,
            "a promised change is lost; there are {found:?}"
        );
    }
}

#[test]
#[should_panic(expected = "a promised change is lost")]
fn an_entry_that_is_lost_is_found_out() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let doubtful = "c".to_owned();
    check(&set(&["a", "b", "c"]), &set(&["a", "b"]), Some(&doubtful));
    check(&set(&["a"]), &set(&["a", "b"]), Some(&doubtful));
}

//! Sends D-Bus signals: `EntriesChanged`, and `PropertiesChanged` of `StoreState`, `ListErrors`, `SharedState`,
//! `Paused` and `PausedUntil`.
//!
//! Changes made over D-Bus are signalled at once. Others (a reload by SIGHUP, an expired entry, a database failure)
//! are signalled within five seconds, when the daemon's periodic tasks have noticed a change.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use zbus::Connection;
use zbus::object_server::InterfaceRef;

use super::monitor::Monitor;
use crate::api::PATH;
use crate::policy::{Entries, ListName, Lists, Pause, Ruleset};
use crate::service::Gate;

/// The state that was signalled last, and the sources of changes.
pub(super) struct BusSignals {
    gate: Gate,
    rules: Arc<Ruleset>,
    failure: Option<String>,
    list_errors: usize,
    paused: Option<Pause>,
    shared: Option<String>,
    changes: mpsc::Receiver<ListName>,
    /// When to look for other changes.
    look: Arc<Notify>,
}

impl BusSignals {
    /// Begins with the current state; `changes` receives the lists that are changed over D-Bus, `look` says when to
    /// look for other changes.
    pub(super) fn new(gate: Gate, changes: mpsc::Receiver<ListName>, look: Arc<Notify>) -> Self {
        Self {
            rules: gate.rules(),
            failure: gate.status().failure,
            list_errors: gate.list_errors(),
            paused: gate.paused(),
            shared: shared_failure(&gate),
            gate,
            changes,
            look,
        }
    }

    /// Signals changes until the connection fails.
    pub(super) async fn send_all(&mut self, connection: &Connection) {
        let server = connection.object_server();
        let Ok(monitor) = server.interface::<_, Monitor>(PATH).await else {
            return;
        };
        loop {
            let changed = tokio::select! {
                list = self.changes.recv() => list,
                () = self.look.notified() => None,
            };
            if let Err(error) = self.send_changed(&monitor, changed).await {
                log::debug!("cannot send D-Bus signals: {error}");
                return;
            }
        }
    }

    /// Signals what has changed since the last call, and `changed` in any case.
    async fn send_changed(
        &mut self,
        monitor: &InterfaceRef<Monitor>,
        changed: Option<ListName>,
    ) -> zbus::Result<()> {
        let rules = self.gate.rules();
        let emitter = monitor.signal_emitter();
        for list in ListName::ALL {
            if changed == Some(list) || differ(&self.rules, &rules, list) {
                Monitor::entries_changed(emitter, list.word()).await?;
            }
        }
        self.rules = rules;
        let list_errors = self.gate.list_errors();
        if self.list_errors != list_errors {
            monitor.get().await.list_errors_changed(emitter).await?;
            self.list_errors = list_errors;
        }
        let failure = self.gate.status().failure;
        if self.failure != failure {
            monitor.get().await.store_state_changed(emitter).await?;
            self.failure = failure;
        }
        let shared = shared_failure(&self.gate);
        if self.shared != shared {
            monitor.get().await.shared_state_changed(emitter).await?;
            self.shared = shared;
        }
        let paused = self.gate.paused();
        if self.paused != paused {
            let monitor = monitor.get().await;
            monitor.paused_changed(emitter).await?;
            monitor.paused_until_changed(emitter).await?;
            self.paused = paused;
        }
        Ok(())
    }
}

/// Why records are not shared with the other hosts, if they ought to be.
fn shared_failure(gate: &Gate) -> Option<String> {
    gate.shared_status().and_then(|shared| shared.failure)
}

/// Whether the entries of a list differ.
fn differ(old: &Ruleset, new: &Ruleset, list: ListName) -> bool {
    let pairs: [(&Arc<Lists>, &Arc<Lists>); 2] =
        [(&old.lists, &new.lists), (&old.added, &new.added)];
    pairs
        .into_iter()
        .any(|(old, new)| !Arc::ptr_eq(old, new) && !are_same(old.entries(list), new.entries(list)))
}

/// Whether the entries and their order are the same.
fn are_same(old: &Entries, new: &Entries) -> bool {
    let mut pairs = old.iter().zip(new.iter());
    old.len() == new.len() && pairs.all(|(a, b)| a.text == b.text && a.source == b.source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::pattern::AddressPattern;
    use crate::policy::{AddressList, Entry};

    fn senders(texts: &[&str]) -> AddressList {
        let entry = |text: &&str| {
            let pattern = AddressPattern::parse(text).unwrap();
            (pattern, Entry::added(text, &std::sync::Arc::default()))
        };
        AddressList::new(texts.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn only_other_entries_make_a_list_another() {
        let old = senders(&["a@b", "c@d"]);
        let cases: [(&str, &[&str], bool); 4] = [
            ("the same", &["a@b", "c@d"], true),
            ("one more", &["a@b", "c@d", "e@f"], false),
            ("one less", &["a@b"], false),
            ("another", &["a@b", "x@d"], false),
        ];
        for (name, texts, want) in cases {
            let new = senders(texts);
            assert_eq!(are_same(old.entries(), new.entries()), want, "{name}");
        }
    }
}

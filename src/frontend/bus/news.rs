//! What listeners on the bus are told: which lists have changed, how the store is, and
//! whether greylisting is paused.
//!
//! A change over the bus is told at once. Whatever else changes (a reload by signal, an entry whose time is over,
//! trouble with the database) is looked for when the daemon has seen that something has changed, within five seconds.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use zbus::Connection;
use zbus::object_server::InterfaceRef;

use super::monitor::Monitor;
use crate::api::PATH;
use crate::policy::{Entries, ListName, Lists, Pause, Ruleset};
use crate::service::Gate;

/// What was told, and where news come from.
pub(super) struct News {
    gate: Gate,
    rules: Arc<Ruleset>,
    trouble: Option<String>,
    list_errors: usize,
    paused: Option<Pause>,
    changes: mpsc::Receiver<ListName>,
    /// When to look for other changes.
    look: Arc<Notify>,
}

impl News {
    /// Begins with how things are now; `changes` are the lists that were changed over the bus, `look` is when to
    /// look for others.
    pub(super) fn new(gate: Gate, changes: mpsc::Receiver<ListName>, look: Arc<Notify>) -> Self {
        Self {
            rules: gate.rules(),
            trouble: gate.status().trouble,
            list_errors: gate.list_errors(),
            paused: gate.paused(),
            gate,
            changes,
            look,
        }
    }

    /// Tells what changes, until the connection does not take it any more.
    pub(super) async fn tell(&mut self, connection: &Connection) {
        let server = connection.object_server();
        let Ok(monitor) = server.interface::<_, Monitor>(PATH).await else {
            return;
        };
        loop {
            let changed = tokio::select! {
                list = self.changes.recv() => list,
                () = self.look.notified() => None,
            };
            if let Err(error) = self.tell_once(&monitor, changed).await {
                log::debug!("nothing can be told over D-Bus: {error}");
                return;
            }
        }
    }

    /// Tells what is new; `changed` is a list that has changed for sure.
    async fn tell_once(
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
        let trouble = self.gate.status().trouble;
        if self.trouble != trouble {
            monitor.get().await.store_state_changed(emitter).await?;
            self.trouble = trouble;
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

/// Whether a list has other entries.
fn differ(old: &Ruleset, new: &Ruleset, list: ListName) -> bool {
    let pairs: [(&Arc<Lists>, &Arc<Lists>); 2] =
        [(&old.lists, &new.lists), (&old.added, &new.added)];
    pairs
        .into_iter()
        .any(|(old, new)| !Arc::ptr_eq(old, new) && !are_same(old.entries(list), new.entries(list)))
}

/// Whether the entries are the same, in the same places.
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

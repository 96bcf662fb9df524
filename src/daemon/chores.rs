//! Periodic tasks of the daemon, on a separate thread.
//!
//! Updates the status, sends `WATCHDOG=1`, closes connections that have exceeded their time, and has the bus look for
//! changes. One timer serves all of them, so that an idle machine sleeps: a timer of a runtime would wake its thread up
//! to three times before it expires.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::Notify;

use super::notify::{Notifier, status_line};
use crate::frontend::{Reactor, Registry};
use crate::policy::{Pause, Ruleset};
use crate::service::Gate;
use crate::service::clock::monotonic;

/// Interval of the tasks; shorter if the watchdog requires it.
const INTERVAL: Duration = Duration::from_secs(5);

/// Rounds within the watchdog's timeout. A disk that begins to hang is recognized at the second check, two rounds after
/// the first.
const ROUNDS_PER_WATCHDOG: u32 = 6;

/// The periodic tasks.
pub(super) struct Chores {
    pub(super) gate: Gate,
    pub(super) notifier: Notifier,
    pub(super) registry: Arc<Registry>,
    /// The threads that must respond: the reactor threads and the main thread.
    pub(super) reactors: Vec<Reactor>,
    /// Has the bus look for changes.
    pub(super) look: Arc<Notify>,
}

/// The state that is signalled on the bus.
struct SignalledState {
    rules: Arc<Ruleset>,
    failure: Option<String>,
    list_errors: usize,
    unreachable_rules: usize,
    paused: Option<Pause>,
    shared: Option<String>,
}

impl PartialEq for SignalledState {
    /// Rules count as different if they have been replaced, even by equal ones: the bus compares their entries.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rules, &other.rules)
            && self.failure == other.failure
            && self.list_errors == other.list_errors
            && self.unreachable_rules == other.unreachable_rules
            && self.paused == other.paused
            && self.shared == other.shared
    }
}

impl Chores {
    /// Starts the thread. It holds the gate until it ends; dropping the returned sender ends it.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(self) -> io::Result<SyncSender<()>> {
        let (end, is_ended) = sync_channel(0);
        let thread = thread::Builder::new().name("chores".to_owned());
        thread.spawn(move || self.run(&is_ended))?;
        Ok(end)
    }

    fn run(self, is_ended: &Receiver<()>) {
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| timeout / ROUNDS_PER_WATCHDOG);
        let round = watchdog.map_or(INTERVAL, |pause| pause.min(INTERVAL));
        let mut sent = String::new();
        let mut turns = None;
        let mut seen = None;
        loop {
            let status = self.gate.status();
            let text = status_line(&status);
            if text != sent && self.notifier.status(&text) {
                sent = text;
            }
            if watchdog.is_some() && self.makes_progress(&mut turns, round) {
                self.notifier.watchdog();
            }
            self.registry.close_expired();
            let now = SignalledState {
                rules: self.gate.rules(),
                failure: status.failure,
                list_errors: status.list_errors,
                unreachable_rules: status.unreachable_rules,
                paused: status.paused,
                shared: status.shared.and_then(|shared| shared.failure),
            };
            if seen.as_ref() != Some(&now) {
                self.look.notify_one();
                seen = Some(now);
            }
            // Nothing is ever sent.
            if is_ended.recv_timeout(round) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Whether the daemon makes progress: the reactor threads and the main thread respond, and the writer thread has
    /// advanced since the last call (`turns`) or is idle. If the writer thread is blocked inside the store, that counts as
    /// progress too, and the other threads may be blocked with it: a slow disk is not a reason for a restart.
    fn makes_progress(&self, turns: &mut Option<u64>, limit: Duration) -> bool {
        let begun = monotonic();
        let left = || limit.saturating_sub(monotonic().saturating_sub(begun));
        let mut reactors = self.reactors.iter();
        let all_respond = reactors.all(|reactor| reactor.responds_within(left()));
        let now = self.gate.progress();
        let has_moved = turns.replace(now.turns) != Some(now.turns);
        if has_moved || now.is_waiting {
            all_respond
        } else {
            now.is_in_store
        }
    }
}

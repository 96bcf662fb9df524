//! What the daemon does every few seconds, on a thread of its own.
//!
//! The status is brought up to date, the watchdog is fed, connections that have taken too long are told to go, and the
//! bus is told to look for changes. One timer serves all of them, so that an idle machine sleeps: a timer of a runtime would wake
//! its thread up to three times before it runs out.

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

/// How often everything is done, or more often where the watchdog wants it.
const ROUND: Duration = Duration::from_secs(5);

/// A disk that begins to hang is known for what it is at the second look, two rounds after the first.
const ROUNDS_OF_WATCHDOG: u32 = 6;

/// What is looked after.
pub(super) struct Chores {
    pub(super) gate: Gate,
    pub(super) notifier: Notifier,
    pub(super) registry: Arc<Registry>,
    /// The threads that have to respond: those that answer and the main one.
    pub(super) reactors: Vec<Reactor>,
    /// Has the bus look for changes.
    pub(super) look: Arc<Notify>,
}

/// What listeners on the bus are told of.
struct Seen {
    rules: Arc<Ruleset>,
    trouble: Option<String>,
    list_errors: usize,
    paused: Option<Pause>,
}

impl PartialEq for Seen {
    /// Rules that are replaced by the same count as others: the bus compares their entries.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rules, &other.rules)
            && self.trouble == other.trouble
            && self.list_errors == other.list_errors
            && self.paused == other.paused
    }
}

impl Chores {
    /// Starts the thread. It ends when what is returned is dropped; until it has, it holds the gate.
    ///
    /// # Errors
    ///
    /// When a thread cannot be had.
    pub(super) fn start(self) -> io::Result<SyncSender<()>> {
        let (end, is_ended) = sync_channel(0);
        let thread = thread::Builder::new().name("chores".to_owned());
        thread.spawn(move || self.run(&is_ended))?;
        Ok(end)
    }

    fn run(self, is_ended: &Receiver<()>) {
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| timeout / ROUNDS_OF_WATCHDOG);
        let round = watchdog.map_or(ROUND, |pause| pause.min(ROUND));
        let mut told = String::new();
        let mut turns = None;
        let mut seen = None;
        loop {
            let status = self.gate.status();
            let text = status_line(&status);
            if text != told && self.notifier.status(&text) {
                told = text;
            }
            if watchdog.is_some() && self.works(&mut turns, round) {
                self.notifier.watchdog();
            }
            self.registry.look_over();
            let now = Seen {
                rules: self.gate.rules(),
                trouble: status.trouble,
                list_errors: status.list_errors,
                paused: status.paused,
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

    /// Whether the daemon works: the threads that answer and the main one respond, and the one that writes has moved
    /// since the last time (`turns`), or has nothing to do; or that one has waited for the disk ever since, which is no
    /// reason to be killed and may hold the others too.
    fn works(&self, turns: &mut Option<u64>, patience: Duration) -> bool {
        let begun = monotonic();
        let left = || patience.saturating_sub(monotonic().saturating_sub(begun));
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

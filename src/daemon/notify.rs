//! What the service manager is told.
//!
//! Telling is a send that blocks while the manager does not listen, so it is done by a thread of its own:
//! whoever has something to tell puts it into a short queue and goes on. When the queue is full the news is
//! dropped; a status is told again with the next change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::policy::Expiry;
use crate::service::clock::monotonic;
use crate::service::{Gate, Status};
use crate::types::counted;

/// News that may wait for the manager.
const QUEUE: usize = 16;

/// Something to tell.
#[derive(Debug)]
enum News {
    Ready,
    Reloading,
    Stopping(String),
    Status(String),
    Watchdog,
}

/// How long the end of the daemon waits for the last news to be told.
const LAST_NEWS: Duration = Duration::from_secs(2);

/// Tells the service manager; without one nothing is told.
#[derive(Debug, Clone)]
pub(super) struct Notifier {
    queue: Option<SyncSender<News>>,
    /// There was no room to say that the daemon is ready; it is said after what waits.
    owes_ready: Arc<AtomicBool>,
}

/// Ends when everything was told.
#[derive(Debug)]
pub(super) struct Told(Receiver<()>);

impl Told {
    /// Waits for that, but not for ever. Every [`Notifier`] must be gone.
    pub(super) fn wait(self) {
        // Nothing is ever sent: the other end goes away.
        if self.0.recv_timeout(LAST_NEWS) == Err(RecvTimeoutError::Timeout) {
            log::warn!("timeout while sending the last status to the service manager; ignoring");
        }
    }
}

impl Notifier {
    /// Begins to tell, if there is somebody to be told.
    pub(super) fn start() -> (Self, Told) {
        let (alive, told) = sync_channel(1);
        let owes_ready = Arc::new(AtomicBool::new(false));
        let mut queue = None;
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            let (sender, receiver) = sync_channel(QUEUE);
            let owed = Arc::clone(&owes_ready);
            let tell = move || {
                tell_all(&receiver, &owed);
                drop(alive);
            };
            let thread = thread::Builder::new().name("notify".to_owned());
            match thread.spawn(tell) {
                Ok(_) => queue = Some(sender),
                Err(error) => {
                    log::warn!("the service manager cannot be told anything: {error}, ignoring");
                }
            }
        }
        (Self { queue, owes_ready }, Told(told))
    }

    /// Ready to be asked.
    pub(super) fn ready(&self) {
        // Owed before it is tried, so that the thread cannot miss it between the two.
        self.owes_ready.store(true, Ordering::Relaxed);
        if self.tell(News::Ready) {
            self.owes_ready.store(false, Ordering::Relaxed);
        }
    }

    /// Reading the lists again; followed by [`Self::ready`] in any case.
    pub(super) fn reloading(&self) {
        self.tell(News::Reloading);
    }

    /// About to end, with the last figures.
    pub(super) fn stopping(&self, gate: &Gate) {
        self.tell(News::Stopping(status_line(&gate.status())));
    }

    /// Tells how things are; says whether there was room for that.
    pub(super) fn status(&self, text: &str) -> bool {
        self.tell(News::Status(text.to_owned()))
    }

    /// Feeds the watchdog.
    pub(super) fn watchdog(&self) {
        self.tell(News::Watchdog);
    }

    /// Puts news into the queue; says whether there was room.
    fn tell(&self, news: News) -> bool {
        self.queue
            .as_ref()
            .is_none_or(|sender| sender.try_send(news).is_ok())
    }
}

/// The thread: tells what comes until nobody can send any more.
fn tell_all(receiver: &Receiver<News>, owes_ready: &AtomicBool) {
    while let Ok(news) = receiver.recv() {
        send(&news);
        for news in receiver.try_iter() {
            send(&news);
        }
        if owes_ready.swap(false, Ordering::Relaxed) {
            send(&News::Ready);
        }
    }
}

/// Sends one message, when the manager takes it.
fn send(news: &News) {
    let sent = match news {
        News::Ready => sd_notify::notify(&[NotifyState::Ready]),
        // The crate's own look at the clock overflows 36 minutes after boot where the seconds have 32 bits.
        News::Reloading => {
            let now = i128::try_from(monotonic().as_micros()).unwrap_or(i128::MAX);
            sd_notify::notify(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)])
        }
        News::Stopping(text) => {
            sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(text)])
        }
        News::Status(text) => sd_notify::notify(&[NotifyState::Status(text)]),
        News::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
    };
    if let Err(error) = sent {
        log::debug!("the service manager cannot be told: {error}, ignoring");
    }
}

/// One line that says how things are, the bad news first.
pub(super) fn status_line(status: &Status) -> String {
    let mut parts = Vec::new();
    if let Some(trouble) = &status.trouble {
        parts.push(format!("DEGRADED: {trouble}"));
    }
    if status.list_errors > 0 {
        parts.push(format!(
            "DEGRADED: {} in the lists, see the log",
            counted(status.list_errors as u64, "error", "errors")
        ));
    }
    if let Some(pause) = status.paused {
        let until = pause.until.and_then(|end| {
            let seconds = i64::try_from(end.seconds()).ok()?;
            jiff::Timestamp::from_second(seconds).ok()
        });
        parts.push(until.map_or_else(
            || "PAUSED: everything passes".to_owned(),
            |until| format!("PAUSED until {until}: everything passes"),
        ));
    }
    if status.expiry == Expiry::Suspended {
        parts.push("the clock has jumped, nothing expires".to_owned());
    }
    let totals = status.counts.totals();
    let replies = match totals.table_replies {
        0 => String::new(),
        count => format!(", {} from tables", counted(count, "reply", "replies")),
    };
    let tarpitted = match totals.tarpitted {
        0 => String::new(),
        count => format!(", {count} tarpitted ({} sleeping)", status.sleeping),
    };
    parts.push(format!(
        "{}: {} greylisted{tarpitted}{replies}, {} passed",
        counted(totals.requests, "request", "requests"),
        totals.greylisted,
        totals.passed()
    ));
    if let Some(figures) = status.figures {
        parts.push(format!(
            "{} waiting, {} passed, {} auto-whitelisted",
            counted(figures.waiting, "triplet", "triplets"),
            figures.passed,
            counted(status.whitelisted, "client", "clients")
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Pause;
    use crate::store::Figures;
    use crate::types::Timestamp;

    #[test]
    fn the_status_says_first_what_is_wrong() {
        let well = Status {
            counts: crate::service::Counts::default(),
            figures: Some(Figures {
                waiting: 4,
                passed: 2,
                clients: 3,
                sleeps: 0,
            }),
            whitelisted: 1,
            trouble: None,
            expiry: Expiry::Applies,
            sleeping: 0,
            list_errors: 0,
            paused: None,
        };
        assert_eq!(
            status_line(&well),
            "0 requests: 0 greylisted, 0 passed; 4 triplets waiting, 2 passed, 1 client auto-whitelisted"
        );
        let ill = Status {
            trouble: Some("disk full".to_owned()),
            expiry: Expiry::Suspended,
            ..well
        };
        assert!(status_line(&ill).starts_with("DEGRADED: disk full; the clock has jumped"));
        let with_errors = Status {
            list_errors: 2,
            ..ill
        };
        let want = "DEGRADED: disk full; DEGRADED: 2 errors in the lists, see the log;";
        assert!(status_line(&with_errors).starts_with(want));
        let until = |until: Option<u64>| Status {
            paused: Some(Pause {
                until: until.map(Timestamp::from_seconds),
            }),
            ..with_errors.clone()
        };
        let cases = [
            (None, "; PAUSED: everything passes; "),
            (
                Some(1_800_000_000),
                "; PAUSED until 2027-01-15T08:00:00Z: everything passes; ",
            ),
        ];
        for (end, want) in cases {
            let line = status_line(&until(end));
            assert!(line.contains(want), "{line}");
        }
    }
}

//! Notifications to the service manager, as in `sd_notify(3)`.
//!
//! Sending blocks while the manager does not read, so a separate thread sends. The other threads put notifications
//! into a short queue. If it is full the notification is dropped; a status is sent again with the next change.

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

/// Notifications that may be queued.
const MAX_QUEUED: usize = 16;

/// A notification.
#[derive(Debug)]
enum Notification {
    Ready,
    Reloading,
    Stopping(String),
    Status(String),
    Watchdog,
}

/// How long shutdown waits for the last notification to be sent.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends notifications to the service manager; does nothing without one.
#[derive(Debug, Clone)]
pub(super) struct Notifier {
    queue: Option<SyncSender<Notification>>,
    /// The queue was full for [`Notification::Ready`]; the thread sends it after what is queued.
    ready_pending: Arc<AtomicBool>,
}

/// The thread that sends; it ends when everything has been sent.
#[derive(Debug)]
pub(super) struct NotifierThread(Receiver<()>);

impl NotifierThread {
    /// Waits for its end, at most [`SHUTDOWN_TIMEOUT`]. Every [`Notifier`] must have been dropped.
    pub(super) fn wait(self) {
        // Nothing is ever sent: the thread drops the sender.
        if self.0.recv_timeout(SHUTDOWN_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            log::warn!("timeout while sending the last status to the service manager; ignoring");
        }
    }
}

impl Notifier {
    /// Starts the thread, if there is a service manager.
    pub(super) fn start() -> (Self, NotifierThread) {
        let (alive, ended) = sync_channel(1);
        let ready_pending = Arc::new(AtomicBool::new(false));
        let mut queue = None;
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            let (sender, receiver) = sync_channel(MAX_QUEUED);
            let pending = Arc::clone(&ready_pending);
            let send = move || {
                send_all(&receiver, &pending);
                drop(alive);
            };
            let thread = thread::Builder::new().name("notify".to_owned());
            match thread.spawn(send) {
                Ok(_) => queue = Some(sender),
                Err(error) => {
                    log::warn!("cannot notify the service manager: {error}; ignoring");
                }
            }
        }
        (
            Self {
                queue,
                ready_pending,
            },
            NotifierThread(ended),
        )
    }

    /// Ready for requests.
    pub(super) fn ready(&self) {
        // Set first, so that the thread cannot miss it.
        self.ready_pending.store(true, Ordering::Relaxed);
        if self.enqueue(Notification::Ready) {
            self.ready_pending.store(false, Ordering::Relaxed);
        }
    }

    /// Reloading the lists; [`Self::ready`] always follows.
    pub(super) fn reloading(&self) {
        self.enqueue(Notification::Reloading);
    }

    /// Shutting down, with the last figures.
    pub(super) fn stopping(&self, gate: &Gate) {
        self.enqueue(Notification::Stopping(status_line(&gate.status())));
    }

    /// Queues a status; returns whether there was room.
    pub(super) fn status(&self, text: &str) -> bool {
        self.enqueue(Notification::Status(text.to_owned()))
    }

    /// Queues `WATCHDOG=1`.
    pub(super) fn watchdog(&self) {
        self.enqueue(Notification::Watchdog);
    }

    /// Queues a notification; returns whether there was room.
    fn enqueue(&self, notification: Notification) -> bool {
        self.queue
            .as_ref()
            .is_none_or(|sender| sender.try_send(notification).is_ok())
    }
}

/// The thread: sends what is queued until every [`Notifier`] has been dropped.
fn send_all(receiver: &Receiver<Notification>, ready_pending: &AtomicBool) {
    while let Ok(notification) = receiver.recv() {
        send(&notification);
        for notification in receiver.try_iter() {
            send(&notification);
        }
        if ready_pending.swap(false, Ordering::Relaxed) {
            send(&Notification::Ready);
        }
    }
}

/// Sends one notification.
fn send(notification: &Notification) {
    let sent = match notification {
        Notification::Ready => sd_notify::notify(&[NotifyState::Ready]),
        // The crate's own look at the clock overflows 36 minutes after boot where the seconds have 32 bits.
        Notification::Reloading => {
            let now = i128::try_from(monotonic().as_micros()).unwrap_or(i128::MAX);
            sd_notify::notify(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)])
        }
        Notification::Stopping(text) => {
            sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(text)])
        }
        Notification::Status(text) => sd_notify::notify(&[NotifyState::Status(text)]),
        Notification::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
    };
    if let Err(error) = sent {
        log::debug!("cannot notify the service manager: {error}; ignoring");
    }
}

/// The status in one line, failures first.
pub(super) fn status_line(status: &Status) -> String {
    let mut parts = Vec::new();
    if let Some(failure) = &status.failure {
        parts.push(format!("DEGRADED: {failure}"));
    }
    if status.list_errors > 0 {
        parts.push(format!(
            "DEGRADED: {} in the lists, see the log",
            counted(status.list_errors as u64, "error", "errors")
        ));
    }
    if status.unreachable_rules > 0 {
        parts.push(format!(
            "DEGRADED: {} of the access lists can never match, see the log",
            counted(status.unreachable_rules as u64, "entry", "entries")
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
    if let Some(failure) = status
        .shared
        .as_ref()
        .and_then(|shared| shared.failure.as_ref())
    {
        parts.push(format!("DEGRADED: records are not shared: {failure}"));
    }
    if status.expiry == Expiry::Suspended {
        parts.push("the clock has jumped, expiry suspended".to_owned());
    }
    let totals = status.counts.totals();
    let refused = match totals.refused {
        0 => String::new(),
        count => format!(", {count} refused"),
    };
    let tarpitted = match totals.tarpitted {
        0 => String::new(),
        count => format!(", {count} tarpitted ({} sleeping)", status.sleeping),
    };
    parts.push(format!(
        "{}: {} greylisted{tarpitted}{refused}, {} passed",
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
    use crate::store::RecordCounts;
    use crate::types::Timestamp;

    #[test]
    fn the_status_says_first_what_is_wrong() {
        let well = Status {
            counts: crate::service::Counts::default(),
            figures: Some(RecordCounts {
                waiting: 4,
                passed: 2,
                clients: 3,
                sleeps: 0,
            }),
            whitelisted: 1,
            failure: None,
            expiry: Expiry::Applies,
            sleeping: 0,
            list_errors: 0,
            unreachable_rules: 0,
            paused: None,
            shared: None,
        };
        assert_eq!(
            status_line(&well),
            "0 requests: 0 greylisted, 0 passed; 4 triplets waiting, 2 passed, 1 client auto-whitelisted"
        );
        let ill = Status {
            failure: Some("disk full".to_owned()),
            expiry: Expiry::Suspended,
            ..well
        };
        assert!(status_line(&ill).starts_with("DEGRADED: disk full; the clock has jumped"));
        let with_errors = Status {
            list_errors: 2,
            unreachable_rules: 1,
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

//! What the service manager is told.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::policy::Expiry;
use crate::service::{Gate, Status};

/// How often the status is brought up to date.
const STATUS: Duration = Duration::from_secs(2);

/// Ready to be asked.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// Reading the lists again; followed by [`ready`] in any case.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => log::debug!("{error}, ignoring"),
    }
}

/// About to end, with the last figures.
pub(super) fn stopping(gate: &Gate, skipped: usize) {
    let text = status_line(&gate.status(), skipped);
    send(&[NotifyState::Stopping, NotifyState::Status(&text)]);
}

/// Tells how things are, for ever, whenever that has changed. `skipped` is how many complaints
/// there were about the lists in force.
pub(super) async fn tell_status(gate: Gate, skipped: impl Fn() -> usize) {
    let mut told = String::new();
    loop {
        let text = status_line(&gate.status(), skipped());
        if text != told {
            send(&[NotifyState::Status(&text)]);
            told = text;
        }
        tokio::time::sleep(STATUS).await;
    }
}

/// Feeds the watchdog, for ever, as long as the daemon works: the runtime runs this, and the thread that
/// writes has moved since the last time, or waits for the disk, which is no reason to be killed.
pub(super) async fn feed_watchdog(gate: Gate) {
    let Some(timeout) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let pause = timeout.checked_div(3).unwrap_or(timeout);
    let mut last = None;
    loop {
        let pulse = gate.pulse();
        if pulse.is_none() || pulse != last {
            send(&[NotifyState::Watchdog]);
        }
        last = pulse;
        tokio::time::sleep(pause).await;
    }
}

/// One line that says how things are, the bad news first.
fn status_line(status: &Status, skipped: usize) -> String {
    let mut parts = Vec::new();
    if let Some(trouble) = &status.trouble {
        parts.push(format!("DEGRADED: {trouble}"));
    }
    if skipped > 0 {
        parts.push(format!(
            "DEGRADED: {} about the lists, see the log",
            counted(skipped as u64, "complaint")
        ));
    }
    if status.expiry == Expiry::Suspended {
        parts.push("the clock has jumped, nothing expires".to_owned());
    }
    let (total, deferred) = (status.counts.total(), status.counts.deferred);
    let passed = total.saturating_sub(deferred);
    parts.push(format!(
        "{}: {deferred} greylisted, {passed} passed",
        counted(total, "request")
    ));
    if let Some(figures) = status.figures {
        parts.push(format!(
            "{} waiting, {} passed, {} auto-whitelisted",
            counted(figures.waiting, "triplet"),
            figures.passed,
            counted(status.whitelisted, "client")
        ));
    }
    parts.join("; ")
}

/// A number of things.
fn counted(count: u64, thing: &str) -> String {
    if count == 1 {
        format!("1 {thing}")
    } else {
        format!("{count} {thing}s")
    }
}

/// Without a service manager this does nothing.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("the service manager cannot be told: {error}, ignoring");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Figures;

    #[test]
    fn the_status_says_first_what_is_wrong() {
        let well = Status {
            counts: crate::service::Counts::default(),
            figures: Some(Figures {
                waiting: 4,
                passed: 2,
                clients: 3,
            }),
            whitelisted: 1,
            trouble: None,
            expiry: Expiry::Applies,
        };
        assert_eq!(
            status_line(&well, 0),
            "0 requests: 0 greylisted, 0 passed; 4 triplets waiting, 2 passed, 1 client auto-whitelisted"
        );
        let ill = Status {
            trouble: Some("disk full".to_owned()),
            expiry: Expiry::Suspended,
            ..well
        };
        assert!(status_line(&ill, 0).starts_with("DEGRADED: disk full; the clock has jumped"));
        assert!(status_line(&ill, 2).contains("DEGRADED: 2 complaints"));
    }
}

//! A clock that goes wrong while the host is connected; the time of waiting is the test's.

use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};
use tokio::time::sleep;

use super::double::Double;
use super::host_double::{HostDouble, NOW};
use crate::types::Span;
use crate::types::sync::Mutex;

/// What was logged about clocks.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        // Of no other test, which run at the same time.
        if line.starts_with("this host's clock is 31s apart") {
            self.0.lock().push(line);
        }
    }

    fn flush(&self) {}
}

/// What the host says of its clock: how far it is apart, whether records are asked for, and what is wrong.
fn state(host: &HostDouble) -> (u64, bool, Option<String>) {
    let status = host.shared.status();
    let is_used = host.shared.0.link.connection().is_some();
    (status.apart.seconds(), is_used, status.failure)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_drifts_while_connected_is_noticed_within_a_minute_and_used_again_when_it_is_right()
 {
    assert!(log::set_logger(&LINES).is_ok(), "no other test sets it");
    log::set_max_level(LevelFilter::Warn);
    let server = Double::default();
    server.set_time(NOW);
    let host = HostDouble::with_clock("mx1.example", &server, true);
    let work = tokio::spawn(host.work().run());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(state(&host), (0, true, None));

    // Between the checks nobody asks for the time.
    server.set_time(NOW.before(Span::from_seconds(31)));
    sleep(Duration::from_secs(50)).await;
    assert_eq!(state(&host), (0, true, None));
    assert_eq!(LINES.0.lock().len(), 0);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(state(&host), (31, true, None), "it goes on to share");
    let want = "this host's clock is 31s apart from that of the shared server";
    assert_eq!(*LINES.0.lock(), [want]);
    sleep(Duration::from_secs(180)).await;
    assert_eq!(LINES.0.lock().len(), 1, "that is said once");

    // Half of the delay is the most.
    server.set_time(NOW.after(Span::from_seconds(150)));
    sleep(Duration::from_secs(61)).await;
    assert_eq!(state(&host), (150, true, None));
    server.set_time(NOW.after(Span::from_seconds(151)));
    sleep(Duration::from_secs(61)).await;
    let why =
        "this host's clock is 151s apart from the server's, which is more than half of the delay";
    assert_eq!(state(&host), (151, false, Some(why.to_owned())));

    server.set_time(NOW.after(Span::from_seconds(30)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(state(&host), (30, true, None), "it is used again");
    assert_eq!(LINES.0.lock().len(), 1, "half a minute is no warning");
    drop(host);
    work.abort();
}

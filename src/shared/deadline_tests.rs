//! How long a request waits for the server, and how often it asks; the time is the test's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::DEADLINE;
use super::double::Double;
use super::host_double::{HostDouble, client};
use super::record::Key;
use super::seal::Name;
use super::server::{Connection, Pending, ServerError, Write, Written};
use crate::policy::Case;
use crate::types::Timestamp;

/// A server that replies to each request after some time, or fails then; it counts them.
struct Late {
    after: Duration,
    fails: bool,
    asked: AtomicUsize,
}

impl Connection for Late {
    fn get(&self, names: Vec<Name>) -> Pending<Vec<Option<Vec<u8>>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (after, fails) = (self.after, self.fails);
        Box::pin(async move {
            sleep(after).await;
            if fails {
                return Err(ServerError::Loading);
            }
            Ok(vec![None; names.len()])
        })
    }

    fn write(&self, _: Vec<Write>) -> Pending<Vec<Written>> {
        Box::pin(async { Err(ServerError::ReadOnly) })
    }

    fn time(&self) -> Pending<Timestamp> {
        Box::pin(async { Err(ServerError::ReadOnly) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_asks_once_and_waits_for_the_reply_but_no_longer_than_the_deadline() {
    let just = Duration::from_millis(1);
    let (before, after) = (DEADLINE.saturating_sub(just), DEADLINE + just);
    let hour = Duration::from_secs(3600);
    let cases = [
        ("at once", Duration::ZERO, false, Duration::ZERO, 1),
        ("just in time", before, false, before, 1),
        ("just too late", after, false, DEADLINE, 0),
        ("never", hour, false, DEADLINE, 0),
        ("an error at once", Duration::ZERO, true, Duration::ZERO, 0),
        ("an error in time", before, true, before, 0),
        ("an error too late", hour, true, DEADLINE, 0),
    ];
    for (what, after, fails, want, answered) in cases {
        let host = HostDouble::new("mx1.example", &Double::default());
        let server = Arc::new(Late {
            after,
            fails,
            asked: AtomicUsize::new(0),
        });
        host.shared
            .0
            .link
            .connected(Arc::clone(&server) as Arc<dyn Connection>);
        let (Key::Client(key), _) = client(1) else {
            panic!("a client has a client's key");
        };
        let case = Case::of(Some(key), None);
        // Both of two that are asked about together wait no longer than one.
        for (nth, cases) in [(1, vec![&case]), (2, vec![&case, &case])] {
            let count = u64::try_from(cases.len()).unwrap();
            let is_connected = host.shared.0.link.connection().is_some();
            let (begun, before) = (Instant::now(), host.shared.status());
            assert_eq!(
                host.shared.ask_all(&cases).await,
                vec![None; cases.len()],
                "{what}"
            );
            let waited = begun.elapsed();
            let status = host.shared.status();
            assert_eq!(status.asked - before.asked, count, "{what}");
            if is_connected {
                assert_eq!(waited, want, "{what}");
                assert_eq!(server.asked.load(Ordering::Relaxed), nth, "{what}");
                assert_eq!(
                    status.answered - before.answered,
                    count * answered,
                    "{what}"
                );
            } else {
                assert_eq!(waited, Duration::ZERO, "{what}");
            }
        }
        let asked = server.asked.load(Ordering::Relaxed);
        assert_eq!(
            asked,
            if fails && after < DEADLINE { 1 } else { 2 },
            "{what}"
        );
    }
}

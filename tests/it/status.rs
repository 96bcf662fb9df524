//! What is said about the daemon as a whole: its line for the service manager, the Monitor, and stargreyctl.

use std::fs;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use serde_json::json;
use stargrey::api::{MONITOR, MonitorProxy, NAME, PATH};
use zbus::export::futures_core::Stream;

use crate::bus::OnBus;
use crate::support::{Daemon, rcpt};

/// How long a signal may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A table with a reply, an exemption, and nothing for all others.
const TABLE: &str = "/^bad/ REJECT no\n/^good/ OK\n/^/ GREYLIST\n";

/// A daemon with this table.
fn with_table() -> OnBus {
    let daemon = Daemon::prepare();
    let table = daemon.path().join("table");
    fs::write(&table, TABLE).unwrap();
    let option = format!("--client-access={}", table.display());
    OnBus::start_prepared(daemon, &[&option, "--greylist-result=GREYLIST"])
}

#[test]
fn what_a_table_rejects_has_passed_nowhere() {
    let mut on = with_table();
    for (name, count) in [("bad.example", 5), ("good.example", 1), ("mx.example", 2)] {
        for number in 0..count {
            let sender = format!("s{number}@{name}");
            on.daemon.ask(&rcpt(name, "192.0.2.7", &sender, "c@d"));
        }
    }
    on.daemon
        .wait_for("STATUS=8 requests: 2 greylisted, 5 refused, 1 passed;");
    let (_, status) = on.ctl(&["status"]);
    let line = "Requests: 8 (2 greylisted, 5 refused, 1 passed) since ";
    assert!(status.contains(line), "{status}");
    let (_, statistics) = on.ctl(&["statistics"]);
    let line = "\n2 greylisted, 5 refused, 1 passed.\n";
    assert!(statistics.contains(line), "{statistics}");
    let bus = on.monitor(&["GetStatistics"]).good();
    let want = [
        ("requests", 8),
        ("passed", 1),
        ("greylisted", 2),
        ("tarpitted", 0),
        ("refused", 5),
    ];
    let status = on.ctl_json(&["status"]).1;
    let statistics = on.ctl_json(&["statistics"]).1;
    // The end of a daemon writes what is not in the history yet.
    on.stop_and_start_again();
    let day = on.ctl_json(&["statistics", "--since=1d"]).1;
    let hours = on.ctl_json(&["statistics", "--by=hour"]).1;
    let hours = hours.as_array().unwrap();
    for (key, count) in want {
        assert!(bus.contains(&format!("\"{key}\" t {count}")), "{bus}");
        assert_eq!(status["statistics"][key], json!(count), "{key}");
        assert_eq!(statistics[key], json!(count), "{key}");
        assert_eq!(day[key], json!(count), "{key}");
        let sum: u64 = hours.iter().filter_map(|hour| hour[key].as_u64()).sum();
        assert_eq!(sum, count, "{key}");
    }
    let (_, bars) = on.ctl(&["statistics", "--by=hour"]);
    let legend = "# passed 1  = greylisted 2  - refused 5  total 8\n";
    assert!(bars.ends_with(legend), "{bars}");
}

#[test]
fn an_error_in_a_list_is_seen_by_whoever_looks() {
    let daemon = Daemon::prepare();
    let list = daemon.path().join("whitelist_recipients");
    fs::write(&list, "abuse@\n/(/\n/)/\n").unwrap();
    let mut on = OnBus::start_prepared(daemon, &[]);
    on.daemon
        .wait_for("STATUS=DEGRADED: 2 errors in the lists, see the log;");
    let property = ["get-property", NAME, PATH, MONITOR, "ListErrors"];
    assert_eq!(on.bus.busctl_as_nobody(&property).good(), "t 2");
    let (code, status) = on.ctl(&["status"]);
    let line = "   Lists: 1 entry; 2 errors, see `journalctl -u stargrey`\n";
    assert!(status.contains(line), "{status}");
    assert_eq!(code, 1);
    let (code, status) = on.ctl_json(&["status"]);
    assert_eq!((code, &status["list_errors"]), (1, &json!(2)));

    // Whoever listens hears of it, when it is over as when it begins.
    let (runtime, connection) = on.bus.connect();
    let mut changes = runtime.block_on(async {
        let monitor = MonitorProxy::new(&connection).await.unwrap();
        monitor.receive_list_errors_changed().await
    });
    fs::write(&list, "abuse@\n").unwrap();
    on.daemon.reload();
    let heard = async {
        while let Some(change) = poll_fn(|context| Pin::new(&mut changes).poll_next(context)).await
        {
            if change.get().await.unwrap() == 0 {
                return true;
            }
        }
        false
    };
    let heard = runtime.block_on(async { tokio::time::timeout(PATIENCE, heard).await });
    assert!(heard.expect("a signal comes"));
    on.daemon.wait_for("STATUS=0 requests:");
    let (code, status) = on.ctl(&["status"]);
    assert!(status.contains("   Lists: 1 entry\n"), "{status}");
    assert_eq!(code, 0);
}

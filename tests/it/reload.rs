//! SIGHUP: the lists are read again, all or nothing.

use std::fs;

use crate::support::{Daemon, rcpt};

#[test]
fn a_good_set_comes_into_force_and_a_bad_one_is_refused_as_a_whole() {
    let mut daemon = Daemon::prepare();
    let list = daemon.path().join("whitelist_clients");
    fs::write(&list, "one.example\n").unwrap();
    daemon.run::<&str>(&[]);
    let is_listed = |daemon: &Daemon, name: &str, sender: &str| {
        daemon.ask(&rcpt(name, "192.0.2.7", sender, "c@d")) == "DUNNO"
    };
    assert!(is_listed(&daemon, "one.example", "a@b"));
    assert!(!is_listed(&daemon, "two.example", "a@b"));

    fs::write(&list, "two.example\n").unwrap();
    let told = daemon.reload();
    assert!(told.contains("MONOTONIC_USEC="), "{told}");
    assert!(is_listed(&daemon, "two.example", "a@b"));
    assert!(!is_listed(&daemon, "one.example", "b@b"));

    fs::write(&list, "three.example\nnot a host\n").unwrap();
    daemon.reload();
    assert!(
        is_listed(&daemon, "two.example", "a@b"),
        "the old set stays"
    );
    assert!(
        !is_listed(&daemon, "three.example", "c@b"),
        "the new one is refused"
    );
    let place = format!("{}:2: ", list.display());
    daemon.log_until(|log| log.contains(&place) && log.contains("keeping the old lists"));
    daemon.wait_for("STATUS=DEGRADED: 1 error in the lists, see the log");

    fs::write(&list, "three.example\n").unwrap();
    daemon.reload();
    daemon.wait_for("STATUS=6 requests:");
    assert!(is_listed(&daemon, "three.example", "d@b"));
}

#[test]
fn at_start_a_bad_line_is_skipped_with_a_warning_and_a_degraded_status() {
    let mut daemon = Daemon::prepare();
    let list = daemon.path().join("whitelist_recipients");
    fs::write(&list, "abuse@\n/(/\n").unwrap();
    daemon.run::<&str>(&[]);
    daemon.wait_for("STATUS=DEGRADED: 1 error in the lists, see the log");
    assert_eq!(
        daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "abuse@d")),
        "DUNNO"
    );
    let place = format!("{}:2: ", list.display());
    daemon.log_until(|log| log.contains(&place));
    fs::write(&list, "abuse@\n").unwrap();
    daemon.reload();
    daemon.wait_for("STATUS=1 request:");
}

#[test]
fn each_list_counts_for_its_own_attribute() {
    let mut daemon = Daemon::prepare();
    fs::write(daemon.path().join("whitelist_clients"), "192.0.2.0/24\n").unwrap();
    fs::write(daemon.path().join("whitelist_recipients"), "abuse@\n").unwrap();
    fs::write(
        daemon.path().join("whitelist_senders"),
        "friend@example.com\n/^$/\n",
    )
    .unwrap();
    daemon.run::<&str>(&[]);
    let cases = [
        (rcpt("x", "192.0.2.7", "a@b", "c@d"), "client whitelist"),
        (
            rcpt("x", "203.0.113.1", "a@b", "abuse@d"),
            "recipient whitelist",
        ),
        (
            rcpt("x", "203.0.113.1", "friend+x@example.com", "c@d"),
            "sender whitelist",
        ),
        (rcpt("x", "203.0.113.1", "", "c@d"), "sender whitelist"),
    ];
    for (request, reason) in cases {
        let before = daemon.log().matches(reason).count();
        assert_eq!(daemon.ask(&request), "DUNNO", "{reason}");
        daemon.log_until(|log| log.matches(reason).count() == before + 1);
    }
}

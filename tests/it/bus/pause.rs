//! Pausing greylisting, and going on with it.

use stargrey::api::{MONITOR, NAME, PATH};

use super::OnBus;
use crate::support::{Daemon, TestClock, rcpt};

fn answer(on: &OnBus, sender: &str) -> String {
    on.daemon.ask(&rcpt("unknown", "192.0.2.7", sender, "c@d"))
}

/// `Paused` and `PausedUntil`.
fn state(on: &OnBus) -> String {
    on.bus
        .busctl_as_nobody(&["get-property", NAME, PATH, MONITOR, "Paused", "PausedUntil"])
        .good()
}

#[test]
fn a_pause_that_was_over_before_the_start_is_not_announced() {
    const ANNOUNCED: &str = "greylisting is paused: everything passes";
    let daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    let mut on = OnBus::start_prepared(daemon, &[&clock.option()]);
    assert_eq!(on.manager(&["Pause", "t", "60"]).good(), "b true");
    on.kill_and_start_again();
    assert_eq!(on.daemon.log().matches(ANNOUNCED).count(), 1);
    on.daemon.kill();
    clock.advance(60);
    on.kill_and_start_again();
    assert_eq!(state(&on), "b false\nt 0");
    let log = on.daemon.log();
    assert_eq!(log.matches(ANNOUNCED).count(), 1, "{log}");
}

#[test]
fn a_pause_counts_at_once_survives_a_kill_and_ends() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    let table = daemon.path().join("table");
    std::fs::write(&table, "/^unknown$/ REJECT go away\n").unwrap();
    let table = format!("--client-access={}", table.display());
    daemon.set_options(&[] as &[&str]);
    let mut on = OnBus::start_prepared(daemon, &[&clock.option(), &table]);
    assert_eq!(answer(&on, "a@b"), "REJECT go away");
    assert_eq!(state(&on), "b false\nt 0");

    assert_eq!(on.manager(&["Pause", "t", "60"]).good(), "b true");
    assert_eq!(answer(&on, "b@b"), "DUNNO", "replies of tables too");
    assert_eq!(state(&on), "b true\nt 1800000060");
    on.kill_and_start_again();
    clock.advance(59);
    assert_eq!(answer(&on, "c@b"), "DUNNO");
    clock.advance(1);
    assert_eq!(answer(&on, "d@b"), "REJECT go away");
    assert_eq!(state(&on), "b false\nt 0");

    assert_eq!(on.manager(&["Pause", "t", "0"]).good(), "b true");
    assert_eq!(answer(&on, "e@b"), "DUNNO");
    assert_eq!(state(&on), "b true\nt 0");
    assert_eq!(on.manager(&["Resume"]).good(), "b true");
    assert_eq!(answer(&on, "f@b"), "REJECT go away");
    on.kill_and_start_again();
    assert_eq!(answer(&on, "g@b"), "REJECT go away");
    let log = on.daemon.log();
    for line in [
        "has paused greylisting for 60s",
        "greylisting is paused: everything passes",
        "has paused greylisting until it is resumed",
        "has resumed greylisting",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert!(log.contains("reason=paused"), "{log}");
}

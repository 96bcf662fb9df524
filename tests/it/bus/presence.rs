//! The bus comes and goes; mail does not mind.

use stargrey::api::{MONITOR, NAME, PATH};

use super::OnBus;
use super::harness::Bus;
use crate::support::{Daemon, rcpt};

fn answers(daemon: &Daemon, sender: &str) {
    let answer = daemon.ask(&rcpt("x", "192.0.2.7", sender, "c@d"));
    assert!(answer.starts_with("DEFER_IF_PERMIT"), "{answer}");
}

#[test]
fn without_a_bus_mail_is_served_and_it_is_said_once() {
    let mut daemon = Daemon::start::<&str>(&[]);
    answers(&daemon, "a@b");
    daemon.log_until(|log| log.contains("no D-Bus ("));
    assert!(daemon.stop().success());
    assert_eq!(daemon.log().matches("D-Bus").count(), 1, "{}", daemon.log());
}

#[test]
fn a_bus_that_is_lost_is_found_again() {
    let mut on = OnBus::start(&[]);
    on.bus.kill();
    on.daemon.log_until(|log| log.contains("D-Bus is lost"));
    answers(&on.daemon, "a@b");
    on.bus.start_again();
    on.daemon.log_until(|log| log.contains("D-Bus is back"));
    let version = on
        .bus
        .busctl(&["get-property", NAME, PATH, MONITOR, "Version"]);
    assert!(version.good().starts_with("s "));
    assert_eq!(on.daemon.log().matches("D-Bus is lost").count(), 1);
    assert!(on.daemon.stop().success());
}

#[test]
fn a_bus_that_comes_later_is_found() {
    let mut daemon = Daemon::start::<&str>(&[]);
    daemon.log_until(|log| log.contains("no D-Bus ("));
    let bus = Bus::start(daemon.path());
    daemon.log_until(|log| log.contains("D-Bus is back"));
    let text = bus.call_as_nobody(MONITOR, &["GetStatistics"]).good();
    assert!(text.starts_with("a{sv}"), "{text}");
    assert!(daemon.stop().success());
}

#[test]
fn a_name_that_somebody_else_has_is_not_taken_away() {
    let on = OnBus::start(&[]);
    let mut second = Daemon::prepare();
    let mut command = second.command();
    command.env("DBUS_SYSTEM_BUS_ADDRESS", on.bus.address());
    second.start_command(command);
    second.log_until(|log| log.contains("no D-Bus ("));
    answers(&second, "a@b");
    let owner = on.bus.busctl(&["status", NAME]).good();
    assert!(
        owner.contains(&format!("PID={}", on.daemon.pid())),
        "{owner}"
    );
}

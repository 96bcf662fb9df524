//! The daemon at rest: how often it wakes.

use std::fs;

use stargrey::service::clock::monotonic;

use crate::bus::OnBus;
use crate::bus::harness::{Bus, THERE};
use crate::support::{Daemon, rcpt};

/// What the unit says, in microseconds.
const WATCHDOG: &str = "30000000";

/// Looks of the watchdog, five seconds each, until a thread that has answered keeps no timer any more.
const SETTLING: usize = 5;

/// Looks of the watchdog while wakes are counted.
const LOOKS: usize = 2;

/// How often each thread has slept since it began.
fn sleeps(daemon: &Daemon) -> Vec<(String, u64)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let mut all: Vec<_> = tasks
        .map(|task| {
            let task = task.unwrap().path();
            let name = fs::read_to_string(task.join("comm")).unwrap();
            let status = fs::read_to_string(task.join("status")).unwrap();
            let count = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .unwrap();
            let id = task.file_name().unwrap().to_string_lossy().into_owned();
            (
                format!("{id} {}", name.trim()),
                count.trim().parse().unwrap(),
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn an_idle_daemon_wakes_once_a_second_at_most() {
    let mut daemon = Daemon::prepare();
    let bus = Bus::start(daemon.path());
    let mut command = daemon.command();
    command.env("WATCHDOG_USEC", WATCHDOG);
    daemon.start_command(command);
    daemon.log_until(|log| log.contains(THERE));
    let mut on = OnBus { daemon, bus };
    // A connection that stays open.
    let mut client = on.daemon.connect();
    client.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    for _ in 0..SETTLING {
        on.daemon.wait_for("WATCHDOG=1");
    }
    let (begun, before) = (monotonic(), sleeps(&on.daemon));
    for _ in 0..LOOKS {
        on.daemon.wait_for("WATCHDOG=1");
    }
    let (seconds, after) = (
        monotonic().saturating_sub(begun).as_secs_f64(),
        sleeps(&on.daemon),
    );
    let sum = |all: &[(String, u64)]| all.iter().map(|(_, count)| count).sum::<u64>();
    let wakes = sum(&after) - sum(&before);
    assert!(
        f64::from(u32::try_from(wakes).unwrap()) <= seconds,
        "{wakes} wakes in {seconds} s: {before:?}, {after:?}"
    );
    assert!(
        client
            .ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"))
            .contains("reylist")
    );
}

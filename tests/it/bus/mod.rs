//! The D-Bus object, on a private bus that follows the installed policy, with busctl as the client.

mod consent;
pub(crate) mod harness;
mod limits;
mod lists;
mod object;
mod pause;
mod presence;
mod records;
mod refusals;
mod restore;

use stargrey::api::{MANAGER, MONITOR};

use crate::ctl::said;
use crate::support::Daemon;
use harness::{Answer, Bus};

/// A daemon on a bus of its own.
pub(crate) struct OnBus {
    /// The daemon; it ends first.
    pub(crate) daemon: Daemon,
    /// The bus.
    pub(crate) bus: Bus,
}

impl OnBus {
    /// Starts both; returns when the name is taken.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_prepared(Daemon::prepare(), options)
    }

    /// Starts a bus for this daemon, and the daemon.
    pub(crate) fn start_prepared(mut daemon: Daemon, options: &[&str]) -> Self {
        let bus = Bus::start(daemon.path());
        daemon.run(options);
        daemon.log_until(|log| log.contains(harness::THERE));
        Self { daemon, bus }
    }

    /// Kills the daemon and starts it again; returns when it is back on the bus.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.daemon.kill();
        self.start_again();
    }

    /// Ends the daemon in good order and starts it again; returns when it is back on the bus.
    pub(crate) fn stop_and_start_again(&mut self) {
        self.daemon.stop();
        self.start_again();
    }

    /// Starts the daemon again; returns when it is back on the bus.
    fn start_again(&mut self) {
        let before = self.daemon.log().matches(harness::THERE).count();
        self.daemon.start_again();
        self.daemon
            .log_until(|log| log.matches(harness::THERE).count() > before);
    }

    /// What stargreyctl ends with, and what it writes, in UTC; it writes nothing to standard error.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> (i32, String) {
        let output = self
            .bus
            .ctl(arguments)
            .envs([("TZ", "UTC"), ("LC_ALL", "C")])
            .output()
            .unwrap();
        let (code, stdout, stderr) = said(&output);
        assert_eq!(stderr, "", "{arguments:?}");
        (code, stdout)
    }

    /// The same, as JSON.
    pub(crate) fn ctl_json(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let (code, stdout) = self.ctl(&[arguments, &["--json"]].concat());
        (code, serde_json::from_str(&stdout).unwrap())
    }

    /// Calls a method of the Monitor: its name, the signature of its arguments, and these.
    pub(crate) fn monitor(&self, call: &[&str]) -> Answer {
        self.bus.call(MONITOR, call)
    }

    /// Calls a method of the Manager.
    pub(crate) fn manager(&self, call: &[&str]) -> Answer {
        self.bus.call(MANAGER, call)
    }
}

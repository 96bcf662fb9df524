//! A private bus: a dbus-daemon of its own in a test's directory, which denies what the system's denies and
//! allows what the installed policy of stargrey allows.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use stargrey::api::{Error, ManagerProxy, NAME, PATH};
use tokio::runtime::{Builder, Runtime};

use crate::peers;

/// What the daemon logs when it has its name.
pub(crate) const THERE: &str = "D-Bus: acquired name org.stargrey.Greylist1";

/// A user that is not root and owns nothing.
pub(crate) const NOBODY: &str = "65534";

/// A running dbus-daemon.
#[derive(Debug)]
pub(crate) struct Bus {
    directory: PathBuf,
    child: Option<Child>,
    /// Whether it has systemd start what is called and does not run.
    activates: bool,
}

/// What busctl says.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether the call succeeded.
    pub(crate) is_good: bool,
    /// The reply as busctl writes it, or what it complains about.
    pub(crate) text: String,
}

impl Answer {
    fn new(output: &Output) -> Self {
        let is_good = output.status.success();
        let bytes = if is_good {
            &output.stdout
        } else {
            &output.stderr
        };
        Self {
            is_good,
            text: String::from_utf8_lossy(bytes).trim_end().to_owned(),
        }
    }

    /// The reply to a call that must succeed.
    pub(crate) fn good(self) -> String {
        assert!(self.is_good, "refused: {}", self.text);
        self.text
    }

    /// What a call that must fail is told.
    pub(crate) fn refused(self) -> String {
        assert!(!self.is_good, "not refused: {}", self.text);
        self.text
    }
}

impl Bus {
    /// Starts a bus at `bus` in this directory; returns when it can be connected to.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::begin(directory, false)
    }

    /// Starts one that has systemd, which a test may play, start the daemon when it is called.
    pub(crate) fn start_activating(directory: &Path) -> Self {
        let file = "org.stargrey.Greylist1.service";
        let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
        let services = directory.join("services");
        fs::create_dir(&services).unwrap();
        fs::copy(packaged.join(file), services.join(file)).unwrap();
        Self::begin(directory, true)
    }

    fn begin(directory: &Path, activates: bool) -> Self {
        // Whoever connects must get through the directory.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        let mut bus = Self {
            directory: directory.to_owned(),
            child: None,
            activates,
        };
        fs::write(directory.join("bus.conf"), bus.configuration()).unwrap();
        bus.start_again();
        bus
    }

    /// Starts it again at the same address.
    pub(crate) fn start_again(&mut self) {
        let file = self.directory.join("bus.conf");
        let options: &[&str] = if self.activates {
            &["--systemd-activation"]
        } else {
            &[]
        };
        let started = peers::start_dbus_daemon(&file, options);
        self.child = Some(started.expect("dbus-daemon starts (package dbus-daemon)"));
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // A dead bus leaves its socket behind, which the next one would not bind.
        drop(fs::remove_file(self.directory.join("bus")));
    }

    /// The policy of the system's bus, stargrey's own, and a polkit and a systemd that a test may play.
    fn configuration(&self) -> String {
        let policy =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/org.stargrey.Greylist1.conf");
        format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>{address}</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.systemd1"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow own="org.freedesktop.systemd1"/>
  </policy>
  <include>{policy}</include>
  {services}
</busconfig>
"#,
            address = self.address(),
            policy = policy.display(),
            services = self.services()
        )
    }

    /// Where it finds what can be activated.
    fn services(&self) -> String {
        let directory = self.directory.join("services");
        if self.activates {
            format!("<servicedir>{}</servicedir>", directory.display())
        } else {
            String::new()
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.directory.join("bus").display())
    }

    /// Runs busctl.
    pub(crate) fn busctl(&self, arguments: &[&str]) -> Answer {
        self.run(Command::new("busctl"), arguments)
    }

    /// Runs busctl as somebody who is not root.
    pub(crate) fn busctl_as_nobody(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={NOBODY}"))
            .arg(format!("--regid={NOBODY}"))
            .args(["--clear-groups", "busctl"]);
        self.run(command, arguments)
    }

    fn run(&self, mut command: Command, arguments: &[&str]) -> Answer {
        let output = command
            .arg(format!("--address={}", self.address()))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("busctl is there (package systemd)");
        Answer::new(&output)
    }

    /// stargreyctl, on this bus.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stargreyctl"));
        command
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address())
            .stdin(Stdio::null());
        command
    }

    /// Calls a method of the object: its name, the signature of its arguments, and these.
    pub(crate) fn call(&self, interface: &str, call: &[&str]) -> Answer {
        self.busctl(&[&["call", NAME, PATH, interface], call].concat())
    }

    /// The same as somebody who is not root.
    pub(crate) fn call_as_nobody(&self, interface: &str, call: &[&str]) -> Answer {
        self.busctl_as_nobody(&[&["call", NAME, PATH, interface], call].concat())
    }

    /// Asks for a backup into this file, which busctl cannot send.
    pub(crate) fn backup(&self, file: fs::File) -> Result<(), Error> {
        let (runtime, connection) = self.connect();
        runtime.block_on(async {
            let manager = ManagerProxy::new(&connection).await?;
            manager.backup(OwnedFd::from(file).into()).await
        })
    }

    /// A connection, for what busctl does not show: the names of errors, signals.
    pub(crate) fn connect(&self) -> (Runtime, zbus::Connection) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = self.address();
        let building = zbus::connection::Builder::address(address.as_str());
        let connection = runtime.block_on(building.build()).unwrap();
        (runtime, connection)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.kill();
    }
}

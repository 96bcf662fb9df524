//! The daemon under test: the real program, in a directory of its own.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::Client;

/// How long a test waits for a notification before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running stargreyd, listening on `policy` in its own temporary directory.
#[derive(Debug)]
pub(crate) struct Daemon {
    directory: TempDir,
    arguments: Vec<String>,
    notify: UnixDatagram,
    /// Notifications that nobody has waited for yet.
    told: Vec<String>,
    child: Option<Child>,
}

impl Daemon {
    /// A directory for a daemon that is not yet running: for clocks and lists that must exist first.
    pub(crate) fn prepare() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("stargrey-test-")
            .tempdir()
            .unwrap();
        let notify = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        // A daemon that has given up root's privileges must be able to write to it.
        fs::set_permissions(
            directory.path().join("notify"),
            fs::Permissions::from_mode(0o777),
        )
        .unwrap();
        Self {
            directory,
            arguments: Vec::new(),
            notify,
            told: Vec::new(),
            child: None,
        }
    }

    /// Starts a daemon with these options added to the usual ones; returns when it is ready.
    pub(crate) fn start<S: AsRef<str>>(options: &[S]) -> Self {
        let mut daemon = Self::prepare();
        daemon.run(options);
        daemon
    }

    /// Starts the prepared daemon; returns when it is ready.
    pub(crate) fn run<S: AsRef<str>>(&mut self, options: &[S]) {
        self.set_options(options);
        self.start_again();
    }

    /// Starts the prepared daemon with at most so many descriptors.
    pub(crate) fn run_limited(&mut self, descriptors: u32, options: &[&str]) {
        self.set_options(options);
        let plain = self.command();
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--nofile={descriptors}:{descriptors}"))
            .arg(plain.get_program())
            .args(plain.get_args())
            .env("NOTIFY_SOCKET", self.path().join("notify"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus_address())
            .stderr(self.log_file());
        self.spawn(&mut command);
    }

    /// Starts the daemon with the options it had before, in the same directory.
    pub(crate) fn start_again(&mut self) {
        let mut command = self.command();
        self.spawn(&mut command);
    }

    /// Starts the prepared daemon by a command that was made with [`Self::command`].
    pub(crate) fn start_command(&mut self, mut command: Command) {
        self.spawn(&mut command);
    }

    /// Sets the options for the next start.
    pub(crate) fn set_options<S: AsRef<str>>(&mut self, options: &[S]) {
        self.arguments = options.iter().map(|s| s.as_ref().to_owned()).collect();
    }

    /// Starts the daemon with the options it had before, and does not wait until it is ready.
    pub(crate) fn start_unawaited(&mut self) {
        self.forget_news();
        let mut command = self.command();
        self.child = Some(command.spawn().expect("stargreyd starts"));
    }

    fn spawn(&mut self, command: &mut Command) {
        self.forget_news();
        self.child = Some(command.spawn().expect("stargreyd starts"));
        self.wait_for("READY=1");
    }

    /// Forgets what an earlier daemon has told and nobody has waited for.
    fn forget_news(&mut self) {
        self.told.clear();
        self.notify.set_nonblocking(true).unwrap();
        while self.notify.recv(&mut [0; 4096]).is_ok() {}
        self.notify.set_nonblocking(false).unwrap();
    }

    fn log_file(&self) -> File {
        File::options()
            .create(true)
            .append(true)
            .open(self.path().join("log"))
            .unwrap()
    }

    /// The command line without starting it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stargreyd"));
        let path = self.path();
        command
            .arg(format!("--unix={}", self.socket().display()))
            .arg(format!("--dbdir={}", path.join("db").display()))
            .arg("--hostname=mx.example.org")
            .args(["--user=root", "--group=root"])
            .args(&self.arguments)
            .env_remove("POSTGREY_TEXT")
            .env_remove("STATE_DIRECTORY")
            .env("NOTIFY_SOCKET", path.join("notify"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus_address())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log_file());
        for (option, file) in [
            ("--whitelist-clients", "whitelist_clients"),
            ("--whitelist-recipients", "whitelist_recipients"),
            ("--whitelist-senders", "whitelist_senders"),
        ] {
            if !self.arguments.iter().any(|a| a.starts_with(option)) {
                let file = path.join(file);
                if !file.exists() {
                    fs::write(&file, "").unwrap();
                }
                command.arg(format!("{option}={}", file.display()));
            }
        }
        command
    }

    /// The directory that is the daemon's alone; gone with it.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The policy socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("policy")
    }

    /// The address of the bus that the daemon looks for; nobody is there unless a test starts one.
    pub(crate) fn bus_address(&self) -> String {
        format!("unix:path={}", self.path().join("bus").display())
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Client {
        Client::unix(&self.socket()).expect("the policy socket accepts")
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, attributes: &[(&str, &str)]) -> String {
        self.connect().ask(attributes)
    }

    /// Waits for a notification to the service manager that has a line beginning with `wanted`, and returns it.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> String {
        self.wait_until_told(|text| text.lines().any(|line| line.starts_with(wanted)))
    }

    /// Waits for a notification to the service manager that is as wanted, and returns it.
    pub(crate) fn wait_until_told(&mut self, is_wanted: impl Fn(&str) -> bool) -> String {
        if let Some(at) = self.told.iter().position(|text| is_wanted(text)) {
            return self.told.remove(at);
        }
        let mut buffer = [0; 4096];
        loop {
            match self.notify.recv(&mut buffer) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    if is_wanted(&text) {
                        return text;
                    }
                    self.told.push(text);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!(
                    "the daemon does not tell that ({error}); its log:\n{}",
                    self.log()
                ),
            }
        }
    }

    /// The process id of the running daemon.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Standard error, where it was made a pipe.
    pub(crate) fn take_stderr(&mut self) -> ChildStderr {
        let child = self.child.as_mut().expect("the daemon runs");
        child.stderr.take().expect("a pipe")
    }

    /// Sends a signal by its name, `TERM` say.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Ends the daemon as systemd would, and returns how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.stopped()
    }

    /// How the daemon ended that was told to.
    pub(crate) fn stopped(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the daemon runs");
        let pause = Duration::from_millis(5);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            thread::park_timeout(pause);
        }
        child.kill().unwrap();
        panic!("the daemon does not end; its log:\n{}", self.log());
    }

    /// How the daemon ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        Some(status)
    }

    /// Has the lists read again, as systemd would; returns what the daemon said when it began.
    pub(crate) fn reload(&mut self) -> String {
        self.signal("HUP");
        let told = self.wait_for("RELOADING=1");
        // The daemon may say twice that it was ready before.
        self.told.retain(|text| !text.starts_with("READY=1"));
        self.wait_for("READY=1");
        told
    }

    /// Waits until the log is as wanted; it is written by a thread of its own.
    pub(crate) fn log_until(&self, is_wanted: impl Fn(&str) -> bool) {
        let pause = Duration::from_millis(5);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if is_wanted(&self.log()) {
                return;
            }
            thread::park_timeout(pause);
        }
        panic!("the log is:\n{}", self.log());
    }

    /// Waits for a line in the log with `begin` in it, and with `end` at its end.
    pub(crate) fn expect_line(&self, begin: &str, end: &str) {
        let is_wanted = |line: &str| line.contains(begin) && line.ends_with(end);
        self.log_until(|log| log.lines().any(is_wanted));
    }

    /// Makes the daemon forget that it was killed: a row of kills in short time would close its database.
    pub(crate) fn excuse_kills(&self) {
        // Before the first start there is nothing to forget.
        drop(fs::remove_file(self.path().join("db/stargrey.unclean")));
    }

    /// Kills the daemon without a warning.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

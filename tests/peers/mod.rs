//! How the other programs are started that stargreyd is tested with and measured beside, and what a mail server says to a
//! milter.

pub(crate) mod milter;

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where Debian's package puts Postgrey.
pub(crate) const POSTGREY: &str = "/usr/sbin/postgrey";

/// Postgrey's command line with the options that it always gets; standard error is left to the caller.
pub(crate) fn postgrey(socket: &Path, database: &Path) -> Command {
    let mut command = Command::new(POSTGREY);
    command
        .arg(format!("--unix={}", socket.display()))
        .arg(format!("--dbdir={}", database.display()))
        .args(["--user=root", "--group=root", "--quiet"])
        .arg("--hostname=mx.example.org")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The command line of Debian's milter-greylist, after what runs the program `run` that `tests/milter-greylist` has unpacked;
/// output is left to the caller.
pub(crate) fn milter_greylist(mut run: Command, conf: &Path, pid: &Path) -> Command {
    run.args(["-D", "-f"])
        .arg(conf)
        .arg("-P")
        .arg(pid)
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    run
}

/// Starts dbus-daemon with this configuration file; returns when it can be connected to.
pub(crate) fn start_dbus_daemon(configuration: &Path, options: &[&str]) -> io::Result<Child> {
    let mut child = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", configuration.display()))
        .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut address = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut address)?;
    }
    if address.starts_with("unix:") {
        return Ok(child);
    }
    child.wait()?;
    Err(io::Error::other("dbus-daemon does not start"))
}

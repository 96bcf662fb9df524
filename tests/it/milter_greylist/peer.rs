//! Debian's milter-greylist as a test peer.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::peers;
use crate::support::network::Network;
use crate::support::unpacked::unpacked;

/// How often its start is looked for, [`PAUSE`] apart, before the test fails.
const LOOKS: u32 = 3000;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A running milter-greylist in a directory of its own; killed when dropped.
#[derive(Debug)]
pub(super) struct MilterGreylist {
    directory: TempDir,
    child: Child,
}

/// Where it has been unpacked; else a test says that it has shown nothing.
pub(super) fn program(test: &str) -> Option<PathBuf> {
    unpacked("milter-greylist", test)
}

impl MilterGreylist {
    /// Starts it with this file, without the statements about its own files, and waits until it listens.
    pub(super) fn start(program: &Path, conf: &str) -> Self {
        Self::start_by(Command::new(program.join("run")), conf)
    }

    /// The same in a network.
    pub(super) fn start_within(network: &Network, program: &Path, conf: &str) -> Self {
        let run = program.join("run");
        Self::start_by(network.command(run.to_str().unwrap()), conf)
    }

    /// The same by a command that runs it.
    fn start_by(command: Command, conf: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("stargrey-milter-greylist-")
            .tempdir()
            .unwrap();
        let path = |name: &str| directory.path().join(name);
        let file = format!(
            "socket \"{}\" 666\ndumpfile \"{}\"\ndumpfreq 0\n{conf}",
            path("milter").display(),
            path("dump").display(),
        );
        fs::write(path("greylist.conf"), file).unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let child = peers::milter_greylist(command, &path("greylist.conf"), &path("pid"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut peer = Self { directory, child };
        peer.wait_until_it_listens(conf);
        peer
    }

    /// Waits until it can be connected to: its socket is there before that.
    fn wait_until_it_listens(&mut self, conf: &str) {
        for _ in 0..LOOKS {
            if UnixStream::connect(self.path("milter")).is_ok() {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}\n{conf}", self.log());
            thread::park_timeout(PAUSE);
        }
        panic!("it does not listen: {}\n{conf}", self.log());
    }

    /// Ends it as an administrator does; the database that it has written.
    pub(super) fn end(mut self) -> String {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").arg(&pid).status().unwrap();
        assert!(status.success(), "{}", self.log());
        self.child.wait().unwrap();
        fs::read_to_string(self.path("dump")).unwrap()
    }

    /// A file of its own.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for MilterGreylist {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

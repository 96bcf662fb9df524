//! Debian's postgrey as a test peer, and the connection both peers are asked over.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::peers::{self, POSTGREY};
use crate::support::machine::require_program;

/// How often the start or the end of postgrey is looked for, [`PAUSE`] apart, before the test fails.
const LOOKS: u32 = 3000;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// How long an answer that must come may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The list files that both peers are given, content by content.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lists {
    /// One file for each `--whitelist-clients`.
    pub(super) clients: &'static [&'static [u8]],
    /// One file for each `--whitelist-recipients`.
    pub(super) recipients: &'static [&'static [u8]],
}

impl Lists {
    /// Writes the files into `directory` and returns the options that name them.
    ///
    /// Each kind has a missing `.local` file after its own, which neither peer may mind.
    pub(super) fn write(self, directory: &Path) -> Vec<String> {
        let kinds = [("clients", self.clients), ("recipients", self.recipients)];
        let mut options = Vec::new();
        for (kind, files) in kinds {
            for (number, content) in files.iter().enumerate() {
                let path = directory.join(format!("{kind}-{number}"));
                fs::write(&path, content).expect("a list file is written");
                options.push(format!("--whitelist-{kind}={}", path.display()));
            }
            let missing = directory.join(format!("{kind}.local"));
            options.push(format!("--whitelist-{kind}={}", missing.display()));
        }
        options
    }
}

/// A running postgrey in a directory of its own; killed when dropped.
#[derive(Debug)]
pub(super) struct Postgrey {
    directory: TempDir,
    child: Child,
}

impl Postgrey {
    /// Starts postgrey and waits until it listens; its log when it ended instead.
    pub(super) fn start(options: &[String], lists: Lists) -> Result<Self, String> {
        require_program(POSTGREY, "postgrey");
        let directory = tempfile::Builder::new()
            .prefix("stargrey-postgrey-")
            .tempdir()
            .expect("a directory for postgrey");
        let mut options = options.to_vec();
        options.extend(lists.write(directory.path()));
        let child = spawn(directory.path(), &options);
        let mut postgrey = Self { directory, child };
        postgrey.wait_until_it_listens()?;
        Ok(postgrey)
    }

    /// Ends postgrey and starts it with other options on the same database.
    pub(super) fn restart(&mut self, options: &[String], lists: Lists) {
        self.end();
        // One that was killed leaves its socket behind.
        drop(fs::remove_file(self.socket()));
        let mut options = options.to_vec();
        options.extend(lists.write(self.directory.path()));
        self.child = spawn(self.directory.path(), &options);
        self.wait_until_it_listens().expect("postgrey starts again");
    }

    /// Rewrites the list files and makes postgrey read them.
    pub(super) fn reload(&self, lists: Lists) {
        lists.write(self.directory.path());
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(status.is_ok_and(|status| status.success()));
        for _ in 0..LOOKS {
            if self.log().contains("HUP received") {
                return;
            }
            self.wake();
            thread::park_timeout(PAUSE);
        }
        panic!("postgrey does not reload: {}", self.log());
    }

    /// A new connection whose answers are waited for as long as `patience`.
    pub(super) fn connect(&self, patience: Duration) -> Wire {
        Wire::open(&self.socket(), patience).expect("postgrey accepts")
    }

    /// Whether postgrey ends by itself.
    pub(super) fn dies(&mut self) -> bool {
        for _ in 0..LOOKS {
            if self.child.try_wait().expect("a child of ours").is_some() {
                return true;
            }
            thread::park_timeout(PAUSE);
        }
        false
    }

    /// What postgrey wrote to its standard error.
    pub(super) fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("policy")
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        for _ in 0..LOOKS {
            if Wire::open(&self.socket(), PATIENCE).is_ok() {
                return Ok(());
            }
            if self.child.try_wait().expect("a child of ours").is_some() {
                return Err(self.log());
            }
            thread::park_timeout(PAUSE);
        }
        Err(format!("postgrey does not listen: {}", self.log()))
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The database directory.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Asks postgrey to end and waits until it has.
    pub(super) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").arg(&pid).status();
        assert!(status.is_ok_and(|status| status.success()));
        for _ in 0..LOOKS {
            if self.child.try_wait().expect("a child of ours").is_some() {
                return;
            }
            self.wake();
            thread::park_timeout(PAUSE);
        }
        panic!("postgrey does not end: {}", self.log());
    }

    /// Makes postgrey look at the signals it got.
    ///
    /// It notes a signal and looks at its notes when `select` returns. A signal that comes just before `select` begins
    /// is noted without ending the wait, and postgrey waits until somebody connects.
    fn wake(&self) {
        // Refused when postgrey has closed its socket, which is what the caller waits for.
        drop(UnixStream::connect(self.socket()));
    }

    /// Kills postgrey, which has no time to put anything in order.
    pub(super) fn end(&mut self) {
        // It may have ended by itself, in which case there is nobody to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Postgrey {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(directory: &Path, options: &[String]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .expect("a log file");
    peers::postgrey(&directory.join("policy"), directory)
        .args(options)
        .stderr(log)
        .spawn()
        .expect("postgrey starts")
}

/// What came back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// An action, as text in which foreign bytes are escaped.
    Action(String),
    /// Nothing, and the connection is still open.
    Silence,
    /// Nothing, and the connection is closed.
    Closed,
}

/// A connection that is written and read byte by byte.
#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<UnixStream>,
}

impl Wire {
    /// Connects; an answer may take as long as `patience`.
    pub(super) fn open(socket: &Path, patience: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// Sends bytes as they are. A peer that has closed already is found out by [`Wire::answer`].
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.get_mut().write_all(bytes) {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ),
                "writing: {error}"
            );
        }
    }

    /// The next answer. It must be `action=…` and an empty line.
    pub(super) fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\n\n") {
            let kind = match self.stream.read_until(b'\n', &mut bytes) {
                Ok(0) => return Answer::Closed,
                Ok(_) => continue,
                Err(error) => error.kind(),
            };
            if matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                return Answer::Silence;
            }
            if kind == ErrorKind::ConnectionReset {
                return Answer::Closed;
            }
            assert_eq!(kind, ErrorKind::Interrupted, "reading an answer");
        }
        let text = bytes.escape_ascii().to_string();
        let action = text
            .strip_prefix("action=")
            .and_then(|text| text.strip_suffix("\\n\\n"))
            .unwrap_or_else(|| panic!("not an answer: {text}"));
        Answer::Action(action.to_owned())
    }

    /// Sends one request and waits for its answer.
    pub(super) fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }
}

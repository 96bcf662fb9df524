//! The servers, each a process of its own, so that the system counts its CPU time.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::null::NULL;

/// Where Debian's package puts Postgrey.
const POSTGREY: &str = "/usr/sbin/postgrey";

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks whether Postgrey listens.
const PAUSE: Duration = Duration::from_millis(5);

/// Where the number of the last transaction stands in a page of LMDB's that has one, and where these pages
/// begin.
const TRANSACTION_AT: u64 = 144;
const META_PAGES: [u64; 2] = [0, 4096];

/// Where the servers have their files, gone with it.
pub(crate) struct Place {
    /// On the disk that the program was built on; `/tmp` is often no disk.
    disk: TempDir,
    /// For sockets, whose names must be short.
    sockets: TempDir,
}

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) socket: PathBuf,
    /// Where it keeps what it knows.
    pub(crate) database: PathBuf,
}

impl Place {
    pub(crate) fn new() -> io::Result<Self> {
        let named = |place: &Path| {
            tempfile::Builder::new()
                .prefix("stargrey-bench-")
                .tempdir_in(place)
        };
        Ok(Self {
            disk: named(Path::new(env!("CARGO_TARGET_TMPDIR")))?,
            sockets: named(&env::temp_dir())?,
        })
    }

    /// A file or directory on the disk.
    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    /// A directory on the disk.
    pub(crate) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.disk(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Server {
    /// Starts the null server.
    pub(crate) fn null(place: &Place) -> io::Result<Self> {
        let socket = place.sockets.path().join("null");
        let mut command = Command::new(env::current_exe()?);
        command.arg(NULL).arg(&socket);
        Self::notified(command, place, "null", PathBuf::new())
    }

    /// Starts stargreyd, in whose files there is this name, with these options besides. Another program than the
    /// one that was built with this one is measured when `STARGREYD` names it.
    pub(crate) fn stargreyd(place: &Place, name: &str, options: &[&str]) -> io::Result<Self> {
        let database = place.disk(name);
        let program = env::var_os("STARGREYD");
        let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_stargreyd").into()));
        let list =
            |of: &str, file: &str| format!("--whitelist-{of}={}", place.disk(file).display());
        command
            .args([list("clients", "all"), list("recipients", "none")])
            .arg(list("senders", "none"))
            .arg(format!(
                "--s25r-exceptions={}",
                place.disk("none").display()
            ))
            .arg(format!("--dbdir={}", database.display()))
            .arg(format!(
                "--unix={}",
                place.sockets.path().join(name).display()
            ))
            .args(["-q", "--hostname=mx.example.org"])
            .args(["--user=root", "--group=root"])
            .args(options)
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .env_remove("POSTGREY_TEXT")
            .env_remove("STATE_DIRECTORY");
        Self::notified(command, place, name, database)
    }

    /// Starts Debian's Postgrey, with this list of clients; `None` when it is not installed.
    pub(crate) fn postgrey(place: &Place, name: &str, list: &str) -> io::Result<Option<Self>> {
        if !Path::new(POSTGREY).exists() {
            return Ok(None);
        }
        let database = place.directory(name)?;
        let socket = place.sockets.path().join(name);
        let mut command = Command::new(POSTGREY);
        command
            .arg(format!("--unix={}", socket.display()))
            .arg(format!("--dbdir={}", database.display()))
            .arg(format!(
                "--whitelist-clients={}",
                place.disk(list).display()
            ))
            .arg(format!(
                "--whitelist-recipients={}",
                place.disk("none").display()
            ))
            .args(["--user=root", "--group=root", "--quiet"])
            .arg("--hostname=mx.example.org");
        let log = place.disk(&format!("{name}.log"));
        let server = Self {
            child: spawn(&mut command, &log)?,
            socket,
            database,
        };
        let begun = Instant::now();
        while UnixStream::connect(&server.socket).is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(not_ready(&log));
            }
            thread::park_timeout(PAUSE);
        }
        Ok(Some(server))
    }

    /// Returns when the server has said that it is ready.
    fn notified(
        mut command: Command,
        place: &Place,
        name: &str,
        database: PathBuf,
    ) -> io::Result<Self> {
        let notify = place.sockets.path().join("notify");
        let told = UnixDatagram::bind(&notify)?;
        told.set_read_timeout(Some(PATIENCE))?;
        command.env("NOTIFY_SOCKET", &notify);
        let log = place.disk(&format!("{name}.log"));
        let server = Self {
            child: spawn(&mut command, &log)?,
            socket: place.sockets.path().join(name),
            database,
        };
        let mut buffer = [0; 4096];
        while !buffer.starts_with(b"READY=1") {
            if told.recv(&mut buffer).is_err() {
                return Err(not_ready(&log));
            }
        }
        fs::remove_file(notify)?;
        Ok(server)
    }

    /// The CPU time it has used.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&self.id())
    }

    /// Its process.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Bytes of memory that are its own.
    pub(crate) fn private_memory(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let amount = line.and_then(|rest| rest.split_ascii_whitespace().next());
        Ok(amount.and_then(|kib| kib.parse().ok()).unwrap_or(0) * 1024)
    }

    /// Bytes of its files on the disk.
    pub(crate) fn disk_use(&self) -> io::Result<u64> {
        let mut sum = 0;
        for entry in fs::read_dir(&self.database)? {
            use std::os::unix::fs::MetadataExt;
            sum += entry?.metadata()?.blocks() * 512;
        }
        Ok(sum)
    }

    /// How many transactions stargreyd has committed.
    pub(crate) fn commits(&self) -> io::Result<u64> {
        let mut file = File::open(self.database.join("data.mdb"))?;
        let mut last = 0;
        for page in META_PAGES {
            let mut bytes = [0; 8];
            file.seek(SeekFrom::Start(page + TRANSACTION_AT))?;
            file.read_exact(&mut bytes)?;
            last = last.max(u64::from_ne_bytes(bytes));
        }
        Ok(last)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which whoever asked it has noticed.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
        fs::remove_file(&self.socket).ok();
    }
}

fn spawn(command: &mut Command, log: &Path) -> io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log)?)
        .spawn()
}

fn not_ready(log: &Path) -> io::Error {
    let log = fs::read_to_string(log).unwrap_or_default();
    io::Error::other(format!("a server does not get ready; its log:\n{log}"))
}

/// The CPU time of a process, that of its threads together. Finer than `utime` and `stime`, which are
/// counted in hundredths of a second.
pub(crate) fn cpu_of(process: &str) -> io::Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = stat.split_ascii_whitespace().next();
        sum += first
            .and_then(|time| time.parse::<u64>().ok())
            .unwrap_or_default();
    }
    Ok(Duration::from_nanos(sum))
}

//! The servers, each in a separate process, so that the system counts its CPU time.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::null::NULL;
use crate::null_milter::NULL_MILTER;
use crate::peers;

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks whether a server listens.
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
    /// Its data directory.
    pub(crate) database: PathBuf,
}

/// Options of stargreyd.
#[derive(Default)]
pub(crate) struct Start<'a> {
    /// What its files are called.
    pub(crate) name: &'a str,
    pub(crate) options: &'a [&'a str],
    /// The address of its bus.
    pub(crate) bus: Option<&'a str>,
    /// Whether it logs each decision to the journal.
    pub(crate) is_telling: bool,
    /// What is run in place of stargreyd, and runs it.
    pub(crate) program: Option<&'a Path>,
}

/// stargreyd. Another program than the one that was built with this one is measured when `STARGREYD` names it.
pub(crate) fn program() -> OsString {
    let program = env::var_os("STARGREYD");
    program.unwrap_or(env!("CARGO_BIN_EXE_stargreyd").into())
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

    /// A file whose name must be short.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }

    /// What the server of this name says on standard error.
    fn log(&self, name: &str) -> PathBuf {
        self.disk(&format!("{name}.log"))
    }
}

impl Server {
    /// Starts the null server, which tells the journal this about each request, if anything.
    pub(crate) fn null(place: &Place, name: &str, record: &[String]) -> io::Result<Self> {
        Self::null_after(Duration::ZERO, place, name, record)
    }

    /// Starts a null server that replies after a delay.
    pub(crate) fn null_after(
        delay: Duration,
        place: &Place,
        name: &str,
        record: &[String],
    ) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let delay = delay.as_millis().to_string();
        command.arg(NULL).arg(place.socket(name)).arg(delay);
        command.args(record);
        Self::notified(command, place, name, PathBuf::new())
    }

    /// Starts a milter that lets everything pass and negotiates these steps.
    pub(crate) fn null_milter(
        place: &Place,
        (name, kind): (&str, &str),
        steps: u32,
    ) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(NULL_MILTER).arg(place.socket(name));
        command.args([&steps.to_string(), kind]);
        Self::notified(command, place, name, PathBuf::new())
    }

    /// Starts stargreyd.
    pub(crate) fn stargreyd(place: &Place, start: &Start<'_>) -> io::Result<Self> {
        let database = place.disk(start.name);
        let program = start.program.map_or_else(program, Into::into);
        let mut command = Command::new(program);
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
            .arg(format!("--unix={}", place.socket(start.name).display()))
            .arg("--hostname=mx.example.org")
            .args(["--user=root", "--group=root"])
            .args(start.options)
            .env(
                "DBUS_SYSTEM_BUS_ADDRESS",
                start.bus.unwrap_or("unix:path=/nonexistent/bus"),
            )
            .env_remove("POSTGREY_TEXT")
            .env_remove("STATE_DIRECTORY");
        if start.is_telling {
            command.env("JOURNAL_STREAM", journal_stream(&place.log(start.name))?);
        } else {
            command.arg("-q").env_remove("JOURNAL_STREAM");
        }
        Self::notified(command, place, start.name, database)
    }

    /// Starts Debian's Postgrey, with this list of clients; `None` when it is not installed.
    pub(crate) fn postgrey(place: &Place, name: &str, list: &str) -> io::Result<Option<Self>> {
        if !Path::new(peers::POSTGREY).exists() {
            return Ok(None);
        }
        let database = place.directory(name)?;
        let socket = place.socket(name);
        let mut command = peers::postgrey(&socket, &database);
        command
            .arg(format!(
                "--whitelist-clients={}",
                place.disk(list).display()
            ))
            .arg(format!(
                "--whitelist-recipients={}",
                place.disk("none").display()
            ));
        Self::listening(command, place, name, database).map(Some)
    }

    /// Starts Debian's milter-greylist, with these access lists; `None` when it has not been unpacked.
    pub(crate) fn milter_greylist(
        place: &Place,
        name: &str,
        lists: &str,
    ) -> io::Result<Option<Self>> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
        let unpacked = target.map(|target| target.join("milter-greylist"));
        let Some(unpacked) = unpacked.filter(|unpacked| unpacked.exists()) else {
            return Ok(None);
        };
        let database = place.directory(name)?;
        let conf = database.join("greylist.conf");
        let files = format!(
            "socket \"{}\" 666\ndumpfile \"{}\"\n{lists}",
            place.socket(name).display(),
            database.join("dump").display()
        );
        fs::write(&conf, files)?;
        let command = peers::milter_greylist(
            Command::new(unpacked.join("run")),
            &conf,
            &database.join("pid"),
        );
        Self::listening(command, place, name, database).map(Some)
    }

    /// Returns when the server can be connected to, at the socket of its name.
    pub(crate) fn listening(
        mut command: Command,
        place: &Place,
        name: &str,
        database: PathBuf,
    ) -> io::Result<Self> {
        let log = place.log(name);
        let server = Self {
            child: spawn(&mut command, &log)?,
            socket: place.socket(name),
            database,
        };
        let begun = Instant::now();
        while UnixStream::connect(&server.socket).is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(not_ready(&log));
            }
            thread::park_timeout(PAUSE);
        }
        Ok(server)
    }

    /// Returns when the server has said that it is ready.
    fn notified(
        mut command: Command,
        place: &Place,
        name: &str,
        database: PathBuf,
    ) -> io::Result<Self> {
        let notify = place.socket("notify");
        let told = UnixDatagram::bind(&notify)?;
        told.set_read_timeout(Some(PATIENCE))?;
        command.env("NOTIFY_SOCKET", &notify);
        let log = place.log(name);
        let server = Self {
            child: spawn(&mut command, &log)?,
            socket: place.socket(name),
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

    /// The CPU time it has used, with that of threads that have ended, in hundredths of a second.
    pub(crate) fn cpu_with_ended(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name may have blanks; the first field after it is the third one.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let times = fields.split_ascii_whitespace().skip(11).take(2);
        let ticks = times.map(|time| time.parse::<u64>().unwrap_or_default());
        Ok(Duration::from_millis(ticks.sum::<u64>() * 10))
    }

    /// Its process.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends it a signal, by its name.
    pub(crate) fn signal(&self, name: &str) -> io::Result<()> {
        let sent = Command::new("kill")
            .args(["-s", name, &self.id()])
            .status()?;
        if sent.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("SIG{name} cannot be sent")))
    }

    /// Bytes of memory that are its own.
    pub(crate) fn private_memory(&self) -> io::Result<u64> {
        self.memory("RssAnon:")
    }

    /// Bytes of memory that it has had at most, with the pages of its files.
    pub(crate) fn peak_memory(&self) -> io::Result<u64> {
        self.memory("VmHWM:")
    }

    /// A row of its status, in bytes.
    fn memory(&self, row: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(row));
        let amount = line.and_then(|rest| rest.split_ascii_whitespace().next());
        Ok(amount.and_then(|kib| kib.parse().ok()).unwrap_or(0) * 1024)
    }

    /// Bytes of its files on the disk.
    pub(crate) fn disk_use(&self) -> io::Result<u64> {
        let mut sum = 0;
        for entry in fs::read_dir(&self.database)? {
            sum += entry?.metadata()?.blocks() * 512;
        }
        Ok(sum)
    }

    /// Reads stargreyd's database once, so that it is in memory: some systems put there only what was asked for in
    /// the last minute.
    pub(crate) fn read_in(&self) -> io::Result<()> {
        let mut file = File::open(self.database.join("data.mdb"))?;
        io::copy(&mut file, &mut io::sink()).map(drop)
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

/// What systemd says of the standard error that it has given to a service: this file.
fn journal_stream(log: &Path) -> io::Result<String> {
    let metadata = File::create(log)?.metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
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
fn cpu_of(process: &str) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        sum += cpu_in(&task?.path());
    }
    Ok(sum)
}

/// The CPU time of the thread that asks.
pub(crate) fn own_cpu() -> Duration {
    cpu_in(Path::new("/proc/thread-self"))
}

/// The CPU time of the thread of this directory; it may have ended meanwhile.
fn cpu_in(task: &Path) -> Duration {
    let stat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let first = stat.split_ascii_whitespace().next();
    let time = first.and_then(|time| time.parse::<u64>().ok());
    Duration::from_nanos(time.unwrap_or_default())
}

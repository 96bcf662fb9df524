//! The two servers, each a process of its own, so that the system counts its CPU time.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sd_notify::NotifyState;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// The argument that makes this program the null server.
pub(crate) const NULL: &str = "--null-server";

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// The unit of CPU time in `/proc`: the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

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

    /// The list of clients, recipients or senders.
    pub(crate) fn list(&self, of: &str) -> PathBuf {
        self.disk.path().join(format!("whitelist_{of}"))
    }
}

impl Server {
    /// Starts the null server.
    pub(crate) fn null(place: &Place) -> io::Result<Self> {
        let socket = place.sockets.path().join("null");
        let mut command = Command::new(env::current_exe()?);
        command.arg(NULL).arg(&socket);
        Self::start(command, place, socket)
    }

    /// Starts stargreyd with these options besides.
    pub(crate) fn stargreyd(place: &Place, options: &[&str]) -> io::Result<Self> {
        let socket = place.sockets.path().join("policy");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stargreyd"));
        for list in ["clients", "recipients", "senders"] {
            let file = place.list(list);
            command.arg(format!("--whitelist-{list}={}", file.display()));
        }
        command
            .arg(format!("--unix={}", socket.display()))
            .arg(format!(
                "--dbdir={}",
                place.disk.path().join("db").display()
            ))
            .args(["-q", "--hostname=mx.example.org"])
            .args(["--user=root", "--group=root"])
            .args(options)
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .env_remove("POSTGREY_TEXT")
            .env_remove("STATE_DIRECTORY");
        Self::start(command, place, socket)
    }

    /// Returns when the server is ready.
    fn start(mut command: Command, place: &Place, socket: PathBuf) -> io::Result<Self> {
        let notify = place.sockets.path().join("notify");
        let told = UnixDatagram::bind(&notify)?;
        told.set_read_timeout(Some(PATIENCE))?;
        let log = place.disk.path().join("log");
        command
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = command.spawn()?;
        let server = Self { child, socket };
        let mut buffer = [0; 4096];
        while !buffer.starts_with(b"READY=1") {
            if let Err(error) = told.recv(&mut buffer) {
                let log = fs::read_to_string(&log)?;
                return Err(io::Error::other(format!(
                    "not ready: {error}; its log:\n{log}"
                )));
            }
        }
        fs::remove_file(notify)?;
        Ok(server)
    }

    /// The CPU time it has used.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which whoever asked it has noticed.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// The CPU time of a process, `utime` and `stime` of its threads together.
pub(crate) fn cpu_of(process: &str) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, and may have anything in it.
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let fields = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = fields.filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

/// Is the null server, for ever.
pub(crate) fn be_null(socket: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(socket)?;
        sd_notify::notify(&[NotifyState::Ready])?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer_blindly(stream));
        }
    })
}

/// Answers whatever ends with an empty line.
async fn answer_blindly(mut stream: UnixStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    while stream.read_buf(&mut buffer).await? > 0 {
        if buffer.ends_with(b"\n\n") {
            buffer.clear();
            stream.write_all(b"action=DUNNO\n\n").await?;
        }
    }
    Ok(())
}

//! The receiver of the servers' log records: the journal, or without one a thread that reads, counts and discards them.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Nothing comes any more when nothing has come for so long.
const SILENCE: Duration = Duration::from_millis(100);

/// How long records that wait in a server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who takes the records.
pub(crate) enum Sink {
    /// The journal of this machine.
    Journal,
    /// A thread of this program, which has bound the socket.
    Thread(Arc<Taken>),
}

/// What the thread has taken.
#[derive(Default)]
pub(crate) struct Taken {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Sink {
    /// Finds the journal, or plays it; an error when this user must not.
    pub(crate) fn open() -> io::Result<Self> {
        let path = Path::new(SOCKET);
        // What is empty, journald ignores.
        if UnixDatagram::unbound()?.send_to(&[], path).is_ok() {
            return Ok(Self::Journal);
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        // One that nobody listens to was left by a run that was killed.
        fs::remove_file(path).ok();
        let socket = UnixDatagram::bind(path)?;
        let taken = Arc::<Taken>::default();
        let counted = Arc::clone(&taken);
        thread::spawn(move || {
            let mut record = vec![0; 1 << 16];
            while let Ok(length) = socket.recv(&mut record) {
                counted.records.fetch_add(1, Ordering::Relaxed);
                counted.bytes.fetch_add(length as u64, Ordering::Relaxed);
            }
        });
        Ok(Self::Thread(taken))
    }

    /// How many records and bytes have come, when no more come; `None` if nobody counts.
    pub(crate) async fn taken(&self) -> Option<(u64, u64)> {
        let Self::Thread(taken) = self else {
            return None;
        };
        let count = || {
            let records = taken.records.load(Ordering::Relaxed);
            (records, taken.bytes.load(Ordering::Relaxed))
        };
        let begun = Instant::now();
        let mut before = count();
        loop {
            tokio::time::sleep(SILENCE).await;
            let after = count();
            if after == before || begun.elapsed() > PATIENCE {
                return Some(after);
            }
            before = after;
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal => f.write_str("the journal of this machine takes the records"),
            Self::Thread(_) => write!(
                f,
                "no journal runs here: a thread of the bench reads the records at {SOCKET} and drops them"
            ),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if matches!(self, Self::Thread(_)) {
            fs::remove_file(SOCKET).ok();
            // Only when it is empty, so only when this program has made it.
            if let Some(directory) = Path::new(SOCKET).parent() {
                fs::remove_dir(directory).ok();
            }
        }
    }
}

//! Administrative load during the measurement: stargreyctl every second, and a program that adds entries one after the
//! other.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use stargrey::api::{self, Error, ManagerProxy};
use stargrey::ctl::import;
use stargrey::types::Span;

use crate::fill::{Stranger, now};

/// How long ago the imported rows were seen.
const AGE: Span = Span::from_hours(1);

/// How often reloads and backups are ordered; more often than anybody does.
const EVERY: Duration = Duration::from_secs(1);

/// Where expressions are added.
const LIST: &str = "client-whitelist";

/// What is ordered for a while.
pub(crate) struct Orders {
    /// The bus of the server.
    pub(crate) bus: String,
    /// At least so long, once a second.
    pub(crate) length: Duration,
    pub(crate) reload: bool,
    /// The file that backups replace.
    pub(crate) backup: Option<PathBuf>,
    /// The rows that are imported, once; everything else goes on until they are taken.
    pub(crate) import: Option<PathBuf>,
    /// Expressions that are added, once, in the same way.
    pub(crate) add: Option<Range<usize>>,
}

/// How often it was done.
#[derive(Clone, Copy, Default)]
pub(crate) struct Obeyed {
    pub(crate) reloads: u64,
    pub(crate) backups: u64,
    pub(crate) added: u64,
    /// How long everything took.
    pub(crate) time: Duration,
}

impl Orders {
    /// Orders all of it; returns when it was done.
    pub(crate) fn give(&self) -> io::Result<Obeyed> {
        let begun = Instant::now();
        let is_busy = AtomicBool::new(self.import.is_some() || self.add.is_some());
        let again = |arguments: Vec<&str>| -> io::Result<u64> {
            let mut count = 0;
            while begun.elapsed() < self.length || is_busy.load(Ordering::Relaxed) {
                let ordered = Instant::now();
                self.ctl(&arguments)?;
                count += 1;
                thread::sleep(EVERY.saturating_sub(ordered.elapsed()));
            }
            Ok(count)
        };
        let name = |path: &Path| path.display().to_string();
        let copy = self.backup.as_deref().map(name);
        let rows = self.import.as_deref().map(name);
        let (reloads, backups, added) = thread::scope(|scope| {
            let reloads = self.reload.then(|| scope.spawn(|| again(vec!["reload"])));
            let backup = |copy| again(vec!["backup", "--force", copy]);
            let backups = copy
                .as_deref()
                .map(|copy| scope.spawn(move || backup(copy)));
            let adding = self.add.clone();
            let adding = adding.map(|numbers| scope.spawn(|| block_on(add(&self.bus, numbers))));
            let imported = rows.map_or(Ok(()), |rows| self.ctl(&["import", "json", &rows]));
            let added = count(adding);
            is_busy.store(false, Ordering::Relaxed);
            (imported.and(count(reloads)), count(backups), added)
        });
        thread::sleep(self.length.saturating_sub(begun.elapsed()));
        Ok(Obeyed {
            reloads: reloads?,
            backups: backups?,
            added: added?,
            time: begun.elapsed(),
        })
    }

    /// Runs stargreyctl, which must succeed.
    fn ctl(&self, arguments: &[&str]) -> io::Result<()> {
        let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "stargreyctl {arguments:?}: {said}"
        )))
    }
}

/// The expression of this number, which no stranger matches.
fn expression(number: usize) -> String {
    format!(r"/^mx{number}[a-z]*\.sender-[0-9]+\.example$/")
}

/// Has the server on this bus add expressions, each when the one before is in force.
async fn add(bus: &str, numbers: Range<usize>) -> Result<u64, Error> {
    let manager = manager(bus).await?;
    let mut count = 0;
    for number in numbers {
        manager.add_entry(LIST, &expression(number), "", 0).await?;
        count += 1;
    }
    Ok(count)
}

/// Has it remove them.
pub(crate) async fn remove(bus: &str, numbers: Range<usize>) -> Result<(), Error> {
    let manager = manager(bus).await?;
    for number in numbers {
        manager.remove_entry(LIST, &expression(number)).await?;
    }
    Ok(())
}

/// The server on this bus.
async fn manager(bus: &str) -> Result<ManagerProxy<'static>, Error> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    Ok(ManagerProxy::new(&connection).await?)
}

/// Does something on this thread until it is done.
fn block_on<T>(job: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(job).map_err(io::Error::other)
}

/// What a thread has counted.
fn count(thread: Option<thread::ScopedJoinHandle<'_, io::Result<u64>>>) -> io::Result<u64> {
    let joined = thread.map(thread::ScopedJoinHandle::join);
    joined.map_or(Ok(0), |joined| {
        joined.unwrap_or_else(|_| Err(io::Error::other("a thread has died")))
    })
}

/// Writes an export of triplets that have passed, of these strangers.
pub(crate) fn write_rows(file: &Path, numbers: Range<usize>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(file)?);
    writeln!(file, "{}", import::header())?;
    let last = now().before(AGE).seconds();
    let trailer = import::trailer(numbers.len() as u64);
    for stranger in numbers.map(Stranger::new) {
        let row = json!({
            api::KIND: api::KIND_TRIPLET,
            api::NETWORK: stranger.network,
            api::SENDER: stranger.sender,
            api::RECIPIENT: stranger.recipient,
            api::STATE: api::STATE_PASSED,
            api::FIRST: last,
            api::PASSED: last,
            api::LAST: last,
            api::MAILS: 1,
        });
        writeln!(file, "{row}")?;
    }
    writeln!(file, "{trailer}")?;
    // It is not to be written to the disk while others wait for it.
    file.into_inner()?.sync_all()
}

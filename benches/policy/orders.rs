//! What an administrator orders while others ask: stargreyctl, every second.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use stargrey::api;
use stargrey::ctl::import;
use stargrey::types::Span;

use crate::fill::{Stranger, now};

/// How long ago the imported rows were seen.
const AGE: Span = Span::from_hours(1);

/// How often reloads and backups are ordered; more often than anybody does.
const EVERY: Duration = Duration::from_secs(1);

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
}

/// How often it was done.
#[derive(Clone, Copy, Default)]
pub(crate) struct Obeyed {
    pub(crate) reloads: u64,
    pub(crate) backups: u64,
    /// How long everything took.
    pub(crate) time: Duration,
}

impl Orders {
    /// Orders all of it; returns when it was done.
    pub(crate) fn give(&self) -> io::Result<Obeyed> {
        let begun = Instant::now();
        let is_importing = AtomicBool::new(self.import.is_some());
        let again = |arguments: Vec<&str>| -> io::Result<u64> {
            let mut count = 0;
            while begun.elapsed() < self.length || is_importing.load(Ordering::Relaxed) {
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
        let (reloads, backups) = thread::scope(|scope| {
            let reloads = self.reload.then(|| scope.spawn(|| again(vec!["reload"])));
            let backup = |copy| again(vec!["backup", "--force", copy]);
            let backups = copy
                .as_deref()
                .map(|copy| scope.spawn(move || backup(copy)));
            let imported = rows.map_or(Ok(()), |rows| self.ctl(&["import", "json", &rows]));
            is_importing.store(false, Ordering::Relaxed);
            (imported.and(count(reloads)), count(backups))
        });
        thread::sleep(self.length.saturating_sub(begun.elapsed()));
        Ok(Obeyed {
            reloads: reloads?,
            backups: backups?,
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
    // It is not to be written to the disk while others wait for it.
    file.into_inner()?.sync_all()
}

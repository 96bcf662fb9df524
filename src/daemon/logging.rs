//! The logger: writes records to the journal, or to standard error if there is none; never to both.
//!
//! Records pass through a bounded queue to a separate thread, so that a journal that does not accept them never
//! delays mail. If the queue is full, records are dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record, kv};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use crate::config::Verbosity;
use crate::service::clock::monotonic;

/// Records that may be queued: those of a second on a busy server.
const MAX_QUEUED: usize = 8192;

/// How long shutdown waits for queued records.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Time between two attempts to queue the flush while the queue is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The target of this module's own records.
const TARGET: &str = "stargrey";

/// A record that owns its text and fields.
struct OwnedRecord {
    level: Level,
    target: String,
    text: String,
    fields: Vec<(String, String)>,
}

/// An item of the queue.
enum QueueItem {
    Record(OwnedRecord),
    /// Signals that everything before it has been written.
    Flushed(SyncSender<()>),
}

/// The logger that is registered with the `log` crate.
struct QueuedLogger {
    sender: SyncSender<QueueItem>,
    dropped: &'static AtomicU64,
}

/// The number of dropped records that have not been reported.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The destination of records.
enum Sink {
    Journal(Box<JournalLog>),
    /// With the identifier before each line, or with the priority that the service manager reads.
    Stderr {
        identifier: String,
        with_priority: bool,
    },
}

/// Starts the logger with this identifier.
pub(super) fn start(identifier: &str, verbosity: Verbosity, facility: u8) {
    let sink = Sink::choose(identifier, facility);
    let (sender, receiver) = sync_channel(MAX_QUEUED);
    let logger = QueuedLogger {
        sender,
        dropped: &DROPPED,
    };
    let thread = thread::Builder::new().name("log".to_owned());
    if thread.spawn(move || write_all(&sink, &receiver)).is_err() {
        return;
    }
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(match verbosity {
            Verbosity::Quiet | Verbosity::Normal => LevelFilter::Info,
            Verbosity::Verbose => LevelFilter::Debug,
        });
    }
}

/// Whether standard error is the journal.
pub(super) fn goes_to_journal() -> bool {
    connected_to_journal()
}

/// Writes a line to standard error, before there is a logger or instead of it.
pub(super) fn write_stderr(text: &str) {
    // There is no way to report that standard error fails.
    drop(writeln!(io::stderr(), "{text}"));
}

impl Sink {
    fn choose(identifier: &str, facility: u8) -> Self {
        if connected_to_journal()
            && let Ok(journal) = JournalLog::empty()
        {
            let journal = journal
                .with_syslog_identifier(identifier.to_owned())
                .add_extra_field("SYSLOG_FACILITY", facility.to_string());
            return Self::Journal(Box::new(journal));
        }
        Self::Stderr {
            identifier: identifier.to_owned(),
            with_priority: std::env::var_os("INVOCATION_ID").is_some(),
        }
    }

    /// Returns whether the record was accepted.
    fn write(&self, record: &Record<'_>) -> bool {
        match self {
            Self::Journal(journal) => journal.journal_send(record).is_ok(),
            Self::Stderr {
                identifier,
                with_priority,
            } => {
                let (priority, word) = match record.level() {
                    Level::Error => (3, "error: "),
                    Level::Warn => (4, "warning: "),
                    Level::Info => (5, ""),
                    Level::Debug | Level::Trace => (7, "debug: "),
                };
                let text = record.args();
                if *with_priority {
                    write_stderr(&format!("<{priority}>{word}{text}"));
                } else {
                    write_stderr(&format!("{identifier}: {word}{text}"));
                }
                true
            }
        }
    }
}

/// The thread: writes queued records until the logger is gone.
fn write_all(sink: &Sink, receiver: &Receiver<QueueItem>) {
    while let Ok(item) = receiver.recv() {
        match item {
            QueueItem::Record(owned) if owned.write(sink) => report_dropped(sink),
            // A sink that does not accept this record would not accept a report about it either.
            QueueItem::Record(_) => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
            QueueItem::Flushed(done) => {
                report_dropped(sink);
                // The receiver may have stopped waiting.
                done.try_send(()).unwrap_or_default();
            }
        }
    }
}

/// Writes the number of dropped records, if any. If that is not accepted either, they stay counted.
fn report_dropped(sink: &Sink) {
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    if dropped == 0 {
        return;
    }
    let report = OwnedRecord {
        level: Level::Warn,
        target: TARGET.to_owned(),
        text: format!("{dropped} log records were dropped: the journal did not take them"),
        fields: Vec::new(),
    };
    if !report.write(sink) {
        DROPPED.fetch_add(dropped, Ordering::Relaxed);
    }
}

impl OwnedRecord {
    /// Returns whether it was accepted.
    fn write(&self, sink: &Sink) -> bool {
        sink.write(
            &Record::builder()
                .level(self.level)
                .target(&self.target)
                .key_values(&self.fields.as_slice())
                .args(format_args!("{}", self.text))
                .build(),
        )
    }
}

/// Collects the fields of a record in their order.
struct FieldCollector(Vec<(String, String)>);

impl<'kvs> kv::VisitSource<'kvs> for FieldCollector {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

impl Log for QueuedLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Records of libraries below a warning are not for administrators.
        metadata.target().starts_with("stargrey") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut fields = FieldCollector(Vec::new());
        let collected = record.key_values().visit(&mut fields);
        let owned = OwnedRecord {
            level: record.level(),
            target: record.target().to_owned(),
            text: record.args().to_string(),
            fields: collected.map_or_else(|_| Vec::new(), |()| fields.0),
        };
        match self.sender.try_send(QueueItem::Record(owned)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything logged so far is written, at most [`FLUSH_TIMEOUT`].
    fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        let begun = monotonic();
        let left = || FLUSH_TIMEOUT.saturating_sub(monotonic().saturating_sub(begun));
        let mut item = QueueItem::Flushed(done);
        while let Err(TrySendError::Full(back)) = self.sender.try_send(item) {
            if left().is_zero() {
                return;
            }
            item = back;
            thread::sleep(RETRY_INTERVAL.min(left()));
        }
        // Shutdown does not wait longer.
        is_done.recv_timeout(left()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_not_taken_drops_records_and_counts_them() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let (sender, receiver) = sync_channel(2);
        let logger = QueuedLogger {
            sender,
            dropped: &LOST,
        };
        let record = Record::builder()
            .level(Level::Info)
            .target("stargrey::test")
            .args(format_args!("a line"))
            .build();
        for _ in 0..5 {
            logger.log(&record);
        }
        assert_eq!(LOST.load(Ordering::Relaxed), 3);
        assert_eq!(receiver.try_iter().count(), 2);
    }

    #[test]
    fn fields_outlive_their_call() {
        let (sender, receiver) = sync_channel(1);
        let logger = QueuedLogger {
            sender,
            dropped: &DROPPED,
        };
        let fields = [("STARGREY_REASON", "new".to_owned())];
        logger.log(
            &Record::builder()
                .level(Level::Info)
                .target("stargrey::test")
                .key_values(&fields.as_slice())
                .args(format_args!("a line"))
                .build(),
        );
        let Ok(QueueItem::Record(owned)) = receiver.try_recv() else {
            panic!("no record");
        };
        let want = ("STARGREY_REASON".to_owned(), "new".to_owned());
        assert_eq!((owned.text.as_str(), owned.fields), ("a line", vec![want]));
    }
}

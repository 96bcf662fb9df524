//! Where log records go: to the journal when it is there, else to standard error; never to both.
//!
//! Records pass through a bounded queue to a thread of their own, so that a journal that does not take them
//! never stops mail. When the queue is full they are dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record, kv};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use crate::config::Verbosity;
use crate::service::clock::monotonic;

/// Records that may wait: a second's worth of a busy server.
const QUEUE: usize = 8192;

/// How long the end of the daemon waits for records that wait.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long it waits for a place in a full queue before it looks again.
const FULL: Duration = Duration::from_millis(10);

/// The target of what this module itself has to say.
const TARGET: &str = "stargrey";

/// A record that outlives its call.
struct Owned {
    level: Level,
    target: String,
    text: String,
    fields: Vec<(String, String)>,
}

/// What goes through the queue.
enum Item {
    Record(Owned),
    /// Everything before this was written.
    Flushed(SyncSender<()>),
}

/// The logger that `log` knows.
struct Queued {
    sender: SyncSender<Item>,
    dropped: &'static AtomicU64,
}

/// How many records were dropped and not yet reported.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Where the thread writes.
enum Sink {
    Journal(Box<JournalLog>),
    /// With the identifier before each line, or with the priority that the service manager reads.
    Stderr {
        identifier: String,
        with_priority: bool,
    },
}

/// Begins to log, under this identifier.
pub(super) fn start(identifier: &str, verbosity: Verbosity, facility: u8) {
    let sink = Sink::choose(identifier, facility);
    let (sender, receiver) = sync_channel(QUEUE);
    let logger = Queued {
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

/// Writes one text to standard error, before there is a logger or instead of it.
pub(super) fn say(text: &str) {
    // Nobody is left to be told that standard error is gone.
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

    /// Says whether the record was taken.
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
                    say(&format!("<{priority}>{word}{text}"));
                } else {
                    say(&format!("{identifier}: {word}{text}"));
                }
                true
            }
        }
    }
}

/// The thread: writes what comes until nobody can send any more.
fn write_all(sink: &Sink, receiver: &Receiver<Item>) {
    while let Ok(item) = receiver.recv() {
        match item {
            Item::Record(owned) if owned.write(sink) => tell_dropped(sink),
            // Whoever does not take this one would not take the news of it either.
            Item::Record(_) => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
            Item::Flushed(done) => {
                tell_dropped(sink);
                // Whoever has stopped waiting is not told.
                done.try_send(()).unwrap_or_default();
            }
        }
    }
}

/// Writes how many records were dropped, if any were. As long as that is not taken either they stay counted.
fn tell_dropped(sink: &Sink) {
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    if dropped == 0 {
        return;
    }
    let news = Owned {
        level: Level::Warn,
        target: TARGET.to_owned(),
        text: format!("{dropped} log records were dropped: the journal did not take them"),
        fields: Vec::new(),
    };
    if !news.write(sink) {
        DROPPED.fetch_add(dropped, Ordering::Relaxed);
    }
}

impl Owned {
    /// Says whether it was taken.
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

/// Takes the fields of a record as they come.
struct Collected(Vec<(String, String)>);

impl<'kvs> kv::VisitSource<'kvs> for Collected {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

impl Log for Queued {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries have to say below a warning is not for administrators.
        metadata.target().starts_with("stargrey") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut fields = Collected(Vec::new());
        let collected = record.key_values().visit(&mut fields);
        let owned = Owned {
            level: record.level(),
            target: record.target().to_owned(),
            text: record.args().to_string(),
            fields: collected.map_or_else(|_| Vec::new(), |()| fields.0),
        };
        match self.sender.try_send(Item::Record(owned)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything logged so far is written, but not for ever.
    fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        let begun = monotonic();
        let left = || LAST_WORDS.saturating_sub(monotonic().saturating_sub(begun));
        let mut item = Item::Flushed(done);
        while let Err(TrySendError::Full(back)) = self.sender.try_send(item) {
            if left().is_zero() {
                return;
            }
            item = back;
            thread::sleep(FULL.min(left()));
        }
        // Whoever ends does not wait longer.
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
        let logger = Queued {
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
        let logger = Queued {
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
        let Ok(Item::Record(owned)) = receiver.try_recv() else {
            panic!("no record");
        };
        let want = ("STARGREY_REASON".to_owned(), "new".to_owned());
        assert_eq!((owned.text.as_str(), owned.fields), ("a line", vec![want]));
    }
}

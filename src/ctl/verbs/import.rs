//! `import`: imports the records of other greylisting servers, or of an export.
//!
//! An input that can be read twice (a directory, a file) is read to its end first, so that its errors are found before
//! anything is sent. Then the records go to the daemon in batches, each of which it imports as a whole or not at all.
//! The records of a rejected batch are sent one by one, and those that the daemon rejects are skipped.

use std::collections::BTreeMap;

use serde_json::json;

use super::Answer;
use super::moved::{EntryResult, ExistingEntries, is_entry};
use crate::api::{CHANGED, Dict, Error, FromRow, ManagerProxy, NEW, UNCHANGED};
use crate::ctl::args::Import;
use crate::ctl::failure::Failure;
use crate::ctl::import::Skip;
use crate::ctl::input::{Input, Record};
use crate::ctl::json;
use crate::ctl::output;
use crate::ctl::progress::Progress;
use crate::ctl::render::KeyValues;
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::counted;

/// Records in one call. The daemon accepts more, but requests wait while it writes them.
const BATCH: usize = 100;

/// At most one record in this number may be skipped without a warning.
const TOLERATED: u64 = 10;

/// The message after the counts of a dry run.
const DRY_RUN: &str = "Dry run: nothing was imported. Duplicate records were counted twice.\n";

/// The counts of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ImportCounts {
    read: u64,
    new: u64,
    changed: u64,
    unchanged: u64,
    skipped: BTreeMap<Skip, u64>,
    /// Why the daemon rejected the first rejected record.
    refusal: Option<String>,
    is_dry: bool,
    /// Whether the input is an export without a record count.
    is_uncounted: bool,
}

/// Imports the records.
pub(super) async fn run(session: &Session, options: &Import) -> Result<Answer, Failure> {
    let mut input = Input::open(options)?;
    // Opening a directory copies it. A signal during the copy is handled here, before anything is sent.
    tokio::task::yield_now().await;
    let total = input.count().await?;
    let mut counts = ImportCounts {
        is_dry: is_dry(options),
        ..ImportCounts::default()
    };
    let progress = Progress::begin(total);
    let sent = send(session, &mut input, &mut counts, &progress).await;
    drop(progress);
    if counts.is_uncounted {
        output::remark(&format!("stargreyctl: {}\n", uncounted(&input)));
    }
    match sent {
        Ok(()) if counts.read == 0 => Ok(nothing(&counts, &input, &session.view)),
        Ok(()) if counts.left_out() == counts.read => Err(counts.useless(input.name())),
        Ok(()) => {
            let text = counts.text(&session.view);
            let Some(warning) = counts.warning() else {
                return Ok(Answer::yes(text));
            };
            output::remark(&format!("stargreyctl: {warning}\n"));
            Ok(Answer::no(text))
        }
        Err(source) if counts.taken() == 0 => Err(source),
        Err(source) => Err(Failure::Import {
            source: Box::new(source),
            taken: counts.until_then(),
        }),
    }
}

/// Whether this is a dry run.
const fn is_dry(options: &Import) -> bool {
    match options {
        Import::Postgrey { dry_run, .. }
        | Import::MilterGreylist { dry_run, .. }
        | Import::Json { dry_run, .. } => *dry_run,
        Import::PostgreyOptions { .. } => true,
    }
}

/// Sends all records.
async fn send(
    session: &Session,
    input: &mut Input,
    counts: &mut ImportCounts,
    progress: &Progress,
) -> Result<(), Failure> {
    let manager = session.manager().await?;
    let mut records = input.records()?;
    let mut rows = Vec::with_capacity(BATCH);
    let mut known = ExistingEntries::default();
    loop {
        let record = records.next().transpose()?;
        let is_over = record.is_none();
        match record {
            Some(Record::Row(row)) if is_entry(&row) => {
                counts.read = counts.read.saturating_add(1);
                counts.settle(known.add(session, &row, counts.is_dry).await?);
            }
            Some(Record::Row(row)) => {
                counts.read = counts.read.saturating_add(1);
                rows.push(row);
            }
            Some(Record::Skipped(why)) => {
                counts.read = counts.read.saturating_add(1);
                counts.skip(why);
            }
            Some(Record::Uncounted) => counts.is_uncounted = true,
            None => {}
        }
        if rows.len() == BATCH || is_over && !rows.is_empty() {
            if !take(session, &manager, &rows, counts).await? {
                for row in &rows {
                    if !take(session, &manager, std::slice::from_ref(row), counts).await? {
                        counts.skip(Skip::Refused);
                    }
                }
            }
            rows.clear();
            progress.show(counts.read);
        }
        if is_over {
            return Ok(());
        }
    }
}

/// Sends records to the daemon; returns whether it accepted all of them.
async fn take(
    session: &Session,
    manager: &ManagerProxy<'_>,
    rows: &[Dict],
    counts: &mut ImportCounts,
) -> Result<bool, Failure> {
    match session
        .ask("Import", manager.import(rows, counts.is_dry))
        .await
    {
        Ok(taken) => {
            counts.add(&taken);
            Ok(true)
        }
        Err(Failure::Record(said)) => {
            counts.refusal.get_or_insert(said);
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}

/// The warning about an export of an earlier version.
fn uncounted(input: &Input) -> String {
    format!(
        "{} was exported by an earlier version and has no line that states the number of records: \
         whether it is complete is not known",
        input.name()
    )
}

/// The answer for an empty input.
fn nothing(counts: &ImportCounts, input: &Input, view: &View) -> Answer {
    let mut text = counts.text(view);
    if !view.json {
        text.insert_str(0, &format!("There are no records in {}.\n", input.name()));
    }
    Answer::no(text)
}

impl ImportCounts {
    /// Counts a skipped record, which is counted as read already.
    fn skip(&mut self, why: Skip) {
        let count = self.skipped.entry(why).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts an entry.
    fn settle(&mut self, fate: EntryResult) {
        match fate {
            EntryResult::New => self.new = self.new.saturating_add(1),
            EntryResult::Unchanged => self.unchanged = self.unchanged.saturating_add(1),
            EntryResult::Refused(said) => {
                self.refusal.get_or_insert(said);
                self.skip(Skip::Refused);
            }
        }
    }

    /// Counts the imported records of a batch.
    fn add(&mut self, taken: &Dict) {
        let number = |key| taken.number(key).unwrap_or_default();
        self.new = self.new.saturating_add(number(NEW));
        self.changed = self.changed.saturating_add(number(CHANGED));
        self.unchanged = self.unchanged.saturating_add(number(UNCHANGED));
    }

    /// The number of records that are imported or were in the database.
    const fn taken(&self) -> u64 {
        self.new
            .saturating_add(self.changed)
            .saturating_add(self.unchanged)
    }

    /// The number of skipped records.
    fn left_out(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// The warning if more than a few records were skipped.
    fn warning(&self) -> Option<String> {
        let skipped = self.left_out();
        (skipped.saturating_mul(TOLERATED) > self.read).then(|| {
            format!(
                "warning: {skipped} of {} skipped: {}",
                counted(self.read, "record", "records"),
                self.reasons().join("; ")
            )
        })
    }

    /// The number of skipped records for each reason.
    fn reasons(&self) -> Vec<String> {
        let reason = |(why, count): (&Skip, &u64)| match (why, &self.refusal) {
            (Skip::Refused, Some(said)) => {
                format!("{count}: {why}: {}", Error::reason_of_row(said))
            }
            _ => format!("{count}: {why}"),
        };
        self.skipped.iter().map(reason).collect()
    }

    /// The failure if all records were skipped.
    fn useless(&self, name: String) -> Failure {
        let why = self.reasons();
        Failure::NoRecords {
            name,
            why: why.join("; "),
        }
    }

    /// The failure if the import was aborted.
    fn until_then(&self) -> String {
        let taken = counted(self.taken(), "record", "records");
        let verb = if self.is_dry {
            "would have been"
        } else {
            "had been"
        };
        format!(
            "until then {taken} {verb} imported: {} new, {} changed, {} unchanged",
            self.new, self.changed, self.unchanged
        )
    }

    /// All counts.
    fn text(&self, view: &View) -> String {
        if view.json {
            let skipped: serde_json::Map<_, _> = self
                .skipped
                .iter()
                .map(|(why, count)| (why.word().to_owned(), (*count).into()))
                .collect();
            return json::shown(&json!({
                "read": self.read,
                NEW: self.new,
                CHANGED: self.changed,
                UNCHANGED: self.unchanged,
                "skipped": skipped,
                "dry_run": self.is_dry,
            }));
        }
        // In a dry run the daemon stores nothing, so it does not recognize a duplicate from an earlier batch.
        let most = if self.is_dry { "at most " } else { "" };
        let mut values = KeyValues::new()
            .with("Read", self.read)
            .with("New", format!("{most}{}", self.new))
            .with("Changed", self.changed)
            .with("Unchanged", self.unchanged);
        for reason in self.reasons() {
            values = values.with("Skipped", reason);
        }
        let mut text = values.render(&view.terminal);
        if self.is_dry {
            text.push_str(DRY_RUN);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Row;

    fn counts() -> ImportCounts {
        let mut counts = ImportCounts {
            read: 1_000_003,
            ..ImportCounts::default()
        };
        let row = |new: u64| Row::new().with(NEW, new).with(CHANGED, 5_u64);
        counts.add(&row(999_000).with(UNCHANGED, 900_u64).build());
        counts.add(&row(90).build());
        for why in [Skip::Ambiguous, Skip::Address, Skip::Ambiguous] {
            counts.skip(why);
        }
        counts
    }

    #[test]
    fn all_is_counted() {
        let want = "
     Read: 1000003
      New: 999090
  Changed: 10
Unchanged: 900
  Skipped: 2: an address contains a slash, the key can be read in several ways
  Skipped: 1: the client is not an IP address
";
        let mut counts = counts();
        let got = counts.text(&View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
        counts.is_dry = true;
        let got = counts.text(&View::of_80_columns());
        assert!(got.contains("\n      New: at most 999090\n"), "{got}");
        assert!(got.ends_with(DRY_RUN), "{got}");
    }

    #[test]
    fn a_file_without_any_record_is_refused() {
        let mut counts = ImportCounts {
            read: 3,
            ..ImportCounts::default()
        };
        for why in [Skip::Key, Skip::Address, Skip::Key] {
            counts.skip(why);
        }
        assert_eq!(counts.left_out(), counts.read);
        let failure = counts.useless("/etc/passwd".to_owned());
        let want = "no valid records in /etc/passwd: 2: the key is neither a \
                    triplet nor an address; 1: the client is not an IP address";
        assert_eq!(failure.to_string(), want);
        assert_eq!(failure.code(), crate::ctl::exit::DATAERR);
    }

    #[test]
    fn json_has_the_same_counts() {
        let want = r#"{
  "changed": 10,
  "dry_run": false,
  "new": 999090,
  "read": 1000003,
  "skipped": {
    "address": 1,
    "ambiguous": 2
  },
  "unchanged": 900
}
"#;
        assert_eq!(counts().text(&View::of_json()), want);
    }

    #[test]
    fn more_than_one_in_ten_skipped_is_said_aloud() {
        for (read, skipped, want) in [
            (10, 0, None),
            (10, 1, None),
            (10, 2, Some("warning: 2 of 10 records skipped: 2: the key")),
            (1, 1, Some("warning: 1 of 1 record skipped: 1: the key")),
        ] {
            let mut counts = ImportCounts {
                read,
                ..ImportCounts::default()
            };
            for _ in 0..skipped {
                counts.skip(Skip::Key);
            }
            let got = counts.warning();
            let is_wanted = match (&got, want) {
                (Some(got), Some(want)) => got.starts_with(want),
                (got, want) => got.is_none() && want.is_none(),
            };
            assert!(is_wanted, "{read}, {skipped}: {got:?}");
        }
    }

    #[test]
    fn what_was_done_before_an_error_is_said() {
        let failure = Failure::Import {
            source: Box::new(Failure::refused(
                "Import",
                Error::StoreUnavailable("no".to_owned()),
            )),
            taken: counts().until_then(),
        };
        let want = "no\nuntil then 1000000 records had been imported: 999090 new, 10 changed, 900 unchanged";
        assert_eq!(failure.to_string(), want);
        assert_eq!(failure.code(), crate::ctl::exit::UNAVAILABLE);
    }
}

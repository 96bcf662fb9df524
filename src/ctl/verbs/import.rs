//! `import`: records of other greylisters, and of an export.
//!
//! What can be read twice (a directory, a file) is read to its end first, so that what is wrong with it is known
//! before anything is sent. Then the records go to the daemon in batches, each of which it takes as a whole
//! or not at all. The records of a batch that it refuses are sent one by one, and those that it refuses are skipped.

use std::collections::BTreeMap;

use serde_json::json;

use super::Answer;
use super::moved::{Fate, Known, is_entry};
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

/// Records that are sent at once. The daemon takes more, but mail waits while it writes them.
const BATCH: usize = 100;

/// Of so many records one may be skipped without a warning.
const TOLERATED: u64 = 10;

/// What is said behind the counts of a dry run.
const DRY: &str = "Dry run: nothing was imported. Duplicate records were counted twice.\n";

/// What has become of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    read: u64,
    new: u64,
    changed: u64,
    unchanged: u64,
    skipped: BTreeMap<Skip, u64>,
    /// Why the daemon refused the first of those that it refused.
    refusal: Option<String>,
    is_dry: bool,
    /// Whether the input is an export that does not say how many records it has.
    is_uncounted: bool,
}

/// Reads and sends.
pub(super) async fn run(session: &Session, options: &Import) -> Result<Answer, Failure> {
    let mut input = Input::open(options)?;
    // To open a directory is to copy it. A signal that came meanwhile is heard now, before anything is sent.
    tokio::task::yield_now().await;
    let total = input.count().await?;
    let mut tally = Tally {
        is_dry: is_dry(options),
        ..Tally::default()
    };
    let progress = Progress::begin(total);
    let sent = send(session, &mut input, &mut tally, &progress).await;
    drop(progress);
    if tally.is_uncounted {
        output::remark(&format!("stargreyctl: {}\n", uncounted(&input)));
    }
    match sent {
        Ok(()) if tally.read == 0 => Ok(nothing(&tally, &input, &session.view)),
        Ok(()) if tally.left_out() == tally.read => Err(tally.useless(input.name())),
        Ok(()) => {
            let text = tally.text(&session.view);
            let Some(warning) = tally.warning() else {
                return Ok(Answer::yes(text));
            };
            output::remark(&format!("stargreyctl: {warning}\n"));
            Ok(Answer::no(text))
        }
        Err(source) if tally.taken() == 0 => Err(source),
        Err(source) => Err(Failure::Import {
            source: Box::new(source),
            taken: tally.until_then(),
        }),
    }
}

/// Whether nothing is to be taken.
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
    tally: &mut Tally,
    progress: &Progress,
) -> Result<(), Failure> {
    let manager = session.manager().await?;
    let mut records = input.records()?;
    let mut rows = Vec::with_capacity(BATCH);
    let mut known = Known::default();
    loop {
        let record = records.next().transpose()?;
        let is_over = record.is_none();
        match record {
            Some(Record::Row(row)) if is_entry(&row) => {
                tally.read = tally.read.saturating_add(1);
                tally.settle(known.add(session, &row, tally.is_dry).await?);
            }
            Some(Record::Row(row)) => {
                tally.read = tally.read.saturating_add(1);
                rows.push(row);
            }
            Some(Record::Skipped(why)) => {
                tally.read = tally.read.saturating_add(1);
                tally.skip(why);
            }
            Some(Record::Uncounted) => tally.is_uncounted = true,
            None => {}
        }
        if rows.len() == BATCH || is_over && !rows.is_empty() {
            if !take(session, &manager, &rows, tally).await? {
                for row in &rows {
                    if !take(session, &manager, std::slice::from_ref(row), tally).await? {
                        tally.skip(Skip::Refused);
                    }
                }
            }
            rows.clear();
            progress.show(tally.read);
        }
        if is_over {
            return Ok(());
        }
    }
}

/// Has the daemon take records; says whether it has, or refuses one of them.
async fn take(
    session: &Session,
    manager: &ManagerProxy<'_>,
    rows: &[Dict],
    tally: &mut Tally,
) -> Result<bool, Failure> {
    match session
        .ask("Import", manager.import(rows, tally.is_dry))
        .await
    {
        Ok(taken) => {
            tally.add(&taken);
            Ok(true)
        }
        Err(Failure::Record(said)) => {
            tally.refusal.get_or_insert(said);
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}

/// What there is to say about an export of an earlier version.
fn uncounted(input: &Input) -> String {
    format!(
        "{} was exported by an earlier version and has no line that states the number of records: \
         whether it is complete is not known",
        input.name()
    )
}

/// What there is to say when there was nothing to read.
fn nothing(tally: &Tally, input: &Input, view: &View) -> Answer {
    let mut text = tally.text(view);
    if !view.json {
        text.insert_str(0, &format!("There are no records in {}.\n", input.name()));
    }
    Answer::no(text)
}

impl Tally {
    /// Counts a record that is left out; it has been counted as read.
    fn skip(&mut self, why: Skip) {
        let count = self.skipped.entry(why).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts an entry.
    fn settle(&mut self, fate: Fate) {
        match fate {
            Fate::New => self.new = self.new.saturating_add(1),
            Fate::Unchanged => self.unchanged = self.unchanged.saturating_add(1),
            Fate::Refused(said) => {
                self.refusal.get_or_insert(said);
                self.skip(Skip::Refused);
            }
        }
    }

    /// Counts what has been taken of a batch.
    fn add(&mut self, taken: &Dict) {
        let number = |key| taken.number(key).unwrap_or_default();
        self.new = self.new.saturating_add(number(NEW));
        self.changed = self.changed.saturating_add(number(CHANGED));
        self.unchanged = self.unchanged.saturating_add(number(UNCHANGED));
    }

    /// How many records the daemon has taken, or found to be there.
    const fn taken(&self) -> u64 {
        self.new
            .saturating_add(self.changed)
            .saturating_add(self.unchanged)
    }

    /// How many records were left out.
    fn left_out(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// What there is to say when more was left out than an odd record.
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

    /// Why records were left out, and how many for each reason.
    fn reasons(&self) -> Vec<String> {
        let reason = |(why, count): (&Skip, &u64)| match (why, &self.refusal) {
            (Skip::Refused, Some(said)) => {
                format!("{count}: {why}: {}", Error::reason_of_row(said))
            }
            _ => format!("{count}: {why}"),
        };
        self.skipped.iter().map(reason).collect()
    }

    /// What there is to say when all was left out.
    fn useless(&self, name: String) -> Failure {
        let why = self.reasons();
        Failure::NoRecords {
            name,
            why: why.join("; "),
        }
    }

    /// What there is to say when it did not go on.
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
        // The daemon, which takes nothing, cannot know that it has seen a record in an earlier batch.
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
            text.push_str(DRY);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Row;

    fn tally() -> Tally {
        let mut tally = Tally {
            read: 1_000_003,
            ..Tally::default()
        };
        let row = |new: u64| Row::new().with(NEW, new).with(CHANGED, 5_u64);
        tally.add(&row(999_000).with(UNCHANGED, 900_u64).build());
        tally.add(&row(90).build());
        for why in [Skip::Ambiguous, Skip::Address, Skip::Ambiguous] {
            tally.skip(why);
        }
        tally
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
        let mut tally = tally();
        let got = tally.text(&View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
        tally.is_dry = true;
        let got = tally.text(&View::of_80_columns());
        assert!(got.contains("\n      New: at most 999090\n"), "{got}");
        assert!(got.ends_with(DRY), "{got}");
    }

    #[test]
    fn a_file_without_any_record_is_refused() {
        let mut tally = Tally {
            read: 3,
            ..Tally::default()
        };
        for why in [Skip::Key, Skip::Address, Skip::Key] {
            tally.skip(why);
        }
        assert_eq!(tally.left_out(), tally.read);
        let failure = tally.useless("/etc/passwd".to_owned());
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
        assert_eq!(tally().text(&View::of_json()), want);
    }

    #[test]
    fn more_than_one_in_ten_skipped_is_said_aloud() {
        for (read, skipped, want) in [
            (10, 0, None),
            (10, 1, None),
            (10, 2, Some("warning: 2 of 10 records skipped: 2: the key")),
            (1, 1, Some("warning: 1 of 1 record skipped: 1: the key")),
        ] {
            let mut tally = Tally {
                read,
                ..Tally::default()
            };
            for _ in 0..skipped {
                tally.skip(Skip::Key);
            }
            let got = tally.warning();
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
            taken: tally().until_then(),
        };
        let want = "no\nuntil then 1000000 records had been imported: 999090 new, 10 changed, 900 unchanged";
        assert_eq!(failure.to_string(), want);
        assert_eq!(failure.code(), crate::ctl::exit::UNAVAILABLE);
    }
}

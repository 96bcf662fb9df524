//! One scenario over every store: the conformance test of the traits.

use std::sync::Arc;

use super::kept_tests::entry;
use super::lmdb::{Durability, LmdbOpener};
use super::memory::MemoryStore;
use super::*;
use crate::types::sync::Mutex;
use crate::types::{ClientIp, Span};

impl MemoryStore {
    /// A backup: a separate store with the same content.
    pub(crate) fn copy(&self) -> Self {
        let tables = self.tables.lock().clone();
        Self {
            tables: Arc::new(Mutex::new(tables)),
            reads: Arc::default(),
            changes: Arc::default(),
        }
    }
}

fn case(sender: &str) -> Case {
    let client = ClientIp::parse(b"192.0.2.7").unwrap();
    Case {
        client: Some(ClientKey::new(client.network(32, 128))),
        triplet: Some(triplet(sender)),
        others: Vec::new(),
        sleep: Some(ClientKey::new(client.network(32, 128))),
        suspicion: None,
        terms: crate::policy::Terms::default(),
        asks_known: false,
        is_stressed: false,
        shared: None,
    }
}

fn triplet(sender: &str) -> TripletKey {
    let client = ClientIp::parse(b"192.0.2.7").unwrap();
    TripletKey::new(
        client.network(24, 64),
        sender.as_bytes(),
        b"joe@example.org",
    )
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn waiting(first: u64) -> Triplet {
    Triplet::Waiting {
        first: at(first),
        last: at(first),
        retries: 0,
        counted: u32::try_from(first % 2).unwrap(),
        why: None,
    }
}

fn passed(first: u64, last: u64) -> Triplet {
    Triplet::Passed {
        first: at(first),
        passed: at(first + 300),
        last: at(last),
        mails: 1,
    }
}

fn put(writer: &mut dyn Writer, sender: &str, record: Triplet) {
    writer
        .transact(&mut |records| Ok(records.put_triplet(&triplet(sender), record)?))
        .unwrap();
}

pub(super) fn sweep_all(writer: &mut dyn Writer, now: Timestamp) -> u64 {
    let mut removed = 0;
    for _ in 0..SWEEPS {
        loop {
            let swept = writer.sweep(now, &Params::default()).unwrap();
            removed += swept.removed;
            if swept.finished {
                break;
            }
        }
    }
    removed
}

/// Passes over everything after which nothing is left that could go.
const SWEEPS: usize = 7;

/// A sleep is kept, changed, removed, and kept again for the sweep.
fn keep_and_remove_a_sleep(reader: &dyn Reader, writer: &mut dyn Writer) {
    let sleep = |seen| Sleep {
        ordered: at(0),
        length: Span::from_seconds(125),
        seen: at(seen),
    };
    let asked = case("a@b");
    for seen in [0, 300] {
        let kept = Changes {
            sleep: Some(SleepChange::Keep(sleep(seen))),
            ..Changes::NONE
        };
        writer
            .transact(&mut |records| Ok(records.apply(&asked, &kept)?))
            .unwrap();
        assert_eq!(reader.facts(&asked).unwrap().sleep, Some(sleep(seen)));
        assert_eq!(reader.record_counts().unwrap().sleeps, 1);
    }
    let removed = Changes {
        sleep: Some(SleepChange::Remove),
        ..Changes::NONE
    };
    for _ in 0..2 {
        writer
            .transact(&mut |records| Ok(records.apply(&asked, &removed)?))
            .unwrap();
        assert_eq!(reader.facts(&asked).unwrap().sleep, None);
    }
    let kept = SleepChange::Keep(sleep(0));
    writer
        .transact(&mut |records| Ok(records.change_sleep(asked.sleep.as_ref().unwrap(), kept)?))
        .unwrap();
}

fn scenario(opener: &dyn Opener) {
    let none = StoredRecords::default();
    let (reader, mut writer) = opener.open().unwrap();
    let writer = writer.as_mut();
    assert_eq!(reader.facts(&case("a@b")).unwrap(), none);
    assert_eq!(reader.latest().unwrap(), None);

    // A transaction is all or nothing.
    let failed = writer.transact(&mut |records| {
        records.put_triplet(&triplet("a@b"), waiting(0))?;
        Err(StoreError::Closed.into())
    });
    assert!(matches!(
        failed,
        Err(RequestError::Store(StoreError::Closed))
    ));
    assert_eq!(reader.facts(&case("a@b")).unwrap(), none);

    // So is one that is only tried: what the job has seen is undone.
    let trial = writer.run(
        &mut |records| {
            records.put_triplet(&triplet("a@b"), waiting(0))?;
            assert_eq!(records.triplet(&triplet("a@b"))?, Some(waiting(0)));
            Ok(())
        },
        Commit::Discard,
    );
    trial.unwrap();
    assert_eq!(reader.facts(&case("a@b")).unwrap(), none);

    // What is put is read, inside the transaction and outside.
    let client = Client {
        count: 4,
        last: at(7),
    };
    writer
        .transact(&mut |records| {
            let case = case("a@b");
            records.put_triplet(&triplet("a@b"), waiting(0))?;
            records.put_client(case.client.as_ref().unwrap(), client)?;
            assert_eq!(records.facts(&case)?.triplet, Some(waiting(0)));
            Ok(())
        })
        .unwrap();
    let facts = reader.facts(&case("A@B")).unwrap();
    assert_eq!(
        (facts.triplet, facts.client),
        (Some(waiting(0)), Some(client))
    );

    keep_and_remove_a_sleep(reader.as_ref(), writer);

    // A triplet has one record, whichever way it went.
    for record in [passed(0, 300), waiting(86_400), passed(86_400, 90_000)] {
        put(writer, "a@b", record);
        assert_eq!(reader.facts(&case("a@b")).unwrap().triplet, Some(record));
        let figures = reader.record_counts().unwrap();
        assert_eq!(figures.waiting + figures.passed, 1);
    }

    // Addresses of any length have records of their own.
    let long: Vec<String> = [400, 480, 490, 600, 60_000]
        .iter()
        .flat_map(|length| ["x", "y"].map(|end| "s".repeat(*length) + end + "@b"))
        .collect();
    for (n, sender) in (0..).zip(&long) {
        put(writer, sender, waiting(n));
    }
    for (n, sender) in (0..).zip(&long) {
        let facts = reader.facts(&case(sender)).unwrap();
        assert_eq!(facts.triplet, Some(waiting(n)), "{}", sender.len());
    }

    // The sweep takes what is over and leaves the rest, without any traffic.
    put(writer, "late@b", waiting(80_000));
    let days = |days: u64| at(days * 86_400);
    assert_eq!(sweep_all(writer, days(1)), 0);
    assert!(sweep_all(writer, days(5)) >= 12);
    assert_eq!(reader.facts(&case("late@b")).unwrap().triplet, None);
    assert_eq!(reader.record_counts().unwrap().passed, 1);
    assert_eq!(reader.record_counts().unwrap().clients, 1);
    assert_eq!(reader.record_counts().unwrap().sleeps, 0);
    assert_eq!(reader.count_whitelisted(4).unwrap(), 1);
    assert_eq!(reader.count_whitelisted(5).unwrap(), 0);
    assert_eq!(sweep_all(writer, days(40)), 2);
    assert_eq!(reader.record_counts().unwrap(), RecordCounts::default());

    writer.note_time(days(40)).unwrap();
    writer.sync().unwrap();
    assert_eq!(reader.latest().unwrap(), Some(days(40)));
}

/// An opener for a directory.
pub(super) fn lmdb(directory: &std::path::Path) -> LmdbOpener {
    LmdbOpener {
        directory: directory.to_owned(),
        // Many of these are open at once, and a 32-bit machine has to address all of them.
        max_size: 1 << 27,
        durability: Durability::Data,
        privacy: false,
        retry_window: Params::default().retry_window,
    }
}

/// Plays a scenario with every store; it is told whether keys are hashed.
pub(super) fn with_every_store(scenario: impl Fn(&dyn Opener, bool)) {
    scenario(&MemoryStore::new(), false);
    let directory = tempfile::tempdir().unwrap();
    scenario(&lmdb(directory.path()), false);
    let directory = tempfile::tempdir().unwrap();
    let private = LmdbOpener {
        privacy: true,
        durability: Durability::Full,
        ..lmdb(directory.path())
    };
    scenario(&private, true);
}

#[test]
fn every_store_does_the_same() {
    with_every_store(|opener, _| scenario(opener));
}

/// Changes something of every kind, more than once, in one transaction.
fn change_all(records: &mut dyn Records, senders: [&str; 3]) -> Result<(), RequestError> {
    let [first, second, third] = senders;
    records.put_triplet(&triplet(first), waiting(7))?;
    records.put_triplet(&triplet(first), passed(7, 900))?;
    records.put_triplet(&triplet(third), waiting(3))?;
    records.move_triplet(&triplet(second), &triplet(third), waiting(3))?;
    records.remove_triplet(&triplet(first))?;
    let key = ClientKey::new(ClientIp::parse(b"192.0.2.7").unwrap().network(32, 128));
    let client = Client {
        count: u32::try_from(first.len()).unwrap(),
        last: at(9),
    };
    records.put_client(&key, client)?;
    records.change_sleep(&key, SleepChange::Remove)?;
    let sleep = Sleep {
        ordered: at(0),
        length: Span::from_seconds(125),
        seen: at(u64::try_from(second.len()).unwrap()),
    };
    records.change_sleep(&key, SleepChange::Keep(sleep))?;
    records.put_entry(&entry(ListName::Client, first))?;
    records.remove_entry(ListName::Client, second)?;
    records.put_pause(Some(Pause {
        until: Some(at(third.len() as u64)),
    }))?;
    records.add_counters(at(0), &Counters::from([(first.to_owned(), 1)]))
}

#[test]
fn nothing_of_a_discarded_or_failed_transaction_is_left() {
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        let state = || {
            let facts = ["a@b", "long@b", "longer@b"].map(|sender| reader.facts(&case(sender)));
            let rest = (reader.entries(), reader.pause(), reader.record_counts());
            let history = reader.history(at(0), at(3600));
            format!("{facts:?} {rest:?} {history:?}")
        };
        for senders in [
            ["a@b", "long@b", "longer@b"],
            ["longer@b", "a@b", "long@b"],
            ["long@b", "longer@b", "a@b"],
        ] {
            let before = state();
            let tried = writer.run(&mut |records| change_all(records, senders), Commit::Discard);
            tried.unwrap();
            assert_eq!(state(), before, "{senders:?}");
            let failed = writer.transact(&mut |records| {
                change_all(records, senders)?;
                Err(StoreError::Closed.into())
            });
            assert!(failed.is_err());
            assert_eq!(state(), before, "{senders:?}");
            writer
                .transact(&mut |records| change_all(records, senders))
                .unwrap();
            assert_ne!(state(), before, "{senders:?}");
        }
    });
}

#[test]
fn a_lock_is_not_taken_through_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let precious = directory.path().join("precious");
    std::fs::write(&precious, "").unwrap();
    std::os::unix::fs::symlink(&precious, directory.path().join("stargrey.lock")).unwrap();
    let refused = Lock::take(directory.path(), None);
    assert!(matches!(refused, Err(LockError::File { .. })));
}

#[test]
fn a_second_lock_is_refused_until_the_first_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let first = Lock::take(&path, None).unwrap();
    assert!(matches!(Lock::take(&path, None), Err(LockError::Held(_))));
    drop(first);
    Lock::take(&path, None).unwrap();
}

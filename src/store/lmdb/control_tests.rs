//! Pages of many records, copies, and forgetting without room.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::policy::{ListName, TripletKey};
use crate::store::kept_tests::{counters, entry};
use crate::store::page_tests::{
    at, fill, pages, passed, prefix, sender, senders, triplet, waiting,
};
use crate::store::tests::lmdb;
use crate::store::{LockError, Reader, RequestError, Row, Scope, StoreRefusal, Writer};

/// Opens a store in a directory of its own and puts passed triplets in.
fn many(count: u32) -> (tempfile::TempDir, Halves) {
    let directory = tempfile::tempdir().unwrap();
    let (reader, mut writer) = lmdb(directory.path()).open().unwrap();
    writer
        .transact(&mut |records| {
            for n in 0..count {
                let key = triplet("192.0.2.0/24", &format!("sender{n}x@b"));
                let record = match n % 3 {
                    0 => passed(at(0), n),
                    _ => waiting(at(u64::from(n))),
                };
                records.put_triplet(&key, record)?;
            }
            Ok(())
        })
        .unwrap();
    (directory, (reader, writer))
}

#[test]
fn fifty_thousand_rows_are_shown_once_each() {
    let (_directory, (reader, _writer)) = many(50_000);
    for most in [1000, 30_000] {
        let rows = pages(reader.as_ref(), &Scope::ALL, most);
        assert_eq!(rows.len(), 50_000);
        assert_eq!(senders(&rows).len(), 50_000);
    }
}

#[test]
fn a_page_looks_at_no_more_than_its_share() {
    let (_directory, (reader, _writer)) = many(50_000);
    let mut after = Vec::new();
    let mut looked = Vec::new();
    loop {
        let seen = Cell::new(0);
        let none = |_: &Row| {
            seen.set(seen.get() + 1);
            false
        };
        let page = reader.page(&Scope::ALL, &after, 1000, &none).unwrap();
        assert_eq!(page.rows, []);
        looked.push(seen.get());
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(looked, [20_000, 20_000, 10_000]);
}

#[test]
fn a_network_among_many_is_found_without_looking_at_the_others() {
    let (_directory, (reader, mut writer)) = many(30_000);
    for network in ["192.0.1.0/24", "192.0.3.0/24", "192.0.3.9/32"] {
        let key = triplet(network, "x@b");
        writer
            .transact(&mut |records| Ok(records.put_triplet(&key, waiting(at(0)))?))
            .unwrap();
    }
    let scope = Scope {
        identity: Some(prefix("192.0.3.0/24").into()),
        ..Scope::ALL
    };
    let seen = Cell::new(0);
    let count = |_: &Row| {
        seen.set(seen.get() + 1);
        true
    };
    let page = reader.page(&scope, b"", 1000, &count).unwrap();
    assert_eq!((page.rows.len(), page.next, seen.get()), (2, None, 2));
}

#[test]
fn rows_with_long_addresses_make_short_pages() {
    let directory = tempfile::tempdir().unwrap();
    let (reader, mut writer) = lmdb(directory.path()).open().unwrap();
    writer
        .transact(&mut |records| {
            for n in 0..50 {
                let sender = format!("{n}{}@b", "s".repeat(60_000));
                records.put_triplet(&triplet("192.0.2.0/24", &sender), waiting(at(0)))?;
            }
            Ok(())
        })
        .unwrap();
    let page = reader.page(&Scope::ALL, b"", 1000, &|_| true).unwrap();
    assert_eq!(page.rows.len(), 18);
    assert_eq!(pages(reader.as_ref(), &Scope::ALL, 1000).len(), 50);
}

#[test]
fn pages_go_on_while_triplets_move_and_vanish() {
    let (_directory, (reader, mut writer)) = many(3000);
    let mut seen: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut after = Vec::new();
    let mut turn = 0;
    loop {
        let page = reader.page(&Scope::ALL, &after, 100, &|_| true).unwrap();
        for row in &page.rows {
            *seen.entry(sender(row).unwrap().to_vec()).or_default() += 1;
        }
        writer
            .transact(&mut |records| {
                // The row that the next page begins behind passes or is forgotten, like any other.
                for row in page.rows.iter().rev().take(10) {
                    let key = TripletKey::new(
                        prefix("192.0.2.0/24"),
                        sender(row).unwrap(),
                        b"joe@example.org",
                    );
                    if turn % 2 == 0 {
                        records.put_triplet(&key, passed(at(0), 1))?;
                    } else {
                        records.remove_row(row)?;
                    }
                }
                Ok(())
            })
            .unwrap();
        turn += 1;
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 3000);
    assert!(seen.values().all(|times| *times <= 2));
}

/// A copy of the store, opened in a directory of its own.
fn copy(reader: &dyn Reader, opener: &LmdbOpener) -> (tempfile::TempDir, Halves) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.mdb");
    let mut file = File::create(&path).unwrap();
    reader.copy_to(&mut file).unwrap();
    if opener.privacy {
        let key = "privacy.key";
        fs::copy(opener.directory.join(key), directory.path().join(key)).unwrap();
    }
    let copied = LmdbOpener {
        directory: directory.path().to_owned(),
        ..opener.clone()
    };
    let halves = copied.open().unwrap();
    (directory, halves)
}

#[test]
fn a_copy_has_every_record_and_is_a_store() {
    for privacy in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let opener = LmdbOpener {
            privacy,
            ..lmdb(directory.path())
        };
        let (reader, mut writer) = opener.open().unwrap();
        copy(reader.as_ref(), &opener);
        fill(writer.as_mut());
        writer
            .transact(&mut |records| {
                records.put_entry(&entry(ListName::Client, "192.0.2.1"))?;
                records.add_counters(at(0), &counters(&[("new", 1)]))
            })
            .unwrap();
        let (_copy, (copied, mut again)) = copy(reader.as_ref(), &opener);
        let all = |reader: &dyn Reader| pages(reader, &Scope::ALL, 1000);
        assert_eq!(all(copied.as_ref()), all(reader.as_ref()));
        assert_eq!(copied.entries().unwrap(), reader.entries().unwrap());
        let history = |reader: &dyn Reader| reader.history(at(0), at(0)).unwrap();
        assert_eq!(history(copied.as_ref()), history(reader.as_ref()));
        assert_eq!(history(copied.as_ref()).len(), 1);
        fill(again.as_mut());
    }
}

#[test]
fn a_copy_is_whole_while_writers_go_on() {
    let (directory, (reader, mut writer)) = many(30_000);
    let is_over = AtomicBool::new(false);
    let opener = lmdb(directory.path());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each commit leaves as many triplets as there were, of one more round.
            let mut round = 0;
            while !is_over.load(Ordering::Relaxed) {
                round += 1;
                writer
                    .transact(&mut |records| {
                        for n in 0..100 {
                            let key = triplet("192.0.2.0/24", &format!("sender{n}x@b"));
                            records.put_triplet(&key, passed(at(0), round))?;
                        }
                        Ok(())
                    })
                    .unwrap();
            }
        });
        for _ in 0..5 {
            let (_copy, (copied, _)) = copy(reader.as_ref(), &opener);
            let rows = pages(copied.as_ref(), &Scope::ALL, 30_000);
            assert_eq!(senders(&rows).len(), 30_000);
            assert_eq!(rows.len(), 30_000);
            let rounds: BTreeSet<u32> = (0..100)
                .filter_map(|n| {
                    let want = format!("sender{n}x@b");
                    let row = rows
                        .iter()
                        .find(|row| sender(row) == Some(want.as_bytes()))?;
                    match row {
                        Row::Triplet {
                            record: Triplet::Passed { mails, .. },
                            ..
                        } => Some(*mails),
                        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => None,
                    }
                })
                .collect();
            assert!(rounds.len() == 1 || rounds.len() == 34, "{rounds:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_copy_that_cannot_be_written_is_no_trouble_of_the_store() {
    let (directory, (reader, _writer)) = many(100);
    let mut file = File::open(directory.path().join("data.mdb")).unwrap();
    let refused = reader.copy_to(&mut file).unwrap_err();
    assert!(
        matches!(refused, RequestError::Refused(StoreRefusal::Copy(_))),
        "{refused}"
    );
    assert_eq!(reader.record_counts().unwrap().passed, 34);
}

#[test]
fn a_full_database_can_still_forget() {
    let directory = tempfile::tempdir().unwrap();
    let filled = lmdb(directory.path());
    let key = |n: u32| triplet("192.0.2.0/24", &format!("sender{n:05}x@b"));
    let put = |writer: &mut dyn Writer, n: u32| {
        writer.transact(&mut |records| Ok(records.put_triplet(&key(n), waiting(at(0)))?))
    };
    let (reader, mut writer) = filled.open().unwrap();
    writer
        .transact(&mut |records| {
            Ok((0..20_000).try_for_each(|n| records.put_triplet(&key(n), waiting(at(0))))?)
        })
        .unwrap();
    drop((reader, writer));
    // What may be in use is less now than what is.
    let length = fs::metadata(directory.path().join("data.mdb"))
        .unwrap()
        .len();
    let pages = usize::try_from(length / 4096).unwrap();
    let opener = LmdbOpener {
        max_size: pages * 11 / 10 * 4096,
        ..filled
    };
    let (reader, mut writer) = opener.open().unwrap();
    let refused = (20_000..30_000).find_map(|n| put(writer.as_mut(), n).err());
    assert!(matches!(
        refused,
        Some(RequestError::Store(StoreError::Full))
    ));
    let left = reader.record_counts().unwrap().waiting - 10_000;
    for from in (0..10_000).step_by(20) {
        writer
            .transact(&mut |records| {
                Ok(
                    (from..from + 20)
                        .try_for_each(|n| records.remove_triplet(&key(n)).map(drop))?,
                )
            })
            .unwrap();
    }
    assert_eq!(reader.record_counts().unwrap().waiting, left);
    put(writer.as_mut(), 30_000).unwrap();
}

#[test]
fn a_file_that_was_taken_away_takes_no_commit_and_nobody_else_opens_it_meanwhile() {
    let (directory, (reader, mut writer)) = many(3);
    let elsewhere = tempfile::tempdir().unwrap();
    let [here, there] = [&directory, &elsewhere].map(|place| place.path().join("data.mdb"));
    writer.check_file().unwrap();
    let want = reader.record_counts().unwrap();
    fs::rename(&here, &there).unwrap();
    let is_replaced = |done| matches!(done, Err(StoreError::Replaced(path)) if path == here);
    assert!(is_replaced(writer.check_file()));
    let written = writer.transact(&mut |_| Ok(()));
    assert!(
        matches!(written, Err(RequestError::Store(StoreError::Replaced(path))) if path == here)
    );
    let refused = lmdb(elsewhere.path()).open().map(drop);
    assert!(matches!(
        refused,
        Err(OpenError::Lock(LockError::Held(path))) if path == there
    ));

    fs::write(&here, b"").unwrap();
    assert!(is_replaced(writer.check_file()), "another file");
    drop((reader, writer));
    let (reader, _writer) = lmdb(elsewhere.path()).open().unwrap();
    assert_eq!(reader.record_counts().unwrap(), want);
}

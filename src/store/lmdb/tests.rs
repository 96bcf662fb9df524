use std::fs;
use std::path::Path;

use heed::types::Str;

use super::*;
use crate::policy::{Client, ClientKey, Domain, Identity, Params, TripletKey};
use crate::store::tests::lmdb;
use crate::store::{Commit, RecordCounts, Records, RequestError};
use crate::types::{ClientIp, Timestamp};

fn key(n: u32) -> TripletKey {
    let client = ClientIp::parse(b"192.0.2.7").unwrap();
    let sender = format!("sender{n}x@example.org");
    TripletKey::new(
        client.network(24, 64),
        sender.as_bytes(),
        b"joe@example.net",
    )
}

const RECORD: Triplet = Triplet::Waiting {
    first: Timestamp::from_seconds(1_800_000_000),
    last: Timestamp::from_seconds(1_800_000_000),
    retries: 0,
    counted: 0,
    why: None,
};

const PASSED: Triplet = Triplet::Passed {
    first: Timestamp::from_seconds(1),
    passed: Timestamp::from_seconds(301),
    last: Timestamp::from_seconds(301),
    mails: 1,
};

/// Opens the store, puts records in and closes it.
fn fill(opener: &LmdbOpener, records: u32) {
    let (_reader, mut writer) = opener.open().unwrap();
    writer
        .transact(&mut |table| {
            Ok((0..records).try_for_each(|n| table.put_triplet(&key(n), RECORD))?)
        })
        .unwrap();
}

fn waiting(opener: &LmdbOpener) -> u64 {
    opener.open().unwrap().0.record_counts().unwrap().waiting
}

fn refusal(opener: &LmdbOpener) -> OpenError {
    opener.open().map(drop).unwrap_err()
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let opener = lmdb(directory.path());
    fill(&opener, 1000);
    assert_eq!(waiting(&opener), 1000);
}

#[test]
fn a_later_format_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let opener = lmdb(directory.path());
    fill(&opener, 1);
    put_meta(directory.path(), b"format", &(FORMAT + 1).to_be_bytes());
    let before = fs::read(directory.path().join("data.mdb")).unwrap();
    let refused = refusal(&opener);
    assert!(matches!(refused, OpenError::Newer { found, .. } if found == FORMAT + 1));
    assert_eq!(fs::read(directory.path().join("data.mdb")).unwrap(), before);
}

#[test]
fn an_older_format_is_brought_up_to_date_and_keeps_its_records() {
    let directory = tempfile::tempdir().unwrap();
    let opener = lmdb(directory.path());
    fill(&opener, 3);
    put_meta(directory.path(), b"format", &1_u32.to_be_bytes());
    assert_eq!(waiting(&opener), 3);
    put_meta(directory.path(), b"format", &(FORMAT + 1).to_be_bytes());
    assert!(matches!(refusal(&opener), OpenError::Newer { known, .. } if known == FORMAT));
}

/// How many names lead to triplets.
pub(in crate::store) fn names(opener: &LmdbOpener) -> u64 {
    let (reader, _writer) = opener.open_halves().unwrap();
    let txn = reader.shared.env.read_txn().unwrap();
    reader.shared.tables.names.len(&txn).unwrap()
}

/// The format that a database says it has.
fn format(opener: &LmdbOpener) -> u32 {
    let (reader, _writer) = opener.open_halves().unwrap();
    let txn = reader.shared.env.read_txn().unwrap();
    let bytes = reader.shared.tables.meta.get(&txn, b"format").unwrap();
    u32::from_be_bytes(bytes.unwrap().try_into().unwrap())
}

/// Keeps a record.
type Put<'a> = &'a dyn Fn(&mut dyn Records) -> Result<(), StoreError>;

#[test]
fn a_database_gets_the_last_format_with_the_first_record_that_needs_it() {
    let domain = || Identity::from(Domain::of(b"example.org").unwrap());
    let of_domain = TripletKey::new(domain(), b"a@b", b"c@d");
    let client = |identity| ClientKey::new(identity);
    let record = Client {
        count: 1,
        last: Timestamp::from_seconds(1),
    };
    let network = ClientIp::parse(b"192.0.2.7").unwrap().network(24, 64);
    let with_why = Triplet::Waiting {
        first: RECORD.first(),
        last: RECORD.last(),
        retries: 0,
        counted: 0,
        why: Some(crate::policy::Cause::Table.into()),
    };
    let cases: [(&str, Put<'_>, u32); 6] = [
        (
            "a triplet that says why it waits",
            &|to| to.put_triplet(&key(1), with_why),
            3,
        ),
        (
            "a triplet of a network",
            &|to| to.put_triplet(&key(1), RECORD),
            2,
        ),
        (
            "a client",
            &|to| to.put_client(&client(network.into()), record),
            2,
        ),
        (
            "a triplet of a domain",
            &|to| to.put_triplet(&of_domain, RECORD),
            3,
        ),
        (
            "a client of a domain",
            &|to| to.put_client(&client(domain()), record),
            3,
        ),
        (
            "another name",
            &|to| {
                to.put_triplet(&key(1), RECORD)?;
                to.move_triplet(&key(2), &key(1), RECORD)
            },
            3,
        ),
    ];
    for privacy in [false, true] {
        for (name, put, want) in &cases {
            let directory = tempfile::tempdir().unwrap();
            let opener = LmdbOpener {
                privacy,
                ..lmdb(directory.path())
            };
            fill(&opener, 3);
            assert_eq!(format(&opener), 2, "{name}");
            let (reader, mut writer) = opener.open().unwrap();
            let mut job = |records: &mut dyn Records| Ok(put(records)?);
            writer.run(&mut job, Commit::Discard).unwrap();
            drop((reader, writer));
            assert_eq!(format(&opener), 2, "{name}, tried");
            let (reader, mut writer) = opener.open().unwrap();
            writer.transact(&mut job).unwrap();
            drop((reader, writer));
            for opened_again in [false, true] {
                assert_eq!(format(&opener), *want, "{name}, {opened_again}");
            }
        }
    }
}

#[test]
fn files_that_are_not_ours_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data.mdb");
    let opener = lmdb(directory.path());
    fs::write(&data, vec![b'x'; 20_000]).unwrap();
    assert!(matches!(refusal(&opener), OpenError::Foreign(_)));

    fs::remove_file(&data).unwrap();
    foreign_environment(directory.path());
    assert!(matches!(refusal(&opener), OpenError::Foreign(_)));
}

#[test]
fn a_truncated_file_is_refused_and_never_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data.mdb");
    let opener = lmdb(directory.path());
    fill(&opener, 20_000);
    let whole = fs::read(&data).unwrap();
    let pages = whole.len() / 4096;
    let mut lengths: Vec<usize> = (1..20).map(|part| pages * part / 20 * 4096).collect();
    lengths.extend([whole.len() - 1, whole.len() - 4096, 9000, 5000, 100]);
    for kept in lengths {
        fs::write(&data, &whole[..kept]).unwrap();
        let error = refusal(&opener);
        assert!(
            matches!(error, OpenError::Truncated { .. } | OpenError::Foreign(_)),
            "{kept}: {error}"
        );
        assert_eq!(fs::metadata(&data).unwrap().len(), kept as u64);
    }
    fs::write(&data, &whole).unwrap();
    assert_eq!(waiting(&opener), 20_000);
}

#[test]
fn a_damaged_file_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data.mdb");
    let opener = lmdb(directory.path());
    fill(&opener, 2000);
    let mut bytes = fs::read(&data).unwrap();
    // All but the two meta pages, as a power cut can leave a file that the disk had not yet.
    bytes[2 * 4096..].fill(0);
    fs::write(&data, &bytes).unwrap();
    let error = refusal(&opener);
    assert!(
        matches!(error, OpenError::Store(StoreError::Damaged(_))),
        "{error}"
    );
    assert!(
        error.to_string().contains("put a backup in its place"),
        "{error}"
    );
    assert_eq!(fs::read(&data).unwrap(), bytes);
}

#[test]
fn a_file_is_never_shorter_than_its_pages_need() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data.mdb");
    let opener = lmdb(directory.path());
    let (_reader, mut writer) = opener.open().unwrap();
    let client = ClientIp::parse(b"192.0.2.7").unwrap();
    let long = |n: u32| {
        let sender = format!("{}{n}", "s".repeat(60_000));
        TripletKey::new(
            client.network(24, 64),
            sender.as_bytes(),
            b"joe@example.net",
        )
    };
    for round in 0..5_u32 {
        // What waits and passes in one transaction takes pages and frees them again.
        let keys = |n: u32| match n % 10 {
            0 => long(round * 50 + n),
            _ => key(round * 50 + n),
        };
        writer
            .transact(&mut |table| {
                (0..50).try_for_each(|n| table.put_triplet(&keys(n), PASSED))?;
                Ok((0..50).try_for_each(|n| table.put_triplet(&keys(n), RECORD))?)
            })
            .unwrap();
        file::examine(&data).unwrap();
    }
}

#[test]
fn a_full_database_says_so_and_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let opener = LmdbOpener {
        max_size: 1 << 20,
        ..lmdb(directory.path())
    };
    let (reader, mut writer) = opener.open().unwrap();
    let mut stored = 0;
    let error = loop {
        let put = writer.transact(&mut |table| {
            Ok((stored..stored + 100).try_for_each(|n| table.put_triplet(&key(n), RECORD))?)
        });
        match put {
            Ok(()) => stored += 100,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, RequestError::Store(StoreError::Full)),
        "{error}"
    );
    assert_eq!(reader.record_counts().unwrap().waiting, u64::from(stored));
}

#[test]
fn a_full_database_has_room_again_when_something_has_expired() {
    for (megabytes, batch) in [(1, 1), (1, 100), (8, 1000), (32, 4000)] {
        let directory = tempfile::tempdir().unwrap();
        let opener = LmdbOpener {
            max_size: megabytes << 20,
            ..lmdb(directory.path())
        };
        let (reader, mut writer) = opener.open().unwrap();
        let mut stored = 0;
        while writer
            .transact(&mut |table| {
                Ok(
                    (stored..stored + batch)
                        .try_for_each(|n| table.put_triplet(&key(n), RECORD))?,
                )
            })
            .is_ok()
        {
            stored += batch;
        }
        let later = Timestamp::from_seconds(1_800_000_000 + 5 * 86_400);
        let mut removed = 0;
        loop {
            let swept = writer.sweep(later, &Params::default()).unwrap();
            removed += swept.removed;
            if swept.finished {
                break;
            }
        }
        assert_eq!(removed, u64::from(stored), "{megabytes} {batch}");
        assert_eq!(reader.record_counts().unwrap().waiting, 0);
        for from in (0..stored).step_by(100) {
            writer
                .transact(&mut |table| {
                    Ok((from..stored.min(from + 100))
                        .try_for_each(|n| table.put_triplet(&key(n), RECORD))?)
                })
                .unwrap();
        }
    }
}

#[test]
fn privacy_keeps_no_address_and_its_mode_is_not_changed_on_a_filled_database() {
    let directory = tempfile::tempdir().unwrap();
    let plain = lmdb(directory.path());
    let private = LmdbOpener {
        privacy: true,
        ..plain.clone()
    };
    fill(&plain, 0);
    fill(&private, 10);
    let bytes = fs::read(directory.path().join("data.mdb")).unwrap();
    assert!(!bytes.windows(11).any(|window| window == b"example.org"));
    assert_eq!(waiting(&private), 10);
    assert!(matches!(
        refusal(&plain),
        OpenError::Privacy(PrivacyError::Mode { hashed: true })
    ));

    let other = tempfile::tempdir().unwrap();
    fill(&lmdb(other.path()), 10);
    let switched = LmdbOpener {
        privacy: true,
        ..lmdb(other.path())
    };
    assert!(matches!(
        refusal(&switched),
        OpenError::Privacy(PrivacyError::Mode { hashed: false })
    ));
    assert!(!other.path().join("privacy.key").exists());

    let key = directory.path().join("privacy.key");
    fs::rename(&key, directory.path().join("kept")).unwrap();
    assert!(matches!(
        refusal(&private),
        OpenError::Privacy(PrivacyError::WrongKey(_))
    ));
    fs::write(&key, [7; 32]).unwrap();
    assert!(matches!(
        refusal(&private),
        OpenError::Privacy(PrivacyError::WrongKey(_))
    ));
    fs::rename(directory.path().join("kept"), &key).unwrap();
    assert_eq!(waiting(&private), 10);
}

#[test]
fn the_sweep_works_in_slices() {
    for (record, most) in [(PASSED, 32), (RECORD, 512)] {
        let directory = tempfile::tempdir().unwrap();
        let opener = lmdb(directory.path());
        let (reader, mut writer) = opener.open().unwrap();
        writer
            .transact(&mut |table| {
                Ok((0..1000).try_for_each(|n| table.put_triplet(&key(n), record))?)
            })
            .unwrap();
        let params = Params::default();
        let now = record.first().after(Span::from_days(36));
        let mut slices = Vec::new();
        loop {
            let swept = writer.sweep(now, &params).unwrap();
            slices.push(swept.removed);
            if swept.finished {
                break;
            }
        }
        assert_eq!(slices.iter().sum::<u64>(), 1000);
        assert!(slices.iter().all(|removed| *removed <= most), "{slices:?}");
        assert_eq!(reader.record_counts().unwrap(), RecordCounts::default());
    }
}

/// Opens the environment behind the store's back.
fn raw(directory: &Path) -> Env<WithTls> {
    let mut options = EnvOpenOptions::new();
    options.map_size(1 << 27).max_dbs(20);
    #[expect(unsafe_code, reason = "heed's opening is unsafe")]
    // SAFETY: nobody else has this file.
    unsafe { options.open(directory) }.unwrap()
}

fn put_meta(directory: &Path, key: &[u8], value: &[u8]) {
    let env = raw(directory);
    let txn = env.write_txn().unwrap();
    env.create_databases_and_commit(txn, |opener, txn| {
        let meta = opener.create_database::<Bytes, Bytes>(txn, Some("meta"))?;
        meta.put(txn, key, value)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(()))
    })
    .unwrap();
}

fn foreign_environment(directory: &Path) {
    let env = raw(directory);
    let txn = env.write_txn().unwrap();
    env.create_databases_and_commit(txn, |opener, txn| {
        let root = opener.create_database::<Str, Str>(txn, None)?;
        root.put(txn, "some", "thing")?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(()))
    })
    .unwrap();
}

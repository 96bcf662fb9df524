//! What control needs of every store: pages, forgetting, entries, history, copies.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lmdb::LmdbOpener;
use super::memory::MemoryStore;
use super::tests::{lmdb, sweep_all, with_every_store};
use super::*;
use crate::policy::TripletParts;
use crate::types::Prefix;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn prefix(text: &str) -> Prefix {
    Prefix::parse(text).unwrap()
}

fn triplet(network: &str, sender: &str) -> TripletKey {
    TripletKey::new(prefix(network), sender.as_bytes(), b"joe@example.org")
}

fn client(network: &str) -> ClientKey {
    ClientKey::new(prefix(network))
}

const fn waiting(first: Timestamp) -> Triplet {
    Triplet::Waiting {
        first,
        last: first,
        retries: 0,
        counted: 0,
    }
}

const fn passed(first: Timestamp, mails: u32) -> Triplet {
    Triplet::Passed {
        first,
        passed: first,
        last: first,
        mails,
    }
}

fn client_record(count: u32) -> Client {
    Client { count, last: at(0) }
}

fn sleep_record(ordered: u64) -> Sleep {
    Sleep {
        ordered: at(ordered),
        length: Span::from_seconds(125),
        seen: at(ordered),
    }
}

/// All pages of at most `most` rows; each page keeps to that.
fn pages(reader: &dyn Reader, scope: &Scope, most: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = reader.page(scope, &after, most, &|_| true).unwrap();
        assert!(page.rows.len() <= most);
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = next,
            None => return rows,
        }
    }
}

/// What a triplet row is of.
fn sender(row: &Row) -> Option<&[u8]> {
    match row {
        Row::Triplet {
            key: RowKey::Plain(TripletParts { sender, .. }),
            ..
        } => Some(sender),
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => None,
    }
}

fn senders(rows: &[Row]) -> BTreeSet<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    rows.iter().filter_map(sender).map(text).collect()
}

fn network(row: &Row) -> Option<Prefix> {
    match row {
        Row::Triplet {
            key: RowKey::Plain(parts),
            ..
        } => Some(parts.network),
        Row::Client {
            key: RowKey::Plain(network),
            ..
        }
        | Row::Sleep {
            key: RowKey::Plain(network),
            ..
        } => Some(*network),
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => None,
    }
}

/// Networks whose keys lie close together, some of them inside others.
const NETWORKS: [&str; 9] = [
    "10.0.0.0/8",
    "192.0.1.0/24",
    "192.0.2.0/24",
    "192.0.2.128/25",
    "192.0.2.7/32",
    "192.0.3.0/24",
    "192.0.3.1/32",
    "2001:db8::/64",
    "2001:db8::1/128",
];

/// Two waiting triplets, a passed one, a client and a sleep of each network.
fn fill(writer: &mut dyn Writer) {
    let long = "s".repeat(700) + "@b";
    writer
        .transact(&mut |records| {
            for network in NETWORKS {
                records.put_triplet(&triplet(network, "w@b"), waiting(at(0)))?;
                records.put_triplet(&triplet(network, &long), waiting(at(90_000)))?;
                records.put_triplet(&triplet(network, "p@b"), passed(at(0), 1))?;
                records.put_client(&client(network), client_record(3))?;
                let kept = SleepChange::Keep(sleep_record(0));
                records.change_sleep(&client(network), kept)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn pages_show_every_row_once_whatever_their_length() {
    with_every_store(|opener, is_hashed| {
        let (reader, mut writer) = opener.open().unwrap();
        assert_eq!(pages(reader.as_ref(), &Scope::ALL, 7), []);
        fill(writer.as_mut());
        let all = pages(reader.as_ref(), &Scope::ALL, 1000);
        assert_eq!(all.len(), NETWORKS.len() * 5);
        for most in [1, 2, 9, 45] {
            assert_eq!(pages(reader.as_ref(), &Scope::ALL, most), all, "{most}");
        }
        assert_eq!(
            reader.page(&Scope::ALL, b"", 0, &|_| true).unwrap().rows,
            all[..1]
        );
        assert!(all.iter().all(|row| network(row).is_none() == is_hashed));
        if !is_hashed {
            let long = "s".repeat(700) + "@b";
            let want = ["w@b", long.as_str(), "p@b"].map(str::to_owned);
            assert_eq!(senders(&all), BTreeSet::from(want));
        }

        let none = Scope {
            triplets: false,
            clients: false,
            sleeps: false,
            network: None,
        };
        let some = |triplets, clients, sleeps| Scope {
            triplets,
            clients,
            sleeps,
            ..none
        };
        let is_triplet = |row: &Row| matches!(row, Row::Triplet { .. });
        let is_client = |row: &Row| matches!(row, Row::Client { .. });
        let is_sleep = |row: &Row| matches!(row, Row::Sleep { .. });
        let found = |scope: &Scope, is: &dyn Fn(&Row) -> bool| {
            let rows = pages(reader.as_ref(), scope, 4);
            assert!(rows.iter().all(is));
            rows.len() / NETWORKS.len()
        };
        assert_eq!(found(&none, &|_| false), 0);
        assert_eq!(found(&some(true, false, false), &is_triplet), 3);
        assert_eq!(found(&some(false, true, false), &is_client), 1);
        assert_eq!(found(&some(false, false, true), &is_sleep), 1);
        let neither = |row: &Row| !is_client(row);
        assert_eq!(found(&some(true, false, true), &neither), 4);
    });
}

#[test]
fn foreign_cursors_are_refused_and_no_harm_is_done() {
    with_every_store(|opener, is_hashed| {
        let (reader, mut writer) = opener.open().unwrap();
        fill(writer.as_mut());
        let page = |scope: &Scope, after: &[u8]| reader.page(scope, after, 1, &|_| true);
        let next = page(&Scope::ALL, b"").unwrap().next.unwrap();
        let clients = Scope {
            triplets: false,
            ..Scope::ALL
        };
        let unknown = [&[200], &next[1..]].concat();
        let cases: [(&Scope, &[u8]); 4] = [
            (&Scope::ALL, b"something else"),
            (&Scope::ALL, &next[..1]),
            (&Scope::ALL, &unknown),
            (&clients, &next),
        ];
        for (scope, after) in cases {
            let refused = page(scope, after).unwrap_err();
            assert!(matches!(refused, StoreError::BadCursor), "{after:?}");
            assert!(refused.is_refusal() && !refused.is_fatal_for_readers());
        }
        if is_hashed {
            let one = Scope {
                network: Some(prefix("192.0.2.0/24")),
                ..Scope::ALL
            };
            assert!(matches!(page(&one, b""), Err(StoreError::Hashed)));
        }
    });
}

#[test]
fn a_network_s_pages_show_it_and_what_is_inside_it() {
    with_every_store(|opener, is_hashed| {
        if is_hashed {
            return;
        }
        let (reader, mut writer) = opener.open().unwrap();
        fill(writer.as_mut());
        let cases: [(&str, &[usize]); 9] = [
            ("192.0.2.0/24", &[2, 3, 4]),
            ("192.0.2.7/32", &[4]),
            ("192.0.2.128/25", &[3]),
            ("192.0.3.0/24", &[5, 6]),
            ("0.0.0.0/0", &[0, 1, 2, 3, 4, 5, 6]),
            ("::/0", &[7, 8]),
            ("2001:db8::/64", &[7, 8]),
            ("192.0.2.8/32", &[]),
            ("2001:db9::/64", &[]),
        ];
        for (wanted, want) in cases {
            let scope = Scope {
                network: Some(prefix(wanted)),
                ..Scope::ALL
            };
            let rows = pages(reader.as_ref(), &scope, 2);
            let found: BTreeSet<Prefix> = rows.iter().filter_map(network).collect();
            let want: BTreeSet<Prefix> = want.iter().map(|at| prefix(NETWORKS[*at])).collect();
            assert_eq!(found, want, "{wanted}");
            assert_eq!(rows.len(), want.len() * 5, "{wanted}");
        }
    });
}

#[test]
fn what_pages_show_can_be_forgotten_unless_it_has_changed() {
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        fill(writer.as_mut());
        let shown = pages(reader.as_ref(), &Scope::ALL, 1000);
        let net = NETWORKS[2];
        writer
            .transact(&mut |records| {
                // One passes, one mails again, one is forgotten and counted anew, one sleeps once more.
                records.put_triplet(&triplet(net, "w@b"), passed(at(0), 1))?;
                records.put_triplet(&triplet(net, "p@b"), passed(at(0), 2))?;
                records.put_client(&client(net), client_record(1))?;
                records.put_client(&client(NETWORKS[3]), client_record(9))?;
                records.change_sleep(&client(net), SleepChange::Keep(sleep_record(5)))?;
                let seen = Sleep {
                    seen: at(9),
                    ..sleep_record(0)
                };
                records.change_sleep(&client(NETWORKS[3]), SleepChange::Keep(seen))
            })
            .unwrap();
        for want in [shown.len() - 3, 0] {
            let mut removed = 0;
            writer
                .transact(&mut |records| {
                    for row in &shown {
                        removed += usize::from(records.remove_row(row)?);
                    }
                    Ok(())
                })
                .unwrap();
            assert_eq!(removed, want);
        }
        let left = Figures {
            waiting: 0,
            passed: 1,
            clients: 1,
            sleeps: 1,
        };
        assert_eq!(reader.figures().unwrap(), left);

        for want in [true, false] {
            writer
                .transact(&mut |records| {
                    let key = triplet(net, "w@b");
                    assert_eq!(records.triplet(&key)?.is_some(), want);
                    assert_eq!(records.remove_triplet(&key)?, want);
                    assert_eq!(records.triplet(&key)?, None);
                    assert_eq!(records.remove_client(&client(net))?, want);
                    assert_eq!(records.client(&client(net))?, None);
                    Ok(())
                })
                .unwrap();
        }
        let only_sleep = Figures {
            sleeps: 1,
            ..Figures::default()
        };
        assert_eq!(reader.figures().unwrap(), only_sleep);
    });
}

#[test]
fn rows_with_keys_of_the_other_kind_are_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let stores: [&dyn Opener; 2] = [&lmdb(directory.path()), &MemoryStore::new()];
    for opener in stores {
        let (reader, mut writer) = opener.open().unwrap();
        fill(writer.as_mut());
        for length in [0, 16, 600] {
            let row = Row::Client {
                key: RowKey::Hashed(vec![4; length]),
                record: client_record(0),
            };
            writer
                .transact(&mut |records| {
                    assert!(!records.remove_row(&row)?);
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(reader.figures().unwrap().clients, NETWORKS.len() as u64);
    }
}

fn entry(list: ListName, text: &str) -> Added {
    Added {
        list,
        text: text.to_owned(),
        comment: "because".to_owned(),
        added: at(0),
        expires: Some(at(86_400)),
        hits: 0,
        last_hit: None,
    }
}

#[test]
fn entries_are_kept_replaced_and_removed() {
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        assert_eq!(reader.entries().unwrap(), []);
        let mut first = entry(ListName::Client, "192.0.2.0/24");
        let others = [
            entry(ListName::Client, "192.0.2.0/25"),
            entry(ListName::Sender, "192.0.2.0/24"),
        ];
        let put = |writer: &mut dyn Writer, entry: &Added| {
            writer.transact(&mut |records| records.put_entry(entry))
        };
        put(writer.as_mut(), &first).unwrap();
        for other in &others {
            put(writer.as_mut(), other).unwrap();
        }
        first.hits = 12;
        first.last_hit = Some(at(7));
        first.expires = None;
        put(writer.as_mut(), &first).unwrap();
        let [second, third] = others;
        let want = [first, second.clone(), third];
        assert_eq!(reader.entries().unwrap(), want);

        for text in ["", &"t".repeat(401)] {
            let refused = put(writer.as_mut(), &entry(ListName::Client, text)).unwrap_err();
            assert!(matches!(refused, StoreError::Length { .. }));
            assert!(refused.is_refusal() && !refused.is_fatal_for_readers());
        }

        // The sweep is not about them.
        sweep_all(writer.as_mut(), at(3000 * 86_400));
        assert_eq!(reader.entries().unwrap(), want);
        writer
            .transact(&mut |records| {
                assert!(records.remove_entry(ListName::Client, "192.0.2.0/24")?);
                assert!(!records.remove_entry(ListName::Client, "192.0.2.0/24")?);
                assert!(!records.remove_entry(ListName::Client, "")?);
                assert!(records.remove_entry(ListName::Sender, "192.0.2.0/24")?);
                Ok(())
            })
            .unwrap();
        assert_eq!(reader.entries().unwrap(), [second]);
    });
}

fn tally(counts: &[(&str, u64)]) -> Tally {
    let counts = counts.iter();
    counts.map(|(word, n)| ((*word).to_owned(), *n)).collect()
}

#[test]
fn counters_are_added_up_by_the_hour_and_go_after_400_days() {
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        let writer = writer.as_mut();
        let mut add = |time: Timestamp, counts: &[(&str, u64)]| {
            let counts = tally(counts);
            writer
                .transact(&mut |records| records.add_tally(time, &counts))
                .unwrap();
        };
        add(at(0), &[("new", 2), ("found", 1)]);
        add(at(3599), &[("new", u64::MAX), ("early", 5)]);
        add(at(3 * 3600), &[("new", 1)]);
        add(at(4 * 3600), &[]);
        let sum = tally(&[("early", 5), ("found", 1), ("new", u64::MAX)]);
        let first = (at(0), sum);
        let second = (at(3 * 3600), tally(&[("new", 1)]));
        let history = |from, to| reader.history(from, to).unwrap();
        let both = [first.clone(), second.clone()];
        assert_eq!(history(at(0), at(86_400)), both);
        assert_eq!(history(at(3599), at(3 * 3600)), both);
        assert_eq!(history(Timestamp::default(), at(3599)), [first]);
        assert_eq!(history(at(3600), at(4 * 3600)), [second]);
        assert_eq!(history(at(3600), at(2 * 3600)), []);
        assert_eq!(history(at(3600), at(0)), []);

        for hour in 5..1000 {
            add(at(hour * 3600), &[("new", hour)]);
        }
        let all = (Timestamp::default(), Timestamp::from_seconds(u64::MAX));
        let mut left = |now: u64| {
            let removed = sweep_all(writer, at(now * 3600));
            (removed, reader.history(all.0, all.1).unwrap().len())
        };
        let days = 400 * 24;
        assert_eq!(left(days), (0, 997));
        assert_eq!(left(days + 1), (1, 996));
        assert_eq!(left(days + 999), (995, 1));
        assert_eq!(left(days + 1000), (1, 0));
    });
}

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
            .transact(&mut |records| records.put_triplet(&key, waiting(at(0))))
            .unwrap();
    }
    let scope = Scope {
        network: Some(prefix("192.0.3.0/24")),
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
            (0..50).try_for_each(|n| {
                let sender = format!("{n}{}@b", "s".repeat(60_000));
                records.put_triplet(&triplet("192.0.2.0/24", &sender), waiting(at(0)))
            })
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
                records.add_tally(at(0), &tally(&[("new", 1)]))
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
                        (0..100).try_for_each(|n| {
                            let key = triplet("192.0.2.0/24", &format!("sender{n}x@b"));
                            records.put_triplet(&key, passed(at(0), round))
                        })
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
    assert!(matches!(refused, StoreError::Copy(_)), "{refused}");
    assert!(refused.is_refusal() && !refused.is_fatal_for_readers());
    assert_eq!(reader.figures().unwrap().passed, 34);
}

#[test]
fn a_full_database_can_still_forget() {
    let directory = tempfile::tempdir().unwrap();
    let opener = |megabytes: usize| LmdbOpener {
        max_size: megabytes << 20,
        ..lmdb(directory.path())
    };
    let key = |n: u32| triplet("192.0.2.0/24", &format!("sender{n}x@b"));
    let (reader, mut writer) = opener(16).open().unwrap();
    writer
        .transact(&mut |records| {
            (0..50_000).try_for_each(|n| records.put_triplet(&key(n), waiting(at(0))))
        })
        .unwrap();
    drop((reader, writer));
    // What may be in use is less now than what is.
    let (reader, mut writer) = opener(8).open().unwrap();
    let put = |writer: &mut dyn Writer, from: u32| {
        writer.transact(&mut |records| {
            (from..from + 50_000).try_for_each(|n| records.put_triplet(&key(n), waiting(at(0))))
        })
    };
    assert!(matches!(
        put(writer.as_mut(), 50_000),
        Err(StoreError::Full)
    ));
    for from in (0..50_000).step_by(100) {
        writer
            .transact(&mut |records| {
                (from..from + 100).try_for_each(|n| records.remove_triplet(&key(n)).map(drop))
            })
            .unwrap();
    }
    assert_eq!(reader.figures().unwrap().waiting, 0);
}

//! Pages of every store, and forgetting what they show.

use std::collections::BTreeSet;

use super::memory::MemoryStore;
use super::tests::{lmdb, with_every_store};
use super::*;
use crate::policy::TripletParts;
use crate::types::Prefix;

pub(in crate::store) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

pub(in crate::store) fn prefix(text: &str) -> Prefix {
    Prefix::parse(text).unwrap()
}

pub(in crate::store) fn triplet(network: &str, sender: &str) -> TripletKey {
    TripletKey::new(prefix(network), sender.as_bytes(), b"joe@example.org")
}

fn client(network: &str) -> ClientKey {
    ClientKey::new(prefix(network))
}

pub(in crate::store) const fn waiting(first: Timestamp) -> Triplet {
    Triplet::Waiting {
        first,
        last: first,
        retries: 0,
        counted: 0,
        why: None,
    }
}

pub(in crate::store) const fn passed(first: Timestamp, mails: u32) -> Triplet {
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
pub(in crate::store) fn pages(reader: &dyn Reader, scope: &Scope, most: usize) -> Vec<Row> {
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
pub(in crate::store) fn sender(row: &Row) -> Option<&[u8]> {
    match row {
        Row::Triplet {
            key: RowKey::Plain(TripletParts { sender, .. }),
            ..
        } => Some(sender),
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => None,
    }
}

pub(in crate::store) fn senders(rows: &[Row]) -> BTreeSet<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    rows.iter().filter_map(sender).map(text).collect()
}

fn network(row: &Row) -> Option<Prefix> {
    match row {
        Row::Triplet {
            key: RowKey::Plain(parts),
            ..
        } => parts.identity.network(),
        Row::Client {
            key: RowKey::Plain(client),
            ..
        } => client.network(),
        Row::Sleep {
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
pub(in crate::store) fn fill(writer: &mut dyn Writer) {
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
            identity: None,
        };
        let some = |triplets, clients, sleeps| Scope {
            triplets,
            clients,
            sleeps,
            ..none.clone()
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
            assert!(
                matches!(refused, RequestError::Refused(StoreRefusal::BadCursor)),
                "{after:?}"
            );
        }
        if is_hashed {
            let one = Scope {
                identity: Some(prefix("192.0.2.0/24").into()),
                ..Scope::ALL
            };
            assert!(matches!(
                page(&one, b""),
                Err(RequestError::Refused(StoreRefusal::Hashed))
            ));
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
                identity: Some(prefix(wanted).into()),
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
                Ok(records.change_sleep(&client(NETWORKS[3]), SleepChange::Keep(seen))?)
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
        let left = RecordCounts {
            waiting: 0,
            passed: 1,
            clients: 1,
            sleeps: 1,
        };
        assert_eq!(reader.record_counts().unwrap(), left);

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
        let only_sleep = RecordCounts {
            sleeps: 1,
            ..RecordCounts::default()
        };
        assert_eq!(reader.record_counts().unwrap(), only_sleep);
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
        assert_eq!(
            reader.record_counts().unwrap().clients,
            NETWORKS.len() as u64
        );
    }
}

//! Triplets that are known by several names, in every store.

use jiff::tz::TimeZone;

use super::page_tests::{at, pages, passed, prefix, waiting};
use super::tests::{lmdb, sweep_all, with_every_store};
use super::*;
use crate::policy::{
    self, Attempt, Domain, Evidence, Finding, Identity, Lists, Plan, Reason, Ruleset, Session,
    SpfFinding, SpfUse, Texts,
};

fn domain(name: &str) -> Identity {
    Domain::of(name.as_bytes()).unwrap().into()
}

fn network(text: &str) -> Identity {
    prefix(text).into()
}

/// A case with these names.
fn case(names: &[Identity], sender: &str) -> Case {
    let key =
        |name: &Identity| TripletKey::new(name.clone(), sender.as_bytes(), b"joe@example.net");
    let mut keys = names.iter().map(key);
    Case {
        client: None,
        triplet: keys.next(),
        others: keys.collect(),
        sleep: None,
        suspicion: None,
        terms: crate::policy::Terms::default(),
        asks_known: false,
        is_stressed: false,
        shared: None,
    }
}

/// Keeps a record durably.
fn keep(writer: &mut dyn Writer, case: &Case, record: Triplet) {
    let changes = Changes {
        triplet: Some(record),
        durable: true,
        ..Changes::NONE
    };
    writer
        .transact(&mut |records| Ok(records.apply(case, &changes)?))
        .unwrap();
}

fn found(reader: &dyn Reader, name: &Identity, sender: &str) -> Option<Triplet> {
    let case = case(std::slice::from_ref(name), sender);
    reader.facts(&case).unwrap().triplet
}

#[test]
fn every_name_leads_to_the_one_record_for_as_long_as_it_waits() {
    let names = [domain("a.com"), domain("b.com"), network("192.0.2.0/24")];
    let long = "s".repeat(700) + "@b";
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        let (reader, writer) = (reader.as_ref(), writer.as_mut());
        for sender in ["a@b", &long] {
            let all = case(&names, sender);
            keep(writer, &all, waiting(at(0)));
            for name in &names {
                assert_eq!(found(reader, name, sender), Some(waiting(at(0))));
            }
            assert_eq!(found(reader, &names[0], "another@b"), None);
            assert_eq!(found(reader, &network("192.0.3.0/24"), sender), None);

            // What the last name says of the record is kept with the record.
            let later = waiting(at(0)).merge(Triplet::Waiting {
                first: at(0),
                last: at(60),
                retries: 1,
                counted: 0,
                why: None,
            });
            writer
                .transact(&mut |records| {
                    let key = all.others[1].clone();
                    Ok(records.put_triplet(&key, later)?)
                })
                .unwrap();
            for name in &names {
                assert_eq!(found(reader, name, sender), Some(later));
            }
        }
        assert_eq!(reader.record_counts().unwrap().waiting, 2);
        assert_eq!(pages(reader, &Scope::ALL, 1).len(), 2);

        let all = case(&names, "a@b");
        keep(writer, &all, passed(at(300), 1));
        assert_eq!(found(reader, &names[0], "a@b"), Some(passed(at(300), 1)));
        assert_eq!(found(reader, &names[1], "a@b"), None);
        assert_eq!(found(reader, &names[2], "a@b"), None);
        assert_eq!(reader.record_counts().unwrap().passed, 1);
        let rest = waiting(at(100));
        keep(writer, &case(&names[2..], "a@b"), rest);
        assert_eq!(found(reader, &names[2], "a@b"), Some(rest));
        assert_eq!(found(reader, &names[0], "a@b"), Some(passed(at(300), 1)));
    });
}

#[test]
fn a_record_moves_to_the_first_name_when_it_passes() {
    let (domain, net) = (domain("a.com"), network("192.0.2.0/24"));
    let both = [domain.clone(), net.clone()];
    with_every_store(|opener, is_hashed| {
        let (reader, mut writer) = opener.open().unwrap();
        let (reader, writer) = (reader.as_ref(), writer.as_mut());
        // The name was not known at first.
        keep(writer, &case(&both[1..], "a@b"), waiting(at(0)));
        keep(writer, &case(&both, "a@b"), passed(at(0), 1));
        assert_eq!(found(reader, &domain, "a@b"), Some(passed(at(0), 1)));
        assert_eq!(found(reader, &net, "a@b"), None);
        // It is not known when the triplet passes.
        keep(writer, &case(&both, "b@b"), waiting(at(0)));
        keep(writer, &case(&both[1..], "b@b"), passed(at(0), 1));
        for name in &both {
            assert_eq!(found(reader, name, "b@b"), Some(passed(at(0), 1)));
        }
        let figures = reader.record_counts().unwrap();
        assert_eq!((figures.waiting, figures.passed), (0, 3));
        // Another domain in the network passes by it; the record of the first one is not its own.
        let other = [self::domain("c.com"), net.clone()];
        keep(writer, &case(&both, "c@b"), waiting(at(0)));
        keep(writer, &case(&other, "c@b"), passed(at(0), 1));
        assert_eq!(found(reader, &other[0], "c@b"), Some(passed(at(0), 1)));
        assert_eq!(found(reader, &domain, "c@b"), Some(waiting(at(0))));
        if is_hashed {
            return;
        }
        let of = |identity: &Identity| Scope {
            identity: Some(identity.clone()),
            ..Scope::ALL
        };
        assert_eq!(pages(reader, &of(&domain), 1).len(), 3);
        assert_eq!(pages(reader, &of(&net), 1).len(), 1);
    });
}

#[test]
fn what_was_forgotten_or_begun_anew_is_known_by_no_old_name() {
    let (domain, net) = (domain("a.com"), network("192.0.2.0/24"));
    let both = [domain.clone(), net.clone()];
    let by = |name: usize| case(&both[name..], "a@b").triplet.unwrap();
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        let (reader, writer) = (reader.as_ref(), writer.as_mut());
        for name in [0, 1] {
            keep(writer, &case(&both, "a@b"), waiting(at(0)));
            writer
                .transact(&mut |records| {
                    assert!(records.remove_triplet(&by(name))?);
                    assert!(!records.remove_triplet(&by(1 - name))?);
                    Ok(())
                })
                .unwrap();
            assert_eq!(found(reader, &domain, "a@b"), None);
            assert_eq!(found(reader, &net, "a@b"), None);
            assert_eq!(reader.record_counts().unwrap().waiting, 0);
        }
        keep(writer, &case(&both, "a@b"), waiting(at(0)));
        let row = pages(reader, &Scope::ALL, 10).remove(0);
        // Another network has begun the record of the domain anew.
        let elsewhere = [domain.clone(), network("192.0.3.0/24")];
        keep(writer, &case(&elsewhere, "a@b"), waiting(at(200_000)));
        assert_eq!(found(reader, &net, "a@b"), None);
        // The network begins one of its own.
        keep(writer, &case(&both[1..], "a@b"), waiting(at(200_001)));
        assert_eq!(found(reader, &domain, "a@b"), Some(waiting(at(200_000))));
        assert_eq!(reader.record_counts().unwrap().waiting, 2);
        // And joins the other again.
        keep(writer, &case(&both, "a@b"), waiting(at(200_000)));
        assert_eq!(reader.record_counts().unwrap().waiting, 1);
        assert_eq!(found(reader, &net, "a@b"), Some(waiting(at(200_000))));
        writer
            .transact(&mut |records| {
                assert!(!records.remove_row(&row)?, "it is another record");
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn other_names_are_there_after_reopening_and_go_with_their_slot() {
    let (domain, net) = (domain("a.com"), network("192.0.2.0/24"));
    let both = [domain, net.clone()];
    let directory = tempfile::tempdir().unwrap();
    let opener = lmdb(directory.path());
    let senders: Vec<String> = (0..1500).map(|n| format!("sender{n}x@b")).collect();
    let changes = Changes {
        triplet: Some(waiting(at(0))),
        durable: true,
        ..Changes::NONE
    };
    let (_, mut writer) = opener.open().unwrap();
    writer
        .transact(&mut |records| {
            for sender in &senders {
                records.apply(&case(&both, sender), &changes)?;
            }
            Ok(())
        })
        .unwrap();
    drop(writer);
    let (reader, mut writer) = opener.open().unwrap();
    assert_eq!(
        found(reader.as_ref(), &net, &senders[7]),
        Some(waiting(at(0)))
    );
    // How old the youngest record of the slot is, is not known after reopening.
    let sweeps = [30, 60].map(|days| sweep_all(writer.as_mut(), at(days * 86_400)));
    let removed = sweeps[0] + sweeps[1];
    assert_eq!(removed, 1500, "names are no records");
    assert_eq!(found(reader.as_ref(), &net, &senders[7]), None);
    drop((reader, writer));
    assert_eq!(lmdb::tests::names(&opener), 0);
}

/// What is known of a client at one attempt.
#[derive(Debug, Clone, Copy)]
struct Known {
    name: bool,
    spf: bool,
    network: &'static str,
}

/// Decides an attempt with what is known of the client, and keeps what that changes.
fn decide(store: &mut dyn Writer, known: Known, now: Timestamp) -> Reason {
    let mut rules = Ruleset::new(
        Params {
            by_domain: true,
            spf: SpfUse {
                names: true,
                ..SpfUse::default()
            },
            ..Params::default()
        },
        Lists::default(),
        Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap(),
    );
    rules.change(|parts| parts.params.auto_whitelist = None);
    let address = format!("{}.7", known.network);
    let attempt = Attempt {
        client_address: Some(address.as_bytes()),
        client_name: Some(if known.name {
            b"mx.pool.com"
        } else {
            b"unknown"
        }),
        sender: Some(b"ann@white-label.com"),
        recipient: Some(b"joe@example.net"),
        ..Attempt::default()
    };
    let mut evidence = Evidence::default();
    if let Plan::Ask(lookups, _) = policy::plan(&attempt, &evidence, &rules, &mut ()) {
        let domain = Domain::of(b"white-label.com").unwrap();
        let finding = if known.spf {
            Finding::Spf(SpfFinding::Passed(domain))
        } else {
            Finding::NoAnswer
        };
        evidence.add(lookups.into_iter().map(|lookup| (lookup, finding.clone())));
    }
    let Plan::Case(case) = policy::plan(&attempt, &evidence, &rules, &mut ()) else {
        panic!("{known:?}");
    };
    let names = usize::from(known.name) + usize::from(known.spf);
    assert_eq!(case.others.len(), names, "{known:?}");
    let mut reason = Reason::New;
    let session = Session::default();
    store
        .transact(&mut |records| {
            let facts = records.facts(&case)?;
            let outcome = policy::tests::decide(&case, &facts, session, now, &rules);
            reason = outcome.reason;
            Ok(records.apply(&case, &outcome.changes)?)
        })
        .unwrap();
    reason
}

#[test]
fn a_retry_that_has_any_name_in_common_passes_and_no_other() {
    let bits = |number: u32| [1, 2, 4, 8, 16].map(|bit| number & bit != 0);
    for number in 0..32 {
        let [name, spf, later_name, later_spf, same_network] = bits(number);
        let first = Known {
            name,
            spf,
            network: "192.0.2",
        };
        let retry = Known {
            name: later_name,
            spf: later_spf,
            network: if same_network {
                "192.0.2"
            } else {
                "198.51.100"
            },
        };
        let is_shared = same_network || (name && later_name) || (spf && later_spf);
        with_every_store(|opener, _| {
            let (reader, mut writer) = opener.open().unwrap();
            let writer = writer.as_mut();
            let asked = (first, retry);
            assert_eq!(decide(writer, first, at(0)), Reason::New);
            let early = if is_shared {
                Reason::EarlyRetry
            } else {
                Reason::New
            };
            assert_eq!(decide(writer, retry, at(100)), early, "{asked:?}");
            // Who shares nothing has begun to wait at the first retry.
            let want = if is_shared {
                Reason::TripletFound
            } else {
                Reason::EarlyRetry
            };
            assert_eq!(decide(writer, retry, at(350)), want, "{asked:?}");
            assert_eq!(
                decide(writer, retry, at(400)),
                Reason::TripletFound,
                "{asked:?}"
            );
            let figures = reader.record_counts().unwrap();
            // Where the retry lacks the name that has the record, it passes under that too if its own first name leads
            // there; else the record stays, for it may be another client's.
            let lacks_first = (name && !later_name) || (!name && spf && !later_spf);
            let is_led = !later_name && (spf || !later_spf);
            let want = match (is_shared, lacks_first, is_led) {
                (false, _, _) | (true, true, false) => (1, 1),
                (true, true, true) => (0, 2),
                (true, false, _) => (0, 1),
            };
            assert_eq!((figures.waiting, figures.passed), want, "{asked:?}");
        });
    }
}

#[test]
fn records_from_before_the_option_are_found_by_their_network_and_count_together() {
    let known = |name, network| Known {
        name,
        spf: false,
        network,
    };
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        let writer = writer.as_mut();
        // As without the option: by networks alone, one of which passes.
        for (network, now) in [("192.0.2", 0), ("198.51.100", 0), ("192.0.2", 300)] {
            decide(writer, known(false, network), at(now));
        }
        assert_eq!(
            decide(writer, known(true, "192.0.2"), at(400)),
            Reason::TripletFound
        );
        assert_eq!(
            decide(writer, known(true, "198.51.100"), at(401)),
            Reason::TripletFound
        );
        assert_eq!(
            decide(writer, known(true, "203.0.113"), at(402)),
            Reason::TripletFound
        );
        let figures = reader.record_counts().unwrap();
        assert_eq!((figures.waiting, figures.passed), (0, 2));
    });
}

//! A random sequence of decisions on the store in memory equals the one on disk.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::lmdb::LmdbOpener;
use super::memory::MemoryStore;
use super::tests::lmdb;
use super::*;
use crate::policy::{
    self, Attempt, CountBy, Lists, Outcome, Plan, Ruleset, Scheme, Session, Stage, Tarpit, Texts,
};

/// One attempt, and whether a slice is swept before it.
#[derive(Debug, Clone)]
struct Step {
    after: u64,
    name: &'static str,
    client: u8,
    sender: u8,
    is_data: bool,
    sweeps: bool,
}

fn attempt() -> impl Strategy<Value = Step> {
    let after = prop_oneof![Just(0), 0..400_u64, Just(3600), 0..4 * 86_400_u64];
    (
        (after, prop::sample::select(NAMES)),
        1..4_u8,
        0..6_u8,
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
    )
        .prop_map(|((after, name), client, sender, is_data, sweeps)| Step {
            after,
            name,
            client,
            sender,
            is_data,
            sweeps,
        })
}

/// Names of clients in two domains, in none, and of a line.
const NAMES: &[&str] = &["unknown", "mx.a.com", "out.a.com", "mx.b.com", "ppp1.a.com"];

/// Senders of every length that keys are kept by in another way.
fn sender(number: u8) -> Vec<u8> {
    let length = [1, 2, 3, 470, 490, 5000];
    let mut text = vec![b'a' + number; length[usize::from(number)]];
    text.extend_from_slice(b"@example.org");
    text
}

/// All that a store leads to. When it removes what is over is its own affair; nobody may notice.
fn play(opener: &dyn Opener, attempts: &[Step], rules: &Ruleset) -> Vec<Option<Outcome>> {
    let (reader, mut writer) = opener.open().unwrap();
    let mut now = Timestamp::from_seconds(1_800_000_000);
    let attempts = attempts.iter().map(|attempt| {
        now = now.after(Span::from_seconds(attempt.after));
        if attempt.sweeps {
            writer.sweep(now, &rules.params).unwrap();
        }
        decide(attempt, (reader.as_ref(), writer.as_mut()), now, rules)
    });
    attempts.collect()
}

fn decide(
    attempt: &Step,
    (reader, writer): (&dyn Reader, &mut dyn Writer),
    now: Timestamp,
    rules: &Ruleset,
) -> Option<Outcome> {
    let (address, sender) = (
        format!("192.0.2.{}", attempt.client),
        sender(attempt.sender),
    );
    let attempt_name = attempt.name;
    let attempt = Attempt {
        stage: if attempt.is_data {
            Stage::Data
        } else {
            Stage::Recipient
        },
        client_address: Some(address.as_bytes()),
        client_name: Some(attempt_name.as_bytes()),
        sender: Some(&sender),
        recipient: Some(b"joe@example.net"),
        ..Attempt::default()
    };
    let session = Session {
        has_room: true,
        ..Session::default()
    };
    let Plan::Case(case) = policy::tests::plan(&attempt, rules) else {
        return None;
    };
    let seen = reader.facts(&case).unwrap();
    let mut decided = None;
    writer
        .transact(&mut |records| {
            let facts = records.facts(&case)?;
            assert_eq!(facts, seen, "both halves see the same");
            let outcome = policy::tests::decide(&case, &facts, session, now, rules);
            records.apply(&case, &outcome.changes)?;
            decided = Some(outcome);
            Ok(())
        })
        .unwrap();
    decided
}

/// All options are those of Postgrey but for these.
fn ruleset((is_targrey, by_domain): (bool, bool), retry_count: u32) -> Ruleset {
    let tarpit = Tarpit {
        length: Span::from_seconds(125),
        scheme: Scheme::Targrey,
    };
    let params = Params {
        ipv4_bits: 32,
        by_domain,
        count_by: if by_domain {
            CountBy::Domain
        } else {
            CountBy::Address
        },
        auto_whitelist: Some(3),
        retry_count,
        tarpit: is_targrey.then_some(tarpit),
        ..Params::default()
    };
    let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, Lists::default(), texts)
}

/// What the store on disk leads to, without and with `--privacy`.
fn on_disk(attempts: &[Step], rules: &Ruleset) -> [Vec<Option<Outcome>>; 2] {
    [false, true].map(|privacy| {
        let directory = tempfile::tempdir().unwrap();
        let opener = LmdbOpener {
            privacy,
            ..lmdb(directory.path())
        };
        play(&opener, attempts, rules)
    })
}

#[test]
fn a_name_leads_to_the_older_record_that_has_taken_the_place_of_its_own() {
    let step = |after, name, client| Step {
        after,
        name,
        client,
        sender: 0,
        is_data: false,
        sweeps: false,
    };
    // The third attempt joins the records of both domains, and is in a later slot than those.
    let attempts = [
        step(0, "mx.b.com", 1),
        step(1, "mx.a.com", 3),
        step(57_599, "out.a.com", 1),
        step(3_600, "ppp1.a.com", 3),
    ];
    let rules = ruleset((false, true), 2);
    let want = play(&MemoryStore::new(), &attempts, &rules);
    let last = want.last().unwrap().as_ref();
    assert_eq!(
        last.map(|outcome| outcome.reason),
        Some(policy::Reason::TripletFound)
    );
    assert_eq!(on_disk(&attempts, &rules), [want.clone(), want]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_store_leads_to_the_same_decisions(
        attempts in prop::collection::vec(attempt(), 1..60),
        kind in any::<(bool, bool)>(),
        retry_count in 1..3_u32,
    ) {
        let rules = ruleset(kind, retry_count);
        let want = play(&MemoryStore::new(), &attempts, &rules);
        prop_assert_eq!(on_disk(&attempts, &rules), [want.clone(), want]);
    }
}

//! The decision is monotone: whoever waits longer is not treated worse, as long as no time is over. A clock that is
//! set back for a while takes nothing away, and neither does merging two versions of a record.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::s25r::Rules;
use super::tests::decide;
use super::*;
use crate::types::{ClientIp, Span};

fn case() -> Case {
    let client = ClientIp::parse(b"192.0.2.7").unwrap();
    Case {
        client: Some(ClientKey::new(client.network(32, 128))),
        triplet: Some(TripletKey::new(client.network(24, 64), b"a@b", b"c@d")),
        others: Vec::new(),
        sleep: Some(ClientKey::new(client.network(32, 128))),
        suspicion: None,
        terms: crate::policy::Terms::default(),
        asks_known: false,
        is_stressed: false,
        shared: None,
    }
}

fn rules(params: Params) -> Ruleset {
    let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, Lists::default(), texts)
}

/// How much better one verdict is than another: the seconds still to wait, none for a pass.
fn remaining(verdict: Verdict) -> u64 {
    match verdict.remaining() {
        Some(Remaining::Time(time)) => time.seconds(),
        Some(Remaining::Retries(_)) | None => 0,
    }
}

/// Whether the verdict lets the mail in, now or after a sleep.
fn is_pass(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Pass | Verdict::PassWithHeader { .. } => true,
        Verdict::Tarpit { then, .. } => matches!(then, Then::Pass),
        Verdict::Defer { .. } | Verdict::Reply(_) | Verdict::Unavailable => false,
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

const DELAY: u64 = 300;
const DAY: u64 = 86_400;
const WINDOW: u64 = 2 * DAY;

/// Live records of one triplet.
fn triplet() -> impl Strategy<Value = Triplet> {
    let times = (0..2000_u64, 0..2000_u64, 0..9_u32, 0..2_u32);
    let why = prop::option::of((0..16_u8).prop_map(|byte| Why::from_byte(byte).unwrap()));
    (times, why, any::<bool>()).prop_map(|((one, two, retries, counted), why, is_passed)| {
        let (first, last) = (at(one.min(two)), at(one.max(two)));
        if is_passed {
            Triplet::Passed {
                first,
                passed: last,
                last,
                mails: retries,
            }
        } else {
            Triplet::Waiting {
                first,
                last,
                retries,
                counted,
                why,
            }
        }
    })
}

/// Records of a client that has been here since `first`, with nothing in the future.
fn facts() -> impl Strategy<Value = StoredRecords> {
    let triplet = prop_oneof![
        Just(None),
        (0..2_u32).prop_map(|counted| Some(Triplet::Waiting {
            first: at(0),
            last: at(0),
            retries: 0,
            counted,
            why: None,
        })),
        Just(Some(Triplet::Passed {
            first: at(0),
            passed: at(0),
            last: at(0),
            mails: 1,
        })),
    ];
    let client = prop::option::of((0..7_u32).prop_map(|count| Client { count, last: at(0) }));
    (triplet, client).prop_map(|(triplet, client)| StoredRecords {
        client,
        triplet,
        ..StoredRecords::default()
    })
}

#[test]
fn a_triplet_that_was_used_while_the_clock_was_behind_keeps_its_window() {
    let rules = rules(Params::default());
    let pass = Reason::TripletFound;
    // Seconds by which the clock is behind at the second attempt, and after which the third comes.
    for (behind, later, want) in [
        (0, WINDOW, pass),
        (DELAY, WINDOW - 1, pass),
        (98_454, 74_347, pass),
        (98_454, WINDOW, pass),
        (98_454, WINDOW + 1, Reason::New),
        (WINDOW, WINDOW, pass),
        (80 * DAY, WINDOW, pass),
        (80 * DAY, WINDOW + 1, Reason::New),
    ] {
        let mut facts = StoredRecords::default();
        let now = 200 * DAY;
        for attempt in [now, now - behind] {
            let outcome = decide(&case(), &facts, Session::default(), at(attempt), &rules);
            facts.triplet = outcome.changes.triplet;
        }
        let outcome = decide(&case(), &facts, Session::default(), at(now + later), &rules);
        assert_eq!(outcome.reason, want, "{behind} {later}");
    }
}

proptest! {
    #[test]
    fn waiting_longer_never_turns_a_pass_into_a_deferral(
        facts in facts(),
        retry_count in 1..3_u32,
        auto_whitelist in prop::option::of(1..6_u32),
        header_given in any::<bool>(),
        (one, other) in (0..=WINDOW, 0..=WINDOW),
    ) {
        let params = Params {
            delay: Span::from_seconds(DELAY),
            retry_window: Span::from_seconds(WINDOW),
            retry_count,
            auto_whitelist,
            ..Params::default()
        };
        let rules = rules(params);
        let session = Session { header_given, ..Session::default() };
        let verdict = |now| decide(&case(), &facts, session, at(now), &rules).verdict;
        let (early, late) = (one.min(other), one.max(other));
        let (sooner, later) = (verdict(early), verdict(late));
        prop_assert!(is_pass(later) || !is_pass(sooner), "{:?} {:?}", sooner, later);
        prop_assert!(remaining(later) <= remaining(sooner), "{:?} {:?}", sooner, later);
    }

    #[test]
    fn whoever_asks_once_more_after_the_delay_passes_and_stays_passed(
        attempts in prop::collection::vec(0..WINDOW, 1..20),
    ) {
        let rules = rules(Params { auto_whitelist: None, ..Params::default() });
        let mut facts = StoredRecords::default();
        let mut times = attempts;
        times.sort_unstable();
        let first = times[0];
        for now in times {
            let outcome = decide(&case(), &facts, Session::default(), at(now), &rules);
            let is_known = now - first >= DELAY;
            prop_assert_eq!(is_pass(outcome.verdict), is_known, "{} {:?}", now, outcome);
            facts.triplet = outcome.changes.triplet.or(facts.triplet);
        }
    }

    #[test]
    fn a_clock_that_is_behind_for_a_while_sets_no_record_back(
        attempts in prop::collection::vec((0..20 * DAY, prop_oneof![3 => Just(0), 2 => DELAY..80 * DAY]), 1..30),
        auto_whitelist in prop::option::of(1..4_u32),
    ) {
        let rules = rules(Params { auto_whitelist, ..Params::default() });
        let (mut right, mut stepping) = (StoredRecords::default(), StoredRecords::default());
        let mut now = 200 * DAY;
        for (passes, behind) in attempts {
            now += passes;
            let session = Session::default();
            // Without the step it has not written meanwhile, and a stranger cannot be known from then on.
            let is_stranger = stepping
                .triplet
                .is_none_or(|triplet| triplet.is_expired(at(now), &rules.params));
            if behind > 0 && is_stranger {
                return Ok(());
            }
            let told = decide(&case(), &stepping, session, at(now - behind), &rules);
            let before = stepping;
            stepping.triplet = told.changes.triplet.or(stepping.triplet);
            stepping.client = told.changes.client.or(stepping.client);
            let times = |facts: &StoredRecords| (facts.triplet.map(Triplet::last), facts.client.map(|client| client.last));
            prop_assert!(times(&stepping) >= times(&before), "{:?} {:?}", before, stepping);

            if behind == 0 {
                let wanted = decide(&case(), &right, session, at(now), &rules);
                right.triplet = wanted.changes.triplet.or(right.triplet);
                right.client = wanted.changes.client.or(right.client);
                let is_worse = remaining(told.verdict) > remaining(wanted.verdict);
                prop_assert!(!is_worse, "{:?} {:?}", told, wanted);
            }
        }
    }

    #[test]
    fn a_merge_is_commutative_associative_idempotent_and_no_worse_than_either(
        (one, two, three) in (triplet(), triplet(), triplet()),
        now in 0..4_000_u64,
    ) {
        prop_assert_eq!(one.merge(two), two.merge(one));
        prop_assert_eq!(one.merge(two).merge(three), one.merge(two.merge(three)));
        prop_assert_eq!(one.merge(one), one);
        let rules = rules(Params { auto_whitelist: None, ..Params::default() });
        let verdict = |triplet: Triplet| {
            let facts = StoredRecords { triplet: Some(triplet), ..StoredRecords::default() };
            decide(&case(), &facts, Session::default(), at(4_000 + now), &rules).verdict
        };
        let (merged, alone) = (verdict(one.merge(two)), verdict(one));
        prop_assert!(is_pass(merged) || !is_pass(alone));
        prop_assert!(remaining(merged) <= remaining(alone));
    }

    #[test]
    fn a_merge_of_clients_counts_no_pass_twice(counts in prop::collection::vec((0..9_u32, 0..9_u64), 3)) {
        let client = |n: usize| Client { count: counts[n].0, last: at(counts[n].1) };
        let (one, two, three) = (client(0), client(1), client(2));
        prop_assert_eq!(one.merge(two), two.merge(one));
        prop_assert_eq!(one.merge(two).merge(three), one.merge(two.merge(three)));
        prop_assert_eq!(one.merge(one), one);
        prop_assert_eq!(one.merge(two).count, one.count.max(two.count));
    }
}

/// What a zone may say.
fn finding() -> impl Strategy<Value = Finding> {
    let answers = prop::collection::vec((prop_oneof![Just(127_u8), Just(10)], 0..4_u8), 0..3);
    let answers = answers.prop_map(|answers| {
        let addresses = answers
            .into_iter()
            .map(|(first, last)| [first, 0, 0, last].into());
        Finding::Addresses(addresses.collect())
    });
    prop_oneof![answers, Just(Finding::Absent), Just(Finding::NoAnswer)]
}

/// What SPF may say.
fn spf_finding() -> impl Strategy<Value = Finding> {
    let passed = Domain::of(b"example.com").map(SpfFinding::Passed);
    let failed = SpfFinding::NotPassed(SpfResult::Fail);
    prop_oneof![
        Just(Finding::Spf(passed.unwrap())),
        Just(Finding::Spf(failed)),
        Just(Finding::NoAnswer)
    ]
}

proptest! {
    #[test]
    fn evidence_that_comes_bit_by_bit_leads_where_all_of_it_at_once_leads(
        findings in prop::collection::vec(finding(), 4),
        weights in prop::collection::vec(-3..4_i32, 4),
        (suspicious, above, allow) in (1..5_i32, prop::option::of(0..3_i32), prop::option::of(-4..0_i32)),
        (s25r, name_matches) in any::<(bool, bool)>(),
        (spf_excuses, spf_names, spf) in (any::<bool>(), any::<bool>(), spf_finding()),
        bits in 1..16_u8,
    ) {
        let sites: Vec<String> = weights
            .iter()
            .enumerate()
            .map(|(n, weight)| format!("l{n}.example=127.0.0.[0..1]*{weight}"))
            .collect();
        let mut rules = rules(Params {
            s25r: s25r.then_some(Rules::Classic),
            spf: SpfUse { excuses: spf_excuses, excuses_rules: false, names: spf_names },
            ..Params::default()
        });
        let reject = above.map(|above| suspicious + above);
        let thresholds = Thresholds { suspicious, reject, allow };
        rules.change(|parts| parts.dns_lists = DnsLists::parse(&sites, thresholds).unwrap().into());
        let attempt = Attempt {
            client_address: Some(b"192.0.2.7"),
            client_name: Some(if name_matches { b"unknown" } else { b"mx.example" }),
            sender: Some(b"a@example.com"),
            recipient: Some(b"c@d"),
            ..Attempt::default()
        };
        let known = |lookup: &Lookup| {
            let finding = match lookup {
                Lookup::DnsList(zone, _) => {
                    let number = rules.dns_lists.zones().position(|known| known == zone);
                    findings[number.unwrap()].clone()
                }
                Lookup::DnsListText(..) => Finding::Absent,
                Lookup::Spf(_) => spf.clone(),
                Lookup::SenderMx(..) | Lookup::Score | Lookup::BodyText(_) => panic!("no rule asks for it"),
            };
            (lookup.clone(), finding)
        };
        let client = ClientIp::parse(b"192.0.2.7").unwrap();
        let question = SpfQuestion::new(client, b"", b"a@example.com").unwrap();
        let all = rules.dns_lists.zones().flat_map(|zone| {
            let zone = || zone.clone();
            [Lookup::DnsList(zone(), client), Lookup::DnsListText(zone(), client)]
        });
        let all = all.chain([Lookup::Spf(question)]);
        let mut at_once = Evidence::default();
        at_once.add(all.map(|lookup| known(&lookup)));
        let mut steps = Vec::new();
        let want = super::plan(&attempt, &at_once, &rules, &mut steps);

        // Each round some of what is missing is found, at least one.
        let (mut evidence, mut rounds, mut seen) = (Evidence::default(), 0, Vec::new());
        let got = loop {
            match super::plan(&attempt, &evidence, &rules, &mut seen) {
                Plan::Ask(missing, _) => {
                    let is_found = |n: usize| n == 0 || (bits >> n) & 1 == 1;
                    let found = missing.iter().enumerate().filter(|(n, _)| is_found(*n));
                    evidence.add(found.map(|(_, lookup)| known(lookup)).collect::<Vec<_>>());
                }
                plan @ (Plan::Settled(_) | Plan::Replied(..) | Plan::Case(_)) => break plan,
            }
            rounds += 1;
            prop_assert!(rounds <= 5, "what is known is asked for again");
        };
        // Nothing waits for SPF if lists let the client pass, or reject it, whatever SPF says.
        if let Plan::Settled(outcome) | Plan::Replied(outcome, _) = &got
            && matches!(outcome.reason, Reason::DnsAllowlist | Reason::DnsReject)
        {
            steps.retain(|step| !matches!(step, Step::Spf(_)));
            seen.retain(|step| !matches!(step, Step::Spf(_)));
        }
        prop_assert_eq!(got, want);
        prop_assert_eq!(seen, steps, "the steps are those of the last round");
        let is_settled = s25r && name_matches && !spf_excuses && !spf_names;
        let is_settled = is_settled && allow.is_none() && reject.is_none();
        prop_assert!(!(is_settled && rounds > 0), "nothing is asked that makes no difference");
    }
}

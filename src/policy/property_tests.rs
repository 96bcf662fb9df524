//! The decision is monotone: whoever waits longer is not treated worse, as long as no time is over.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::types::{ClientIp, Span};

fn query() -> Query {
    let client = ClientIp::parse(b"192.0.2.7").unwrap();
    Query {
        client: Some(ClientKey::new(client.network(32, 128))),
        triplet: Some(TripletKey::new(client.network(24, 64), b"a@b", b"c@d")),
        sleep: Some(ClientKey::new(client.network(32, 128))),
        suspicion: None,
        is_stressed: false,
    }
}

fn rules(params: Params) -> Ruleset {
    let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, Lists::default(), texts)
}

/// How much better one verdict is than another: the seconds still to wait, none for a pass.
fn missing(verdict: Verdict) -> u64 {
    match verdict.missing() {
        Some(Missing::Time(time)) => time.seconds(),
        Some(Missing::Retries(_)) | None => 0,
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
const WINDOW: u64 = 2 * 86_400;

/// Records of a client that has been here since `first`, with nothing in the future.
fn facts() -> impl Strategy<Value = Facts> {
    let triplet = prop_oneof![
        Just(None),
        (0..2_u32).prop_map(|counted| Some(Triplet::Waiting {
            first: at(0),
            last: at(0),
            retries: 0,
            counted,
        })),
        Just(Some(Triplet::Passed {
            first: at(0),
            passed: at(0),
            last: at(0),
            mails: 1,
        })),
    ];
    let client = prop::option::of((0..7_u32).prop_map(|count| Client { count, last: at(0) }));
    (triplet, client).prop_map(|(triplet, client)| Facts {
        client,
        triplet,
        sleep: None,
    })
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
        let verdict = |now| decide(&query(), &facts, session, at(now), &rules).verdict;
        let (early, late) = (one.min(other), one.max(other));
        let (sooner, later) = (verdict(early), verdict(late));
        prop_assert!(is_pass(later) || !is_pass(sooner), "{:?} {:?}", sooner, later);
        prop_assert!(missing(later) <= missing(sooner), "{:?} {:?}", sooner, later);
    }

    #[test]
    fn whoever_asks_once_more_after_the_delay_passes_and_stays_passed(
        attempts in prop::collection::vec(0..WINDOW, 1..20),
    ) {
        let rules = rules(Params { auto_whitelist: None, ..Params::default() });
        let mut facts = Facts::default();
        let mut times = attempts;
        times.sort_unstable();
        let first = times[0];
        for now in times {
            let outcome = decide(&query(), &facts, Session::default(), at(now), &rules);
            let is_known = now - first >= DELAY;
            prop_assert_eq!(is_pass(outcome.verdict), is_known, "{} {:?}", now, outcome);
            facts.triplet = outcome.changes.triplet.or(facts.triplet);
        }
    }
}

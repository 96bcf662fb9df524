//! When SPF is asked, and what it changes.

use jiff::tz::TimeZone;

use super::*;

/// Rules by which only suspicious clients are greylisted, unless `unmatched` says otherwise.
fn rules(change: impl FnOnce(&mut Params)) -> Ruleset {
    let mut params = Params {
        s25r: Some(s25r::Rules::Classic),
        ..Params::default()
    };
    change(&mut params);
    let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, Lists::default(), texts)
}

fn attempt(name: &str) -> Attempt<'_> {
    Attempt {
        client_address: Some(b"192.0.2.7"),
        client_name: Some(name.as_bytes()),
        helo_name: Some(b"mx.example.org"),
        sender: Some(b"ann@example.com"),
        recipient: Some(b"c@d"),
        ..Attempt::default()
    }
}

fn passed() -> Finding {
    Finding::Spf(SpfFinding::Passed(Domain::of(b"example.com").unwrap()))
}

fn not_passed(result: SpfResult) -> Finding {
    Finding::Spf(SpfFinding::NotPassed(result))
}

/// What becomes of an attempt if SPF finds this: the suspicion or the reason, and how often it was asked.
fn settle(
    attempt: &Attempt<'_>,
    rules: &Ruleset,
    spf: &Finding,
    steps: &mut Vec<Step>,
) -> (Result<Option<Suspicion>, Reason>, usize) {
    let (mut evidence, mut asked) = (Evidence::default(), 0);
    let settled = loop {
        match plan(attempt, &evidence, rules, steps) {
            Plan::Ask(missing, _) => {
                let found = missing.into_iter().map(|lookup| match lookup {
                    Lookup::Spf(_) => {
                        asked += 1;
                        (lookup, spf.clone())
                    }
                    Lookup::DnsList(..) | Lookup::DnsListText(..) => {
                        let listing = [[127, 0, 0, 2].into()];
                        (lookup, Finding::Addresses(listing.into()))
                    }
                    Lookup::SenderMx(..) | Lookup::Score | Lookup::BodyText(_) => {
                        panic!("no rule asks for it")
                    }
                });
                evidence.add(found.collect::<Vec<_>>());
            }
            Plan::Case(case) => break Ok(case.suspicion),
            Plan::Settled(outcome) | Plan::Replied(outcome, _) => break Err(outcome.reason),
        }
    };
    let is_passed = evidence.spf_domain().map(Domain::as_str) == Some("example.com");
    assert_eq!(is_passed, asked > 0 && *spf == passed());
    (settled, asked)
}

#[test]
fn a_pass_excuses_from_s25r_and_nothing_else_does() {
    let suspected = Ok(Some(Suspicion::S25r(0)));
    let excused = Err(Reason::SpfPass);
    let unsuspicious = Err(Reason::NotSuspicious);
    let (line, mail) = ("unknown", "mx.example.org");
    for (name, excuses, found, want, want_asked) in [
        (line, true, passed(), excused, 1),
        (line, true, not_passed(SpfResult::PassAny), suspected, 1),
        (line, true, not_passed(SpfResult::None), suspected, 1),
        (line, true, not_passed(SpfResult::Fail), suspected, 1),
        (line, true, Finding::NoAnswer, suspected, 1),
        (line, true, Finding::Absent, suspected, 1),
        (line, false, passed(), suspected, 0),
        (mail, true, passed(), unsuspicious, 0),
    ] {
        let rules = rules(|params| params.spf.excuses = excuses);
        let got = settle(&attempt(name), &rules, &found, &mut Vec::new());
        assert_eq!(got, (want, want_asked), "{name} {excuses} {found:?}");
    }
}

#[test]
fn a_client_that_is_excused_is_asked_about_in_dns_lists_as_any_other() {
    let mut rules = rules(|params| params.spf.excuses = true);
    let lists = DnsLists::parse(&["list.example*2"], Thresholds::default());
    rules.change(|parts| parts.dns_lists = lists.unwrap().into());
    let line = attempt("unknown");
    let got = settle(&line, &rules, &passed(), &mut Vec::new());
    assert_eq!(got, (Ok(Some(Suspicion::DnsLists(2))), 1));
    let got = settle(
        &line,
        &rules,
        &not_passed(SpfResult::Neutral),
        &mut Vec::new(),
    );
    assert_eq!(got, (Ok(Some(Suspicion::S25r(0))), 1));
}

#[test]
fn for_the_names_of_a_triplet_spf_is_asked_once_and_only_if_the_client_would_wait() {
    for (name, excuses, unmatched, want_asked) in [
        ("unknown", false, Unmatched::Pass, 1),
        ("unknown", true, Unmatched::Pass, 1),
        ("unknown", true, Unmatched::Greylist, 1),
        ("mx.example.org", false, Unmatched::Pass, 0),
        ("mx.example.org", false, Unmatched::Greylist, 1),
    ] {
        let rules = rules(|params| {
            params.spf.names = true;
            params.spf.excuses = excuses;
            params.unmatched = Some(unmatched);
        });
        let mut steps = Vec::new();
        let (_, asked) = settle(&attempt(name), &rules, &passed(), &mut steps);
        let noted = steps
            .iter()
            .filter(|step| **step == Step::Spf(SpfResult::Pass));
        assert_eq!(
            (asked, noted.count()),
            (want_asked, want_asked),
            "{name} {excuses} {unmatched:?}"
        );
    }
    // At DATA there is no triplet.
    let rules = rules(|params| {
        params.spf.names = true;
        params.tarpit = Some(Tarpit {
            length: crate::types::Span::from_seconds(125),
            scheme: Scheme::Targrey,
        });
    });
    let data = Attempt {
        stage: Stage::Data,
        ..attempt("unknown")
    };
    assert_eq!(
        settle(&data, &rules, &passed(), &mut Vec::new()),
        (Ok(Some(Suspicion::S25r(0))), 0)
    );
}

#[test]
fn without_a_domain_that_can_pass_nothing_is_asked() {
    let rules = rules(|params| {
        params.spf.excuses = true;
        params.spf.names = true;
    });
    let nameless = Attempt {
        sender: Some(b"joe@localhost"),
        ..attempt("unknown")
    };
    let mut steps = Vec::new();
    let got = settle(&nameless, &rules, &passed(), &mut steps);
    assert_eq!(got, (Ok(Some(Suspicion::S25r(0))), 0));
    assert!(steps.contains(&Step::Spf(SpfResult::None)));
}

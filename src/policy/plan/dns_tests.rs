//! What the sums of DNS lists make of a client, beside the other checks.

use std::sync::Arc;

use super::super::tests::{access, attempt, rules, with_lists};
use super::super::{DnsLists, Finding, Scheme, Standing, Tarpit, Thresholds, s25r};
use super::*;
use crate::policy::Lookup;
use crate::types::{ReplyText, SmtpCode, Span};

/// What is made of a client.
type Made = Result<Option<Suspicion>, (Reason, Option<Reply>)>;

/// A client of which the lists say this.
const fn last_byte(standing: Standing) -> u8 {
    match standing {
        Standing::Rejected => 1,
        Standing::Suspicious => 2,
        Standing::Allowed => 3,
        Standing::Unlisted => 4,
    }
}

/// Plans until nothing is missing. Yields what is made of the client, and how many lookups it took. A list that has
/// a text says it of everybody.
fn planned(
    rules: &Ruleset,
    attempt: &Attempt<'_>,
    standing: Standing,
    text: &Finding,
) -> (Made, usize) {
    let mut evidence = Evidence::default();
    let mut lookups = 0;
    loop {
        match plan(attempt, &evidence, rules, &mut ()) {
            Plan::Ask(missing, _) => {
                lookups += missing.len();
                let address = [127, 0, 0, last_byte(standing)].into();
                let found = missing.into_iter().map(|lookup| {
                    let finding = match &lookup {
                        Lookup::DnsList(..) => Finding::Addresses(Arc::from([address])),
                        Lookup::DnsListText(..) => text.clone(),
                        Lookup::Spf(_)
                        | Lookup::SenderMx(..)
                        | Lookup::Score
                        | Lookup::BodyText(_) => {
                            panic!("only lists are asked")
                        }
                    };
                    (lookup, finding)
                });
                evidence.add(found.collect::<Vec<_>>());
            }
            Plan::Case(case) => return (Ok(case.suspicion), lookups),
            Plan::Settled(outcome) => return (Err((outcome.reason, None)), lookups),
            Plan::Replied(outcome, reply) => return (Err((outcome.reason, Some(reply))), lookups),
        }
    }
}

/// The list of the tests, with these thresholds.
fn lists(reject: Option<i32>, allow: Option<i32>) -> Arc<DnsLists> {
    let thresholds = Thresholds {
        suspicious: 1,
        reject,
        allow,
    };
    let sites = "a.example=127.0.0.1*2 a.example=127.0.0.2 a.example=127.0.0.3*-1";
    Arc::new(DnsLists::parse(&[sites], thresholds).unwrap())
}

#[test]
#[rustfmt::skip]
fn dns_lists_add_suspicion_to_clients_that_s25r_does_not_match_and_may_exempt_or_refuse_any() {
    use Standing::{Allowed, Rejected, Suspicious, Unlisted};
    let s25r = || Ok(Some(Suspicion::S25r(0)));
    let by_lists = |weight| Ok(Some(Suspicion::DnsLists(weight)));
    let settled = |reason| Err((reason, None));
    let refused = || {
        let text = "Client host [192.0.2.7] blocked using a.example";
        Err((Reason::DnsReject, Some(Reply::Code(SmtpCode::REFUSED, ReplyText::new(text.to_owned())))))
    };
    // The last one is a mail host that a classic rule would match.
    let (mail, line, mail_host) = ("mx.example", "unknown", "mail1-2.example.net");
    // The client's name, the thresholds, what the lists say, what becomes of the client, and the lookups that it takes.
    let cases = [
        (mail, (None, None), Suspicious, by_lists(1), 1),
        (mail, (None, None), Rejected, by_lists(2), 1),
        (mail, (None, None), Unlisted, settled(Reason::NotSuspicious), 1),
        (mail, (None, Some(-1)), Allowed, settled(Reason::DnsAllowlist), 1),
        (mail, (None, Some(-1)), Suspicious, by_lists(1), 1),
        (mail, (Some(2), None), Suspicious, by_lists(1), 1),
        (mail, (Some(2), None), Rejected, refused(), 2),
        (line, (None, None), Rejected, s25r(), 0),
        (line, (None, None), Allowed, s25r(), 0),
        (line, (None, Some(-1)), Allowed, settled(Reason::DnsAllowlist), 1),
        (line, (None, Some(-1)), Unlisted, s25r(), 1),
        (line, (None, Some(-1)), Suspicious, s25r(), 1),
        (line, (Some(2), None), Suspicious, s25r(), 1),
        (line, (Some(2), None), Allowed, s25r(), 1),
        (line, (Some(2), Some(-1)), Rejected, refused(), 2),
        (mail_host, (None, None), Suspicious, by_lists(1), 1),
        (mail_host, (None, None), Unlisted, settled(Reason::NotSuspicious), 1),
    ];
    for (name, (reject, allow), standing, want, times) in cases {
        let mut rules = rules(|params| params.s25r = Some(s25r::Rules::Extended));
        rules.change(|parts| parts.dns_lists = lists(reject, allow));
        let attempt = attempt(name, "192.0.2.7", "a@b", "c@d");
        let got = planned(&rules, &attempt, standing, &Finding::Absent);
        assert_eq!(got, (want, times), "{name} {reject:?} {allow:?} {standing:?}");
    }
}

#[test]
fn a_refusal_has_the_words_of_postfix_with_the_text_of_the_list() {
    let text = |text: &[u8]| Finding::Text(ReplyText::foreign(text).unwrap());
    let cases = [
        (
            text(b"see https://a.example/?ip=%s"),
            "; see https://a.example/?ip=%s",
        ),
        (text(b"a\n250 OK"), "; a?250 OK"),
        (Finding::Absent, ""),
        (Finding::NoAnswer, ""),
    ];
    for (address, shown) in [("192.0.2.7", "192.0.2.7"), ("2001:DB8:0::7", "2001:db8::7")] {
        for (found, end) in &cases {
            let mut rules = rules(|_| ());
            rules.change(|parts| parts.dns_lists = lists(Some(2), None));
            let attempt = attempt("mx.example", address, "a@b", "c@d");
            let got = planned(&rules, &attempt, Standing::Rejected, found).0;
            let want = format!("Client host [{shown}] blocked using a.example{end}");
            let want = Reply::Code(SmtpCode::REFUSED, ReplyText::new(want));
            assert_eq!(got, Err((Reason::DnsReject, Some(want))));
        }
    }
}

#[test]
fn a_client_that_a_table_greylists_is_refused_too_or_let_pass_and_nothing_else_changes_for_it() {
    use Standing::{Allowed, Rejected, Suspicious};
    let of_table = |rules: &Ruleset| {
        let attempt = attempt("slow.example", "192.0.2.7", "a@b", "c@d");
        let want = planned(rules, &attempt, Suspicious, &Finding::Absent);
        assert!(matches!(want.0, Ok(Some(Suspicion::Entry(_)))), "{want:?}");
        want
    };
    let (refused, passes) = (Some(Reason::DnsReject), Some(Reason::DnsAllowlist));
    for (reject, allow, standing, changed) in [
        (Some(2), None, Rejected, refused),
        (Some(2), Some(-1), Rejected, refused),
        (Some(2), Some(-1), Allowed, passes),
        (Some(2), Some(-1), Suspicious, None),
        (None, Some(-1), Allowed, passes),
        (None, Some(-1), Suspicious, None),
        (None, None, Allowed, None),
    ] {
        let mut rules = with_lists(
            |_| (),
            |lists| lists.access = access(&[("^slow\\.", "greylist")]),
        );
        rules.change(|parts| parts.dns_lists = lists(reject, allow));
        let want = of_table(&rules);
        let attempt = attempt("slow.example", "192.0.2.7", "a@b", "c@d");
        let got = planned(&rules, &attempt, standing, &Finding::Absent);
        match &got.0 {
            Err((reason, _)) => assert_eq!(Some(*reason), changed, "{standing:?}"),
            waits => assert_eq!((waits, changed), (&want.0, None), "{standing:?}"),
        }
        let is_asked = reject.is_some() || allow.is_some();
        assert_eq!(got.1 > 0, is_asked, "{reject:?} {allow:?} {standing:?}");
    }
}

#[test]
fn lists_that_let_a_client_pass_come_before_the_reply_of_a_table() {
    use Standing::{Allowed, Suspicious, Unlisted};
    let client = attempt("told.example", "192.0.2.7", "a@b", "c@d");
    let authenticated = Attempt {
        user: Some(b"joe"),
        ..client
    };
    let (passes, replied) = (Reason::DnsAllowlist, Reason::AccessReply);
    for (attempt, allow, standing, want, lookups) in [
        (client, Some(-1), Allowed, passes, 1),
        (client, Some(-1), Suspicious, replied, 1),
        (client, Some(-1), Unlisted, replied, 1),
        (client, None, Allowed, replied, 0),
        (authenticated, Some(-1), Allowed, replied, 0),
    ] {
        let mut rules = with_lists(
            |_| (),
            |lists| lists.access = access(&[("^told\\.", "REJECT no")]),
        );
        rules.change(|parts| parts.dns_lists = lists(None, allow));
        let (got, asked) = planned(&rules, &attempt, standing, &Finding::Absent);
        let got = got.map_err(|(reason, _)| reason);
        assert_eq!((got, asked), (Err(want), lookups), "{allow:?} {standing:?}");
    }
}

#[test]
fn who_is_exempt_is_not_refused() {
    let mut rules = rules(|_| ());
    rules.change(|parts| parts.dns_lists = lists(Some(1), None));
    let authenticated = Attempt {
        user: Some(b"joe"),
        ..attempt("mx.example", "192.0.2.7", "a@b", "c@d")
    };
    let got = planned(&rules, &authenticated, Standing::Rejected, &Finding::Absent);
    assert_eq!(got, (Err((Reason::Authenticated, None)), 0));
}

#[test]
fn who_has_come_as_far_as_data_is_not_refused() {
    let mut rules = rules(|params| {
        params.tarpit = Some(Tarpit {
            length: Span::from_seconds(125),
            scheme: Scheme::Targrey,
        });
    });
    rules.change(|parts| parts.dns_lists = lists(Some(1), None));
    let data = Attempt {
        stage: Stage::Data,
        ..attempt("mx.example", "192.0.2.7", "a@b", "c@d")
    };
    let got = planned(&rules, &data, Standing::Rejected, &Finding::Absent);
    assert_eq!(got, (Ok(Some(Suspicion::DnsLists(2))), 1));
}

#[test]
fn what_is_known_before_a_lookup_is_known_of_the_case_that_waits_for_it() {
    let mut rules = rules(|params| params.s25r = Some(s25r::Rules::Classic));
    rules.change(|parts| parts.dns_lists = lists(Some(2), None));
    for (name, want) in [("unknown", Some(Suspicion::S25r(0))), ("mx.example", None)] {
        let attempt = attempt(name, "192.0.2.7", "a@b", "c@d");
        match plan(&attempt, &Evidence::default(), &rules, &mut ()) {
            Plan::Ask(_, case) => assert_eq!(case.suspicion, want, "{name}"),
            plan @ (Plan::Settled(_) | Plan::Replied(..) | Plan::Case(_)) => panic!("{plan:?}"),
        }
    }
}

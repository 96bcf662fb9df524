//! The state table of the manual, row by row, and the order of a decision.

use std::path::Path;

use jiff::tz::TimeZone;

use super::pattern::{AddressPattern, ClientPattern};
use super::s25r::Rules;
use super::*;
use crate::types::{Reply, ReplyText, Span};

const WINDOW: u64 = 2 * 86_400;
const MAX_AGE: u64 = 35 * 86_400;

/// An arbitrary beginning, long after the epoch.
const START: u64 = 1_800_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

fn entry(text: &str) -> Entry {
    Entry::in_file(&Path::new("list").into(), 1, text)
}

pub(super) fn rules(change: impl FnOnce(&mut Params)) -> Ruleset {
    with_lists(change, |_| {})
}

pub(super) fn with_lists(
    change: impl FnOnce(&mut Params),
    add: impl FnOnce(&mut Lists),
) -> Ruleset {
    let addresses = |text: &str| {
        AddressList::new(vec![(AddressPattern::parse(text).unwrap(), entry(text))]).unwrap()
    };
    let client = "good.example";
    let clients = vec![(ClientPattern::parse(client).unwrap(), entry(client))];
    let mut params = Params {
        auto_whitelist: Some(2),
        ..Params::default()
    };
    change(&mut params);
    let mut lists = Lists {
        clients: ClientList::new(clients).unwrap(),
        recipients: addresses("abuse@"),
        senders: addresses("friend@example.com"),
        ..Lists::default()
    };
    add(&mut lists);
    let texts = Texts::new("DEFER_IF_PERMIT", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, lists, texts)
}

pub(super) fn attempt<'a>(
    name: &'a str,
    address: &'a str,
    sender: &'a str,
    to: &'a str,
) -> Attempt<'a> {
    Attempt {
        client_address: Some(address.as_bytes()),
        client_name: Some(name.as_bytes()),
        sender: Some(sender.as_bytes()),
        recipient: Some(to.as_bytes()),
        ..Attempt::default()
    }
}

const fn waiting(first: u64, last: u64, retries: u32) -> Triplet {
    counted(first, last, retries, 0)
}

const PLAIN: Option<Why> = Some(Why {
    cause: Cause::Plain,
    is_milter: false,
});

const fn counted(first: u64, last: u64, retries: u32, counted: u32) -> Triplet {
    Triplet::Waiting {
        first: Timestamp::from_seconds(START + first),
        last: Timestamp::from_seconds(START + last),
        retries,
        counted,
        why: PLAIN,
    }
}

const fn passed(first: u64, passed: u64, last: u64, mails: u32) -> Triplet {
    Triplet::Passed {
        first: Timestamp::from_seconds(START + first),
        passed: Timestamp::from_seconds(START + passed),
        last: Timestamp::from_seconds(START + last),
        mails,
    }
}

const fn defer(wait: u64) -> Verdict {
    Verdict::Defer {
        remaining: Remaining::Time(Span::from_seconds(wait)),
    }
}

const fn header(waited: u64) -> Verdict {
    Verdict::PassWithHeader {
        waited: Span::from_seconds(waited),
    }
}

struct Row {
    name: &'static str,
    record: Option<Triplet>,
    now: u64,
    want_verdict: Verdict,
    want_reason: Reason,
    want_next: Triplet,
}

const LATE: u64 = 100 + WINDOW;
const OLD: u64 = 500 + MAX_AGE;

#[rustfmt::skip]
const STATE_TABLE: &[Row] = &[
    Row { name: "none, any", record: None, now: 100, want_verdict: defer(300), want_reason: Reason::New, want_next: waiting(100, 100, 0) },
    Row { name: "waiting, at once", record: Some(waiting(100, 100, 0)), now: 100, want_verdict: defer(300), want_reason: Reason::EarlyRetry, want_next: waiting(100, 100, 1) },
    Row { name: "waiting, before first + delay", record: Some(waiting(100, 150, 3)), now: 399, want_verdict: defer(1), want_reason: Reason::EarlyRetry, want_next: waiting(100, 399, 4) },
    Row { name: "waiting, from first + delay", record: Some(waiting(100, 399, 4)), now: 400, want_verdict: header(300), want_reason: Reason::TripletFound, want_next: passed(100, 400, 400, 1) },
    Row { name: "waiting, up to first + retry_window", record: Some(waiting(100, 100, 0)), now: LATE, want_verdict: header(WINDOW), want_reason: Reason::TripletFound, want_next: passed(100, LATE, LATE, 1) },
    Row { name: "waiting, later", record: Some(waiting(100, 100, 0)), now: LATE + 1, want_verdict: defer(300), want_reason: Reason::New, want_next: waiting(LATE + 1, LATE + 1, 0) },
    Row { name: "waiting, first in the future", record: Some(waiting(100, 100, 0)), now: 99, want_verdict: defer(300), want_reason: Reason::New, want_next: waiting(99, 100, 0) },
    Row { name: "waiting, used while the clock was behind", record: Some(waiting(100, LATE + 1, 0)), now: LATE + 2, want_verdict: defer(299), want_reason: Reason::EarlyRetry, want_next: waiting(LATE + 1, LATE + 2, 1) },
    Row { name: "waiting, the clock is still behind", record: Some(waiting(100, LATE + 1, 0)), now: 400, want_verdict: header(300), want_reason: Reason::TripletFound, want_next: passed(100, 400, LATE + 1, 1) },
    Row { name: "passed, soon", record: Some(passed(100, 400, 400, 1)), now: 401, want_verdict: Verdict::Pass, want_reason: Reason::TripletFound, want_next: passed(100, 400, 401, 2) },
    Row { name: "passed, up to last + max_age", record: Some(passed(100, 400, 500, 7)), now: OLD, want_verdict: Verdict::Pass, want_reason: Reason::TripletFound, want_next: passed(100, 400, OLD, 8) },
    Row { name: "passed, later", record: Some(passed(100, 400, 500, 7)), now: OLD + 1, want_verdict: defer(300), want_reason: Reason::New, want_next: waiting(OLD + 1, OLD + 1, 0) },
    Row { name: "passed, clock set back", record: Some(passed(100, 400, 500, 7)), now: 50, want_verdict: Verdict::Pass, want_reason: Reason::TripletFound, want_next: passed(100, 400, 500, 8) },
];

fn decide_on(record: Option<Triplet>, now: Timestamp, rules: &Ruleset, expiry: Expiry) -> Outcome {
    let facts = StoredRecords {
        triplet: record,
        ..StoredRecords::default()
    };
    let session = Session {
        expiry,
        ..Session::default()
    };
    decide(&case(rules), &facts, session, now, rules)
}

/// Plans without evidence and without a listener.
pub(crate) fn plan(attempt: &Attempt<'_>, rules: &Ruleset) -> Plan {
    super::plan(attempt, &Evidence::default(), rules, &mut ())
}

/// Decides on stored records, without a listener.
pub(crate) fn decide(
    case: &Case,
    stored: &StoredRecords,
    session: Session,
    now: Timestamp,
    rules: &Ruleset,
) -> Outcome {
    let session = Session { now, ..session };
    let facts = case.facts(stored, session, &rules.params);
    case.decide(&facts, session, rules, &mut ())
}

/// The case of an unknown client.
fn case(rules: &Ruleset) -> Case {
    match plan(&attempt("x.example", "192.0.2.7", "a@b", "c@d"), rules) {
        Plan::Case(case) => case,
        plan @ (Plan::Settled(_) | Plan::Replied(..) | Plan::Ask(..)) => panic!("{plan:?}"),
    }
}

#[test]
fn the_state_table_holds() {
    let rules = rules(|_| {});
    for row in STATE_TABLE {
        let outcome = decide_on(row.record, at(row.now), &rules, Expiry::Applies);
        assert_eq!(outcome.verdict, row.want_verdict, "{}", row.name);
        assert_eq!(outcome.reason, row.want_reason, "{}", row.name);
        assert_eq!(outcome.changes.triplet, Some(row.want_next), "{}", row.name);
        let is_moved = row.record.map(Triplet::first) != Some(row.want_next.first());
        let is_promise = is_moved
            || row.want_verdict != Verdict::Pass
                && matches!(row.want_verdict, Verdict::PassWithHeader { .. });
        assert_eq!(outcome.changes.durable, is_promise, "{}", row.name);
    }
}

#[test]
fn without_a_delay_everybody_passes_at_once() {
    let rules = rules(|params| params.delay = Span::ZERO);
    let outcome = decide_on(None, at(5), &rules, Expiry::Applies);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.changes.triplet, Some(passed(5, 5, 5, 1)));
}

#[test]
fn a_passed_triplet_stays_passed_with_another_delay() {
    let rules = rules(|params| params.delay = Span::from_days(1));
    let outcome = decide_on(
        Some(passed(0, 300, 300, 1)),
        at(400),
        &rules,
        Expiry::Applies,
    );
    assert_eq!(outcome.verdict, Verdict::Pass);
}

#[test]
fn nothing_grows_old_while_expiry_is_suspended() {
    let rules = rules(|_| {});
    let year = 365 * 86_400;
    for (record, want) in [
        (Some(waiting(0, 0, 0)), header(year)),
        (Some(passed(0, 300, 300, 1)), Verdict::Pass),
    ] {
        let outcome = decide_on(record, at(year), &rules, Expiry::Suspended);
        assert_eq!(outcome.verdict, want);
    }
}

#[test]
fn waiting_longer_never_turns_a_pass_into_a_defer_inside_the_window() {
    let rules = rules(|_| {});
    let mut has_passed = false;
    for now in (0..=WINDOW).step_by(7) {
        let outcome = decide_on(Some(waiting(0, 0, 0)), at(now), &rules, Expiry::Applies);
        let passes = matches!(outcome.verdict, Verdict::PassWithHeader { .. });
        assert!(passes || !has_passed, "{now}");
        has_passed |= passes;
    }
    assert!(has_passed);
}

#[test]
fn a_message_has_its_header_once() {
    let facts = StoredRecords {
        triplet: Some(waiting(0, 0, 0)),
        ..StoredRecords::default()
    };
    let session = Session {
        header_given: true,
        ..Session::default()
    };
    let rules = rules(|_| {});
    let outcome = decide(&case(&rules), &facts, session, at(300), &rules);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.waited, Some(Span::from_seconds(300)));
}

#[test]
fn a_client_is_whitelisted_by_its_passes() {
    let rules = rules(|_| {});
    let known = |count, last| {
        Some(Client {
            count,
            last: at(last),
        })
    };
    let cases = [
        (
            "the first pass counts",
            None,
            Some(waiting(0, 0, 0)),
            300,
            known(1, 300),
            false,
        ),
        (
            "within the hour nothing counts",
            known(1, 0),
            Some(waiting(0, 0, 0)),
            3599,
            None,
            false,
        ),
        (
            "the last one needed is announced",
            known(1, 0),
            Some(waiting(0, 0, 0)),
            3600,
            known(2, 3600),
            true,
        ),
        (
            "a defer does not count",
            known(1, 0),
            None,
            9999,
            None,
            false,
        ),
        (
            "an old triplet does not count",
            known(1, 0),
            Some(passed(0, 300, 300, 1)),
            9999,
            None,
            false,
        ),
        (
            "a forgotten client begins anew",
            known(1, 0),
            Some(waiting(MAX_AGE, MAX_AGE, 0)),
            MAX_AGE + 300,
            known(1, MAX_AGE + 300),
            false,
        ),
    ];
    for (name, client, triplet, now, want, want_announced) in cases {
        let outcome = decide(
            &case(&rules),
            &StoredRecords {
                client,
                triplet,
                ..StoredRecords::default()
            },
            Session::default(),
            at(now),
            &rules,
        );
        assert_eq!(outcome.changes.client, want, "{name}");
        assert_eq!(outcome.whitelisted, want_announced, "{name}");
    }
}

#[test]
fn a_whitelisted_client_passes_at_once_until_it_is_forgotten() {
    let rules = rules(|_| {});
    let facts = StoredRecords {
        client: Some(Client {
            count: 2,
            last: at(0),
        }),
        ..StoredRecords::default()
    };
    let outcome = decide(&case(&rules), &facts, Session::default(), at(100), &rules);
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Pass, Reason::ClientAwl)
    );
    assert!(outcome.changes.is_empty());
    let outcome = decide(
        &case(&rules),
        &facts,
        Session::default(),
        at(MAX_AGE + 1),
        &rules,
    );
    assert_eq!(outcome.reason, Reason::New);
}

#[test]
fn the_lists_settle_before_the_store_is_asked() {
    let stranger = attempt("x.example", "192.0.2.7", "a@b.example", "joe@c.example");
    let cases = [
        (
            "client",
            Attempt {
                client_name: Some(b"mx.good.example"),
                ..stranger
            },
            Reason::ClientWhitelist,
        ),
        (
            "recipient",
            Attempt {
                recipient: Some(b"abuse@c.example"),
                ..stranger
            },
            Reason::RecipientWhitelist,
        ),
        (
            "sender",
            Attempt {
                sender: Some(b"friend@example.com"),
                ..stranger
            },
            Reason::SenderWhitelist,
        ),
        (
            "client before recipient",
            Attempt {
                client_name: Some(b"good.example"),
                recipient: Some(b"abuse@x"),
                ..stranger
            },
            Reason::ClientWhitelist,
        ),
        (
            "another stage",
            Attempt {
                stage: Stage::Other,
                ..stranger
            },
            Reason::OtherState,
        ),
        (
            "no address",
            Attempt {
                client_address: Some(b"unknown"),
                ..stranger
            },
            Reason::AddressUnparsable,
        ),
        (
            "an attribute missing",
            Attempt {
                sender: None,
                ..stranger
            },
            Reason::AttributeMissing,
        ),
    ];
    let rules = rules(|_| {});
    for (name, attempt, want) in cases {
        let Plan::Settled(outcome) = plan(&attempt, &rules) else {
            panic!("{name} is not settled");
        };
        assert_eq!(
            (outcome.verdict, outcome.reason),
            (Verdict::Pass, want),
            "{name}"
        );
    }
    assert!(matches!(plan(&stranger, &rules), Plan::Case(_)));
    let null_sender = Attempt {
        sender: Some(b""),
        ..stranger
    };
    assert!(matches!(plan(&null_sender, &rules), Plan::Case(_)));
}

#[test]
fn the_auto_whitelist_counts_whom_it_is_told_to() {
    let client_key =
        |rules: &Ruleset, address| match plan(&attempt("x", address, "a@b", "c@d"), rules) {
            Plan::Case(case) => case.client,
            plan @ (Plan::Settled(_) | Plan::Replied(..) | Plan::Ask(..)) => panic!("{plan:?}"),
        };
    let by_address = rules(|_| {});
    let by_subnet = rules(|params| params.count_by = CountBy::Subnet);
    let off = rules(|params| params.auto_whitelist = None);
    let (one, two) = ("192.0.2.7", "192.0.2.8");
    assert_ne!(client_key(&by_address, one), client_key(&by_address, two));
    assert_eq!(client_key(&by_subnet, one), client_key(&by_subnet, two));
    assert_eq!(client_key(&off, one), None);
}

#[test]
fn s25r_makes_suspicious_what_is_no_exception() {
    let exception = "outlook.example";
    let entry_of = |text: &str| (ClientPattern::parse(text).unwrap(), entry(text));
    let with = |unmatched| {
        with_lists(
            |params| {
                params.s25r = Some(Rules::Classic);
                params.unmatched = unmatched;
            },
            |lists| lists.s25r_exceptions = ClientList::new(vec![entry_of(exception)]).unwrap(),
        )
    };
    let cases = [
        ("unknown", None, Ok(Some(Suspicion::S25r(0)))),
        ("a1b2.example.net", None, Ok(Some(Suspicion::S25r(1)))),
        ("mx.example.net", None, Err(Because::Request)),
        (
            "a1b2.outlook.example",
            None,
            Err(Because::Entry(EntryRef {
                list: ListName::S25rException,
                is_added: false,
                number: 0,
            })),
        ),
        ("mx.example.net", Some(Unmatched::Greylist), Ok(None)),
        ("a1b2.outlook.example", Some(Unmatched::Greylist), Ok(None)),
        (
            "mx.example.net",
            Some(Unmatched::Pass),
            Err(Because::Request),
        ),
    ];
    for (name, unmatched, want) in cases {
        let planned = plan(&attempt(name, "192.0.2.7", "a@b", "c@d"), &with(unmatched));
        let got = match planned {
            Plan::Case(case) => Ok(case.suspicion),
            Plan::Replied(..) | Plan::Ask(..) => panic!("{name}"),
            Plan::Settled(outcome) => {
                assert_eq!(outcome.reason, Reason::NotSuspicious, "{name}");
                assert_eq!(outcome.verdict, Verdict::Pass, "{name}");
                Err(outcome.because)
            }
        };
        assert_eq!(got, want, "{name} {unmatched:?}");
    }
    let listed = plan(
        &attempt("a1b2.good.example", "192.0.2.7", "a@b", "c@d"),
        &with(None),
    );
    assert!(matches!(listed, Plan::Settled(outcome) if outcome.reason == Reason::ClientWhitelist));
}

/// Client access tables of these lines, each an expression and a result.
pub(super) fn access(lines: &[(&str, &str)]) -> AccessTables {
    let lines = lines.iter().zip(1..).map(|((expression, result), line)| {
        let (result, text) =
            access::AccessResult::parse(result, &[], access::Dollars::Groups).unwrap();
        let condition = access::Condition {
            expression: access::Expression::parse(expression.as_bytes(), access::Flags::default())
                .unwrap(),
            negated: false,
        };
        let rule = access::Rule::new(condition, None, result, text).unwrap();
        access::Line::Rule(
            rule,
            Entry::in_file(&Path::new("table").into(), line, expression),
        )
    });
    let mut tables = AccessTables::default();
    tables.push(lines.collect()).unwrap();
    tables
}

#[test]
fn tables_come_before_s25r_and_what_they_leave_over_is_unmatched() {
    let lines = [
        ("^bad\\.", "REJECT go away"),
        ("^slow[0-9]\\.", "450 4.7.1 be patient"),
        ("\\.friend\\.example$", "OK"),
        ("\\.warned\\.example$", "WARN dynamic"),
    ];
    let greylisting = [("\\.dyn\\.example$", "check_greylist")];
    let both = [lines.as_slice(), &greylisting].concat();
    let settled = |reason, reply| Err((reason, reply));
    let replied = |text: &str| {
        let reply = Reply::Access(ReplyText::new(text.to_owned()));
        settled(Reason::AccessReply, reply)
    };
    let of_table = |number| {
        Ok(Some(Suspicion::Entry(EntryRef {
            list: ListName::ClientAccess,
            is_added: false,
            number,
        })))
    };
    let permit = || settled(Reason::AccessPermit, Reply::Continue);
    let unsuspicious = || settled(Reason::NotSuspicious, Reply::Continue);
    let cases = [
        ("bad.example", false, &lines[..], replied("REJECT go away")),
        (
            "slow1.example",
            false,
            &lines,
            replied("450 4.7.1 be patient"),
        ),
        ("a1b2.friend.example", true, &lines, permit()),
        (
            "a1b2.warned.example",
            true,
            &lines,
            Ok(Some(Suspicion::S25r(1))),
        ),
        ("mx.warned.example", true, &lines, unsuspicious()),
        ("mx.example", false, &lines, Ok(None)),
        ("mx.example", false, &both, unsuspicious()),
        ("a1b2.dyn.example", false, &both, of_table(4)),
        ("a1b2.dyn.example", true, &both, of_table(4)),
        ("a1b2.example", true, &both, Ok(Some(Suspicion::S25r(1)))),
    ];
    for (name, s25r, lines, want) in cases {
        let rules = with_lists(
            |params| params.s25r = s25r.then_some(Rules::Classic),
            |lists| lists.access = access(lines),
        );
        let attempt = attempt(name, "192.0.2.7", "a@b", "c@d");
        let got = match plan(&attempt, &rules) {
            Plan::Case(case) => Ok(case.suspicion),
            Plan::Settled(outcome) => Err((outcome.reason, rules.reply(&attempt, &outcome, at(0)))),
            Plan::Replied(outcome, reply) => Err((outcome.reason, reply)),
            Plan::Ask(lookups, _) => panic!("{name}: {lookups:?}"),
        };
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn authenticated_clients_are_exempt_from_waiting_and_not_from_replies() {
    let lines = [
        ("^bad\\.", "REJECT go away"),
        ("^ok\\.", "OK"),
        ("\\.dyn\\.example$", "greylist"),
    ];
    let cases = [
        ("bad.example", true, Some(Reason::AccessReply)),
        ("ok.example", true, Some(Reason::AccessPermit)),
        ("a1b2.dyn.example", true, Some(Reason::Authenticated)),
        ("a1b2.example", true, Some(Reason::Authenticated)),
        ("mx.example", true, Some(Reason::Authenticated)),
        ("bad.example", false, Some(Reason::AccessReply)),
        ("a1b2.dyn.example", false, None),
        ("a1b2.example", false, None),
        ("mx.example", false, Some(Reason::NotSuspicious)),
    ];
    for (name, exempt_authenticated, want) in cases {
        let rules = with_lists(
            |params| {
                params.s25r = Some(Rules::Classic);
                params.exempt_authenticated = exempt_authenticated;
            },
            |lists| lists.access = access(&lines),
        );
        let attempt = Attempt {
            user: Some(b"joe"),
            ..attempt(name, "192.0.2.7", "a@b", "c@d")
        };
        let got = match plan(&attempt, &rules) {
            Plan::Case(_) => None,
            Plan::Settled(outcome) | Plan::Replied(outcome, _) => Some(outcome.reason),
            Plan::Ask(lookups, _) => panic!("{name}: {lookups:?}"),
        };
        assert_eq!(got, want, "{name} {exempt_authenticated}");
    }
}

#[test]
fn where_greylisting_is_opt_in_only_listed_recipients_are_greylisted() {
    let listed = || {
        Ok(Some(Suspicion::Entry(EntryRef {
            list: ListName::GreylistRecipient,
            is_added: false,
            number: 0,
        })))
    };
    let rule = || Ok(Some(Suspicion::S25r(1)));
    let not_listed = || Err(Reason::RecipientNotListed);
    let cases = [
        ("mx.example", "ann@in.example", false, listed()),
        ("mx.example", "ann@out.example", false, not_listed()),
        (
            "mx.example",
            "abuse@in.example",
            false,
            Err(Reason::RecipientWhitelist),
        ),
        (
            "good.example",
            "ann@in.example",
            false,
            Err(Reason::ClientWhitelist),
        ),
        (
            "bad.example",
            "ann@out.example",
            false,
            Err(Reason::AccessReply),
        ),
        (
            "mx.example",
            "ann@in.example",
            true,
            Err(Reason::NotSuspicious),
        ),
        ("a1b2.example", "ann@in.example", true, rule()),
        ("a1b2.example", "ann@out.example", true, not_listed()),
    ];
    for (name, to, s25r, want) in cases {
        let pattern = AddressPattern::parse("in.example").unwrap();
        let rules = with_lists(
            |params| {
                params.s25r = s25r.then_some(Rules::Classic);
                params.recipients_opt_in = true;
            },
            |lists| {
                let entries = vec![(pattern, entry("in.example"))];
                lists.greylist_recipients = AddressList::new(entries).unwrap();
                lists.access = access(&[("^bad\\.", "REJECT go away")]);
            },
        );
        let got = match plan(&attempt(name, "192.0.2.7", "a@b", to), &rules) {
            Plan::Case(case) => Ok(case.suspicion),
            Plan::Settled(outcome) | Plan::Replied(outcome, _) => Err(outcome.reason),
            Plan::Ask(lookups, _) => panic!("{name}: {lookups:?}"),
        };
        assert_eq!(got, want, "{name} {to} {s25r}");
    }
    // At DATA Postfix names no recipient when there are several.
    let rules = rules(|params| {
        params.recipients_opt_in = true;
        params.tarpit = Some(Tarpit {
            length: Span::from_seconds(125),
            scheme: Scheme::Targrey,
        });
    });
    let data = Attempt {
        stage: Stage::Data,
        ..attempt("mx.example", "192.0.2.7", "a@b", "")
    };
    assert!(matches!(plan(&data, &rules), Plan::Case(_)));
}

#[test]
fn a_record_is_the_same_until_it_passes_or_begins_anew() {
    let at = Timestamp::from_seconds;
    let waiting = |first, last| Triplet::Waiting {
        first: at(first),
        last: at(last),
        retries: 0,
        counted: 0,
        why: None,
    };
    let passed = |first, last| Triplet::Passed {
        first: at(first),
        passed: at(first),
        last: at(last),
        mails: 1,
    };
    let one = waiting(1000, 1200);
    for (name, other, want) in [
        ("itself", one, true),
        ("tried again", waiting(1000, 9000), true),
        ("first set back by an import", waiting(500, 1200), true),
        ("begun anew", waiting(1201, 1201), false),
        ("begun anew and tried again", waiting(5000, 6000), false),
        ("passed", passed(1000, 1200), false),
    ] {
        assert_eq!(one.same_state(other), want, "{name}");
        assert_eq!(other.same_state(one), want, "{name}, the other way");
    }
    assert!(passed(1000, 1200).same_state(passed(900, 5000)));
    assert!(!passed(1000, 1200).same_state(passed(5000, 5000)));
}

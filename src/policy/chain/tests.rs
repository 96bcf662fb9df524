use std::net::Ipv4Addr;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::policy::access::{Expression, Flags};
use crate::policy::{
    Attempt, Entry, Evidence, Finding, Lookup, SpfFinding, SpfQuestion, SpfResult, Zone,
};
use crate::types::{ClientIp, Prefix};

pub(in crate::policy) fn rule(clauses: Vec<Clause>, action: Action) -> Rule {
    let entry = Entry::in_file(&Path::new("f").into(), 1, "x");
    Rule {
        clauses,
        effects: Vec::new(),
        action,
        entry,
        id: None,
    }
}

fn chain(rules: Vec<Rule>) -> Chain {
    Chain::new(Parts {
        rules,
        ..Parts::default()
    })
    .unwrap()
}

pub(in crate::policy) fn is(test: Test) -> Clause {
    Clause {
        negated: false,
        test,
    }
}

pub(in crate::policy) fn not(test: Test) -> Clause {
    Clause {
        negated: true,
        test,
    }
}

fn expression(text: &str) -> Expression {
    Expression::parse(text.as_bytes(), Flags::default()).unwrap()
}

pub(in crate::policy) fn matches(text: &str) -> Pattern {
    Pattern::Matches(expression(text))
}

pub(in crate::policy) fn text(text: &str) -> Pattern {
    Pattern::Text(text.into())
}

pub(in crate::policy) fn network(text: &str) -> Test {
    Test::Network(Prefix::parse(text).unwrap())
}

pub(in crate::policy) const ATTEMPT: Attempt<'static> = Attempt {
    client_address: Some(b"203.0.113.7"),
    client_name: Some(b"Mail.Example.net"),
    helo_name: Some(b"mail.example.net"),
    sender: Some(b"joe+news-7@example.org"),
    recipient: Some(b"Jane@Example.com"),
    ..EMPTY
};

const EMPTY: Attempt<'static> = Attempt {
    stage: crate::policy::Stage::Recipient,
    client_address: None,
    client_name: None,
    helo_name: None,
    sender: None,
    recipient: None,
    instance: None,
    queue_id: None,
    is_stressed: false,
    user: None,
    certificate: None,
    macros: None,
    accepted: None,
    client_port: None,
    milter_message: None,
    milter_session: None,
};

fn subject<'a>(attempt: &Attempt<'a>) -> Subject<'a> {
    Subject::new(attempt, LocalTime::default()).unwrap()
}

/// Whether a test holds, and how many lookups that needs.
fn holds(attempt: &Attempt<'_>, evidence: &Evidence, test: &Test) -> (Truth, usize) {
    let subject = subject(attempt);
    let found = |clause| {
        let chain = chain(vec![rule(vec![clause], Action::Pass)]);
        match chain.find(&subject, evidence).0 {
            Found::Rule(..) => (true, 0),
            Found::Nothing => (false, 0),
            Found::Lacks(lookups) => (false, lookups.len()),
        }
    };
    match (found(is(test.clone())), found(not(test.clone()))) {
        ((true, 0), (false, 0)) => (Truth::True, 0),
        ((false, 0), (true, 0)) => (Truth::False, 0),
        ((false, lookups), (false, same)) if lookups == same => (Truth::Unknown, lookups),
        other => panic!("{test:?}: {other:?}"),
    }
}

#[test]
fn what_is_known_of_an_attempt_is_tested() {
    let unnamed = Attempt {
        client_name: Some(b"unknown"),
        ..ATTEMPT
    };
    let bounce = Attempt {
        sender: Some(b""),
        ..ATTEMPT
    };
    let authenticated = Attempt {
        user: Some(b"joe"),
        ..ATTEMPT
    };
    for (attempt, test, want) in [
        (ATTEMPT, network("203.0.113.0/24"), true),
        (ATTEMPT, network("203.0.112.0/24"), false),
        (ATTEMPT, Test::Domain("example.net".into()), true),
        (ATTEMPT, Test::Domain("mail.example.net".into()), true),
        (ATTEMPT, Test::Domain("ample.net".into()), false),
        (ATTEMPT, Test::Domain("x.mail.example.net".into()), false),
        (ATTEMPT, Test::Suffix("ample.net".into()), true),
        (ATTEMPT, Test::Suffix(".mail.example.net".into()), false),
        (ATTEMPT, Test::Name(expression("^mail\\.")), true),
        (ATTEMPT, Test::Name(expression("^\\[")), false),
        (
            unnamed,
            Test::Name(expression("^\\[203\\.0\\.113\\.7\\]$")),
            true,
        ),
        (unnamed, Test::Name(expression("unknown")), false),
        (ATTEMPT, Test::Helo(text("MAIL.example.net")), true),
        (ATTEMPT, Test::Helo(text("example.net")), false),
        (ATTEMPT, Test::Helo(matches("example")), true),
        (ATTEMPT, Test::HeloIs(Format::parse("%d").0), true),
        (
            ATTEMPT,
            Test::HeloIs(Format::parse("%md.Example.NET").0),
            true,
        ),
        (ATTEMPT, Test::HeloIs(Format::parse("%i").0), false),
        (unnamed, Test::HeloIs(Format::parse("%d").0), false),
        (ATTEMPT, Test::Sender(text("joe+news-7@example.org")), true),
        (ATTEMPT, Test::Sender(text("joe@example.org")), true),
        (ATTEMPT, Test::Sender(text("Joe+other@example.org")), true),
        (ATTEMPT, Test::Sender(text("jim@example.org")), false),
        (ATTEMPT, Test::Sender(matches("^<joe@")), true),
        (
            ATTEMPT,
            Test::Sender(matches("^joe\\+news-7@example\\.org$")),
            true,
        ),
        (ATTEMPT, Test::Sender(matches("@example\\.org>$")), true),
        (ATTEMPT, Test::RawSender(text("joe@example.org")), false),
        (
            ATTEMPT,
            Test::RawSender(text("JOE+news-7@example.org")),
            true,
        ),
        (ATTEMPT, Test::RawSender(matches("^<joe@")), false),
        (bounce, Test::Sender(matches("^<>$")), true),
        (bounce, Test::Sender(matches("^$")), true),
        (ATTEMPT, Test::Recipient(text("jane@example.com")), true),
        (ATTEMPT, Test::Recipient(matches("^jane@.*m>?$")), true),
        (ATTEMPT, Test::AuthenticatedAs(text("joe")), false),
        (authenticated, Test::AuthenticatedAs(text("joe")), true),
        (authenticated, Test::AuthenticatedAs(text("JOE")), false),
        (authenticated, Test::AuthenticatedAs(text("jo")), false),
        (authenticated, Test::AuthenticatedAs(matches("^j")), true),
        (
            ATTEMPT,
            Test::Time(Schedule::parse("0 0 * * *").unwrap()),
            false,
        ),
    ] {
        let want = (Truth::from(want), 0);
        assert_eq!(
            holds(&attempt, &Evidence::default(), &test),
            want,
            "{test:?}"
        );
    }
}

#[test]
fn what_the_front_end_does_not_say_is_unknown() {
    let silent = Attempt {
        helo_name: None,
        ..ATTEMPT
    };
    for (attempt, test) in [
        (silent, Test::Helo(text("x"))),
        (silent, Test::Helo(matches("x"))),
        (silent, Test::HeloIs(Format::parse("%d").0)),
        (ATTEMPT, Test::Unknown),
        (ATTEMPT, Test::AnyOf(7)),
    ] {
        let found = holds(&attempt, &Evidence::default(), &test);
        assert_eq!(found, (Truth::Unknown, 0), "{test:?}");
    }
}

#[test]
fn a_list_in_dns_says_yes_no_or_nothing() {
    let zone = Zone::parse("bl.example").unwrap();
    let client = ClientIp::parse(b"203.0.113.7").unwrap();
    let lookup = Lookup::DnsList(zone.clone(), client);
    let test = Test::DnsList(zone, Prefix::parse("127.0.0.10/31").unwrap());
    let found = |addresses: &[[u8; 4]]| {
        let addresses = addresses.iter().map(|address| Ipv4Addr::from(*address));
        Finding::Addresses(addresses.collect())
    };
    for (finding, want) in [
        (found(&[[127, 0, 0, 11]]), Truth::True),
        (found(&[[127, 0, 0, 2], [127, 0, 0, 10]]), Truth::True),
        (found(&[[127, 0, 0, 2]]), Truth::False),
        (found(&[[127, 255, 255, 254]]), Truth::Unknown),
        (Finding::Absent, Truth::False),
        (Finding::NoAnswer, Truth::Unknown),
    ] {
        let mut evidence = Evidence::default();
        assert_eq!(holds(&ATTEMPT, &evidence, &test), (Truth::Unknown, 1));
        evidence.add([(lookup.clone(), finding.clone())]);
        assert_eq!(holds(&ATTEMPT, &evidence, &test), (want, 0), "{finding:?}");
    }
    let private = Attempt {
        client_address: Some(b"10.0.0.1"),
        ..ATTEMPT
    };
    assert_eq!(
        holds(&private, &Evidence::default(), &test),
        (Truth::False, 0)
    );
}

#[test]
fn spf_without_an_answer_is_no_result() {
    let client = ClientIp::parse(b"203.0.113.7").unwrap();
    let question = SpfQuestion::new(client, b"mail.example.net", b"joe+news-7@example.org");
    let question = question.unwrap();
    let passed = SpfFinding::Passed(question.organization().clone());
    let finding = |result| Finding::Spf(SpfFinding::NotPassed(result));
    for (found, wanted, want) in [
        (Finding::Spf(passed.clone()), SpfResult::Pass, Truth::True),
        (Finding::Spf(passed), SpfResult::PassAny, Truth::False),
        (finding(SpfResult::PassAny), SpfResult::Pass, Truth::False),
        (finding(SpfResult::PassAny), SpfResult::PassAny, Truth::True),
        (finding(SpfResult::Fail), SpfResult::Fail, Truth::True),
        (finding(SpfResult::Fail), SpfResult::Softfail, Truth::False),
        (
            finding(SpfResult::Temperror),
            SpfResult::Pass,
            Truth::Unknown,
        ),
        (
            finding(SpfResult::Temperror),
            SpfResult::Temperror,
            Truth::True,
        ),
        (Finding::NoAnswer, SpfResult::None, Truth::Unknown),
    ] {
        let test = Test::Spf(wanted);
        let mut evidence = Evidence::default();
        assert_eq!(holds(&ATTEMPT, &evidence, &test), (Truth::Unknown, 1));
        evidence.add([(Lookup::Spf(question.clone()), found.clone())]);
        assert_eq!(
            holds(&ATTEMPT, &evidence, &test),
            (want, 0),
            "{found:?} {wanted:?}"
        );
    }
    // A domain that cannot be asked about has no record.
    let local = Attempt {
        sender: Some(b"root@localhost"),
        ..ATTEMPT
    };
    let none = holds(&local, &Evidence::default(), &Test::Spf(SpfResult::None));
    assert_eq!(none, (Truth::True, 0));
}

#[test]
fn a_mail_server_of_the_domain_that_nobody_names_is_not_known() {
    let client = ClientIp::parse(b"203.0.113.7").unwrap();
    let question = SpfQuestion::new(client, b"", b"@example.org").unwrap();
    let test = Test::SenderMx(24);
    for (found, want) in [
        (Finding::SenderMx(true), Truth::True),
        (Finding::SenderMx(false), Truth::False),
        (Finding::NoAnswer, Truth::Unknown),
    ] {
        let mut evidence = Evidence::default();
        assert_eq!(holds(&ATTEMPT, &evidence, &test), (Truth::Unknown, 1));
        evidence.add([(Lookup::SenderMx(question.clone(), 24), found.clone())]);
        assert_eq!(holds(&ATTEMPT, &evidence, &test), (want, 0), "{found:?}");
    }
    for sender in ["", "joe", "joe@localhost"] {
        let attempt = Attempt {
            sender: Some(sender.as_bytes()),
            ..ATTEMPT
        };
        let got = holds(&attempt, &Evidence::default(), &test);
        assert_eq!(got, (Truth::False, 0), "{sender}");
    }
}

#[test]
fn only_what_rules_before_the_one_that_matches_lack_is_asked() {
    let zone = |name: &str| Zone::parse(name).unwrap();
    let listed = |name: &str| Test::DnsList(zone(name), Prefix::parse("127.0.0.0/8").unwrap());
    let chain = chain(vec![
        // Does not match, whatever the list says.
        rule(
            vec![is(listed("a.example")), is(network("10.0.0.0/8"))],
            Action::Pass,
        ),
        rule(vec![is(listed("b.example"))], Action::Pass),
        rule(
            vec![not(listed("b.example")), is(listed("c.example"))],
            Action::Pass,
        ),
        rule(
            vec![is(network("203.0.113.0/24"))],
            Action::Greylist(Treatment::default()),
        ),
        rule(vec![is(listed("d.example"))], Action::Pass),
    ]);
    let subject = subject(&ATTEMPT);
    let mut evidence = Evidence::default();
    let Found::Lacks(lookups) = chain.find(&subject, &evidence).0 else {
        panic!("lookups");
    };
    let lookup = |name| Lookup::DnsList(zone(name), subject.client);
    assert_eq!(lookups, [lookup("b.example"), lookup("c.example")]);
    evidence.add([(lookup("b.example"), Finding::Absent)]);
    evidence.close();
    let Found::Rule(number, _) = chain.find(&subject, &evidence).0 else {
        panic!("a rule");
    };
    assert_eq!(number, 3, "silence is neither yes nor no");
}

#[test]
fn a_list_is_true_by_one_of_its_items() {
    let lists = vec![
        vec![
            network("10.0.0.0/8"),
            network("203.0.113.0/24"),
            network("2001:db8::/32"),
        ],
        vec![
            Test::Recipient(text("x@example.com")),
            Test::Recipient(matches("^jane@")),
        ],
        vec![Test::Unknown, network("10.0.0.0/8")],
        vec![Test::AnyOf(1), Test::AnyOf(3)],
    ];
    for (number, want) in [(0, Some(0)), (1, Some(0)), (2, None), (3, Some(0))] {
        let rules = vec![rule(vec![is(Test::AnyOf(number))], Action::Pass)];
        let chain = Chain::new(Parts {
            rules,
            lists: lists.clone(),
            ..Parts::default()
        })
        .unwrap();
        let found = match chain.find(&subject(&ATTEMPT), &Evidence::default()).0 {
            Found::Rule(number, _) => Some(number),
            Found::Nothing => None,
            Found::Lacks(lookups) => panic!("{lookups:?}"),
        };
        assert_eq!(found, want, "{number}");
    }
}

const ZONES: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];

/// A test that is settled, or asks a list.
fn any_test() -> impl Strategy<Value = Test> {
    let answers = Prefix::parse("127.0.0.0/8").unwrap();
    prop_oneof![
        Just(network("203.0.113.0/24")),
        Just(network("10.0.0.0/8")),
        Just(Test::Unknown),
        prop::sample::select(&ZONES[..])
            .prop_map(move |zone| Test::DnsList(Zone::parse(zone).unwrap(), answers)),
    ]
}

fn any_rules() -> impl Strategy<Value = Vec<Vec<Clause>>> {
    let clause = (any::<bool>(), any_test()).prop_map(|(negated, test)| Clause { negated, test });
    prop::collection::vec(prop::collection::vec(clause, 0..4), 0..6)
}

/// What a list says: listed, not, or nothing.
fn any_finding() -> impl Strategy<Value = Finding> {
    let listed = Finding::Addresses([Ipv4Addr::new(127, 0, 0, 2)].into());
    prop::sample::select(vec![listed, Finding::Absent, Finding::NoAnswer])
}

/// The number of the rule that decides, asked in rounds, with the number of rounds.
fn in_rounds(chain: &Chain, findings: &[Finding]) -> (Option<u32>, usize) {
    let subject = subject(&ATTEMPT);
    let mut evidence = Evidence::default();
    for round in 0..10 {
        match chain.find(&subject, &evidence).0 {
            Found::Rule(number, _) => return (Some(number), round),
            Found::Nothing => return (None, round),
            Found::Lacks(lookups) => {
                let all = all(findings);
                let asked = all
                    .into_iter()
                    .filter(|(lookup, _)| lookups.contains(lookup));
                evidence.add(asked);
            }
        }
    }
    panic!("no end");
}

/// What all lists say.
fn all(findings: &[Finding]) -> Vec<(Lookup, Finding)> {
    let client = ClientIp::parse(b"203.0.113.7").unwrap();
    let lookups = ZONES
        .iter()
        .map(|zone| Lookup::DnsList(Zone::parse(zone).unwrap(), client));
    lookups.zip(findings.iter().cloned()).collect()
}

/// The rule that decides when everything is known, found in the plainest way.
fn oracle(rules: &[Vec<Clause>], findings: &[Finding]) -> Option<u32> {
    let client = ClientIp::parse(b"203.0.113.7").unwrap();
    let truth = |test: &Test| {
        if let Test::Network(network) = test {
            return network.contains(client).into();
        }
        let Test::DnsList(zone, _) = test else {
            return Truth::Unknown;
        };
        let mut zones = ZONES.iter();
        let number = zones.position(|name| *name == zone.to_string()).unwrap();
        match findings[number] {
            Finding::Addresses(_) => Truth::True,
            Finding::Absent => Truth::False,
            Finding::NoAnswer
            | Finding::Text(_)
            | Finding::Spf(_)
            | Finding::SenderMx(_)
            | Finding::Score(_)
            | Finding::BodyText(_) => Truth::Unknown,
        }
    };
    let decides = |clauses: &Vec<Clause>| {
        let truths = clauses.iter().map(|clause| {
            let truth = truth(&clause.test);
            if clause.negated { !truth } else { truth }
        });
        truths.fold(Truth::True, Truth::and) == Truth::True
    };
    (0..)
        .zip(rules)
        .find(|(_, rule)| decides(rule))
        .map(|(number, _)| number)
}

proptest! {
    #[test]
    fn everything_at_once_yields_what_rounds_yield(
        clauses in any_rules(),
        findings in prop::collection::vec(any_finding(), 4),
    ) {
        let rules = clauses.iter().map(|clauses| rule(clauses.clone(), Action::Pass)).collect();
        let chain = chain(rules);
        let (found, rounds) = in_rounds(&chain, &findings);
        let mut evidence = Evidence::default();
        evidence.add(all(&findings));
        let at_once = match chain.find(&subject(&ATTEMPT), &evidence).0 {
            Found::Rule(number, _) => Some(number),
            Found::Nothing => None,
            Found::Lacks(lookups) => panic!("{lookups:?}"),
        };
        prop_assert_eq!(found, at_once);
        prop_assert_eq!(found, oracle(&clauses, &findings));
        // What is asked is all that may matter: once is enough.
        prop_assert!(rounds <= 1, "{} rounds", rounds);
    }

    #[test]
    fn three_values_follow_their_laws(a in 0..3_usize, b in 0..3_usize) {
        let values = [Truth::True, Truth::False, Truth::Unknown];
        let (a, b) = (values[a], values[b]);
        prop_assert_eq!(!!a, a);
        prop_assert_eq!(!a.and(b), (!a).or(!b));
        prop_assert_eq!(a.and(b), b.and(a));
        prop_assert_eq!(a.or(b), b.or(a));
        prop_assert_eq!(!Truth::Unknown, Truth::Unknown);
    }
}

/// A rule that sets a property, and goes on.
fn set(scope: Scope, property: &str, operation: Operation, value: AssignedValue) -> Rule {
    let effect = Effect::Set {
        scope,
        property: property.into(),
        operation,
        value,
    };
    Rule {
        effects: vec![effect],
        ..rule(vec![], Action::Continue)
    }
}

fn number(number: i64) -> AssignedValue {
    AssignedValue::Number(Number::Literal(number))
}

pub(in crate::policy) fn written(text: &str) -> Format {
    Format::parse(text).0
}

#[test]
fn properties_are_set_by_rules_that_go_on_and_tested_by_those_behind_them() {
    use Operation::{Add, Assign, Subtract};
    let text = |text: &str| AssignedValue::Text(written(text));
    let matching = |text| Test::Property("x".into(), PropertyPattern::Matches(expression(text)));
    let is = |text| Test::Property("x".into(), PropertyPattern::Text(written(text)));
    let least = |number| Test::Compare("x".into(), Operator::AtLeast, Number::Literal(number));
    let message = Scope::Message;
    for (sets, test, want) in [
        (vec![], is(""), false),
        (vec![], least(0), false),
        (vec![(Assign, text("%sr"))], is("EXAMPLE.com"), true),
        (vec![(Assign, text("%sr"))], is("%sr"), true),
        (vec![(Assign, text("%sr"))], matching("^example\\."), true),
        (vec![(Assign, text("%sr"))], matching("^\\."), false),
        // What begins with no number is zero.
        (vec![(Assign, text("%sr"))], least(0), true),
        (vec![(Assign, text("%sr"))], least(1), false),
        (vec![], least(0), false),
        (vec![(Add, number(2)), (Add, number(3))], least(5), true),
        (
            vec![(Add, number(2)), (Subtract, number(1))],
            least(2),
            false,
        ),
        (vec![(Assign, number(7)), (Add, text("no"))], least(7), true),
        (
            vec![(Assign, AssignedValue::Number(Number::Property("y".into())))],
            is("from before"),
            true,
        ),
    ] {
        let mut rules: Vec<Rule> = sets
            .iter()
            .map(|(operation, value)| set(message, "x", *operation, value.clone()))
            .collect();
        rules.push(rule(
            vec![Clause {
                negated: false,
                test: test.clone(),
            }],
            Action::Pass,
        ));
        let mut evidence = Evidence::default();
        evidence.properties.set("y", "from before");
        let chain = chain(rules);
        let (found, effects) = chain.find(&subject(&ATTEMPT), &evidence);
        let is_found = matches!(found, Found::Rule(..));
        assert_eq!(is_found, want, "{sets:?} {test:?}");
        assert_eq!(effects.continued.len(), sets.len());
        assert_eq!(effects.properties.is_some(), !sets.is_empty());
    }
}

#[test]
fn a_property_of_the_recipient_is_no_property_of_the_message() {
    let chain = chain(vec![
        set(Scope::Recipient, "x", Operation::Assign, number(1)),
        rule(
            vec![is(Test::Compare(
                "x".into(),
                Operator::Equal,
                Number::Literal(1),
            ))],
            Action::Pass,
        ),
    ]);
    let (found, effects) = chain.find(&subject(&ATTEMPT), &Evidence::default());
    assert!(matches!(found, Found::Rule(1, _)), "{found:?}");
    assert_eq!(effects.properties, None);
}

#[test]
fn a_limit_is_exceeded_by_the_one_after_the_last_that_it_allows() {
    let limit = RateLimit {
        name: "r".into(),
        unit: RateUnit::Recipients,
        limit: 2,
        period: crate::types::Span::from_seconds(60),
        key: written("%i"),
    };
    let parts = || Parts {
        rules: vec![
            rule(
                vec![is(network("10.0.0.0/8")), is(Test::RateLimit(0))],
                Action::Pass,
            ),
            rule(vec![is(Test::RateLimit(0))], Action::Pass),
        ],
        rates: vec![limit.clone()],
        ..Parts::default()
    };
    let chain = Chain::new(parts()).unwrap();
    for (before, want) in [(0, false), (1, false), (2, true), (9, true)] {
        let mut evidence = Evidence::default();
        evidence.rates = vec![before];
        let (found, effects) = chain.find(&subject(&ATTEMPT), &evidence);
        assert_eq!(matches!(found, Found::Rule(1, _)), want, "{before}");
        assert_eq!(effects.counted, [(0, 1)], "asked once, by the second rule");
    }
    let (found, _) = chain.find(&subject(&ATTEMPT), &Evidence::default());
    assert!(
        matches!(found, Found::Nothing),
        "what is not known does not hold"
    );
}

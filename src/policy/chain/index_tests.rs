//! The search with an index decides as the one that tests one rule after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::message_tests::message;
use super::tests::{ATTEMPT, is, matches, network, not, rule, text, written};
use super::*;
use crate::policy::access::{Expression, Flags};
use crate::policy::message::Message;
use crate::policy::{
    Attempt, Evidence, Finding, Lookup, MessageAttempt, SpfFinding, SpfResult, Zone,
};
use crate::types::{Prefix, Span};

/// Draws from a sequence of numbers that a seed begins.
struct Draws(u64);

impl Draws {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// True once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

const NETWORKS: [&str; 8] = [
    "203.0.113.7",
    "203.0.113.0/24",
    "198.51.100.0/24",
    "192.0.0.0/8",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8::7",
    "10.0.0.0/8",
];
const CLIENTS: [&str; 4] = ["203.0.113.7", "192.0.2.1", "2001:db8::7", "127.0.0.1"];
const NAMES: [&str; 8] = [
    "Mail.Example.net",
    "unknown",
    "mail.example.net.",
    "x..example.net",
    "net",
    "dyn7.isp.example",
    "",
    "amail.example.net",
];
const DOMAINS: [&str; 9] = [
    "mail.example.net",
    "example.net",
    "ample.net",
    "net",
    "",
    ".example.net",
    "isp.example",
    "[203.0.113.7]",
    "a.very.long.name.that.nobody.has.example",
];
const MAILS: [&str; 7] = [
    "joe+news-7@example.org",
    "joe@example.org",
    "JOE+other@example.org",
    "Jane@Example.com",
    "jane@example.com",
    "",
    "root",
];
const EXPRESSIONS: [&str; 6] = ["^mail", "^<?joe", "@example", ">$", "^$", "nobody"];
const WORDS: [&str; 4] = ["mail.example.net", "JOE", "joe", "cn=mail"];
const ZONES: [&str; 3] = ["a.example", "b.example", "c.example"];

fn pattern(draws: &mut Draws, texts: &[&str]) -> Pattern {
    if draws.once_in(3) {
        return matches(draws.one(&EXPRESSIONS));
    }
    // Most rules are about somebody else.
    if draws.once_in(3) {
        return text(draws.one(texts));
    }
    text(&format!("other{}@example.org", draws.below(100)))
}

/// Any test; few hold.
fn any_test(draws: &mut Draws) -> Test {
    let expression = |text: &str| Expression::parse(text.as_bytes(), Flags::default()).unwrap();
    match draws.below(20) {
        0 => network(draws.one(&NETWORKS)),
        1 => network(&format!("10.{}.0.0/16", draws.below(200))),
        2 => Test::Domain(draws.one(&DOMAINS).into()),
        3 => Test::Domain(format!("host{}.example", draws.below(100)).into()),
        4 => Test::Suffix(draws.one(&DOMAINS).into()),
        5 => Test::Name(expression(draws.one(&EXPRESSIONS))),
        6 => Test::Helo(pattern(draws, &WORDS)),
        7 => Test::HeloIs(written("%d")),
        8 | 9 => Test::Sender(pattern(draws, &MAILS)),
        10 => Test::RawSender(pattern(draws, &MAILS)),
        11 | 12 => Test::Recipient(pattern(draws, &MAILS)),
        13 => Test::AuthenticatedAs(pattern(draws, &WORDS)),
        14 => Test::Certificate(pattern(draws, &WORDS)),
        15 => Test::DnsList(
            Zone::parse(draws.one(&ZONES)).unwrap(),
            Prefix::parse("127.0.0.0/8").unwrap(),
        ),
        16 if draws.once_in(3) => Test::Spf(SpfResult::Pass),
        16 => Test::RateLimit(draws.below(2)),
        17 => Test::Compare("p".into(), Operator::AtLeast, Number::Literal(2)),
        18 => Test::AnyOf(draws.below(4)),
        _ if draws.once_in(4) => Test::Unknown,
        _ => Test::Recipient(text(&format!("other{}@example.com", draws.below(100)))),
    }
}

/// Any rule; unless one `decides`, the search goes on behind it.
fn any_rule(draws: &mut Draws, decides: bool) -> Rule {
    let count = draws.one(&[1, 1, 1, 2, 2, 3]);
    let mut clauses = Vec::new();
    for _ in 0..count {
        clauses.push(Clause {
            negated: draws.once_in(6),
            test: any_test(draws),
        });
    }
    let action = match draws.below(8) {
        _ if !decides => Action::Continue,
        0 => Action::Pass,
        1 => Action::Greylist(Treatment::default()),
        2 => Action::Refuse(Refusal {
            code: 550,
            enhanced_code: "5.7.1".into(),
            text: written("no"),
        }),
        _ => Action::Continue,
    };
    let effect = match draws.below(3) {
        0 => Effect::NoLog,
        1 => Effect::Log(written("%r %a")),
        _ => Effect::Set {
            scope: draws.one(&[Scope::Message, Scope::Recipient]),
            property: "p".into(),
            operation: Operation::Add,
            value: AssignedValue::Number(Number::Literal(1)),
        },
    };
    Rule {
        effects: vec![effect],
        ..rule(clauses, action)
    }
}

/// Rules for recipients and for messages, so many that there is an index, and lists with and without one.
fn any_chain(draws: &mut Draws) -> Chain {
    let mut lists = Vec::new();
    for length in [60, 3, 50] {
        let of_kind = draws.once_in(2);
        let tests = (0..length).map(|_| {
            let test = any_test(draws);
            let is_rate = matches!(test, Test::RateLimit(_));
            if of_kind && is_rate {
                network("10.0.0.0/8")
            } else {
                test
            }
        });
        lists.push(tests.collect());
    }
    let decides = !draws.once_in(3);
    let mut rules =
        |length: usize| -> Vec<Rule> { (0..length).map(|_| any_rule(draws, decides)).collect() };
    let rate = |limit, key: &str| RateLimit {
        name: "r".into(),
        unit: RateUnit::Recipients,
        limit,
        period: Span::from_seconds(60),
        key: written(key),
    };
    Chain::new(Parts {
        rules: rules(90),
        message: rules(60),
        lists,
        rates: vec![rate(2, "%i"), rate(4, "%f")],
        ..Parts::default()
    })
    .unwrap()
}

fn some(draws: &mut Draws, texts: &[&'static str]) -> Option<&'static [u8]> {
    (!draws.once_in(4)).then(|| draws.one(texts).as_bytes())
}

fn any_attempt(draws: &mut Draws) -> Attempt<'static> {
    Attempt {
        client_address: Some(draws.one(&CLIENTS).as_bytes()),
        client_name: Some(draws.one(&NAMES).as_bytes()),
        helo_name: some(draws, &WORDS),
        sender: Some(draws.one(&MAILS).as_bytes()),
        recipient: Some(draws.one(&MAILS).as_bytes()),
        user: some(draws, &WORDS),
        certificate: some(draws, &WORDS),
        ..ATTEMPT
    }
}

/// What was seen of a search.
#[derive(Debug, Default)]
struct Seen {
    /// How often each kind of end, and of what was done besides.
    counts: BTreeMap<&'static str, usize>,
}

impl Seen {
    fn note(&mut self, what: &'static str, holds: bool) {
        let count = self.counts.entry(what).or_default();
        *count = count.saturating_add(usize::from(holds));
    }

    fn note_end(&mut self, found: &Found<'_>, effects: &Effects) {
        let end = match found {
            Found::Rule(_, Action::Pass) => "pass",
            Found::Rule(_, Action::Greylist(_)) => "greylist",
            Found::Rule(_, Action::Refuse(_)) => "refuse",
            Found::Rule(_, Action::Continue) => "continue decides",
            Found::Nothing => "nothing",
            Found::Lacks(_) => "lacks",
        };
        self.note(end, true);
        self.note("continued", !effects.continued.is_empty());
        self.note("counted", !effects.counted.is_empty());
        self.note("properties", effects.properties.is_some());
        self.note("lines", effects.lines.len() > 1);
        let asked = if let Found::Lacks(lookups) = found {
            lookups.len()
        } else {
            0
        };
        self.note("several lookups", asked > 1);
    }
}

/// Searches with and without an index until nothing is lacking, and compares.
fn compare(chain: &Chain, subject: &Subject<'_>, draws: &mut Draws, seen: &mut Seen) {
    let mut evidence = Evidence::default();
    evidence.rates = vec![2, 3];
    evidence.properties.set("p", "1");
    for _ in 0..6 {
        let (mut walked, mut tested) = (BTreeSet::new(), BTreeSet::new());
        let (want, effects) = chain.find_heard(subject, &evidence, &mut |rule, _, truth| {
            walked.insert((rule, truth == Truth::False));
        });
        let asked = (subject, &evidence);
        let (found, same) = chain.search(asked, true, &mut |rule, _, _| {
            tested.insert(rule);
        });
        assert_eq!(format!("{found:?}"), format!("{want:?}"));
        assert_eq!(same, effects);
        seen.note_end(&want, &effects);
        let rules: BTreeSet<u32> = walked.iter().map(|(rule, _)| *rule).collect();
        assert!(
            tested.is_subset(&rules),
            "no rule behind the last is tested"
        );
        seen.note("skipped", tested.len() * 2 < rules.len());
        seen.note("walked", tested.len() == rules.len() && rules.len() > 32);
        let skipped = rules.difference(&tested);
        seen.note(
            "skipped between",
            skipped.copied().max() > tested.first().copied(),
        );
        let Found::Lacks(lookups) = want else {
            return;
        };
        evidence.add(lookups.into_iter().map(|lookup| {
            let finding = match (&lookup, draws.below(3)) {
                (_, 0) => Finding::NoAnswer,
                (Lookup::Spf(_), _) => Finding::Spf(SpfFinding::NotPassed(SpfResult::Fail)),
                (_, 1) => Finding::Addresses([Ipv4Addr::new(127, 0, 0, 2)].into()),
                _ => Finding::Absent,
            };
            (lookup, finding)
        }));
    }
    panic!("no end");
}

/// Some attempts at recipients and at messages, with rules that this seed makes.
fn compare_some(seed: u64, ends: &mut Seen) {
    let mut draws = Draws(seed);
    let chain = any_chain(&mut draws);
    let content: Message = message(&[("Subject", "x")], Some(b"body"));
    for _ in 0..4 {
        let attempt = any_attempt(&mut draws);
        let subject = Subject::new(&attempt, LocalTime::default()).unwrap();
        compare(&chain, &subject, &mut draws, ends);
        let recipients = [draws.one(&MAILS).as_bytes(), draws.one(&MAILS).as_bytes()];
        let about = MessageAttempt {
            attempt: &attempt,
            recipients: &recipients[..draws.one(&[1, 2])],
            has_open: true,
            message: &content,
        };
        let subject = Subject::of_message(&about, LocalTime::default()).unwrap();
        compare(&chain, &subject, &mut draws, ends);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn an_index_changes_neither_decisions_nor_effects_nor_lookups(seed in any::<u64>()) {
        compare_some(seed, &mut Seen::default());
    }
}

#[test]
fn what_is_compared_has_every_kind_of_end_and_rules_that_the_index_skips() {
    let mut ends = Seen::default();
    for seed in 0..40 {
        compare_some(seed, &mut ends);
    }
    let never = "continue decides";
    assert!(!ends.counts.contains_key(never), "{ends:?}");
    let kinds = [
        "pass",
        "greylist",
        "refuse",
        "nothing",
        "lacks",
        "several lookups",
    ];
    let done = ["continued", "counted", "properties", "lines"];
    let ways = ["skipped", "walked", "skipped between"];
    for kind in kinds.into_iter().chain(done).chain(ways) {
        let count = ends.counts.get(kind).copied().unwrap_or_default();
        assert!(count >= 5, "{kind}: {ends:?}");
    }
}

/// How many rules are tested for the attempt of the tests.
fn tested(rules: Vec<Rule>) -> usize {
    let chain = Chain::new(Parts {
        rules,
        ..Parts::default()
    });
    let (chain, mut tested) = (chain.unwrap(), BTreeSet::new());
    let attempt = ATTEMPT;
    let subject = Subject::new(&attempt, LocalTime::default()).unwrap();
    let asked = (&subject, &Evidence::default());
    let (_, _) = chain.search(asked, true, &mut |rule, _, _| {
        tested.insert(rule);
    });
    tested.len()
}

#[test]
fn of_many_rules_only_those_about_the_attempt_are_tested() {
    let other = |number: usize| match number % 8 {
        0 => network(&format!("10.{number}.0.0/16")),
        1 => Test::Domain(format!("host{number}.example").into()),
        2 => Test::Suffix(format!("{number}.example").into()),
        3 => Test::Helo(text(&format!("host{number}"))),
        4 => Test::Sender(text(&format!("other{number}@example.org"))),
        5 => Test::Recipient(matches(&format!("^other{number}@"))),
        6 => Test::AuthenticatedAs(text(&format!("user{number}"))),
        _ => Test::RawSender(text(&format!("other{number}@example.org"))),
    };
    let others = |count: usize| (0..count).map(move |number| is(other(number)));
    let plain = |clause| rule(vec![clause], Action::Pass);
    let with = |clause| {
        let mine = plain(is(network("203.0.113.0/24")));
        let continues = rule(vec![clause], Action::Continue);
        let all = others(200).map(plain);
        tested([continues].into_iter().chain(all).chain([mine]).collect())
    };
    // Not known, so that it is always tested.
    let always = is(Test::Compare(
        "p".into(),
        Operator::Equal,
        Number::Literal(1),
    ));
    assert_eq!(with(always), 2);
    assert_eq!(with(is(Test::Recipient(text("nobody@example.org")))), 1);
    // A negation holds for many.
    assert_eq!(with(not(Test::Recipient(text("nobody@example.org")))), 2);
    // What counts before it is known whether the rule matches is always tested.
    let counting = |clauses: [Test; 2]| {
        let rules = others(100).map(|_| {
            let clauses = clauses.clone().map(is);
            rule(clauses.into(), Action::Continue)
        });
        tested(rules.collect())
    };
    let nobody = Test::Recipient(text("nobody@example.org"));
    assert_eq!(counting([Test::RateLimit(0), nobody.clone()]), 100);
    assert_eq!(counting([nobody, Test::RateLimit(0)]), 0);
}

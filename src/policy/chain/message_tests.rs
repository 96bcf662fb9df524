//! Rules about messages.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::tests::{ATTEMPT, is, matches, network, not, rule, text, written};
use super::*;
use crate::policy::message::{HeaderField, Message};
use crate::policy::{Attempt, Cause, Entry, Evidence, Finding, Lookup, MessageAttempt, SpamScore};
use crate::types::{HeaderText, Timestamp};

/// A message with this header and, if it was kept, this body.
pub(in crate::policy) fn message(header: &[(&str, &str)], body: Option<&[u8]>) -> Message {
    let fields = header.iter().map(|(name, value)| HeaderField {
        name: name.as_bytes().into(),
        value: value.as_bytes().into(),
    });
    let body = body.map(|body| body.to_vec().into());
    Message::new(fields.collect(), body, 2048)
}

fn subject<'a>(attempt: &'a Attempt<'a>, message: &'a Message) -> Subject<'a> {
    let about = MessageAttempt {
        attempt,
        recipients: &[b"jane@example.com", b"Joe@example.com"],
        has_open: true,
        message,
    };
    Subject::of_message(&about, LocalTime::default()).unwrap()
}

/// A default, which is written on this line, if it is written.
fn fallback(action: Action, line: Option<u32>) -> Fallback {
    Fallback {
        action,
        effects: Vec::new(),
        entry: line.map(|line| Entry::in_file(&Path::new("f").into(), line, "x")),
        id: None,
    }
}

/// A chain whose rules are about messages.
pub(in crate::policy) fn chain(message: Vec<Rule>) -> Chain {
    Chain::new(Parts {
        message,
        ..Parts::default()
    })
    .unwrap()
}

fn spam_score(score: i64, is_spam: Option<bool>) -> Finding {
    Finding::Score(Arc::new(SpamScore {
        is_spam,
        score,
        threshold: None,
        tests: Vec::new(),
    }))
}

fn evidence(finding: Finding) -> Evidence {
    let mut evidence = Evidence::default();
    evidence.add([(Lookup::Score, finding)]);
    evidence.properties.set("seen", "VIAGRA");
    evidence.properties.set("empty", "");
    evidence.properties.set("least", "5.5");
    evidence
}

/// Whether a test holds.
fn holds(subject: &Subject<'_>, evidence: &Evidence, test: &Test) -> Truth {
    let found = |clause| {
        let chain = chain(vec![rule(vec![clause], Action::Pass)]);
        let found = chain.find(subject, evidence).0;
        matches!(found, Found::Rule(..))
    };
    match (found(is(test.clone())), found(not(test.clone()))) {
        (true, false) => Truth::True,
        (false, true) => Truth::False,
        (false, false) => Truth::Unknown,
        (true, true) => panic!("{test:?}"),
    }
}

const HEADER: [(&str, &str); 3] = [
    ("Subject", "cheap\r\n VIAGRA here"),
    ("X-Spam", ""),
    ("From", "Joe <joe@example.org>"),
];

const BODY: &[u8] = b"first line\r\nVIAGRA\r\n\r\nlast";

#[test]
fn what_is_in_a_message_is_tested() {
    use Operator::{AtLeast, AtMost, Equal, Greater, Less};
    let number = Number::Literal;
    let whole = message(&HEADER, Some(BODY));
    let attempt = ATTEMPT;
    let subject = subject(&attempt, &whole);
    let evidence = evidence(spam_score(5_300, Some(true)));
    for (test, want) in [
        (Test::Header(text("Subject: cheap VIAGRA")), true),
        (Test::Header(text("subject: cheap")), false),
        (Test::Header(matches("^subject: .*viagra")), true),
        (Test::Header(matches("^x-spam: $")), true),
        (Test::Header(matches("hereX-Spam")), false),
        (Test::HeaderProperty("seen".into()), true),
        (Test::HeaderProperty("empty".into()), false),
        (Test::HeaderProperty("unset".into()), false),
        (Test::Body(text("VIAGRA")), true),
        (Test::Body(text("viagra")), false),
        (Test::Body(text("VIAGRA\r")), false),
        (Test::Body(matches("^viagra$")), true),
        (Test::Body(matches("^last$")), true),
        (Test::Body(matches("line.viagra")), false),
        (Test::BodyProperty("seen".into()), true),
        (Test::BodyProperty("unset".into()), false),
        (Test::MessageSize(Equal, number(2048)), true),
        (Test::MessageSize(Greater, number(2048)), false),
        (Test::RecipientCount(Equal, number(2)), true),
        (Test::RecipientCount(Less, number(2)), false),
        (Test::Recipient(text("joe@EXAMPLE.com")), true),
        (Test::Recipient(matches("^<jane@")), true),
        (Test::Recipient(text("jack@example.com")), false),
        (Test::Spam, true),
        (Test::SpamScore(Greater, number(5_299)), true),
        (Test::SpamScore(Greater, number(5_300)), false),
        (
            Test::SpamScore(AtLeast, Number::Property("least".into())),
            false,
        ),
        (
            Test::SpamScore(AtMost, Number::Property("least".into())),
            true,
        ),
        (network("203.0.113.0/24"), true),
        (Test::Sender(text("joe@example.org")), true),
    ] {
        let truth = holds(&subject, &evidence, &test);
        assert_eq!(truth, Truth::from(want), "{test:?}");
    }
}

#[test]
fn what_is_not_known_of_a_message_neither_holds_nor_is_excluded() {
    let greater = |number| Test::SpamScore(Operator::Greater, number);
    let headless = message(&[], None);
    let attempt = ATTEMPT;
    let without_body = subject(&attempt, &headless);
    let recipient = Subject::new(&attempt, LocalTime::default()).unwrap();
    let no_answer = evidence(Finding::NoAnswer);
    let number_alone = evidence(spam_score(9_000, None));
    for (subject, evidence, test, want) in [
        (
            &without_body,
            &no_answer,
            Test::Body(text("")),
            Truth::Unknown,
        ),
        (
            &without_body,
            &no_answer,
            Test::Body(matches("")),
            Truth::Unknown,
        ),
        (
            &without_body,
            &no_answer,
            Test::BodyProperty("seen".into()),
            Truth::Unknown,
        ),
        (
            &without_body,
            &no_answer,
            Test::Header(text("")),
            Truth::False,
        ),
        (&without_body, &no_answer, Test::Spam, Truth::Unknown),
        (
            &without_body,
            &no_answer,
            greater(Number::Literal(0)),
            Truth::Unknown,
        ),
        (&without_body, &number_alone, Test::Spam, Truth::Unknown),
        (
            &without_body,
            &number_alone,
            greater(Number::Literal(0)),
            Truth::True,
        ),
        (
            &without_body,
            &number_alone,
            greater(Number::Property("seen".into())),
            Truth::Unknown,
        ),
    ] {
        assert_eq!(holds(subject, evidence, &test), want, "{test:?}");
    }
    for test in [
        Test::Header(text("")),
        Test::HeaderProperty("seen".into()),
        Test::Body(text("")),
        Test::MessageSize(Operator::AtLeast, Number::Literal(0)),
        Test::Spam,
        greater(Number::Literal(0)),
    ] {
        for clause in [is(test.clone()), not(test.clone())] {
            let parts = Parts {
                rules: vec![rule(vec![clause], Action::Pass)],
                ..Parts::default()
            };
            let chain = Chain::new(parts).unwrap();
            let found = chain.find(&recipient, &number_alone).0;
            assert!(matches!(found, Found::Nothing), "{test:?} {found:?}");
        }
    }
}

#[test]
fn a_score_is_asked_for_by_rules_before_the_one_that_decides_alone() {
    let whole = message(&HEADER, Some(BODY));
    let attempt = ATTEMPT;
    let subject = subject(&attempt, &whole);
    let scored = || rule(vec![is(Test::Spam)], Action::Pass);
    let sure = || rule(vec![is(network("203.0.113.0/24"))], Action::Pass);
    for (rules, want) in [
        (vec![scored(), sure()], true),
        (vec![sure(), scored()], false),
        (vec![scored()], true),
    ] {
        let chain = chain(rules);
        let found = chain.find(&subject, &Evidence::default()).0;
        let asked = match found {
            Found::Lacks(lookups) => lookups == [Lookup::Score],
            Found::Rule(..) | Found::Nothing => false,
        };
        assert_eq!(asked, want);
    }
}

#[test]
fn rules_for_messages_have_their_own_numbers_and_default() {
    let greylist = Action::Greylist(Treatment::default());
    let parts = |line| Parts {
        rules: vec![rule(vec![is(network("10.0.0.0/8"))], Action::Pass)],
        fallback: Some(fallback(greylist.clone(), line)),
        message: vec![rule(vec![is(Test::Spam)], greylist.clone())],
        message_fallback: Some(fallback(Action::Pass, Some(9))),
        ..Parts::default()
    };
    let whole = message(&[], None);
    let attempt = ATTEMPT;
    let of_message = subject(&attempt, &whole);
    for (line, first) in [(Some(7), 2), (None, 1)] {
        let chain = Chain::new(parts(line)).unwrap();
        assert_eq!(
            chain.entries().iter().count(),
            usize::try_from(first).unwrap() + 2
        );
        assert_eq!(chain.fallback(), Some((&greylist, line.map(|_| 1))));
        let wanted = Some((&Action::Pass, Some(first + 1)));
        assert_eq!(chain.message_fallback(), wanted);
        assert_eq!(chain.action(first + 1), Some(&Action::Pass));
        assert_eq!(chain.action(first), Some(&greylist));
        assert_eq!(chain.action(first + 2), None);
        assert_eq!(chain.cause(first), Cause::Score);
        let (found, _) = chain.find(&of_message, &evidence(spam_score(0, Some(true))));
        assert!(
            matches!(found, Found::Rule(number, _) if number == first),
            "{found:?}"
        );
        let recipient = Subject::new(&attempt, LocalTime::default()).unwrap();
        let (found, _) = chain.find(&recipient, &evidence(spam_score(0, Some(true))));
        assert!(matches!(found, Found::Nothing), "{found:?}");
    }
}

#[test]
fn the_cause_of_a_wait_is_the_first_thing_in_the_message_that_the_rule_asks_for() {
    for (clauses, want) in [
        (vec![], Cause::Rule),
        (vec![is(network("10.0.0.0/8"))], Cause::Rule),
        (vec![not(Test::Spam)], Cause::Rule),
        (
            vec![not(Test::Spam), is(Test::Body(text("x")))],
            Cause::Body,
        ),
        (
            vec![is(Test::Header(text("x"))), is(Test::Spam)],
            Cause::Header,
        ),
        (
            vec![is(Test::MessageSize(Operator::Less, Number::Literal(1)))],
            Cause::Rule,
        ),
    ] {
        let chain = chain(vec![rule(clauses, Action::Pass)]);
        assert_eq!(chain.cause(0), want);
    }
}

#[test]
fn headers_are_added_by_the_rules_that_match_and_by_the_default() {
    let header = |name: &str, value| {
        Effect::Header(HeaderFormat {
            name: name.into(),
            value: written(value),
            index: None,
        })
    };
    let with = |effects, clauses, action| Rule {
        effects,
        ..rule(clauses, action)
    };
    let marks = vec![
        header("X-From", "%f"),
        header("X-Line", "%A at %Mj, %P{seen}"),
    ];
    let refuses = vec![is(network("10.0.0.0/8"))];
    let parts = Parts {
        message: vec![
            with(marks, vec![], Action::Continue),
            with(vec![header("X-Never", "x")], refuses, Action::Pass),
            with(
                vec![Effect::Report(written("seen %T{%Y}")), Effect::NoLog],
                vec![is(Test::Header(text("stop")))],
                Action::Pass,
            ),
        ],
        message_fallback: Some(Fallback {
            effects: vec![header("X-Spam-Score", "%Hs")],
            ..fallback(Action::Pass, Some(9))
        }),
        ..Parts::default()
    };
    let attempt = Attempt {
        sender: Some(b"a\r\nBcc: b\xff@example.org"),
        ..ATTEMPT
    };
    let chain = Chain::new(parts).unwrap();
    let mut evidence = evidence(spam_score(1_360, Some(false)));
    evidence.now = Some(Timestamp::from_seconds(0));
    let always = [
        ("X-From", "a??Bcc: b?@example.org"),
        ("X-Line", "1 at mx, VIAGRA"),
    ];
    for (value, more, report) in [
        ("go on", Some(("X-Spam-Score", "1.3")), None),
        ("stop", None, Some("seen 1970")),
    ] {
        let whole = message(&[("Subject", value)], None);
        let subject = Subject {
            place: Some(("mx", &TimeZone::UTC)),
            ..subject(&attempt, &whole)
        };
        let (_, effects) = chain.find(&subject, &evidence);
        let headers = effects.headers.iter();
        let headers = headers.map(|added| (&*added.name, added.value.as_str()));
        let want = always.into_iter().chain(more);
        assert_eq!(headers.collect::<Vec<_>>(), want.collect::<Vec<_>>());
        let text = effects.report.as_ref().map(HeaderText::as_str);
        assert_eq!(text, report);
        assert_eq!(effects.is_unlogged, report.is_some());
    }
}

#[test]
fn what_only_some_front_ends_tell_is_unknown_to_the_others() {
    use Truth::{False, True, Unknown};
    let pattern = |value| Test::Macro("client_resolve".into(), MacroPattern::Is(value));
    let unset = || Test::Macro("client_resolve".into(), MacroPattern::Unset);
    let count = |number| Test::RecipientCount(Operator::AtLeast, Number::Literal(number));
    let certificate = |value| Test::Certificate(value);
    let silent = ATTEMPT;
    let bare = Attempt {
        macros: Some(&[("j", "mx.test")]),
        certificate: Some(b""),
        accepted: Some(0),
        ..ATTEMPT
    };
    let full = Attempt {
        macros: Some(&[("j", "mx.test"), ("client_resolve", "FORGED")]),
        certificate: Some(b"Mail.example.net"),
        accepted: Some(3),
        ..ATTEMPT
    };
    for (test, want) in [
        (pattern(text("FORGED")), [Unknown, False, True]),
        (pattern(text("forged")), [Unknown, False, False]),
        (pattern(text("forge")), [Unknown, False, False]),
        (pattern(matches("^forge")), [Unknown, False, True]),
        (unset(), [Unknown, True, False]),
        (count(3), [Unknown, False, True]),
        (count(0), [Unknown, True, True]),
        (
            certificate(text("Mail.example.net")),
            [Unknown, False, True],
        ),
        (
            certificate(text("mail.example.net")),
            [Unknown, False, False],
        ),
        (certificate(matches("example")), [Unknown, False, True]),
    ] {
        for (attempt, want) in [silent, bare, full].iter().zip(want) {
            let subject = Subject::new(attempt, LocalTime::default()).unwrap();
            let found = |clause| {
                let parts = Parts {
                    rules: vec![rule(vec![clause], Action::Pass)],
                    ..Parts::default()
                };
                let chain = Chain::new(parts).unwrap();
                let found = chain.find(&subject, &Evidence::default()).0;
                matches!(found, Found::Rule(..))
            };
            let got = (found(is(test.clone())), found(not(test.clone())));
            assert_eq!(got, (want == True, want == False), "{test:?} {want:?}");
        }
    }
}

#[test]
fn a_body_that_was_searched_beforehand_answers_as_its_lines_do_and_is_not_read_again() {
    let tests = [
        Test::Body(text("casino")),
        Test::Body(matches("^mal.are$")),
        Test::Body(text("win")),
    ];
    let rules = tests.map(|test| rule(vec![is(test)], Action::Pass));
    let parts = Parts {
        message: rules.into(),
        ..Parts::default()
    };
    let chain = Chain::new(parts).unwrap();
    let decisive = |message: &Message, evidence: &Evidence| {
        let subject = subject(&ATTEMPT, message);
        match chain.find(&subject, evidence).0 {
            Found::Rule(number, _) => Some(number),
            Found::Nothing | Found::Lacks(_) => None,
        }
    };
    let cases: [(&[u8], Option<u32>); 4] = [
        (b"a\r\nthe casino\r\n", Some(0)),
        (b"malware\r\nwin\r\n", Some(1)),
        (b"you win\r\nmalwares\r\n", Some(2)),
        (b"hello\r\n", None),
    ];
    for (body, want) in cases {
        let message = |body| self::message(&[("Subject", "x")], Some(body));
        let mut evidence = Evidence::default();
        assert_eq!(decisive(&message(body), &evidence), want, "{body:?}");
        evidence.body = chain.search_body(&message(body)).map(Arc::new);
        let unread = message(body);
        assert_eq!(decisive(&unread, &evidence), want, "{body:?}");
        assert!(!unread.is_decoded());
    }
    assert_eq!(chain.search_body(&message(&[], None)), None);
}

#[test]
fn each_expression_that_matches_a_line_is_found_whatever_others_match() {
    for (body, want) in [
        ("", [false, false, false]),
        ("hello\r\n", [false, false, false]),
        ("hello\r\nthe casino\r\n", [true, false, false]),
        ("you win\r\nagain\r\na casino\r\n", [true, true, false]),
        ("win win\r\nwin\r\nlast\r\n", [false, true, true]),
        ("a casino: win at last\r\ncasino\r\n", [true, true, true]),
        ("last\r\nwin\r\ncasino\r\nlast\r\n", [true, true, true]),
    ] {
        let message = message(&[("Subject", "x")], Some(body.as_bytes()));
        let searched = |expressions: &[&str]| {
            let rules = expressions.iter().map(|expression| {
                let test = Test::Body(matches(expression));
                rule(vec![is(test)], Action::Pass)
            });
            let parts = Parts {
                message: rules.collect(),
                ..Parts::default()
            };
            let chain = Chain::new(parts).unwrap();
            chain.search_body(&message).unwrap()
        };
        let expressions = ["casino", "win", "last$"];
        let all = searched(&expressions);
        for (number, want) in want.into_iter().enumerate() {
            assert_eq!(all.matches(number), want, "{body:?} {number}");
            let alone = searched(&expressions[number..=number]);
            assert_eq!(alone.matches(0), want, "{body:?} {number} alone");
        }
    }
}

#[test]
fn the_value_of_a_property_is_looked_for_in_a_searched_body_by_the_caller() {
    let parts = Parts {
        message: vec![rule(
            vec![is(Test::BodyProperty("word".into()))],
            Action::Pass,
        )],
        ..Parts::default()
    };
    let chain = Chain::new(parts).unwrap();
    for (value, body, want) in [
        (Some("casino"), Some("the casino\r\n"), Some(0)),
        (Some("casino"), Some("hello\r\n"), None),
        (Some("casino"), None, None),
        (Some(""), Some("hello\r\n"), None),
        (None, Some("hello\r\n"), None),
    ] {
        let message = self::message(&[("Subject", "x")], body.map(str::as_bytes));
        let mut evidence = Evidence::default();
        if let Some(value) = value {
            evidence.properties.set("word", value);
        }
        let decisive = |message: &Message, evidence: &Evidence| {
            let subject = subject(&ATTEMPT, message);
            match chain.find(&subject, evidence).0 {
                Found::Rule(number, _) => Ok(Some(number)),
                Found::Nothing => Ok(None),
                Found::Lacks(lookups) => Err(lookups),
            }
        };
        assert_eq!(
            decisive(&message, &evidence),
            Ok(want),
            "{value:?} {body:?}"
        );
        evidence.body = chain.search_body(&message).map(Arc::new);
        let unread = message.undecoded();
        if let Err(lookups) = decisive(&unread, &evidence) {
            let texts: Vec<_> = lookups.iter().map(Lookup::body_text).collect();
            assert_eq!(texts, [value], "{body:?}");
            let finding = Chain::search_body_text(&message, value.unwrap());
            evidence.add(lookups.into_iter().map(|lookup| (lookup, finding.clone())));
        }
        assert_eq!(decisive(&unread, &evidence), Ok(want), "{value:?} {body:?}");
        assert!(!unread.is_decoded(), "{value:?} {body:?}");
    }
}

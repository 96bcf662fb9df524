//! What statements mean.

use super::super::{
    Action, Assignment, ClauseKind, Comparison, MacroValue, Pattern, Position, PropertyTest, Test,
};
use super::{clean, read};
use crate::policy::SpfResult;
use crate::policy::chain::{AssignedValue, Format, Number, Operation, Operator, RateUnit, Scope};
use crate::types::{Prefix, Span};

/// The clauses of the last entry of a text.
#[track_caller]
fn clauses(text: &str) -> Vec<ClauseKind> {
    let conf = clean(text);
    let entry = conf.recipient.last().or(conf.message.last());
    let clauses = entry.expect("an entry").clauses.iter();
    clauses.map(|clause| clause.kind.clone()).collect()
}

/// The only test of the last entry of a text.
#[track_caller]
fn test(text: &str) -> Test {
    match &clauses(text)[..] {
        [ClauseKind::Test(only)] => only.clone(),
        other => panic!("{other:?}"),
    }
}

fn format(text: &str) -> Format {
    Format::parse(text).0
}

#[test]
fn comments_blanks_and_continuations_mean_nothing() {
    let plain = clean("racl whitelist addr 192.0.2.0/24 rcpt a@b.example\n");
    for text in [
        "\u{feff}racl whitelist addr 192.0.2.0/24 rcpt a@b.example",
        "RACL\tWhiteList   addr 192.0.2.0/24   rcpt a@b.example # comment \\\n",
        "racl whitelist \\\n addr 192.0.2.0/24 \\  # comment \"\n\trcpt a@b.example\r\n",
        "racl whitelist addr: 192.0.2.0/24 rcpt: a@b.example\\",
    ] {
        let conf = clean(text);
        assert_eq!(conf.recipient.len(), 1, "{text:?}");
        let kinds = |conf: &super::super::GreylistConf| {
            let clauses = conf.recipient[0].clauses.iter();
            clauses
                .map(|clause| clause.kind.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(&conf), kinds(&plain), "{text:?}");
    }
    let conf =
        clean("\n\nracl whitelist addr \\\n  192.0.2.0 / 24 \\ # comment\n  rcpt a@b.example\n");
    let entry = &conf.recipient[0];
    assert_eq!(entry.at, Position { line: 3, column: 1 });
    assert_eq!(entry.clauses[1].at, Position { line: 5, column: 3 });
    assert_eq!(
        &*entry.text,
        "racl whitelist addr 192.0.2.0 / 24 rcpt a@b.example"
    );
}

#[test]
fn quotation_marks_and_slashes_can_be_escaped() {
    let message = |text: &str| {
        let conf = clean(&format!("racl blacklist default msg {text}\n"));
        let message = conf.recipient[0].values.message.clone();
        message.expect("msg").value.text().to_owned()
    };
    for (text, want) in [
        ("\"\"", ""),
        ("\"a # b \\ c\"", "a # b \\ c"),
        ("\"a \\\"b\\\" c\"", "a \"b\" c"),
        // The only quotation mark closes, whatever is before it.
        ("\"C:\\\"", "C:\\"),
        // The first one does not, as milter-greylist has it.
        ("\"C:\\\" or \"", "C:\" or "),
        ("\"é\"", "é"),
    ] {
        assert_eq!(message(text), want, "{text}");
    }
    let Test::DomainMatches(regex) = test("racl greylist domain /a\\/b\\.c/\n") else {
        panic!("an expression");
    };
    assert_eq!(&*regex.text, "a/b\\.c");
}

#[test]
fn addresses_with_host_bits_are_networks() {
    for (text, want) in [
        ("127.0.0.1/8", "127.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::1", "::1/128"),
    ] {
        let want = Test::Address(Prefix::parse(want).unwrap());
        assert_eq!(
            test(&format!("racl greylist addr {text}\n")),
            want,
            "{text}"
        );
    }
}

#[test]
fn mail_addresses_have_any_local_part() {
    for text in [
        "joe@example.org",
        "a+b=c/d{e}#f@example.org",
        "\"joe\"@example.org",
        "*@example.org",
        "!x@example.org",
    ] {
        let want = Test::Sender(Pattern::Text(text.into()));
        assert_eq!(
            test(&format!("racl greylist from {text}\n")),
            want,
            "{text}"
        );
    }
    let conf = clean("list \"x\" rcpt {a@example.org b@example.org}\n");
    assert_eq!(conf.lists[0].items.as_ref().unwrap().len(), 2);
}

#[test]
fn results_of_spf_have_words_and_none_is_pass() {
    for (text, want) in [
        ("spf", SpfResult::Pass),
        ("spf pass", SpfResult::Pass),
        ("spf unknown", SpfResult::Permerror),
        ("spf error", SpfResult::Temperror),
        ("spf SELF", SpfResult::PassAny),
        ("spf none", SpfResult::None),
    ] {
        assert_eq!(
            test(&format!("racl greylist {text}\n")),
            Test::Spf(want),
            "{text}"
        );
    }
    let both = clauses("racl greylist spf addr 192.0.2.1\n");
    assert_eq!(both.len(), 2);
}

#[test]
fn a_clause_switches_its_exemption_off() {
    for (text, no_auth, no_spf) in [
        ("racl greylist auth /x/", true, false),
        ("racl greylist tls \"x\"", true, false),
        ("racl greylist not spf", false, true),
        ("racl greylist helo \"x\"", false, false),
    ] {
        let globals = clean(&format!("{text}\n")).globals;
        let switched = (globals.no_auth.is_some(), globals.no_spf.is_some());
        assert_eq!(switched, (no_auth, no_spf), "{text}");
    }
}

#[test]
fn numbers_are_compared_with_numbers_and_properties() {
    let comparison = |operator, number| Comparison { operator, number };
    for (text, want) in [
        (
            "dacl greylist msgsize >= 4M",
            Test::MessageSize(comparison(Operator::AtLeast, Number::Literal(4 << 20))),
        ),
        (
            "dacl greylist spamd>-1.5",
            Test::SpamScore(comparison(Operator::Greater, Number::Literal(-1500))),
        ),
        ("dacl greylist spamd", Test::Spam),
        (
            "racl greylist rcptcount != 3",
            Test::RecipientCount(comparison(Operator::NotEqual, Number::Literal(3))),
        ),
    ] {
        assert_eq!(test(&format!("{text}\n")), want, "{text}");
    }
    let text = "racl continue addr 192.0.2.1 set $a=1\ndacl greylist msgsize <= $A\n";
    let conf = clean(text);
    let property = Number::Property("a".into());
    let want = Test::MessageSize(comparison(Operator::AtMost, property));
    assert_eq!(conf.message[0].clauses[0].kind, ClauseKind::Test(want));
}

#[test]
fn properties_are_set_and_tested() {
    let set = |scope, operation, value| {
        ClauseKind::Set(Assignment {
            scope,
            property: "score-a".into(),
            operation,
            value,
        })
    };
    let number = |number| AssignedValue::Number(Number::Literal(number));
    assert_eq!(
        clauses(
            "racl continue set $Score-a=5 set $score-a-=1 rset $score-a += $score-a set $score-a=\"%r\"\n"
        ),
        [
            set(Scope::Message, Operation::Assign, number(5)),
            set(Scope::Message, Operation::Subtract, number(1)),
            set(
                Scope::Recipient,
                Operation::Add,
                AssignedValue::Number(Number::Property("score-a".into()))
            ),
            set(
                Scope::Message,
                Operation::Assign,
                AssignedValue::Text(format("%r"))
            ),
        ]
    );
    let tests = clauses("racl continue set $x=1 $x \"%d\" *$x \"a*\" !$x >= 2\n");
    let property = |test| Test::Property("x".into(), test);
    let compared = PropertyTest::Compare(Comparison {
        operator: Operator::AtLeast,
        number: Number::Literal(2),
    });
    assert_eq!(
        tests[1..],
        [
            ClauseKind::Test(property(PropertyTest::Is(Pattern::Text(format("%d"))))),
            ClauseKind::Test(property(PropertyTest::Glob(format("a*")))),
            ClauseKind::Not(property(compared)),
        ]
    );
}

#[test]
fn definitions_have_all_their_parts() {
    let conf = clean(
        "sm_macro \"m\" \"{x}\" unset\nratelimit \"q\" session 10/1m key \"%r%i\"\ndnsrbl \"d\" \"BL.Example.\" \"127.0.0.2\"\n",
    );
    assert_eq!(conf.macros[0].value, MacroValue::Unset);
    let limit = &conf.rate_limits[0];
    assert_eq!(
        (limit.unit, limit.limit, limit.period),
        (RateUnit::Sessions, 10, Span::from_seconds(60))
    );
    assert_eq!(limit.key, Some(format("%r%i")));
    assert_eq!(conf.dns_lists[0].zone.to_string(), "bl.example");
}

#[test]
fn what_is_accepted_and_likely_not_meant_is_warned_of() {
    for (text, want) in [
        ("greylist 5m\ngreylist 6m", "2:1: this overrides line 1"),
        (
            "racl whitelist default\nracl greylist addr 192.0.2.1",
            "2:1: this is never reached: the default is at line 1",
        ),
        (
            "racl whitelist default delay 5m",
            "1:24: delay has no effect in an entry that neither",
        ),
        ("racl continue default msg \"x\"", "1:23: msg has no effect"),
        (
            "racl greylist default msg \"%Z\"",
            "1:27: \"%Z\" means nothing",
        ),
        (
            "racl greylist default msg \"%C\"",
            "1:27: \"%C\" is always empty: stargrey does not know countries",
        ),
        (
            "racl greylist $who \"x\"",
            "1:15: nothing sets the property $who",
        ),
        (
            "racl greylist domain /\\d/",
            "1:22: \\d is the letter d here",
        ),
        (
            "racl greylist default maxpeek 10",
            "1:23: maxpeek has no effect",
        ),
    ] {
        let (_, errors, warnings) = read(text);
        assert_eq!(
            (errors.len(), warnings.len()),
            (0, 1),
            "{text}: {warnings:?}"
        );
        assert!(warnings[0].starts_with(want), "{text}: {warnings:?}");
    }
}

#[test]
fn a_default_ends_the_entries_of_its_stage_alone() {
    let text = "racl whitelist default\nracl greylist addr 192.0.2.1\ndacl greylist spamd\naddr 192.0.2.2\n";
    let (conf, _, warnings) = read(text);
    assert_eq!(warnings.len(), 1);
    let actions: Vec<Action> = conf.recipient.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [Action::Whitelist, Action::Whitelist]);
    assert_eq!(conf.message.len(), 1);
}

//! What becomes of a file in a policy server.

use std::path::Path;

use super::super::{Purpose, compile, parse};
use crate::policy::chain::{Action, Chain, Found, LocalTime, Subject};
use crate::policy::{Attempt, Evidence, Scheme};
use crate::types::Span;

const S25R: &str = include_str!("../../../../fuzz/seeds/greylist_conf/s25r");
const NETWORKS: &str = include_str!("../../../../fuzz/seeds/greylist_conf/networks");
const LEGACY: &str = include_str!("../../../../fuzz/seeds/greylist_conf/legacy");

/// The rules of a text in a policy server, with errors and warnings.
fn compiled(text: &str) -> (Option<Chain>, Vec<String>, Vec<String>) {
    compiled_for(Purpose::PLAIN, text)
}

/// The rules of a text, with errors and warnings.
pub(super) fn compiled_for(
    purpose: Purpose<'_>,
    text: &str,
) -> (Option<Chain>, Vec<String>, Vec<String>) {
    let path = Path::new("f");
    let (conf, findings) = parse(path, text.as_bytes());
    assert_eq!(findings.errors, [], "{text}");
    let (compiled, findings) = compile(path, &conf, purpose);
    let texts =
        |found: &[crate::config::Diagnostic]| found.iter().map(ToString::to_string).collect();
    (compiled, texts(&findings.errors), texts(&findings.warnings))
}

/// The rules of a text that has no errors.
fn rules(text: &str) -> Chain {
    let (compiled, errors, _) = compiled(text);
    assert_eq!(errors, Vec::<String>::new());
    compiled.expect("rules")
}

/// The line of the entry that decides, 0 for the default.
fn line(rules: &Chain, name: &str, address: &str, sender: &str, recipient: &str) -> u32 {
    let attempt = Attempt {
        client_address: Some(address.as_bytes()),
        client_name: Some(name.as_bytes()),
        sender: Some(sender.as_bytes()),
        recipient: Some(recipient.as_bytes()),
        ..Attempt::default()
    };
    let subject = Subject::new(&attempt, LocalTime::default()).expect("a subject");
    match rules.find(&subject, &Evidence::default()).0 {
        Found::Rule(number, _) => entry_line(rules, number),
        Found::Nothing => 0,
        Found::Lacks(lookups) => panic!("{lookups:?}"),
    }
}

/// The line where the rule of this number is written.
pub(super) fn entry_line(rules: &Chain, number: u32) -> u32 {
    let entry = rules.entries().get(number).expect("an entry");
    entry.line().expect("a line")
}

#[test]
fn the_file_of_s25r_decides_as_it_says() {
    let rules = rules(S25R);
    let line = |name, address| line(&rules, name, address, "a@b.example", "c@d.example");
    for (name, address, want) in [
        ("unknown", "203.0.113.7", 7),
        ("unknown", "2001:db8::1", 7),
        ("p1-2.dyn.isp.example", "203.0.113.7", 8),
        ("host12345.isp.example", "203.0.113.7", 9),
        ("adsl7.isp.example", "203.0.113.7", 13),
        ("mail.example.net", "203.0.113.7", 0),
        ("mx7.isp.example", "203.0.113.7", 6),
        ("unknown", "192.0.2.9", 5),
        ("unknown", "127.0.0.1", 5),
    ] {
        assert_eq!(line(name, address), want, "{name} {address}");
    }
    let (action, number) = rules.fallback().expect("a default");
    assert_eq!(action, &Action::Pass);
    assert_eq!(number.map(|number| entry_line(&rules, number)), Some(14));
}

#[test]
fn treatment_and_source_are_those_of_the_entry() {
    let rules = rules(NETWORKS);
    assert_eq!(
        rules.entries().get(3).expect("rules").to_string(),
        "f:22: racl \"patient\" greylist list \"waiting users\" delay 30m autowhite 3d msg \"Please retry in %R\""
    );
    assert_eq!(rules.id(3), Some("patient"));
    let Some(Action::Greylist(treatment)) = rules.action(3) else {
        panic!("{:?}", rules.action(3));
    };
    assert_eq!(treatment.terms.delay, Some(Span::from_seconds(1800)));
    assert_eq!(treatment.terms.max_age, Some(Span::from_days(3)));
    assert_eq!(
        treatment.text.as_ref().map(|text| text.pieces().len()),
        Some(2)
    );
    let (action, _) = rules.fallback().expect("a default");
    assert!(
        matches!(action, Action::Greylist(treatment) if treatment.terms.delay == Some(Span::from_hours(24)))
    );
}

#[test]
fn without_a_default_the_others_wait_and_in_test_mode_they_pass() {
    for (text, want) in [
        (LEGACY.to_owned(), Some(true)),
        (format!("testmode\n{LEGACY}"), Some(false)),
        ("quiet\n".to_owned(), None),
        ("dacl greylist spamd\n".to_owned(), None),
        (
            "racl continue default nolog\nracl whitelist addr 192.0.2.1\n".to_owned(),
            Some(true),
        ),
    ] {
        let rules = rules(&text);
        let waits = rules
            .fallback()
            .map(|(action, _)| matches!(action, Action::Greylist(_)));
        assert_eq!(waits, want, "{text}");
    }
    let rules = rules(LEGACY);
    let line =
        |sender, recipient| line(&rules, "mx.other.example", "203.0.113.7", sender, recipient);
    assert_eq!(line("a@b.example", "jane@example.org"), 8);
    assert_eq!(line("a@b.example", "Postmaster@example.org"), 5);
    assert_eq!(line("bounce-1-2@lists.example", "jane@example.org"), 7);
    assert_eq!(line("a@b.example", "x@example.net"), 0);
}

#[test]
fn a_refusal_has_the_texts_of_milter_greylist_unless_the_entry_has_others() {
    for (values, want) in [
        ("", (551, "5.7.1", "Go away!")),
        (
            "code \"554\" ecode \"5.7.0\" msg \"no\"",
            (554, "5.7.0", "no"),
        ),
    ] {
        let rules = rules(&format!("racl blacklist addr 192.0.2.1 {values}\n"));
        let Some(Action::Refuse(refusal)) = rules.action(0) else {
            panic!("a refusal");
        };
        let found = (refusal.code, &*refusal.enhanced_code, refusal.text.text());
        assert_eq!(found, want);
    }
}

#[test]
fn an_entry_never_loses_a_clause() {
    for (text, want) in [
        (
            "racl greylist mx /0",
            "f:1:15: a network of 0 bits is every client there is; use 1 or more",
        ),
        (
            "racl continue set $x=1 addr 192.0.2.1",
            "f:1:15: write set, rset and log behind all tests of the entry: they are done only if it matches",
        ),
        (
            "racl greylist addr 192.0.2.1 log \"%i\" not from a@b.example",
            "f:1:30: write set, rset and log behind all tests of the entry: they are done only if it matches",
        ),
        (
            "racl whitelist addr 192.0.2.1 tarpit 25h",
            "f:1:31: tarpit is longer than a day",
        ),
        (
            "racl blacklist addr 192.0.2.1 tarpit 65s",
            "f:1:31: tarpit has no meaning in an entry that blacklists",
        ),
        (
            "racl continue addr 192.0.2.1 tarpit 65s",
            "f:1:30: tarpit has no meaning in an entry that decides nothing",
        ),
    ] {
        let (rules, errors, _) = compiled(text);
        assert!(rules.is_none(), "{text}");
        assert_eq!(errors, [want], "{text}");
    }
}

#[test]
fn an_entry_has_a_tarpit_of_its_own() {
    let lets_pass = "racl whitelist addr 192.0.2.1 tarpit 65s";
    let delays = "racl greylist addr 192.0.2.1 tarpit 5s";
    let plain = Purpose::PLAIN;
    let milter = Purpose {
        has_milter: true,
        ..plain
    };
    let exim = Purpose {
        is_exim: true,
        ..plain
    };
    let targrey = Purpose {
        scheme: Ok(Scheme::Targrey),
        ..plain
    };
    for (purpose, text, want, asks, warning) in [
        (plain, lets_pass, Some((65, Scheme::Targrey)), true, ""),
        (plain, delays, Some((5, Scheme::Deferring)), false, ""),
        (targrey, delays, Some((5, Scheme::Targrey)), false, ""),
        (
            plain,
            "racl greylist addr 192.0.2.1 tarpit 0",
            None,
            false,
            "f:1:30: tarpit 0 ",
        ),
        (
            plain,
            "racl whitelist addr 192.0.2.1 tarpit 0",
            None,
            false,
            "f:1:31: tarpit 0 ",
        ),
        (
            milter,
            lets_pass,
            Some((65, Scheme::Targrey)),
            true,
            "f:1:31: tarpit is 25 seconds",
        ),
        (
            exim,
            delays,
            Some((5, Scheme::Deferring)),
            false,
            "f:1:30: tarpit needs Postfix",
        ),
        (
            plain,
            "racl greylist addr 192.0.2.1 tarpit 5m",
            Some((300, Scheme::Deferring)),
            false,
            "f:1:30: tarpit is 300 seconds or more",
        ),
    ] {
        let (rules, errors, warnings) = compiled_for(purpose, text);
        let rules = rules.unwrap_or_else(|| panic!("{text}: {errors:?}"));
        let tarpit = match rules.action(0) {
            Some(Action::Greylist(treatment)) => treatment.terms.tarpit,
            Some(Action::Pass) => None,
            other => panic!("{text}: {other:?}"),
        };
        let tarpit = tarpit.map(|tarpit| (tarpit.length.seconds(), tarpit.scheme));
        assert_eq!(tarpit, want, "{text}");
        let clause = rules.clause(0, 1).map(|(word, _)| word);
        assert_eq!(clause, asks.then_some("tarpit"), "{text}");
        let expected = usize::from(!warning.is_empty());
        let found = warnings.iter().filter(|found| found.starts_with(warning));
        assert_eq!(
            (found.count(), warnings.len()),
            (expected, expected),
            "{warnings:?}"
        );
    }
}

#[test]
fn a_deferral_that_cannot_follow_a_sleep_is_an_error_at_the_tarpit() {
    let coded = Purpose {
        scheme: Err("\"450\" cannot follow a sleep"),
        ..Purpose::PLAIN
    };
    let (rules, errors, _) = compiled_for(coded, "racl greylist addr 192.0.2.1 tarpit 5s");
    assert!(rules.is_none());
    assert_eq!(errors, ["f:1:30: \"450\" cannot follow a sleep"]);
    let lets_pass = "racl whitelist addr 192.0.2.1 tarpit 5s";
    assert!(compiled_for(coded, lets_pass).0.is_some());
}

#[test]
fn a_property_is_a_shell_pattern_where_an_asterisk_stands_before_it() {
    for (property, text, want) in [
        ("*.example", "%d", 2),
        ("x.exam", "%d", 0),
        ("[x-z].*", "%d", 2),
        ("X.*", "%d", 0),
    ] {
        let entries = format!(
            "racl continue addr 0.0.0.0/0 set $p=\"{property}\"\nracl blacklist *$p \"{text}\"\n"
        );
        let got = line(
            &rules(&entries),
            "x.example",
            "203.0.113.7",
            "a@b.c",
            "d@e.f",
        );
        assert_eq!(got, want, "{property}");
    }
    let unset = rules("racl blacklist *$p \"\"\n");
    let got = line(&unset, "x.example", "203.0.113.7", "a@b.c", "d@e.f");
    assert_eq!(got, 0, "one that is not set is no pattern");
}

#[test]
fn what_only_a_milter_can_answer_is_warned_of_and_never_matches() {
    for (text, want) in [
        (
            "sm_macro \"m\" \"{x}\" \"y\"\nracl whitelist not sm_macro \"m\"",
            "f:2:16: sm_macro can be answered by a milter only",
        ),
        (
            "racl whitelist not rcptcount > 5",
            "f:1:16: rcptcount can be answered by a milter only",
        ),
        ("dacl greylist spamd", "f:1:1: this is never evaluated"),
        (
            "ratelimit \"r\" data 1 / 1m\nracl blacklist ratelimit \"r\"",
            "f:2:16: a ratelimit of session or data can be answered by a milter only",
        ),
        (
            "racl blacklist addr 10.0.0.1 msg \"listed by %D\"",
            "f:1:30: %D, %g, %Hs, %P, %p, %Q, %Xh and %Xm are empty in a reply",
        ),
        (
            "racl continue addr 203.0.113.7 log \"waited %E\"",
            "f:1:32: %D, %E, %g, %Q, %R, %S, %t and %X are empty or 0 here",
        ),
        (
            "racl continue addr 203.0.113.7 set $p = \"%Xc\"",
            "f:1:32: %D, %E, %g, %Q, %R, %S, %t and %X are empty or 0 here",
        ),
        (
            "ratelimit \"r\" rcpt 1 / 1m key \"%M{daemon_name}\"",
            "f:1:1: only a milter knows the macro daemon_name",
        ),
        (
            "racl whitelist addr 10.0.0.1 addheader \"X: y\"",
            "f:1:30: addheader has no effect",
        ),
    ] {
        let (rules, errors, warnings) = compiled(text);
        assert_eq!(
            (errors.len(), warnings.len()),
            (0, 1),
            "{text}: {warnings:?}"
        );
        assert!(warnings[0].starts_with(want), "{text}: {warnings:?}");
        let found = line(
            &rules.expect("rules"),
            "x.example",
            "203.0.113.7",
            "a@b.c",
            "d@e.f",
        );
        assert_eq!(found, 0, "{text}");
    }
}

#[test]
fn an_entry_of_which_a_clause_or_a_whole_list_needs_a_milter_is_counted_as_unreachable() {
    let macros = "sm_macro \"m\" \"{x}\" \"y\"\nlist \"l\" sm_macro { \"m\" }\n";
    let both = "list \"b\" addr { 192.0.2.1 }\n";
    for (entry, want) in [
        ("racl whitelist sm_macro \"m\"", 1),
        ("racl whitelist list \"l\"", 1),
        ("racl whitelist not list \"l\"", 1),
        ("racl whitelist list \"b\"", 0),
        ("racl whitelist addr 192.0.2.1 list \"l\"", 1),
        ("dacl greylist spamd", 1),
        ("racl whitelist default", 0),
    ] {
        let (rules, _, _) = compiled(&format!("{macros}{both}{entry}\n"));
        assert_eq!(rules.expect("rules").unreachable(), want, "{entry}");
    }
}

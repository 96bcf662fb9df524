//! What becomes of a file in a policy server and in a milter.

use std::path::Path;
use std::sync::Arc;

use super::super::{Purpose, compile, parse};
use crate::policy::chain::{Action, Chain, Found, LocalTime, Needs, Subject};
use crate::policy::message::Message;
use crate::policy::{Attempt, Evidence, Finding, Lookup, MessageAttempt, SpamScore};
use crate::types::Span;

const S25R: &str = include_str!("../../../../fuzz/seeds/greylist_conf/s25r");
const NETWORKS: &str = include_str!("../../../../fuzz/seeds/greylist_conf/networks");
const LEGACY: &str = include_str!("../../../../fuzz/seeds/greylist_conf/legacy");

/// The rules of a text in a policy server, with errors and warnings.
fn compiled(text: &str) -> (Option<Chain>, Vec<String>, Vec<String>) {
    compiled_for(Purpose::default(), text)
}

/// The rules of a text, with errors and warnings.
fn compiled_for(purpose: Purpose<'_>, text: &str) -> (Option<Chain>, Vec<String>, Vec<String>) {
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
fn entry_line(rules: &Chain, number: u32) -> u32 {
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
        ("racl greylist mx /24", "f:1:15: mx is not supported"),
        (
            "racl greylist *$x \"y\"",
            "f:1:15: a property as a shell pattern is not supported; use /EXPRESSION/",
        ),
        (
            "racl whitelist addr 192.0.2.1 tarpit 65s",
            "f:1:31: tarpit for one entry is not supported; use the option --tarpit or --targrey",
        ),
    ] {
        let (rules, errors, _) = compiled(text);
        assert!(rules.is_none(), "{text}");
        assert_eq!(errors, [want], "{text}");
    }
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
            "f:2:16: a ratelimit of session or data is not counted",
        ),
        (
            "racl blacklist addr 10.0.0.1 msg \"listed by %D\"",
            "f:1:30: %D, %g, %Hs, %P, %p, %Q, %Xh and %Xm are empty in a reply",
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
fn a_pass_is_sticky_unless_the_file_says_multiracl() {
    for (text, want) in [("", 2), ("multiracl", 0)] {
        let rules = rules(&format!("{text}\nracl whitelist rcpt first@example.org\n"));
        let attempt = Attempt {
            client_address: Some(b"203.0.113.7"),
            client_name: Some(b"x.example"),
            sender: Some(b"a@b.example"),
            recipient: Some(b"second@example.org"),
            ..Attempt::default()
        };
        let subject = Subject::new(&attempt, LocalTime::default()).expect("a subject");
        let mut evidence = Evidence::default();
        evidence.earlier_pass = Some(0);
        let found = match rules.find(&subject, &evidence).0 {
            Found::Rule(number, _) => entry_line(&rules, number),
            Found::Nothing => 0,
            Found::Lacks(lookups) => panic!("{lookups:?}"),
        };
        assert_eq!(found, want, "{text}");
    }
}

const MILTER: Purpose<'_> = Purpose {
    has_text: false,
    has_milter: true,
    authserv_ids: &[],
};

/// The line of the entry that decides on a message with this header, body and score, 0 if none does.
fn line_of_message(rules: &Chain, text: &str, score: i64) -> u32 {
    let attempt = Attempt {
        client_address: Some(b"203.0.113.7"),
        client_name: Some(b"x.example"),
        sender: Some(b"a@b.example"),
        ..Attempt::default()
    };
    let message = Message::parse(text.as_bytes());
    let about = MessageAttempt {
        attempt: &attempt,
        recipients: &[b"one@example.org", b"two@example.org"],
        has_open: true,
        message: &message,
    };
    let subject = Subject::of_message(&about, LocalTime::default()).expect("a subject");
    let mut evidence = Evidence::default();
    let score = SpamScore {
        is_spam: Some(score > 5_000),
        score,
        threshold: Some(5_000),
        tests: Vec::new(),
    };
    evidence.add([(Lookup::Score, Finding::Score(Arc::new(score)))]);
    match rules.find(&subject, &evidence).0 {
        Found::Rule(number, _) => entry_line(rules, number),
        Found::Nothing => 0,
        Found::Lacks(lookups) => panic!("{lookups:?}"),
    }
}

#[test]
fn with_a_milter_entries_for_messages_decide_without_a_warning() {
    let text = "extendedregex\n\
                dacl blacklist spamd > 100.5\n\
                dacl greylist header /^Subject: .*viagra/ rcpt two@example.org\n\
                dacl greylist body \"Cheap watches\" msgsize > 10\n\
                dacl whitelist not spamd spamd < -1.5\n\
                dacl greylist spamd\n\
                dacl greylist rcptcount > 5\n\
                dacl whitelist default addheader \"X-Spam-Score: %Hs\"\n";
    let (rules, errors, warnings) = compiled_for(MILTER, text);
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
    let rules = rules.expect("rules");
    assert_eq!(rules.unreachable(), 0);
    let all = Needs {
        header: true,
        body: true,
        size: true,
        score: true,
    };
    assert_eq!(rules.needs(), all);
    for (message, score, want) in [
        ("Subject: hello\n\nhello\n", 100_600, 2),
        ("Subject: VIAGRA\n\nhello\n", 0, 3),
        ("Subject: hello\n\nCheap watches here\n", 0, 4),
        ("Subject: hello\n\ncheap watches here\n", 0, 0),
        ("Subject: hello\n\nhello\n", -1_600, 5),
        ("Subject: hello\n\nhello\n", 5_100, 6),
        ("Subject: hello\n\nhello\n", 5_000, 0),
    ] {
        let found = line_of_message(&rules, message, score);
        assert_eq!(found, want, "{message} {score}");
    }
    let (action, number) = rules.message_fallback().expect("a default");
    assert_eq!(action, &Action::Pass);
    assert_eq!(entry_line(&rules, number.expect("a number")), 8);
}

#[test]
fn with_a_milter_macros_and_counts_decide_at_rcpt_too() {
    let text = "sm_macro \"forged\" \"{client_resolve}\" \"FORGED\"\n\
                racl blacklist sm_macro \"forged\"\n\
                racl blacklist rcptcount >= 3\n\
                racl whitelist tls \"mail.example\"\n\
                racl whitelist default\n";
    let (rules, errors, warnings) = compiled_for(MILTER, text);
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
    let rules = rules.expect("rules");
    let plain = Attempt {
        client_address: Some(b"203.0.113.7"),
        client_name: Some(b"x.example"),
        sender: Some(b"a@b.example"),
        recipient: Some(b"c@d.example"),
        macros: Some(&[]),
        accepted: Some(0),
        ..Attempt::default()
    };
    for (attempt, want) in [
        (plain, 0),
        (
            Attempt {
                macros: Some(&[("client_resolve", b"FORGED")]),
                ..plain
            },
            2,
        ),
        (
            Attempt {
                accepted: Some(3),
                ..plain
            },
            3,
        ),
        (
            Attempt {
                certificate: Some(b"mail.example"),
                macros: None,
                accepted: None,
                ..plain
            },
            4,
        ),
    ] {
        let subject = Subject::new(&attempt, LocalTime::default()).expect("a subject");
        let found = match rules.find(&subject, &Evidence::default()).0 {
            Found::Rule(number, _) => entry_line(&rules, number),
            Found::Nothing => 0,
            Found::Lacks(lookups) => panic!("{lookups:?}"),
        };
        assert_eq!(found, want);
    }
}

#[test]
fn with_a_milter_values_without_an_effect_are_warned_of() {
    for (text, want) in [
        (
            "racl whitelist default addheader \"X: %Hs\"",
            "f:1:24: %Hs is empty in a racl entry",
        ),
        (
            "dacl blacklist spamd addheader \"X: y\"",
            "f:1:22: addheader has no effect in an entry that blacklists",
        ),
        (
            "dacl blacklist spamd report \"x\"",
            "f:1:22: report has no effect in an entry that blacklists",
        ),
        (
            "dacl blacklist spamd flushaddr",
            "f:1:22: flushaddr has no effect",
        ),
        (
            "dacl blacklist spamd msg \"%Hs %D\"",
            "f:1:22: %D, %g, %P, ",
        ),
    ] {
        let (rules, errors, warnings) = compiled_for(MILTER, text);
        assert!(rules.is_some() && errors.is_empty(), "{text}: {errors:?}");
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert!(warnings[0].starts_with(want), "{text}: {warnings:?}");
    }
    for text in [
        "dacl whitelist default addheader \"X: %Hs\" report \"x\" nolog",
        "dacl blacklist spamd msg \"score %Hs\"",
        "racl whitelist default addheader \"X: %f\"",
    ] {
        let (_, _, warnings) = compiled_for(MILTER, text);
        assert_eq!(warnings, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn what_a_trusted_server_says_of_signatures_decides_and_what_others_say_does_not() {
    let text = "dacl whitelist dkim pass\ndacl blacklist dkim fail\ndacl greylist not dkim error\n";
    let ids = ["mx.example.org".into()];
    let trusting = Purpose {
        authserv_ids: &ids,
        ..MILTER
    };
    let (rules, errors, warnings) = compiled_for(trusting, text);
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
    let rules = rules.expect("rules");
    assert!(rules.needs().header && !rules.needs().body);
    for (field, want) in [
        ("mx.example.org; dkim=pass", 1),
        ("mx.example.org; dkim=fail", 2),
        ("mx.example.org; dkim=none", 3),
        ("mx.example.org; dkim=neutral", 3),
        ("mx.example.org; dkim=permerror", 0),
        // Nothing is known, so that not even the last entry matches.
        ("elsewhere.example; dkim=pass", 0),
        ("mx.example.org; spf=pass", 0),
    ] {
        let message = format!("Authentication-Results: {field}\n\nhello\n");
        assert_eq!(line_of_message(&rules, &message, 0), want, "{field}");
    }
    // The entry would never match, or match everybody.
    let (none, errors, _) = compiled_for(MILTER, text);
    assert!(none.is_none());
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(
        errors[0].starts_with("f:1:16: dkim: ") && errors[0].contains("--trust-authserv-id"),
        "{errors:?}"
    );
    let without = Purpose {
        authserv_ids: &ids,
        ..Purpose::default()
    };
    let (_, errors, warnings) = compiled_for(without, text);
    assert_eq!((errors.len(), warnings.len()), (0, 3), "{warnings:?}");
}

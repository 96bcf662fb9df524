//! What becomes of a file in a milter.

use std::sync::Arc;

use super::super::Purpose;
use super::compiled::{compiled_for, entry_line};
use crate::policy::chain::{Action, Chain, Found, LocalTime, Needs, Subject};
use crate::policy::message::Message;
use crate::policy::{Attempt, Evidence, Finding, Lookup, MessageAttempt, SpamScore};

const MILTER: Purpose<'_> = Purpose {
    has_milter: true,
    has_score: true,
    ..Purpose::PLAIN
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
        macros: Some(&[("j", "mx.example")]),
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
fn without_a_source_of_scores_a_test_of_the_score_never_matches_and_that_is_said() {
    let unscored = Purpose {
        has_score: false,
        ..MILTER
    };
    let text = "dacl blacklist spamd\ndacl greylist not spamd > 5\ndacl whitelist default\n";
    let (rules, _, warnings) = compiled_for(unscored, text);
    assert_eq!(rules.expect("rules").unreachable(), 2);
    let said = |line, column| format!("f:{line}:{column}: spamd is never known");
    for (warning, said) in warnings.iter().zip([said(1, 16), said(2, 15)]) {
        assert!(warning.starts_with(&said), "{warning}");
    }
    assert_eq!(warnings.len(), 2);
    let (rules, _, warnings) = compiled_for(unscored, &format!("spamdsock unix \"/s\"\n{text}"));
    assert_eq!(rules.expect("rules").unreachable(), 0);
    assert_eq!(warnings, Vec::<String>::new());
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
        ..Purpose::PLAIN
    };
    let (_, errors, warnings) = compiled_for(without, text);
    assert_eq!((errors.len(), warnings.len()), (0, 3), "{warnings:?}");
}

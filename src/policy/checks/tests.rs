//! Tables and messages built by hand.

use std::path::Path;

use super::super::access::{Condition, Expression, Flags};
use super::*;

/// A table of lines `("expression", "action")`; `!` negates.
fn table(place: Place, lines: &[(&str, &str)]) -> CheckTables {
    let lines = (1..).zip(lines).map(|(number, (expression, action))| {
        let text = expression.trim_start_matches('!');
        let condition = Condition {
            expression: Expression::parse(text.as_bytes(), Flags::default()).unwrap(),
            negated: *expression != text,
        };
        let (action, text) = CheckAction::parse(action, place).unwrap();
        let entry = Entry::in_file(&Path::new("table").into(), number, expression);
        Line::Rule(Rule::new(condition, None, action, text).unwrap(), entry)
    });
    let mut tables = CheckTables::default();
    tables.push(lines.collect()).unwrap();
    tables
}

pub(crate) fn checks(header: &[(&str, &str)], body: &[(&str, &str)]) -> MessageChecks {
    MessageChecks {
        header: table(Place::Header, header),
        body: table(Place::Body, body),
    }
}

/// The findings about a message, in short.
fn found(checks: &MessageChecks, message: &str) -> Vec<String> {
    let findings = checks.examine(&Message::parse(message.as_bytes()));
    let at = |entry: &EntryRef| {
        let place = if entry.list == ListName::HeaderChecks {
            "Header"
        } else {
            "Body"
        };
        format!("{place} {}", entry.number)
    };
    let mut texts = Vec::new();
    if let Some((settled, entry)) = &findings.settled {
        let text = match settled {
            Settlement::Reply(code, text) => format!("{} {} {text}", code.number, code.enhanced),
            Settlement::Discard(text) => format!("discard {text}"),
            Settlement::Hold(text) => format!("hold {text}"),
        };
        texts.push(format!("{}: {text}", at(entry)));
    }
    if let Some(entry) = &findings.greylists {
        texts.push(format!("{}: greylist", at(entry)));
    }
    for (edit, entry) in &findings.edits {
        let shown = |field: &crate::policy::message::HeaderField| {
            let (name, value) = (&field.name, &field.value);
            format!(
                "{}={}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        };
        let text = match edit {
            HeaderEdit::Insert(number, field) => format!("insert {number} {}", shown(field)),
            HeaderEdit::Replace(number, field) => format!("replace {number} {}", shown(field)),
            HeaderEdit::Remove(number) => format!("remove {number}"),
        };
        texts.push(format!("{}: {text}", at(entry)));
    }
    for note in &findings.notes {
        let Note {
            level, text, seen, ..
        } = note;
        texts.push(format!("{}: {level:?} [{text}] {seen}", at(&note.entry)));
    }
    texts
}

#[test]
fn the_first_line_that_matches_decides_about_each_field_and_each_line() {
    let checks = checks(
        &[
            ("^subject: trusted", "DUNNO"),
            ("^subject: .*(spam)", "REJECT no $1"),
            ("^x-held", "HOLD later"),
            ("^x-grey", "GREYLIST"),
            ("^x-pass", "PASS it is mine"),
            ("^x-gone", "DISCARD"),
            ("^x-seen: (.*)", "WARN seen $1"),
            ("^x-not: [^a]", "IGNORE"),
            ("^x-cut", "STRIP cut"),
            ("^x-old: (.*)$", "REPLACE X-New: [$1]"),
            ("^x-first: (.*)$", "PREPEND X-Before: $1"),
        ],
        &[
            ("^buy (.*)$", "554 5.6.0 $1 again"),
            ("grey", "greylist"),
            ("^log", "INFO"),
        ],
    );
    let cases: [(&str, &[&str]); 17] = [
        ("Subject: hello\n\nhello\n", &[]),
        (
            "Subject: spam\n\nbuy it\n",
            &["Header 1: 550 5.7.1 no spam"],
        ),
        ("Subject: trusted spam\n\n", &[]),
        ("Subject: a\n spam\n\n", &["Header 1: 550 5.7.1 no spam"]),
        (
            "Subject: =?utf-8?B?c3BhbQ==?=\n\n",
            &["Header 1: 550 5.7.1 no spam"],
        ),
        ("A: b\n\nx\nbuy it\n", &["Body 0: 554 5.6.0 it again"]),
        ("X-Held: 1\n\n", &["Header 2: hold later"]),
        ("X-Held: 1\n\nbuy x\n", &["Body 0: 554 5.6.0 x again"]),
        ("X-Grey: 1\n\ngrey\n", &["Header 3: greylist"]),
        ("A: b\n\nGREY\n", &["Body 1: greylist"]),
        (
            "X-Grey: 1\nSubject: spam\n\n",
            &["Header 1: 550 5.7.1 no spam"],
        ),
        (
            "X-Pass: 1\nSubject: spam\n\nbuy x\n",
            &["Header 4: Pass [it is mine] X-Pass: 1"],
        ),
        ("X-Gone: 1\nSubject: spam\n\n", &["Header 5: discard "]),
        (
            "X-Seen: a\\b\nX-Seen: 2\nX-Not: b\nX-Not: a\nX-Cut: c\n\nlog\nlog\n",
            &[
                "Header 7: remove 2",
                "Header 8: remove 4",
                "Header 6: Warning [seen a\\x5cb] X-Seen: a\\x5cb",
                "Header 8: Strip [cut] X-Cut: c",
                "Body 2: Info [] log",
            ],
        ),
        (
            "X-Old: a\nX-First: =?utf-8?q?=E5=BA=83=0ABcc:?=\n\n",
            &[
                "Header 9: replace 0 X-New=[a]",
                "Header 10: insert 1 X-Before==?UTF-8?B?5bqDIEJjYzo=?=",
            ],
        ),
        ("Content-Type: text/html\n\nbu<b>y</b> x", &[]),
        (
            "Content-Type: text/html\n\n<p>bu<b>y</b> x</p>",
            &["Body 0: 554 5.6.0 x again"],
        ),
    ];
    for (message, want) in cases {
        assert_eq!(found(&checks, message), want, "{message}");
    }
}

#[test]
fn a_negated_expression_holds_if_no_form_of_the_field_matches() {
    let checks = checks(&[("!plain", "WARN")], &[]);
    for (message, matches) in [
        ("A: plain\n\n", false),
        ("A: =?utf-8?q?plain?=\n\n", false),
        ("A: plain =?utf-8?q?x?=\n\n", false),
        ("A: other\n\n", true),
    ] {
        assert_eq!(!found(&checks, message).is_empty(), matches, "{message}");
    }
}

#[test]
fn a_group_is_that_of_the_form_that_matches() {
    let checks = checks(
        &[
            ("^subject: =[?]([^?]*)", "REJECT $1"),
            ("^from: (a.*)", "REJECT $1"),
        ],
        &[],
    );
    let cases = [
        ("Subject: =?utf-8?q?x?=\n\n", "Header 0: 550 5.7.1 utf-8"),
        ("From: =?utf-8?q?a=C3=A9b?=\n\n", "Header 1: 550 5.7.1 a??b"),
    ];
    for (message, want) in cases {
        assert_eq!(found(&checks, message), [want], "{message}");
    }
}

#[test]
fn the_body_is_not_decoded_if_the_header_settles_the_message_or_no_table_is_about_it() {
    let message = || Message::parse(b"Subject: spam\n\nbody\n");
    let reject: &[(&str, &str)] = &[("spam", "REJECT")];
    for (checks, is_decoded) in [
        (checks(reject, reject), false),
        (
            MessageChecks {
                header: table(Place::Header, &[("ham", "REJECT")]),
                ..Default::default()
            },
            false,
        ),
        (checks(&[("ham", "REJECT")], reject), true),
    ] {
        let message = message();
        let findings = checks.examine(&message);
        assert_eq!(findings.is_empty(), findings.settled.is_none());
        assert_eq!(message.is_decoded(), is_decoded);
    }
    let unknown = Message::new(Vec::new(), None, 5);
    assert!(checks(&[], reject).examine(&unknown).is_empty());
    assert!(MessageChecks::default().examine(&message()).is_empty());
}

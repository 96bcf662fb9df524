//! Tables for messages: what `header_checks` and `body_checks` of Postfix look up, asked of both.

use stargrey::config::Diagnostics;
use stargrey::config::tables::{TableFile, add_check};
use stargrey::policy::checks::{CheckAction, CheckTables, Place};

use super::asked::Desk;

/// An action and its text.
type Found = (CheckAction, String);

/// A table as Japanese sites have them.
const HEADER: &str = "# spam\n\
    /^Subject:.*未承諾(広告)?/ REJECT 5.7.1 no ${1}advertisements, $$\n\
    /^Subject: *(.*)$/\n  WARN $1\n\
    !/^(Subject|From|X-)/ DUNNO\n\
    if /^From:/\n\
    /@example\\.com/ HOLD from $$ example\n\
    !/@/ DISCARD\n\
    endif\n\
    /^From: (.*)$/ PREPEND X-From: $1\n\
    /^X-Spam-(S?[a-z]*): (.)/ REPLACE X-Old-Spam: $(2), $1\n\
    /^X-Mailer/ STRIP\n\
    /^X-Pass/ PASS\n\
    /^X-Bad/ 554 5.6.0 bad\n\
    /^X-/ IGNORE\n";

const BODY: &str =
    "/^(.*)出会い/ REJECT $1 no\n%https?://([^/]*)[.]invalid% INFO $1\n/^$/ DUNNO\n/./ WARN\n";

/// Fields and lines.
const KEYS: &[&str] = &[
    "Subject: 未承諾広告※ all for you",
    "Subject: 未承諾",
    "SUBJECT:   hello world",
    "To: joe@example.org",
    "From: Joe <joe@example.com>",
    "From: nobody",
    "From: 広告 <a@example.net>",
    "X-Spam-Flag: YES",
    "X-Spam-Status: No, score=1",
    "X-Mailer: x",
    "X-Pass: x",
    "X-Bad: x",
    "X-Other:",
    "今すぐ出会い系",
    "see http://cheap.pills.invalid/x now",
    "x",
];

/// The action and text of a result of postmap, in which nothing is replaced any more.
fn parsed(result: &str, place: Place) -> Found {
    let bytes = result.chars().map(|c| u8::try_from(u32::from(c)).unwrap());
    let text = String::from_utf8(bytes.collect()).unwrap();
    let table = format!("/^/ {}\n", text.replace('$', "$$"));
    let mut found = ours_for("regexp", place, &table, &[""]);
    found.remove(0).unwrap()
}

/// What one of our tables of this kind yields for each key.
fn ours(kind: &str, place: Place, table: &str) -> Vec<Option<Found>> {
    ours_for(kind, place, table, KEYS)
}

fn ours_for(kind: &str, place: Place, table: &str, keys: &[&str]) -> Vec<Option<Found>> {
    let mut tables = CheckTables::default();
    let mut findings = Diagnostics::default();
    let file = TableFile::parse(&format!("{kind}:/table")).unwrap();
    add_check(&mut tables, place, &file, table.as_bytes(), &mut findings);
    assert_eq!(
        (findings.errors, findings.warnings),
        (vec![], vec![]),
        "{kind}"
    );
    let found = keys.iter().map(|key| {
        let (action, text) = tables.lookup(key.as_bytes())?;
        Some((action.clone(), String::from_utf8(text).unwrap()))
    });
    found.collect()
}

/// What postmap yields for each key.
fn theirs(kind: &'static str, place: Place, table: &str) -> Vec<Option<Found>> {
    let keys: Vec<&[u8]> = KEYS.iter().map(|key| key.as_bytes()).collect();
    let answer = Desk::of(kind).postfix(table.as_bytes(), &keys);
    assert!(answer.refused.is_empty(), "{:?}", answer.refused);
    let found = answer
        .found
        .iter()
        .map(|result| result.as_deref().map(|result| parsed(result, place)));
    found.collect()
}

#[test]
fn tables_for_messages_yield_what_postmap_finds() {
    for (place, table, least) in [(Place::Header, HEADER, 12), (Place::Body, BODY, 14)] {
        let found = ours("regexp", place, table);
        assert!(found.iter().flatten().count() >= least, "{found:?}");
        // The expressions mean the same in both languages.
        assert_eq!(ours("pcre", place, table), found);
        for kind in ["regexp", "pcre"] {
            for ((key, ours), theirs) in KEYS.iter().zip(&found).zip(theirs(kind, place, table)) {
                assert_eq!(*ours, theirs, "{kind} {key}");
            }
        }
    }
}

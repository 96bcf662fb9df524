//! Tables and their errors.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::protocol::policy::{Style, write_reply};
use crate::types::{Reply, ReplyText};

fn read(text: &[u8]) -> (AccessTables, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    fs::write(&path, text).unwrap();
    let (tables, findings) = load(&[TableFile::regexp(path)], &["my_class".to_owned()]);
    let errors = findings.errors.iter().map(|error| {
        let text = error.to_string();
        let (_, behind) = text.split_once("/table:").unwrap();
        behind.to_owned()
    });
    (tables, errors.collect())
}

#[test]
fn a_line_goes_on_where_white_space_begins_the_next() {
    let text = b"# comment\n/a/\n  OK\n\n  # comment\n\tand more\n/b/ DUNNO\r\n \n!/c/ MY_CLASS";
    let (tables, errors) = read(text);
    assert_eq!(errors, [""; 0]);
    let lines: Vec<(u32, &str)> = (0..3)
        .map(|number| tables.entries().get(number).unwrap())
        .map(|entry| (entry.line().unwrap(), &*entry.text))
        .collect();
    assert_eq!(
        lines,
        [
            (2, "/a/  OK\tand more"),
            (7, "/b/ DUNNO"),
            (9, "!/c/ MY_CLASS")
        ]
    );
    assert!(tables.has_greylist());
}

#[test]
fn every_bad_line_is_reported_and_the_rest_is_read() {
    let text = b"  /a/ OK\n/b/ OK\n/c OK\n/d/y OK\n/e/\n/f/ HOLD\n/(/ OK\n/g/ REJECT $1\n\
        endif\nif /h/ OK\nendif x\nif /i/\nwhat\n/\xff/ OK\n/j\0/ OK\n!\n/k/!/( OK\n! !/l/ OK\n\
        \xc3\xa4m\xc3\xa4 OK\nIF#n#ix\nENDIF\nif /o/\n/(a|b)/ REJECT $1\n";
    let (tables, errors) = read(text);
    let begins = [
        "1: white space at the beginning",
        "3: the closing '/' of",
        "4: unknown flag 'y'",
        "5: no result; write OK, ",
        "6: result \"HOLD\" is not one of OK, ",
        "7: bad expression: a ( without",
        "8: the result has $1, but",
        "9: endif without if",
        "10: text after the expression",
        "11: text after endif",
        "13: expected /expression/",
        "14: this is not UTF-8",
        "15: a NUL character",
        "16: no expression",
        "17: the closing '/' of",
        "19: 'ä' cannot be a delimiter",
        "23: the match of the group",
        "12: if without endif",
        "22: if without endif",
    ];
    assert_eq!(errors.len(), begins.len(), "{errors:#?}");
    for (error, begin) in errors.iter().zip(begins) {
        assert!(error.starts_with(begin), "{error} {begin}");
    }
    assert_eq!(tables.entries().len(), 2);
}

#[test]
fn every_bad_line_of_a_table_for_messages_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        TableFile::regexp(path)
    };
    let header = file(
        "header",
        b"/a/ REJECT\n/b/ FILTER smtp:\n/c/ OKAY\n/d/\n/e/ PREPEND x\n/\xa4\xa2/ REJECT\n/f/ GREYLIST x\nif /g/\n",
    );
    let body = file("body", b"/a/ IGNORE\n/b/ REJECT $1\n/(c)/ WARN $1\n");
    let (checks, findings) = load_checks(&[header, TableFile::regexp("/nowhere")], &[body]);
    let errors: Vec<String> = findings.errors.iter().map(ToString::to_string).collect();
    let want = [
        "header:2: a milter cannot choose a content filter; leave this line in Postfix's own header_checks",
        "header:3: action \"okay\" is not one of REJECT",
        "header:4: no action; write REJECT",
        "header:5: expected a header field",
        "header:6: this is not UTF-8; convert the file, for instance with iconv",
        "header:7: text after GREYLIST",
        "header:8: if without endif",
        "--header-checks: /nowhere: ",
        "body:1: a line of a body cannot be changed; IGNORE is for header fields",
        "body:2: the result has $1, but",
    ];
    assert_eq!(errors.len(), want.len(), "{errors:#?}");
    for (error, want) in errors.iter().zip(want) {
        assert!(error.contains(want), "{error} {want}");
    }
    assert_eq!(checks.header.entries().len(), 1);
    assert_eq!(checks.body.entries().len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_reported() {
    let (tables, findings) = load(&[TableFile::regexp("/nowhere/table")], &[]);
    assert_eq!(findings.errors.len(), 1);
    assert!(tables.entries().is_empty());
}

#[test]
fn two_expressions_hold_together() {
    let (tables, errors) = read(b"/a/!/b/ OK\n/c/!!/d/i REJECT\n");
    assert_eq!(errors, [""; 0]);
    let cases = [("a", Some(1)), ("ab", None), ("cd", Some(2)), ("cD", None)];
    for (name, want) in cases {
        let found = tables.find(name.as_bytes(), b"");
        let line = found.map(|found| tables.entries().get(found.entry).unwrap().line().unwrap());
        assert_eq!(line, want, "{name}");
    }
}

/// Results: first words, white space, texts with groups in them, and anything.
fn result() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "REJECT",
        "550",
        "450",
        "defer",
        "DEFER_IF_PERMIT",
        "OK",
        "DUNNO",
        "greylist",
        "HOLD",
    ]);
    let text = r"([ \t\x0b\x0c\r]{1,3}|\n |\$[12]|\$\$|[45]\.7\.1|[a-z?%=]{1,3}|\PC|[\x00-\x1f\x7f-\u{9f}]){0,8}";
    (words, text).prop_map(|(word, text)| format!("{word}{text}"))
}

proptest! {
    #[test]
    fn no_result_that_was_read_is_changed_when_it_is_written(result in result(), name in "[ -~\\x00\t\u{200b}]{0,9}") {
        let table = format!("/^(.*)(..)$/ {result}\n");
        let mut findings = Diagnostics::default();
        let mut tables = AccessTables::default();
        add(&mut tables, &TableFile::regexp("table"), table.as_bytes(), &[], &mut findings);
        let name = format!("{name}ab");
        if let Some(found) = tables.lookup(0, name.as_bytes()) {
            let text = found.text();
            let reply = Reply::Access(ReplyText::new(text.clone()));
            let greylist_action = &ReplyText::new("DEFER_IF_PERMIT".to_owned());
            let mut answer = Vec::new();
            write_reply(&mut answer, &reply, Style { greylist_action, enhanced_codes: true });
            prop_assert_eq!(answer, format!("action={text}\n\n").into_bytes());
        } else {
            prop_assert!(!findings.errors.is_empty(), "{:?}", table);
        }
    }
}

#[test]
fn white_space_in_a_result_is_answered_with_blanks() {
    let cases = [
        ("\tREJECT\tGo away", "REJECT Go away"),
        (" 550\t5.7.1\t\tGo\taway\t", "550 5.7.1  Go away"),
        (" DEFER\t \u{b}a\u{c}b", "DEFER   a b"),
        (" REJECT a\r\n\tb\r", "REJECT a  b"),
        (" REJECT 5.7.1", "REJECT 5.7.1 "),
        (" REJECT 5.7.1.", "REJECT 5.7.1."),
        (" REJECT 5.7", "REJECT 5.7"),
        (" REJECT", "REJECT"),
    ];
    for (result, want) in cases {
        let (tables, errors) = read(format!("/a/{result}\n").as_bytes());
        assert_eq!(errors, [""; 0], "{result:?}");
        assert_eq!(tables.lookup(0, b"a").unwrap().text(), want, "{result:?}");
    }
}

#[test]
fn what_a_perl_expression_would_mean_and_this_does_not_is_warned_of() {
    let text =
        b"/^\\d+\\.example$/ OK\nif /x/\n!/a/!/b[\\s-]/ OK\nendif\nif /\\Aa\\.b\\w\\-/\nendif\n\
        /[\\.a]\\.\\b/ OK\n";
    let mut findings = Diagnostics::default();
    let mut tables = AccessTables::default();
    add(
        &mut tables,
        &TableFile::regexp("table"),
        text,
        &[],
        &mut findings,
    );
    assert_eq!((tables.entries().len(), &findings.errors[..]), (3, &[][..]));
    let warnings: Vec<String> = findings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "table:1: \\d is the letter d here, as in Postfix; write [0-9]",
            "table:3: \\s between brackets is a backslash and the letter s, as in Postfix; write [:space:]",
            "table:5: \\A is the letter A here, as in Postfix; write ^",
        ]
    );
}

#[test]
fn a_key_that_no_client_is_looked_up_by_is_warned_of() {
    let keys = [
        ("mx.example.org", true),
        ("example.org", true),
        (".example.org", true),
        ("unknown", true),
        ("192.0.2.7", true),
        ("192.0", true),
        ("2001:db8::7", true),
        ("2001:DB8", true),
        ("[192.0.2.7]", false),
        ("*.example.org", false),
        ("/^mx/", false),
        ("user@example.org", false),
        ("user@", false),
        ("192.0.2.", false),
        ("192.0.2.*", false),
        ("192.0.2.0/24", false),
        ("2001:db8::", false),
        ("a.example,b.example", false),
        ("example.org.", false),
        ("-mx.example.org", false),
    ];
    for (key, matches) in keys {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table");
        fs::write(&path, format!("{key} OK\n")).unwrap();
        let file = format!("texthash:{}", path.display());
        let (_, findings) = load(&[TableFile::parse(&file).unwrap()], &[]);
        assert!(findings.errors.is_empty(), "{key}: {:?}", findings.errors);
        let warnings: Vec<String> = findings.warnings.iter().map(ToString::to_string).collect();
        let is_warned = warnings
            .iter()
            .any(|text| text.contains("table:1: ") && text.contains("never matches"));
        assert_eq!(
            (warnings.len(), is_warned),
            (usize::from(!matches), !matches),
            "{key}: {warnings:?}"
        );
    }
}

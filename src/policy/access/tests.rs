//! Tables built by hand.

use std::path::Path;

use super::*;

fn condition(text: &str) -> Condition {
    let expression = text.trim_start_matches('!');
    Condition {
        expression: Expression::parse(expression.as_bytes(), Flags::default()).unwrap(),
        negated: text.starts_with('!'),
    }
}

fn rule(text: &str, result: &str) -> Result<Rule, RuleError> {
    let (result, text_of) = AccessResult::parse(result, &[], Dollars::Groups).unwrap();
    Rule::new(condition(text), None, result, text_of)
}

/// Lines: `("if", expression)`, `("endif", "")`, or a result and its expression.
fn tables(all: &[&[(&str, &str)]]) -> AccessTables {
    let mut tables = AccessTables::default();
    for lines in all {
        let lines = (1..).zip(lines.iter()).map(|(line, (result, expression))| {
            let entry = Entry::in_file(&Path::new("table").into(), line, expression);
            match *result {
                "if" => Line::If(condition(expression)),
                "endif" => Line::EndIf,
                result => Line::Rule(rule(expression, result).unwrap(), entry),
            }
        });
        tables.push(lines.collect()).unwrap();
    }
    tables
}

/// The text that decides on a client.
fn decides(tables: &AccessTables, name: &str, address: &str) -> Option<String> {
    let found = tables.find(name.as_bytes(), address.as_bytes())?;
    Some(found.text())
}

#[test]
fn the_first_line_that_matches_decides_by_name_and_then_by_address() {
    let tables = tables(&[
        &[
            ("REJECT one", "^192\\.0\\.2\\.1$"),
            ("DUNNO", "trusted"),
            ("OK two", "!\\."),
        ],
        &[
            ("REJECT late", "trusted"),
            ("450 4.7.1 wait, $1", "^(.*)\\.pool"),
            ("greylist", "pool"),
        ],
    ]);
    assert!(tables.has_greylist());
    assert_eq!(tables.entries().len(), 6);
    let cases = [
        ("host.example", "192.0.2.1", Some("REJECT one")),
        ("unknown", "192.0.2.1", Some("OK two")),
        ("trusted.example", "192.0.2.1", Some("REJECT late")),
        ("a-1.pool.example", "192.0.2.9", Some("450 4.7.1 wait, a-1")),
        ("pool.example", "192.0.2.9", Some("greylist")),
        ("mail.example", "192.0.2.9", None),
        (
            "a\\b.pool.example",
            "192.0.2.9",
            Some("450 4.7.1 wait, a\\x5cb"),
        ),
    ];
    for (name, address, want) in cases {
        assert_eq!(decides(&tables, name, address).as_deref(), want, "{name}");
    }
}

#[test]
fn what_stands_behind_an_if_counts_only_if_it_holds() {
    let tables = tables(&[&[
        ("if", "a"),
        ("OK ab", "b"),
        ("if", "!c"),
        ("OK ad", "d"),
        ("endif", ""),
        ("OK ae", "e"),
        ("endif", ""),
        ("endif", ""),
        ("OK f", "f"),
        ("if", "z"),
        ("OK zy", "y"),
    ]]);
    let cases = [
        ("ab", Some("OK ab")),
        ("b", None),
        ("ad", Some("OK ad")),
        ("acd", None),
        ("acde", Some("OK ae")),
        ("d", None),
        ("af", Some("OK f")),
        ("y", None),
        ("zy", Some("OK zy")),
    ];
    for (name, want) in cases {
        assert_eq!(decides(&tables, name, "").as_deref(), want, "{name}");
    }
}

#[test]
fn groups_that_cannot_be_had_are_refused() {
    let cases = [
        ("!(a)", "REJECT $1", Err(RuleError::Negated)),
        ("(a)", "REJECT $2", Err(RuleError::NoGroup(2, 1))),
        ("(a|b)", "REJECT $1", Err(RuleError::Uncertain)),
        ("(a|b)", "WARN $1", Ok(())),
        ("(a)b", "REJECT $1", Ok(())),
    ];
    for (expression, result, want) in cases {
        assert_eq!(rule(expression, result).map(|_| ()), want, "{expression}");
    }
}

#[test]
fn without_tables_nothing_is_found() {
    let tables = AccessTables::default();
    assert!(tables.is_empty() && !tables.has_greylist());
    assert!(tables.find(b"name", b"192.0.2.1").is_none());
}

#[test]
fn a_negated_line_is_about_names_and_not_about_addresses() {
    let rule = |text: &str, negated, result: &str, line| {
        let (result, template) = AccessResult::parse(result, &[], Dollars::Groups).unwrap();
        let first = Condition {
            negated,
            ..condition(text)
        };
        let entry = Entry::in_file(&Path::new("table").into(), line, text);
        Line::Rule(Rule::new(first, None, result, template).unwrap(), entry)
    };
    let mut tables = AccessTables::default();
    tables
        .push(vec![
            rule("dynamic", false, "WARN", 1),
            rule("^unknown$|[0-9]{5}", true, "OK", 2),
        ])
        .unwrap();
    let cases = [
        ("mx.example.org", Some(1)),
        ("12345.example.org", None),
        ("unknown", None),
        ("12345.dynamic.example.org", None),
    ];
    for (name, want) in cases {
        let found = tables.find(name.as_bytes(), b"192.0.2.7");
        assert_eq!(found.map(|found| found.entry), want, "{name}");
    }
    assert!(!tables.has_greylist());
}

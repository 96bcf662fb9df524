//! Tables that Postfix accepts and stargrey refuses, one for each difference. In the other direction
//! there is none. And the keys that the two search for differently.
//!
//! The names are the list in stargrey-access(5), which is compared with them.

use super::asked::Desk;

/// A departure.
struct Departure {
    /// What it is, and why.
    name: &'static str,
    /// A table whose first line shows it.
    table: &'static [u8],
    /// A key.
    key: &'static [u8],
    /// What Postfix finds.
    want: &'static str,
}

const DEPARTURES: &[Departure] = &[
    Departure {
        name: "a back-reference: the matcher used here has none",
        table: b"/^(a)\\1$/ OK",
        key: b"aa",
        want: "OK",
    },
    Departure {
        name: "a group in a reply, when the expression has alternatives: POSIX takes the longest match, the matcher used here the first",
        table: b"/(a|ab)(c|bcd)/ REJECT <$1>",
        key: b"abcd",
        want: "REJECT <a>",
    },
    Departure {
        name: "a group in a reply, when a group of the expression is repeated: for the same reason",
        table: b"/(a)*b/ REJECT <$1>",
        key: b"aab",
        want: "REJECT <a>",
    },
    Departure {
        name: "an anchor in a group that is repeated: the GNU C library sometimes ignores it",
        table: b"/^(a?^b?)+$/ OK",
        key: b"aa",
        want: "OK",
    },
    Departure {
        name: "an expression that takes too much memory",
        table: b"/^(((a{99}){99}){99})?b/ OK",
        key: b"b",
        want: "OK",
    },
    Departure {
        name: "more than 60 nested groups",
        table: b"/(((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))/ OK",
        key: b"a",
        want: "OK",
    },
    Departure {
        name: "more than 60 repetitions of repetitions",
        table: b"/^a**************************************************************/ OK",
        key: b"a",
        want: "OK",
    },
    // Postfix's numbers have the width of the machine's.
    #[cfg(target_pointer_width = "64")]
    Departure {
        name: "a group whose number is too large: Postfix may use another group",
        table: b"/(a)/ REJECT <$4294967297>",
        key: b"a",
        want: "REJECT <a>",
    },
    Departure {
        name: "no result: Postfix returns an empty one",
        table: b"/a/",
        key: b"a",
        want: "",
    },
    Departure {
        name: "HOLD, DISCARD and other actions that concern the message, not the client",
        table: b"/a/ HOLD",
        key: b"a",
        want: "HOLD",
    },
    Departure {
        name: "FILTER, PREPEND and similar actions with an argument",
        table: b"/a/ FILTER smtp:[192.0.2.1]",
        key: b"a",
        want: "FILTER smtp:[192.0.2.1]",
    },
    Departure {
        name: "a restriction with a condition, such as permit_mynetworks: only the word PERMIT itself is accepted",
        table: b"/a/ permit_mynetworks",
        key: b"a",
        want: "permit_mynetworks",
    },
    Departure {
        name: "a list of restrictions",
        table: b"/a/ check_greylist, reject",
        key: b"a",
        want: "check_greylist, reject",
    },
    Departure {
        name: "a group in the first word of a result: the action is not known in advance",
        table: b"/(a)/ $1",
        key: b"a",
        want: "a",
    },
    Departure {
        name: "a dollar in the first word of a result",
        table: b"/a/ $$a",
        key: b"a",
        want: "$a",
    },
    Departure {
        name: "a control character in a result, unless it is white space after the first word",
        table: b"/a/ REJECT \x07",
        key: b"a",
        want: "REJECT \u{7}",
    },
    Departure {
        name: "an expression that is not UTF-8",
        table: b"/^\xff/ OK",
        key: b"\xff",
        want: "OK",
    },
    Departure {
        name: "a result that is not UTF-8",
        table: b"/a/ REJECT \xc3",
        key: b"a",
        want: "REJECT \u{c3}",
    },
    Departure {
        name: "a delimiter that is not ASCII",
        table: b"\xc3a\xc3 OK",
        key: b"a",
        want: "OK",
    },
    Departure {
        name: "a NUL character: Postfix ends the line there",
        table: b"/a/ REJECT x\0y",
        key: b"a",
        want: "REJECT x",
    },
    Departure {
        name: "an if whose expression ends with the line and a backslash, and not with the delimiter",
        table: b"if /a\\\n/a/ OK\nendif",
        key: b"a",
        want: "OK",
    },
];

#[test]
fn what_postfix_takes_and_stargrey_refuses_is_in_the_list() {
    let desk = Desk::new();
    for departure in DEPARTURES {
        let name = departure.name;
        let theirs = desk.postfix(departure.table, &[departure.key]);
        assert_eq!(theirs.found[0].as_deref(), Some(departure.want), "{name}");
        let ours = desk.stargrey(departure.table, &[departure.key]);
        assert!(ours.refused.contains(&1), "{name}");
    }
}

#[test]
fn a_line_that_begins_with_an_exclamation_mark_is_not_asked_about_addresses() {
    let (name, address): (&[u8], &[u8]) = (b"dsl7.dynamic.example", b"192.0.2.7");
    let cases: [(&[u8], bool); 4] = [
        (b"!/dynamic/ OK", false),
        (b"!/dynamic/!/x/ OK", false),
        (b"/^192/!/dynamic/ OK", true),
        (b"if !/dynamic/\n/./ OK\nendif", true),
    ];
    let desk = Desk::new();
    for (table, want) in cases {
        let theirs = desk.postfix(table, &[name, address]).found;
        assert_eq!(theirs, [None, Some("OK".to_owned())], "{table:?}");
        let tables = desk.tables(table);
        assert_eq!(tables.find(name, address).is_some(), want, "{table:?}");
    }
}

#[test]
fn what_is_not_printable_is_escaped_in_the_text_of_a_reply() {
    let (table, key): (&[u8], &[u8]) = (b"/^(.+)$/ REJECT <$1>", b"a\\\xff");
    let desk = Desk::new();
    assert_eq!(
        desk.compare("bytes", table, &[key]).found[0].as_deref(),
        Some("REJECT <a\\\u{ff}>")
    );
    let tables = desk.tables(table);
    let found = tables.find(key, b"192.0.2.1").unwrap();
    assert_eq!(found.text(), "REJECT <a\\x5c\\xff>");
}

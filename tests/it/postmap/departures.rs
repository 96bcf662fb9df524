//! What Postfix takes and stargrey does not, each with a table that shows it. In the other direction
//! there is nothing.

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
        name: "back-references: no expression of the regex crate has them",
        table: b"/^(a)\\1$/ OK",
        key: b"aa",
        want: "OK",
    },
    Departure {
        name: "alternatives and groups in a reply: POSIX takes the longest match, the regex crate the first",
        table: b"/(a|ab)(c|bcd)/ REJECT <$1>",
        key: b"abcd",
        want: "REJECT <a>",
    },
    Departure {
        name: "a repeated group and groups in a reply, likewise",
        table: b"/(a)*b/ REJECT <$1>",
        key: b"aab",
        want: "REJECT <a>",
    },
    Departure {
        name: "an anchor in a group that is repeated, which glibc forgets: this should match nothing",
        table: b"/^(a?^b?)+$/ OK",
        key: b"aa",
        want: "OK",
    },
    Departure {
        name: "more memory than an expression may take",
        table: b"/^(((a{99}){99}){99})?b/ OK",
        key: b"b",
        want: "OK",
    },
    Departure {
        name: "more than 60 groups in each other",
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
    Departure {
        name: "a number of a group that does not fit, and is another in Postfix",
        table: b"/(a)/ REJECT <$4294967297>",
        key: b"a",
        want: "REJECT <a>",
    },
    Departure {
        name: "no result: Postfix warns, and finds an empty one",
        table: b"/a/",
        key: b"a",
        want: "",
    },
    Departure {
        name: "an action that is none of a policy service's",
        table: b"/a/ HOLD",
        key: b"a",
        want: "HOLD",
    },
    Departure {
        name: "another one, which would concern the message",
        table: b"/a/ FILTER smtp:[192.0.2.1]",
        key: b"a",
        want: "FILTER smtp:[192.0.2.1]",
    },
    Departure {
        name: "a restriction with a condition of its own",
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
        name: "a group in the first word: what it will be is not known",
        table: b"/(a)/ $1",
        key: b"a",
        want: "a",
    },
    Departure {
        name: "a dollar in the first word",
        table: b"/a/ $$a",
        key: b"a",
        want: "$a",
    },
    Departure {
        name: "a control character in the result",
        table: b"/a/ REJECT \x07",
        key: b"a",
        want: "REJECT \u{7}",
    },
    Departure {
        name: "an expression that is no text",
        table: b"/^\xff/ OK",
        key: b"\xff",
        want: "OK",
    },
    Departure {
        name: "a result that is no text",
        table: b"/a/ REJECT \xc3",
        key: b"a",
        want: "REJECT \u{c3}",
    },
    Departure {
        name: "a byte beyond ASCII around an expression",
        table: b"\xc3a\xc3 OK",
        key: b"a",
        want: "OK",
    },
    Departure {
        name: "a NUL character, where Postfix ends the line",
        table: b"/a/ REJECT x\0y",
        key: b"a",
        want: "REJECT x",
    },
    Departure {
        name: "an if whose expression ends in a backslash, and not by the delimiter",
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

//! A table of Postfix's own, and the same table behind stargrey: the client must be told the same.
//!
//! Each line of the table has a client of its own. Both are asked in the list of client restrictions, where the words
//! around a text are the same, for a recipient that there is and for one that there is not.

use std::fmt::Write as _;
use std::{fs, thread};

use super::server::{Line, Postfix, Wiring};
use super::smtp::{Peer, Session};
use super::{SENDER, STRANGER, Site};

/// The name of the table.
const TABLE: &str = "replies";

/// What Postfix says before the text of a line, and without any.
const REJECTED: &str = "554 5.7.1 <CLIENT>: Client host rejected: ";
const REFUSED: &str = "550 5.7.1 <CLIENT>: Client host rejected: ";
const DEFERRED: &str = "450 4.7.1 <CLIENT>: Client host rejected: ";
const ACCEPTED: &str = "250 2.1.5 Ok";

/// First words, and what a recipient that there is gets.
const WORDS: &[(&str, &str)] = &[
    ("REJECT", REJECTED),
    ("reject", REJECTED),
    ("550", REFUSED),
    ("DEFER", DEFERRED),
    ("Defer_If_Permit", DEFERRED),
    ("DEFER_IF_REJECT", ACCEPTED),
    ("450", DEFERRED),
    ("OK", ACCEPTED),
    ("relay", ACCEPTED),
    ("DUNNO", ACCEPTED),
    ("WARN", ACCEPTED),
    ("INFO", ACCEPTED),
];

/// What can stand between a first word and a text.
const BETWEEN: &[&str] = &[
    " ",
    "\t",
    " \t ",
    "\t\t",
    " \u{b}",
    "\n  ",
    "\t\r\n ",
    " \n# no\n \t",
];

/// Texts behind a first word.
const TEXTS: &[&str] = &[
    "",
    "Go\taway",
    "Go\t\taway \t now",
    "Go\u{b}away\u{c}now\r\n please",
    "5.7.9 Go away",
    "4.7.9\tGo away",
    "5.7.9\t\tGo\taway",
    "5.7.9",
    "Not you, $1",
    "${1}\t$(1)\t$$",
    "100%, %s %% \"it\" a=b action=OK, \\x41 ?",
    "Gr\u{fc}\u{df}e\u{200b}!",
    "450 Go away",
    "check_greylist, reject",
];

/// A line of the table.
struct Case {
    result: String,
    /// What a recipient that there is gets, where that is said and not only compared.
    want: Option<String>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (word, want) in WORDS {
        let text = if *want == ACCEPTED { "" } else { "Go away" };
        for between in BETWEEN {
            cases.push(Case {
                result: format!("{word}{between}Go away"),
                want: Some(format!("{want}{text}")),
            });
        }
        for text in TEXTS {
            cases.push(Case {
                result: format!("{word} {text}"),
                want: None,
            });
        }
    }
    for long in [
        "word ".repeat(150),
        "\t\u{fc}".repeat(7000),
        "x".repeat(60_000),
    ] {
        for word in ["REJECT", "DEFER_IF_PERMIT"] {
            cases.push(Case {
                result: format!("{word} {long}"),
                want: None,
            });
        }
    }
    cases
}

/// What a client is told about a recipient that there is and about one that there is not.
fn told(site: &Site, line: Line, peer: Peer) -> [String; 2] {
    ["anna@example.org", "nobody@example.org"].map(|recipient| {
        let mut session = Session::open(site.postfix.address(line), peer);
        session.attempt(SENDER, recipient).to_string()
    })
}

#[test]
fn whatever_a_table_says_the_client_is_told_the_same_through_stargrey() {
    let cases = cases();
    let (mut table, mut peers) = (String::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        writeln!(table, "/^(c)lient{number}\\.example$/ {}", case.result).unwrap();
        peers.push(Peer::new(
            format!("client{number}.example").leak(),
            "192.0.2.7",
        ));
    }
    let wiring = Wiring {
        lines: vec![Line::Table, Line::Clients],
        ..Wiring::of("", &[(TABLE.to_owned(), table.clone())])
    };
    let site = Site::around(
        || Postfix::wired(wiring),
        &[],
        |postfix, directory| {
            let path = directory.join(TABLE);
            fs::copy(postfix.table(TABLE), &path).unwrap();
            let table = format!("--client-access={}", path.display());
            vec![table, "--unmatched=pass".to_owned()]
        },
    );
    let site = site;
    for (case, peer) in cases.iter().zip(peers) {
        let theirs = told(&site, Line::Table, peer);
        assert!(!theirs[0].starts_with("451 4.3.5"), "{}", theirs[0]);
        if let Some(want) = &case.want {
            let client = format!("{}[{}]", peer.reverse_name, peer.address);
            assert_eq!(
                theirs[0],
                want.replace("CLIENT", &client),
                "{:?}",
                case.result
            );
        }
        assert_eq!(
            told(&site, Line::Clients, peer),
            theirs,
            "{:?}",
            case.result
        );
    }
}

/// Actions of `--greylist-action`, and how the reply of Postfix to a greylisted client begins.
const ACTIONS: &[(&str, &str)] = &[
    ("DEFER_IF_PERMIT", "450 4.2.0 "),
    ("defer", "450 "),
    ("DEFER_IF_REJECT", ACCEPTED),
    ("REJECT", "554 "),
    ("451", "451 4.2.0 "),
    ("550", "550 "),
    ("DUNNO", ACCEPTED),
    ("OK", ACCEPTED),
    ("WARN", ACCEPTED),
    ("INFO", ACCEPTED),
    ("HOLD", ACCEPTED),
    ("DISCARD", ACCEPTED),
    ("PREPEND X-Greylisted:", ACCEPTED),
];

#[test]
fn every_greylist_action_that_is_accepted_is_one_for_postfix() {
    for some in ACTIONS.chunks(4) {
        thread::scope(|scope| {
            for (action, want) in some {
                scope.spawn(move || {
                    let site = Site::start(&[&format!("--greylist-action={action}")]);
                    let reply = site.attempt(STRANGER, SENDER, "anna@example.org");
                    let reply = reply.to_string();
                    assert!(reply.starts_with(want), "{action}: {reply}");
                    // Postfix lets pass with a warning what it does not know how to do.
                    let log = site.postfix.log();
                    let mut lines = log.lines().filter(|line| line.contains("/smtpd["));
                    let warning =
                        lines.find(|line| line.contains("warning: ") && !line.contains(" NIS "));
                    assert_eq!(warning, None, "{action}");
                });
            }
        });
    }
}

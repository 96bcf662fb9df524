//! Files of access lists of the kinds that administrators of milter-greylist have: what is said about each, and how it
//! decides; and what is listed of them.

use std::fs;

use crate::bus::OnBus;
use crate::dns_lists::ListServer;
use crate::support::{Daemon, TestClock, rcpt};

const START: u64 = 1_800_000_000;

/// A file of `fuzz/seeds/greylist_conf`.
macro_rules! seed {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fuzz/seeds/greylist_conf/",
            $name
        ))
    };
}

pub(crate) use seed;

/// The file of S25R.
pub(crate) const S25R: &str = seed!("s25r");

/// What passes, and the text of those that wait unless a file has another.
const PASS: &str = "DUNNO";
const LATER: &str = "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back later";
const IN_TEN_MINUTES: &str =
    "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:10:00";

/// A kind of file.
struct Kind {
    name: &'static str,
    text: &'static str,
    /// What is replaced in it: zones and networks that the tests have, and a delay.
    changes: &'static [(&'static str, &'static str)],
    /// Line, column and begin of each warning.
    warnings: &'static [&'static str],
    /// Name and address of a client, the recipient, and the reply.
    decisions: &'static [(&'static str, &'static str, &'static str, &'static str)],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "networks, and a default for which everybody waits a day",
        text: seed!("networks"),
        changes: &[],
        warnings: &[
            "2:1: pidfile has no effect: ",
            "3:1: socket has no effect: ",
            "4:1: dumpfile has no effect: ",
            "5:1: dumpfreq has no effect: ",
            "6:1: user has no effect: ",
        ],
        decisions: &[
            ("unknown", "127.3.2.1", "joe@example.org", PASS),
            ("unknown", "2001:db8::7", "joe@example.org", PASS),
            ("unknown", "198.51.100.244", "joe@example.org", PASS),
            ("mx.example.net", "198.51.100.9", "joe@example.org", PASS),
            (
                "mx.badexample.net",
                "198.51.100.9",
                "joe@example.org",
                LATER,
            ),
            (
                "x.example",
                "198.51.100.9",
                "info-2@example.org",
                "DEFER_IF_PERMIT 4.2.0 Please retry in 00:30:00",
            ),
        ],
    },
    Kind {
        name: "countries that no entry asks for",
        text: seed!("geoip"),
        changes: &[],
        warnings: &[
            "2:1: geoipdb has no effect: ",
            "3:1: geoipv6db has no effect: ",
            "4:1: the list has no effect: geoip: ",
        ],
        decisions: &[
            ("x.example", "192.0.2.7", "joe@example.org", PASS),
            (
                "x.example",
                "203.0.113.7",
                "joe@example.org",
                "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:15:00",
            ),
        ],
    },
    Kind {
        name: "statistics for a program",
        text: seed!("stat"),
        changes: &[("racl greylist default", "racl greylist default delay 10m")],
        warnings: &["1:1: each line becomes a record of the log (STARGREY_STAT): "],
        decisions: &[
            ("x.example", "127.0.0.7", "joe@example.org", PASS),
            (
                "x.example",
                "203.0.113.7",
                "joe@example.org",
                IN_TEN_MINUTES,
            ),
        ],
    },
    Kind {
        name: "all work at the end of the message",
        text: seed!("message"),
        changes: &[],
        warnings: &[
            "2:1: maxpeek has no effect: ",
            "3:1: spamdsock has no effect without a milter",
            "6:1: this is never evaluated: only a milter sees the message",
            "7:1: this is never evaluated: ",
            "8:1: this is never evaluated: ",
            "9:1: this is never evaluated: ",
            "10:1: this is never evaluated: ",
        ],
        decisions: &[
            ("unknown", "203.0.113.7", "joe@example.org", PASS),
            ("x.example", "192.0.2.7", "joe@example.org", PASS),
        ],
    },
    Kind {
        name: "DNS lists",
        text: seed!("dnsrbl"),
        changes: &[
            ("zen.spamhaus.org", "bad.example"),
            ("127.0.0.4", "127.0.0.2"),
            (" msg \"listed by %D\"", ""),
            ("list.dnswl.org", "good.example"),
            ("addr 192.0.2.0/24", "addr 198.51.100.0/24"),
        ],
        warnings: &[
            "7:34: flushaddr has no effect; stargreyctl forget deletes the records of a client",
        ],
        decisions: &[
            ("x.example", "198.51.100.7", "joe@example.org", PASS),
            ("x.example", "192.0.2.3", "joe@example.org", PASS),
            (
                "x.example",
                "192.0.2.2",
                "joe@example.org",
                "551 5.7.1 Go away!",
            ),
            (
                "x.example",
                "192.0.2.4",
                "joe@example.org",
                "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 02:00:00",
            ),
            ("x.example", "203.0.113.7", "joe@example.org", PASS),
        ],
    },
    Kind {
        name: "limits for outgoing mail",
        text: seed!("outgoing"),
        changes: &[],
        warnings: &[
            "8:23: sm_macro can be answered by a milter only: ",
            "9:43: a ratelimit of session or data can be answered by a milter only: ",
        ],
        decisions: &[
            ("x.example", "192.0.2.25", "joe@example.org", PASS),
            ("unknown", "203.0.113.7", "joe@example.org", PASS),
        ],
    },
    Kind {
        name: "old lines without a default",
        text: seed!("legacy"),
        changes: &[("Addr: 127", "greylist 10m\nAddr: 127")],
        warnings: &[],
        decisions: &[
            ("unknown", "127.0.0.1", "jane@example.org", PASS),
            (
                "mx.partner.example",
                "203.0.113.7",
                "jane@example.org",
                PASS,
            ),
            ("x.example", "203.0.113.7", "postmaster@example.org", PASS),
            ("x.example", "192.0.2.7", "joe@example.com", PASS),
            (
                "x.example",
                "203.0.113.7",
                "jane@example.org",
                "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 01:00:00",
            ),
            (
                "x.example",
                "203.0.113.7",
                "joe@example.com",
                IN_TEN_MINUTES,
            ),
            (
                "x.example",
                "203.0.113.7",
                "joe@example.org",
                IN_TEN_MINUTES,
            ),
        ],
    },
    Kind {
        name: "S25R",
        text: S25R,
        changes: &[],
        warnings: &[],
        decisions: &[
            ("mail.example.net", "203.0.113.7", "joe@example.org", PASS),
            (
                "unknown",
                "203.0.113.7",
                "joe@example.org",
                "DEFER_IF_PERMIT 4.2.0 S25R rule 0",
            ),
        ],
    },
];

/// A daemon with this file. SPF, which a file asks for unless it says otherwise, finds nothing.
pub(crate) fn start(text: &str, lists: &ListServer, options: &[&str]) -> (Daemon, TestClock) {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let file = daemon.path().join("greylist.conf");
    fs::write(&file, text).unwrap();
    let mut all = vec![
        clock.option(),
        format!("--greylist-conf={}", file.display()),
        format!("--resolver={}", lists.address),
    ];
    all.extend(options.iter().map(|option| (*option).to_owned()));
    daemon.run(&all);
    (daemon, clock)
}

/// What `--check` ends with, and what it says about a file: `error: ` or `warning: ` and the rest from the line on.
pub(crate) fn checked(text: &str) -> (Option<i32>, Vec<String>) {
    let daemon = Daemon::prepare();
    let file = daemon.path().join("greylist.conf");
    fs::write(&file, text).unwrap();
    let mut command = daemon.command();
    command.arg(format!("--greylist-conf={}", file.display()));
    let code = command.arg("--check").status().unwrap().code();
    let place = format!("{}:", file.display());
    let log = daemon.log();
    let about = log.lines().filter(|line| line.contains(&place));
    (
        code,
        about.map(|line| line.replacen(&place, "", 1)).collect(),
    )
}

#[test]
fn files_of_every_kind_are_taken_with_their_warnings_and_decide_as_they_did() {
    let lists = ListServer::start();
    for kind in KINDS {
        let mut text = kind.text.to_owned();
        for (from, to) in kind.changes {
            assert!(text.contains(from), "{}: {from}", kind.name);
            text = text.replace(from, to);
        }
        let (code, said) = checked(&text);
        assert_eq!(code, Some(0), "{}: {said:#?}", kind.name);
        assert_eq!(said.len(), kind.warnings.len(), "{}: {said:#?}", kind.name);
        for (line, begin) in said.iter().zip(kind.warnings) {
            let begin = format!("warning: {begin}");
            assert!(line.starts_with(&begin), "{}: {line}", kind.name);
        }
        let (daemon, _clock) = start(&text, &lists, &[]);
        for (name, address, recipient, want) in kind.decisions {
            let got = daemon.ask(&rcpt(name, address, "eve@sender.example", recipient));
            assert_eq!(&got, want, "{}: {name}[{address}]", kind.name);
        }
    }
}

#[test]
fn an_entry_with_a_clause_that_cannot_be_answered_is_refused_with_its_place() {
    let cases = [
        (
            "list \"l\" geoip { \"CH\" }\nracl greylist list \"l\"\n",
            "2:20: ",
        ),
        ("racl greylist geoip \"CH\"\n", "1:15: "),
        ("racl greylist p0f \"Windows\"\n", "1:15: "),
        (
            "urlcheck \"u\" \"http://x/\" 5\nracl greylist urlcheck \"u\"\n",
            "2:15: ",
        ),
        (
            "racl greylist addr 192.0.2.1\ndacl blacklist dkim fail\n",
            "2:16: ",
        ),
        ("drac db \"/var/drac.db\"\n", "1:1: "),
    ];
    for (text, place) in cases {
        let (code, said) = checked(text);
        let begin = format!("error: {place}");
        let is_said = said.iter().any(|line| line.starts_with(&begin));
        assert!(code == Some(78) && is_said, "{text}: {code:?} {said:#?}");
    }
}

#[test]
fn the_entries_are_listed_in_their_order_and_those_never_hit_are_marked() {
    let daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let file = daemon.path().join("greylist.conf");
    let text = "# Comment\nnospf\nlist \"own\" addr { 192.0.2.0/24 }\nracl whitelist list \"own\"\n\n\
                racl greylist domain slow.example \\\n  delay 1h\nracl whitelist default\n";
    fs::write(&file, text).unwrap();
    let options = [
        clock.option(),
        format!("--greylist-conf={}", file.display()),
    ];
    let on = OnBus::start_prepared(daemon, &options.each_ref().map(String::as_str));
    for address in ["192.0.2.7", "192.0.2.8", "203.0.113.7"] {
        let answer = on.daemon.ask(&rcpt("x.example", address, "a@b", "c@d"));
        assert_eq!(answer, PASS, "{address}");
    }
    let (code, listed) = on.ctl(&["rules", "--no-legend"]);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = listed.lines().map(words).collect();
    let [own, slow, default] = &lines[..] else {
        panic!("{listed}");
    };
    assert_eq!(code, 0);
    assert!(own.starts_with("4 racl whitelist list \"own\" 2 "), "{own}");
    assert_eq!(slow, "6 racl greylist domain slow.example delay 1h 0 never");
    assert!(
        default.starts_with("8 racl whitelist default 1 "),
        "{default}"
    );
    let (code, never) = on.ctl(&["rules", "--never", "--no-legend"]);
    assert_eq!((code, words(&never)), (0, slow.clone()));
    let (_, rows) = on.ctl_json(&["rules", "--never"]);
    let rows = rows.as_array().unwrap();
    let source = format!("{}:6", file.display());
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["source"], *source, "{rows:?}");
}

#[test]
fn without_a_file_of_access_lists_that_is_said() {
    let on = OnBus::start(&[]);
    for arguments in [&["rules"][..], &["rules", "--never"]] {
        let want = "There is no greylist.conf: stargreyd runs without --greylist-conf.\n";
        assert_eq!(on.ctl(arguments), (0, want.to_owned()), "{arguments:?}");
    }
    assert_eq!(on.ctl_json(&["rules"]), (0, serde_json::json!([])));
    let daemon = Daemon::prepare();
    let on = OnBus::start_prepared(daemon, &["--greylist-conf=/dev/null"]);
    let want = "0 entries listed.\n";
    assert_eq!(on.ctl(&["rules"]), (0, want.to_owned()));
}

//! Files of the kinds that administrators of milter-greylist have, from the first recipient to the end of the message:
//! one table of what they decide, which Debian's milter-greylist and stargreyd's milter must both keep.

use std::fs;
use std::path::Path;

use super::messages::{milter, verdict};
use super::peer::{self, MilterGreylist};
use super::{Session, Verdict, begun_with};
use crate::access_list_files::seed;
use crate::dns_lists::{ListServer, ZONES};
use crate::spamd;
use crate::support::milter::{MilterReply, MilterSession};
use crate::support::network::Network;

/// What a mail server says of a client besides its name and address.
type Macros = &'static [(&'static str, &'static str)];

/// A message that is sent, and what becomes of it.
#[derive(Debug)]
struct Sending {
    /// The client's verified name, if it has one, and its address.
    client: (Option<&'static str>, &'static str),
    macros: Macros,
    sender: &'static str,
    /// The recipients, and what each gets: [`PASS`] or a reply.
    recipients: &'static [(&'static str, &'static str)],
    /// The message, if it is sent.
    message: Option<Content>,
}

/// A field of the header, the body, how often that is repeated, and what the message gets.
type Content = (
    (&'static str, &'static str),
    &'static str,
    usize,
    &'static str,
);

/// A kind of file.
struct Kind {
    name: &'static str,
    text: &'static str,
    /// What is replaced in it: what a test does not have, and what takes too long.
    changes: &'static [(&'static str, &'static str)],
    /// What is left out of it for Debian's build, which knows neither countries nor SpamAssassin.
    left_out: &'static [&'static str],
    sendings: &'static [Sending],
}

const PASS: &str = "";
const GO_AWAY: &str = "551 5.7.1 Go away!";
const LATER: &str = "451 4.7.1 Greylisting in action, please come back later";
const IN_10_MINUTES: &str = "451 4.7.1 Greylisting in action, please come back in 10m";
const IN_15_MINUTES: &str = "451 4.7.1 Greylisting in action, please come back in 15m";
const IN_AN_HOUR: &str = "451 4.7.1 Greylisting in action, please come back in 60m";
const IN_2_HOURS: &str = "451 4.7.1 Greylisting in action, please come back in 120m";

/// A message without anything remarkable, which passes.
const PLAIN: Content = (("Subject", "x"), "hello\r\n", 1, PASS);

/// What comes from this client to these recipients.
const fn from(
    client: (Option<&'static str>, &'static str),
    recipients: &'static [(&'static str, &'static str)],
) -> Sending {
    Sending {
        client,
        macros: &[],
        sender: "eve@sender.example",
        recipients,
        message: None,
    }
}

impl Sending {
    const fn by(self, sender: &'static str) -> Self {
        Self { sender, ..self }
    }

    const fn with(self, message: Content) -> Self {
        Self {
            message: Some(message),
            ..self
        }
    }

    const fn said(self, macros: Macros) -> Self {
        Self { macros, ..self }
    }
}

const JOE: &str = "joe@example.org";
const ANN: &str = "ann@example.org";
const STRANGER: (Option<&str>, &str) = (Some("x.example"), "203.0.113.207");
const FRIEND: (Option<&str>, &str) = (Some("x.example"), "192.0.2.7");
const NAMELESS: (Option<&str>, &str) = (None, "203.0.113.208");

const NETWORKS: Kind = Kind {
    name: "networks, and a default for which everybody waits a day",
    text: seed!("networks"),
    // Both ends of an expression are angle brackets there.
    changes: &[("/^info-.*@example\\.org$/", "/<info-.*@example\\.org>/")],
    left_out: &["pidfile", "socket", "dumpfile", "dumpfreq", "user"],
    sendings: &[
        from((None, "127.3.2.1"), &[(JOE, PASS)]),
        from((None, "2001:db8::7"), &[(JOE, PASS)]),
        from(
            (None, "198.51.100.244"),
            &[(JOE, PASS), ("jane@example.org", PASS)],
        ),
        from((Some("mx.example.net"), "203.0.113.209"), &[(JOE, PASS)]).with(PLAIN),
        from(
            STRANGER,
            &[
                ("info-2@example.org", "451 4.7.1 Please retry in 30m"),
                (JOE, LATER),
                ("JANE@example.org", "451 4.7.1 Please retry in 30m"),
            ],
        ),
        from(NAMELESS, &[(JOE, LATER)]).by(""),
    ],
};

const COUNTRIES: Kind = Kind {
    name: "countries that no entry asks for",
    text: seed!("geoip"),
    changes: &[],
    left_out: &["list \"near\" geoip"],
    sendings: &[
        from(FRIEND, &[(JOE, PASS), (ANN, PASS)]).with(PLAIN),
        from(STRANGER, &[(JOE, IN_15_MINUTES), (ANN, IN_15_MINUTES)]),
        from(NAMELESS, &[(JOE, IN_15_MINUTES)]).by(""),
        // It came again too early.
        from(STRANGER, &[(JOE, IN_15_MINUTES)]),
    ],
};

const STATISTICS: Kind = Kind {
    name: "statistics for a program",
    text: seed!("stat"),
    changes: &[("racl greylist default", "racl greylist default delay 10m")],
    left_out: &[],
    sendings: &[
        from(
            (Some("localhost"), "127.0.0.7"),
            &[(JOE, PASS), (ANN, PASS)],
        )
        .with(PLAIN),
        from(STRANGER, &[(JOE, IN_10_MINUTES), (ANN, IN_10_MINUTES)]),
        from(NAMELESS, &[(JOE, IN_10_MINUTES)]).by(""),
    ],
};

const AT_THE_END: Kind = Kind {
    name: "all work at the end of the message",
    text: seed!("message"),
    changes: &[("25M", "25k")],
    left_out: &["spamdsock", "dacl greylist spamd", "dacl whitelist default"],
    sendings: &[
        from(STRANGER, &[(JOE, PASS)]).with(PLAIN),
        from(STRANGER, &[(JOE, PASS), (ANN, PASS)]).with((
            ("X-Mailer", "BulkSender 7"),
            "hello\r\n",
            1,
            "551 5.7.1 no bulk mail, please",
        )),
        // Case counts in a text, and not in an expression.
        from(STRANGER, &[(JOE, PASS)]).with((("X-Mailer", "bulksender"), "hello\r\n", 1, PASS)),
        from(NAMELESS, &[(JOE, PASS)]).with((
            ("Subject", "x"),
            "hello\r\nBUY this NOW\r\n",
            1,
            "554 5.7.1 refused",
        )),
        from(NAMELESS, &[(JOE, PASS)]).by("").with((
            ("Subject", "x"),
            "now you buy it\r\n",
            1,
            PASS,
        )),
        // Whom an entry lets pass is not spared a refusal.
        from(FRIEND, &[(JOE, PASS)]).with((
            ("Subject", "x"),
            "a long line of a long message\r\n",
            1000,
            "551 5.7.1 too large",
        )),
    ],
};

const DNS_LISTS: Kind = Kind {
    name: "DNS lists",
    text: seed!("dnsrbl"),
    changes: &[
        ("zen.spamhaus.org", "bad.example"),
        ("127.0.0.4", "127.0.0.2"),
        // A token of it is empty here.
        (" msg \"listed by %D\"", ""),
        ("list.dnswl.org", "good.example"),
        ("addr 192.0.2.0/24", "addr 198.51.100.0/24"),
    ],
    left_out: &[],
    sendings: &[
        from((Some("x.example"), "198.51.100.7"), &[(JOE, PASS)]).with(PLAIN),
        from((Some("x.example"), "192.0.2.3"), &[(JOE, PASS)]),
        from(
            (Some("x.example"), "192.0.2.2"),
            &[(JOE, GO_AWAY), (ANN, GO_AWAY)],
        ),
        from((Some("x.example"), "192.0.2.4"), &[(JOE, IN_2_HOURS)]),
        from(STRANGER, &[(JOE, PASS), (ANN, PASS)]).with(PLAIN),
    ],
};

const SUBMISSION: (&str, &str) = ("{daemon_name}", "MSA");
const TOO_MANY: &str = "551 5.7.1 too many recipients, joe";

const OUTGOING: Kind = Kind {
    name: "limits for outgoing mail",
    text: seed!("outgoing"),
    changes: &[("250 / 1h", "2 / 1h")],
    left_out: &[],
    sendings: &[
        from(
            STRANGER,
            &[
                (JOE, PASS),
                (ANN, PASS),
                ("a@b.example", TOO_MANY),
                ("c@d.example", TOO_MANY),
            ],
        )
        .said(&[SUBMISSION, ("{auth_authen}", "joe")])
        .with(PLAIN),
        // Of another name, from the same address.
        from(STRANGER, &[(JOE, PASS), (ANN, PASS)]).said(&[SUBMISSION, ("{auth_authen}", "ann")]),
        // In another message.
        from(FRIEND, &[(JOE, TOO_MANY)]).said(&[SUBMISSION, ("{auth_authen}", "joe")]),
        // By another daemon.
        from(FRIEND, &[(JOE, PASS)]).said(&[("{daemon_name}", "MTA"), ("{auth_authen}", "joe")]),
        from(STRANGER, &[(JOE, PASS), (ANN, PASS), ("a@b.example", PASS)])
            .said(&[SUBMISSION, ("{auth_authen}", "newsletter")])
            .with(PLAIN),
        from(NAMELESS, &[(JOE, PASS)]).with(PLAIN),
    ],
};

const LEGACY: Kind = Kind {
    name: "old lines without a default",
    text: seed!("legacy"),
    changes: &[
        ("Addr: 127", "greylist 10m\nAddr: 127"),
        // Both ends of an expression are angle brackets there.
        (
            "/^bounce-.*@lists\\.example$/",
            "/<bounce-.*@lists\\.example>/",
        ),
        ("/@example\\.com$/", "/@example\\.com>/"),
    ],
    left_out: &[],
    sendings: &[
        from((None, "127.0.0.1"), &[("jane@example.org", PASS)]),
        from(
            (Some("mx.partner.example"), "203.0.113.209"),
            &[("jane@example.org", PASS)],
        ),
        from(STRANGER, &[("postmaster@example.org", PASS)]),
        from(FRIEND, &[("joe@example.com", PASS)]),
        from(STRANGER, &[(JOE, PASS)]).by("billing@partner.example"),
        from(STRANGER, &[(JOE, PASS)])
            .by("bounce-7@lists.example")
            .with(PLAIN),
        from(
            STRANGER,
            &[
                ("jane@example.org", IN_AN_HOUR),
                ("joe@example.com", IN_10_MINUTES),
                (JOE, IN_10_MINUTES),
            ],
        ),
    ],
};

/// Whoever passes SPF does not wait.
const SPF: Kind = Kind {
    name: "nothing about SPF",
    text: "racl greylist default delay 10m\n",
    changes: &[],
    left_out: &[],
    sendings: &[
        from(
            (Some("x.example"), "198.51.100.7"),
            &[(JOE, PASS), (ANN, PASS)],
        )
        .by("ann@pool.example.com")
        .with(PLAIN),
        from((Some("x.example"), "192.0.2.9"), &[(JOE, IN_10_MINUTES)]).by("ann@pool.example.com"),
        from((Some("x.example"), "198.51.100.7"), &[(JOE, IN_10_MINUTES)]),
    ],
};

const NO_SPF: Kind = Kind {
    name: "nospf",
    text: "nospf\nracl greylist default delay 10m\n",
    sendings: &[
        from((Some("x.example"), "198.51.100.7"), &[(JOE, IN_10_MINUTES)])
            .by("ann@pool.example.com"),
    ],
    ..SPF
};

const KINDS: [&Kind; 9] = [
    &NETWORKS,
    &COUNTRIES,
    &STATISTICS,
    &AT_THE_END,
    &DNS_LISTS,
    &OUTGOING,
    &LEGACY,
    &SPF,
    &NO_SPF,
];

impl Kind {
    /// The file, with lines of `stat` for this path.
    fn file(&self, stat: &Path) -> String {
        let mut text = self.text.to_owned();
        for (before, after) in self.changes {
            assert!(text.contains(before), "{}: {before}", self.name);
            text = text.replace(before, after);
        }
        text.replace("/var/log/greylist.stat", stat.to_str().unwrap())
    }

    /// The same for Debian's build of milter-greylist. What is left out leaves an empty line.
    fn file_of_theirs(&self, stat: &Path) -> String {
        let lines: Vec<String> = self.file(stat).lines().map(str::to_owned).collect();
        for begin in self.left_out {
            assert!(lines.iter().any(|line| line.starts_with(begin)), "{begin}");
        }
        let is_left_out = |line: &str| self.left_out.iter().any(|begin| line.starts_with(begin));
        let kept = lines.iter();
        let kept = kept.map(|line| if is_left_out(line) { "" } else { line });
        kept.collect::<Vec<_>>().join("\n") + "\n"
    }

    /// Sends all to a milter, each in a session of its own, and compares what it says.
    fn send(&self, socket: &Path, whose: &str) {
        for sending in self.sendings {
            let Sending {
                client: (name, address),
                macros,
                sender,
                recipients,
                message,
            } = sending;
            let session = Session {
                name: *name,
                address,
                helo: "helo.example",
                sender: (*sender).to_owned(),
                recipients: Vec::new(),
            };
            let mut milter = begun_with(socket, 6, &session, macros);
            for (recipient, want) in *recipients {
                let got = said(&milter.rcpt(recipient).unwrap());
                assert_eq!(
                    got, *want,
                    "{whose}, {}: {recipient} {sending:?}",
                    self.name
                );
            }
            if let Some((field, body, times, want)) = message {
                let got = end_of(&mut milter, *field, &body.repeat(*times));
                assert_eq!(got, *want, "{whose}, {}: {sending:?}", self.name);
            }
            milter.quit().unwrap();
        }
    }
}

/// What a recipient or a message gets, as the table has it.
fn said(reply: &MilterReply) -> String {
    match verdict(reply) {
        Verdict::Passes => PASS.to_owned(),
        Verdict::Gets(text) => text,
    }
}

/// What a message gets.
fn end_of(milter: &mut MilterSession, field: (&str, &str), body: &str) -> String {
    let (_, last) = milter.message(&[field], body.as_bytes()).unwrap();
    said(&last)
}

#[test]
fn files_of_every_kind_decide_by_the_table() {
    let lists = ListServer::start();
    let nowhere = Path::new("/nonexistent/stat");
    for kind in KINDS {
        let resolver = format!("--resolver={}", lists.address);
        let (_daemon, socket) = milter(&kind.file(nowhere), &[resolver]);
        kind.send(&socket, "stargreyd");
    }
}

#[test]
fn milter_greylist_decides_by_the_same_table() {
    let Some(program) = peer::program("kinds") else {
        return;
    };
    let Some(network) = Network::new("kinds") else {
        return;
    };
    let _lists = ListServer::within(&network, ZONES);
    for kind in KINDS {
        let directory = tempfile::tempdir().unwrap();
        let conf = kind.file_of_theirs(&directory.path().join("stat"));
        let theirs = MilterGreylist::start_within(&network, &program, &conf);
        kind.send(&theirs.path("milter"), "milter-greylist");
    }
}

/// The lines of `stat` without the time, those that say the same in order.
fn statistics(text: &str) -> Vec<String> {
    let about = text.lines().filter_map(|line| {
        let begin = ["x.example [", "localhost [", "[203.0.113.208] ["];
        let at = begin.iter().find_map(|begin| line.find(begin))?;
        let line = line[at..].contains(" (ACL ").then(|| &line[at..])?;
        Some(line.replace(" 4.2.0 ", " 4.7.1 ").trim_end().to_owned())
    });
    let mut all: Vec<String> = about.collect();
    all.sort();
    all
}

#[test]
fn a_line_of_stat_in_the_log_is_the_one_that_milter_greylist_gives_to_the_program() {
    let Some(program) = peer::program("stat") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stat");
    let text = format!("nospf\n{}", STATISTICS.file(&path));
    let theirs = MilterGreylist::start(&program, &text);
    STATISTICS.send(&theirs.path("milter"), "milter-greylist");
    theirs.end();
    let (daemon, socket) = milter(&text, &[]);
    let never = path.metadata().unwrap().modified().unwrap();
    STATISTICS.send(&socket, "stargreyd");
    let wanted = statistics(&fs::read_to_string(&path).unwrap());
    assert_eq!(wanted.len(), 5, "{wanted:?}");
    daemon.log_until(|log| statistics(log).len() >= wanted.len());
    assert_eq!(statistics(&daemon.log()), wanted);
    let now = path.metadata().unwrap().modified().unwrap();
    assert_eq!(now, never, "stargreyd writes no such file");
}

#[test]
fn a_message_that_spamd_scores_waits_and_one_below_carries_its_score() {
    let spamd = spamd::Server::start();
    let socket = format!("unix \"{}\"", spamd.socket().display());
    let file = AT_THE_END.file(Path::new("/nonexistent"));
    let file = format!(
        "nospf\n{}",
        file.replace("unix \"/run/spamd.sock\"", &socket)
    );
    let (_daemon, milter_socket) = milter(&file, &[]);
    let open = |(name, address)| {
        let session = Session {
            name,
            address,
            helo: "helo.example",
            sender: "eve@sender.example".to_owned(),
            recipients: Vec::new(),
        };
        let mut milter = begun_with(&milter_socket, 6, &session, &[]);
        assert_eq!(milter.rcpt(JOE).unwrap(), MilterReply::Continue);
        milter
    };
    let header = [
        ("From", "Eve <eve@sender.example>"),
        ("To", JOE),
        ("Subject", "meeting"),
        ("Date", "Fri, 27 Nov 2026 20:00:00 +0000"),
        ("Message-ID", "<1@sender.example>"),
    ];
    let spam = spamd::GTUBE.as_bytes();
    // A spamd that is busy gives no score, and one that answers gives a great one.
    let (_, last) = open(STRANGER).message(&header, spam).unwrap();
    let last = said(&last);
    let score = last
        .strip_prefix("451 4.7.1 score ")
        .unwrap_or_else(|| panic!("{last}"));
    let (whole, decimals) = score.split_once('.').unwrap_or_else(|| panic!("{last}"));
    assert!(
        whole.parse::<u32>().unwrap() > 900 && decimals.len() == 1,
        "{last}"
    );
    // Whom an entry has let pass does not wait, whatever the score.
    for (client, body) in [
        (STRANGER, &b"Shall we meet on Monday?\r\n"[..]),
        (FRIEND, spam),
    ] {
        let (actions, last) = open(client).message(&header, body).unwrap();
        assert_eq!(last, MilterReply::Continue, "{client:?}");
        let added = actions.iter().filter(|(letter, _)| *letter == 'h');
        let score = added.filter(|(_, field)| field.starts_with("X-Spam-Score\0"));
        assert_eq!(score.count(), 1, "{client:?}: {actions:?}");
    }
}

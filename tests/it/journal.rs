//! What the journal is told of messages, field by field. The journal is played by the test.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::milter::{MilterReply, MilterSession};
use crate::support::{Daemon, TestClock};

/// How long a record may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// Messages with a score of more than five wait, and one word is refused.
const CONF: &str = "nospf\nracl whitelist default\ndacl blacklist header \"malware\" msg \"no\"\n\
                    dacl greylist spamd > 5\n";

/// Messages of one subject are held, and of another thrown away.
const TABLE: &str = "/^Subject: .*invoice/ HOLD\n/^Subject: .*lottery/ DISCARD\n";

type Fields = BTreeMap<String, String>;

/// The journal's socket, in a /run that only the daemon sees.
struct Journal {
    run: TempDir,
    socket: UnixDatagram,
}

impl Journal {
    fn start() -> Self {
        let run = tempfile::tempdir().unwrap();
        let directory = run.path().join("systemd/journal");
        fs::create_dir_all(&directory).unwrap();
        let socket = UnixDatagram::bind(directory.join("socket")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { run, socket }
    }

    /// Starts a daemon whose standard error the unit has connected to this journal.
    fn tell_of(&self, daemon: &mut Daemon) {
        let plain = daemon.command();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(daemon.path().join("log"))
            .unwrap();
        let of_log = log.metadata().unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" /run && shift && exec \"$@\"")
            .arg("sh")
            .arg(self.run.path())
            .arg(plain.get_program())
            .args(plain.get_args())
            .env("NOTIFY_SOCKET", daemon.path().join("notify"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", daemon.bus_address())
            .env(
                "JOURNAL_STREAM",
                format!("{}:{}", of_log.dev(), of_log.ino()),
            )
            .stderr(log);
        daemon.start_command(command);
    }

    /// The next record about a message: its fields.
    fn message(&self) -> Fields {
        loop {
            let mut record = [0; 8192];
            let length = self.socket.recv(&mut record).unwrap();
            let fields = fields(&record[..length]);
            if fields.contains_key("STARGREY_RECIPIENTS") {
                return fields;
            }
        }
    }
}

/// The fields of a record: `NAME=VALUE`, or a name, the length of the value and the value; each with a line feed at its
/// end.
fn fields(mut record: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while let Some(end) = record.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (&record[..end], &record[end + 1..]);
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            fields.insert(text(&line[..equals]), text(&line[equals + 1..]));
            record = rest;
        } else {
            let (length, rest) = rest.split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap());
            let (value, rest) = rest.split_at(usize::try_from(length).unwrap());
            fields.insert(text(line), text(value));
            record = &rest[1..];
        }
    }
    fields
}

/// A message: its recipients, and its header.
type Sent = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

/// Sends a message of which this queue knows; what becomes of it.
fn send(milter: &mut MilterSession, id: &str, (recipients, header): Sent) -> MilterReply {
    milter.mail("eve@stranger.example").unwrap();
    for recipient in recipients {
        milter.macros(b'R', &[("i", id)]).unwrap();
        let reply = milter.rcpt(recipient).unwrap();
        assert_eq!(reply, MilterReply::Continue);
    }
    milter.macros(b'E', &[("i", id)]).unwrap();
    let (_, last) = milter.message(header, b"hello\r\n").unwrap();
    last
}

/// A line of a file, from 1.
#[derive(Clone, Copy)]
enum Line {
    OfLists(usize),
    OfTable(usize),
}

/// A message, and its record.
struct Case {
    name: &'static str,
    sent: Sent,
    /// How long after the message before, in seconds.
    later: u64,
    /// The line that decides: of the access lists, or of the table.
    entry: Option<Line>,
    /// Fields that others do not have, or have otherwise.
    want: &'static [(&'static str, &'static str)],
}

const ANNA: &[&str] = &["anna@example.org"];
const BOTH: &[&str] = &["anna@example.org", "ben@example.org"];

const CASES: [Case; 7] = [
    Case {
        name: "passes with a score",
        sent: (ANNA, &[("X-Score", "1.5")]),
        later: 0,
        entry: None,
        want: &[
            ("ACTION", "pass"),
            ("REASON", "not-suspicious"),
            ("RECIPIENTS", "1"),
            ("SCORE", "1.5"),
            ("RECIPIENT", "anna@example.org"),
        ],
    },
    Case {
        name: "two recipients, who wait",
        sent: (BOTH, &[("X-Score", "7.5")]),
        later: 0,
        entry: Some(Line::OfLists(4)),
        want: &[
            ("ACTION", "greylist"),
            ("REASON", "new"),
            ("RECIPIENTS", "2"),
            ("SCORE", "7.5"),
            ("MISSING", "300"),
        ],
    },
    Case {
        name: "too early",
        sent: (BOTH, &[("X-Score", "7.5")]),
        later: 100,
        entry: Some(Line::OfLists(4)),
        want: &[
            ("ACTION", "greylist"),
            ("REASON", "early-retry"),
            ("RECIPIENTS", "2"),
            ("SCORE", "7.5"),
            ("MISSING", "200"),
        ],
    },
    Case {
        name: "have waited",
        sent: (BOTH, &[("X-Score", "7.5")]),
        later: 200,
        entry: Some(Line::OfLists(4)),
        want: &[
            ("ACTION", "pass"),
            ("REASON", "triplet-found"),
            ("RECIPIENTS", "2"),
            ("SCORE", "7.5"),
            ("DELAY", "300"),
        ],
    },
    Case {
        name: "refused, without a score",
        sent: (ANNA, &[("Subject", "malware")]),
        later: 0,
        entry: Some(Line::OfLists(3)),
        want: &[
            ("ACTION", "reject"),
            ("REASON", "message-reply"),
            ("RECIPIENTS", "1"),
            ("RECIPIENT", "anna@example.org"),
        ],
    },
    Case {
        name: "held",
        sent: (ANNA, &[("Subject", "an invoice")]),
        later: 0,
        entry: None,
        want: &[
            ("ACTION", "pass"),
            ("REASON", "not-suspicious"),
            ("RECIPIENTS", "1"),
            ("RECIPIENT", "anna@example.org"),
            ("FATE", "held"),
        ],
    },
    Case {
        name: "discarded",
        sent: (ANNA, &[("Subject", "a lottery")]),
        later: 0,
        entry: Some(Line::OfTable(2)),
        want: &[
            ("ACTION", "pass"),
            ("REASON", "message-reply"),
            ("RECIPIENTS", "1"),
            ("RECIPIENT", "anna@example.org"),
            ("FATE", "discarded"),
        ],
    },
];

/// The fields of the daemon's own in a record, by their names without what they begin with.
fn ours(record: &Fields) -> Fields {
    let ours = record.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("STARGREY_")?;
        Some((name.to_owned(), value.clone()))
    });
    ours.collect()
}

#[test]
fn a_record_about_a_message_has_its_fields_and_those_without_a_value_are_absent() {
    let journal = Journal::start();
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    let conf = daemon.path().join("greylist.conf");
    let socket = daemon.path().join("milter");
    let table = daemon.path().join("header_checks");
    fs::write(&conf, CONF).unwrap();
    fs::write(&table, TABLE).unwrap();
    daemon.set_options(&[
        clock.option(),
        format!("--milter=unix:{}", socket.display()),
        format!("--greylist-conf={}", conf.display()),
        "--score-header=X-Score".to_owned(),
        format!("--header-checks=regexp:{}", table.display()),
    ]);
    journal.tell_of(&mut daemon);
    let mut milter = MilterSession::open(&socket, 6).unwrap();
    milter.connect("mail.stranger.example", CLIENT).unwrap();
    milter.helo("helo.example").unwrap();
    for (number, case) in CASES.iter().enumerate() {
        clock.advance(case.later);
        let (name, id) = (case.name, format!("4Abc{number}"));
        send(&mut milter, &id, case.sent);
        let record = journal.message();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut want: Fields = case.want.iter().map(own).collect();
        let of_all = [
            ("CLIENT_NAME", "mail.stranger.example"),
            ("CLIENT_ADDRESS", "192.0.2.7"),
            ("SENDER", "eve@stranger.example"),
            ("QUEUE_ID", &id),
        ];
        want.extend(of_all.iter().map(own));
        let line = &record["MESSAGE"];
        if let Some(entry) = case.entry {
            let (file, content, entry) = match entry {
                Line::OfLists(entry) => (&conf, CONF, entry),
                Line::OfTable(entry) => (&table, TABLE, entry),
            };
            let place = format!("{}:{entry}", file.display());
            let text = content.lines().nth(entry - 1).unwrap();
            want.insert("BECAUSE".to_owned(), format!("{place}: {text}"));
            assert!(line.contains(&format!(", entry={place}")), "{name}: {line}");
        }
        assert_eq!(ours(&record), want, "{name}");
        let begin = format!("{id}: action={}, ", want["ACTION"]);
        assert!(line.starts_with(&begin), "{name}: {line}");
        let shown = |name: &str, word: &str| {
            let value = want.get(name);
            value.map_or_else(String::new, |value| format!(", {word}={value}"))
        };
        let (score, fate) = (shown("SCORE", "score"), shown("FATE", "fate"));
        let end = format!(", recipients={}{score}{fate}", want["RECIPIENTS"]);
        assert!(line.ends_with(&end), "{name}: {line}");
        assert_eq!(record["PRIORITY"], "5", "{name}");
        assert_eq!(record["SYSLOG_IDENTIFIER"], "stargrey", "{name}");
    }
}

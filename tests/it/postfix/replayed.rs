//! The log of a real Postfix, replayed: the same decisions as the daemon has made live.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use super::server::{Line, Postfix, eventually};
use super::smtp::Peer;
use super::{HOUR, OTHER, SENDER, START, STRANGER, Site};

/// A client that S25R matches.
const DYNAMIC: Peer = Peer::new("220-139-165-188.dynamic.example.net", "203.0.113.7");

/// Another server of the stranger's domain, in another network.
const SECOND: Peer = Peer::new("out.stranger.example", "203.0.113.99");

/// What is tried: seconds since the step before, by whom, from whom, and to which mailboxes at example.org.
type Step = (u64, Peer, &'static str, &'static [&'static str]);

const STEPS: &[Step] = &[
    (0, STRANGER, SENDER, &["anna"]),
    (60, STRANGER, SENDER, &["anna"]),
    (1, DYNAMIC, "spam@bulk.example", &["ben"]),
    (240, STRANGER, SENDER, &["anna"]),
    (10, STRANGER, SENDER, &["anna", "carl"]),
    (5, OTHER, "", &["dora"]),
    (400, SECOND, SENDER, &["carl"]),
    (HOUR, OTHER, "", &["dora"]),
    (
        1,
        OTHER,
        "\"a> to=<b, orig_to=<c\"@other.example",
        &["emil"],
    ),
    (
        600,
        OTHER,
        "\"a> to=<b, orig_to=<c\"@other.example",
        &["emil"],
    ),
    (3 * 24 * HOUR, DYNAMIC, "spam@bulk.example", &["ben"]),
    (2 * HOUR, STRANGER, SENDER, &["anna", "frida"]),
];

/// Access lists with a delay of their own.
const CONF: &str = "racl whitelist domain other.example\nracl greylist default delay 2m\n";

/// The decisions in some lines, without the queue id that Postfix tells the daemon once it has one.
fn decisions(lines: &str) -> Vec<String> {
    lines
        .lines()
        .filter_map(|line| Some(line.get(line.find("action=")?..)?.to_owned()))
        .collect()
}

/// A log whose lines have the time of the daemon's clock, which Postfix does not know.
#[derive(Default)]
struct Stamped {
    lines: usize,
    text: String,
}

impl Stamped {
    /// Takes over the lines that were written since.
    fn take(&mut self, log: &str, now: u64) {
        let now = jiff::Timestamp::from_second(i64::try_from(now).unwrap()).unwrap();
        let stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for line in log.lines().skip(self.lines) {
            let (_, rest) = line.split_at("Nov 27 02:00:00".len());
            writeln!(self.text, "{stamp}{rest}").unwrap();
            self.lines += 1;
        }
    }
}

/// Does all steps; the log of Postfix.
fn converse(site: &Site) -> String {
    let mut log = Stamped::default();
    let (mut refused, mut removed) = (0, 0);
    for (after, peer, sender, mailboxes) in STEPS {
        site.clock.advance(*after);
        let mut session = site.session(Line::Documented, *peer);
        session.mail(sender);
        let mut accepted = 0;
        for mailbox in *mailboxes {
            if session.rcpt(&format!("{mailbox}@example.org")).is_good() {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
        if accepted > 0 {
            session.data();
            removed += 1;
        }
        let written = eventually("the log is written", || {
            let written = site.postfix.log();
            let is_done = written.matches(": reject: RCPT from ").count() == refused
                && written.matches(": removed").count() == removed;
            is_done.then_some(written)
        });
        log.take(&written, site.clock.now());
    }
    assert!(refused > 1 && removed > 4, "{refused} {removed}");
    log.text
}

#[test]
fn a_replay_decides_as_the_daemon_has_decided() {
    for options in [
        &["--lookup-by-domain"][..],
        &["--s25r=extended"],
        &[
            "--s25r",
            "--unmatched=greylist",
            "--auto-whitelist-clients=1",
        ],
        &["--greylist-conf=DIRECTORY/greylist.conf"],
    ] {
        let mut own = Vec::new();
        let started = Site::around(Postfix::start, &[("greylist.conf", CONF)], |_, path| {
            let path = path.to_str().unwrap();
            own = options
                .iter()
                .map(|option| option.replace("DIRECTORY", path))
                .collect();
            own.clone()
        });
        let mut site = started;
        let log = converse(&site);
        assert!(site.daemon.stop().success());
        let live = decisions(&site.daemon.log());
        let path = site.daemon.path().join("mail.log");
        fs::write(&path, &log).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
            .args(["--user=root", "--group=root", "--verbose"])
            .args([
                "--whitelist-clients=/dev/null",
                "--whitelist-recipients=/dev/null",
            ])
            .args([
                "--whitelist-senders=/dev/null",
                "--s25r-exceptions=/dev/null",
            ])
            .args(&own)
            .arg(format!("--replay={}", path.display()))
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let mut replayed = decisions(&errors);
        let mut live = live;
        // Of one moment, refused recipients come where Postfix has logged them, and accepted ones with their mail.
        replayed.sort();
        live.sort();
        assert_eq!(replayed, live, "{options:?}\n{log}");
        assert!(live.len() >= STEPS.len(), "{live:?}");
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(!report.contains("Assumption"), "{report}");
        assert!(START < site.clock.now());
    }
}

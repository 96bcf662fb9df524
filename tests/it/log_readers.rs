//! Debian's programs that read Postgrey's log read this daemon's as well.
//!
//! A sample of decisions is logged by the real daemon under the name postgrey, and put into the form of a
//! syslog file. Postgrey would log the same lines without `s25r=` and `tarpit=`: the programs are given both.

use std::fs;
use std::process::{Command, Stdio};

use crate::manual::source;
use crate::support::machine::require_program;
use crate::support::{Daemon, TestClock, rcpt};

/// logwatch's reader of Postfix's and Postgrey's log.
const LOGWATCH: &str = "/usr/share/logwatch/scripts/services/postfix";

const MAILGRAPH: &str = "/usr/sbin/mailgraph";

const PFLOGSUMM: &str = "/usr/sbin/pflogsumm";

/// What logcheck need not show of Postgrey's log, from Debian's package postgrey.
const LOGCHECK: &str = "/etc/logcheck/ignore.d.server/postgrey";

/// A name that rule 1 of S25R matches.
const DYNAMIC: &str = "220-139-165-188.dynamic.example.net";

/// What Postfix logs of a recipient that was greylisted.
const REJECTED: &str = "Nov 27 02:00:00 mx postfix/smtpd[99]: NOQUEUE: reject: RCPT from x.example[192.0.2.7]: 450 4.2.0 <bob@example.org>: \
                        Recipient address rejected: Greylisted; from=<a@b.example> to=<bob@example.org> \
                        proto=ESMTP helo=<x.example>\n";

/// What a daemon of this name logs of a day with every kind of decision, line by line.
fn logged(name: &str) -> Vec<String> {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    let table = daemon.path().join("table");
    fs::write(&table, "/^bad/ REJECT no\n/^slow/ 450 later\n").unwrap();
    fs::write(daemon.path().join("whitelist_clients"), "good.example\n").unwrap();
    daemon.run(&[
        clock.option().as_str(),
        &format!("--syslog-name={name}"),
        "--s25r",
        "--targrey",
        "--tarpit=65",
        "--tarpit-limit=1",
        "--auto-whitelist-clients=1",
        "--auto-whitelist-delay=0",
        &format!("--client-access={}", table.display()),
    ]);
    converse(&daemon, &clock);
    daemon.stop();
    let log = daemon.log();
    let prefix = format!("{name}: ");
    log.lines()
        .map(|line| {
            let text = line.strip_prefix(&prefix);
            text.unwrap_or_else(|| panic!("not logged as {name}: {line}"))
                .to_owned()
        })
        .collect()
}

/// Mail of all kinds, so that each kind of line is logged.
fn converse(daemon: &Daemon, clock: &TestClock) {
    let mut postfix = daemon.connect();
    let bob = "bob@example.org";
    for (client, sender) in [
        ("mail.good.example", "a@b.example"),
        ("mx.example.com", "a@b.example"),
        ("bad.example", "a@b.example"),
        ("slow.example", ""),
    ] {
        postfix.ask(&rcpt(client, "192.0.2.1", sender, bob));
    }
    let patient = [("instance", "1"), ("queue_id", "4ABC1DEF2")];
    let patient: Vec<_> = rcpt("unknown", "192.0.2.77", "a@b.example", bob)
        .into_iter()
        .filter(|(name, _)| *name != "queue_id")
        .chain(patient)
        .collect();
    assert_eq!(postfix.ask(&patient), "SLEEP 65");
    let (first, second, forger) = (
        rcpt(DYNAMIC, "198.51.100.9", "a@b.example", bob),
        rcpt(DYNAMIC, "198.51.100.80", "", bob),
        rcpt(
            DYNAMIC,
            "203.0.113.5",
            "\"x, client_name=forged.example, reason=x\"@b.example",
            "\"a b, tarpit=1\"@example.org",
        ),
    );
    for request in [&first, &second, &forger] {
        assert!(postfix.ask(request).starts_with("DEFER_IF_PERMIT"));
    }
    clock.advance(65);
    let data: Vec<_> = patient
        .iter()
        .map(|&(name, value)| match name {
            "protocol_state" => (name, "DATA"),
            name => (name, value),
        })
        .collect();
    assert_eq!(postfix.ask(&data), "DUNNO");
    clock.advance(235);
    assert!(postfix.ask(&first).starts_with("PREPEND"));
    clock.advance(300);
    assert!(postfix.ask(&second).starts_with("PREPEND"));
    assert_eq!(postfix.ask(&second), "DUNNO");
}

/// A file of syslog with these lines.
fn syslog(name: &str, lines: &[String]) -> String {
    let lines = lines
        .iter()
        .flat_map(|line| ["Nov 27 02:00:00 mx ", name, "[123]: ", line, "\n"]);
    lines.collect()
}

/// The lines as Postgrey would have logged them.
fn without_additions(lines: &[String]) -> Vec<String> {
    let is_ours = |field: &str| field.starts_with("s25r=") || field.starts_with("tarpit=");
    lines
        .iter()
        .map(|line| {
            let fields: Vec<&str> = line.split(", ").filter(|field| !is_ours(field)).collect();
            fields.join(", ")
        })
        .collect()
}

fn is_decision(line: &str) -> bool {
    line.contains("action=") || line.contains("whitelisted: ")
}

/// Both logs, ours and Postgrey's, of the decisions alone and a line of Postfix.
fn both() -> [String; 2] {
    let decisions: Vec<String> = logged("postgrey")
        .into_iter()
        .filter(|line| is_decision(line))
        .collect();
    let postgreys = without_additions(&decisions);
    assert_ne!(decisions, postgreys);
    [&decisions, &postgreys].map(|lines| syslog("postgrey", lines) + REJECTED)
}

/// What a program says about a log that it reads from a file in a directory of its own.
fn read_by(program: &str, arguments: &[&str], log: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log");
    fs::write(&file, log).unwrap();
    let output = Command::new(program)
        .args(arguments)
        .arg(&file)
        .current_dir(directory.path())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn logwatch_reads_the_log_as_it_reads_postgreys() {
    require_program(LOGWATCH, "logwatch");
    // Down to the client: below it are the recipients, which it shows with all that follows them.
    let report = |log: &str| {
        let arguments = ["--syslog_name=post(?:fix|grey)", "--limit=postgrey=3"];
        read_by(LOGWATCH, &arguments, log)
    };
    let [ours, postgreys] = both().map(|log| report(&log));
    assert_eq!(ours, postgreys);
    assert!(!ours.contains("Unmatched"), "{ours}");
    assert!(!ours.contains("forged.example"), "{ours}");
    for wanted in ["Tarpit survived", "Triplet found", "Tarpit whitelisted"] {
        assert!(ours.contains(wanted), "{wanted}: {ours}");
    }
    let delays = ours
        .lines()
        .find(|line| line.starts_with("Total "))
        .unwrap();
    let delays: Vec<&str> = delays.split_whitespace().collect();
    assert_eq!((delays[1], delays[8]), ("300.00", "600.00"), "{ours}");
}

#[test]
fn mailgraph_counts_what_was_delayed_as_it_does_with_postgrey() {
    require_program(MAILGRAPH, "mailgraph");
    // That of trixie counts nothing of either.
    let counts = fs::read_to_string(MAILGRAPH)
        .unwrap()
        .contains("greylisted");
    // It shows a minute when a later one begins.
    let later = "Nov 27 02:05:00 mx postgrey[123]: action=pass, delay=1\n";
    let counted = |log: &str| {
        let shown = read_by(
            MAILGRAPH,
            &["--verbose", "--cat", "--logfile"],
            &format!("{log}{later}"),
        );
        let minute = shown.lines().find(|line| !line.ends_with("(SKIP)"));
        let (_, delayed) = minute?.rsplit_once(':')?;
        Some(delayed.to_owned())
    };
    let want = counts.then(|| "2".to_owned());
    assert_eq!(both().map(|log| counted(&log)), [want.clone(), want]);
}

#[test]
fn pflogsumm_sees_what_postfix_logs_and_minds_no_decision() {
    require_program(PFLOGSUMM, "pflogsumm");
    let alone = read_by(PFLOGSUMM, &[], REJECTED);
    let [ours, postgreys] = both().map(|log| read_by(PFLOGSUMM, &[], &log));
    assert!(alone.contains("Greylisted"), "{alone}");
    assert_eq!(ours, postgreys);
    assert_eq!(ours, alone);
}

#[test]
fn pflogsumm_counts_refusals_by_the_list_that_is_named() {
    require_program(PFLOGSUMM, "pflogsumm");
    let refused = |address: &str, list: &str| {
        REJECTED
            .replace("192.0.2.7", address)
            .replace("450 4.2.0", "550 5.7.1")
            .replace(
                "Greylisted",
                &format!("Client host [{address}] blocked using {list}"),
            )
    };
    let log = [
        refused(
            "192.0.2.7",
            "bad.example; Listed, see https://bad.example/?192.0.2.7",
        ),
        refused("192.0.2.8", "bad.example"),
        refused("192.0.2.9", "worse.example; Listed"),
    ];
    let shown = read_by(PFLOGSUMM, &[], &log.concat());
    for counted in ["bad.example (total: 2)", "worse.example (total: 1)"] {
        let line = format!("blocked using {counted}");
        assert!(shown.contains(&line), "{line}: {shown}");
    }
}

/// The lines that none of the rules matches.
fn left_by(rules: &str, lines: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules");
    fs::write(&file, rules).unwrap();
    let pattern = format!("--file={}", file.display());
    // As logcheck does.
    read_by("grep", &["-E", "--text", "-v", &pattern], lines)
}

#[test]
fn logchecks_rules_for_postgrey_cover_every_decision() {
    require_program(LOGCHECK, "postgrey");
    let rules = fs::read_to_string(LOGCHECK).unwrap();
    let decisions: Vec<String> = logged("postgrey")
        .into_iter()
        .filter(|line| line.contains("action="))
        .collect();
    assert!(decisions.len() > 10, "{decisions:?}");
    assert_eq!(left_by(&rules, &syslog("postgrey", &decisions)), "");
}

#[test]
fn our_rules_of_logcheck_cover_an_ordinary_day_under_either_name() {
    let rules: String = source("systemd/stargrey.logcheck")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    for name in ["stargrey", "postgrey"] {
        let ordinary: Vec<String> = logged(name)
            .into_iter()
            .filter(|line| !line.starts_with("warning: "))
            .collect();
        assert!(ordinary.len() > 15, "{ordinary:?}");
        assert_eq!(left_by(&rules, &syslog(name, &ordinary)), "", "{name}");
    }
}

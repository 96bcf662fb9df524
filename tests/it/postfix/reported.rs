//! The daily report by mail: the command of its unit, Postfix's own sendmail and postdrop, and what reaches the mailbox.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::server::{Postfix, Wiring};
use super::smtp::Peer;
use super::{SENDER, STRANGER, Site, assert_accepted};
use crate::bus::harness::{Bus, THERE};
use crate::ctl::said;
use crate::manual::source;
use crate::support::mail::read;

/// An address that is markup, too.
const MARKUP: &str = "\"<b>&'\"@evil.example";

/// Postfix's sendmail, which sends to this instance.
fn sendmail(postfix: &Postfix, directory: &Path) -> PathBuf {
    let path = directory.join("sendmail");
    let etc = postfix.table("");
    let text = format!(
        "#!/bin/sh\nexec /usr/sbin/sendmail -C {} \"$@\"\n",
        etc.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A site whose root has a mailbox, with yesterday's mail: a sender that came back, and one that is markup.
fn site() -> (Site, Bus) {
    let main = "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:stargrey/policy\n\
                virtual_alias_maps = inline:{ { root@mx.example.org = anna@example.org } }\n";
    let start = || Postfix::wired(Wiring::of(main, &[]));
    let mut site = Site::around(start, &[], |_, _| Vec::new());
    let now = stargrey::ctl::clock::now().timestamp().as_second();
    site.clock.set(now.unsigned_abs() - 24 * 3600);
    site.pass(STRANGER, SENDER, "ben@example.org");
    let evil = Peer::new("evil.example", "203.0.113.66");
    assert!(!site.attempt(evil, MARKUP, "ben@example.org").is_good());
    site.clock.advance(400);
    assert_accepted(&site.attempt(evil, MARKUP, "ben@example.org"));
    // The counters of the last seconds are written when it ends; it finds the bus when it starts.
    let bus = Bus::start(site.daemon.path());
    assert!(site.daemon.stop().success());
    site.daemon.start_again();
    site.daemon.log_until(|log| log.contains(THERE));
    (site, bus)
}

#[test]
fn the_timers_mail_reaches_roots_mailbox_with_both_parts() {
    let (site, bus) = site();
    let unit = source("systemd/stargrey-report.service");
    let command = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/stargreyctl "))
        .expect("a command line");
    let sendmail = format!(
        "--sendmail={}",
        sendmail(&site.postfix, site.daemon.path()).display()
    );
    let arguments: Vec<&str> = command.split(' ').chain([sendmail.as_str()]).collect();
    let output = bus.ctl(&arguments).env("TZ", "UTC").output().unwrap();
    assert_eq!(said(&output), (0, String::new(), String::new()));

    let mail = read(&site.postfix.message("anna"));
    assert_eq!(mail["defects"], serde_json::json!([]));
    assert!(mail["longest"].as_u64() <= Some(998), "{mail}");
    let field = |name: &str| mail["fields"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(field("to"), "root@mx.example.org");
    assert!(field("from").contains("root@mx.example.org"), "{mail}");
    let subject = field("subject");
    assert!(
        subject.starts_with("stargrey on ") && subject.contains(": Yesterday "),
        "{subject}"
    );
    assert_eq!(field("auto-submitted"), "auto-generated");
    assert!(field("message-id").contains('@') && !field("date").is_empty());

    assert_eq!(mail["kind"], "multipart/alternative");
    let parts = mail["parts"].as_array().unwrap();
    let kinds: Vec<&Value> = parts.iter().map(|part| &part[0]).collect();
    assert_eq!(kinds, ["text/plain", "text/html"]);
    let [plain, html] = [0, 1].map(|index| parts[index][1].as_str().unwrap());
    // The text is the one of the terminal.
    let output = bus.ctl(&["report"]).env("TZ", "UTC").output().unwrap();
    let (code, terminal, _) = said(&output);
    let words = |text: &str| -> Vec<String> {
        let words = text.split_whitespace().map(str::to_owned);
        words
            .filter(|word| word.chars().any(char::is_alphanumeric))
            .collect()
    };
    assert_eq!((code, words(plain)), (0, words(&terminal)));
    for part in [plain, html] {
        for want in ["2 ", "stranger.example", "stargreyctl allow"] {
            assert!(part.contains(want), "{want}: {part}");
        }
    }
    assert!(plain.contains("evil.example"), "{plain}");
    assert!(
        html.contains("evil.example") && !html.contains("<b>"),
        "{html}"
    );
    assert!(
        ["<script", "http:", "https:", "src=", "href="]
            .iter()
            .all(|foreign| !html.contains(foreign)),
        "{html}"
    );
}

#[test]
fn a_day_without_mail_is_not_mailed_unless_it_is_wanted() {
    let (site, bus) = site();
    let sendmail = format!(
        "--sendmail={}",
        sendmail(&site.postfix, site.daemon.path()).display()
    );
    // Of a day before the first mail.
    let day = ["--since=2026-01-01", "--until=2026-01-02"];
    for (more, want) in [(&[][..], 0), (&["--always"][..], 1)] {
        let options = [
            &["report", "--mail=anna@example.org", &sendmail],
            &day[..],
            more,
        ]
        .concat();
        let output = bus.ctl(&options).output().unwrap();
        assert_eq!(said(&output), (0, String::new(), String::new()));
        let log = site.postfix.log();
        assert_eq!(log.matches("/pickup[").count(), want, "{log}");
    }
    assert!(
        site.postfix
            .message("anna")
            .contains("Subject: stargrey on")
    );
}

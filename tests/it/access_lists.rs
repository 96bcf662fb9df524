//! Access lists: the daemon with a `greylist.conf`, from outside.

use std::fs;

use serde_json::json;

use crate::access_list_files::{S25R, start};
use crate::bus::OnBus;
use crate::dns_lists::ListServer;
use crate::support::{Daemon, TestClock, rcpt};

const START: u64 = 1_800_000_000;

/// A client, and the text that the file gives it; an empty one for a client that passes.
const CLIENTS: [(&str, &str, &str); 9] = [
    ("unknown", "203.0.113.7", "S25R rule 0"),
    ("unknown", "2001:db8::7", "S25R rule 0"),
    ("p1-2.dyn.isp.example", "203.0.113.7", "S25R rule 1"),
    ("host12345.isp.example", "203.0.113.7", "S25R rule 2"),
    ("1.2.isp.example.net", "203.0.113.7", "S25R rule 3"),
    ("adsl7.isp.example", "203.0.113.7", "S25R rule 6"),
    ("mail.example.net", "203.0.113.7", ""),
    ("mx7.isp.example", "203.0.113.7", ""),
    ("unknown", "192.0.2.9", ""),
];

fn ask(daemon: &Daemon, name: &str, address: &str, recipient: &str) -> String {
    daemon.ask(&rcpt(name, address, "eve@sender.example", recipient))
}

#[test]
fn the_file_of_s25r_decides_as_the_option_does() {
    let lists = ListServer::start();
    let (by_file, _clock) = start(S25R, &lists, &[]);
    let by_option = Daemon::start(&["--s25r", "--s25r-exceptions=/dev/null"]);
    for (name, address, text) in CLIENTS {
        let got = ask(&by_file, name, address, "a@b.example");
        let want = if text.is_empty() {
            "DUNNO".to_owned()
        } else {
            format!("DEFER_IF_PERMIT 4.2.0 {text}")
        };
        assert_eq!(got, want, "{name}[{address}]");
        // The file has two exceptions of its own.
        if address != "192.0.2.9" && name != "mx7.isp.example" {
            let waits = ask(&by_option, name, address, "a@b.example") != "DUNNO";
            assert_eq!(got != "DUNNO", waits, "{name}[{address}]");
        }
    }
}

#[test]
fn delay_text_and_codes_are_those_of_the_entry() {
    let lists = ListServer::start();
    let text = "\
nospf\n\
racl blacklist addr 203.0.113.66\n\
racl blacklist helo /^bad/ code \"554\" ecode \"5.7.0\" msg \"%h is not for %r from %i\"\n\
racl \"slow\" greylist domain slow.example delay 1h msg \"come back in %R (%a)\"\n\
racl greylist domain coded.example code \"450\" msg \"wait\"\n\
racl whitelist rcpt abuse@b.example\n\
racl greylist default delay 10m\n";
    let (daemon, clock) = start(text, &lists, &[]);
    let mut hostile = rcpt("x.example", "203.0.113.7", "eve@sender.example", "a@b");
    hostile.push(("helo_name", "bad%r\u{1}\u{e9}"));
    for (got, want) in [
        (
            ask(&daemon, "x.example", "203.0.113.66", "a@b.example"),
            "551 5.7.1 Go away!",
        ),
        (
            daemon.ask(&hostile),
            "554 5.7.0 bad%r??? is not for a@b from 203.0.113.7",
        ),
        (
            ask(&daemon, "mx.slow.example", "203.0.113.8", "slow@b.example"),
            "DEFER_IF_PERMIT 4.2.0 come back in 01:00:00 (slow)",
        ),
        (
            ask(&daemon, "coded.example", "203.0.113.9", "a@b.example"),
            "450 4.7.1 wait",
        ),
        (
            ask(&daemon, "x.example", "203.0.113.7", "abuse@b.example"),
            "DUNNO",
        ),
        (
            ask(&daemon, "x.example", "203.0.113.7", "a@b.example"),
            "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:10:00",
        ),
    ] {
        assert_eq!(got, want);
    }
    clock.advance(600);
    let got = ask(&daemon, "x.example", "203.0.113.7", "a@b.example");
    assert!(got.starts_with("PREPEND X-Greylist: delayed 600 "), "{got}");
    let got = ask(&daemon, "mx.slow.example", "203.0.113.8", "slow@b.example");
    assert_eq!(got, "DEFER_IF_PERMIT 4.2.0 come back in 00:50:00 (slow)");
    clock.advance(3000);
    let got = ask(&daemon, "mx.slow.example", "203.0.113.8", "slow@b.example");
    assert!(
        got.starts_with("PREPEND X-Greylist: delayed 3600 "),
        "{got}"
    );
}

#[test]
fn a_pass_holds_for_one_recipient_with_and_without_multiracl() {
    let lists = ListServer::start();
    for statement in ["", "multiracl\n"] {
        let text = format!("nospf\n{statement}racl whitelist rcpt first@b.example\n");
        let (daemon, _clock) = start(&text, &lists, &[]);
        let ask = |recipient, instance| {
            let mut attributes = rcpt("x.example", "203.0.113.7", "a@c.example", recipient);
            attributes.push(("instance", instance));
            daemon.ask(&attributes)
        };
        assert_eq!(ask("first@b.example", "1"), "DUNNO");
        assert_ne!(ask("second@b.example", "1"), "DUNNO", "{statement}");
        assert_ne!(ask("third@b.example", "2"), "DUNNO", "{statement}");
    }
}

#[test]
fn an_option_beats_the_file_and_the_file_beats_the_default() {
    let lists = ListServer::start();
    for (text, options, want) in [
        (
            "nospf\nracl whitelist addr 192.0.2.1\n",
            &[][..],
            "00:05:00",
        ),
        (
            "nospf\ngreylist 1h\nracl whitelist addr 192.0.2.1\n",
            &[],
            "01:00:00",
        ),
        (
            "nospf\ngreylist 1h\nracl whitelist addr 192.0.2.1\n",
            &["--delay=60"],
            "00:01:00",
        ),
    ] {
        let (daemon, _clock) = start(text, &lists, options);
        let got = ask(&daemon, "x.example", "203.0.113.7", "a@b.example");
        let want =
            format!("DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in {want}");
        assert_eq!(got, want, "{text} {options:?}");
        let told = "not in the file of access lists: ";
        let is_told = daemon
            .log()
            .contains(&format!("{told}greylist 300s (milter-greylist: 30m)"));
        assert_eq!(is_told, !text.contains("greylist 1h"), "{}", daemon.log());
    }
}

#[test]
fn an_exemption_from_waiting_is_none_from_a_refusal() {
    let lists = ListServer::start();
    let text = "nospf\nracl blacklist domain bad.example\nracl greylist default\n";
    let (daemon, _clock) = start(text, &lists, &[]);
    let ask = |name, user| {
        let mut attributes = rcpt(name, "203.0.113.7", "a@c.example", "a@b.example");
        attributes.push(("sasl_username", user));
        daemon.ask(&attributes)
    };
    assert_eq!(ask("bad.example", "joe"), "551 5.7.1 Go away!");
    let mut certified = rcpt("x.example", "203.0.113.7", "a@c.example", "a@b.example");
    certified.push(("ccert_subject", "mx.client.example"));
    assert_eq!(daemon.ask(&certified), "DUNNO");
    assert_eq!(ask("good.example", "joe"), "DUNNO");
    assert_ne!(ask("good.example", ""), "DUNNO");
    let text = "noauth\nnospf\nracl whitelist auth \"jane\"\nracl whitelist tls \"Mail Relay 1\"\n\
                racl greylist default\n";
    let (daemon, _clock) = start(text, &lists, &[]);
    let ask = |user| {
        let mut attributes = rcpt("x.example", "203.0.113.7", "a@c.example", "a@b.example");
        attributes.push(("sasl_username", user));
        daemon.ask(&attributes)
    };
    assert_eq!(ask("jane"), "DUNNO");
    assert_ne!(ask("Jane"), "DUNNO", "case counts");
    // As Postfix sends it.
    for (subject, passes) in [("Mail+20Relay+201", true), ("Mail+20Relay+202", false)] {
        let mut certified = rcpt("x.example", "203.0.113.7", "a@c.example", "a@b.example");
        certified.push(("ccert_subject", subject));
        assert_eq!(daemon.ask(&certified) == "DUNNO", passes, "{subject}");
    }
    assert_ne!(ask("joe"), "DUNNO");
}

#[test]
fn a_bad_file_ends_the_start_and_a_bad_reload_changes_nothing() {
    for check in [None, Some("--check")] {
        let daemon = Daemon::prepare();
        let file = daemon.path().join("greylist.conf");
        fs::write(&file, "racl greylist mx /0\nfoo\n").unwrap();
        let mut command = daemon.command();
        command.arg(format!("--greylist-conf={}", file.display()));
        command.args(check);
        assert_eq!(command.status().unwrap().code(), Some(78), "{check:?}");
        let wanted = format!("{}:2:1: ", file.display());
        assert!(daemon.log().contains(&wanted), "{}", daemon.log());
    }
    let lists = ListServer::start();
    let text = "nospf\nsubnetmatch /24\nracl blacklist addr 203.0.113.66\n";
    let (mut daemon, _clock) = start(text, &lists, &[]);
    let path = daemon.path().join("greylist.conf");
    let refused = "551 5.7.1 Go away!";
    for (text, complaint, want) in [
        (
            "racl blacklist addr 203.0.113.66 delay\n",
            ":1:39: ",
            refused,
        ),
        (
            "nospf\nsubnetmatch /16\nracl whitelist default\n",
            "subnetmatch and subnetmatch6 cannot change while the daemon runs (from /24 and /64 to /16 and /64)",
            refused,
        ),
        (
            "nospf\nracl whitelist default\n",
            "entries in the lists: ",
            "DUNNO",
        ),
    ] {
        fs::write(&path, text).unwrap();
        daemon.reload();
        daemon.log_until(|log| log.contains(complaint));
        assert_eq!(
            ask(&daemon, "x.example", "203.0.113.66", "a@b.example"),
            want,
            "{text}"
        );
    }
}

#[test]
fn the_default_of_the_options_has_no_place_beside_the_file() {
    let daemon = Daemon::prepare();
    let mut command = daemon.command();
    command.args(["--greylist-conf=/dev/null", "--unmatched=pass"]);
    assert_eq!(command.status().unwrap().code(), Some(78));
    let log = daemon.log();
    assert!(
        log.contains("--unmatched: cannot be used with --greylist-conf"),
        "{log}"
    );
}

#[test]
fn an_administrator_sees_which_entry_decided() {
    let daemon = Daemon::prepare();
    let file = daemon.path().join("greylist.conf");
    let text =
        "nospf\nracl greylist domain slow.example\nracl whitelist default\ndacl greylist spamd\n";
    fs::write(&file, text).unwrap();
    let option = format!("--greylist-conf={}", file.display());
    let on = OnBus::start_prepared(daemon, &[&option]);
    on.daemon
        .ask(&rcpt("mx.slow.example", "203.0.113.7", "a@b", "c@d"));
    let entry = format!("{}:2: racl greylist domain slow.example", file.display());
    let (code, explained) = on.ctl(&["explain", "mx.slow.example[203.0.113.7]", "--no-lookup"]);
    assert!(code == 0 && explained.contains(&entry), "{explained}");
    let (code, rules) = on.ctl_json(&["list", "rules"]);
    let hits: Vec<_> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["hits"])
        .collect();
    assert_eq!((code, hits), (0, vec![&json!(1), &json!(0)]), "{rules}");
    let (code, status) = on.ctl(&["status"]);
    assert!(
        code == 1 && status.contains("1 entry that never matches"),
        "{status}"
    );
}

#[test]
fn a_limit_counts_recipients_and_a_repeat_or_an_explanation_counts_none() {
    let daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let file = daemon.path().join("greylist.conf");
    let text = "nospf\nmultiracl\nratelimit \"few\" rcpt 2 / 1h key \"%i\"\n\
                racl whitelist addr 192.0.2.0/24\n\
                racl blacklist ratelimit \"few\" msg \"too many\"\nracl whitelist default\n";
    fs::write(&file, text).unwrap();
    let option = format!("--greylist-conf={}", file.display());
    let on = OnBus::start_prepared(daemon, &[&clock.option(), &option]);
    let ask = |address: &str, recipient: &str, instance: &str| {
        let mut attributes = rcpt("x.example", address, "a@c.example", recipient);
        attributes.push(("instance", instance));
        on.daemon.ask(&attributes)
    };
    let explain = || {
        on.ctl(&["explain", "x.example[203.0.113.7]", "--no-lookup"])
            .1
    };
    for recipient in ["1@b.example", "2@b.example"] {
        assert_eq!(ask("203.0.113.7", recipient, "1"), "DUNNO");
        assert_eq!(ask("203.0.113.7", recipient, "1"), "DUNNO", "a repeat");
    }
    for _ in 0..2 {
        let explained = explain();
        assert!(
            explained.contains("racl blacklist ratelimit"),
            "{explained}"
        );
    }
    assert_eq!(ask("203.0.113.7", "3@b.example", "1"), "551 5.7.1 too many");
    assert_eq!(
        ask("203.0.113.8", "3@b.example", "2"),
        "DUNNO",
        "another key"
    );
    for n in 0..5 {
        let recipient = format!("{n}@b.example");
        assert_eq!(ask("192.0.2.7", &recipient, "3"), "DUNNO", "not asked");
    }
    clock.advance(3700);
    assert_eq!(
        ask("203.0.113.7", "4@b.example", "4"),
        "DUNNO",
        "an hour later"
    );
}

#[test]
fn a_property_lasts_as_long_as_the_message() {
    let lists = ListServer::start();
    let text = "nospf\nmultiracl\nracl continue rcpt spamtrap@b.example set $trapped=1 log \"trap: %i\"\n\
                racl blacklist $trapped == 1\nracl whitelist default\n";
    let (daemon, _clock) = start(text, &lists, &[]);
    let ask = |recipient, instance| {
        let mut attributes = rcpt("x.example", "203.0.113.7", "a@c.example", recipient);
        attributes.push(("instance", instance));
        daemon.ask(&attributes)
    };
    for (recipient, instance, want) in [
        ("first@b.example", "1", "DUNNO"),
        ("spamtrap@b.example", "1", "551 5.7.1 Go away!"),
        ("second@b.example", "1", "551 5.7.1 Go away!"),
        ("second@b.example", "2", "DUNNO"),
    ] {
        assert_eq!(ask(recipient, instance), want, "{recipient} {instance}");
    }
    daemon.log_until(|log| log.contains("trap: 203.0.113.7"));
}

#[test]
fn a_line_of_stat_goes_to_the_log_whatever_its_destination() {
    let lists = ListServer::start();
    let text = "nospf\nstat \"|touch /tmp/never\" \"%S %d[%i] <%f> <%r> entry %A\"\n\
                racl blacklist domain bad.example\nracl greylist domain slow.example\n\
                racl whitelist default\n";
    let (daemon, _clock) = start(text, &lists, &[]);
    for (name, want) in [
        (
            "bad.example",
            "reject bad.example[203.0.113.7] <eve@sender.example> <a@b.example> entry 3",
        ),
        (
            "slow.example",
            "tempfail slow.example[203.0.113.7] <eve@sender.example> <a@b.example> entry 4",
        ),
        (
            "x.example",
            "accept x.example[203.0.113.7] <eve@sender.example> <a@b.example> entry 5",
        ),
    ] {
        ask(&daemon, name, "203.0.113.7", "a@b.example");
        daemon.log_until(|log| log.contains(want));
    }
}

#[test]
fn an_entry_with_nolog_decides_in_silence() {
    let lists = ListServer::start();
    let text = "nospf\nstat \">>/tmp/never\" \"seen: %d\"\n\
                racl whitelist domain quiet.example nolog\nracl whitelist default\n";
    let (daemon, _clock) = start(text, &lists, &[]);
    for name in ["quiet.example", "last.example"] {
        ask(&daemon, name, "203.0.113.7", "a@b.example");
    }
    daemon.log_until(|log| log.contains("seen: last.example"));
    let log = daemon.log();
    assert!(log.contains("client_name=last.example"), "{log}");
    assert!(!log.contains("quiet.example"), "{log}");
}

/// A request of a message.
fn of_message<'a>(
    state: &'a str,
    recipient: &'a str,
    instance: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut attributes = rcpt("unknown", "203.0.113.7", "a@c.example", recipient);
    for (name, value) in &mut attributes {
        if *name == "protocol_state" {
            *value = state;
        }
    }
    attributes.push(("instance", instance));
    attributes
}

#[test]
fn a_tarpit_is_survived_at_data_whatever_rules_say_of_other_recipients() {
    let lists = ListServer::start();
    let text = "nospf\nracl greylist rcpt slow@b.example\nracl whitelist default\n";
    let (daemon, clock) = start(text, &lists, &["--targrey", "--tarpit=10"]);
    assert_eq!(
        daemon.ask(&of_message("RCPT", "slow@b.example", "1")),
        "SLEEP 10"
    );
    assert_eq!(
        daemon.ask(&of_message("RCPT", "fast@b.example", "1")),
        "DUNNO"
    );
    clock.advance(11);
    assert_eq!(daemon.ask(&of_message("DATA", "", "1")), "DUNNO");
    daemon.log_until(|log| log.contains("reason=tarpit survived"));
}

#[test]
fn a_repeat_has_the_reply_of_the_first_request() {
    let lists = ListServer::start();
    let counting = "nospf\nmultiracl\nracl continue rcpt a@b.example set $n += 1\n\
                    racl blacklist $n == 1 msg \"once\"\nracl greylist default\n";
    let fallback = "nospf\nracl greylist default code \"450\" msg \"fallback\"\n";
    let coded = "nospf\nracl greylist default code \"450\" ecode \"4.5.6\"\n";
    for (text, options, want) in [
        (counting, &[][..], "551 5.7.1 once"),
        (
            fallback,
            &["--s25r"],
            "DEFER_IF_PERMIT 4.2.0 Greylisted, please try again in 300 seconds",
        ),
        (coded, &["--greylist-text=wait"], "450 4.5.6 wait"),
    ] {
        let (daemon, _clock) = start(text, &lists, options);
        for _ in 0..3 {
            assert_eq!(
                daemon.ask(&of_message("RCPT", "a@b.example", "1")),
                want,
                "{text}"
            );
        }
    }
}

#[test]
fn known_mail_is_asked_about_where_rules_do_more_than_decide() {
    let lists = ListServer::start();
    let text = "nospf\nmultiracl\ndnsrbl \"none\" good.example 127.0.0.0/8\n\
                racl whitelist dnsrbl \"none\"\n\
                racl continue rcpt trap@b.example set $trapped=1\nracl blacklist not rcpt trap@b.example $trapped == 1\n\
                racl greylist rcpt trap@b.example\nracl whitelist default\n";
    let (daemon, clock) = start(text, &lists, &[]);
    assert_ne!(
        daemon.ask(&of_message("RCPT", "trap@b.example", "1")),
        "DUNNO"
    );
    clock.advance(300);
    let passed = daemon.ask(&of_message("RCPT", "trap@b.example", "2"));
    assert!(passed.starts_with("PREPEND "), "{passed}");
    let got = daemon.ask(&of_message("RCPT", "next@b.example", "2"));
    assert_eq!(got, "551 5.7.1 Go away!");
}

#[test]
fn a_delay_that_nobody_can_wait_for_is_an_error_wherever_it_is_said() {
    for (text, options, place) in [
        (
            "timeout 1h\nracl greylist default\n",
            &["--delay=7200"][..],
            ":1:",
        ),
        ("racl greylist default delay 3d\n", &[], ":1:"),
        (
            "racl greylist default delay 2h\n",
            &["--retry-window=1h"],
            ":1:",
        ),
        ("timeout 2m\nracl greylist default\n", &[], ":1:"),
        ("racl greylist default\ntimeout 5m\n", &[], ":2:"),
        (
            "racl whitelist default\ndacl greylist body \"word\" delay 3d\n",
            &["--milter=inet:127.0.0.1:9"],
            ":2:",
        ),
    ] {
        let daemon = Daemon::prepare();
        let file = daemon.path().join("greylist.conf");
        fs::write(&file, text).unwrap();
        let mut command = daemon.command();
        command
            .arg(format!("--greylist-conf={}", file.display()))
            .args(options);
        assert_eq!(command.status().unwrap().code(), Some(78), "{text}");
        let wanted = format!("{}{place}", file.display());
        assert!(daemon.log().contains(&wanted), "{}", daemon.log());
    }
}

#[test]
fn the_tarpit_of_the_file_obeys_the_options_of_the_tarpit() {
    let lists = ListServer::start();
    let text = "nospf\ntarpit 65\nracl greylist default\n";
    for (options, want) in [
        (&[][..], "SLEEP 65, DEFER_IF_PERMIT"),
        (&["--tarpit=10"], "SLEEP 10, DEFER_IF_PERMIT"),
        (&["--greylist-action=DUNNO"], "SLEEP 65"),
        (
            &["--tarpit=0"],
            "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:05:00",
        ),
        (
            &["--tarpit-limit=0"],
            "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:05:00",
        ),
    ] {
        let (daemon, _clock) = start(text, &lists, options);
        let got = ask(&daemon, "x.example", "203.0.113.7", "a@b.example");
        assert_eq!(got, want, "{options:?}");
    }
    let daemon = Daemon::prepare();
    let file = daemon.path().join("greylist.conf");
    fs::write(&file, text).unwrap();
    let mut command = daemon.command();
    command.arg(format!("--greylist-conf={}", file.display()));
    command.arg("--greylist-action=451");
    assert_eq!(command.status().unwrap().code(), Some(78));
    let wanted = format!("{}:2:1: \"451\" cannot follow a sleep", file.display());
    assert!(daemon.log().contains(&wanted), "{}", daemon.log());
}

#[test]
fn a_client_near_a_mail_server_of_its_sender_is_known_by_that() {
    let lists = ListServer::start();
    let text = "nospf\nracl whitelist mx /24\nracl blacklist not mx /24 msg \"not near\"\n\
                racl blacklist default msg \"nobody knows\"\n";
    let (daemon, _clock) = start(text, &lists, &[]);
    let of = |address: &str, sender: &str| {
        let mut request = rcpt("x.example", address, sender, "joe@example.org");
        request.push(("instance", address));
        daemon.ask(&request)
    };
    for (address, sender, want) in [
        ("198.51.100.200", "a@mail.example.com", "DUNNO"),
        ("198.51.101.7", "a@mail.example.com", "551 5.7.1 not near"),
        ("198.51.100.201", "", "551 5.7.1 not near"),
        // The list server does not serve it.
        (
            "198.51.100.202",
            "a@elsewhere.example.net",
            "551 5.7.1 nobody knows",
        ),
    ] {
        assert_eq!(of(address, sender), want, "{address} {sender}");
    }
}

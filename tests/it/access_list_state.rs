//! Access lists and what is around them: entries that nobody can answer, SPF, and what is counted over a reload.

use std::fs;

use serde_json::json;
use stargrey::api::{MONITOR, NAME, PATH};

use crate::access_list_files::start;
use crate::bus::OnBus;
use crate::dns_lists::ListServer;
use crate::support::milter::{MilterReply, MilterSession};
use crate::support::{Daemon, rcpt};

const PASS: &str = "DUNNO";
const WAITS: &str = "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:10:00";
const TOO_MANY: &str = "551 5.7.1 too many";

#[test]
fn entries_that_nobody_can_answer_are_counted_on_the_bus_until_a_reload_with_a_milter_or_without_them()
 {
    let unreachable = "nospf\nsm_macro \"m\" \"{daemon_name}\" \"MSA\"\n\
                       ratelimit \"r\" session 2 / 1h\n\
                       racl blacklist sm_macro \"m\"\nracl greylist not rcptcount > 3 domain a.example\n\
                       racl blacklist ratelimit \"r\"\nracl whitelist default\n\
                       dacl greylist header \"Casino\"\ndacl whitelist default\n";
    let reachable = "nospf\nracl whitelist default\n";
    for (has_milter, text, want) in [
        (false, unreachable, 5_u64),
        (true, unreachable, 0),
        (false, reachable, 0),
    ] {
        let daemon = Daemon::prepare();
        let conf = daemon.path().join("greylist.conf");
        let socket = daemon.path().join("milter");
        fs::write(&conf, text).unwrap();
        let mut options = vec![format!("--greylist-conf={}", conf.display())];
        if has_milter {
            options.push(format!("--milter=unix:{}", socket.display()));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut on = OnBus::start_prepared(daemon, &options);
        let property = |on: &OnBus| {
            let asked = ["get-property", NAME, PATH, MONITOR, "UnreachableRules"];
            on.bus.busctl(&asked).good()
        };
        assert_eq!(property(&on), format!("t {want}"), "{has_milter} {text}");
        let (code, status) = on.ctl_json(&["status"]);
        assert_eq!(status["unreachable_rules"], json!(want), "{status}");
        assert_eq!(code, i32::from(want > 0), "{status}");
        let (_, text) = on.ctl(&["status"]);
        let is_said = text.contains("; 5 entries that never match, see `journalctl -u stargrey`");
        assert_eq!(is_said, want > 0, "{text}");
        if want == 0 {
            continue;
        }
        // They are listed as written, and have no hits whatever comes.
        on.daemon
            .ask(&rcpt("x.a.example", "203.0.113.7", "a@b", "c@d"));
        let (_, rules) = on.ctl_json(&["rules"]);
        let rows = rules.as_array().unwrap();
        let hits: Vec<u64> = rows
            .iter()
            .map(|row| row["hits"].as_u64().unwrap())
            .collect();
        assert_eq!(hits, [0, 0, 0, 1], "{rules}");
        on.daemon.wait_for("STATUS=DEGRADED: ");
        fs::write(&conf, reachable).unwrap();
        on.daemon.reload();
        assert_eq!(property(&on), "t 0");
        assert_eq!(on.ctl(&["status"]).0, 0);
    }
}

#[test]
fn a_client_that_passes_spf_does_not_wait_for_an_entry_unless_the_file_says_nospf() {
    let lists = ListServer::start();
    let (pool, anybody) = ("ann@pool.example.com", "ann@anybody.example.com");
    let (own, other) = ("198.51.100.7", "192.0.2.9");
    let default = "racl greylist default delay 10m\n";
    let refusing = "racl blacklist rcpt bad@example.org\nracl greylist default delay 10m\n";
    let asking = "racl blacklist spf softfail\nracl greylist default delay 10m\n";
    for (before, text, options, address, sender, want) in [
        ("", default, &[][..], own, pool, PASS),
        ("", default, &[], other, pool, WAITS),
        ("", default, &[], own, "ann@sender.example", WAITS),
        // A record that lets anybody send says nothing about the client.
        ("", default, &[], own, anybody, WAITS),
        ("nospf\n", default, &[], own, pool, WAITS),
        // A clause asks for SPF in place of the exemption.
        ("", asking, &[], own, pool, WAITS),
        // Nor does an option for other checks bring it back.
        (
            "nospf\n",
            default,
            &["--s25r", "--spf-excuses"],
            own,
            pool,
            WAITS,
        ),
        ("", refusing, &[], own, pool, "551 5.7.1 Go away!"),
    ] {
        let (daemon, _clock) = start(&format!("{before}{text}"), &lists, options);
        let recipient = if text == refusing {
            "bad@example.org"
        } else {
            "joe@example.org"
        };
        let got = daemon.ask(&rcpt("x.example", address, sender, recipient));
        assert_eq!(got, want, "{before}{text} {options:?} {address} {sender}");
    }
}

/// A limit of so many recipients within a time, and how it is named in an entry.
fn limited(limit: &str) -> String {
    format!(
        "nospf\nratelimit \"few\" rcpt {limit}\nracl blacklist ratelimit \"few\" msg \"too many\"\n\
         racl whitelist default\n"
    )
}

#[test]
fn what_a_rate_limit_has_counted_is_kept_at_a_reload_that_changes_its_number_alone() {
    let lists = ListServer::start();
    let without = "nospf\nracl whitelist default\n";
    for (name, reloads, want) in [
        ("the same", &[limited("3 / 1h")][..], TOO_MANY),
        (
            "another entry before it",
            &["racl whitelist addr 192.0.2.1\n".to_owned() + &limited("3 / 1h")],
            TOO_MANY,
        ),
        ("raised", &[limited("5 / 1h")], PASS),
        (
            "raised and lowered",
            &[limited("5 / 1h"), limited("3 / 1h")],
            TOO_MANY,
        ),
        ("another time", &[limited("3 / 2h")], PASS),
        ("another key", &[limited("3 / 1h key \"%r\"")], PASS),
        (
            "removed and back",
            &[without.to_owned(), limited("3 / 1h")],
            TOO_MANY,
        ),
        ("a bad file", &[limited("3 / never")], TOO_MANY),
    ] {
        let (mut daemon, clock) = start(&limited("3 / 1h"), &lists, &[]);
        let ask = |daemon: &Daemon, recipient| {
            daemon.ask(&rcpt("x.example", "203.0.113.7", "a@b.example", recipient))
        };
        for recipient in ["1@c.example", "2@c.example", "3@c.example"] {
            assert_eq!(ask(&daemon, recipient), PASS, "{name}");
        }
        assert_eq!(ask(&daemon, "4@c.example"), TOO_MANY, "{name}");
        for text in reloads {
            fs::write(daemon.path().join("greylist.conf"), text).unwrap();
            daemon.reload();
        }
        // Five were counted with it.
        assert_eq!(ask(&daemon, "5@c.example"), want, "{name}");
        clock.advance(3700);
        assert_eq!(ask(&daemon, "6@c.example"), PASS, "{name}: an hour later");
    }
}

#[test]
fn a_limit_that_is_removed_limits_nobody_and_a_lowered_one_counts_what_has_come() {
    let lists = ListServer::start();
    for (text, want) in [
        ("nospf\nracl whitelist default\n".to_owned(), PASS),
        (limited("2 / 1h"), TOO_MANY),
    ] {
        let (mut daemon, _clock) = start(&limited("5 / 1h"), &lists, &[]);
        let ask = |daemon: &Daemon, recipient| {
            daemon.ask(&rcpt("x.example", "203.0.113.7", "a@b.example", recipient))
        };
        for recipient in ["1@c.example", "2@c.example", "3@c.example"] {
            assert_eq!(ask(&daemon, recipient), PASS);
        }
        fs::write(daemon.path().join("greylist.conf"), &text).unwrap();
        daemon.reload();
        assert_eq!(ask(&daemon, "4@c.example"), want, "{text}");
    }
}

#[test]
fn a_session_that_is_under_way_at_a_reload_is_not_counted_again() {
    let daemon = Daemon::prepare();
    let socket = daemon.path().join("milter");
    let conf = daemon.path().join("greylist.conf");
    let text = |limit: u32| {
        format!(
            "nospf\nratelimit \"s\" session {limit} / 1h\nracl blacklist ratelimit \"s\" msg \"too many\"\n\
             racl whitelist default\n"
        )
    };
    fs::write(&conf, text(2)).unwrap();
    let mut daemon = daemon;
    daemon.run(&[
        format!("--greylist-conf={}", conf.display()),
        format!("--milter=unix:{}", socket.display()),
    ]);
    let begin = || {
        let mut session = MilterSession::open(&socket, 6).unwrap();
        session
            .connect("x.example", "203.0.113.7".parse().unwrap())
            .unwrap();
        session
    };
    let recipient = |session: &mut MilterSession| {
        session.mail("a@b.example").unwrap();
        let reply = session.rcpt("c@d.example").unwrap();
        session.abort().unwrap();
        reply
    };
    let (mut first, mut second) = (begin(), begin());
    let too_many = MilterReply::Text(TOO_MANY.to_owned());
    // The number of the limit at each reload, and what the two sessions get: each is counted once.
    for (limit, want) in [
        (2, &MilterReply::Continue),
        (1, &too_many),
        (2, &MilterReply::Continue),
    ] {
        fs::write(&conf, text(limit)).unwrap();
        daemon.reload();
        for session in [&mut first, &mut second] {
            assert_eq!(recipient(session), *want, "{limit}");
        }
    }
    assert_eq!(recipient(&mut begin()), too_many);
}

#[test]
fn a_tarpit_of_the_file_that_no_client_can_sleep_in_is_warned_of() {
    let text = "nospf\ntarpit 10\nracl whitelist addr 192.0.2.1 tarpit 5s\n\
                racl greylist rcpt a@b.example tarpit 0\nracl greylist default\n";
    let begin = "nobody ever sleeps, because --tarpit-limit is 0";
    for (options, places) in [
        (&["--tarpit-limit=0"][..], &["2:1", "3:"][..]),
        (&["--tarpit-limit=0", "--tarpit=3"], &["3:"]),
        (&[], &[]),
    ] {
        let daemon = Daemon::prepare();
        let conf = daemon.path().join("greylist.conf");
        fs::write(&conf, text).unwrap();
        let mut command = daemon.command();
        command.arg(format!("--greylist-conf={}", conf.display()));
        let code = command
            .arg("--check")
            .args(options)
            .status()
            .unwrap()
            .code();
        assert_eq!(code, Some(0), "{options:?} {}", daemon.log());
        let log = daemon.log();
        let said: Vec<&str> = log.lines().filter(|line| line.contains(begin)).collect();
        assert_eq!(said.len(), places.len(), "{options:?}: {log}");
        for (line, place) in said.iter().zip(places) {
            let place = format!("{}:{place}", conf.display());
            assert!(line.contains(&place), "{options:?}: {line}");
        }
    }
}

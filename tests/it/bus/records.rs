//! Records: listed, explained, allowed, forgotten, exported, imported, copied.

use std::fs;
use std::io::{Seek, SeekFrom};

use stargrey::api::{MONITOR, NAME, PATH};

use super::OnBus;
use crate::ctl::said;
use crate::support::{Daemon, TestClock, nth_request, rcpt};

const NOW: u64 = 1_800_000_000;

pub(super) fn started(options: &[&str]) -> (OnBus, TestClock) {
    let daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), NOW);
    let clocked = clock.option();
    let on = OnBus::start_prepared(daemon, &[&[clocked.as_str()], options].concat());
    (on, clock)
}

fn list(on: &OnBus, filter: &[&str]) -> String {
    let count = (filter.len() / 3).to_string();
    let call = [
        &["ListTriplets", "a{sv}ayu", &count],
        filter,
        &["0", "1000"],
    ]
    .concat();
    on.manager(&call).good()
}

#[test]
fn triplets_are_listed_with_what_is_known_of_them() {
    let (on, clock) = started(&[]);
    let stays = rcpt("x", "192.0.2.7", "a@b", "c@d");
    let returns = rcpt("x", "198.51.100.7", "E@f", "g@h");
    on.daemon.ask(&stays);
    on.daemon.ask(&returns);
    clock.advance(300);
    on.daemon.ask(&returns);
    let all = list(&on, &[]);
    assert!(
        all.starts_with("aa{sv}ay 2 ") && all.ends_with(" 0"),
        "{all}"
    );
    let waiting = list(&on, &["state", "s", "waiting"]);
    for part in [
        "\"kind\" s \"triplet\"",
        "\"network\" s \"192.0.2.0/24\"",
        "\"sender\" s \"a@b\"",
        "\"recipient\" s \"c@d\"",
        "\"state\" s \"waiting\"",
        "\"first\" t 1800000000",
        "\"last\" t 1800000000",
        "\"retries\" u 0",
        "\"counted\" u 0",
    ] {
        assert!(waiting.contains(part), "{part}: {waiting}");
    }
    let passed = list(&on, &["state", "s", "passed"]);
    for part in [
        "\"network\" s \"198.51.100.0/24\"",
        "\"sender\" s \"e@f\"",
        "\"passed\" t 1800000300",
        "\"mails\" u 1",
    ] {
        assert!(passed.contains(part), "{part}: {passed}");
    }
    let filters: [(&[&str], &str); 6] = [
        (&["client", "s", "192.0.2.99"], "aa{sv}ay 1 "),
        (&["client", "s", "192.0.0.0/16"], "aa{sv}ay 1 "),
        (&["sender", "s", "A@B"], "aa{sv}ay 1 "),
        (&["recipient", "s", "g@h"], "aa{sv}ay 1 "),
        (&["recipient", "s", "nobody@h"], "aa{sv}ay 0 "),
        // What has passed has come back.
        (&["retrying", "b", "true"], "aa{sv}ay 0 "),
    ];
    for (filter, want) in filters {
        let rows = list(&on, filter);
        assert!(rows.starts_with(want), "{filter:?}: {rows}");
    }
}

#[test]
fn what_is_not_printable_is_escaped_both_ways() {
    let (on, _clock) = started(&[]);
    let odd: Vec<(&str, &[u8])> = vec![
        ("protocol_state", b"RCPT"),
        ("client_name", b"x"),
        ("client_address", b"192.0.2.7"),
        ("sender", b"a\xff\\@b"),
        ("recipient", b"c@d"),
    ];
    on.daemon.connect().ask(&odd);
    // busctl reads C escapes in its own arguments no more than a shell does, and writes a backslash twice.
    let rows = list(&on, &["sender", "s", "a\\xff\\x5c@b"]);
    assert!(rows.starts_with("aa{sv}ay 1 "), "{rows}");
    assert!(
        rows.contains("\"sender\" s \"a\\\\xff\\\\x5c@b\""),
        "{rows}"
    );
}

#[test]
fn an_explanation_is_what_would_be_answered_and_changes_nothing() {
    let (on, clock) = started(&[]);
    let explain = [
        "Explain",
        "a{ss}",
        "4",
        "client_address",
        "192.0.2.7",
        "client_name",
        "x",
        "sender",
        "a@b",
        "recipient",
        "c@d",
    ];
    let text = on.manager(&explain).good();
    assert!(text.starts_with("a{sv}aa{sv} "), "{text}");
    for part in [
        "\"action\" s \"greylist\"",
        "\"reason\" s \"new\"",
        "\"reply\" s \"DEFER_IF_PERMIT ",
        "\"missing\" t 300",
        "\"step\" s \"",
        "\"result\" s \"",
        "\"text\" s \"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        list(&on, &[]).starts_with("aa{sv}ay 0 "),
        "nothing was kept"
    );
    on.daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    clock.advance(100);
    let text = on.manager(&explain).good();
    for part in [
        "\"reason\" s \"early-retry\"",
        "\"missing\" t 200",
        "\"passes_at\" t 1800000300",
        "\"until\" t 1800172800",
        "\"time\" t 1800000100",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let statistics = on.monitor(&["GetStatistics"]).good();
    assert!(statistics.contains("\"requests\" t 1"), "{statistics}");
}

#[test]
fn a_triplet_that_is_allowed_passes() {
    let (mut on, _clock) = started(&[]);
    let request = rcpt("x", "192.0.2.7", "a@b", "c@d");
    assert!(on.daemon.ask(&request).starts_with("DEFER_IF_PERMIT"));
    let allow = ["Allow", "sss", "192.0.2.7", "a@b", "c@d"];
    assert_eq!(on.manager(&allow).good(), "");
    assert_eq!(on.daemon.ask(&request), "DUNNO");
    on.kill_and_start_again();
    assert_eq!(on.daemon.ask(&request), "DUNNO");
    assert!(list(&on, &[]).contains("\"state\" s \"passed\""));
}

#[test]
fn what_a_filter_names_is_forgotten() {
    let (on, _clock) = started(&[]);
    for recipient in ["c@d", "e@d"] {
        on.daemon.ask(&rcpt("x", "192.0.2.7", "a@b", recipient));
    }
    let forget = ["Forget", "a{sv}", "1", "recipient", "s", "c@d"];
    let removed = on.manager(&forget).good();
    assert!(removed.contains("\"triplets\" t 1"), "{removed}");
    assert!(list(&on, &[]).starts_with("aa{sv}ay 1 "));
    on.daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    let everything = ["Forget", "a{sv}", "1", "everything", "b", "true"];
    let removed = on.manager(&everything).good();
    for part in ["\"triplets\" t 2", "\"clients\" t ", "\"sleeps\" t "] {
        assert!(removed.contains(part), "{part}: {removed}");
    }
    assert!(list(&on, &[]).starts_with("aa{sv}ay 0 "));
    let word_alone = ["Forget", "a{sv}", "1", "everything", "b", "false"];
    assert!(
        on.manager(&word_alone)
            .refused()
            .contains("The filter is empty")
    );
}

#[test]
fn rows_are_imported_and_exported() {
    let (on, _clock) = started(&[]);
    let import = |dry_run: &str| {
        let triplet = "6 kind s triplet client s 192.0.2.7 sender s a@b recipient s c@d state s passed last t 1799999000";
        let client = "4 kind s client client s 192.0.2.9 count u 5 last t 1799999000";
        let rows = format!("Import aa{{sv}}b 2 {triplet} {client} {dry_run}");
        let call: Vec<&str> = rows.split(' ').collect();
        on.manager(&call).good()
    };
    let counted = |text: &str, new: u64, unchanged: u64| {
        for part in [
            format!("\"new\" t {new}"),
            "\"changed\" t 0".to_owned(),
            format!("\"unchanged\" t {unchanged}"),
        ] {
            assert!(text.contains(&part), "{part}: {text}");
        }
    };
    counted(&import("true"), 2, 0);
    let export = ["Export", "ayu", "0", "1000"];
    assert_eq!(
        on.manager(&export).good(),
        "aa{sv}ay 0 0",
        "a dry run takes nothing"
    );
    counted(&import("false"), 2, 0);
    counted(&import("false"), 0, 2);
    let all = on.manager(&export).good();
    for part in [
        "aa{sv}ay 2 ",
        "\"network\" s \"192.0.2.0/24\"",
        "\"kind\" s \"client\"",
        "\"client\" s \"192.0.2.9/32\"",
        "\"count\" u 5",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert_eq!(
        on.daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d")),
        "DUNNO"
    );
    let awl = rcpt("x", "192.0.2.9", "new@b", "c@d");
    assert_eq!(on.daemon.ask(&awl), "DUNNO", "it is auto-whitelisted");
    let page = on.manager(&["Export", "ayu", "0", "1"]).good();
    assert!(
        page.starts_with("aa{sv}ay 1 ") && !page.ends_with(" 0"),
        "{page}"
    );
}

#[test]
fn a_backup_is_a_database() {
    let (on, clock) = started(&[]);
    let request = rcpt("x", "192.0.2.7", "a@b", "c@d");
    on.daemon.ask(&request);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy");
    let mut file = fs::File::create_new(&path).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    on.bus.backup(file).unwrap();
    let mut other = Daemon::prepare();
    fs::create_dir(other.path().join("db")).unwrap();
    fs::copy(&path, other.path().join("db/data.mdb")).unwrap();
    clock.advance(300);
    other.run(&[clock.option()]);
    assert!(other.ask(&request).starts_with("PREPEND X-Greylist"));
}

#[test]
fn a_full_database_can_be_made_smaller_and_is_well_again_then() {
    let (on, _clock) = started(&["--max-size=1M"]);
    let mut client = on.daemon.connect();
    let long = "x".repeat(400);
    for n in 0.. {
        let answer = client.ask(&rcpt("x", "192.0.2.7", &format!("{long}{n}x@f"), "g@h"));
        if answer == "DUNNO" {
            break;
        }
        assert!(n < 20_000, "the database is never full");
    }
    let state = on
        .bus
        .busctl(&["get-property", NAME, PATH, MONITOR, "StoreState"]);
    assert!(state.good().contains("--max-size"));
    let gone = on
        .manager(&["Forget", "a{sv}", "1", "client", "s", "192.0.2.7"])
        .good();
    assert!(!gone.contains("\"triplets\" t 0"), "{gone}");
    on.daemon
        .log_until(|log| log.contains("the database is available again"));
    let stranger = rcpt("x", "198.51.100.7", "E@f", "g@h");
    assert!(client.ask(&stranger).contains("Greylisted"));
}

#[test]
fn entries_that_were_added_move_with_an_export() {
    let from = OnBus::start(&[]);
    let line = [
        "allow",
        "client",
        "mx.example.org",
        "--comment=Ann asked",
        "--for=30d",
    ];
    assert_eq!(from.ctl(&line).0, 0);
    assert_eq!(from.ctl(&["allow", "sender", "/^bob@/"]).0, 0);
    let file = from.daemon.path().join("export");
    let file = file.to_str().unwrap();
    let want = format!("2 records are written to {file}.\n");
    assert_eq!(from.ctl(&["export", file]), (0, want));

    let to = OnBus::start(&[]);
    // What is there already stays.
    assert_eq!(
        to.ctl(&["allow", "sender", "/^bob@/", "--comment=here"]).0,
        0
    );
    let (code, dry) = to.ctl_json(&["import", "json", file, "--dry-run"]);
    assert_eq!(
        (code, &dry["new"], &dry["unchanged"]),
        (0, &1.into(), &1.into())
    );
    assert_eq!(
        to.ctl_json(&["list", "client"])
            .1
            .as_array()
            .map(|all| added(all)),
        Some(Vec::new())
    );
    let (code, done) = to.ctl_json(&["import", "json", file]);
    assert_eq!(
        (code, &done["new"], &done["unchanged"]),
        (0, &1.into(), &1.into())
    );

    let key = |entry: &serde_json::Value, key: &str| entry[key].clone();
    let entries = |on: &OnBus, list| added(on.ctl_json(&["list", list]).1.as_array().unwrap());
    let (old, new) = (entries(&from, "client"), entries(&to, "client"));
    assert_eq!((old.len(), new.len()), (1, 1));
    for same in ["list", "pattern", "comment", "source"] {
        assert_eq!(key(&old[0], same), key(&new[0], same), "{same}");
    }
    let end = |entry: &serde_json::Value| entry["expires"].as_u64().unwrap();
    assert!(end(&old[0]).abs_diff(end(&new[0])) <= 60, "{old:?} {new:?}");
    assert_eq!(entries(&to, "sender")[0]["comment"], "here");
}

#[test]
fn records_move_into_a_database_of_hashes_and_out_of_it_only_what_is_kept_as_it_is() {
    let (from, _) = started(&[]);
    from.daemon.connect().ask(&nth_request(1));
    let file = from.daemon.path().join("export");
    let file = file.to_str().unwrap();
    assert_eq!(from.ctl(&["export", file]).0, 0);

    let (to, clock) = started(&["--privacy"]);
    let (code, done) = to.ctl_json(&["import", "json", file]);
    assert_eq!((code, &done["new"]), (0, &1.into()));
    clock.advance(100);
    let answer = to.daemon.connect().ask(&nth_request(1));
    assert!(answer.contains("try again in 200 seconds"), "{answer}");

    // Back go the entries alone: the records are hashes.
    assert_eq!(to.ctl(&["allow", "client", "mx.example.org"]).0, 0);
    let hashes = to.daemon.path().join("export");
    let hashes = hashes.to_str().unwrap();
    assert_eq!(to.ctl(&["export", hashes]).0, 0);
    let (back, _) = started(&[]);
    let output = back.bus.ctl(&["import", "json", hashes]).output().unwrap();
    let (_, _, stderr) = said(&output);
    assert!(stderr.contains("1 of 2 records skipped"), "{stderr}");
    let (_, listed) = back.ctl_json(&["list", "client"]);
    assert_eq!(added(listed.as_array().unwrap()).len(), 1);
}

/// The entries of a listing that were added.
fn added(entries: &[serde_json::Value]) -> Vec<serde_json::Value> {
    let added = entries.iter().filter(|entry| entry["source"] == "bus");
    added.cloned().collect()
}

#[test]
fn the_client_that_last_tried_a_waiting_triplet_is_shown() {
    let (mut on, clock) = started(&[]);
    for (name, address) in [("mx1.example", "192.0.2.7"), ("unknown", "192.0.2.8")] {
        on.daemon.ask(&rcpt(name, address, "a@b", "c@d"));
        clock.advance(10);
    }
    on.daemon
        .ask(&rcpt("mx3.example", "198.51.100.7", "a@b", "c@d"));
    let clients = |on: &OnBus| -> Vec<(String, String)> {
        let (_, rows) = on.ctl_json(&["pending"]);
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| {
            (
                row["client_name"].to_string(),
                row["client_address"].to_string(),
            )
        })
        .collect()
    };
    let seen = |name: &str, address: &str| (format!("\"{name}\""), format!("\"{address}\""));
    let both = [
        seen("unknown", "192.0.2.8"),
        seen("mx3.example", "198.51.100.7"),
    ];
    assert_eq!(clients(&on), both);
    let (_, table) = on.ctl(&["pending", "--no-legend"]);
    assert!(table.starts_with("unknown[192.0.2.8]  "), "{table}");
    let (_, exported) = on.ctl(&["export"]);
    assert!(!exported.contains("client_address"), "{exported}");

    // Once it has passed, nothing is shown; after a restart, the network.
    clock.advance(300);
    on.daemon
        .ask(&rcpt("mx3.example", "198.51.100.7", "a@b", "c@d"));
    assert_eq!(clients(&on), both[..1]);
    let passed = list(&on, &["state", "s", "passed"]);
    assert!(!passed.contains("client_address"), "{passed}");
    on.kill_and_start_again();
    let nobody = ("null".to_owned(), "null".to_owned());
    assert_eq!(clients(&on), [nobody]);
    let (_, table) = on.ctl(&["pending", "--no-legend"]);
    assert!(table.starts_with("192.0.2.0/24  "), "{table}");
}

#[test]
fn under_privacy_no_client_is_shown() {
    let (on, _clock) = started(&["--privacy"]);
    on.daemon
        .ask(&rcpt("mx1.example", "192.0.2.7", "a@b", "c@d"));
    let rows = list(&on, &[]);
    assert!(
        rows.contains("\"hash\" s ") && !rows.contains("client_"),
        "{rows}"
    );
    let one = list(
        &on,
        &[
            "client",
            "s",
            "192.0.2.7",
            "sender",
            "s",
            "a@b",
            "recipient",
            "s",
            "c@d",
        ],
    );
    assert!(
        one.starts_with("aa{sv}ay 1 ") && !one.contains("client_"),
        "{one}"
    );
}

#[test]
fn what_pending_shows_can_be_pasted() {
    let on = OnBus::start(&["--delay=3600"]);
    let request = rcpt(
        "mx.example.org",
        "192.0.2.7",
        "ann@example.org",
        "bob@example.net",
    );
    assert_ne!(on.daemon.ask(&request), "DUNNO");
    let (code, pending) = on.ctl(&["pending", "--no-legend"]);
    assert_eq!(code, 0);
    let words: Vec<_> = pending.split_whitespace().take(3).collect();
    let client = "mx.example.org[192.0.2.7]";
    assert_eq!(words, [client, "ann@example.org", "bob@example.net"]);

    let (code, text) = on.ctl(&[&["explain"], &*words].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(client), "{text}");
    let network = ["192.0.2.0/24", "ann@example.org", "bob@example.net"];
    let (code, text) = on.ctl(&[&["explain"], &network[..]].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the first address of 192.0.2.0/24"), "{text}");
    assert_ne!(on.daemon.ask(&request), "DUNNO");
    assert_eq!(on.ctl(&[&["pass"], &*words].concat()).0, 0);
    assert_eq!(on.daemon.ask(&request), "DUNNO");
    // Networks that no record has.
    for other in ["192.0.0.0/16", "192.0.2.0/25", "198.51.100.0/24"] {
        for verb in ["explain", "pass"] {
            let call = [verb, other, "ann@example.org", "bob@example.net"];
            let output = on.bus.ctl(&call).output().unwrap();
            let (code, _, stderr) = said(&output);
            assert_eq!(code, 64, "{call:?}");
            assert!(
                stderr.contains("is a network without such a triplet"),
                "{stderr}"
            );
        }
    }
}

#[test]
fn a_client_as_the_log_has_it_leads_to_the_records_of_its_domain() {
    let on = OnBus::start(&["--lookup-by-domain"]);
    let ask = |name, address, to| on.daemon.ask(&rcpt(name, address, "a@sender.example", to));
    ask("mx1.example.com", "192.0.2.7", "joe@x.example");
    ask("unknown", "192.0.2.200", "jim@x.example");
    let client = "mx2.example.com[198.51.100.7]";
    let (code, pending) = on.ctl(&["pending", &format!("--client={client}")]);
    assert_eq!(code, 0);
    assert!(pending.contains("joe@x.example"), "{pending}");
    assert!(!pending.contains("jim@x.example"), "{pending}");
    let (_, explained) = on.ctl(&["explain", "--no-lookup", client]);
    assert!(explained.contains("joe@x.example"), "{explained}");
    assert!(!explained.contains("jim@x.example"), "{explained}");
    let (code, forgotten) = on.ctl(&["forget", &format!("--client={client}")]);
    assert_eq!(
        (code, &*forgotten),
        (0, "Deleted: 1 triplet, 0 clients, 0 sleeps.\n")
    );
    let (_, left) = on.ctl(&["pending"]);
    assert!(left.contains("jim@x.example"), "{left}");
    assert!(!left.contains("joe@x.example"), "{left}");
}

//! Entries: added, in force at once, kept, signalled, removed.

use std::fs;
use std::future::poll_fn;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use stargrey::api::{MonitorProxy, NAME};
use zbus::export::futures_core::Stream;

use super::OnBus;
use crate::support::{Daemon, TestClock, rcpt};

/// How long a signal may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn is_listed(on: &OnBus, name: &str, sender: &str) -> bool {
    on.daemon.ask(&rcpt(name, "192.0.2.7", sender, "c@d")) == "DUNNO"
}

const ADD: [&str; 6] = [
    "AddEntry",
    "ssst",
    "client-whitelist",
    "mx.example.org",
    "ticket 12",
    "0",
];

#[test]
fn an_entry_counts_at_once_survives_a_kill_and_goes() {
    let mut on = OnBus::start(&[]);
    assert!(!is_listed(&on, "mx.example.org", "a@b"));
    assert_eq!(on.manager(&ADD).good(), "");
    assert!(is_listed(&on, "mx.example.org", "b@b"));
    assert!(is_listed(&on, "sub.mx.example.org", "c@b"));
    on.kill_and_start_again();
    assert!(is_listed(&on, "mx.example.org", "d@b"));
    let remove = ["RemoveEntry", "ss", "client-whitelist", "mx.example.org"];
    assert_eq!(on.manager(&remove).good(), "");
    assert!(!is_listed(&on, "mx.example.org", "e@b"));
    on.kill_and_start_again();
    assert!(
        !is_listed(&on, "mx.example.org", "f@b"),
        "{}",
        on.daemon.log()
    );
}

#[test]
fn each_list_takes_entries() {
    let on = OnBus::start(&["--s25r"]);
    let dynamic = "host-192-0-2-7.dsl.example.net";
    let cases = [
        ("client-whitelist", dynamic, dynamic),
        ("recipient-whitelist", "c@d", dynamic),
        ("sender-whitelist", "friend@", dynamic),
        ("s25r-exceptions", "dsl.example.net", dynamic),
    ];
    for (list, pattern, client) in cases {
        let ask = |sender| is_listed(&on, client, sender);
        assert!(!ask("friend@example.com"), "{list}");
        on.manager(&["AddEntry", "ssst", list, pattern, "", "0"])
            .good();
        assert!(ask("friend@example.com"), "{list}");
        on.manager(&["RemoveEntry", "ss", list, pattern]).good();
        on.manager(&["Forget", "a{sv}", "1", "everything", "b", "true"])
            .good();
    }
}

#[test]
fn lists_that_are_in_files_only_can_be_listed_by_their_names() {
    let daemon = Daemon::prepare();
    let (recipients, table) = (daemon.path().join("opt-in"), daemon.path().join("table"));
    fs::write(&recipients, "joe@example.org\n").unwrap();
    fs::write(&table, "/^unknown$/ greylist\n/x/ OK\n").unwrap();
    let options = [
        format!("--greylist-recipients={}", recipients.display()),
        format!("--client-access={}", table.display()),
    ];
    let on = OnBus::start_prepared(daemon, &[&options[0], &options[1]]);
    let cases = [
        ("greylist-recipients", "greylist-recipients", 1),
        ("greylist", "greylist-recipients", 1),
        ("client-access", "client-access", 2),
        ("access", "client-access", 2),
    ];
    for (typed, list, want) in cases {
        let (code, rows) = on.ctl_json(&["list", typed]);
        let rows = rows.as_array().unwrap();
        assert_eq!((code, rows.len()), (0, want), "{typed}: {rows:?}");
        assert!(rows.iter().all(|row| row["list"] == list), "{rows:?}");
    }
}

#[test]
fn an_entry_that_is_allowed_again_keeps_what_is_not_given() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    daemon.set_options(&[] as &[&str]);
    let on = OnBus::start_prepared(daemon, &[&clock.option()]);
    let put = |pattern: &str, changes: &[&str]| {
        let count = (changes.len() / 3).to_string();
        let call = ["PutEntry", "ssa{sv}", "client-whitelist", pattern, &count];
        on.manager(&[&call, changes].concat()).good()
    };
    let first = put(
        "192.0.2.0/24",
        &["comment", "s", "Ann asked", "lifetime", "t", "60"],
    );
    for part in ["\"comment\" s \"Ann asked\"", "\"expires\" t 1800000060"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(!first.contains("old_comment"), "{first}");
    clock.advance(10);
    let again = put("192.0.2", &[]);
    for part in [
        "\"pattern\" s \"192.0.2.0/24\"",
        "\"old_comment\" s \"Ann asked\"",
        "\"comment\" s \"Ann asked\"",
        "\"expires\" t 1800000060",
    ] {
        assert!(again.contains(part), "{part}: {again}");
    }
    let (code, said) = on.ctl(&["allow", "client", "192.0.2", "--comment=Bob"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.ends_with("Its comment is: Bob; it was: Ann asked\n"),
        "{said}"
    );
    let (_, rows) = on.ctl_json(&["list", "client"]);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["expires"], 1_800_000_060);
    assert!(
        on.daemon
            .log()
            .contains("has changed \"192.0.2\" in client-whitelist")
    );
}

#[test]
fn a_listing_says_everything_about_an_entry() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    let list = daemon.path().join("whitelist_clients");
    fs::write(&list, "# ours\ngood.example\n").unwrap();
    daemon.set_options(&[] as &[&str]);
    let on = OnBus::start_prepared(daemon, &[&clock.option()]);
    let mut add = ADD;
    add[5] = "3600";
    on.manager(&add).good();
    clock.advance(10);
    assert!(is_listed(&on, "mx.example.org", "a@b"));
    let all = on
        .manager(&["ListEntries", "a{sv}ayu", "0", "0", "1000"])
        .good();
    assert!(all.starts_with("aa{sv}ay 2 "), "{all}");
    assert!(all.ends_with(" 0"), "no further page: {all}");
    let source = format!("\"source\" s \"{}:2\"", list.display());
    for part in [
        "\"list\" s \"client-whitelist\"",
        "\"pattern\" s \"good.example\"",
        &source,
        "\"pattern\" s \"mx.example.org\"",
        "\"source\" s \"bus\"",
        "\"comment\" s \"ticket 12\"",
        "\"added\" t 1800000000",
        "\"expires\" t 1800003600",
        "\"hits\" t 1",
        "\"last_hit\" t 1800000010",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let filter = ["1", "list", "s", "sender-whitelist"];
    let call = [&["ListEntries", "a{sv}ayu"], &filter[..], &["0", "9"]].concat();
    assert_eq!(on.manager(&call).good(), "aa{sv}ay 0 0");
    let first = on
        .manager(&["ListEntries", "a{sv}ayu", "0", "0", "1"])
        .good();
    assert!(
        first.starts_with("aa{sv}ay 1 ") && !first.ends_with(" 0"),
        "{first}"
    );
    clock.advance(3600);
    assert!(!is_listed(&on, "mx.example.org", "b@b"), "its time is over");
}

#[test]
fn listeners_are_told_which_list_has_changed() {
    let daemon = Daemon::prepare();
    let list = daemon.path().join("whitelist_senders");
    fs::write(&list, "").unwrap();
    let mut on = OnBus::start_prepared(daemon, &[]);
    let (runtime, connection) = on.bus.connect();
    let mut stream = runtime.block_on(async {
        let monitor = MonitorProxy::new(&connection).await.unwrap();
        monitor.receive_entries_changed().await.unwrap()
    });
    let mut next = || {
        runtime.block_on(async {
            let signal = poll_fn(|context| Pin::new(&mut stream).poll_next(context));
            let signal = tokio::time::timeout(PATIENCE, signal).await;
            let signal = signal.expect("a signal comes").unwrap();
            signal.args().unwrap().list().to_string()
        })
    };
    on.manager(&ADD).good();
    assert_eq!(next(), "client-whitelist");
    on.manager(&["RemoveEntry", "ss", "client-whitelist", "mx.example.org"])
        .good();
    assert_eq!(next(), "client-whitelist");
    fs::write(&list, "friend@example.com\n").unwrap();
    on.manager(&["Reload"]).good();
    assert_eq!(next(), "sender-whitelist", "read over the bus");
    fs::write(&list, "").unwrap();
    on.daemon.reload();
    assert_eq!(next(), "sender-whitelist", "read after a signal");
    assert!(on.bus.busctl(&["status", NAME]).is_good);
}

/// A kind of table: a line for each of two clients, and one that is wrong.
const KINDS: [(&str, &str, &str, &str); 4] = [
    (
        "regexp",
        "/^good\\.example$/ OK\n",
        "/^fresh\\.example$/ OK\n",
        "/(/ OK\n",
    ),
    (
        "pcre",
        "/^good\\.example$/ OK\n",
        "/^fresh\\.example$/ OK\n",
        "/(/ OK\n",
    ),
    (
        "cidr",
        "192.0.2.0/24 OK\n",
        "198.51.100.0/24 OK\n",
        "192.0.2.0/33 OK\n",
    ),
    (
        "texthash",
        "good.example OK\n",
        "fresh.example OK\n",
        "good.example\n",
    ),
];

#[test]
fn tables_of_each_kind_are_checked_listed_and_reloaded_and_a_bad_one_changes_nothing() {
    for (kind, first, second, bad) in KINDS {
        let daemon = Daemon::prepare();
        let table = daemon.path().join("table");
        let write = |text: &str| fs::write(&table, text).unwrap();
        write(first);
        let option = format!("--client-access={kind}:{}", table.display());
        let on = OnBus::start_prepared(daemon, &[&option, "--unmatched=greylist"]);
        let check = || {
            let mut command = on.daemon.command();
            let output = command.arg("--check").stderr(Stdio::piped()).output();
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.success(), said)
        };
        let passes = |name, address, sender| {
            on.daemon.ask(&rcpt(name, address, sender, "joe@x.example")) == "DUNNO"
        };
        let listed = || on.ctl(&["list", "client-access"]).1;
        let pattern = |line: &str| line.split(' ').next().unwrap().to_owned();
        assert!(check().0, "{kind}: {}", check().1);
        assert!(listed().contains(&pattern(first)), "{kind}: {}", listed());
        assert!(passes("good.example", "192.0.2.7", "a@b"), "{kind}");
        write(&format!("{second}{bad}"));
        let place = format!("{}:2: ", table.display());
        let (is_good, said) = check();
        assert!(!is_good && said.contains(&place), "{kind}: {said}");
        let output = on.bus.ctl(&["reload"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(&place),
            "{kind}: {said}"
        );
        assert!(passes("good.example", "192.0.2.7", "b@b"), "{kind}");
        assert!(!passes("fresh.example", "198.51.100.7", "c@b"), "{kind}");
        write(second);
        assert_eq!(on.ctl(&["reload"]).0, 0, "{kind}");
        assert!(listed().contains(&pattern(second)), "{kind}: {}", listed());
        assert!(!listed().contains(&pattern(first)), "{kind}: {}", listed());
        assert!(!passes("good.example", "192.0.2.7", "d@b"), "{kind}");
        assert!(passes("fresh.example", "198.51.100.7", "e@b"), "{kind}");
    }
}

//! Every error by its name, as stargreyctl gets it.

use std::collections::HashMap;
use std::fs;
use std::future::Future;

use stargrey::api::{Dict, Error, ManagerProxy, Row};
use zbus::DBusError;

use super::OnBus;
use crate::support::Daemon;

/// The name and the message of a refusal.
fn refusal<T>(call: Result<T, Error>) -> (String, String) {
    let error = call.err().expect("a refusal");
    let message = error.description().unwrap_or_default().to_owned();
    (error.name().to_string(), message)
}

/// Compares a refusal with the last part of its name and a part of its message.
async fn expect<T>(call: impl Future<Output = Result<T, Error>>, name: &str, part: &str) {
    let (got, message) = refusal(call.await);
    let want = format!("org.stargrey.Greylist1.Error.{name}");
    assert_eq!(got, want, "{message}");
    assert!(message.contains(part), "{name}: {message}");
}

#[test]
fn entries_are_refused_by_names_of_our_own_with_what_to_do() {
    let daemon = Daemon::prepare();
    fs::write(daemon.path().join("whitelist_clients"), "mx.example\n").unwrap();
    let on = OnBus::start_prepared(daemon, &[]);
    let (runtime, connection) = on.bus.connect();
    runtime.block_on(async {
        let manager = ManagerProxy::new(&connection).await.unwrap();
        let long = "x".repeat(5000);
        let list = "client-whitelist";
        let adding = [
            ("clients", "x.example", "", "UnknownList", list),
            (list, "/(/", "", "InvalidPattern", "stargrey-lists(5)"),
            (list, &long, "", "InvalidArgument", "Shorten it"),
            (list, "x.example", &long, "InvalidArgument", "Shorten it"),
        ];
        for (list, pattern, comment, name, part) in adding {
            expect(manager.add_entry(list, pattern, comment, 0), name, part).await;
        }
        let removing = [
            ("clients", "x.example", "UnknownList", list),
            (list, "y.example", "NoSuchEntry", "ListEntries"),
            (list, "mx.example", "EntryInFile", "whitelist_clients:1"),
        ];
        for (list, pattern, name, part) in removing {
            expect(manager.remove_entry(list, pattern), name, part).await;
        }
    });
}

#[test]
fn arguments_that_cannot_be_used_are_named() {
    let on = OnBus::start(&[]);
    let (runtime, connection) = on.bus.connect();
    runtime.block_on(async {
        let manager = ManagerProxy::new(&connection).await.unwrap();
        let none = HashMap::new();
        let typo = Row::new().with("sneder", "a@b").build();
        let filters: [(&Dict, &[u8], u32, &str); 3] = [
            (&typo, b"", 1, "sneder"),
            (&none, b"", 0, "at least 1"),
            (&none, b"nonsense", 1, "begin again"),
        ];
        for (filter, after, limit, part) in filters {
            let listing = manager.list_triplets(filter, after, limit);
            expect(listing, "InvalidArgument", part).await;
            let listing = manager.list_entries(filter, after, limit);
            expect(listing, "InvalidArgument", part).await;
        }
        let exporting = manager.export(b"nonsense", 1);
        expect(exporting, "InvalidArgument", "begin again").await;
        expect(manager.forget(&none), "EmptyFilter", "everything").await;
        expect(manager.forget(&typo), "InvalidArgument", "sneder").await;
        for (client, sender, part) in [
            ("mx.example", "a@b", "192.0.2.1"),
            ("192.0.2.7", "a\\b", "\\x5c"),
        ] {
            let allowing = manager.allow(client, sender, "c@d");
            expect(allowing, "InvalidArgument", part).await;
        }
        let attributes = HashMap::from([("a=b", "c")]);
        let explaining = manager.explain(&attributes);
        expect(explaining, "InvalidArgument", "a=b").await;
        let row = || Row::new().with("kind", "mail").build();
        expect(manager.import(&[row()], true), "InvalidRow", "Row 1").await;
        let rows: Vec<_> = (0..1000).map(|_| row()).collect();
        expect(manager.import(&rows, true), "InvalidRow", "Row 1").await;
    });
}

#[test]
fn a_refused_reload_has_every_complaint() {
    let daemon = Daemon::prepare();
    let list = daemon.path().join("whitelist_clients");
    fs::write(&list, "mx.example\n").unwrap();
    let on = OnBus::start_prepared(daemon, &[]);
    fs::write(&list, "two words\ngood.example\n/(/\n").unwrap();
    let refused = on.manager(&["Reload"]).refused();
    for line in [1, 3] {
        let place = format!("{}:{line}: ", list.display());
        assert!(refused.contains(&place), "{refused}");
    }
    let (runtime, connection) = on.bus.connect();
    runtime.block_on(async {
        let manager = ManagerProxy::new(&connection).await.unwrap();
        expect(manager.reload(), "ReloadRefused", "whitelist_clients:3").await;
    });
    fs::write(&list, "good.example\n").unwrap();
    assert_eq!(on.manager(&["Reload"]).good(), "");
}

#[test]
fn a_file_for_a_backup_is_a_new_one_that_can_be_written_to() {
    let on = OnBus::start(&[]);
    let path = on.daemon.path().join("copy");
    fs::write(&path, "").unwrap();
    let full = on.daemon.path().join("full");
    fs::write(&full, "x").unwrap();
    let writing = |path| fs::File::options().write(true).open(path).unwrap();
    let cases = [
        ("read-only", fs::File::open(&path).unwrap()),
        ("not empty", writing(&full)),
        ("no file", writing(&"/dev/null".into())),
    ];
    for (name, file) in cases {
        let (error, message) = refusal(on.bus.backup(file));
        assert!(error.ends_with(".InvalidArgument"), "{name}: {error}");
        assert!(
            message.contains("cannot be used for a backup"),
            "{name}: {message}"
        );
    }
}

#[test]
fn a_database_that_cannot_be_used_is_said_to_be_so() {
    let daemon = Daemon::prepare();
    let database = daemon.path().join("db");
    fs::create_dir(&database).unwrap();
    fs::write(database.join("data.mdb"), vec![7; 50_000]).unwrap();
    let on = OnBus::start_prepared(daemon, &[]);
    let (runtime, connection) = on.bus.connect();
    runtime.block_on(async {
        let manager = ManagerProxy::new(&connection).await.unwrap();
        let exporting = manager.export(&[], 1);
        expect(exporting, "StoreUnavailable", "Mail is not affected").await;
    });
    let monitor = stargrey::api::MONITOR;
    let state = [
        "get-property",
        stargrey::api::NAME,
        stargrey::api::PATH,
        monitor,
        "StoreState",
    ];
    assert!(
        on.bus
            .busctl(&state)
            .good()
            .contains("not a database of stargrey")
    );
    let all = on.bus.busctl(&[
        "call",
        stargrey::api::NAME,
        stargrey::api::PATH,
        "org.freedesktop.DBus.Properties",
        "GetAll",
        "s",
        monitor,
    ]);
    let all = all.good();
    assert!(
        all.contains("\"StoreState\"") && !all.contains("\"Triplets\""),
        "{all}"
    );
}

#[test]
fn hashes_stay_where_they_are() {
    let on = OnBus::start(&["--privacy"]);
    let request = crate::support::rcpt("x", "192.0.2.7", "a@b", "c@d");
    on.daemon.ask(&request);
    let rows = on
        .manager(&["ListTriplets", "a{sv}ayu", "0", "0", "9"])
        .good();
    assert!(rows.contains("\"hash\" s \""), "{rows}");
    assert!(!rows.contains("192.0.2") && !rows.contains("a@b"), "{rows}");
    let (runtime, connection) = on.bus.connect();
    runtime.block_on(async {
        let manager = ManagerProxy::new(&connection).await.unwrap();
        let filter = Row::new().with("client", "192.0.2.7").build();
        let listing = manager.list_triplets(&filter, &[], 1);
        expect(listing, "Hashed", "--privacy").await;
    });
}

//! What is there: interfaces, properties, and that anybody may look at the Monitor.

use std::fs;
use std::path::Path;

use stargrey::api::{ACTIONS, MANAGER, MONITOR, NAME, PATH};

use super::OnBus;
use crate::support::{TestClock, rcpt};

/// What the interfaces were when this was written.
const GOLDEN: &str = "tests/it/bus/introspection.xml";

/// The element of an interface.
fn interface<'x>(xml: &'x str, name: &str) -> &'x str {
    let begin = xml.find(&format!("<interface name=\"{name}\">")).unwrap();
    let rest = &xml[begin..];
    let end = rest.find("</interface>").unwrap() + "</interface>".len();
    &rest[..end]
}

#[test]
fn the_interfaces_are_what_was_promised() {
    let on = OnBus::start(&[]);
    let xml = on
        .bus
        .busctl_as_nobody(&["introspect", "--xml-interface", NAME, PATH])
        .good();
    let ours = [MANAGER, MONITOR].map(|name| interface(&xml, name));
    let got = format!("<node>\n  {}\n</node>\n", ours.join("\n  "));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("RENEW").is_some() {
        fs::write(&golden, &got).unwrap();
    }
    let want = fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        got == want,
        "The interfaces are not those of {GOLDEN}. They only ever grow: what is there keeps its name and \
         signature. If that holds, write the file again with\n  RENEW=1 cargo test --test it \
         the_interfaces_are\nand describe what is new in man/stargrey-dbus.7. Got:\n{got}"
    );
}

#[test]
fn every_method_of_the_manager_has_its_action_and_no_other_has() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let xml = fs::read_to_string(golden).unwrap();
    let mut got: Vec<&str> = interface(&xml, MANAGER)
        .split("<method name=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let mut want: Vec<&str> = ACTIONS
        .iter()
        .flat_map(|(_, members)| members.iter().copied())
        .collect();
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want);
}

#[test]
fn anybody_sees_the_properties() {
    let mut daemon = crate::support::Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    daemon.set_options(&[] as &[&str]);
    let on = OnBus::start_prepared(daemon, &[&clock.option(), "--tarpit=10", "--delay=300"]);
    on.daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    on.daemon.ask(&rcpt("x", "192.0.2.7", "a2@b", "c@d"));
    clock.advance(300);
    on.daemon.ask(&rcpt("x", "192.0.2.7", "a2@b", "c@d"));
    let version = format!("s \"{}\"", env!("CARGO_PKG_VERSION"));
    let rows = [
        ("Version", version.as_str()),
        ("Mode", "s \"tarpit\""),
        ("StoreState", "s \"ok\""),
        ("ListErrors", "t 0"),
        ("GreylistConf", "s \"\""),
        ("UnreachableRules", "t 0"),
        ("DnsLists", "a{ss} 0"),
        ("SpamdState", "s \"\""),
        ("MilterTimeouts", "t 0"),
        ("Lookups", "a{st} 2 \"cache_entries\" 0 \"under_way\" 0"),
        ("Delay", "t 300"),
        ("RetryWindow", "t 172800"),
        ("S25r", "b false"),
        ("S25rRules", "s \"\""),
        ("Tarpit", "t 10"),
        ("Triplets", "t 2"),
        ("Waiting", "t 1"),
        ("Passed", "t 1"),
        ("AutoWhitelisted", "t 0"),
        ("Tarpitted", "t 0"),
    ];
    let property = |name| {
        on.bus
            .busctl_as_nobody(&["get-property", NAME, PATH, MONITOR, name])
            .good()
    };
    for (name, want) in rows {
        assert_eq!(property(name), want, "{name}");
    }
    for name in ["StartedAt", "Sleeping"] {
        assert!(property(name).starts_with("t "), "{name}");
    }
    let refused = on
        .bus
        .busctl_as_nobody(&["set-property", NAME, PATH, MONITOR, "Mode", "s", "x"])
        .refused();
    assert!(!refused.is_empty());
}

#[test]
fn the_rules_of_s25r_that_apply_are_a_property() {
    for (option, want) in [
        ("--s25r", "s \"classic\""),
        ("--s25r=extended", "s \"extended\""),
    ] {
        let on = OnBus::start(&[option]);
        let property = |name| {
            let call = ["get-property", NAME, PATH, MONITOR, name];
            on.bus.busctl_as_nobody(&call).good()
        };
        assert_eq!(property("S25r"), "b true", "{option}");
        assert_eq!(property("S25rRules"), want, "{option}");
    }
}

#[test]
fn anybody_sees_the_counters() {
    let on = OnBus::start(&["--s25r", "--whitelist-recipients=/dev/null"]);
    on.daemon.ask(&rcpt("unknown", "192.0.2.7", "a@b", "c@d"));
    on.daemon
        .ask(&rcpt("mx.example", "192.0.2.8", "a@b", "c@d"));
    let text = on.bus.call_as_nobody(MONITOR, &["GetStatistics"]).good();
    assert!(text.starts_with("a{sv} 13 "), "{text}");
    for part in [
        "\"requests\" t 2",
        "\"greylisted\" t 1",
        "\"tarpitted\" t 0",
        "\"refused\" t 0",
        "\"passed\" t 1",
        "\"new\" 1",
        "\"not-suspicious\" 1",
        "\"since\" t ",
        "\"s25r\" a{st} ",
        "\"lists\" a{st} ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let history = |arguments: [&str; 3]| {
        let call = [&["GetHistory", "ttt"], &arguments[..]].concat();
        on.bus.call_as_nobody(MONITOR, &call)
    };
    let text = history(["0", "4102444800", "0"]).good();
    assert!(text.starts_with("aa{sv} "), "{text}");
    assert!(history(["0", "9", "1"]).refused().contains("whole hours"));
    assert!(history(["9", "0", "3600"]).refused().contains("later"));
}

#[test]
fn counters_can_be_set_to_zero() {
    let on = OnBus::start(&[]);
    on.daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    assert_eq!(on.manager(&["ResetStatistics"]).good(), "");
    let text = on.monitor(&["GetStatistics"]).good();
    assert!(text.contains("\"requests\" t 0"), "{text}");
}

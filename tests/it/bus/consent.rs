//! Who may: root without polkit, and whom polkit allows. A test plays polkit.

use std::collections::HashMap;
use std::sync::Arc;

use stargrey::api::{ACTIONS, MANAGER};
use stargrey::types::sync::Mutex;
use zbus::OwnedVariant;

use super::OnBus;
use super::harness::Bus;

/// A polkit that allows one action to everybody.
struct Polkit {
    allowed: &'static str,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    #[expect(clippy::too_many_arguments, reason = "polkit's")]
    fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action: String,
        details: HashMap<String, String>,
        flags: u32,
        cancellation: &str,
    ) -> (bool, bool, HashMap<String, String>) {
        let (kind, _) = subject;
        assert_eq!(kind, "system-bus-name");
        // Only root may send these.
        assert_eq!(cancellation, "");
        assert_eq!(details.into_keys().next(), None);
        let is_allowed = action == self.allowed;
        self.asked.lock().push((action, flags & 1 == 1));
        (is_allowed, !is_allowed, HashMap::new())
    }
}

/// A connection that has polkit's name while it lives, and what it was asked.
type Played = (
    tokio::runtime::Runtime,
    zbus::Connection,
    Arc<Mutex<Vec<(String, bool)>>>,
);

fn play_polkit(bus: &Bus, allowed: &'static str) -> Played {
    let (runtime, connection) = bus.connect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let polkit = Polkit {
        allowed,
        asked: Arc::clone(&asked),
    };
    runtime.block_on(async {
        let path = "/org/freedesktop/PolicyKit1/Authority";
        connection.object_server().at(path, polkit).await.unwrap();
        connection
            .request_name("org.freedesktop.PolicyKit1")
            .await
            .unwrap();
    });
    (runtime, connection, asked)
}

/// A call of each method but Backup, Restore and `ExplainMessage`, which busctl cannot call; each is whole, so that nothing but the consent is missing.
const CALLS: &[&[&str]] = &[
    &[
        "AddEntry",
        "ssst",
        "client-whitelist",
        "mx.example",
        "",
        "0",
    ],
    &["PutEntry", "ssa{sv}", "client-whitelist", "mx.example", "0"],
    &["RemoveEntry", "ss", "client-whitelist", "mx.example"],
    &["ListEntries", "a{sv}ayu", "0", "0", "1"],
    &["Explain", "a{ss}", "0"],
    &["ListTriplets", "a{sv}ayu", "0", "0", "1"],
    &["Forget", "a{sv}", "0"],
    &["Allow", "sss", "192.0.2.7", "a@b", "c@d"],
    &["Reload"],
    &["ResetStatistics"],
    &["Import", "aa{sv}b", "0", "true"],
    &["Export", "ayu", "0", "1"],
    &["Pause", "t", "1"],
    &["Resume"],
];

#[test]
fn without_polkit_only_root_is_served() {
    let on = OnBus::start(&[]);
    for call in CALLS {
        let refusal = on.bus.call_as_nobody(MANAGER, call).refused();
        for part in [
            call[0],
            "root",
            "polkit",
            "org.stargrey.Greylist1.",
            "65534",
        ] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
    let refusal = on.manager(CALLS[0]).text;
    assert!(!refusal.contains("Only root may send"), "{refusal}");
    assert_eq!(on.manager(&["Reload"]).good(), "");
}

#[test]
fn polkit_is_asked_for_the_action_of_each_method() {
    for (action, members) in ACTIONS {
        let on = OnBus::start(&[]);
        let (_runtime, _connection, asked) = play_polkit(&on.bus, action);
        for call in CALLS {
            let answer = on.bus.call_as_nobody(MANAGER, call);
            let is_refused = answer.text.contains("the consent of polkit");
            assert_eq!(is_refused, !members.contains(&call[0]), "{action} {call:?}");
            let (wanted, is_interactive) = asked.lock().pop().unwrap();
            let members = ACTIONS.iter().find(|(name, _)| *name == wanted).unwrap().1;
            assert!(members.contains(&call[0]), "{wanted} {call:?}");
            assert!(is_interactive, "busctl lets polkit ask for a password");
        }
    }
}

#[test]
fn who_may_not_ask_for_a_password_is_not_asked_for_one() {
    let on = OnBus::start(&[]);
    let (_runtime, _connection, asked) = play_polkit(&on.bus, "");
    let call = [
        "call",
        stargrey::api::NAME,
        stargrey::api::PATH,
        MANAGER,
        "Reload",
    ];
    let quiet = ["--allow-interactive-authorization=no"];
    let refusal = on.bus.busctl_as_nobody(&[&quiet[..], &call[..]].concat());
    assert!(refusal.refused().contains("org.stargrey.Greylist1.reload"));
    let asked = asked.lock();
    assert_eq!(
        *asked,
        [("org.stargrey.Greylist1.reload".to_owned(), false)]
    );
}

#[test]
fn polkit_is_not_asked_about_root() {
    let on = OnBus::start(&[]);
    let (_runtime, _connection, asked) = play_polkit(&on.bus, "");
    assert_eq!(on.manager(&["Reload"]).good(), "");
    on.bus.backup(tempfile::tempfile().unwrap()).unwrap();
    assert!(asked.lock().is_empty());
}

#[test]
fn a_call_is_authorized_before_its_arguments_are_unpacked() {
    let on = OnBus::start(&[]);
    for (call, is_bad) in [
        (
            &["Import", "aa{sv}b", "1", "1", "x", "v", "as", "0", "true"][..],
            true,
        ),
        (&["Import", "aa{sv}b", "0", "true"], false),
    ] {
        let refusal = on.bus.call_as_nobody(MANAGER, call).refused();
        assert!(refusal.contains("polkit"), "{is_bad}: {refusal}");
        assert_eq!(on.manager(call).is_good, !is_bad, "{call:?}");
    }
}

#[test]
fn what_changes_something_is_logged_with_who_did_it() {
    let on = OnBus::start(&[]);
    on.manager(&["ResetStatistics"]).good();
    on.daemon
        .log_until(|log| log.contains("uid 0 has set the counters to zero"));
}

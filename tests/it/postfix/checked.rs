//! What `stargreyctl check-postfix` says of a Postfix, and what that Postfix does.

use std::process::Command;

use super::server::{Postfix, Wiring};
use super::{SENDER, STRANGER, Site, assert_accepted, assert_deferred};

const ANNA: &str = "anna@example.org";

/// What the program ends with, and says.
fn checked(site: &Site, options: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
        .arg("check-postfix")
        .arg(format!("--config-dir={}", site.postfix.table("").display()))
        .args(options)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn check_postfix_says_what_postfix_does() {
    let service =
        "check_policy_service { unix:stargrey/policy, timeout=10s, default_action=DUNNO }";
    let guarded =
        "smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination";
    let calls = "Postfix calls the policy service.\n";
    let calls_not = "Postfix does not call the policy service.\n";
    let cases = [
        (format!("{guarded}, {service}\n"), true, calls),
        (format!("{guarded},\n {service},\n permit\n"), true, calls),
        (
            format!("grey = {service}\nsmtpd_restriction_classes = grey\n{guarded}, grey\n"),
            true,
            calls,
        ),
        (
            format!("smtpd_relay_restrictions = reject_unauth_destination, {service}\n"),
            true,
            calls,
        ),
        (format!("{guarded}, permit, {service}\n"), false, calls_not),
        (
            format!("{guarded}, check_policy_service inet:127.0.0.1:9, permit\n"),
            false,
            calls_not,
        ),
    ];
    for (main, is_reached, want) in cases {
        let start = || Postfix::wired(Wiring::of(&main, &[]));
        let mut site = Site::around(start, &[], |_, _| Vec::new());
        let (code, said) = checked(&site, &[]);
        assert_eq!(code, Some(i32::from(!is_reached)), "{main}{said}");
        assert!(said.ends_with(want), "{main}{said}");
        let answered = "unix:stargrey/policy: reply to a test request: DUNNO\n";
        assert!(said.contains(answered), "{main}{said}");
        if is_reached {
            assert_deferred(&site.attempt(STRANGER, SENDER, ANNA), ANNA, 300);
            site.daemon.kill();
            let (code, said) = checked(&site, &[]);
            assert!(said.contains("no server listens on "), "{said}");
            assert_eq!(code, Some(1), "{said}");
        } else if main.contains("permit, ") {
            assert_accepted(&site.attempt(STRANGER, SENDER, ANNA));
        }
    }
}

#[test]
fn a_class_that_only_a_table_returns_is_not_guessed_about() {
    let site = Site::start(&[]);
    let (code, said) = checked(&site, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &report["reached"], &report["answers"]),
        (Some(0), &"perhaps".into(), &true.into()),
        "{said}"
    );
    assert!(said.contains("access tables that return check_greylist are not checked"));
}

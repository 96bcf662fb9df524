//! What `stargreyctl check-postfix` says of a Postfix, and what that Postfix does.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Command;

use super::server::{Line, Postfix, Wiring};
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

/// A site whose daemon has both sockets.
fn with_milter(main: &str) -> Site {
    Site::around(
        || Postfix::wired(Wiring::of(main, &[])),
        &[],
        |postfix, _| {
            vec![format!(
                "--milter=unix:{}",
                postfix.milter_socket().display()
            )]
        },
    )
}

#[test]
fn check_postfix_says_of_the_milter_what_postfix_does() {
    let guarded = "smtpd_recipient_restrictions = reject_unauth_destination";
    let policy = "check_policy_service { unix:stargrey/policy, timeout=10s, default_action=DUNNO }";
    let milter = "{ unix:stargrey/milter, default_action=accept, command_timeout=300s }";
    let alone = "smtpd_milters calls unix:stargrey/milter\n\
                 unix:stargrey/milter: speaks version 6 of the milter protocol\n\
                 Postfix calls the milter.\n";
    for (main, want, code, is_deferred) in [
        (
            format!("{guarded}\nsmtpd_milters = {milter}\n"),
            alone,
            0,
            true,
        ),
        (
            format!("{guarded}, {policy}\nsmtpd_milters = {milter}\n"),
            "Postfix calls the policy service and the milter.\n",
            0,
            true,
        ),
        (
            format!("{guarded}\nsmtpd_milters = {milter}\nreceive_override_options = no_milters\n"),
            "Postfix does not call the policy service.\n",
            1,
            false,
        ),
    ] {
        let mut site = with_milter(&main);
        let (got, said) = checked(&site, &[]);
        assert_eq!(got, Some(code), "{main}{said}");
        assert!(said.ends_with(want), "{main}{said}");
        let reply = site.attempt(STRANGER, SENDER, ANNA);
        assert_eq!(!reply.is_good(), is_deferred, "{main}{reply}");
        if !main.contains("override") {
            site.daemon.kill();
            let (got, said) = checked(&site, &[]);
            let want = "Postfix calls the milter, but does not get a reply.\n";
            assert!(got == Some(1) && said.ends_with(want), "{said}");
            assert!(said.contains("no server listens on "), "{said}");
        }
    }
}

#[test]
fn check_postfix_names_a_default_action_that_does_not_let_mail_pass() {
    let mut site = with_milter(
        "smtpd_recipient_restrictions = reject_unauth_destination\n\
         smtpd_milters = inet:127.0.0.1:9, unix:stargrey/milter\nmilter_default_action = accept\n\
         milter_connect_timeout = 2s\n",
    );
    let (_, said) = checked(&site, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (
            &report["reached"],
            &report["milter_reached"],
            &report["milter_answers"]
        ),
        (&"no".into(), &true.into(), &true.into()),
        "{said}"
    );
    assert!(
        said.contains("Postfix waits 2s only (milter_connect_timeout)"),
        "{said}"
    );
    assert!(!said.contains("while stargreyd does not run"), "{said}");
    site.daemon.kill();
    assert_accepted(&site.attempt(STRANGER, SENDER, ANNA));

    let mut site = with_milter(
        "smtpd_recipient_restrictions = reject_unauth_destination\n\
         smtpd_milters = { unix:stargrey/milter, default_action=reject }\n",
    );
    let (_, said) = checked(&site, &[]);
    assert!(
        said.contains("Postfix rejects all mail (default_action = reject)"),
        "{said}"
    );
    site.daemon.kill();
    let stream = TcpStream::connect(site.postfix.address(Line::Documented)).unwrap();
    let mut banner = String::new();
    BufReader::new(stream).read_line(&mut banner).unwrap();
    assert!(banner.starts_with("554 "), "{banner}");
}

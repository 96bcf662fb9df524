//! Main.cf and master.cf in, sentences out.

use super::*;

const SERVICE: &str =
    "check_policy_service { unix:stargrey/policy, timeout=10s, default_action=DUNNO }";

/// What is found of this main.cf, and this master.cf beside `smtp inet`.
fn found(main: &str, master: (&str, &str), endpoint: &str) -> (Reach, String) {
    let main = main.replace("SERVICE", SERVICE);
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = /var/spool/postfix\nmynetworks = 127.0.0.0/8\n\
         smtpd_policy_service_default_action = 451 4.3.5 Server configuration problem\n\
         smtpd_policy_service_timeout = 100s\n{main}\n"
    );
    let fields = format!(
        "smtp/inet/chroot = y\nsmtp/inet/command = smtpd\n{}",
        master.0
    );
    let report = report(&Settings::read(&main, &fields, master.1), endpoint);
    (report.reach, report.findings.join("\n"))
}

#[test]
fn what_stands_before_the_service_decides() {
    let cases = [
        (
            "permit_mynetworks, reject_unauth_destination, SERVICE",
            Reach::Yes,
            "127.0.0.0/8",
        ),
        (
            "reject_unauth_destination, SERVICE, permit",
            Reach::Yes,
            "smtp/inet: smtpd_recipient_restrictions calls unix:stargrey/policy",
        ),
        (
            "SERVICE, reject_unauth_destination",
            Reach::Yes,
            "reject_unauth_destination is not before",
        ),
        (
            "reject_unauth_destination, permit, SERVICE",
            Reach::No,
            "`permit` is before check_policy_service in smtpd_recipient_restrictions",
        ),
        (
            "permit_auth_destination, SERVICE",
            Reach::No,
            "put it before `permit_auth_destination`",
        ),
        (
            "reject_unauth_destination, reject, SERVICE",
            Reach::No,
            "`reject` is before",
        ),
        (
            "reject_unauth_destination, warn_if_reject reject, SERVICE",
            Reach::Yes,
            "calls",
        ),
        (
            "reject_unauth_destination, warn_if_reject SERVICE",
            Reach::Yes,
            "only logged",
        ),
        (
            "reject_unauth_destination, permit",
            Reach::No,
            "default_action=DUNNO } before `permit`",
        ),
        (
            "reject_unauth_destination",
            Reach::No,
            "at its end, after reject_unauth_destination",
        ),
        (
            "reject_unauth_destination, check_policy_service inet:127.0.0.1:10023",
            Reach::No,
            "stargreyctl check-postfix inet:127.0.0.1:10023",
        ),
        (
            "reject_unauth_destination, check_sender_access hash:/etc/s",
            Reach::No,
            "are not checked (tables: hash:/etc/s)",
        ),
        (
            "reject_unauth_destination, check_policy_service unix:stargrey/policy",
            Reach::Yes,
            "waits 100s and replies `451 4.3.5 Server configuration problem`",
        ),
        (
            "reject_unauth_destination, check_policy_service { unix:stargrey/policy, {default_action = 451 later} }",
            Reach::Yes,
            "waits 100s; better",
        ),
    ];
    for (list, want, text) in cases {
        let main = format!("smtpd_recipient_restrictions = {list}");
        let (reach, said) = found(&main, ("", ""), "unix:stargrey/policy");
        assert_eq!(reach, want, "{list}: {said}");
        assert!(said.contains(text), "{list}: {said}");
    }
}

#[test]
fn all_lists_are_looked_at_in_the_order_of_postfix() {
    let cases = [
        (
            "smtpd_relay_restrictions = reject_unauth_destination, SERVICE",
            Reach::Yes,
            "smtpd_relay_restrictions calls",
        ),
        (
            "smtpd_relay_restrictions = reject_unauth_destination\nsmtpd_recipient_restrictions = SERVICE",
            Reach::Yes,
            "smtpd_recipient_restrictions calls",
        ),
        (
            "smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = SERVICE",
            Reach::Yes,
            "reject_unauth_destination is not before",
        ),
        (
            "smtpd_client_restrictions = permit_mynetworks, reject\nsmtpd_recipient_restrictions = SERVICE",
            Reach::No,
            "smtpd_client_restrictions refuses all other mail with `reject`",
        ),
        (
            "smtpd_client_restrictions = SERVICE",
            Reach::Yes,
            "smtpd_client_restrictions calls",
        ),
        (
            "smtpd_delay_reject = no\nsmtpd_client_restrictions = SERVICE",
            Reach::No,
            "before there is a recipient",
        ),
        (
            "smtpd_data_restrictions = SERVICE",
            Reach::No,
            "smtpd_data_restrictions calls unix:stargrey/policy at DATA",
        ),
        (
            "smtpd_restriction_classes = grey\ngrey = SERVICE\nsmtpd_recipient_restrictions = reject_unauth_destination grey",
            Reach::Yes,
            "smtpd_recipient_restrictions calls",
        ),
        (
            "smtpd_restriction_classes = Grey\nGrey = SERVICE\nsmtpd_recipient_restrictions = Reject_Unauth_Destination Grey",
            Reach::Yes,
            "smtpd_recipient_restrictions calls",
        ),
        (
            "smtpd_restriction_classes = grey\ngrey = SERVICE\nsmtpd_recipient_restrictions = check_client_access regexp:/etc/c",
            Reach::Perhaps,
            "the restriction class grey calls the policy service; access tables that return grey",
        ),
        (
            "smtpd_restriction_classes = grey\ngrey = SERVICE",
            Reach::No,
            "tables: none",
        ),
        (
            "smtpd_restriction_classes = grey\ngrey = grey, permit\nsmtpd_recipient_restrictions = grey, SERVICE",
            Reach::No,
            "`permit` is before",
        ),
    ];
    for (main, want, text) in cases {
        let (reach, said) = found(main, ("", ""), "unix:stargrey/policy");
        assert_eq!(reach, want, "{main}: {said}");
        assert!(said.contains(text), "{main}: {said}");
    }
}

#[test]
fn master_cf_counts() {
    let main = "smtpd_recipient_restrictions = reject_unauth_destination, SERVICE";
    let submission = "submission/inet/command = smtpd\n";
    let over = "smtpd_recipient_restrictions = permit_sasl_authenticated,reject\n";
    let cases = [
        // What is for the site's own users need not be asked about.
        (
            (submission, format!("submission/inet/{over}")),
            Reach::Yes,
            "submission/inet: smtpd_recipient_restrictions (-o in master.cf) refuses all other mail with `reject`",
        ),
        (
            ("", format!("smtp/inet/{over}")),
            Reach::No,
            "smtp/inet: smtpd_recipient_restrictions (-o in master.cf)",
        ),
        (
            (
                "192.0.2.1:25/inet/command = smtpd\n",
                format!("192.0.2.1:25/inet/{over}"),
            ),
            Reach::No,
            "192.0.2.1:25/inet: ",
        ),
    ];
    for ((fields, overrides), want, text) in &cases {
        let (reach, said) = found(main, (fields, overrides), "unix:stargrey/policy");
        assert_eq!(reach, *want, "{overrides}: {said}");
        assert!(said.contains(text), "{overrides}: {said}");
    }
    let nothing = report(&Settings::read("", "", ""), "unix:stargrey/policy");
    assert_eq!(
        (nothing.reach, nothing.findings),
        (Reach::No, vec!["master.cf has no smtpd".to_owned()])
    );
}

#[test]
fn endpoints_are_the_same_when_they_lead_to_the_same_socket() {
    let absolute = "unix:/var/spool/postfix/stargrey/policy";
    let cases = [
        (
            "inet:localhost:10023",
            "inet:127.0.0.1:10023",
            Reach::Yes,
            "calls",
        ),
        (absolute, "unix:stargrey/policy", Reach::Yes, "calls"),
        (
            "unix:stargrey/policy",
            absolute,
            Reach::No,
            "cannot open /var/spool/postfix/stargrey/policy; write unix:stargrey/policy",
        ),
        (
            "unix:other",
            "unix:stargrey/policy",
            Reach::No,
            "does not call unix:stargrey/policy",
        ),
    ];
    for (written, asked, want, text) in cases {
        let main = format!(
            "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service {written}"
        );
        let (reach, said) = found(&main, ("", ""), asked);
        assert_eq!(reach, want, "{written}: {said}");
        assert!(said.contains(text), "{written}: {said}");
    }
}

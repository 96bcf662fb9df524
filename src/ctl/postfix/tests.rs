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

/// The socket of the milter, and the recipe.
const SOCKET: &str = "unix:stargrey/milter";
const MILTER: &str = "{ unix:stargrey/milter, default_action=accept, command_timeout=300s }";

/// What is found of the milter in this main.cf, with the defaults of Postfix, and in this master.cf beside `smtp inet`.
fn milter_found(main: &str, master: (&str, &str), sleep: u64) -> (bool, String) {
    let main = main.replace("MILTER", MILTER);
    let main = format!(
        "queue_directory = /var/spool/postfix\nmilter_default_action = tempfail\nmilter_connect_timeout = 30s\n\
         milter_command_timeout = 30s\nmilter_content_timeout = 300s\nreceive_override_options =\n\
         smtpd_milter_maps =\nnon_smtpd_milters =\n{main}\n"
    );
    let fields = format!(
        "smtp/inet/chroot = y\nsmtp/inet/command = smtpd\n{}",
        master.0
    );
    let settings = Settings::read(&main, &fields, &master.1.replace("MILTER", MILTER));
    let report = report_milter(&settings, SOCKET, sleep);
    (report.is_reached, report.findings.join("\n"))
}

#[test]
fn a_milter_by_the_recipe_needs_one_line_and_one_that_is_not_there_none() {
    let calls = "smtp/inet: smtpd_milters calls unix:stargrey/milter".to_owned();
    for (main, want) in [
        ("smtpd_milters = MILTER", (true, calls.clone())),
        (
            "smtpd_milters = inet:127.0.0.1:11332, MILTER",
            (true, calls.clone()),
        ),
        (
            "smtpd_milters = inet:127.0.0.1:11332",
            (false, String::new()),
        ),
        ("smtpd_milters =", (false, String::new())),
    ] {
        for sleep in [0, 125, 295] {
            assert_eq!(milter_found(main, ("", ""), sleep), want, "{main}");
        }
    }
}

#[test]
fn what_postfix_does_without_the_milter_and_how_long_it_waits_is_said() {
    let bare = "smtpd_milters = unix:stargrey/milter";
    let cases = [
        (
            bare.to_owned(),
            0,
            "Postfix defers all mail (milter_default_action = tempfail); better: { unix:stargrey/milter, default_action=accept, command_timeout=300s }",
        ),
        (
            format!("{bare}\nmilter_default_action = shutdown"),
            0,
            "closes each session (milter_default_action = shutdown)",
        ),
        (
            "smtpd_milters = { unix:stargrey/milter, {default_action = reject} }".to_owned(),
            0,
            "rejects all mail (default_action = reject)",
        ),
        (
            bare.to_owned(),
            65,
            "Postfix waits 30s only (milter_command_timeout), but stargreyd sleeps 65 s in the tarpit: write command_timeout=300s into",
        ),
        (
            "smtpd_milters = { unix:stargrey/milter, command_timeout=2m }".to_owned(),
            125,
            "Postfix waits 2m only (command_timeout), but stargreyd sleeps 125 s",
        ),
        (
            "smtpd_milters = MILTER".to_owned(),
            400,
            "write command_timeout=405s into",
        ),
        (
            format!("{bare}\nmilter_command_timeout = 5s"),
            0,
            "Postfix waits 5s only (milter_command_timeout), but lookups",
        ),
        (
            format!("{bare}\nmilter_content_timeout = 1m"),
            0,
            "Postfix waits 1m only (milter_content_timeout), but a message may wait 60 s for spamd",
        ),
        (
            format!("{bare}\nmilter_connect_timeout = 1"),
            0,
            "Postfix waits 1 only (milter_connect_timeout), but systemd may start stargreyd: write connect_timeout=30s",
        ),
        (
            "smtpd_milters = MILTER\nsmtpd_milter_maps = cidr:/etc/m".to_owned(),
            0,
            "its tables are not checked (cidr:/etc/m)",
        ),
    ];
    for (main, sleep, want) in cases {
        let (is_reached, said) = milter_found(&main, ("", ""), sleep);
        assert!(is_reached && said.contains(want), "{main}: {said}");
    }
    // Long enough without a sleep, and with a short one.
    for sleep in [0, 25] {
        let (_, said) = milter_found(bare, ("", ""), sleep);
        assert!(!said.contains("waits"), "{sleep}: {said}");
    }
}

#[test]
fn a_milter_that_is_not_asked_is_said_to_be_so() {
    let cases = [
        (
            "smtpd_milters = MILTER\nreceive_override_options = no_address_mappings,no_milters",
            "receive_override_options has no_milters, so that no milter is called",
        ),
        (
            "smtpd_milters = { unix:/var/spool/postfix/stargrey/milter, default_action=accept }",
            "cannot open /var/spool/postfix/stargrey/milter; write unix:stargrey/milter",
        ),
        (
            "smtpd_milters = unix:stargrey/policy",
            "names unix:stargrey/policy, which is the socket of the policy service; that of the milter is unix:stargrey/milter",
        ),
        (
            "smtpd_milters = unix:/run/stargrey-milter/milter",
            "if stargreyd listens there: stargreyctl check-postfix --milter=unix:/run/stargrey-milter/milter",
        ),
        (
            "non_smtpd_milters = MILTER",
            "non_smtpd_milters names unix:stargrey/milter: mail of local programs",
        ),
    ];
    for (main, want) in cases {
        let (is_reached, said) = milter_found(main, ("", ""), 0);
        assert!(!is_reached && said.contains(want), "{main}: {said}");
    }
}

#[test]
fn master_cf_counts_for_the_milter_too() {
    let submission = "submission/inet/command = smtpd\n";
    let second = "192.0.2.1:25/inet/command = smtpd\n";
    let everywhere = "smtpd_milters = MILTER";
    let cases = [
        (
            everywhere,
            (submission, "submission/inet/smtpd_milters =\n"),
            (true, None),
        ),
        (
            everywhere,
            (submission, ""),
            (
                true,
                Some("submission/inet: smtpd_milters calls unix:stargrey/milter, too; "),
            ),
        ),
        (
            "",
            (submission, "submission/inet/smtpd_milters = MILTER\n"),
            (
                false,
                Some("smtp/inet: smtpd_milters does not name unix:stargrey/milter: add "),
            ),
        ),
        (
            everywhere,
            (second, "192.0.2.1:25/inet/smtpd_milters =\n"),
            (
                false,
                Some("192.0.2.1:25/inet: smtpd_milters (-o in master.cf) does not name"),
            ),
        ),
        (
            "",
            ("", "smtp/inet/smtpd_milters = MILTER\n"),
            (
                true,
                Some("smtp/inet: smtpd_milters (-o in master.cf) calls"),
            ),
        ),
        (
            "smtpd_milters = unix:stargrey/milter",
            ("", "smtp/inet/milter_default_action = reject\n"),
            (
                true,
                Some("(milter_default_action (-o in master.cf) = reject)"),
            ),
        ),
    ];
    for (main, master, (want, text)) in cases {
        let (is_reached, said) = milter_found(main, master, 0);
        assert_eq!(is_reached, want, "{main} {master:?}: {said}");
        match text {
            Some(text) => assert!(said.contains(text), "{main} {master:?}: {said}"),
            None => assert_eq!(said.lines().count(), 1, "{main} {master:?}: {said}"),
        }
    }
}

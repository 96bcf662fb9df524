//! The milter socket, asked as a mail server asks it: what behind a real one is hard to bring about.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::bus::OnBus;
use crate::support::milter::{MilterReply, MilterSession};
use crate::support::{Daemon, TestClock, rcpt};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const DAY: u64 = 1_800_000_000;

/// A daemon with a milter socket, and its clock.
pub(crate) struct Site {
    daemon: Daemon,
    clock: TestClock,
    socket: PathBuf,
}

impl Site {
    /// Starts it with these options, and with this text as its access lists.
    pub(crate) fn start(options: &[&str], lists: &str) -> Self {
        let mut daemon = Daemon::prepare();
        let clock = TestClock::at(daemon.path(), DAY);
        let socket = daemon.path().join("milter");
        let conf = daemon.path().join("greylist.conf");
        fs::write(&conf, lists).unwrap();
        let mut all = vec![
            clock.option(),
            format!("--milter=unix:{}", socket.display()),
            format!("--greylist-conf={}", conf.display()),
        ];
        all.extend(options.iter().map(ToString::to_string));
        daemon.run(&all);
        Self {
            daemon,
            clock,
            socket,
        }
    }

    /// A session with the client of these tests.
    pub(crate) fn session(&self, version: u32) -> MilterSession {
        let mut session = MilterSession::open(&self.socket, version).unwrap();
        session.connect("mx.example", CLIENT).unwrap();
        session.helo("mx.example").unwrap();
        session
    }
}

/// The reply as a text.
pub(crate) fn text(reply: &MilterReply) -> &str {
    match reply {
        MilterReply::Text(text) => text,
        MilterReply::Continue => "continue",
        MilterReply::Letter(_) => "letter",
    }
}

/// The deferral of a new triplet.
const NEW: &str = "450 4.2.0 Greylisted, please try again in 300 seconds";

#[test]
fn each_message_of_a_session_is_decided_for_itself_whatever_became_of_the_one_before() {
    let site = Site::start(
        &["--greylist-text=Greylisted, please try again in %s seconds"],
        "racl greylist default\n",
    );
    for version in [2, 6] {
        let mut session = site.session(version);
        let recipient = format!("v{version}@example.org");
        for _ in 0..2 {
            session.mail("a@b.example").unwrap();
            assert_eq!(text(&session.rcpt(&recipient).unwrap()), NEW);
            session.abort().unwrap();
            site.clock.set(DAY);
        }
        site.clock.advance(301);
        // Given up before its end, then again: the header is that of the one that is delivered.
        session.mail("a@b.example").unwrap();
        assert_eq!(text(&session.rcpt(&recipient).unwrap()), "continue");
        session.abort().unwrap();
        session.mail("a@b.example").unwrap();
        assert_eq!(text(&session.rcpt(&recipient).unwrap()), "continue");
        let header = [("X-Greylist", "a"), ("Subject", "x"), ("x-greylist", "b")];
        let (actions, last) = session.message(&header, b"hello\r\n").unwrap();
        assert_eq!(last, MilterReply::Continue);
        let removed = actions.iter().filter(|(letter, _)| *letter == 'm');
        let numbers: Vec<_> = removed.map(|(_, text)| text.as_bytes()[3]).collect();
        assert_eq!(numbers, [2, 1], "{actions:?}");
        session.abort().unwrap();
        session.quit().unwrap();
        site.clock.set(DAY);
    }
}

#[test]
fn a_mail_server_waits_only_for_replies_that_something_depends_on() {
    let about_body = "dacl blacklist body \"spam\"\n";
    let targrey = ["--tarpit=10", "--targrey"];
    for (options, lists, waits) in [
        (&[][..], "", "MR"),
        (&targrey[..], "", "MRT"),
        (&[][..], about_body, "MRB"),
    ] {
        let site = Site::start(options, &format!("{lists}racl greylist default\n"));
        assert_eq!(site.session(6).waits_after(), waits, "{options:?} {lists}");
        // The version that Postfix speaks with milter_protocol=2 offers no more.
        let waits = if lists.is_empty() {
            "CHMRTL"
        } else {
            "CHMRTLB"
        };
        assert_eq!(site.session(2).waits_after(), waits, "{options:?} {lists}");
    }
}

#[test]
fn a_table_greylists_what_the_access_lists_let_pass_by_their_default_alone() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("header_checks");
    fs::write(&table, "/^Subject:.*casino/ GREYLIST\n").unwrap();
    let option = format!("--header-checks=regexp:{}", table.display());
    let friend = "dacl whitelist header \"friend\"\n";
    for (of_messages, waits) in [
        (String::new(), ["casino", "casino friend"].as_slice()),
        (friend.to_owned(), &["casino"]),
        (format!("{friend}dacl whitelist default\n"), &["casino"]),
    ] {
        let lists = format!("racl whitelist default\n{of_messages}");
        let site = Site::start(&[&option], &lists);
        for subject in ["hello", "casino", "casino friend"] {
            let mut session = site.session(6);
            session.mail("a@b.example").unwrap();
            session.rcpt("ann@example.org").unwrap();
            let (_, last) = session.message(&[("Subject", subject)], b"x\r\n").unwrap();
            let is_deferred = text(&last).starts_with("45");
            assert_eq!(is_deferred, waits.contains(&subject), "{lists}{subject}");
        }
    }
}

#[test]
fn mail_of_own_users_is_refused_for_its_score_and_never_waits_for_it() {
    let lists =
        "racl whitelist default\ndacl blacklist spamd > 10 msg \"no\"\ndacl greylist spamd > 5\n";
    for (own, wanted) in [
        ("198.51.100.0/24", ["continue", "45", "551 5.7.1 no"]),
        ("192.0.2.0/24", ["continue", "continue", "551 5.7.1 no"]),
    ] {
        let own = format!("--own-networks={own}");
        let site = Site::start(&["--score-header=X-Spam-Score", &own], lists);
        for (score, want) in ["1", "7", "12"].into_iter().zip(wanted) {
            let mut session = site.session(6);
            session.mail("a@b.example").unwrap();
            session.rcpt("ann@example.org").unwrap();
            let header = [("X-Spam-Score", score)];
            let (_, last) = session.message(&header, b"x\r\n").unwrap();
            assert!(text(&last).starts_with(want), "{own} {score}: {last:?}");
        }
    }
}

#[test]
fn a_message_that_is_refused_or_deferred_at_its_end_gets_another_line_of_stat_for_each_recipient() {
    let lists = "stat \">>file\" \"stat %r %S %Hs\"\nracl whitelist default\n\
                 dacl blacklist header \"malware\"\ndacl greylist spamd > 5\n";
    let site = Site::start(&["--score-header=X-Score"], lists);
    let of = |subject: &str, lines: &[&str]| {
        let mut session = site.session(6);
        session.mail("a@b.example").unwrap();
        for recipient in ["ann@example.org", "bob@example.org"] {
            session.rcpt(recipient).unwrap();
        }
        let header = [("Subject", subject), ("X-Score", "7.5")];
        session.message(&header, b"x\r\n").unwrap();
        session.quit().unwrap();
        site.daemon.log_until(|log| {
            let mut stat = log.lines().filter_map(|line| line.split_once("stat "));
            lines
                .iter()
                .all(|line| stat.any(|(_, rest)| rest.trim_end() == *line))
        });
    };
    let passed = ["ann@example.org accept", "bob@example.org accept"];
    let refused = ["ann@example.org reject 7.5", "bob@example.org reject 7.5"];
    of("malware", &[passed, refused].concat());
    let waits = [
        "ann@example.org tempfail 7.5",
        "bob@example.org tempfail 7.5",
    ];
    of("hello", &[passed, refused, passed, waits].concat());
}

#[test]
fn a_reload_does_not_forget_that_spamd_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = directory.path().join("spamd");
    let option = format!("--spamd=unix:{}", nobody.display());
    let mut site = Site::start(&[&option], "racl whitelist default\n");
    for _ in 0..2 {
        let mut session = site.session(6);
        session.mail("a@b.example").unwrap();
        session.rcpt("ann@example.org").unwrap();
        let (_, last) = session.message(&[("Subject", "x")], b"x\r\n").unwrap();
        assert_eq!(last, MilterReply::Continue);
        session.quit().unwrap();
        site.daemon.reload();
    }
    assert!(site.daemon.stop().success());
    let log = site.daemon.log();
    assert_eq!(log.matches("messages have no score").count(), 1, "{log}");
}

#[test]
fn a_message_is_deferred_for_the_recipient_that_has_to_wait_and_passes_when_all_have_waited() {
    let lists = "racl whitelist rcpt covered@example.org\nracl whitelist default\n\
                 dacl greylist header \"casino\" delay 1h msg \"%R for you\"\n\
                 dacl blacklist body \"malware\" msg \"no\"\n";
    let site = Site::start(&[], lists);
    let mut session = site.session(6);
    let mut send = |recipients: &[&str], subject: &str, body: &str| {
        session.mail("a@b.example").unwrap();
        for recipient in recipients {
            assert_eq!(text(&session.rcpt(recipient).unwrap()), "continue");
        }
        let header = [("Subject", subject)];
        let (actions, last) = session.message(&header, body.as_bytes()).unwrap();
        session.abort().unwrap();
        (actions, text(&last).to_owned())
    };
    let (ann, bob, covered) = ("ann@example.org", "bob@example.org", "covered@example.org");
    assert_eq!(send(&[ann], "hello", "hello\r\n").1, "continue");
    assert_eq!(send(&[covered], "casino", "hello\r\n").1, "continue");
    assert_eq!(send(&[ann], "hello", "malware\r\n").1, "551 5.7.1 no");
    let wait = "451 4.7.1 01:00:00 for you";
    assert!(
        send(&[ann, covered], "casino", "x\r\n")
            .1
            .ends_with("01:00:00 for you"),
        "{wait}"
    );
    site.clock.advance(3000);
    assert!(send(&[ann, bob], "casino", "x\r\n").1.ends_with("for you"));
    site.clock.advance(3700);
    let (actions, last) = send(&[ann, bob, covered], "casino", "x\r\n");
    assert_eq!(last, "continue");
    let [(letter, field)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert!(
        *letter == 'h' && field.starts_with("X-Greylist\0delayed 6700 seconds"),
        "{field}"
    );
    site.daemon
        .log_until(|log| log.contains("action=reject, reason=message reply"));
}

#[test]
fn spamd_that_does_not_answer_is_seen_in_the_status_and_keeps_no_mail() {
    let daemon = Daemon::prepare();
    let socket = daemon.path().join("milter");
    let nobody = format!("--spamd=unix:{}", daemon.path().join("nobody").display());
    let milter = format!("--milter=unix:{}", socket.display());
    let on = OnBus::start_prepared(daemon, &[&milter, &nobody, "--delay=0"]);
    let (code, status) = on.ctl(&["status"]);
    assert!(code == 0 && status.contains("answers"), "{code} {status}");
    let mut session = MilterSession::open(&socket, 6).unwrap();
    session.connect("mx.example", CLIENT).unwrap();
    session.mail("a@b.example").unwrap();
    assert_eq!(session.rcpt("c@d.example").unwrap(), MilterReply::Continue);
    let forged = [("X-Spam-Status", "No, score=-99"), ("Subject", "x")];
    let (actions, last) = session.message(&forged, b"hello\r\n").unwrap();
    assert_eq!(last, MilterReply::Continue);
    assert!(
        actions
            .iter()
            .any(|(letter, text)| *letter == 'm' && text.contains("X-Spam-Status")),
        "{actions:?}"
    );
    let (code, status) = on.ctl(&["status"]);
    let want = "does not answer; messages have no score";
    assert!(code == 1 && status.contains(want), "{code} {status}");
}

#[test]
fn whatever_is_sent_to_the_socket_the_daemon_serves_the_next_session() {
    let site = Site::start(&[], "racl whitelist default\ndacl greylist body \"x\"\n");
    let packet = |letter: u8, data: &[u8]| {
        let length = u32::try_from(data.len() + 1).unwrap();
        [&length.to_be_bytes()[..], &[letter], data].concat()
    };
    let negotiation = packet(b'O', &[0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]);
    let old = packet(b'O', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let junk = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0, 0, 0, 0],
        vec![0xff; 100],
        old,
        [negotiation.clone(), packet(b'C', b"no end")].concat(),
        [
            negotiation.clone(),
            packet(b'M', b"<a@b>"),
            packet(b'R', b"\0\0\0"),
        ]
        .concat(),
        [
            negotiation.clone(),
            packet(b'E', b""),
            packet(b'L', b"\0\0"),
            packet(b'B', b"x"),
        ]
        .concat(),
        [
            negotiation.clone(),
            packet(b'C', b"h\x004\x00\x19not an address\0"),
        ]
        .concat(),
        [negotiation, packet(b'D', b"Zx\0y\0"), packet(b'?', b"")].concat(),
    ];
    for bytes in junk {
        let mut stream = UnixStream::connect(&site.socket).unwrap();
        // It may be closed before all is written.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(stream.read_to_end(&mut Vec::new()));
        let mut session = site.session(6);
        session.mail("a@b.example").unwrap();
        assert_eq!(session.rcpt("c@d.example").unwrap(), MilterReply::Continue);
        session.quit().unwrap();
    }
}

#[test]
fn rules_see_the_macros_of_the_mail_server() {
    let lists = "sm_macro \"forged\" \"{client_resolve}\" \"FORGED\"\n\
                 racl blacklist sm_macro \"forged\" msg \"who are you\"\nracl whitelist default\n";
    let site = Site::start(&[], lists);
    for (value, want) in [("OK", "continue"), ("FORGED", "551 5.7.1 who are you")] {
        let mut session = MilterSession::open(&site.socket, 6).unwrap();
        session
            .macros(b'C', &[("{client_resolve}", value)])
            .unwrap();
        session.connect("mx.example", CLIENT).unwrap();
        session.mail("a@b.example").unwrap();
        let reply = session.rcpt("c@d.example").unwrap();
        assert_eq!(text(&reply), want);
    }
}

#[test]
fn of_two_forms_of_a_macro_the_usual_one_counts_whichever_comes_last() {
    let lists = "sm_macro \"long\" \"first_last\" \"usual\"\nsm_macro \"short\" \"{n}\" \"usual\"\n\
                 racl blacklist sm_macro \"long\" sm_macro \"short\" msg \"usual\"\n\
                 racl whitelist default\n";
    let site = Site::start(&[], lists);
    let usual = [("{first_last}", "usual"), ("n", "usual")];
    let other = [("first_last", "other"), ("{n}", "other")];
    for stages in [[&usual, &other], [&other, &usual]] {
        let mut session = MilterSession::open(&site.socket, 6).unwrap();
        session.macros(b'C', stages[0]).unwrap();
        session.connect("mx.example", CLIENT).unwrap();
        session.macros(b'M', stages[1]).unwrap();
        session.mail("a@b.example").unwrap();
        let reply = session.rcpt("c@d.example").unwrap();
        assert_eq!(text(&reply), "551 5.7.1 usual", "{stages:?}");
    }
}

#[test]
fn a_certificate_is_known_to_rules_only_if_the_mail_server_has_verified_it() {
    let lists = "racl blacklist tls \"/CN=friend\" msg \"verified\"\nracl whitelist default\n";
    let site = Site::start(&[], lists);
    let subject = ("{cert_subject}", "/CN=friend");
    let cases = [
        (6, Some("OK"), true),
        (6, Some("FAIL"), false),
        (6, Some("NO"), false),
        (6, Some(""), false),
        // Postfix, which sends no other.
        (6, None, true),
        (2, Some("OK"), true),
        // It cannot be asked.
        (2, None, false),
    ];
    for (version, verify, is_known) in cases {
        let mut session = site.session(version);
        let mut macros = vec![subject];
        macros.extend(verify.map(|verify| ("{verify}", verify)));
        session.macros(b'H', &macros).unwrap();
        session.helo("again.example").unwrap();
        session.mail("a@b.example").unwrap();
        let reply = session.rcpt("c@d.example").unwrap();
        let want = if is_known {
            "551 5.7.1 verified"
        } else {
            "continue"
        };
        assert_eq!(text(&reply), want, "{version} {verify:?}");
    }
}

#[test]
fn the_address_of_an_ipv6_client_is_known_with_and_without_a_prefix() {
    let lists = "racl blacklist addr 2001:db8::/32 msg \"known\"\nracl whitelist default\n";
    let site = Site::start(&[], lists);
    for address in ["2001:db8::7", "IPv6:2001:db8:0:0:0:0:0:7"] {
        let mut session = MilterSession::open(&site.socket, 6).unwrap();
        session.connect_from("mx.example", b'6', address).unwrap();
        session.mail("a@b.example").unwrap();
        let reply = session.rcpt("c@d.example").unwrap();
        assert_eq!(text(&reply), "551 5.7.1 known", "{address}");
    }
}

#[test]
fn no_sleep_begins_while_half_of_those_that_may_run_do() {
    let site = Site::start(
        &["--tarpit=3600", "--tarpit-limit=2"],
        "racl greylist default\n",
    );
    // Of the policy server: it replies at once.
    let sleeps = rcpt("x.example", "198.51.100.7", "a@b.example", "c@example.org");
    let reply = site.daemon.ask(&sleeps);
    assert!(reply.contains("SLEEP 3600"), "{reply}");
    let mut session = site.session(6);
    session.mail("a@b.example").unwrap();
    let reply = session.rcpt("d@example.org").unwrap();
    assert!(text(&reply).starts_with("450 4.2.0 "), "{reply:?}");
    session.abort().unwrap();
    site.daemon.log_until(|log| log.contains("tarpit=stress"));
}

/// The `X-Greylist` field that a message gets, without what follows the delay or the reason.
fn reported(actions: &[(char, String)]) -> Option<String> {
    let mut added = actions.iter().filter(|(letter, _)| *letter == 'h');
    let field = added.find_map(|(_, text)| text.strip_prefix("X-Greylist\0"));
    field.map(|value| {
        let value = value.replace("\n ", " ");
        let end = value.find(" by stargrey").unwrap_or(value.len());
        value[..end].trim_end_matches('\0').to_owned()
    })
}

#[test]
fn report_says_which_messages_have_the_header_about_greylisting() {
    const DELAYED: Option<&str> = Some("delayed 301 seconds");
    const OWN: Option<&str> = Some("own text");
    const PASSED: Option<&str> = Some("access list pass, not delayed");
    const KNOWN: Option<&str> = Some("triplet found, not delayed");
    // Delayed, known, passed by an entry, and by an entry with a text of its own.
    // A rule for messages, which are then decided at their end, too.
    const NEVER: &str = "\ndacl greylist header /^X-Never:/";
    let statements = [
        ("", [DELAYED, None, None, OWN]),
        ("report none", [None; 4]),
        ("report delays", [DELAYED, None, None, None]),
        ("report nodelays", [None, KNOWN, PASSED, OWN]),
        ("report all", [DELAYED, KNOWN, PASSED, OWN]),
    ];
    let of_messages = statements.map(|(statement, want)| (statement.to_owned() + NEVER, want));
    let alone = statements.map(|(statement, want)| (statement.to_owned(), want));
    for (statement, want) in alone.into_iter().chain(of_messages) {
        let lists = format!(
            "{statement}\nnospf\nmultiracl\nracl whitelist rcpt passed@example.org\n\
             racl whitelist rcpt own@example.org report \"own text\"\n\
             racl greylist default delay 5m\n"
        );
        let site = Site::start(&["--auto-whitelist-clients=0"], &lists);
        let mut session = site.session(6);
        session.mail("a@b.example").unwrap();
        session.rcpt("waits@example.org").unwrap();
        session.abort().unwrap();
        site.clock.advance(301);
        let mut header_of = |recipients: &[&str]| {
            session.mail("a@b.example").unwrap();
            for recipient in recipients {
                let reply = session.rcpt(recipient).unwrap();
                assert_eq!(text(&reply), "continue", "{statement}: {recipient}");
            }
            let (actions, last) = session.message(&[("Subject", "x")], b"x\r\n").unwrap();
            assert_eq!(last, MilterReply::Continue, "{statement}");
            session.abort().unwrap();
            reported(&actions)
        };
        let got = [
            // What was not delayed says nothing about the message.
            header_of(&["passed@example.org", "waits@example.org"]),
            header_of(&["waits@example.org"]),
            header_of(&["passed@example.org"]),
            header_of(&["own@example.org"]),
        ];
        let want = want.map(|text| text.map(str::to_owned));
        assert_eq!(got, want, "{statement}");
    }
}

#[test]
fn a_rule_about_the_body_alone_sees_it_decoded() {
    let lists = "nospf\ndacl blacklist body /casino/\nracl whitelist default\n";
    let site = Site::start(&[], lists);
    let mut session = site.session(6);
    // "casino" in base64.
    for (body, want) in [
        ("Y2FzaW5vCg==\r\n", "551 5.7.1 Go away!"),
        ("aGVsbG8K\r\n", "continue"),
    ] {
        session.mail("a@b.example").unwrap();
        session.rcpt("c@example.org").unwrap();
        let header = [("Content-Transfer-Encoding", "base64")];
        let (_, last) = session.message(&header, body.as_bytes()).unwrap();
        assert_eq!(text(&last), want, "{body}");
        session.abort().unwrap();
    }
}

#[test]
fn delayedreject_puts_off_the_deferral_of_the_null_sender_for_that_message_alone() {
    let lists = "delayedreject\nnospf\nmultiracl\nracl blacklist rcpt refused@example.org\n\
                 racl blacklist rcpt third@example.org rcptcount >= 2\n\
                 racl whitelist rcpt passed@example.org\n\
                 racl greylist default delay 1h msg \"wait\"\n";
    for version in [2, 6] {
        let site = Site::start(&["--greylist-action=451"], lists);
        let mut session = site.session(version);
        let mut send = |sender: &str, recipients: &[(&str, &str)], want: &str| {
            session.mail(sender).unwrap();
            for (recipient, want) in recipients {
                let reply = session.rcpt(recipient).unwrap();
                assert_eq!(text(&reply), *want, "{version} {sender} {recipient}");
            }
            let sent = session.message(&[("Subject", "x")], b"x\r\n").unwrap();
            assert_eq!(text(&sent.1), want, "{version} {sender}");
            session.abort().unwrap();
        };
        let (new, passed) = ("new@example.org", ("passed@example.org", "continue"));
        let deferral = "451 4.2.0 wait";
        // Neither a refusal nor another sender's deferral is put off.
        let refused = ("refused@example.org", "551 5.7.1 Go away!");
        send("", &[passed, refused, (new, "continue")], deferral);
        // For the client it is accepted, and it counts as that.
        let third = "third@example.org";
        let (first, again) = ((new, "continue"), (new, "continue"));
        send("", &[passed, first, (third, refused.1)], deferral);
        send("", &[first, again, (third, "continue")], deferral);
        send("a@b.example", &[passed, (new, deferral)], "continue");
        // The message after it is judged for itself.
        send("", &[passed], "continue");
        site.clock.advance(3601);
        send("", &[(new, "continue")], "continue");
    }
}

#[test]
fn a_limit_of_sessions_counts_each_once_and_one_of_data_the_bytes_of_messages() {
    let deliver = |session: &mut MilterSession, bytes: usize| {
        session.mail("a@b.example").unwrap();
        if session.rcpt("c@d.example").unwrap() != MilterReply::Continue {
            return "refused at RCPT";
        }
        let body = "x".repeat(bytes) + "\r\n";
        let (_, last) = session.message(&[("A", "b")], body.as_bytes()).unwrap();
        if last == MilterReply::Continue {
            "passes"
        } else {
            "refused at its end"
        }
    };
    // As milter-greylist does, but for a racl entry with a limit that dacl entries count.
    let site = Site::start(
        &[],
        "nospf\nratelimit \"s\" session 2 / 10m\nracl blacklist ratelimit \"s\"\nracl whitelist default\n",
    );
    let other = MilterSession::open(&site.socket, 6).unwrap();
    for (number, want) in [(0, "passes"), (1, "passes"), (2, "refused at RCPT")] {
        let mut session = site.session(6);
        for _ in 0..3 {
            assert_eq!(deliver(&mut session, 1), want, "session {number}");
            session.abort().unwrap();
        }
        session.quit().unwrap();
    }
    other.quit().unwrap();
    site.clock.advance(601);
    assert_eq!(
        deliver(&mut site.session(6), 1),
        "passes",
        "the time is over"
    );

    let site = Site::start(
        &[],
        "nospf\nratelimit \"d\" data 100 / 10m\nracl blacklist ratelimit \"d\"\nracl whitelist default\n\
         dacl blacklist ratelimit \"d\"\n",
    );
    for (number, want) in [
        (0, "passes"),
        (1, "refused at its end"),
        (2, "refused at RCPT"),
    ] {
        let mut session = site.session(6);
        assert_eq!(deliver(&mut session, 60), want, "message {number}");
        session.quit().unwrap();
    }
}

#[test]
fn a_bounce_that_has_slept_for_one_recipient_survives_at_data_though_another_has_to_wait() {
    let lists = "delayedreject\nnospf\nracl whitelist rcpt slow@example.org tarpit 1s\n\
                 racl greylist default delay 1h msg \"wait\"\n";
    for (recipients, survives) in [
        (&["slow@example.org", "new@example.org"][..], true),
        (&["new@example.org"], false),
    ] {
        let site = Site::start(&["--greylist-action=DEFER_IF_PERMIT"], lists);
        let mut session = site.session(6);
        session.mail("").unwrap();
        for recipient in recipients {
            let reply = session.rcpt(recipient).unwrap();
            assert_eq!(reply, MilterReply::Continue, "{recipient}");
        }
        site.clock.advance(2);
        let (_, last) = session.message(&[("Subject", "x")], b"x\r\n").unwrap();
        assert_eq!(text(&last), "450 4.2.0 wait", "{recipients:?}");
        session.quit().unwrap();
        let end = rcpt(
            "x.example",
            "198.51.100.7",
            "a@b.example",
            "end@example.org",
        );
        site.daemon.ask(&end);
        site.daemon.log_until(|log| log.contains("end@example.org"));
        let has_survived = site.daemon.log().contains("reason=tarpit survived");
        assert_eq!(has_survived, survives, "{recipients:?}");
    }
}

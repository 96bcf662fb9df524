//! What comes over the wire, and above all what should not: after each of these the daemon answers the next
//! good request at once.

use std::process::Command;

use crate::support::{Client, Daemon, rcpt};

const DUNNO: &str = "DUNNO";

fn good(sender: &str) -> Vec<(&'static str, &str)> {
    rcpt("mx.example", "192.0.2.7", sender, "joe@example.net")
}

/// Whether a good request is answered as it should be.
fn is_well(daemon: &Daemon, sender: &str) -> bool {
    daemon
        .ask(&good(sender))
        .starts_with("DEFER_IF_PERMIT 4.2.0 Greylisted")
}

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    want_log: &'static str,
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, want_log: &'static str) -> Case {
    Case {
        name,
        bytes: bytes.into(),
        want_log,
    }
}

#[test]
fn garbage_ends_its_connection_with_one_log_line_and_no_answer() {
    let head = "request=smtpd_access_policy\n";
    let cases = [
        case("no equals sign", "EHLO there\n", "a line without '='"),
        case("an empty request", "\n", "the request type is missing"),
        case(
            "no request type",
            "sender=a@b\n\n",
            "the request type is missing",
        ),
        case(
            "another request type",
            "request=junk_policy\n\n",
            "an unknown request type \"junk_policy\"",
        ),
        case("a NUL", b"sender=a\0b\n\n".to_vec(), "a NUL byte"),
        case("no name", "=x\n\n", "an attribute without a name"),
        case(
            "a line of a megabyte",
            format!("{head}sender={}\n\n", "x".repeat(1 << 20)),
            "a line of more than 16384 bytes",
        ),
        case(
            "a line without end",
            "x".repeat(1 << 20),
            "a line of more than 16384 bytes",
        ),
        case(
            "10,000 attributes",
            format!("{head}{}\n", "a=b\n".repeat(10_000)),
            "more than 200 attributes",
        ),
        case(
            "many long lines",
            format!(
                "{head}{}\n",
                format!("a={}\n", "x".repeat(16_000)).repeat(10)
            ),
            "a request of more than 65536 bytes",
        ),
        case(
            "binary noise",
            vec![0xff, 0xfe, b'\n', 0x80],
            "a line without '='",
        ),
    ];
    let daemon = Daemon::start::<&str>(&[]);
    for (n, case) in cases.iter().enumerate() {
        let before = daemon.log().matches("connection closed").count();
        let mut client = daemon.connect();
        // The daemon may close before everything is sent.
        let sent = client.send(&case.bytes);
        assert!(client.is_closed_without_answer(), "{} {sent:?}", case.name);
        assert!(
            is_well(&daemon, &format!("s{n}x@example.org")),
            "{}",
            case.name
        );
        daemon.log_until(|log| log.matches("connection closed").count() > before);
        let log = daemon.log();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("connection closed"))
            .collect();
        assert_eq!(lines.len(), before + 1, "{}", case.name);
        assert!(
            lines[before].contains(case.want_log),
            "{}: {}",
            case.name,
            lines[before]
        );
    }
}

#[test]
fn odd_requests_are_answered() {
    let daemon = Daemon::start::<&str>(&[]);
    let mut client = daemon.connect();
    let address = |address| rcpt("mx.example", address, "a@b", "c@d");
    let cases = [
        ("client_address=unknown", address("unknown"), DUNNO),
        ("an empty client address", address(""), DUNNO),
        (
            "no sender attribute",
            {
                let mut request = good("a@b");
                request.retain(|(name, _)| *name != "sender");
                request
            },
            DUNNO,
        ),
        (
            "at DATA",
            {
                let mut request = good("a@b");
                request[0].1 = "DATA";
                request
            },
            DUNNO,
        ),
    ];
    for (name, request, want) in cases {
        assert_eq!(client.ask(&request), want, "{name}");
    }
    let binary: Vec<(&str, &[u8])> = vec![
        ("client_address", b"192.0.2.7"),
        ("client_name", b"mx\xff.example"),
        ("sender", b"\xc3\x28@example.org"),
        ("recipient", b"joe@\xff\xfe"),
    ];
    let answer = client.ask(&binary);
    assert!(answer.starts_with("DEFER_IF_PERMIT Greylisted"), "{answer}");
    for wanted in [
        "reason=client address unparsable",
        "reason=attribute missing: sender",
        "recipient=joe@\\xff\\xfe",
    ] {
        daemon.log_until(|log| log.contains(wanted));
    }
}

#[test]
fn a_recipient_that_cannot_be_shown_never_spoils_an_answer() {
    let daemon = Daemon::start(&["--greylist-text=see %r"]);
    let mut client = daemon.connect();
    let cases: [(&[u8], &str); 3] = [
        (b"joe@example.net", "DEFER_IF_PERMIT see example.net"),
        (b"joe@\xff", "DEFER_IF_PERMIT see the recipient"),
        (b"joe@a\x01b", "DEFER_IF_PERMIT see the recipient"),
    ];
    for (recipient, want) in cases {
        let request: Vec<(&str, &[u8])> = vec![
            ("client_address", b"192.0.2.7"),
            ("client_name", b"unknown"),
            ("sender", b"a@b"),
            ("recipient", recipient),
        ];
        assert_eq!(client.ask(&request), want);
    }
}

#[test]
fn requests_in_pieces_and_in_heaps_are_answered_in_order() {
    let daemon = Daemon::start(&["-q"]);
    let mut client = daemon.connect();
    let heap = (0..1000)
        .map(|n| {
            format!(
                "request=smtpd_access_policy\r\nclient_address=192.0.2.7\nclient_name=x\n\
                 sender=s{n}x@example.org\r\nrecipient=abuse@r{n}\n\n"
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let (first, rest) = heap.as_bytes().split_at(77);
    client.send(first).unwrap();
    client.send(rest).unwrap();
    for n in 0..1000 {
        let answer = client.answer().unwrap();
        assert_eq!(
            answer.as_deref(),
            Some("DEFER_IF_PERMIT Greylisted, please try again in 300 seconds"),
            "{n}"
        );
    }
    for byte in "request=smtpd_access_policy\nclient_address=x\n\n".bytes() {
        client.send([byte]).unwrap();
    }
    assert_eq!(client.answer().unwrap().as_deref(), Some(DUNNO));
}

#[test]
fn half_requests_hold_up_nobody() {
    let daemon = Daemon::start::<&str>(&[]);
    let mut halves: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = daemon.connect();
            client.send("request=smtpd_access_policy\nsender=").unwrap();
            client
        })
        .collect();
    assert!(is_well(&daemon, "a@example.org"));
    drop(halves.split_off(100));
    assert!(is_well(&daemon, "b@example.org"));
}

#[test]
fn three_thousand_connections_are_served() {
    let daemon = Daemon::start(&["-q"]);
    let limit = Command::new("prlimit")
        .args([
            "--nofile=8192:8192",
            &format!("--pid={}", std::process::id()),
        ])
        .status();
    assert!(limit.is_ok_and(|status| status.success()), "prlimit");
    let mut clients: Vec<Client> = (0..3000).map(|_| daemon.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate().step_by(7) {
        let answer = client.ask(&good(&format!("s{n}x@example.org")));
        assert!(answer.starts_with("DEFER_IF_PERMIT"), "{n}");
    }
    assert!(is_well(&daemon, "last@example.org"));
}

#[test]
fn with_exim_a_connection_ends_with_its_answer() {
    let daemon = Daemon::start(&["--exim"]);
    let mut client = daemon.connect();
    client.request(&good("a@example.org")).unwrap();
    assert!(client.answer().unwrap().unwrap().starts_with("DEFER"));
    assert!(client.is_closed_without_answer());
}

#[test]
fn the_time_in_a_request_counts_only_where_it_is_allowed() {
    let mut first = good("a@example.org");
    first.push(("policy_test_time", "1800000000"));
    let mut later = good("a@example.org");
    later.push(("policy_test_time", "1800000300"));
    for (options, want) in [
        (&[][..], "DEFER_IF_PERMIT 4.2.0 Greylisted"),
        (
            &["--policy-test-time"][..],
            "PREPEND X-Greylist: delayed 300 seconds",
        ),
    ] {
        let daemon = Daemon::start(options);
        assert!(daemon.ask(&first).starts_with("DEFER_IF_PERMIT"));
        let answer = daemon.ask(&later);
        assert!(answer.starts_with(want), "{answer}");
    }
}

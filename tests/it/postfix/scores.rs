//! The score of spamd behind a real Postfix.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use super::milter::MILTER;
use super::server::Line;
use super::smtp::Session;
use super::{SENDER, STRANGER, Site, assert_accepted};
use crate::spamd::{GTUBE, Server};

/// The file of those who want to greylist by the score alone.
const CONF: &str = "nospf\nracl whitelist default\n\
                    dacl greylist spamd > 5 msg \"score %Hs\"\n\
                    dacl whitelist default addheader \"X-Judged: %Hs\"\n";

/// A message with this text, and with fields that claim what spamd has not said.
fn send(session: &mut Session, recipient: &str, text: &str) -> String {
    session.mail(SENDER);
    assert_accepted(&session.rcpt(recipient));
    let ready = session.command("DATA").to_string();
    assert!(ready.starts_with("354"), "{ready}");
    let message = format!(
        "From: <eve@stranger.example>\r\nX-Spam-Status: No, score=-99\r\nSubject: hello\r\n\
         x-spam-score: -99\r\nX-SPAM-STATUS: No, score=-99\r\nX-Judged: -99\r\n\
         X-Spam-Report: -99\r\nx-judged: -99\r\nX-Spam-Checker-Version: -99\r\n\
         X-Other: stays\r\nx-Spam-statuS: No, score=-99\r\n\r\n{text}."
    );
    session.command(&message).to_string()
}

#[test]
fn spam_waits_at_its_end_and_what_is_delivered_has_its_score_and_no_forged_one() {
    let spamd = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("greylist.conf");
    let socket = format!("spamdsock unix \"{}\"\n", spamd.socket().display());
    fs::write(&conf, socket + CONF).unwrap();
    let options = format!("--greylist-conf={}", conf.display());
    let site = Site::with_milter(MILTER, &[&options]);
    let mut session = site.session(Line::Documented, STRANGER);
    let reply = send(&mut session, "anna@example.org", "Shall we meet?\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    let ham = site.postfix.message("anna");
    assert!(ham.contains("X-Spam-Status: No, score="), "{ham}");
    assert!(ham.contains("X-Judged: "), "{ham}");
    assert!(!ham.contains("-99"), "{ham}");
    let lower = ham.to_lowercase();
    for (name, count) in [
        ("status", 1),
        ("score", 1),
        ("report", 0),
        ("checker-version", 0),
    ] {
        let field = format!("\nx-spam-{name}:");
        assert_eq!(lower.matches(&field).count(), count, "{name}: {ham}");
    }
    assert_eq!(lower.matches("\nx-judged:").count(), 1, "{ham}");
    assert!(ham.contains("\nX-Other: stays\n"), "{ham}");
    // What is accepted is in the log with its score.
    site.daemon.log_until(|log| {
        log.lines().any(|line| {
            line.contains("action=pass, reason=")
                && line.contains(", recipient=anna@example.org, ")
                && line.contains(", recipients=1, score=")
        })
    });

    let reply = send(&mut session, "ben@example.org", GTUBE);
    assert!(
        reply.starts_with("45") && reply.contains("score 10"),
        "{reply}"
    );
    site.clock.advance(301);
    let reply = send(&mut session, "ben@example.org", GTUBE);
    assert!(reply.starts_with("250"), "{reply}");
    let spam = site.postfix.message("ben");
    assert!(spam.contains("X-Spam-Status: Yes, score=10"), "{spam}");
    assert!(spam.contains("X-Spam-Flag: YES"), "{spam}");
    assert!(spam.contains("X-Greylist: "), "{spam}");
    site.daemon.log_until(|log| {
        log.lines().any(|line| {
            line.contains("action=greylist, reason=new,")
                && line.contains(", recipients=1, score=10")
        })
    });
    assert!(!spam.contains("-99"), "{spam}");

    drop(spamd);
    let reply = send(&mut session, "carl@example.org", GTUBE);
    assert!(
        reply.starts_with("250"),
        "without a score nobody waits: {reply}"
    );
    let unscored = site.postfix.message("carl");
    assert!(!unscored.contains("X-Spam-"), "{unscored}");
}

/// A server at this socket that answers a request about [`GTUBE`] with this and hangs up.
pub(super) fn babble(socket: &Path, answer: &'static [u8]) {
    let listener = UnixListener::bind(socket).unwrap();
    // It ends with the test program.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut part) = (Vec::new(), [0; 4096]);
            while !request.ends_with(GTUBE.as_bytes()) {
                let length = stream.read(&mut part).unwrap();
                assert_ne!(length, 0, "a request has the message");
                request.extend_from_slice(&part[..length]);
            }
            stream.write_all(answer).unwrap();
        }
    });
}

#[test]
fn a_server_that_answers_garbage_gives_no_score_delays_nothing_and_is_told_once() {
    for answer in [&b"\x00\xff{ garbage }\r\n\r\n"[..], b""] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("spamd");
        babble(&socket, answer);
        let conf = directory.path().join("greylist.conf");
        let place = format!("spamdsock unix \"{}\"\n", socket.display());
        fs::write(&conf, place + CONF).unwrap();
        let options = format!("--greylist-conf={}", conf.display());
        let mut site = Site::with_milter(MILTER, &[&options]);
        let mut session = site.session(Line::Documented, STRANGER);
        for recipient in ["anna", "ben"] {
            let address = format!("{recipient}@example.org");
            let reply = send(&mut session, &address, GTUBE);
            assert!(reply.starts_with("250"), "{reply}");
            let message = site.postfix.message(recipient);
            let lower = message.to_lowercase();
            assert!(!lower.contains("\nx-spam-"), "{message}");
        }
        assert!(site.daemon.stop().success());
        let log = site.daemon.log();
        let told = "messages have no score until it answers again";
        assert_eq!(log.matches(told).count(), 1, "{log}");
    }
}

//! The score of spamd behind a real Postfix.

use std::fs;

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
         x-spam-score: -99\r\n\r\n{text}."
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

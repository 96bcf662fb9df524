//! Access lists behind Postfix: what the client sees.

use super::server::{Line, Postfix};
use super::smtp::{Peer, Session};
use super::{SENDER, Site, assert_accepted, assert_one_header};
use crate::access_list_files::S25R;
use crate::dns_lists::ListServer;
use crate::international;

const ANNA: &str = "anna@example.org";

/// Starts Postfix and a daemon with this file.
fn start(text: &str, lists: &ListServer) -> Site {
    let resolver = format!("--resolver={}", lists.address);
    Site::around(
        Postfix::start,
        &[("greylist.conf", text)],
        |_, directory| {
            let file = directory.join("greylist.conf");
            vec![resolver, format!("--greylist-conf={}", file.display())]
        },
    )
}

/// What stands before the text of the policy service.
fn rejected(begin: &str, text: &str) -> String {
    format!("{begin} <{ANNA}>: Recipient address rejected: {text}")
}

#[test]
fn the_file_of_s25r_decides_behind_postfix_as_the_option_does() {
    let lists = ListServer::start();
    let by_file = start(S25R, &lists);
    let by_option = Site::start(&["--s25r", "--s25r-exceptions=/dev/null"]);
    let nameless = |address| Peer {
        name: None,
        reverse_name: "[UNAVAILABLE]",
        address,
    };
    let of_file = [
        (nameless("203.0.113.7"), "S25R rule 0"),
        (nameless("IPV6:2001:db8::7"), "S25R rule 0"),
        (
            Peer {
                name: None,
                ..Peer::new("mail.liar.example", "198.51.100.8")
            },
            "S25R rule 0",
        ),
        (
            Peer::new("220-139-165-188.dynamic.example.net", "203.0.113.9"),
            "S25R rule 1",
        ),
        (
            Peer::new("user12345.example.org", "203.0.113.10"),
            "S25R rule 2",
        ),
        (
            Peer::new("adsl7.isp.example", "203.0.113.11"),
            "S25R rule 6",
        ),
        (Peer::new("mail.other.example", "198.51.100.7"), ""),
    ];
    for (number, (peer, text)) in of_file.into_iter().enumerate() {
        let sender = format!("eve{number}@stranger.example");
        let mut session = by_file.session(Line::Documented, peer);
        let reply = session.attempt(&sender, ANNA);
        let waits = !by_option.attempt(peer, &sender, ANNA).is_good();
        assert_eq!(!text.is_empty(), waits, "{peer:?}");
        if text.is_empty() {
            assert_accepted(&reply);
            continue;
        }
        assert_eq!(reply.to_string(), rejected("450 4.2.0", text), "{peer:?}");
        by_file.clock.advance(300);
        assert_accepted(&session.attempt(&sender, ANNA));
        session.data();
        let message = by_file.postfix.message("anna");
        assert_one_header(&message, 300, by_file.clock.now());
    }
    // The exceptions that the file has itself.
    for peer in [
        nameless("192.0.2.9"),
        Peer::new("mx7.isp.example", "203.0.113.7"),
    ] {
        assert_accepted(&by_file.attempt(peer, SENDER, ANNA));
    }
}

#[test]
fn a_refusal_and_a_deferral_reach_the_client_with_the_codes_and_texts_of_the_entry() {
    let lists = ListServer::start();
    let text = "nospf\n\
        racl blacklist domain bad.example\n\
        racl blacklist domain worse.example code \"554\" ecode \"5.7.9\" msg \"%d is not welcome, \\\"%f\\\"\"\n\
        racl greylist domain coded.example code \"450\" msg \"wait a little\"\n\
        racl greylist domain told.example code \"452\" ecode \"4.3.1\" msg \"wait %R\"\n\
        racl greylist default delay 1h\n";
    let site = start(text, &lists);
    let cases = [
        ("bad.example", "551 5.7.1", "Go away!"),
        (
            "mx.worse.example",
            "554 5.7.9",
            "mx.worse.example is not welcome, \"eve@stranger.example\"",
        ),
        ("coded.example", "450 4.7.1", "wait a little"),
        ("told.example", "452 4.3.1", "wait 00:05:00"),
        (
            "mail.other.example",
            "450 4.2.0",
            "Greylisting in action, please come back in 01:00:00",
        ),
    ];
    for (name, begin, text) in cases {
        let peer = Peer::new(name, "203.0.113.7");
        let reply = site.attempt(peer, SENDER, ANNA);
        assert_eq!(reply.to_string(), rejected(begin, text), "{name}");
        // Who has logged in does not wait, and is refused all the same.
        let server = site.postfix.address(Line::Documented);
        let mut session = Session::authenticated(server, peer, "joe");
        let reply = session.attempt(SENDER, ANNA);
        if begin.starts_with('5') {
            assert_eq!(reply.to_string(), rejected(begin, text), "{name}");
        } else {
            assert_accepted(&reply);
        }
    }
}

#[test]
fn the_mail_servers_of_a_domain_that_postfix_has_in_utf8_are_found() {
    let lists = ListServer::serving(international::ZONES);
    let site = start(
        "nospf\nracl whitelist mx /24\nracl greylist default\n",
        &lists,
    );
    for (address, passes) in [("198.51.100.9", true), ("203.0.113.9", false)] {
        let mut session = site.session(Line::Documented, Peer::new("mail.other.example", address));
        let mail = session.command("MAIL FROM:<eva@b\u{fc}cher.example.com> SMTPUTF8");
        assert!(mail.is_good(), "{mail}");
        assert_eq!(session.rcpt(ANNA).is_good(), passes, "{address}");
    }
}

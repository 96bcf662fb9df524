//! The daemon behind a real Postfix: what a sending host sees, and what reaches the mailbox.
//!
//! Every test has a Postfix and a daemon of its own, the daemon's socket lying in Postfix's queue
//! directory, and moves the daemon's time by a [`TestClock`]. Only root can start Postfix.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod access_lists;
mod allowed;
mod away;
mod beside;
mod checked;
mod contents;
mod filters;
pub(crate) mod milter;
mod patience;
pub(crate) mod recipes;
mod replayed;
mod replies;
mod reported;
mod scores;
mod server;
mod shared;
mod signatures;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;

use crate::support::{Daemon, TestClock, smtp};

pub(crate) use self::server::eventually;
use self::server::{Line, Postfix};
use smtp::{Peer, Reply, Session};

/// A day in November 2026.
pub(crate) const START: u64 = 1_795_312_200;

const HOUR: u64 = 3600;

const STRANGER: Peer = Peer::new("mail.stranger.example", "192.0.2.7");
const OTHER: Peer = Peer::new("mail.other.example", "198.51.100.7");
pub(crate) const SENDER: &str = "eve@stranger.example";

/// A Postfix, the daemon it asks, and the daemon's clock.
#[derive(Debug)]
struct Site {
    daemon: Daemon,
    postfix: Postfix,
    clock: TestClock,
}

impl Site {
    /// Starts both.
    fn start(options: &[&str]) -> Self {
        Self::with_lists(options, &[])
    }

    /// Starts both, with the content of list files.
    fn with_lists(options: &[&str], lists: &[(&str, &str)]) -> Self {
        Self::around(Postfix::start, lists, |_, _| {
            options.iter().map(ToString::to_string).collect()
        })
    }

    /// Starts both; the daemon's options may name files of either.
    fn around(
        start: impl FnOnce() -> Postfix,
        lists: &[(&str, &str)],
        options: impl FnOnce(&Postfix, &Path) -> Vec<String>,
    ) -> Self {
        let postfix = start();
        let mut daemon = Daemon::prepare();
        for (name, text) in lists {
            fs::write(daemon.path().join(name), text).unwrap();
        }
        let clock = TestClock::at(daemon.path(), START);
        let mut all = vec![
            clock.option(),
            format!("--unix={}", postfix.policy_socket().display()),
        ];
        all.extend(options(&postfix, daemon.path()));
        daemon.run(&all);
        Self {
            daemon,
            postfix,
            clock,
        }
    }

    fn session(&self, line: Line, peer: Peer) -> Session {
        self.postfix.session(line, peer)
    }

    /// One attempt at the documented port, in a session of its own.
    fn attempt(&self, peer: Peer, sender: &str, recipient: &str) -> Reply {
        self.session(Line::Documented, peer)
            .attempt(sender, recipient)
    }

    /// Lets a new triplet wait and come back in time.
    fn pass(&self, peer: Peer, sender: &str, recipient: &str) {
        assert_deferred(&self.attempt(peer, sender, recipient), recipient, 300);
        self.clock.advance(300);
        assert_accepted(&self.attempt(peer, sender, recipient));
    }

    /// The daemon's lines about decisions on a recipient, once the daemon has ended.
    fn decisions(&mut self, recipient: &str) -> Vec<String> {
        assert!(self.daemon.stop().success());
        let log = self.daemon.log();
        log.lines()
            .filter(|line| line.contains("action="))
            .filter(|line| line.contains(&format!("recipient={recipient}")))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            let (daemon, postfix) = (self.daemon.log(), self.postfix.log());
            writeln!(
                io::stderr(),
                "stargreyd's log:\n{daemon}\nPostfix's log:\n{postfix}"
            )
            .ok();
        }
    }
}

fn assert_accepted(reply: &Reply) {
    assert_eq!(reply.to_string(), "250 2.1.5 Ok");
}

fn assert_deferred(reply: &Reply, recipient: &str, seconds: u64) {
    assert_eq!(
        reply.to_string(),
        format!(
            "450 4.2.0 <{recipient}>: Recipient address rejected: \
             Greylisted, please try again in {seconds} seconds"
        )
    );
}

/// The `X-Greylist` lines in a message's header.
pub(crate) fn greylist_headers(message: &str) -> Vec<&str> {
    let (header, _) = message
        .split_once("\n\n")
        .expect("header, empty line, body");
    header
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("x-greylist"))
        .collect()
}

/// Asserts that a message says once, with a date as RFC 5322 has it, how long it was delayed.
pub(crate) fn assert_one_header(message: &str, delay: u64, now: u64) {
    let headers = greylist_headers(message);
    let [header] = headers[..] else {
        panic!("not one X-Greylist header: {message}");
    };
    let version = env!("CARGO_PKG_VERSION");
    let wanted =
        format!("X-Greylist: delayed {delay} seconds by stargrey-{version} at mx.example.org; ");
    let date = header
        .strip_prefix(&wanted)
        .unwrap_or_else(|| panic!("{header:?} does not begin with {wanted:?}"));
    let (_, zone) = date.rsplit_once(' ').unwrap();
    assert!(
        zone.len() == 5 && zone.starts_with(['+', '-']) && zone[1..].parse::<u16>().is_ok(),
        "a zone in digits: {date}"
    );
    let date = jiff::fmt::rfc2822::parse(date).unwrap_or_else(|error| panic!("{header}: {error}"));
    assert_eq!(date.timestamp().as_second().cast_unsigned(), now);
}

#[test]
fn a_stranger_is_told_to_come_back_and_its_mail_then_has_one_header() {
    let site = Site::start(&[]);
    let recipients = ["anna", "ben", "carl"].map(|name| format!("{name}@example.org"));

    let mut session = site.session(Line::Documented, STRANGER);
    session.mail(SENDER);
    for recipient in &recipients {
        assert_deferred(&session.rcpt(recipient), recipient, 300);
    }
    site.clock.advance(17);
    assert_deferred(
        &session.attempt(SENDER, &recipients[0]),
        &recipients[0],
        283,
    );
    site.clock.advance(300);
    session.mail(SENDER);
    for recipient in &recipients {
        assert_accepted(&session.rcpt(recipient));
    }
    session.data();
    for name in ["anna", "ben", "carl"] {
        assert_one_header(&site.postfix.message(name), 317, site.clock.now());
    }

    assert_accepted(&session.attempt(SENDER, &recipients[0]));
    session.data();
    let second = site.postfix.message("anna");
    assert!(greylist_headers(&second).is_empty(), "{second}");
}

#[test]
fn whom_a_list_names_passes_at_once_and_nobody_else() {
    let lists = [
        (
            "whitelist_clients",
            "friend.example # by name\n203.0.113.0/24\n2001:db8:1::/48\n",
        ),
        ("whitelist_recipients", "dora@example.org\n"),
        ("whitelist_senders", "customer.example\n"),
    ];
    let site = Site::with_lists(&[], &lists);
    let pretender = Peer {
        name: None,
        reverse_name: "mail.friend.example",
        address: "198.51.100.9",
    };
    let by_name = Peer::new("mail.friend.example", "198.51.100.8");
    let by_network = Peer::new("mail.elsewhere.example", "203.0.113.200");
    let by_network6 = Peer::new("mail.elsewhere.example", "IPV6:2001:db8:1:2::3");
    let stranger6 = Peer::new("mail.elsewhere.example", "IPV6:2001:db8:2::3");
    let cases = [
        ("client by name", by_name, SENDER, "anna", true),
        ("client by network", by_network, SENDER, "anna", true),
        ("client by IPv6 network", by_network6, SENDER, "anna", true),
        ("recipient", STRANGER, SENDER, "dora", true),
        ("sender", STRANGER, "buyer@customer.example", "anna", true),
        ("name not verified", pretender, SENDER, "anna", false),
        ("other IPv6 network", stranger6, SENDER, "anna", false),
        ("other recipient", STRANGER, SENDER, "anna", false),
        ("bounce", STRANGER, "", "anna", false),
    ];
    for (name, peer, sender, mailbox, want_pass) in cases {
        let mut session = site.session(Line::Documented, peer);
        let recipient = format!("{mailbox}@example.org");
        let reply = session.attempt(sender, &recipient);
        assert_eq!(reply.is_good(), want_pass, "{name}: {reply}");
        if want_pass {
            session.data();
            let message = site.postfix.message(mailbox);
            assert!(greylist_headers(&message).is_empty(), "{name}: {message}");
        } else {
            assert_deferred(&reply, &recipient, 300);
        }
    }
}

#[test]
fn a_client_that_came_back_often_enough_is_not_delayed_again() {
    let mut site = Site::start(&[]);
    for name in ["anna", "ben", "carl", "dora", "emil"] {
        let sender = format!("{name}s-friend@stranger.example");
        site.pass(STRANGER, &sender, &format!("{name}@example.org"));
        site.clock.advance(HOUR);
    }

    let mut session = site.session(Line::Documented, STRANGER);
    assert_accepted(&session.attempt("new@stranger.example", "frida@example.org"));
    session.data();
    let message = site.postfix.message("frida");
    assert!(greylist_headers(&message).is_empty(), "{message}");

    let neighbour = Peer::new("www.stranger.example", "192.0.2.8");
    let reply = site.attempt(neighbour, "third@stranger.example", "frida@example.org");
    assert_deferred(&reply, "frida@example.org", 300);

    let decisions = site.decisions("frida@example.org");
    assert_eq!(decisions.len(), 2, "{decisions:#?}");
    assert!(decisions[0].contains("action=pass, reason=client AWL"));
    assert!(decisions[1].contains("action=greylist, reason=new"));
    let log = site.daemon.log();
    let whitelisted = "whitelisted: mail.stranger.example[192.0.2.7]";
    assert_eq!(log.matches(whitelisted).count(), 1, "{log}");
}

#[test]
fn a_killed_daemon_forgets_nothing_and_postfix_finds_it_again() {
    let mut site = Site::start(&["--auto-whitelist-clients=2"]);
    let regular = Peer::new("mail.regular.example", "203.0.113.7");
    for recipient in ["anna@example.org", "ben@example.org"] {
        site.pass(regular, SENDER, recipient);
        site.clock.advance(HOUR);
    }
    site.pass(OTHER, SENDER, "anna@example.org");
    let mut waiting = site.session(Line::Documented, STRANGER);
    let mut passed = site.session(Line::Documented, OTHER);
    let mut whitelisted = site.session(Line::Documented, regular);
    let recipient = "anna@example.org";
    assert_deferred(&waiting.attempt(SENDER, recipient), recipient, 300);
    assert_accepted(&passed.attempt(SENDER, recipient));
    assert_accepted(&whitelisted.attempt("more@stranger.example", recipient));

    site.daemon.kill();
    site.clock.advance(120);
    site.daemon.start_again();

    // In the same SMTP sessions, so that each smtpd still holds its connection to the dead daemon.
    assert_deferred(&waiting.attempt(SENDER, recipient), recipient, 180);
    assert_accepted(&passed.attempt(SENDER, recipient));
    passed.data();
    let message = site.postfix.message("anna");
    assert!(greylist_headers(&message).is_empty(), "{message}");
    assert_accepted(&whitelisted.attempt("still-more@stranger.example", recipient));
    let reply = passed.attempt("other@stranger.example", recipient);
    assert_deferred(&reply, recipient, 300);

    site.clock.advance(180);
    assert_accepted(&waiting.attempt(SENDER, recipient));
    waiting.data();
    assert_one_header(&site.postfix.message("anna"), 300, site.clock.now());
}

#[test]
fn without_the_daemon_the_documented_line_lets_mail_pass_and_the_bare_one_does_not() {
    let mut site = Site::start(&[]);
    let recipient = "anna@example.org";
    let mut documented = site.session(Line::Documented, STRANGER);
    let mut bare = site.session(Line::Bare, STRANGER);
    assert_deferred(&documented.attempt(SENDER, recipient), recipient, 300);
    assert_deferred(&bare.attempt(SENDER, recipient), recipient, 300);

    assert!(site.daemon.stop().success());
    assert!(!site.postfix.policy_socket().exists());
    assert_accepted(&documented.attempt(SENDER, recipient));
    documented.data();
    let message = site.postfix.message("anna");
    assert!(greylist_headers(&message).is_empty(), "{message}");
    assert_eq!(
        bare.attempt(SENDER, recipient).to_string(),
        format!(
            "451 4.3.5 <{recipient}>: Recipient address rejected: Server configuration problem"
        )
    );

    site.daemon.start_again();
    assert_deferred(&documented.attempt(SENDER, recipient), recipient, 300);
    assert_deferred(&bare.attempt(SENDER, recipient), recipient, 300);
}

#[test]
fn a_service_named_in_four_lists_decides_once_and_adds_one_header() {
    let mut site = Site::start(&[]);
    let recipients = ["anna@example.org", "ben@example.org"];
    let mut session = site.session(Line::FourTimes, STRANGER);
    session.mail(SENDER);
    for recipient in recipients {
        // The first list's words are kept: that of clients.
        assert_eq!(
            session.rcpt(recipient).to_string(),
            "450 4.2.0 <mail.stranger.example[192.0.2.7]>: Client host rejected: \
             Greylisted, please try again in 300 seconds"
        );
    }
    site.clock.advance(301);
    session.mail(SENDER);
    for recipient in recipients {
        assert_accepted(&session.rcpt(recipient));
    }
    session.data();
    for name in ["anna", "ben"] {
        assert_one_header(&site.postfix.message(name), 301, site.clock.now());
    }

    let asked = "send attr request = smtpd_access_policy";
    eventually("sixteen questions in Postfix's log", || {
        (site.postfix.log().matches(asked).count() == 16).then_some(())
    });
    site.daemon
        .wait_for("STATUS=4 requests: 2 greylisted, 2 passed; 0 triplets waiting, 2 passed,");
    for recipient in recipients {
        let decisions = site.decisions(recipient);
        assert_eq!(decisions.len(), 2, "{decisions:#?}");
        assert!(decisions[0].contains("action=greylist, reason=new"));
        let want_pass = "action=pass, reason=triplet found, delay=301, client_name=";
        assert!(decisions[1].contains(want_pass), "{}", decisions[1]);
        site.daemon.start_again();
    }
}

#[test]
fn what_postfix_rejects_before_it_asks_is_not_greylisted() {
    let mut site = Site::start(&[]);
    let relay = "554 5.7.1 <anna@elsewhere.example>: Relay access denied";
    let unknown = "550 5.1.1 <nobody@example.org>: Recipient address rejected: \
                   User unknown in virtual mailbox table";
    for (line, recipient, want) in [
        (Line::Documented, "anna@elsewhere.example", relay),
        (Line::Bare, "anna@elsewhere.example", relay),
        (Line::Unlisted, "nobody@example.org", unknown),
    ] {
        let reply = site.session(line, STRANGER).attempt(SENDER, recipient);
        assert_eq!(reply.to_string(), want, "{line:?}");
    }
    for recipient in ["anna@elsewhere.example", "nobody@example.org"] {
        let decisions = site.decisions(recipient);
        assert!(decisions.is_empty(), "{decisions:#?}");
        site.daemon.start_again();
    }

    // Without reject_unlisted_recipient, Postfix looks for the mailbox last.
    let recipient = "nobody@example.org";
    let reply = site.attempt(STRANGER, SENDER, recipient);
    assert_deferred(&reply, recipient, 300);
    site.clock.advance(300);
    let reply = site.attempt(STRANGER, SENDER, recipient);
    assert_eq!(reply.to_string(), unknown);
}

#[test]
fn a_restriction_class_asks_only_about_suspicious_clients() {
    let mut site = Site::start(&[]);
    let nameless = Peer {
        name: None,
        reverse_name: "[UNAVAILABLE]",
        address: "198.51.100.9",
    };
    let dynamic = Peer::new("dsl-12-34.provider.example", "203.0.113.7");
    let recipient = "anna@example.org";
    let mut session = site.session(Line::Class, STRANGER);
    assert_accepted(&session.attempt(SENDER, recipient));
    for suspicious in [nameless, dynamic] {
        let mut session = site.session(Line::Class, suspicious);
        // In Postfix's eyes it is the client that the table rejects.
        assert_eq!(
            session.attempt(SENDER, recipient).to_string(),
            format!(
                "450 4.2.0 <{}[{}]>: Client host rejected: \
                 Greylisted, please try again in 300 seconds",
                suspicious.name.unwrap_or("unknown"),
                suspicious.address
            )
        );
        site.clock.advance(300);
        assert_accepted(&session.attempt(SENDER, recipient));
        session.data();
        assert_one_header(&site.postfix.message("anna"), 300, site.clock.now());
    }
    let decisions = site.decisions(recipient);
    assert_eq!(decisions.len(), 4, "{decisions:#?}");
}

//! spamd that hangs, ends or answers garbage while a real Postfix receives mail: the mail passes without a score, and has
//! one again as soon as there is an answer.

use std::fs;
use std::thread;
use std::time::Duration;

use super::SENDER;
use super::milter::MILTER;
use super::recipes::timed;
use super::scores::babble;
use super::server::{Line, Postfix, Wiring};
use super::smtp::{Peer, Session};
use crate::bus::OnBus;
use crate::spamd::{GTUBE, Server};
use crate::support::Daemon;

/// How long a message waits for its score, in seconds, as stargreyd(8) says, and how much longer a busy machine may take.
const PATIENCE: u64 = 60;
const MARGIN: u64 = 20;

/// What is logged when there is no answer, and when there is one again.
const AWAY: &str = "messages have no score until it answers again";
const BACK: &str = ": answers again";

const CLIENT: Peer = Peer::new("mail.other.example", "198.51.100.7");

/// Postfix, the daemon on a bus, and spamd.
struct Site {
    on: OnBus,
    postfix: Postfix,
    spamd: Server,
}

impl Site {
    /// Starts all three; spam waits.
    fn start() -> Self {
        let spamd = Server::start();
        let postfix = Postfix::wired(Wiring::of(MILTER, &[]));
        let daemon = Daemon::prepare();
        let conf = daemon.path().join("greylist.conf");
        let text = "nospf\nracl whitelist default\ndacl greylist spamd > 5 msg \"spam\"\n";
        fs::write(&conf, text).unwrap();
        let options = [
            format!("--milter=unix:{}", postfix.milter_socket().display()),
            format!("--spamd=unix:{}", spamd.socket().display()),
            format!("--greylist-conf={}", conf.display()),
        ];
        let on = OnBus::start_prepared(daemon, &options.each_ref().map(String::as_str));
        Self { on, postfix, spamd }
    }

    /// Sends spam to a recipient; the reply to its end, and how long that took.
    fn send(&self, recipient: &str) -> (String, Duration) {
        let mut session = Session::open(self.postfix.address(Line::Documented), CLIENT);
        session.wait_for_up_to(Duration::from_secs(PATIENCE + MARGIN));
        session.mail(SENDER);
        let accepted = session.rcpt(&format!("{recipient}@example.org"));
        assert!(accepted.is_good(), "{accepted}");
        let ready = session.command("DATA").to_string();
        assert!(ready.starts_with("354"), "{ready}");
        let message = format!("Subject: hello\r\nX-Spam-Status: No, score=-99\r\n\r\n{GTUBE}.");
        let (reply, time) = timed(|| session.command(&message));
        (reply.to_string(), time)
    }

    /// Sends spam to each of these, all at once, which is delivered without a score; how long the slowest reply took.
    fn pass_without_score(&self, recipients: &[&str]) -> Duration {
        let sent = thread::scope(|scope| {
            let all: Vec<_> = recipients
                .iter()
                .map(|recipient| scope.spawn(|| self.send(recipient)))
                .collect();
            let all = all.into_iter().map(|one| one.join().unwrap());
            all.collect::<Vec<_>>()
        });
        for (recipient, (reply, _)) in recipients.iter().zip(&sent) {
            assert!(reply.starts_with("250"), "{recipient}: {reply}");
            let message = self.postfix.message(recipient);
            assert!(!message.contains("X-Spam-"), "{message}");
        }
        let times = sent.into_iter().map(|(_, time)| time);
        times.max().expect("a message")
    }

    /// Asserts that the status says this of spamd and ends with this, and how often the log has said that spamd is away
    /// and back.
    fn assert_seen(&self, code: i32, shown: &str, times: (usize, usize)) {
        let (got, status) = self.on.ctl(&["status"]);
        let mut lines = status.lines().map(str::trim);
        let line = lines.find_map(|line| line.strip_prefix("spamd: "));
        assert_eq!((got, line), (code, Some(shown)), "{status}");
        let log = self.on.daemon.log();
        let said = (log.matches(AWAY).count(), log.matches(BACK).count());
        assert_eq!(said, times, "{log}");
    }

    /// Asserts that spam waits, because it has a score.
    fn assert_scored(&self) {
        let (reply, _) = self.send("dora");
        assert_eq!(reply, "450 4.2.0 spam");
    }
}

const ANSWERS: &str = "answers";
const DOES_NOT: &str = "does not answer; messages have no score";

/// Sends messages to these, all at once, while spamd hangs: each waits for a minute.
fn hang(recipients: &[&str]) -> Site {
    let site = Site::start();
    site.assert_scored();
    site.assert_seen(0, ANSWERS, (0, 0));
    site.spamd.signal("STOP");
    let time = site.pass_without_score(recipients).as_secs();
    assert!((PATIENCE..PATIENCE + MARGIN).contains(&time), "{time} s");
    site.assert_seen(1, DOES_NOT, (1, 0));
    site
}

#[test]
fn a_spamd_that_hangs_holds_messages_for_a_minute_and_is_not_waited_for_after_three_of_them() {
    thread::scope(|scope| {
        scope.spawn(|| {
            let site = hang(&["anna", "ben"]);
            site.spamd.signal("CONT");
            site.assert_scored();
            site.assert_seen(0, ANSWERS, (1, 1));
        });
        scope.spawn(|| {
            let site = hang(&["anna", "ben", "carl"]);
            let time = site.pass_without_score(&["emil"]);
            assert!(time.as_secs() < MARGIN, "{time:?}");
            site.assert_seen(1, DOES_NOT, (1, 0));
            site.spamd.signal("CONT");
        });
    });
}

#[test]
fn a_spamd_that_has_ended_or_answers_garbage_holds_no_message_and_is_asked_again() {
    for garbage in [
        None,
        Some(&b"SPAMD/1.1 0 EX_OK\r\nSpam: \xff ; much / 5\r\n\r\n"[..]),
    ] {
        let mut site = Site::start();
        site.spamd.end();
        if let Some(garbage) = garbage {
            babble(&site.spamd.socket(), garbage);
        }
        for recipient in ["anna", "ben"] {
            let time = site.pass_without_score(&[recipient]);
            assert!(time.as_secs() < MARGIN, "{time:?}");
            site.assert_seen(1, DOES_NOT, (1, 0));
        }
        if garbage.is_some() {
            fs::remove_file(site.spamd.socket()).unwrap();
        }
        site.spamd.start_again();
        site.assert_scored();
        site.assert_seen(0, ANSWERS, (1, 1));
    }
}

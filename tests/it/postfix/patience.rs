//! A Postfix that does not wait for the milter, because its timeout is shorter than the sleep, and one that does, by the
//! recipe.

use std::fs;
use std::time::Duration;

use super::recipes::{recipe, timed};
use super::server::{Line, Postfix, Wiring, eventually};
use super::smtp::{Peer, Session};
use super::{SENDER, assert_accepted};
use crate::bus::OnBus;
use crate::support::Daemon;

/// The length of a sleep, in seconds: a shorter reply is not a slow one.
const SLEEP: u64 = 10;

/// The beginning and the end of what the log says.
const ADVICE: &str = "3 times in a row the mail server has closed a milter session before the reply, which took 10 s or more";
const SETTING: &str =
    "for Postfix set command_timeout, for Sendmail T=R, as stargrey-milter(7) has it";

/// Clients in different networks: one that goes away after the sleep is greylisted next time.
const CLIENTS: [&str; 4] = ["203.0.113.7", "198.51.100.7", "192.0.2.7", "198.18.0.7"];

/// Postfix by a recipe, with a listener that waits for less than the sleep, and the daemon on a bus.
struct Site {
    on: OnBus,
    postfix: Postfix,
}

impl Site {
    fn start() -> Self {
        let recipe = recipe("Milter and S25R");
        let mut main = recipe.files[0].1.clone();
        assert!(main.contains("command_timeout=300s"), "{main}");
        main.push_str("smtpd_recipient_restrictions = reject_unauth_destination\n");
        let postfix = Postfix::wired(Wiring {
            lines: vec![Line::Documented, Line::Hasty],
            ..Wiring::of(&main, &[])
        });
        let milter = format!("--milter=unix:{}", postfix.milter_socket().display());
        let tarpit = format!("--tarpit={SLEEP}");
        let own = ["--s25r-exceptions=/dev/null", &tarpit, &milter];
        let options: Vec<&str> = recipe.options.split_whitespace().chain(own).collect();
        let on = OnBus::start_prepared(Daemon::prepare(), &options);
        Self { on, postfix }
    }

    /// How long the reply to a recipient takes, who is accepted, until the daemon, too, has done with the session.
    fn sleep(&self, line: Line, client: &'static str) -> Duration {
        let peer = Peer::new("dsl-12-34-56-78.isp.example", client);
        let mut session = Session::open(self.postfix.address(line), peer);
        session.mail(SENDER);
        let (reply, time) = timed(|| session.rcpt("anna@example.org"));
        assert_accepted(&reply);
        drop(session);
        eventually("the end of the milter session", || {
            (self.sessions() == 0).then_some(())
        });
        time
    }

    /// How many milter sessions the daemon has.
    fn sessions(&self) -> usize {
        let socket = self.postfix.milter_socket();
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        // Num RefCount Protocol Flags Type St Inode Path; 03 is connected.
        let of_milter = sockets.lines().filter(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(5) == Some(&"03") && words.get(7).copied() == socket.to_str()
        });
        of_milter.count()
    }

    /// How often the log has the advice, and the number in a row as JSON and as text.
    fn said(&self) -> (usize, u64, Option<String>) {
        let log = self.on.daemon.log();
        let lines = log.lines().filter(|line| line.contains(ADVICE));
        let lines = lines.inspect(|line| assert!(line.contains(SETTING), "{line}"));
        let (_, status) = self.on.ctl_json(&["status"]);
        let in_a_row = status["milter_timeouts"].as_u64().unwrap();
        let (_, status) = self.on.ctl(&["status"]);
        let mut shown = status.lines().map(str::trim);
        let shown = shown.find_map(|line| line.strip_prefix("Milter: "));
        (lines.count(), in_a_row, shown.map(str::to_owned))
    }
}

/// What status says of so many replies.
fn shown(replies: u32) -> String {
    format!(
        "the mail server did not wait for the last {replies} slow replies; raise its timeout, see stargrey-milter(7)"
    )
}

#[test]
fn a_postfix_that_does_not_wait_for_the_sleep_is_named_once_until_it_waits() {
    let site = Site::start();
    for (client, (line, want)) in CLIENTS.into_iter().zip([
        (Line::Hasty, (0, 0, None)),
        (Line::Hasty, (0, 0, None)),
        (Line::Hasty, (1, 3, Some(shown(3)))),
        (Line::Documented, (1, 0, None)),
    ]) {
        let waited = site.sleep(line, client).as_secs();
        assert_eq!(waited >= SLEEP, line == Line::Documented, "{waited} s");
        assert_eq!(site.said(), want, "{client}");
    }
}

#[test]
fn a_postfix_with_the_timeout_of_the_recipe_is_not_named() {
    let site = Site::start();
    for client in CLIENTS.into_iter().take(3) {
        let waited = site.sleep(Line::Documented, client).as_secs();
        assert!(waited >= SLEEP, "{waited} s");
        assert_eq!(site.said(), (0, 0, None), "{client}");
    }
}

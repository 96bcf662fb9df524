//! The milter behind a real Postfix, alone and beside the policy service.

use std::fs;

use super::recipes::{recipe, start, start_wired, timed};
use super::server::{Line, Postfix, Wiring};
use super::smtp::{NOBODY, Peer, Reply, Session};
use super::{
    SENDER, STRANGER, Site, assert_accepted, assert_deferred, assert_one_header, eventually,
    greylist_headers,
};
use crate::manual;
use crate::support::network::Network;

const ANNA: &str = "anna@example.org";
const BEN: &str = "ben@example.org";

/// The lines of main.cf that name the milter.
pub(super) const MILTER: &str = "\
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_milters = { unix:stargrey/milter, default_action=accept, command_timeout=300s }
";

/// A message with header fields that somebody else has written under our name.
pub(crate) const FORGED: &str = "From: <eve@stranger.example>\r\nX-Greylist: forged 1\r\nSubject: hello\r\nx-greylist: forged 2\r\nX-Other: stays\r\nX-Judged: forged\r\nX-GREYLIST: forged 3\r\n\r\nhello\r\n.";

impl Site {
    /// Postfix with these lines of main.cf, and the daemon with a milter socket.
    pub(super) fn with_milter(main: &str, options: &[&str]) -> Self {
        Self::around(
            || Postfix::wired(Wiring::of(main, &[])),
            &[],
            |postfix, _| {
                let socket = postfix.milter_socket();
                let mut all = vec![format!("--milter=unix:{}", socket.display())];
                all.extend(options.iter().map(ToString::to_string));
                all
            },
        )
    }
}

/// Sends the message after its recipients were accepted.
fn deliver(session: &mut Session) {
    let ready = session.command("DATA").to_string();
    assert!(ready.starts_with("354"), "{ready}");
    let queued = session.command(FORGED);
    assert!(queued.is_good(), "{queued}");
}

/// A message with one line for each field of its header.
pub(crate) fn unfolded(message: &str) -> String {
    message.replace("\n ", " ")
}

#[test]
fn a_deferral_that_is_put_off_comes_at_the_end_of_the_message_and_the_session_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("greylist.conf");
    fs::write(&conf, "delayedreject\nnospf\nracl greylist default\n").unwrap();
    let options = format!("--greylist-conf={}", conf.display());
    let site = Site::with_milter(MILTER, &[&options]);
    let mut session = site.session(Line::Documented, STRANGER);
    // Postfix asks a milter no second time about DATA if the first was refused, and waits for its reply all the same.
    for _ in 0..2 {
        session.mail("");
        assert_accepted(&session.rcpt(ANNA));
        let ready = session.command("DATA").to_string();
        assert!(ready.starts_with("354"), "{ready}");
        let reply = session.command(FORGED).to_string();
        assert!(
            reply.starts_with("450 4.2.0 Greylisting in action"),
            "{reply}"
        );
    }
    site.clock.advance(301);
    session.mail("");
    assert_accepted(&session.rcpt(ANNA));
    deliver(&mut session);
    assert_eq!(greylist_headers(&site.postfix.message("anna")).len(), 1);
}

#[test]
fn by_the_milter_a_client_waits_once_and_its_mail_has_one_header_that_is_ours() {
    let mut site = start(&recipe("Milter"));
    let mut session = site.session(Line::Documented, STRANGER);
    session.mail(SENDER);
    assert_eq!(
        session.rcpt(ANNA).to_string(),
        "450 4.2.0 Greylisted, please try again in 300 seconds"
    );
    site.clock.advance(301);
    session.mail(SENDER);
    assert_accepted(&session.rcpt(ANNA));
    deliver(&mut session);
    let message = site.postfix.message("anna");
    assert_one_header(&unfolded(&message), 301, site.clock.now());
    assert!(message.contains("X-Other: stays"), "{message}");
    // The next message of the session has not waited.
    session.mail(SENDER);
    assert_accepted(&session.rcpt(ANNA));
    deliver(&mut session);
    let message = site.postfix.message("anna");
    assert_eq!(greylist_headers(&message), Vec::<&str>::new(), "{message}");
    let decisions = site.decisions(ANNA);
    assert_eq!(decisions.len(), 3, "{decisions:#?}");
    assert!(
        decisions[0].contains("action=greylist, reason=new, client_name=mail.stranger.example")
    );
    assert!(decisions[1].contains("reason=triplet found, delay=301"));
}

#[test]
fn a_message_about_which_both_are_asked_is_decided_once_and_the_milter_writes_its_header() {
    let mut site = start(&recipe("Milter beside the policy service"));
    let mut session = site.session(Line::Documented, STRANGER);
    session.mail(SENDER);
    assert_deferred(&session.rcpt(ANNA), ANNA, 300);
    site.clock.advance(301);
    session.mail(SENDER);
    assert_accepted(&session.rcpt(ANNA));
    deliver(&mut session);
    assert_one_header(
        &unfolded(&site.postfix.message("anna")),
        301,
        site.clock.now(),
    );
    site.daemon
        .wait_for("STATUS=2 requests: 1 greylisted, 1 passed; 0 triplets waiting, 1 passed,");
    let decisions = site.decisions(ANNA);
    assert_eq!(decisions.len(), 2, "{decisions:#?}");
}

#[test]
fn own_users_never_wait_whatever_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("greylist.conf");
    let text = "nospf\ndacl whitelist default addheader \"X-Judged: ours\"\n";
    fs::write(&conf, text).unwrap();
    let conf = format!("--greylist-conf={}", conf.display());
    let own = ["--own-networks=203.0.113.0/24", "--s25r", &conf];
    let mut site = Site::with_milter(MILTER, &own);
    let line = |address| Peer::new("dsl-12-34-56-78.isp.example", address);
    let local = line("127.0.0.1");
    let peers = [
        (line("203.0.113.7"), "[UNAVAILABLE]", true, "own network"),
        (line("198.51.100.7"), "joe", true, "authenticated"),
        (local, "[UNAVAILABLE]", true, "own network"),
        (line("198.51.100.8"), "[UNAVAILABLE]", false, "new"),
    ];
    for (peer, user, passes, _) in peers {
        let server = site.postfix.address(Line::Documented);
        let mut session = Session::authenticated(server, peer, user);
        assert_eq!(session.attempt(SENDER, ANNA).is_good(), passes, "{user}");
        if passes {
            // What they write under our name is theirs.
            deliver(&mut session);
            let message = site.postfix.message("anna");
            assert_eq!(greylist_headers(&message).len(), 3, "{user}: {message}");
            assert!(message.contains("X-Judged: forged"), "{user}: {message}");
        }
    }
    let mut decisions = site.decisions(ANNA);
    decisions.retain(|line| !line.contains("recipients="));
    for (decision, (.., reason)) in decisions.iter().zip(peers) {
        assert!(
            decision.contains(&format!("reason={reason},")),
            "{decision}"
        );
    }
    assert_eq!(decisions.len(), peers.len());
}

#[test]
fn a_milter_from_before_version_6_is_answered() {
    let main = format!("{MILTER}milter_protocol = 2\n");
    let site = Site::with_milter(&main, &[]);
    let mut session = site.session(Line::Documented, STRANGER);
    session.mail(SENDER);
    assert!(!session.rcpt(ANNA).is_good());
    site.clock.advance(301);
    session.mail(SENDER);
    assert_accepted(&session.rcpt(ANNA));
    deliver(&mut session);
    assert_one_header(
        &unfolded(&site.postfix.message("anna")),
        301,
        site.clock.now(),
    );
}

#[test]
fn a_message_under_way_is_finished_at_the_end_of_the_daemon_and_a_killed_daemon_loses_no_mail() {
    let mut site = Site::with_milter(MILTER, &[]);
    let mut session = site.session(Line::Documented, STRANGER);
    session.mail(SENDER);
    assert!(!session.rcpt(ANNA).is_good());
    site.clock.advance(301);
    session.mail(SENDER);
    assert_accepted(&session.rcpt(ANNA));
    site.daemon.signal("TERM");
    site.daemon.wait_for("STOPPING=1");
    deliver(&mut session);
    assert_one_header(
        &unfolded(&site.postfix.message("anna")),
        301,
        site.clock.now(),
    );
    assert_eq!(site.postfix.left("anna"), 0, "it has come once");
    assert!(site.daemon.stopped().success());

    // Without a milter the documented default action lets mail pass.
    let mut session = site.session(Line::Documented, STRANGER);
    session.mail(SENDER);
    assert_accepted(&session.rcpt(BEN));
    deliver(&mut session);
    site.postfix.message("ben");
    assert_eq!(site.postfix.left("ben"), 0);

    site.daemon.start_again();
    let mut session = site.session(Line::Documented, STRANGER);
    session.mail(SENDER);
    assert_accepted(&session.rcpt(ANNA));
    site.daemon.kill();
    deliver(&mut session);
    site.postfix.message("anna");
    assert_eq!(site.postfix.left("anna"), 0, "it has come once");
}

#[test]
fn by_the_recipe_what_users_submit_is_not_asked_about_and_networks_can_be_left_out_of_all_milters()
{
    let test = "by_the_recipe_what_users_submit_is_not_asked_about_and_networks_can_be_left_out_of_all_milters";
    let Some(network) = Network::new(test) else {
        return;
    };
    let mut recipe = recipe("Milter");
    let (name, services) = recipe.files.remove(1);
    assert_eq!(name, "master.cf");
    let page = manual::source("man/stargrey-milter.7");
    let (_, maps) = page
        .split_once("exempts networks from all milters")
        .and_then(|(_, text)| text.split_once(".Bd -literal"))
        .expect("a line");
    recipe.files[0].1 += &manual::display(maps);
    recipe.options = "--own-networks=192.168.0.0/16".to_owned();
    let mut site = start_wired(&recipe, |wiring| wiring.within(network, &services));
    let attempt = |port, address| {
        let local = "127.0.0.1".parse().unwrap();
        let stream = site.postfix.network().connect(local, port).unwrap();
        let peer = Peer::new("dsl-12-34-56-78.isp.example", address);
        Session::introduced(stream, peer, NOBODY).attempt(SENDER, ANNA)
    };
    assert_accepted(&attempt(587, "192.0.2.7"));
    assert_accepted(&attempt(25, "10.1.2.3"));
    assert!(!attempt(25, "192.0.2.7").is_good());
    assert_accepted(&attempt(25, "192.168.1.2"));
    let decisions = site.decisions(ANNA);
    let [stranger, own] = &decisions[..] else {
        panic!("of the two others nothing is said: {decisions:#?}");
    };
    assert!(stranger.contains("reason=new,"), "{stranger}");
    assert!(own.contains("reason=own network,"), "{own}");
}

#[test]
fn by_a_recipe_with_s25r_machines_of_the_own_networks_never_wait() {
    let mut site = start(&recipe("Milter and S25R"));
    for address in ["10.1.2.3", "192.168.1.2"] {
        let machine = Peer::new("dsl-12-34-56-78.isp.example", address);
        assert_accepted(&site.attempt(machine, SENDER, ANNA));
    }
    let decisions = site.decisions(ANNA);
    assert_eq!(decisions.len(), 2, "{decisions:#?}");
    for decision in decisions {
        assert!(decision.contains("reason=own network,"), "{decision}");
    }
}

/// The length of a sleep, in seconds.
const SLEEP: u64 = 3;

/// The recipe with a sleep of [`SLEEP`].
fn sleeping() -> Site {
    let mut recipe = recipe("Milter and S25R");
    recipe.options = format!("{} --tarpit={SLEEP}", recipe.options);
    start(&recipe)
}

#[test]
fn by_the_recipe_with_s25r_a_line_sleeps_at_the_milter_and_is_delivered_and_others_do_not_wait() {
    let mut site = sleeping();
    let line = Peer::new("dsl-12-34-56-78.isp.example", "203.0.113.7");
    assert_accepted(&site.attempt(STRANGER, SENDER, BEN));
    let mut session = site.session(Line::Documented, line);
    session.mail(SENDER);
    let (reply, time) = timed(|| session.rcpt(ANNA));
    assert_accepted(&reply);
    assert!(time.as_secs() >= SLEEP, "{time:?}");
    site.clock.advance(SLEEP);
    // A second recipient does not sleep again.
    let (reply, time) = timed(|| session.rcpt(BEN));
    assert_accepted(&reply);
    assert!(time.as_secs() < SLEEP, "{time:?}");
    deliver(&mut session);
    let message = site.postfix.message("anna");
    assert_eq!(greylist_headers(&message), Vec::<&str>::new(), "{message}");
    let decisions = site.decisions(ANNA);
    let sleeps = "action=tarpit, reason=new";
    assert!(decisions[0].contains(sleeps), "{decisions:#?}");
    assert!(site.daemon.log().contains("reason=tarpit survived"));
}

#[test]
fn who_hangs_up_in_the_sleep_of_the_milter_is_greylisted() {
    let site = sleeping();
    let line = Peer::new("dsl-12-34-56-78.isp.example", "203.0.113.7");
    let mut session = site.session(Line::Documented, line);
    session.mail(SENDER);
    session.say(&format!("RCPT TO:<{ANNA}>"));
    site.daemon
        .log_until(|log| log.contains("action=tarpit, reason=new"));
    drop(session);
    site.clock.advance(60);
    let again = site.attempt(line, SENDER, ANNA);
    assert!(!again.is_good(), "{again}");
    site.daemon.log_until(|log| log.contains("tarpit=hung-up"));
}

#[test]
fn in_the_tarpit_of_an_entry_who_stays_passes_and_who_hangs_up_comes_to_the_next_entry() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text = format!(
        "nospf\nracl whitelist addr 203.0.113.0/24 tarpit {SLEEP}s\nracl blacklist addr 203.0.113.0/24\n\
         racl whitelist default\n"
    );
    fs::write(file.path(), text).expect("a file");
    let conf = format!("--greylist-conf={}", file.path().display());
    let site = Site::with_milter(MILTER, &[&conf]);
    let stays = Peer::new("mx.stays.example", "203.0.113.7");
    let leaves = Peer::new("mx.leaves.example", "203.0.113.8");
    let mut session = site.session(Line::Documented, stays);
    session.mail(SENDER);
    let (reply, time) = timed(|| session.rcpt(ANNA));
    assert_accepted(&reply);
    assert!(time.as_secs() >= SLEEP, "{time:?}");
    site.clock.advance(SLEEP);
    deliver(&mut session);
    site.postfix.message("anna");

    let mut session = site.session(Line::Documented, leaves);
    session.mail(SENDER);
    session.say(&format!("RCPT TO:<{ANNA}>"));
    site.daemon.log_until(|log| {
        let sleeps = log.lines().filter(|line| line.contains("action=tarpit"));
        sleeps.count() == 2
    });
    drop(session);
    site.clock.advance(120);
    let again = site.attempt(leaves, SENDER, ANNA).to_string();
    assert!(again.starts_with("551 5.7.1"), "{again}");
}

/// Tables for messages: one line for each action.
const HEADER_CHECKS: &str = "\
/^Subject: cheap/ REJECT 100% cheap, %r
/^Subject: later/ 450 4.7.1 not now
/^Subject: lost/ DISCARD
/^Subject: held/ HOLD
/^X-Old: (.*)$/ REPLACE X-New: $1
/^X-Secret:/ IGNORE
/^X-Marked:/ PREPEND X-Mark: here
/^Subject: 未承諾広告/ GREYLIST
";

/// A body that a table for what is sent cannot see into: the line below in base64.
const BODY_CHECKS: &str = "/出会い系/ GREYLIST\n";

/// In ISO-2022-JP and base64.
pub(crate) const JAPANESE: &str = "Content-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: base64\r\n\r\nGyRCPVAycSQkN08bKEIK\r\n.";

impl Site {
    /// Begins a message to one recipient, who is accepted, and sends it; the reply to its end.
    pub(super) fn send(&self, peer: Peer, recipient: &str, message: &str) -> Reply {
        let mut session = self.session(Line::Documented, peer);
        session.mail(SENDER);
        assert_accepted(&session.rcpt(recipient));
        let ready = session.command("DATA").to_string();
        assert!(ready.starts_with("354"), "{ready}");
        session.command(message)
    }
}

#[test]
fn tables_for_messages_refuse_change_and_greylist_what_they_match_decoded() {
    let lists = [("header", HEADER_CHECKS), ("body", BODY_CHECKS)];
    let started = Site::around(
        || Postfix::wired(Wiring::of(MILTER, &[])),
        &lists,
        |postfix, directory| {
            let table =
                |option: &str, name| format!("--{option}={}", directory.join(name).display());
            vec![
                format!("--milter=unix:{}", postfix.milter_socket().display()),
                table("header-checks", "header"),
                table("body-checks", "body"),
                "--unmatched=pass".to_owned(),
                "--s25r".to_owned(),
            ]
        },
    );
    let site = started;
    let send = |message: &str| site.send(STRANGER, ANNA, message).to_string();
    let refused = send("Subject: cheap watches\r\n\r\nhello\r\n.");
    assert_eq!(refused, "550 5.7.1 100% cheap, %r");
    let deferred = send("Subject: later\r\n\r\nhello\r\n.");
    assert_eq!(deferred, "450 4.7.1 not now");
    let lost = send("Subject: lost\r\n\r\nhello\r\n.");
    assert!(lost.starts_with("250"), "{lost}");
    assert_eq!(site.postfix.queued("hold"), 0);
    let held = send("Subject: held\r\n\r\nhello\r\n.");
    assert!(held.starts_with("250"), "{held}");
    eventually("a message on hold", || {
        (site.postfix.queued("hold") == 1).then_some(())
    });
    assert_eq!(site.postfix.left("anna"), 0, "neither was delivered");
    let changed =
        "X-A: 1\r\nX-Old: value\r\nX-Secret: key\r\nX-Marked: yes\r\nX-Z: 2\r\n\r\nhello\r\n.";
    let changed = send(changed);
    assert!(changed.starts_with("250"), "{changed}");
    let message = site.postfix.message("anna");
    let want = "X-A: 1\nX-New: value\nX-Mark: here\nX-Marked: yes\nX-Z: 2\n";
    assert!(message.contains(want), "{message}");
    assert!(
        !message.contains("X-Secret") && !message.contains("X-Old"),
        "{message}"
    );

    let subject = "Subject: =?ISO-2022-JP?B?GyRCTCQ+NUJ6OS05cBsoQg==?= x\r\n\r\nhello\r\n.";
    for (spam, recipient) in [(JAPANESE, ANNA), (subject, BEN)] {
        let send = || site.send(STRANGER, recipient, spam).to_string();
        assert_eq!(
            send(),
            "450 4.2.0 Greylisted, please try again in 300 seconds"
        );
        site.clock.advance(301);
        let again = send();
        assert!(again.starts_with("250"), "{again}");
        let (mailbox, _) = recipient.split_once('@').unwrap();
        let message = unfolded(&site.postfix.message(mailbox));
        assert_one_header(&message, 301, site.clock.now());
    }
}

//! Two Postfix instances, each in front of a daemon of its own, with one server of shared records.

use std::time::Duration;

use stargrey::ctl::verbs;
use stargrey::service::clock::monotonic;

use super::server::Postfix;
use super::{
    HOUR, Line, OTHER, Peer, SENDER, START, STRANGER, Session, assert_accepted, assert_deferred,
    greylist_headers,
};
use crate::bus::OnBus;
use crate::shared_records::{Redis, is_sharing, options, private_file, wait_for};
use crate::support::{Daemon, TestClock};

/// How soon an act of an administrator holds at the other host.
const SOON: Duration = Duration::from_secs(15);

/// One MX host of a site.
struct Mx {
    host: OnBus,
    postfix: Postfix,
}

/// Two MX hosts, and the clock of both.
struct TwoMx {
    hosts: Vec<Mx>,
    clock: TestClock,
    redis: Redis,
    _directory: tempfile::TempDir,
}

impl TwoMx {
    fn start() -> Self {
        let redis = Redis::start();
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::at(directory.path(), START);
        let key = verbs::shared_key().unwrap().text;
        let secret = private_file(directory.path(), "secret", &key);
        let url = format!("unix:{}", redis.socket().display());
        let start = |name: &str| {
            let postfix = Postfix::start();
            let socket = format!("--unix={}", postfix.policy_socket().display());
            let more = [name, &socket, &clock.option()];
            let options = options(&url, &secret, &more);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let host = OnBus::start_prepared(Daemon::prepare(), &options);
            is_sharing(&host.daemon);
            Mx { host, postfix }
        };
        let hosts = ["--hostname=mx1.example.org", "--hostname=mx2.example.org"];
        let hosts = hosts.into_iter().map(start).collect();
        Self {
            hosts,
            clock,
            redis,
            _directory: directory,
        }
    }

    /// A connection of a client to a host.
    fn session(&self, host: usize, peer: Peer) -> Session {
        Session::open(self.hosts[host].postfix.address(Line::Documented), peer)
    }

    /// Lets a mail be deferred at the first of these hosts and retried at the second, when the server has so many records,
    /// and yields its X-Greylist headers there.
    fn retried_elsewhere(
        &self,
        (first, second): (usize, usize),
        sender: &str,
        mailbox: &str,
        records: usize,
    ) -> Vec<String> {
        let (recipient, peer) = (format!("{mailbox}@example.org"), STRANGER);
        let reply = self.session(first, peer).attempt(sender, &recipient);
        assert_deferred(&reply, &recipient, 300);
        // Three more keys are the site's.
        self.redis.wait_for_keys(3 + records);
        self.clock.advance(300);
        let mut session = self.session(second, peer);
        assert_accepted(&session.attempt(sender, &recipient));
        session.data();
        let message = self.hosts[second].postfix.message(mailbox);
        let headers = greylist_headers(&message).into_iter();
        headers.map(str::to_owned).collect()
    }

    /// What an administrator does at a host.
    fn ctl(&self, host: usize, arguments: &[&str]) -> String {
        self.hosts[host].host.ctl(arguments).1
    }

    fn is_listed(&self, host: usize, entry: &str) -> bool {
        self.ctl(host, &["list", "client"]).contains(entry)
    }
}

#[test]
fn a_mail_deferred_at_one_mx_is_accepted_at_the_other_with_the_header_of_that_host() {
    let site = TwoMx::start();
    let headers = site.retried_elsewhere((0, 1), SENDER, "anna", 1);
    let want = format!(
        "X-Greylist: delayed 300 seconds by stargrey-{} at mx2.example.org; ",
        env!("CARGO_PKG_VERSION")
    );
    assert!(
        matches!(&headers[..], [header] if header.starts_with(&want)),
        "{headers:?}"
    );
    let decided = "action=pass, reason=triplet found, delay=300";
    let log = &site.hosts[1].host.daemon;
    log.expect_line(decided, ", host=mx1.example.org");
}

#[test]
fn the_passes_of_a_client_at_both_mx_hosts_count_together_for_the_auto_whitelist() {
    let site = TwoMx::start();
    // Deferred at one and accepted at the other, in turn; five passes are counted.
    for (n, mailbox) in ["anna", "ben", "carl", "dora", "emil"].iter().enumerate() {
        let sender = format!("s{n}x@stranger.example");
        // This triplet, the ones before it, and the client, after its first pass.
        let records = n + 1 + n.min(1);
        let hosts = (n % 2, (n + 1) % 2);
        let headers = site.retried_elsewhere(hosts, &sender, mailbox, records);
        assert_eq!(headers.len(), 1, "{mailbox}: {headers:?}");
        site.clock.advance(HOUR);
    }
    // The last count is sent soon.
    let mut number = 0;
    wait_for("the auto-whitelist at the first host", || {
        number += 1;
        let sender = format!("new{number}x@stranger.example");
        let mut session = site.session(0, STRANGER);
        session.attempt(&sender, "frida@example.org").is_good()
    });
    let daemon = &site.hosts[0].host.daemon;
    daemon.expect_line("reason=client AWL", ", host=mx2.example.org");
    let reply = site.session(0, OTHER).attempt(SENDER, "frida@example.org");
    assert_deferred(&reply, "frida@example.org", 300);
}

#[test]
fn what_an_administrator_does_at_one_mx_holds_at_the_other_and_after_its_restart() {
    let mut site = TwoMx::start();
    let recipient = "anna@example.org";
    let is_accepted = |site: &TwoMx, host: usize| {
        let reply = site.session(host, STRANGER).attempt(SENDER, recipient);
        reply.is_good()
    };
    let soon = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = monotonic();
        wait_for(what, is_so);
        assert!(monotonic().saturating_sub(begun) < SOON, "{what}");
    };
    let entry = "mail.stranger.example";
    assert!(!is_accepted(&site, 1), "it is unknown");
    site.ctl(0, &["allow", "client", entry]);
    soon("allowed", &|| is_accepted(&site, 1));
    site.hosts[1].host.stop_and_start_again();
    assert!(site.is_listed(1, entry), "before it has asked anybody");
    assert!(is_accepted(&site, 1));
    is_sharing(&site.hosts[1].host.daemon);
    site.clock.advance(1);
    site.ctl(0, &["remove", "client", entry]);
    soon("removed", &|| !is_accepted(&site, 1));
    site.hosts[1].host.stop_and_start_again();
    assert!(!is_accepted(&site, 1), "it stays removed");

    is_sharing(&site.hosts[1].host.daemon);
    site.clock.advance(300);
    assert!(is_accepted(&site, 1), "it has waited");
    site.clock.advance(1);
    site.ctl(0, &["forget", "--sender", SENDER]);
    soon("forgotten", &|| {
        site.ctl(1, &["status"]).contains("Triplets: 0 (")
    });
    site.clock.advance(1);
    assert!(!is_accepted(&site, 1), "it begins anew");
}

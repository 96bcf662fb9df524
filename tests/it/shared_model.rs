//! Two hosts with a real server, random mail and random cuts, beside two hosts that are alone.
//!
//! Each mail goes to a host of the site and to one without `--shared` that has seen the same mail. The hosts of the site are
//! cut off one at a time or together, the server hangs or loses its data, and the time of the records goes on by minutes
//! and hours. With an auto-whitelist, a host that is alone may let a mail pass that a host of the site defers, because its
//! client has waited there for other mail which the site let pass; then what counts is how often each client has waited.
//! `STEPS` and `SEED` choose another number of steps and other ones.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stargrey::ctl::verbs;

use crate::postgrey::random::Random;
use crate::shared_records::{Redis, is_sharing, options, wait_for};
use crate::support::{Client, Daemon, TestClock, number_from_environment, rcpt, remark};

/// The time at which the test begins.
const BEGIN: u64 = 1_800_000_000;

/// The networks that the mail comes from.
const CLIENTS: [&str; 8] = [
    "203.0.113.7",
    "198.51.100.7",
    "192.0.2.7",
    "203.0.114.7",
    "203.0.115.7",
    "203.0.116.7",
    "203.0.117.7",
    "203.0.118.7",
];

/// How many senders each network has.
const SENDERS: u64 = 12;

/// A mail: where it comes from, and who sends it.
type Mail = (&'static str, u64);

/// A host, and a connection to it.
struct Host {
    daemon: Daemon,
    client: Client,
}

impl Host {
    fn start(options: &[String]) -> Self {
        let daemon = Daemon::start(options);
        let client = daemon.connect();
        Self { daemon, client }
    }

    /// Seconds that a mail has to wait.
    fn wait(&mut self, (client, sender): Mail) -> u64 {
        let sender = format!("s{sender}x@sender.example");
        let mail = rcpt("unknown", client, &sender, "joe@x.example");
        let answer = self.client.ask(&mail);
        if !answer.starts_with("DEFER_IF_PERMIT ") {
            return 0;
        }
        let (_, rest) = answer.split_once("try again in ").expect("a wait");
        let (seconds, _) = rest.split_once(" seconds").expect("a wait");
        seconds.parse().expect("seconds")
    }
}

/// The user of a host of the site: without it the host is cut off.
const USERS: [&str; 2] = ["mx1", "mx2"];

/// Writes the secret of each host.
fn secrets(directory: &Path) -> [PathBuf; 2] {
    let key = verbs::shared_key().unwrap().text;
    USERS.map(|user| {
        let secret = directory.join(user);
        fs::write(&secret, format!("{key}user = {user}\npassword = any\n")).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        secret
    })
}

fn allow(redis: &Redis, host: usize) {
    let user = ["acl", "setuser", USERS[host], "on", "nopass", "~*", "+@all"];
    redis.cli(&user);
}

fn cut(redis: &Redis, host: usize) {
    redis.cli(&["acl", "setuser", USERS[host], "off"]);
    redis.cli(&["client", "kill", "user", USERS[host]]);
}

/// Something that happens between two mails. All steps together take less time than `--max-age`: in hours a second, a record
/// would expire before it has been written with the time of its last use.
fn happen(random: &mut Random, redis: &Redis, clock: &TestClock) {
    let host = usize::from(random.percent(50));
    match random.below(1000) {
        0..380 => clock.advance(*random.pick(&[60, 301, 1000, 3700])),
        380..390 => clock.advance(40_000),
        400..405 => cut(redis, host),
        405..420 => allow(redis, host),
        420 => {
            redis.cli(&["flushall"]);
        }
        421 => {
            redis.cli(&["client", "pause", "700", "all"]);
        }
        _ => {}
    }
}

#[test]
fn no_mail_waits_longer_than_at_a_host_that_is_alone_and_hosts_agree_afterwards() {
    run("--auto-whitelist-clients=0", |mail, at, (shared, alone)| {
        assert!(
            shared <= alone,
            "{mail:?}: {shared} s at {at} instead of {alone} s"
        );
    });
}

#[test]
fn no_client_waits_more_often_than_at_hosts_that_are_alone_and_hosts_agree_afterwards() {
    let mut saved: HashMap<&str, i64> = HashMap::new();
    run(
        "--auto-whitelist-clients=5",
        |(client, sender), at, (shared, alone)| {
            let saved = saved.entry(client).or_default();
            *saved += i64::from(alone > 0) - i64::from(shared > 0);
            assert!(
                *saved >= 0,
                "{client} waits once more at {at} with mail of {sender}"
            );
        },
    );
}

/// Runs the steps; `check` is told of each mail, the host that it came to, and the seconds it has to wait there and at a
/// host that is alone.
fn run(option: &str, mut check: impl FnMut(Mail, &str, (u64, u64))) {
    let redis = Redis::with(&|_| Vec::new());
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::at(directory.path(), BEGIN);
    let url = format!("redis://127.0.0.1:{}/0", redis.port);
    let secrets = secrets(directory.path());
    let mut hosts = [0, 1].map(|host| {
        allow(&redis, host);
        let name = format!("--hostname={}.example", USERS[host]);
        Host::start(&options(
            &url,
            &secrets[host],
            &[&name, &clock.option(), option],
        ))
    });
    let mut alone = [(); 2].map(|()| Host::start(&[clock.option(), option.to_owned()]));
    for host in &hosts {
        is_sharing(&host.daemon);
    }

    let seed = number_from_environment("SEED", 17);
    remark(&format!("SEED={seed}"));
    let mut random = Random::seeded(seed);
    let (mut waits, mut waits_alone) = (0_u32, 0_u32);
    let steps = number_from_environment("STEPS", 2500);
    for _ in 0..steps {
        happen(&mut random, &redis, &clock);
        let mail = (*random.pick(&CLIENTS), random.below(SENDERS));
        let at = usize::from(random.percent(50));
        let shared = hosts[at].wait(mail);
        let lonely = alone[at].wait(mail);
        check(mail, USERS[at], (shared, lonely));
        waits += u32::from(shared > 0);
        waits_alone += u32::from(lonely > 0);
    }
    let cuts = hosts.each_ref().map(|host| {
        let log = host.daemon.log();
        log.matches("are not shared with").count()
    });
    assert!(cuts.iter().all(|cuts| *cuts > 0), "{cuts:?}");

    for host in [0, 1] {
        allow(&redis, host);
    }
    for host in &hosts {
        is_sharing(&host.daemon);
    }
    let [one, two] = &mut hosts;
    for client in CLIENTS {
        for sender in 0..SENDERS {
            let mail = (client, sender);
            let first = one.wait(mail);
            let mut second = two.wait(mail);
            if second != first {
                // It is being published; what the second host knows better is so, too.
                let is_same = || {
                    second = two.wait(mail);
                    second == one.wait(mail)
                };
                wait_until(&format!("seed {seed}: both answer {mail:?} alike"), is_same);
            }
        }
    }
    remark(&format!(
        "{option}, {steps} steps: {waits} waits, {waits_alone} at hosts that are alone; cut off {cuts:?} times"
    ));
}

/// Waits for something that changes when it is asked for.
fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    let is_so = std::cell::RefCell::new(is_so);
    wait_for(what, || (is_so.borrow_mut())());
}

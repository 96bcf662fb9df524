//! Hosts whose databases have hashes in place of addresses (`--privacy`), with shared records.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stargrey::ctl::verbs;

use crate::bus::OnBus;
use crate::shared_records::{
    BEGIN, GREYLISTED, Redis, is_sharing, last_state, options, private_file, wait_for,
};
use crate::support::{Daemon, TestClock, rcpt};

/// A site whose hosts are started one by one.
struct Site {
    redis: Redis,
    clock: TestClock,
    secret: PathBuf,
    directory: tempfile::TempDir,
}

/// Who sends, and to whom.
const CLIENT: &str = "203.0.113.7";
const RECIPIENT: &str = "joe@x.example";

impl Site {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = verbs::shared_key().unwrap().text;
        Self {
            redis: Redis::start(),
            clock: TestClock::at(directory.path(), BEGIN),
            secret: private_file(directory.path(), "secret", &key),
            directory,
        }
    }

    /// A host with this file as its key of `--privacy`, or without one.
    fn host(&self, name: &str, key: Option<&Path>) -> OnBus {
        self.host_with(name, key.is_some(), |file| {
            if let Some(key) = key {
                fs::copy(key, file).unwrap();
            }
        })
    }

    /// A host with or without `--privacy`; `make` puts something at the path of the key.
    fn host_with(&self, name: &str, is_private: bool, make: impl FnOnce(&Path)) -> OnBus {
        let daemon = Daemon::prepare();
        let database = daemon.path().join("db");
        fs::create_dir(&database).unwrap();
        let url = format!("unix:{}", self.redis.socket().display());
        let name = format!("--hostname={name}");
        let clock = self.clock.option();
        let mut more = vec![name.as_str(), &clock];
        make(&database.join("privacy.key"));
        if is_private {
            more.push("--privacy");
        }
        let options = options(&url, &self.secret, &more);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        OnBus::start_prepared(daemon, &options)
    }

    /// A key of `--privacy`: these letters.
    fn key(&self, letter: &str) -> PathBuf {
        private_file(self.directory.path(), letter, &letter.repeat(32))
    }
}

fn ask(host: &OnBus, sender: &str) -> String {
    let mail = rcpt("mx.sender.example", CLIENT, sender, RECIPIENT);
    host.daemon.ask(&mail)
}

#[test]
fn hosts_with_one_privacy_key_share_their_records_and_forget_together() {
    let site = Site::start();
    let key = site.key("a");
    let hosts = ["mx1.example", "mx2.example"].map(|name| site.host(name, Some(&key)));
    for host in &hosts {
        is_sharing(&host.daemon);
    }
    let (ann, bob) = ("ann@sender.example", "bob@sender.example");
    let keys = site.redis.keys();
    assert!(ask(&hosts[0], ann).starts_with(GREYLISTED));
    site.redis.wait_for_keys(keys + 1);
    site.clock.advance(300);
    assert!(ask(&hosts[1], ann).starts_with("PREPEND"), "a retry");
    hosts[1]
        .daemon
        .expect_line("triplet found", ", host=mx1.example");

    // What is in the databases as hashes only is sent again when the server has lost all.
    assert!(ask(&hosts[0], bob).starts_with(GREYLISTED));
    site.redis.wait_for_keys(keys + 3);
    site.redis.cli(&["flushall"]);
    site.redis.wait_for_keys(keys + 3);
    site.clock.advance(300);
    assert!(ask(&hosts[1], bob).starts_with("PREPEND"), "sent again");

    // One triplet can be selected; it is forgotten at both, and its record on the server is not used again.
    site.clock.advance(1);
    let one = [
        "forget",
        "--client",
        CLIENT,
        "--sender",
        ann,
        "--recipient",
        RECIPIENT,
    ];
    assert_eq!(hosts[0].ctl(&one).0, 0);
    // The filter is there as it was written, but no longer than the records can be.
    let script = format!(
        "for _, name in ipairs(redis.call('KEYS', '*')) do \
           if string.find(redis.call('GET', name), '{ann}', 1, true) then \
             return math.ceil(redis.call('PTTL', name) / 86400000) \
           end \
         end"
    );
    wait_for("the filter", || {
        site.redis.cli(&["eval", &script, "0"]).trim() == "90"
    });
    wait_for("forgotten", || {
        hosts[1].ctl(&["status"]).1.contains("Triplets: 1 (")
    });
    site.clock.advance(1);
    for host in &hosts {
        assert!(ask(host, ann).starts_with(GREYLISTED));
        assert!(
            !ask(host, bob).starts_with(GREYLISTED),
            "it is not selected"
        );
    }
}

#[test]
fn what_cannot_be_selected_among_hashes_is_refused_and_holds_up_no_host() {
    let site = Site::start();
    let key = site.key("a");
    let hosts = ["mx1.example", "mx2.example"].map(|name| site.host(name, Some(&key)));
    for host in &hosts {
        is_sharing(&host.daemon);
    }
    let keys = site.redis.keys();
    assert!(ask(&hosts[0], "ann@sender.example").starts_with(GREYLISTED));
    site.redis.wait_for_keys(keys + 1);
    // The second host has no record yet, and does not know that the first has hashes.
    let cases = [
        (0, ["forget", "--client", CLIENT], false),
        (0, ["forget", "--sender", "bob@sender.example"], false),
        (1, ["forget", "--sender", "bob@sender.example"], true),
    ];
    for (host, arguments, is_done) in cases {
        let output = hosts[host].bus.ctl(&arguments).output().unwrap();
        assert_eq!(output.stderr.is_empty(), is_done, "{host} {output:?}");
    }
    for (host, entry) in ["one.friend.example", "two.friend.example"]
        .iter()
        .enumerate()
    {
        assert_eq!(hosts[host].ctl(&["allow", "client", entry]).0, 0);
        wait_for(entry, || {
            hosts[1 - host].ctl(&["list", "client"]).1.contains(entry)
        });
    }
    for host in &hosts {
        is_sharing(&host.daemon);
    }
}

#[test]
fn a_host_with_another_privacy_key_or_none_shares_nothing_and_says_what_differs() {
    let site = Site::start();
    let (key, other) = (site.key("a"), site.key("b"));
    let first = site.host("mx1.example", Some(&key));
    is_sharing(&first.daemon);
    let cases = [
        (
            "mx2.example",
            Some(other.as_path()),
            "the fingerprint of privacy.key is ",
        ),
        (
            "mx3.example",
            None,
            "--privacy is false here and true at mx1.example",
        ),
    ];
    for (name, key, want) in cases {
        let host = site.host(name, key);
        host.daemon.log_until(|log| {
            last_state(log)
                .is_some_and(|line| line.contains(want) && line.contains("at mx1.example"))
        });
        assert!(host.ctl(&["status"]).1.contains(want), "{name}");
        let sender = "ann@sender.example";
        assert!(ask(&host, sender).starts_with(GREYLISTED), "{name}");
        site.clock.advance(300);
        assert!(ask(&host, sender).starts_with("PREPEND"), "{name}: alone");
    }
}

#[test]
fn a_host_whose_privacy_key_comes_after_its_start_shares_from_then_on() {
    let site = Site::start();
    let key = site.key("a");
    let first = site.host("mx1.example", Some(&key));
    is_sharing(&first.daemon);
    // It cannot be read, but is not missing either: then the database would make one.
    let mut file = PathBuf::new();
    let late = site.host_with("mx2.example", true, |path| {
        symlink(path, path).unwrap();
        path.clone_into(&mut file);
    });
    let has_said = |line: &str| line.contains("privacy.key: ") && line.contains("is read again");
    late.daemon
        .log_until(|log| last_state(log).is_some_and(has_said));
    fs::rename(&key, &file).unwrap();
    is_sharing(&late.daemon);
    let ann = "ann@sender.example";
    let keys = site.redis.keys();
    assert!(ask(&first, ann).starts_with(GREYLISTED));
    site.redis.wait_for_keys(keys + 1);
    site.clock.advance(300);
    assert!(ask(&late, ann).starts_with("PREPEND"), "a retry");
}

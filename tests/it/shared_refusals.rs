//! What real servers refuse, beside what stargreyd says of it; and how long they keep a record.

use std::fs;
use std::path::PathBuf;

use stargrey::ctl::verbs;

use crate::shared_records::{
    BEGIN, GREYLISTED, Redis, is_sharing, last_state, options, private_file, wait_for,
};
use crate::support::unpacked::unpacked;
use crate::support::{Daemon, TestClock, rcpt};

/// The name of the server's data, beside which it cannot write when that is a directory.
const DUMP: &str = "dump";

/// How to make a server refuse, what is said of it, and how to end that.
struct Refusal {
    name: &'static str,
    /// Commands of redis-cli.
    begin: &'static [&'static str],
    /// Part of the sentence.
    want: &'static str,
    end: &'static [&'static str],
}

/// Ends the connections, so that hosts log in again.
const DISCONNECT: &str = "client kill user stargrey";

const NO_LOGIN: &str = "it refuses user or password; see --shared-secret";
const NO_PERMISSION: &str = "its user lacks a permission (NOPERM): ";

const REFUSALS: [Refusal; 11] = [
    Refusal {
        name: "WRONGPASS",
        begin: &["acl setuser stargrey resetpass >another", DISCONNECT],
        want: NO_LOGIN,
        end: &["acl setuser stargrey resetpass >CHANGE-THIS"],
    },
    Refusal {
        name: "WRONGPASS, because the user is off",
        begin: &["acl setuser stargrey off", DISCONNECT],
        want: NO_LOGIN,
        end: &["acl setuser stargrey on"],
    },
    Refusal {
        name: "NOPERM of the script",
        begin: &["acl setuser stargrey -evalsha"],
        want: NO_PERMISSION,
        end: &["acl setuser stargrey +evalsha"],
    },
    Refusal {
        name: "NOPERM of reading",
        begin: &["acl setuser stargrey -getrange"],
        want: NO_PERMISSION,
        end: &["acl setuser stargrey +getrange"],
    },
    Refusal {
        name: "NOPERM in the script",
        begin: &["acl setuser stargrey -set"],
        want: NO_PERMISSION,
        end: &["acl setuser stargrey +set"],
    },
    Refusal {
        name: "NOPERM of the time",
        begin: &["acl setuser stargrey -time", DISCONNECT],
        want: NO_PERMISSION,
        end: &["acl setuser stargrey +time"],
    },
    Refusal {
        name: "NOPERM of the keys",
        begin: &["acl setuser stargrey resetkeys ~other:*"],
        want: NO_PERMISSION,
        end: &["acl setuser stargrey resetkeys ~stargrey:*"],
    },
    Refusal {
        name: "OOM",
        begin: &["config set maxmemory 1"],
        want: "its memory is used up (OOM): ",
        end: &["config set maxmemory 0"],
    },
    Refusal {
        name: "READONLY",
        begin: &["replicaof 127.0.0.1 1"],
        want: "it is a read-only replica (READONLY)",
        end: &["replicaof no one"],
    },
    Refusal {
        name: "NOREPLICAS",
        begin: &["config set min-replicas-to-write 1"],
        want: "too few of its replicas are connected (NOREPLICAS)",
        end: &["config set min-replicas-to-write 0"],
    },
    Refusal {
        name: "MISCONF",
        begin: &["config set save 3600000#1", "bgsave"],
        want: "it cannot write its data to disk (MISCONF)",
        end: &["config set save #", "bgsave"],
    },
];

/// A site's host, and how it is asked.
struct Host {
    daemon: Daemon,
    clock: TestClock,
    _directory: tempfile::TempDir,
}

impl Host {
    fn start(server: &Redis, login: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::at(directory.path(), BEGIN);
        let key = verbs::shared_key().unwrap().text;
        let secret = private_file(directory.path(), "secret", &format!("{key}{login}"));
        let url = format!("redis://127.0.0.1:{}/0", server.port);
        Self {
            daemon: Daemon::start(&options(&url, &secret, &[&clock.option()])),
            clock,
            _directory: directory,
        }
    }

    fn ask(&self, sender: &str) -> String {
        let helo = "mx.sender.example";
        self.daemon
            .ask(&rcpt(helo, "203.0.113.7", sender, "joe@x.example"))
    }

    /// Waits until the last that it has said of sharing has this in it.
    fn says(&self, what: &str, name: &str) {
        let log = |log: &str| last_state(log).is_some_and(|line| line.contains(what));
        wait_for(&format!("{name}: {what}"), || log(&self.daemon.log()));
    }
}

const LOGIN: &str = "user = stargrey\npassword = CHANGE-THIS\n";

/// Commands of redis-cli, in which # stands for a space in an argument.
fn run(server: &Redis, commands: &[&str]) {
    for command in commands {
        let login = ["--user", "admin", "--pass", "any", "--no-auth-warning"];
        let words: Vec<String> = command
            .split(' ')
            .map(|word| word.replace('#', " "))
            .collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim()).collect();
        let said = server.cli(&[&login[..], &words[..]].concat());
        let is_done = !said.contains("ERR");
        assert!(is_done, "{command}: {said}");
    }
}

fn refuses(program: PathBuf) {
    let more = |_: &std::path::Path| vec!["--dbfilename".to_owned(), DUMP.to_owned()];
    let server = Redis::of_program(program, &more);
    let admin = [
        "acl", "setuser", "admin", "on", "nopass", "~*", "&*", "+@all",
    ];
    assert_eq!(server.cli(&admin).trim(), "OK");
    let dump = server.directory.path().join(DUMP);
    fs::create_dir(&dump).unwrap();
    for refusal in &REFUSALS {
        let name = refusal.name;
        let host = Host::start(&server, LOGIN);
        host.says("records are shared with", name);
        run(&server, refusal.begin);
        if refusal.name == "MISCONF" {
            wait_for("the failure to save", || {
                server
                    .cli(&["info", "persistence"])
                    .contains("rdb_last_bgsave_status:err")
            });
        }
        assert!(
            host.ask("ann@sender.example").starts_with(GREYLISTED),
            "{name}"
        );
        host.says(refusal.want, name);
        assert!(
            host.ask("ann@sender.example").starts_with(GREYLISTED),
            "{name}"
        );
        if refusal.name == "MISCONF" {
            fs::remove_dir(&dump).unwrap();
        }
        run(&server, refusal.end);
        host.says("records are shared with", name);
    }

    // Nobody may do anything without a password, and this host has none.
    let host = Host::start(&server, "");
    host.says("records are shared with", "NOAUTH");
    run(
        &server,
        &[
            "acl setuser default on resetpass >another",
            "client kill user default",
        ],
    );
    assert!(host.ask("ann@sender.example").starts_with(GREYLISTED));
    host.says(NO_LOGIN, "NOAUTH");
    run(&server, &["acl setuser default on nopass"]);
    is_sharing(&host.daemon);
}

#[test]
fn whatever_redis_refuses_has_its_sentence_and_ends_by_itself() {
    refuses("redis-server".into());
}

#[test]
fn whatever_valkey_refuses_has_its_sentence_and_ends_by_itself() {
    let test = "shared_refusals::whatever_valkey_refuses_has_its_sentence_and_ends_by_itself";
    let Some(directory) = unpacked("valkey", test) else {
        return;
    };
    refuses(directory.join("run"));
    is_loading(directory.join("run"));
}

#[test]
fn while_redis_loads_its_data_a_host_decides_alone_and_says_so() {
    is_loading("redis-server".into());
}

/// A server whose start takes about eight seconds, in which it refuses what needs its data.
fn is_loading(program: PathBuf) {
    let more = |_: &std::path::Path| {
        let options = "--rdbcompression no --key-load-delay 20000 --loading-process-events-interval-bytes 1024";
        options.split(' ').map(str::to_owned).collect()
    };
    let mut server = Redis::of_program(program, &more);
    let fill = "for n = 1, 400 do redis.call('set', 'n' .. n, string.rep('x', 2000)) end";
    server.cli(&["eval", fill, "0"]);
    assert_eq!(server.keys(), 400);
    assert_eq!(server.cli(&["save"]).trim(), "OK");
    let host = Host::start(&server, "");
    host.says("records are shared with", "LOADING");
    server.kill();
    host.says("not reachable", "LOADING");
    server.run_loading();
    host.says("it is loading its data (LOADING)", "LOADING");
    assert!(host.ask("ann@sender.example").starts_with(GREYLISTED));
    host.says("records are shared with", "LOADING");
}

/// What the server has under keys of values of this length: the milliseconds until they end, of which `change` is done first.
fn lifetimes(server: &Redis, length: usize, change: &str) -> Vec<u64> {
    let script = format!(
        "local out = {{}}
         for _, key in ipairs(redis.call('KEYS', '*')) do
           if redis.call('STRLEN', key) == {length} then
             {change}
             table.insert(out, redis.call('PTTL', key))
           end
         end
         return out"
    );
    let said = server.cli(&["eval", &script, "0"]);
    let lines = said.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.parse().unwrap()).collect()
}

#[test]
fn the_server_keeps_a_record_for_as_long_as_it_lives_and_gets_it_again_on_the_next_day() {
    const DAY: u64 = 86_400;
    let (waiting, passed) = (43, 50);
    let server = Redis::start();
    let host = Host::start(&server, "");
    is_sharing(&host.daemon);
    let sender = "ann@sender.example";
    let is_about = |found: Vec<u64>, seconds: u64| {
        let most = seconds * 1000;
        found.len() == 1 && found[0] <= most && found[0] > most - 60_000
    };
    assert!(host.ask(sender).starts_with(GREYLISTED));
    wait_for("--retry-window, for one that waits", || {
        is_about(lifetimes(&server, waiting, ""), 2 * DAY)
    });
    host.clock.advance(300);
    assert!(host.ask(sender).starts_with("PREPEND"));
    wait_for("--max-age, for one that has passed", || {
        is_about(lifetimes(&server, passed, ""), 35 * DAY)
    });

    // What comes after it in the same queue is sent, and it is not.
    let shorten = "redis.call('PEXPIRE', key, 1000000)";
    assert!(is_about(lifetimes(&server, passed, shorten), 1000));
    host.clock.advance(60);
    assert_eq!(host.ask(sender), "DUNNO");
    let keys = server.keys();
    assert!(host.ask("bob@sender.example").starts_with(GREYLISTED));
    server.wait_for_keys(keys + 1);
    assert!(is_about(lifetimes(&server, passed, ""), 1000));
    host.clock.advance(DAY);
    assert_eq!(host.ask(sender), "DUNNO");
    wait_for("it is sent again", || {
        is_about(lifetimes(&server, passed, ""), 35 * DAY)
    });
}

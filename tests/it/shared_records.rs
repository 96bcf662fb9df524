//! Several hosts with one memory: daemons and a real server of Redis.

use std::collections::BTreeSet;
use std::fs;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket,
};
use stargrey::ctl::verbs;
use stargrey::service::clock::monotonic;
use tempfile::TempDir;

use crate::bus::harness::{Bus, THERE};
use crate::support::unpacked::unpacked;
use crate::support::{Daemon, TestClock, rcpt};

/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time at which the tests begin.
pub(crate) const BEGIN: u64 = 1_800_000_000;

/// The page with the ACL.
pub(crate) const PAGE: &str = include_str!("../../man/stargrey-shared.7");

/// The lines of the manual page that begin so.
pub(crate) fn page_lines(begin: &str) -> Vec<&'static str> {
    let lines = PAGE.lines().filter(|line| line.starts_with(begin));
    lines.collect()
}

/// A server with a port and a socket; killed when dropped.
pub(crate) struct Redis {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    program: PathBuf,
    more: Vec<String>,
    child: Option<Child>,
}

/// A port that nobody listens on. It stays bound, without listening, until the tests end: so the kernel gives it to nobody
/// else, while a server that sets `SO_REUSEADDR`, as Redis does, can listen on it.
pub(crate) fn free_port() -> u16 {
    let reserved = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    setsockopt(&reserved, ReuseAddr, &true).unwrap();
    bind(reserved.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let address: SockaddrIn = getsockname(reserved.as_raw_fd()).unwrap();
    mem::forget(reserved);
    address.port()
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&|_| Vec::new())
    }

    /// A server with more options, which may name files in its directory.
    pub(crate) fn with(more: &dyn Fn(&Path) -> Vec<String>) -> Self {
        Self::of_program("redis-server".into(), more)
    }

    pub(crate) fn of_program(program: PathBuf, more: &dyn Fn(&Path) -> Vec<String>) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("stargrey-redis-")
            .tempdir()
            .unwrap();
        let port = free_port();
        // The users of the manual page, and the tests' own.
        let mut users = page_lines("user ");
        users.retain(|line| line.contains(" on >"));
        assert_eq!(users.len(), 3, "the page has the ACL");
        users.push("user default on nopass ~* &* +@all\n");
        let users = users.join("\n");
        fs::write(directory.path().join("users"), users).unwrap();
        let more = more(directory.path());
        let mut server = Self {
            directory,
            port,
            program,
            more,
            child: None,
        };
        server.run();
        server
    }

    pub(crate) fn run(&mut self) {
        self.run_on(self.port);
    }

    /// Runs it so that only its socket is there, until [`Self::open_port`].
    pub(crate) fn run_unreached(&mut self) {
        self.run_on(0);
    }

    pub(crate) fn open_port(&self) {
        let port = self.port.to_string();
        assert_eq!(self.cli(&["config", "set", "port", &port]).trim(), "OK");
    }

    fn run_on(&mut self, port: u16) {
        self.spawn(port);
        wait_for("the server", || self.cli(&["ping"]).contains("PONG"));
    }

    /// Runs it, and does not wait until it has loaded its data.
    pub(crate) fn run_loading(&mut self) {
        self.spawn(self.port);
    }

    fn spawn(&mut self, port: u16) {
        let child = Command::new(&self.program)
            .args(["--port", &port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--aclfile")
            .arg(self.directory.path().join("users"))
            .args(&self.more)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server is installed (make check-deps)");
        self.child = Some(child);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The output of redis-cli.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// How many keys it has.
    pub(crate) fn keys(&self) -> usize {
        self.cli(&["dbsize"]).trim().parse().unwrap()
    }

    /// The names of its keys, quoted.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let list = self.cli(&["--no-raw", "keys", "*"]);
        let names = list.lines().filter_map(|line| line.split_once(") "));
        names.map(|(_, name)| name.to_owned()).collect()
    }

    pub(crate) fn wait_for_keys(&self, keys: usize) {
        wait_for(&format!("{keys} keys"), || self.keys() >= keys);
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = monotonic();
    while !is_so() {
        assert!(monotonic().saturating_sub(begun) < PATIENCE, "{what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// A site: hosts, a server, and the clock of all of them.
pub(crate) struct Site {
    pub(crate) redis: Redis,
    pub(crate) clock: TestClock,
    pub(crate) hosts: Vec<Daemon>,
    pub(crate) secret: PathBuf,
    _directory: TempDir,
}

impl Site {
    fn start() -> Self {
        Self::by(Redis::start())
    }

    /// A site that shares by this server.
    fn by(server: Redis) -> Self {
        let url = format!("unix:{}", server.socket().display());
        Self::of(server, &url, "", &[])
    }

    /// A site whose hosts have this in their secret, and more options.
    pub(crate) fn of(redis: Redis, url: &str, login: &str, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let clock = TestClock::at(directory.path(), BEGIN);
        let key = verbs::shared_key().unwrap().text;
        let secret = private_file(directory.path(), "secret", &format!("{key}{login}"));
        let host = |name: &str| {
            let (hostname, clock) = (format!("--hostname={name}"), clock.option());
            let more = [&[hostname.as_str(), &clock], more].concat();
            Daemon::start(&options(url, &secret, &more))
        };
        let hosts = vec![host("mx1.example"), host("mx2.example")];
        let site = Self {
            redis,
            clock,
            hosts,
            secret,
            _directory: directory,
        };
        site.hosts.iter().for_each(is_sharing);
        site
    }

    /// The reply of a host about the mail of a sender.
    pub(crate) fn ask(&self, host: usize, sender: &str) -> String {
        self.hosts[host].ask(&rcpt(
            "mx.sender.example",
            "203.0.113.7",
            sender,
            "joe@x.example",
        ))
    }

    /// How many keys the server has; three are the site's.
    fn keys(&self) -> usize {
        self.redis.keys()
    }

    pub(crate) fn wait_for_keys(&self, keys: usize) {
        self.redis.wait_for_keys(keys);
    }
}

/// Writes a file that nobody else may read.
pub(crate) fn private_file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

pub(crate) fn options(url: &str, secret: &Path, more: &[&str]) -> Vec<String> {
    let mut options = vec![
        format!("--shared={url}"),
        format!("--shared-secret={}", secret.display()),
    ];
    options.extend(more.iter().map(|option| (*option).to_owned()));
    options
}

/// Waits until the last thing that a host has said about sharing is that it works.
pub(crate) fn is_sharing(host: &Daemon) {
    host.log_until(|log| {
        last_state(log).is_some_and(|line| line.contains("records are shared with"))
    });
}

/// Waits until the last thing that a host has said about sharing is that it does not work.
pub(crate) fn is_alone(host: &Daemon) {
    host.log_until(|log| last_state(log).is_some_and(|line| line.contains("are not shared with")));
}

pub(crate) fn last_state(log: &str) -> Option<&str> {
    let mut lines = log.lines().rev();
    lines.find(|line| line.contains("shared with the other hosts"))
}

pub(crate) const GREYLISTED: &str = "DEFER_IF_PERMIT 4.2.0 Greylisted";
const HEADER: &str = "PREPEND X-Greylist: delayed 300 seconds";

#[test]
fn a_retry_at_another_host_passes_with_the_user_of_the_manual_page_over_tcp() {
    retry_elsewhere(Redis::start());
}

fn retry_elsewhere(server: Redis) {
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let login = "user = stargrey\npassword = CHANGE-THIS\n";
    let site = Site::of(server, &url, login, &[]);
    assert!(site.ask(0, "ann@sender.example").starts_with(GREYLISTED));
    site.wait_for_keys(4);
    site.clock.advance(300);
    assert!(site.ask(1, "ann@sender.example").starts_with(HEADER));
    let line = "action=pass, reason=triplet found, delay=300, client_name=mx.sender.example";
    site.hosts[1].log_until(|log| {
        let mut lines = log.lines();
        lines.any(|at| at.contains(line) && at.ends_with(", host=mx1.example"))
    });
    assert_eq!(site.ask(1, "ann@sender.example"), "DUNNO");
    // Quoted, because there are bytes of all kinds in the names.
    let dump = site.redis.cli(&["--no-raw", "keys", "*"]);
    assert!(
        dump.lines().all(|key| key.contains(") \"stargrey:")),
        "{dump}"
    );
    let refused = site.redis.cli(&["acl", "log"]);
    assert_eq!(refused.trim(), "", "nothing was refused");
}

#[test]
fn a_client_that_has_proved_itself_at_one_host_passes_at_another() {
    let site = Site::start();
    for n in 0..5 {
        let sender = format!("s{n}x@sender.example");
        assert!(site.ask(0, &sender).starts_with(GREYLISTED));
        site.clock.advance(3600);
        assert!(site.ask(0, &sender).starts_with("PREPEND"), "{n}");
    }
    // The records of five triplets and a client.
    site.wait_for_keys(9);
    wait_for("the last count", || {
        site.ask(1, &format!("y{:?}@sender.example", monotonic())) == "DUNNO"
    });
    site.hosts[1].expect_line("reason=client AWL", ", host=mx1.example");
}

#[test]
fn whatever_happens_to_the_server_mail_goes_on_and_is_shared_again_afterwards() {
    trouble(Redis::start());
}

#[test]
fn hosts_share_by_valkey_as_they_do_by_redis() {
    let test = "shared_records::hosts_share_by_valkey_as_they_do_by_redis";
    let Some(directory) = unpacked("valkey", test) else {
        return;
    };
    let start = || {
        let server = Redis::of_program(directory.join("run"), &|_| Vec::new());
        let about = server.cli(&["info", "server"]);
        assert!(about.contains("server_name:valkey"), "{about}");
        server
    };
    retry_elsewhere(start());
    trouble(start());
}

fn trouble(server: Redis) {
    let mut site = Site::by(server);
    let mut number = 0;
    let longest = |site: &Site, number: &mut u32| {
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            *number += 1;
            let begun = monotonic();
            let answer = site.ask(1, &format!("n{number}x@sender.example"));
            assert!(answer.starts_with(GREYLISTED), "{answer}");
            longest = longest.max(monotonic().saturating_sub(begun));
        }
        longest
    };
    let shares = |site: &Site, number: &mut u32| {
        site.hosts.iter().for_each(is_sharing);
        *number += 1;
        let sender = format!("n{number}x@sender.example");
        assert!(site.ask(0, &sender).starts_with(GREYLISTED));
        site.clock.advance(300);
        // Sooner than the first host has published it, the other would begin anew.
        thread::park_timeout(Duration::from_millis(500));
        let answer = site.ask(1, &sender);
        assert!(answer.starts_with("PREPEND"), "{answer}");
    };
    shares(&site, &mut number);

    // It hangs.
    site.redis.signal("-STOP");
    assert!(longest(&site, &mut number) < Duration::from_secs(2));
    is_alone(&site.hosts[1]);
    assert!(
        longest(&site, &mut number) < Duration::from_millis(250),
        "no request waits any more"
    );
    site.redis.signal("-CONT");
    shares(&site, &mut number);

    // It takes no writes, as a replica after a failover.
    site.redis.cli(&["replicaof", "127.0.0.1", "1"]);
    longest(&site, &mut number);
    is_alone(&site.hosts[1]);
    site.redis.cli(&["replicaof", "no", "one"]);
    shares(&site, &mut number);

    // Its memory is used up.
    site.redis.cli(&["config", "set", "maxmemory", "1"]);
    longest(&site, &mut number);
    is_alone(&site.hosts[1]);
    site.redis.cli(&["config", "set", "maxmemory", "0"]);
    shares(&site, &mut number);

    // It ends, and comes back without its data.
    site.redis.kill();
    assert!(longest(&site, &mut number) < Duration::from_secs(1));
    is_alone(&site.hosts[1]);
    site.redis.run();
    shares(&site, &mut number);
}

/// Gives each host a bus.
fn with_buses(site: &mut Site) -> Vec<Bus> {
    let start = |host: &mut Daemon| {
        let bus = Bus::start(host.path());
        host.stop();
        host.start_again();
        host.log_until(|log| log.lines().any(|line| line.contains(THERE)));
        bus
    };
    site.hosts.iter_mut().map(start).collect()
}

#[test]
fn a_backup_that_is_restored_at_one_host_does_not_bring_back_what_was_removed_since() {
    let mut site = Site::start();
    let buses = with_buses(&mut site);
    site.hosts.iter().for_each(is_sharing);
    let ctl = |host: usize, arguments: &[&str]| {
        let output = buses[host].ctl(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let is_listed = |host: usize| ctl(host, &["list", "client"]).contains("mx.friend.example");
    let sender = "ann@sender.example";
    ctl(0, &["allow", "client", "mx.friend.example"]);
    wait_for("the entry", || is_listed(1));
    assert!(site.ask(0, sender).starts_with(GREYLISTED));
    site.clock.advance(300);
    assert!(site.ask(0, sender).starts_with("PREPEND"));
    let backup = site.hosts[0].path().join("backup");
    let backup = backup.to_str().unwrap();
    ctl(0, &["backup", backup]);
    site.clock.advance(1);
    ctl(0, &["remove", "client", "mx.friend.example"]);
    ctl(0, &["forget", "--sender", sender]);
    wait_for("the removal", || !is_listed(1));
    site.clock.advance(1);
    ctl(0, &["restore", backup]);
    wait_for("the removal after the restore", || !is_listed(0));
    wait_for("the deletion after the restore", || {
        ctl(0, &["status"]).contains("Triplets: 0 (")
    });
    assert!(is_listed(1) == is_listed(0));
    assert!(site.ask(1, sender).starts_with(GREYLISTED));
}

#[test]
fn an_entry_or_a_deletion_at_one_host_is_carried_out_at_the_other_and_survives_a_restart() {
    let mut site = Site::start();
    let buses = with_buses(&mut site);
    let ctl = |host: usize, arguments: &[&str]| {
        let output = buses[host].ctl(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let is_listed = |host: usize| ctl(host, &["list", "client"]).contains("mx.friend.example");
    let begun = monotonic();
    ctl(0, &["allow", "client", "mx.friend.example"]);
    wait_for("the entry", || is_listed(1));
    assert!(monotonic().saturating_sub(begun) < Duration::from_secs(5));
    site.hosts[1].stop();
    site.hosts[1].start_again();
    wait_for("the entry after a restart", || is_listed(1));
    ctl(1, &["remove", "client", "mx.friend.example"]);
    wait_for("the removal", || !is_listed(0));

    let sender = "ann@sender.example";
    let keys = site.keys();
    assert!(site.ask(0, sender).starts_with(GREYLISTED));
    site.wait_for_keys(keys + 1);
    site.clock.advance(300);
    assert!(site.ask(1, sender).starts_with("PREPEND"));
    assert!(site.ask(0, sender).starts_with("PREPEND"));
    site.clock.advance(1);
    ctl(0, &["forget", "--sender", sender]);
    wait_for("the deletion", || {
        ctl(1, &["status"]).contains("Triplets: 0 (")
    });
    let state = ctl(1, &["status"]);
    assert!(state.contains("Shared: ok"), "{state}");
    site.clock.advance(1);
    assert!(site.ask(1, sender).starts_with(GREYLISTED));
}

#[test]
fn a_value_that_is_too_long_or_no_text_counts_as_absent_and_is_replaced() {
    let site = Site::start();
    let sender = "ann@sender.example";
    assert!(site.ask(0, sender).starts_with(GREYLISTED));
    // The key is not text, so the server looks for it: the record of a waiting triplet has 43 bytes.
    let with_record = |change: &str| {
        let script = format!(
            "local count = 0
             for _, key in ipairs(redis.call('KEYS', '*')) do
               if redis.call('STRLEN', key) == 43 then count = count + 1; {change} end
             end
             return count"
        );
        site.redis.cli(&["eval", &script, "0"]).trim().to_owned()
    };
    wait_for("the record", || with_record("") == "1");
    assert_eq!(
        with_record("redis.call('SETRANGE', key, 20000000, 'x')"),
        "1"
    );
    site.clock.advance(300);
    assert!(site.ask(1, sender).starts_with(GREYLISTED));
    wait_for("the record of the second host", || with_record("") == "1");

    let list = "redis.call('DEL', key); redis.call('RPUSH', key, 'x')";
    assert_eq!(with_record(list), "1");
    let other = "bob@sender.example";
    assert!(site.ask(0, other).starts_with(GREYLISTED), "it goes on");
    site.clock.advance(300);
    assert!(site.ask(0, sender).starts_with("PREPEND"));
    assert!(site.ask(1, sender).starts_with(HEADER));
    let mut states = site.hosts.iter().map(Daemon::log);
    assert!(states.all(|log| !log.contains("are not shared with")));
}

#[test]
fn a_host_whose_secret_cannot_be_read_decides_alone_and_says_so_until_it_can() {
    let server = Redis::start();
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let url = format!("unix:{}", server.socket().display());
    let host = Daemon::start(&options(&url, &secret, &[]));
    host.log_until(|log| {
        last_state(log).is_some_and(|line| {
            line.contains("--shared-secret: ") && line.contains("it is read again")
        })
    });
    let mail = rcpt(
        "mx.sender.example",
        "203.0.113.7",
        "a@b.example",
        "joe@x.example",
    );
    assert!(host.ask(&mail).starts_with(GREYLISTED));
    let key = verbs::shared_key().unwrap().text;
    private_file(directory.path(), "secret", &key);
    is_sharing(&host);
}

#[test]
fn what_was_read_before_a_reload_goes_on_but_another_key_wants_a_restart() {
    let server = Redis::start();
    let directory = tempfile::tempdir().unwrap();
    let key = || verbs::shared_key().unwrap().text;
    let secret = private_file(directory.path(), "secret", &key());
    let url = format!("unix:{}", server.socket().display());
    let mut host = Daemon::start(&options(&url, &secret, &[]));
    is_sharing(&host);
    fs::remove_file(&secret).unwrap();
    host.reload();
    let disconnect = || server.cli(&["client", "kill", "type", "normal"]);
    disconnect();
    host.log_until(|log| log.contains("what was read before the reload goes on to be used"));
    let keys = server.keys();
    let mail = rcpt(
        "mx.sender.example",
        "203.0.113.7",
        "a@b.example",
        "joe@x.example",
    );
    assert!(host.ask(&mail).starts_with(GREYLISTED));
    server.wait_for_keys(keys + 1);
    private_file(directory.path(), "secret", &key());
    host.reload();
    disconnect();
    host.log_until(|log| last_state(log).is_some_and(|line| line.contains("restart stargreyd")));
}

#[test]
fn a_refused_reload_reads_nothing_of_the_shared_server_again_and_the_next_one_does() {
    let server = Redis::start();
    let directory = tempfile::tempdir().unwrap();
    let key = || verbs::shared_key().unwrap().text;
    let secret = private_file(directory.path(), "secret", &key());
    let url = format!("unix:{}", server.socket().display());
    let mut host = Daemon::start(&options(&url, &secret, &[]));
    is_sharing(&host);
    let disconnect = || server.cli(&["client", "kill", "type", "normal"]);
    let list = host.path().join("whitelist_clients");
    fs::write(&list, "not a host\n").unwrap();
    private_file(directory.path(), "secret", &key());
    host.reload();
    host.log_until(|log| log.contains("keeping the old lists"));
    let keys = server.keys();
    disconnect();
    let mail = rcpt(
        "mx.sender.example",
        "203.0.113.7",
        "a@b.example",
        "joe@x.example",
    );
    assert!(host.ask(&mail).starts_with(GREYLISTED));
    // It shares by the old key: only who has that can connect.
    server.wait_for_keys(keys + 1);
    fs::write(&list, "").unwrap();
    host.reload();
    disconnect();
    host.log_until(|log| last_state(log).is_some_and(|line| line.contains("restart stargreyd")));
}

#[test]
fn a_secret_that_everybody_may_read_or_that_has_no_key_is_refused_with_78() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let run = |url: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
            .args(options(
                url,
                &secret,
                &["--check", "--user=root", "--group=root"],
            ))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let cases = [
        (
            "key = 00\n",
            0o600,
            "1: the key is not 64 hexadecimal digits",
        ),
        ("", 0o600, "has no key"),
        ("", 0o644, "everybody may read it (mode 0644)"),
    ];
    for (text, mode, want) in cases {
        fs::write(&secret, text).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = run("unix:/run/x");
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(want), "{said}");
    }
    fs::write(&secret, verbs::shared_key().unwrap().text).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(run("unix:/run/x").0, Some(0));
    let (code, said) = run("redis+sentinel://db.example/");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("redis+sentinel://HOST[:PORT]"), "{said}");
}

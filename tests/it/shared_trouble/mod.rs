//! What two hosts do while the server of their shared records fails in each way that stargrey-shared(7) has a row for:
//! under load on both, beside twins that share nothing, with a comparison of all records afterwards.

mod checker;
mod load;
mod proxy;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::bus::OnBus;
use crate::shared_records::{
    BEGIN, PAGE, Redis, free_port, is_sharing, options, private_file, wait_for,
};
use crate::shared_routes::{Failover, failover};
use crate::support::{Daemon, TestClock, remark};
use load::{Load, Tally};
use proxy::Network;

/// The secret of the site.
const KEY: [u8; 32] = [0x5a; 32];

/// An entry that is removed at the second host while the server has trouble, and those that are added then.
const OLD_ENTRY: &str = "old.friend.example";
const NEW_ENTRIES: [&str; 2] = ["one.friend.example", "two.friend.example"];

/// Most requests of a host that may be held up: two that get no reply, and those that are under way at the same time.
const MOST_HELD_UP: usize = 4;

/// Keys that are no records: those of the site, and the act that added the first entry.
const OTHER_KEYS: usize = 4;

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Stopped,
    Emptied,
    Hangs,
    ReadOnly,
    Failover,
    Cut,
}

/// What the server has lost of the records that it had acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    None,
    All,
    /// What had not reached the replica.
    Last,
}

/// A row of the page.
struct Row {
    name: &'static str,
    trouble: Trouble,
    lost: Lost,
}

const ROWS: [Row; 6] = [
    Row {
        name: "the server ends, and starts again with its data",
        trouble: Trouble::Stopped,
        lost: Lost::None,
    },
    Row {
        name: "the server ends, and starts again empty",
        trouble: Trouble::Emptied,
        lost: Lost::All,
    },
    Row {
        name: "the server hangs",
        trouble: Trouble::Hangs,
        lost: Lost::None,
    },
    Row {
        name: "the server becomes read-only",
        trouble: Trouble::ReadOnly,
        lost: Lost::None,
    },
    Row {
        name: "the primary ends, and its replica takes over",
        trouble: Trouble::Failover,
        lost: Lost::Last,
    },
    Row {
        name: "the network between one host and the server is cut",
        trouble: Trouble::Cut,
        lost: Lost::None,
    },
];

impl Lost {
    /// The words of the page.
    const fn words(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::All => "all",
            Self::Last => "less than half",
        }
    }
}

/// The servers of a site.
struct Servers {
    primary: Redis,
    failover: Option<Failover>,
    network: Option<Network>,
}

impl Servers {
    fn start(trouble: Trouble) -> Self {
        let more: &[&str] = match trouble {
            Trouble::Stopped => &["--appendonly", "yes"],
            Trouble::Emptied
            | Trouble::Hangs
            | Trouble::ReadOnly
            | Trouble::Failover
            | Trouble::Cut => &[],
        };
        let primary = Redis::with(&|_| more.iter().map(ToString::to_string).collect());
        Self {
            failover: (trouble == Trouble::Failover).then(|| failover(&primary)),
            network: (trouble == Trouble::Cut).then(|| Network::to(primary.port)),
            primary,
        }
    }

    /// The URLs of both hosts.
    fn urls(&self) -> [String; 2] {
        let tcp = |port: u16| format!("redis://127.0.0.1:{port}/0");
        match (&self.failover, &self.network) {
            (Some(failover), _) => [failover.url(), failover.url()],
            (None, Some(network)) => [tcp(self.primary.port), tcp(network.port)],
            (None, None) => [tcp(self.primary.port), tcp(self.primary.port)],
        }
    }

    /// The server that has the records after the trouble.
    fn last(&self) -> &Redis {
        self.failover
            .as_ref()
            .map_or(&self.primary, |failover| &failover.replica)
    }

    fn begin(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Stopped | Trouble::Emptied | Trouble::Failover => self.primary.kill(),
            Trouble::Hangs => self.primary.signal("-STOP"),
            Trouble::ReadOnly => {
                let nobody = free_port().to_string();
                self.primary.cli(&["replicaof", "127.0.0.1", &nobody]);
            }
            Trouble::Cut => self.network.as_ref().expect("a network").cut(),
        }
    }

    fn mend(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Stopped | Trouble::Emptied => self.primary.run(),
            Trouble::Hangs => self.primary.signal("-CONT"),
            Trouble::ReadOnly => {
                self.primary.cli(&["replicaof", "no", "one"]);
            }
            Trouble::Failover => {
                let replica = self.last();
                wait_for("a new primary", || {
                    replica.cli(&["role"]).starts_with("master")
                });
            }
            Trouble::Cut => self.network.as_ref().expect("a network").mend(),
        }
    }
}

/// Two hosts, each with a twin that shares nothing.
struct Pair {
    servers: Servers,
    hosts: Vec<OnBus>,
    twins: Vec<Daemon>,
    clock: TestClock,
    _directory: TempDir,
}

impl Pair {
    fn start(trouble: Trouble) -> Self {
        let servers = Servers::start(trouble);
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let clock = TestClock::at(directory.path(), BEGIN);
        let mut text = "key = ".to_owned();
        for byte in KEY {
            write!(text, "{byte:02x}").unwrap();
        }
        let secret = private_file(directory.path(), "secret", &text);
        let names = ["--hostname=mx1.example", "--hostname=mx2.example"];
        let (mut hosts, mut twins) = (Vec::new(), Vec::new());
        for (name, url) in names.into_iter().zip(servers.urls()) {
            let options = options(&url, &secret, &[name, &clock.option()]);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            hosts.push(OnBus::start_prepared(Daemon::prepare(), &options));
            twins.push(Daemon::start(&[clock.option()]));
        }
        for host in &hosts {
            is_sharing(&host.daemon);
        }
        for (host, other) in hosts.iter().zip(["mx2.example", "mx1.example"]) {
            wait_for("the Monitor has the other host", || {
                let (_, status) = host.ctl_json(&["status"]);
                status["shared_state"] == "ok"
                    && status["shared_hosts"][other] == "ok"
                    && status["shared"]["asked"] == 0
            });
        }
        Self {
            servers,
            hosts,
            twins,
            clock,
            _directory: directory,
        }
    }

    fn load(&self) -> Load {
        let hosts = self.hosts.iter().map(|host| host.daemon.socket());
        let twins = self.twins.iter().map(Daemon::socket);
        Load::start(&hosts.zip(twins).collect::<Vec<(PathBuf, PathBuf)>>())
    }

    /// What stargreyctl does at a host; it succeeds.
    fn act(&self, host: usize, arguments: &[&str]) {
        let (code, said) = self.hosts[host].ctl(arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
    }

    fn has_entry(&self, host: usize, entry: &str) -> bool {
        self.hosts[host].ctl(&["list", "client"]).1.contains(entry)
    }

    /// Waits until the hosts agree, and yields the number of records that were compared.
    fn agree(&self) -> usize {
        let begun = stargrey::service::clock::monotonic();
        loop {
            let socket = self.servers.last().socket();
            let (said, compared) =
                checker::disagreements(&self.hosts, socket, &KEY, self.clock.now());
            if said.is_empty() {
                return compared;
            }
            let took = stargrey::service::clock::monotonic().saturating_sub(begun);
            let first: Vec<&String> = said.iter().take(5).collect();
            assert!(
                took < Duration::from_secs(60),
                "{} disagreements: {first:#?}\n{}\n{}",
                said.len(),
                self.hosts[0].ctl(&["status"]).1,
                self.hosts[1].ctl(&["status"]).1
            );
        }
    }
}

/// How often a host has said that it decides alone.
fn times_alone(host: &OnBus) -> usize {
    host.daemon.log().matches("are not shared with").count()
}

/// Lets a row happen, and yields the figures.
fn happens(row: &Row) -> (String, Vec<Tally>) {
    let mut pair = Pair::start(row.trouble);
    pair.act(0, &["allow", "client", OLD_ENTRY]);
    wait_for("the entry", || pair.has_entry(1, OLD_ENTRY));
    let load = pair.load();
    load.goes_on_for(150);
    load.with_no_request(|| pair.clock.advance(300));
    load.goes_on_for(150);

    let alone: Vec<usize> = pair.hosts.iter().map(times_alone).collect();
    let acknowledged = pair.servers.primary.keys() - OTHER_KEYS;
    pair.servers.begin(row.trouble);
    for (host, before) in pair.hosts.iter().zip(alone).rev() {
        let is_reached =
            row.trouble == Trouble::Cut && !std::ptr::eq(host, &raw const pair.hosts[1]);
        if !is_reached {
            host.daemon
                .log_until(|log| log.matches("are not shared with").count() > before);
        }
    }
    load.goes_on_for(100);
    load.with_no_request(|| pair.clock.advance(300));
    pair.act(1, &["remove", "client", OLD_ENTRY]);
    for (host, entry) in NEW_ENTRIES.into_iter().enumerate() {
        pair.act(host, &["allow", "client", entry]);
    }
    load.goes_on_for(100);

    pair.servers.mend(row.trouble);
    let left = pair.servers.last().keys().saturating_sub(OTHER_KEYS);
    let lost = acknowledged.saturating_sub(left);
    for host in &pair.hosts {
        is_sharing(&host.daemon);
    }
    load.goes_on_for(100);
    let tallies = load.end();
    let compared = pair.agree();
    for host in 0..2 {
        for entry in NEW_ENTRIES {
            assert!(pair.has_entry(host, entry), "{}: {entry}", row.name);
        }
    }
    let again = (pair.servers.last().keys() - OTHER_KEYS - left).min(lost);
    assert_eq!(again, lost, "{}: sent again", row.name);
    match row.lost {
        Lost::None => assert_eq!(lost, 0, "{}", row.name),
        // The hosts may have sent some before they were counted.
        Lost::All => assert!(lost > acknowledged / 2, "{}: {lost}", row.name),
        Lost::Last => assert!(lost < acknowledged / 2, "{}: {lost}", row.name),
    }
    let figures = format!(
        "{}: {acknowledged} acknowledged, {lost} lost, {again} sent again; {compared} records agree",
        row.name
    );
    (figures, tallies)
}

#[test]
fn whatever_fails_nothing_is_answered_worse_or_held_up_and_the_hosts_agree_afterwards() {
    for row in &ROWS {
        let (figures, tallies) = happens(row);
        for tally in &tallies {
            let worse = &tally.worse;
            assert!(worse.is_empty(), "{}: {worse:#?}", row.name);
            let (longest, limit) = (tally.longest, tally.limit());
            assert!(longest <= limit, "{}: {longest:?}, {limit:?}", row.name);
            assert!(tally.held_up <= MOST_HELD_UP, "{}: {tally:?}", row.name);
        }
        let sum = |of: &dyn Fn(&Tally) -> usize| -> usize { tallies.iter().map(of).sum() };
        remark(&format!(
            "{figures}; {} attempts, {} answered better than alone, {} held up; longest {:.0?}, alone {:.0?}",
            sum(&|tally| tally.attempts),
            sum(&|tally| tally.better),
            sum(&|tally| tally.held_up),
            tallies.iter().map(|tally| tally.longest).max().unwrap(),
            tallies
                .iter()
                .map(|tally| tally.longest_alone)
                .max()
                .unwrap(),
        ));
        assert!(sum(&|tally| tally.better) > 0, "{}: they share", row.name);
    }
}

#[test]
fn the_rows_of_the_manual_page_are_what_was_tried() {
    let (_, table) = PAGE.split_once(".Ss What is lost\n").expect("the table");
    let (table, _) = table.split_once("\n.El").expect("its end");
    let rows: Vec<(String, String)> = table
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .skip(1)
        .map(|line| {
            let mut cells = line.split(" Ta ").map(|cell| cell.trim_matches('"'));
            let (name, lost) = (cells.next().unwrap(), cells.nth(1).unwrap());
            (name.to_lowercase(), lost.to_owned())
        })
        .collect();
    let tried: Vec<(String, String)> = ROWS
        .iter()
        .map(|row| (row.name.to_owned(), row.lost.words().to_owned()))
        .collect();
    assert_eq!(rows, tried);
}

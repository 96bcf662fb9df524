//! What two hosts do while the server of their shared records fails in each way that stargrey-shared(7) has a row for:
//! under load on both, beside twins that share nothing, with a comparison of all records afterwards.

mod checker;
mod load;
mod proxy;
mod servers;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::bus::OnBus;
use crate::shared_records::{BEGIN, PAGE, is_sharing, options, private_file, wait_for};
use crate::support::{Daemon, TestClock, remark};
use load::{Load, Tally};
use servers::{Names, ROWS, Row, Servers, Trouble};

/// The secret of the site.
const KEY: [u8; 32] = [0x5a; 32];

/// An entry that is removed at the second host while the server has trouble, and those that are added then.
const OLD_ENTRY: &str = "old.friend.example";
const NEW_ENTRIES: [&str; 2] = ["one.friend.example", "two.friend.example"];

/// Most requests of a host that may be held up: two that get no reply, and those that are under way at the same time.
const MOST_HELD_UP: usize = 4;

/// Keys that are no records: those of the site, and the act that added the first entry.
const OTHER_KEYS: usize = 4;

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

/// How many attempts each host has while its replica gets nothing.
const WHILE_LAGGING: usize = 60;

/// Lets a row happen, and yields the figures.
fn happens(row: &Row) -> (String, Vec<Tally>) {
    let mut pair = Pair::start(row.trouble);
    pair.act(0, &["allow", "client", OLD_ENTRY]);
    wait_for("the entry", || pair.has_entry(1, OLD_ENTRY));
    let others = pair.servers.primary.names();
    assert_eq!(others.len(), OTHER_KEYS, "{others:?}");
    let load = pair.load();
    load.goes_on_for(150);
    load.with_no_request(|| pair.clock.advance(300));
    load.goes_on_for(150 - WHILE_LAGGING);
    pair.servers.lag();
    load.goes_on_for(WHILE_LAGGING);

    let alone: Vec<usize> = pair.hosts.iter().map(times_alone).collect();
    let acknowledged: Names = &pair.servers.primary.names() - &others;
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
    let lost: Names = &acknowledged - &pair.servers.kept;
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
        assert!(!pair.has_entry(host, OLD_ENTRY), "{}: {host}", row.name);
    }
    // No record ends in this time: each that was acknowledged has to be there.
    let missing: Names = &acknowledged - &pair.servers.last().names();
    assert!(missing.is_empty(), "{}: {missing:?}", row.name);
    row.lost.expect(acknowledged.len(), lost.len(), row.name);
    let figures = format!(
        "{}: {} acknowledged, {} lost and sent again; {compared} records agree",
        row.name,
        acknowledged.len(),
        lost.len()
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
    let rows = table.lines().filter_map(|line| line.strip_prefix(".It "));
    let cells = rows.skip(1).map(|line| {
        let cells = line.split(" Ta ").map(|cell| cell.trim_matches('"'));
        cells.collect::<Vec<_>>()
    });
    let cells: Vec<Vec<&str>> = cells.collect();
    assert_eq!(cells.len(), ROWS.len());
    for (cells, row) in cells.iter().zip(&ROWS) {
        assert_eq!(cells[0].to_lowercase(), row.name);
        let acknowledged: usize = cells[1].parse().unwrap();
        let lost = match cells[2] {
            "nothing" => 0,
            "all" => acknowledged,
            figure => figure.parse().unwrap(),
        };
        row.lost.expect(acknowledged, lost, row.name);
    }
}

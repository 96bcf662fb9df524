//! A week of simulated time: spam that never returns, servers that return after 1, 5 and 30 minutes, a pool, refusals,
//! clients of a DNS list, with restarts, a kill, a forget and a clock that is set back in it. The script counts for
//! itself.

use std::collections::BTreeMap;
use std::fs;

use crate::bus::OnBus;
use crate::dns_lists::ListServer;
use crate::metrics::until;
use crate::support::{Daemon, TestClock, rcpt};

pub(super) const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const WINDOW: u64 = 2 * DAY;

/// The real time, in seconds since the epoch.
pub(super) fn now() -> u64 {
    let now = stargrey::ctl::clock::now().timestamp();
    now.as_second().unsigned_abs()
}

/// Greylists some clients, and refuses others.
const TABLE: &str = "/^table/ GREYLIST\n/^bad/ REJECT no\n";

/// Why a client has to wait.
const BY_RULE: (&str, &str) = ("unknown", "s25r:0");
const BY_TABLE: (&str, &str) = ("table.example", "table");
const BY_LIST: (&str, &str) = ("mx.listed.example", "dns-lists");

/// What the script has counted.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) strangers: u64,
    pub(super) came_back: u64,
    pub(super) never: u64,
    pub(super) waiting: u64,
    pub(super) refused: u64,
    pub(super) starts: u64,
    /// Requests that the DNS list decided.
    pub(super) listed_clients: u64,
    /// Waiting triplets of the time from [`Week::recent`] on, which none of the daemon's sweeps has removed.
    pub(super) listed: u64,
    pub(super) delays: BTreeMap<String, u64>,
    /// By cause, the one with the most strangers first.
    pub(super) rules: Vec<(String, (u64, u64))>,
    /// By sender domain: mails, median, whether it is a pool.
    pub(super) senders: BTreeMap<String, (u64, u64, bool)>,
}

/// A stranger of the script.
struct Stranger {
    first: u64,
    why: &'static str,
    delay: Option<u64>,
    is_forgotten: bool,
}

/// The week.
pub(super) struct Week {
    pub(super) on: OnBus,
    clock: TestClock,
    begin: u64,
    strangers: Vec<Stranger>,
    senders: BTreeMap<String, Vec<u64>>,
    refused: u64,
    starts: u64,
    _lists: ListServer,
}

/// A number with commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

impl Week {
    /// A daemon whose clock is a week and an hour behind.
    pub(super) fn start() -> Self {
        let daemon = Daemon::prepare();
        let begin = now() / HOUR * HOUR - 7 * DAY - HOUR;
        let clock = TestClock::at(daemon.path(), begin);
        let table = daemon.path().join("table");
        let lists = ListServer::start();
        fs::write(&table, TABLE).unwrap();
        let options = [
            clock.option(),
            "--s25r".to_owned(),
            format!("--client-access={}", table.display()),
            "--greylist-result=GREYLIST".to_owned(),
            "--dnsbl-sites=bad.example".to_owned(),
            format!("--resolver={}", lists.address),
            "--auto-whitelist-clients=0".to_owned(),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Self {
            on: OnBus::start_prepared(daemon, &options),
            clock,
            begin,
            strangers: Vec::new(),
            senders: BTreeMap::new(),
            refused: 0,
            starts: 1,
            _lists: lists,
        }
    }

    /// The hours in which anything happened.
    pub(super) fn period(&self) -> (u64, u64) {
        (self.begin, self.begin + 7 * DAY)
    }

    /// An hour less than the retry window before the last hour.
    pub(super) fn recent(&self) -> u64 {
        self.begin + 7 * DAY - WINDOW + HOUR
    }

    /// An attempt at a time after the begin; says whether it was let pass.
    fn ask(
        &self,
        time: u64,
        (name, address): (&str, &str),
        (sender, recipient): (&str, &str),
    ) -> bool {
        self.clock.set(self.begin + time);
        let reply = self.on.daemon.ask(&rcpt(name, address, sender, recipient));
        !reply.contains("DEFER_IF_PERMIT") && !reply.contains("REJECT")
    }

    /// Mail that comes back after each of these delays until it passes with the last of them.
    fn mail(
        &mut self,
        time: u64,
        (name, why): (&'static str, &'static str),
        (address, sender): (&str, &str),
        delays: &[u64],
    ) {
        let recipient = format!("r{time}@example.net");
        let mail = (sender, recipient.as_str());
        assert!(!self.ask(time, (name, address), mail));
        for delay in delays {
            let passes = self.ask(time + delay, (name, address), mail);
            assert_eq!(passes, *delay >= 300, "{sender} after {delay} s");
        }
        let delay = delays.last().copied().filter(|delay| *delay >= 300);
        self.strangers.push(Stranger {
            first: self.begin + time,
            why,
            delay,
            is_forgotten: false,
        });
        if let Some(delay) = delay {
            let domain = sender.rsplit_once('@').map_or(sender, |(_, domain)| domain);
            self.senders
                .entry(domain.to_owned())
                .or_default()
                .push(delay);
        }
    }

    /// An hour's mail: all that is told of it has happened within the hour or the next.
    fn hour(&mut self, hour: u64) {
        let time = hour * HOUR;
        for n in 0..3 {
            let address = format!("203.0.{n}.{}", hour % 200 + 1);
            let sender = format!("s{hour}@spam{n}.example");
            self.mail(time + n, BY_RULE, (&address, &sender), &[]);
        }
        self.mail(
            time + 10,
            BY_TABLE,
            ("198.51.100.1", "a@five.example"),
            &[300],
        );
        self.mail(
            time + 11,
            BY_RULE,
            ("198.51.101.1", "a@one.example"),
            &[60, 360],
        );
        if hour.is_multiple_of(3) {
            self.mail(
                time + 12,
                BY_RULE,
                ("198.51.102.1", "a@half.example"),
                &[1800],
            );
            assert!(!self.ask(
                time + 13,
                ("bad.example", "192.0.2.9"),
                ("x@bad.example", "y@z")
            ));
            self.refused += 1;
        }
        if hour.is_multiple_of(2) {
            self.mail(
                time + 16,
                BY_LIST,
                ("192.0.2.2", "a@listed.example"),
                &[900],
            );
        }
        if hour.is_multiple_of(5) {
            self.pool(time + 14);
        }
        if hour.is_multiple_of(11) {
            self.mail(
                time + 15,
                BY_TABLE,
                ("198.51.103.1", "a@early.example"),
                &[100, 200],
            );
        }
    }

    /// Mail of a pool: the second network is a stranger that never comes back, the first one passes.
    fn pool(&mut self, time: u64) {
        let recipient = format!("r{time}@example.net");
        let mail = ("p@pool.example", recipient.as_str());
        let networks = ["198.51.104.1", "198.51.105.1"].map(|address| (BY_RULE.0, address));
        assert!(!self.ask(time, networks[0], mail));
        assert!(!self.ask(time + 600, networks[1], mail));
        assert!(self.ask(time + 1200, networks[0], mail));
        for (first, delay) in [(time, Some(1200)), (time + 600, None)] {
            self.strangers.push(Stranger {
                first: self.begin + first,
                why: BY_RULE.1,
                delay,
                is_forgotten: false,
            });
        }
        self.senders
            .entry("pool.example".to_owned())
            .or_default()
            .push(1200);
    }

    /// The whole week.
    pub(super) fn play(&mut self) {
        for hour in 0..7 * 24 - 1 {
            self.hour(hour);
            match hour {
                30 | 77 => self.restart(),
                50 => self.kill(),
                100 => self.forget(),
                120 => self.set_back(hour * HOUR + 3000),
                _ => {}
            }
        }
        self.restart();
    }

    fn restart(&mut self) {
        self.on.stop_and_start_again();
        self.starts += 1;
    }

    /// Kills the daemon once it has written what it knows: a kill loses the last seconds.
    fn kill(&mut self) {
        let script = self.counted(now());
        let since = format!("--since=@{}", self.begin);
        until("the counters are written", || {
            let (_, report) = self.on.ctl_json(&["report", "--no-names", &since]);
            let is_done = report["strangers"] == script.strangers
                && report["came_back"] == script.came_back
                && report["refused"] == script.refused;
            is_done.then_some(())
        });
        self.on.kill_and_start_again();
        self.starts += 1;
    }

    /// Forgets all that wait: the counters keep them.
    fn forget(&mut self) {
        assert_eq!(self.on.ctl(&["forget", "--state=waiting"]).0, 0);
        let waiting = self
            .strangers
            .iter_mut()
            .filter(|stranger| stranger.delay.is_none());
        waiting.for_each(|stranger| stranger.is_forgotten = true);
    }

    /// A clock that was half an hour ahead is set right: the mail of before waits anew, and is the same stranger.
    fn set_back(&mut self, time: u64) {
        let client = (BY_RULE.0, "198.51.106.1");
        let mail = ("a@clock.example", "r@example.net");
        assert!(!self.ask(time, client, mail));
        assert!(!self.ask(time - 1800, client, mail));
        assert!(self.ask(time - 1800 + 400, client, mail));
        self.strangers.push(Stranger {
            first: self.begin + time - 1800,
            why: BY_RULE.1,
            delay: Some(400),
            is_forgotten: false,
        });
        self.senders
            .entry("clock.example".to_owned())
            .or_default()
            .push(400);
    }

    /// What the script has counted, at a time.
    pub(super) fn counted(&self, now: u64) -> Script {
        let mut script = Script {
            refused: self.refused,
            starts: self.starts,
            ..Script::default()
        };
        let mut rules: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for stranger in &self.strangers {
            script.strangers += 1;
            script.listed_clients += u64::from(stranger.why == BY_LIST.1);
            let rule = rules.entry(stranger.why).or_default();
            rule.0 += 1;
            let is_over = (stranger.first / HOUR + 1) * HOUR + WINDOW <= now;
            match stranger.delay {
                Some(delay) => {
                    script.came_back += 1;
                    rule.1 += 1;
                    let class = match delay {
                        0..=300 => "300",
                        301..=900 => "900",
                        901..=1800 => "1800",
                        _ => "3600",
                    };
                    *script.delays.entry(class.to_owned()).or_default() += 1;
                }
                None if is_over => script.never += 1,
                None => script.waiting += 1,
            }
            if stranger.delay.is_none() && !stranger.is_forgotten && stranger.first >= self.recent()
            {
                script.listed += 1;
            }
        }
        let mut rules: Vec<_> = rules
            .into_iter()
            .map(|(why, counts)| (why.to_owned(), counts))
            .collect();
        rules.sort_by_key(|(_, counts)| std::cmp::Reverse(*counts));
        script.rules = rules;
        for (domain, delays) in &self.senders {
            let mut delays = delays.clone();
            delays.sort_unstable();
            let median = delays[(delays.len() - 1) / 2];
            let row = (delays.len() as u64, median, domain == "pool.example");
            script.senders.insert(domain.clone(), row);
        }
        script
    }
}

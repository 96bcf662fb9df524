//! Killed at any moment, hundreds of times: what was answered is still true.
//!
//! Connections ask about clients of their own and an administrator changes entries over the bus, until the
//! daemon is killed; it is started again in the same directory and has to go on from every answer it has
//! given ([`model`] says how that is seen). In some rounds it is killed while it starts. Time moves on between
//! the rounds, so that triplets pass and expire and slots are emptied meanwhile.
//!
//! `STARGREY_CRASH_SECONDS` says how long this takes, `STARGREY_CRASH_SEED` which moments are chosen;
//! `make crash-test` sets both.

mod entries;
mod load;
mod model;

use std::hint::spin_loop;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stargrey::service::clock::monotonic;

use crate::bus::harness::Bus;
use crate::postgrey::random::Random;
use crate::support::machine::require_root;
use crate::support::{Daemon, TestClock, number_from_environment, remark};
use entries::Administrator;
use load::{Book, Counters, Round};

/// What the daemon is told, in seconds and numbers.
const DELAY: u64 = 300;
const WINDOW: u64 = 3600;
const SLEEP: u64 = 125;
const COUNT: u32 = 2;
const AWL: u32 = 2;

/// Connections that ask at once.
const CONNECTIONS: usize = 8;

/// How long a start may take, from the command to READY; the machine may have other things to do.
const LONGEST_START: Duration = Duration::from_secs(10);

/// A daemon that is killed again and again.
struct Site {
    daemon: Daemon,
    clock: TestClock,
    books: Vec<Book>,
    administrator: Administrator,
    _bus: Bus,
}

/// What was seen of all that.
#[derive(Debug, Default)]
struct Figures {
    kills: u32,
    kills_at_start: u32,
    answered: u64,
    kept: u64,
    entries: AtomicU64,
    longest_start: Duration,
}

impl Site {
    fn new(targrey: bool, random: &mut Random) -> Self {
        let mut daemon = Daemon::prepare();
        let clock = TestClock::at(daemon.path(), 1_800_000_000);
        let mut options = vec![
            clock.option(),
            "-q".to_owned(),
            "--lookup-by-host".to_owned(),
            format!("--delay={DELAY}"),
            "--retry-window=1h".to_owned(),
            "--max-age=3650".to_owned(),
            format!("--retry-count={COUNT}"),
            format!("--auto-whitelist-clients={AWL}"),
            "--auto-whitelist-delay=0".to_owned(),
            "--greylist-text=wait %s".to_owned(),
        ];
        if targrey {
            options.push("--targrey".to_owned());
            options.push(format!("--tarpit={SLEEP}"));
            options.push("--tarpit-limit=100000".to_owned());
        }
        daemon.set_options(&options);
        require_root("the bus lets only root own the daemon's name");
        let bus = Bus::start(daemon.path());
        let mut seed = || Random::seeded(random.below(u64::MAX));
        Self {
            administrator: Administrator::new(&bus, seed()),
            _bus: bus,
            books: (0..CONNECTIONS)
                .map(|n| Book::new(n, targrey, seed()))
                .collect(),
            daemon,
            clock,
        }
    }

    /// Starts the daemon, and sees that this does not take long.
    fn start(&mut self, figures: &mut Figures) {
        let before = monotonic();
        self.daemon.excuse_kills();
        self.daemon.start_again();
        let took = monotonic().saturating_sub(before);
        assert!(took <= LONGEST_START, "the start took {took:?}");
        figures.longest_start = figures.longest_start.max(took);
    }

    /// Asks from all connections while the daemon is killed at some moment.
    fn round(&mut self, number: u32, random: &mut Random, figures: &mut Figures) {
        if random.percent(15) {
            self.daemon.start_unawaited();
            spin(random.below(4_000_000));
            self.daemon.kill();
            figures.kills_at_start += 1;
        }
        self.start(figures);
        let counters = Counters::default();
        let round = Round {
            number,
            now: self.clock.now(),
        };
        let (answers, moments) = (1 + random.below(400), random.below(1_000_000));
        thread::scope(|scope| {
            let daemon = &self.daemon;
            for book in &mut self.books {
                scope.spawn(|| book.ask(daemon, round, &counters));
            }
            let administrator = &mut self.administrator;
            scope.spawn(|| administrator.work(&counters.is_over, &figures.entries));
            let ended = || counters.ended.load(Ordering::Relaxed);
            while counters.answered.load(Ordering::Relaxed) < answers && ended() == 0 {
                thread::yield_now();
            }
            spin(moments);
            let ended_by_itself = ended() > 0;
            daemon.signal("KILL");
            counters.is_over.store(true, Ordering::Relaxed);
            assert!(
                !ended_by_itself,
                "a connection ends before the kill; the log:\n{}",
                daemon.log()
            );
        });
        self.daemon.kill();
        figures.kills += 1;
        figures.count(&counters);
        self.clock.advance(*random.pick(&[0, 1, 50, 125, 300, 700]));
    }

    /// Looks at everything once more.
    fn settle(&mut self, number: u32, figures: &mut Figures) {
        self.start(figures);
        let counters = Counters::default();
        let round = Round {
            number,
            now: self.clock.now(),
        };
        thread::scope(|scope| {
            for book in &mut self.books {
                scope.spawn(|| book.ask_all(&self.daemon, round, &counters));
            }
        });
        figures.count(&counters);
        assert!(self.daemon.stop().success());
        let log = self.daemon.log();
        for bad in ["database unavailable", "error: ", "panicked"] {
            assert!(!log.contains(bad), "{log}");
        }
    }
}

impl Figures {
    fn count(&mut self, counters: &Counters) {
        self.answered += counters.answered.load(Ordering::Relaxed);
        self.kept += counters.kept.load(Ordering::Relaxed);
    }
}

/// Does nothing for a moment: what is short enough to hit a commit cannot be slept.
fn spin(turns: u64) {
    for _ in 0..turns {
        spin_loop();
    }
}

#[test]
fn what_was_answered_survives_every_kill() {
    let length = Duration::from_secs(number_from_environment("STARGREY_CRASH_SECONDS", 12));
    let seed = number_from_environment("STARGREY_CRASH_SEED", 1);
    let mut random = Random::seeded(seed);
    let mut sites = [false, true].map(|targrey| Site::new(targrey, &mut random));
    let mut figures = Figures::default();
    let begun = monotonic();
    let mut number = 0;
    while monotonic().saturating_sub(begun) < length {
        for site in &mut sites {
            number += 1;
            site.round(number, &mut random, &mut figures);
        }
    }
    for site in &mut sites {
        site.settle(number + 1, &mut figures);
    }
    let clients: usize = sites
        .iter()
        .flat_map(|site| &site.books)
        .map(Book::len)
        .sum();
    remark(&format!("seed {seed}, {clients} clients, {figures:?}"));
    assert!(figures.kept > 0, "promises were put to the test");
    assert!(Path::new(&sites[0].daemon.path().join("db/data.mdb")).exists());
}

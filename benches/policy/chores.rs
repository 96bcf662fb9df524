//! Latency of requests while the daemon runs chores: `make bench PART=chores`.
//!
//! A hundred connections send the mix continuously, alternately without and during a chore. stargreyctl starts the
//! chores over a private D-Bus: a reload of a list of a hundred thousand networks and a backup, each every
//! second, and an import of a million rows, a part of them in each round. The sweep starts by itself: a second server
//! has expired records in its database. It sweeps from its start on, so a signal stops the process while it is not
//! measured.
//!
//! During a burst of added entries, each an expression, only new triplets are sent: their replies wait for the writer
//! thread, which writes the entries.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use stargrey::api::MonitorProxy;
use stargrey::types::Span;

use crate::bus::{Bus, waiting};
use crate::cells::{Pace, Peer};
use crate::fill::{Crowd, fill};
use crate::load::{self, Sample, Until};
use crate::orders::{self, Obeyed, Orders, write_rows};
use crate::server::{Place, Server, Start};
use crate::spread::Spread;
use crate::verdict::Bound;

const CONNECTIONS: usize = 100;

/// Expressions that are added in a round.
const ADDED: usize = 1000;

/// How many times as long the answers may take beside all chores, and beside entries that are added.
const BOUND: f64 = 3.0;

/// How many spells of the table one lasts here at least.
const LENGTH: u32 = 4;

/// Far from the numbers of the strangers that the databases hold.
const FIRST_IMPORTED: usize = 1 << 31;

/// Numbers of triplets.
struct Amounts {
    /// In each database.
    stored: usize,
    /// Those that wait to be swept, besides.
    overdue: usize,
    /// Taken in all rounds together.
    imported: usize,
}

const FULL: Amounts = Amounts {
    stored: 1_000_000,
    overdue: 6_000_000,
    imported: 1_000_000,
};

const QUICK: Amounts = Amounts {
    stored: 100_000,
    overdue: 600_000,
    imported: 100_000,
};

/// What is done beside the work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chore {
    Sweep,
    Reload,
    Backup,
    Import,
    /// All of the above.
    All,
    Adds,
}

const CHORES: [(Chore, &str); 6] = [
    (Chore::Sweep, "a sweep"),
    (Chore::Reload, "reloads"),
    (Chore::Backup, "backups"),
    (Chore::Import, "an import"),
    (Chore::All, "all of these"),
    (Chore::Adds, "adds"),
];

/// A server with a bus of its own.
struct Ordered {
    peer: Peer,
    bus: Bus,
    monitor: MonitorProxy<'static>,
}

/// Everything that is measured.
struct Chores<'p> {
    place: &'p Place,
    pace: Pace,
    /// Has nothing to sweep.
    tidy: Ordered,
    /// Has, and is stopped.
    sweeping: Ordered,
    /// The next stranger to be imported.
    next: usize,
}

/// A spell without a chore, and one beside it.
struct Round {
    alone: Sample,
    beside: Sample,
    obeyed: Obeyed,
    swept: u64,
    rows: usize,
}

/// Measures and prints.
pub(crate) async fn measure(place: &Place, rhythm: Pace, is_quick: bool) -> io::Result<()> {
    let mut out = io::stdout();
    let amounts = if is_quick { QUICK } else { FULL };
    let buses = (Bus::start(place, "tidy")?, Bus::start(place, "sweeping")?);
    let (Some(tidy), Some(sweeping)) = buses else {
        return writeln!(out, "Chores: dbus-daemon is not installed.");
    };
    let crowd = |numbers, days| Crowd {
        numbers,
        age: Span::from_days(days),
    };
    let stored = || crowd(0..amounts.stored, 0);
    let overdue = crowd(amounts.stored..amounts.stored + amounts.overdue, 4);
    fill(&place.directory("tidy")?, &[stored()])?;
    fill(&place.directory("sweeping")?, &[overdue, stored()])?;
    let mut chores = Chores {
        place,
        pace: rhythm,
        tidy: Ordered::start(place, "tidy", tidy).await?,
        sweeping: Ordered::start(place, "sweeping", sweeping).await?,
        next: FIRST_IMPORTED,
    };
    chores.sweeping.peer.server.signal("STOP")?;
    for (chore, name) in CHORES {
        let mut rounds = Vec::new();
        for _ in 0..rhythm.rounds {
            rounds.push(
                chores
                    .round(chore, amounts.imported / rhythm.rounds)
                    .await?,
            );
        }
        writeln!(out, "{}", line(chore, name, &rounds))?;
    }
    Ok(())
}

impl Chore {
    fn has(self, other: Self) -> bool {
        self == other || self == Self::All && other != Self::Adds
    }

    /// What is asked beside it.
    fn work(self) -> &'static str {
        match self {
            Self::Adds => "new",
            Self::Sweep | Self::Reload | Self::Backup | Self::Import | Self::All => "mix",
        }
    }
}

impl Ordered {
    /// Starts a server on its database.
    async fn start(place: &Place, name: &str, bus: Bus) -> io::Result<Self> {
        let start = Start {
            name,
            options: &["--policy-test-time"],
            bus: Some(&bus.address),
            ..Start::default()
        };
        let peer = Peer::prepared(Server::stargreyd(place, &start)?).await?;
        let monitor = bus.monitor().await?;
        Ok(Self { peer, bus, monitor })
    }

    /// How many triplets would wait had nobody asked. What is imported does not wait.
    async fn kept(&self, work: &str) -> io::Result<u64> {
        let written = self.peer.work(work)?.reached() as u64;
        Ok(waiting(&self.monitor).await?.saturating_sub(written))
    }

    /// A spell of work that lasts until everything is done as ordered.
    async fn spell(&self, work: &str, orders: Orders) -> io::Result<(Sample, Obeyed)> {
        let plan = self.peer.plan(work, CONNECTIONS)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Until::Told(Arc::clone(&is_over));
        let giving = thread::spawn(move || {
            let obeyed = orders.give();
            is_over.store(true, Ordering::Relaxed);
            obeyed
        });
        let sample = load::run(&self.peer.server, &plan, &until).await?;
        let obeyed = giving.join();
        let obeyed = obeyed.map_err(|_| io::Error::other("a thread has died"))?;
        Ok((sample, obeyed?))
    }
}

impl Chores<'_> {
    async fn round(&mut self, chore: Chore, rows: usize) -> io::Result<Round> {
        let length = self.pace.spell * LENGTH;
        let work = chore.work();
        let alone = self.tidy.peer.spell(work, CONNECTIONS, length).await?;
        let rows = if chore.has(Chore::Import) { rows } else { 0 };
        let file = self.place.disk("rows");
        write_rows(&file, self.next..self.next + rows)?;
        self.next += rows;
        let (server, is_sweeping) = if chore.has(Chore::Sweep) {
            (&self.sweeping, true)
        } else {
            (&self.tidy, false)
        };
        let orders = Orders {
            bus: server.bus.address.clone(),
            length,
            reload: chore.has(Chore::Reload),
            backup: chore.has(Chore::Backup).then(|| self.place.disk("copy")),
            import: chore.has(Chore::Import).then_some(file),
            add: chore.has(Chore::Adds).then_some(0..ADDED),
        };
        if is_sweeping {
            server.peer.server.signal("CONT")?;
        }
        let kept = server.kept(work).await?;
        let (beside, obeyed) = server.spell(work, orders).await?;
        let swept = kept.saturating_sub(server.kept(work).await?);
        if is_sweeping {
            server.peer.server.signal("STOP")?;
            if swept == 0 {
                return Err(io::Error::other("nothing is left to sweep"));
            }
        }
        if chore.has(Chore::Adds) {
            let removed = orders::remove(&server.bus.address, 0..ADDED).await;
            removed.map_err(io::Error::other)?;
        }
        Ok(Round {
            alone,
            beside,
            obeyed,
            swept,
            rows,
        })
    }
}

/// What one row says.
fn line(chore: Chore, name: &str, rounds: &[Round]) -> String {
    let bound = match chore {
        Chore::All | Chore::Adds => Bound::Most(BOUND),
        Chore::Sweep | Chore::Reload | Chore::Backup | Chore::Import => Bound::None,
    };
    let ratios = rounds
        .iter()
        .map(|round| round.beside.p99 / round.alone.p99);
    let ratios: Vec<f64> = ratios.collect();
    let milliseconds = |get: fn(&Round) -> f64| {
        Spread::of(rounds.iter().map(get)).map_or(f64::NAN, |spread| spread.median / 1e3)
    };
    let what = format!("{CONNECTIONS} × {}, p99 beside {name:<12}", chore.work());
    format!(
        "{:<72} {:5.1} ms, {:.1} without{}",
        bound.of_ratios(&what, &ratios),
        milliseconds(|round| round.beside.p99),
        milliseconds(|round| round.alone.p99),
        what_was_done(chore, rounds)
    )
}

/// How much of the chore was done in all rounds.
fn what_was_done(chore: Chore, rounds: &[Round]) -> String {
    let sum = |get: fn(&Round) -> u64| rounds.iter().map(get).sum::<u64>();
    let time: Duration = rounds.iter().map(|round| round.obeyed.time).sum();
    let counts = [
        (Chore::Sweep, sum(|round| round.swept), "records swept"),
        (Chore::Reload, sum(|round| round.obeyed.reloads), "reloads"),
        (Chore::Backup, sum(|round| round.obeyed.backups), "backups"),
        (Chore::Import, sum(|round| round.rows as u64), "rows taken"),
        (
            Chore::Adds,
            sum(|round| round.obeyed.added),
            "entries added",
        ),
    ];
    let parts = counts.iter().filter(|(part, ..)| chore.has(*part));
    let parts: Vec<String> = parts
        .map(|(_, count, name)| format!("{count} {name}"))
        .collect();
    format!("; {} in {:.1} s", parts.join(", "), time.as_secs_f64())
}

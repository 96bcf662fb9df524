//! What a decision costs: stargreyd beside a server that does not decide at all.
//!
//! `make bench` measures everything in one run. `cargo bench --bench policy -- 5 early` measures for
//! five seconds at a time what has "early" in its name.
//!
//! # What is measured
//!
//! The real program with its database on the disk under `target`, and the *null* server: the same
//! runtime and as many threads, which reads up to the empty line and answers `DUNNO` without having looked.
//! Both are processes of their own behind a unix socket. The load is a closed loop: each connection
//! sends a request as Postfix 3.7 does, waits for the answer, looks at its first word, and sends the next. An
//! `instance` never comes twice, or only the memory of instances would be measured.
//!
//! Each cell is measured three times, null and stargreyd in turn, so that what else the machine does
//! meets both.
//!
//! # How to read the table
//!
//! | column | says |
//! | --- | --- |
//! | requests/s | the median of three |
//! | of null | the median of three ratios to the null server beside it, and the least and the greatest: 1.00 would be free |
//! | p50, p99 | how long a client waits for the answer, in microseconds |
//! | CPU | the server's user and system time for a request, in microseconds |
//! | of null | the same as a ratio: what deciding costs beside reading and writing |
//!
//! Ratios can be compared between machines, numbers cannot. If the ratios of a row are far apart, the
//! machine was busy: measure again. The load generator has one thread; the last line says how busy it was.
//! Near 100 % it is what limits `requests/s`, and the CPU column is the one to look at.
//! With one connection most of the time goes into waking processes up, in either server. `new triplet`
//! waits for the disk, which the null server never does.

#![expect(
    clippy::disallowed_methods,
    reason = "whoever measures asks for the time"
)]

#[path = "policy/load.rs"]
mod load;
#[path = "policy/server.rs"]
mod server;
#[path = "policy/work.rs"]
mod work;

use std::env;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{Sample, Until};
use server::{NULL, Server};
use work::Work;

/// How many connections ask at once.
const CONNECTIONS: [usize; 3] = [1, 16, 100];

/// How often each cell is measured.
const ROUNDS: usize = 3;

/// How long it is measured each time, unless the command line has a number of seconds.
const SPELL: Duration = Duration::from_secs(1);

/// What the table's columns hold.
const HEAD: &str = "\
connections  work                requests/s   of null               p50       p99       CPU   of null";

/// Least, median and greatest of some numbers.
struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

/// One spell of the null server and one of stargreyd, next to each other.
struct Round {
    null: Sample,
    stargrey: Sample,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [NULL, socket] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return server::be_null(socket.as_ref());
    }
    // cargo bench says --bench; as a test there is nothing to be done.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut spell = SPELL;
    let mut wanted = "";
    for argument in arguments.iter().filter(|text| !text.starts_with("--")) {
        match argument.parse::<f64>() {
            Ok(seconds) => spell = Duration::from_secs_f64(seconds.clamp(0.01, 60.0)),
            Err(_) => wanted = argument,
        }
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(spell, wanted))
}

/// Measures every cell and prints the table row by row.
async fn measure(spell: Duration, wanted: &str) -> io::Result<()> {
    let place = server::Place::new()?;
    work::write_lists(&place)?;
    prepare(&place).await?;
    let null = Server::null(&place)?;
    let stargrey = Server::stargreyd(&place, &[])?;

    let works: Vec<Arc<Work>> = work::all().into_iter().map(Arc::new).collect();
    let mut busy = (0.0_f64, 0.0_f64);
    let mut out = io::stdout();
    writeln!(out, "{HEAD}")?;
    for connections in CONNECTIONS {
        let mut nulls = Vec::new();
        for work in works.iter().filter(|work| work.name.contains(wanted)) {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                let run = |server, answer| {
                    let until = Until::Time(Instant::now() + spell);
                    load::run(server, work, answer, connections, until)
                };
                rounds.push(Round {
                    null: run(&null, "DUNNO").await?,
                    stargrey: run(&stargrey, work.answer).await?,
                });
            }
            writeln!(out, "{}", row(connections, work.name, &rounds))?;
            for round in rounds {
                busy.0 = busy.0.max(round.null.busy);
                busy.1 = busy.1.max(round.stargrey.busy);
                nulls.push(round.null);
            }
        }
        writeln!(out, "{}", null_row(connections, &nulls))?;
    }
    writeln!(
        out,
        "The load generator was busy for up to {:.0} % of the time with null, {:.0} % with stargreyd.",
        busy.0 * 100.0,
        busy.1 * 100.0
    )
}

/// Fills the database with what the works find there: a daemon of its own is told what time it is,
/// and killed, so that the one that is measured begins with what is on the disk.
async fn prepare(place: &server::Place) -> io::Result<()> {
    let daemon = Server::stargreyd(place, &["--policy-test-time"])?;
    for work in work::preparations() {
        let answer = work.answer;
        load::run(&daemon, &Arc::new(work), answer, 64, Until::Through).await?;
    }
    Ok(())
}

fn row(connections: usize, name: &str, rounds: &[Round]) -> String {
    let of = |get: fn(&Sample) -> f64| {
        Spread::of(rounds.iter().map(|round| get(&round.stargrey))).median
    };
    let ratio = |get: fn(&Sample) -> f64| {
        let ratios = rounds.iter().map(|round| {
            let null = get(&round.null);
            get(&round.stargrey) / null
        });
        let Spread {
            least,
            median,
            greatest,
        } = Spread::of(ratios);
        format!("{median:.2} ({least:.2}–{greatest:.2})")
    };
    format!(
        "{connections:>11}  {name:<18} {:>11.0}   {:<16} {:>8.0} {:>9.0} {:>9.1}   {}",
        of(|sample| sample.rate),
        ratio(|sample| sample.rate),
        of(|sample| sample.p50),
        of(|sample| sample.p99),
        of(|sample| sample.cpu),
        ratio(|sample| sample.cpu),
    )
}

fn null_row(connections: usize, nulls: &[Sample]) -> String {
    let of = |get: fn(&Sample) -> f64| Spread::of(nulls.iter().map(get)).median;
    format!(
        "{connections:>11}  {:<18} {:>11.0}   {:<16} {:>8.0} {:>9.0} {:>9.1}\n",
        "(null)",
        of(|sample| sample.rate),
        "",
        of(|sample| sample.p50),
        of(|sample| sample.p99),
        of(|sample| sample.cpu),
    )
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |position: usize| values.get(position).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            greatest: at(values.len().saturating_sub(1)),
        }
    }
}

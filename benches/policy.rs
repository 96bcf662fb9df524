//! The cost of a decision: compares stargreyd with a server that does not decide, with Debian's Postgrey, and with bare
//! LMDB.
//!
//! `make bench` prints the table of rates, the table of servers that log to the journal, and the latency of requests
//! during chores, in about forty minutes; `make bench QUICK=1` does so in four, less exactly. `PART` selects a part:
//!
//! | `PART=` | measures |
//! | --- | --- |
//! | `'known 100'` | the rows of the table with "known" in the name, at 100 connections |
//! | `journal` | the cost of a journal record for each decision; words and numbers may follow |
//! | `chores` | the p99 during a sweep, reloads, backups, an import, and additions of entries |
//! | `lookups` | the cost of DNS lists: cached findings, new clients, memory, silent lists; the selective recipe |
//! | `rules` | the time to load 10,000 rules of a `greylist.conf`, and to search them; to search the body of a message |
//! | `builds` | another build of stargreyd, which `STARGREYD_BEFORE` names, beside this one |
//! | `milter` | the milter beside Debian's milter-greylist: decisions, messages, memory of messages under way |
//! | `shared` | records shared by Redis: new triplets, mail that passes, the server's CPU time |
//! | `shared-instructions` | the instructions of a request with and without shared records, by Valgrind |
//! | `shared-scale` | the time in which ten million records are sent to an empty Redis, and their memory there |
//! | `scale` | the effect of ten million triplets and of idle connections |
//! | `expiry` | five of ten million triplets expire: latency meanwhile, rates and file size afterwards |
//!
//! `lookups`, `rules`, `builds`, `milter`, `shared`, `shared-instructions`, `shared-scale`, `scale` and `expiry` are not in
//! `make bench`: they take six, one, five, five, four, two, five, ten and thirty minutes, the last three also some
//! gigabytes of the disk. A quick run has a tenth of their triplets. The header of each file describes its part.
//!
//! # What is measured
//!
//! The real program with its database on the disk under `target`; the *null* server, tokio's usual runtime with a
//! thread for each processor, which reads up to the empty line and replies `DUNNO` to everything; and
//! Postgrey, if it is installed. Each runs in a separate process behind a unix socket. The load is a closed loop:
//! each connection sends a request as Postfix 3.7 does, waits for the reply, checks its first word, and sends
//! the next. An `instance` is never repeated, otherwise only the instance cache would be measured. *Bare LMDB* is
//! one thread that writes the records of the new triplets that stargreyd has just written, in batches as large.
//!
//! Each cell is measured nine times, one server after the other, so that other load on the machine affects all of
//! them.
//!
//! # How to read the table
//!
//! | column | holds |
//! | --- | --- |
//! | requests/s | the median |
//! | of null, of Postgrey, of LMDB | the median ratio to the one beside it, and the least and the greatest |
//! | p50, p99, p99.9 | latency of the reply, in microseconds |
//! | CPU | the server's time on a processor for a request, in microseconds, and the ratio to the null server's |
//! | batch | records in a commit |
//!
//! Ratios can be compared between machines, numbers cannot. If the ratios of a row are far apart, the
//! machine was busy: measure again. The load generator has one thread; the last line says how busy it was.
//! With one connection any server spends most of the time on waking processes up.
//! Postgrey looks through its list of clients one by one, so it has the thousand names only where they
//! are measured, and never the networks.

#![expect(
    clippy::disallowed_methods,
    reason = "whoever measures asks for the time"
)]

#[path = "policy/bare.rs"]
mod bare;
#[path = "policy/bare_dns.rs"]
mod bare_dns;
#[path = "policy/bodies.rs"]
mod bodies;
#[path = "policy/builds.rs"]
mod builds;
#[path = "policy/bus.rs"]
mod bus;
#[path = "policy/cells.rs"]
mod cells;
#[path = "policy/chores.rs"]
mod chores;
#[path = "policy/expiry.rs"]
mod expiry;
#[path = "policy/fill.rs"]
mod fill;
#[path = "policy/instructions.rs"]
mod instructions;
#[path = "policy/journal.rs"]
mod journal;
#[path = "policy/load.rs"]
mod load;
#[path = "policy/lookups.rs"]
mod lookups;
#[path = "policy/milter.rs"]
mod milter;
#[path = "policy/milter_session.rs"]
mod milter_session;
#[path = "policy/name_server.rs"]
mod name_server;
#[path = "policy/null.rs"]
mod null;
#[path = "policy/null_milter.rs"]
mod null_milter;
#[path = "policy/orders.rs"]
mod orders;
#[path = "../tests/peers/mod.rs"]
mod peers;
#[path = "policy/rules.rs"]
mod rules;
#[path = "policy/scale.rs"]
mod scale;
#[path = "policy/selective.rs"]
mod selective;
#[path = "policy/server.rs"]
mod server;
#[path = "policy/shared.rs"]
mod shared;
#[path = "policy/sink.rs"]
mod sink;
#[path = "policy/spread.rs"]
mod spread;
#[path = "policy/targets.rs"]
mod targets;
#[path = "policy/verdict.rs"]
mod verdict;
#[path = "policy/work.rs"]
mod work;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use cells::{Cell, Field, Pace};
use null::NULL;
use null_milter::NULL_MILTER;
use server::Place;

/// Numbers of concurrent connections.
const CONNECTIONS: [usize; 4] = [1, 16, 100, 500];

/// The works of the table. The first passes are those of the triplets that were new.
const WORKS: [&str; 10] = [
    "listed by name",
    "listed by network",
    "s25r miss",
    "auto-whitelisted",
    "known",
    "known, silent DNS",
    "early retry",
    "new",
    "first pass",
    "mix",
];

/// The same for a server with `--sync=full`, with one connection.
const SYNC_FULL: &str = "new, sync=full";

const FULL: Pace = Pace {
    rounds: 9,
    spell: Duration::from_millis(800),
};

const QUICK: Pace = Pace {
    rounds: 3,
    spell: Duration::from_millis(250),
};

/// The columns of the table.
const HEAD: &str = "\
conn.  work                requests/s   of null             of Postgrey         of LMDB               p50      p99    p99.9     CPU   of null           batch";

/// The selected measurements.
struct Wish {
    pace: Pace,
    /// Selects the works with one of these words in the name; empty: all works.
    words: Vec<String>,
    connections: Vec<usize>,
    /// The selected part; `None`: all parts of `make bench`.
    part: Option<Part>,
    is_quick: bool,
}

/// A measurement besides the table.
#[derive(Clone, Copy)]
enum Part {
    Journal,
    Chores,
    Lookups,
    Rules,
    Builds,
    Milter,
    MilterMemory,
    Shared,
    SharedInstructions,
    SharedScale,
    Scale,
    Expiry,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [NULL, socket, delay, record @ ..] = words.as_slice() {
        return null::be_null(socket.as_ref(), delay, record);
    }
    if let [NULL_MILTER, socket, steps, kind] = words.as_slice() {
        return null_milter::be_null(socket.as_ref(), steps, kind);
    }
    // cargo bench says --bench; as a test there is nothing to be done.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut wish = Wish {
        pace: FULL,
        words: Vec::new(),
        connections: Vec::new(),
        part: None,
        is_quick: false,
    };
    for argument in arguments.into_iter().filter(|text| !text.starts_with("--")) {
        match (argument.as_str(), argument.parse()) {
            ("quick", _) => (wish.pace, wish.is_quick) = (QUICK, true),
            ("journal", _) => wish.part = Some(Part::Journal),
            ("chores", _) => wish.part = Some(Part::Chores),
            ("lookups", _) => wish.part = Some(Part::Lookups),
            ("rules", _) => wish.part = Some(Part::Rules),
            ("builds", _) => wish.part = Some(Part::Builds),
            ("milter", _) => wish.part = Some(Part::Milter),
            ("milter-memory", _) => wish.part = Some(Part::MilterMemory),
            ("shared", _) => wish.part = Some(Part::Shared),
            ("shared-instructions", _) => wish.part = Some(Part::SharedInstructions),
            ("shared-scale", _) => wish.part = Some(Part::SharedScale),
            ("scale", _) => wish.part = Some(Part::Scale),
            ("expiry", _) => wish.part = Some(Part::Expiry),
            (_, Ok(connections)) => wish.connections.push(connections),
            (_, Err(_)) => wish.words.push(argument),
        }
    }
    if let Some(unknown) = wish.unknown() {
        return Err(io::Error::other(format!(
            "PART: {unknown:?} names nothing that is measured; the header of benches/policy.rs says what there is"
        )));
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(&wish))
}

impl Wish {
    /// Whether nothing is selected.
    fn is_everything(&self) -> bool {
        self.words.is_empty() && self.connections.is_empty()
    }

    /// A word that is in no work's name, or a number of connections that is not measured.
    fn unknown(&self) -> Option<String> {
        let names = || WORKS.into_iter().chain([SYNC_FULL]);
        let word = self
            .words
            .iter()
            .find(|word| !names().any(|work| work.contains(word.as_str())));
        let number = self
            .connections
            .iter()
            .find(|number| !CONNECTIONS.contains(number));
        word.cloned().or_else(|| number.map(usize::to_string))
    }

    fn has(&self, work: &str, connections: usize) -> bool {
        let named = self.words.is_empty() || self.words.iter().any(|word| work.contains(word));
        named && (self.connections.is_empty() || self.connections.contains(&connections))
    }
}

/// Runs the selected measurements.
async fn measure(wish: &Wish) -> io::Result<()> {
    let place = Place::new()?;
    work::write_lists(&place.disk("names"), &place.disk("all"))?;
    fs::write(place.disk("none"), "")?;
    let (rhythm, is_quick) = (wish.pace, wish.is_quick);
    match wish.part {
        Some(Part::Journal) => journal(&place, wish).await,
        Some(Part::Chores) => chores::measure(&place, rhythm, is_quick).await,
        Some(Part::Lookups) => lookups::measure(&place, rhythm).await,
        Some(Part::Rules) => rules::measure(rhythm).and_then(|()| bodies::measure(rhythm)),
        Some(Part::Builds) => builds::measure(&place, rhythm).await,
        Some(Part::Milter) => milter::measure(&place, rhythm).await,
        Some(Part::MilterMemory) => milter::memory(&place, &mut io::stdout()).await,
        Some(Part::Shared) => shared::measure(&place, rhythm).await,
        Some(Part::SharedInstructions) => instructions::measure(&place).await,
        Some(Part::SharedScale) => shared::scale(&place, is_quick),
        Some(Part::Scale) => scale::measure(&place, rhythm, is_quick).await,
        Some(Part::Expiry) => expiry::measure(&place, rhythm, is_quick).await,
        None if wish.is_everything() => {
            table(&place, wish).await?;
            journal(&place, wish).await?;
            chores::measure(&place, rhythm, is_quick).await
        }
        None => table(&place, wish).await,
    }
}

/// The table of servers that tell the journal. A quick run has the middle one of the numbers of connections.
async fn journal(place: &Place, wish: &Wish) -> io::Result<()> {
    let is_enough = |connections| {
        !wish.is_quick || connections == 100 || wish.connections.contains(&connections)
    };
    let wants = |work: &str, connections| wish.has(work, connections) && is_enough(connections);
    journal::measure(place, wish.pace, wants).await
}

/// Prints the table row by row, and the results of the targets.
async fn table(place: &Place, wish: &Wish) -> io::Result<()> {
    let field = Field::new(place).await?;
    let mut out = io::stdout();
    writeln!(out, "{HEAD}")?;
    let mut cells = Vec::new();
    for connections in CONNECTIONS {
        let full = (connections == 1).then_some(SYNC_FULL);
        for work in WORKS.into_iter().chain(full) {
            if wish.has(work, connections) {
                let cell = field.cell(work, connections, wish.pace).await?;
                writeln!(out, "{}", row(&cell))?;
                cells.push(cell);
            }
        }
        if cells.iter().any(|cell| cell.connections == connections) {
            writeln!(out, "{}", null_row(connections, &cells))?;
        }
    }
    let (lines, missed) = targets::judge(&cells);
    for line in &lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{missed} of {} targets missed.\n", lines.len())?;
    report_sizes(&field, &mut out)?;
    let busy = cells.iter().map(Cell::busy);
    let busy = busy.fold((0.0_f64, 0.0_f64), |most, one| {
        (most.0.max(one.0), most.1.max(one.1))
    });
    writeln!(
        out,
        "The load generator was busy for up to {:.0} % of the time with null, {:.0} % with stargreyd.",
        busy.0 * 100.0,
        busy.1 * 100.0
    )
}

/// Memory, and room on the disk.
fn report_sizes(field: &Field, out: &mut impl Write) -> io::Result<()> {
    let peers = [
        ("stargreyd", Some(&field.stargrey)),
        ("Postgrey", field.postgrey.as_ref()),
    ];
    for (name, peer) in peers {
        let Some(peer) = peer else { continue };
        let triplets = peer.triplets();
        let (memory, disk) = (peer.server.private_memory()?, peer.server.disk_use()?);
        writeln!(
            out,
            "{name}: {} KiB of private memory, {} KiB on disk, {} bytes a triplet of {triplets}",
            memory / 1024,
            disk / 1024,
            disk / triplets.max(1) as u64
        )?;
    }
    Ok(())
}

fn row(cell: &Cell) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let spread = |spread: Option<spread::Spread>| or_dash(spread.map(|spread| spread.to_string()));
    format!(
        "{:>5}  {:<18} {:>11.0}   {:<18}  {:<18}  {:<18} {:>8.0} {:>8.0} {:>8.0} {:>7.1}   {:<18} {}",
        cell.connections,
        cell.work,
        cell.own(|sample| sample.rate),
        spread(cell.of_null(|sample| sample.rate)),
        spread(cell.of_postgrey(|sample| sample.rate)),
        spread(cell.of_bare()),
        cell.own(|sample| sample.p50),
        cell.own(|sample| sample.p99),
        cell.own(|sample| sample.p999),
        cell.own(|sample| sample.cpu),
        spread(cell.of_null(|sample| sample.cpu)),
        or_dash(cell.batch().map(|batch| format!("{batch:.0}"))),
    )
}

/// The null server's own figures, of all works together.
fn null_row(connections: usize, cells: &[Cell]) -> String {
    let of = |get: fn(&load::Sample) -> f64| {
        let cells = cells.iter().filter(|cell| cell.connections == connections);
        spread::Spread::of(cells.map(|cell| cell.null(get))).map_or(f64::NAN, |of| of.median)
    };
    format!(
        "{connections:>5}  {:<18} {:>11.0}   {:<60} {:>8.0} {:>8.0} {:>8.0} {:>7.1}\n",
        "(null)",
        of(|sample| sample.rate),
        "",
        of(|sample| sample.p50),
        of(|sample| sample.p99),
        of(|sample| sample.p999),
        of(|sample| sample.cpu),
    )
}

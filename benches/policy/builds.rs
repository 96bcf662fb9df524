//! Two builds of stargreyd beside each other: `make bench PART=builds STARGREYD_BEFORE=FILE`; the file is the program of the
//! other build.
//!
//! Rates and the CPU time of a request are compared in short spells, which take turns forwards and backwards, so that other
//! load on the machine meets both alike. How many instructions a request takes does not depend on other load: callgrind
//! counts them, with one connection, of all threads.
//!
//! S25R has servers to itself, because it settles most of the other works.

use std::env;
use std::io::{self, Write};
use std::path::Path;

use crate::cells::{Pace, Peer};
use crate::instructions;
use crate::server::{Place, Server, Start, program};
use crate::spread::float;
use crate::targets::{BUILD_COST, BUILD_RATE};
use crate::work;

const CONNECTIONS: usize = 100;

/// Short spells in a round.
const SLICES: u32 = 8;

/// Names the program of the other build.
const BEFORE: &str = "STARGREYD_BEFORE";

/// Options, and what is measured with them.
const PARTS: [(&str, &[&str], &[&str]); 2] = [
    (
        "plain",
        &[],
        &[
            "listed by name",
            "listed by network",
            "auto-whitelisted",
            "known",
            "early retry",
            "new",
        ],
    ),
    ("s25r", &["--s25r"], &["s25r miss"]),
];

/// Measures and prints.
pub(crate) async fn measure(place: &Place, rhythm: Pace) -> io::Result<()> {
    let before = env::var_os(BEFORE)
        .ok_or_else(|| io::Error::other(format!("{BEFORE} names no other build of stargreyd")))?;
    let now = program();
    let programs = [Path::new(&now), Path::new(&before)];
    let mut out = io::stdout();
    for (name, more, works) in PARTS {
        let options = [&["--policy-test-time"], more].concat();
        // What is prepared waits, or passes after that; a miss of S25R neither waits nor is recorded.
        let prepared = || {
            if more.is_empty() {
                work::preparations()
            } else {
                Vec::new()
            }
        };
        let mut peers = Vec::new();
        for (which, program) in ["now", "before"].into_iter().zip(programs) {
            let which = format!("{name}-{which}");
            let server = Server::stargreyd(place, &start(&which, &options, program))?;
            peers.push(Peer::prepared_by(server, prepared()).await?);
        }
        for work in works {
            compare(&peers, work, rhythm, &mut out).await?;
        }
        drop(peers);
        let mut counts = Vec::new();
        for (which, program) in ["now", "before"].into_iter().zip(programs) {
            let which = format!("{name}-{which}-counted");
            let start = start(&which, &options, program);
            counts.push(instructions::counts(place, &start, prepared(), works).await?);
        }
        if let [now, before] = counts.as_slice() {
            for ((work, now), before) in works.iter().zip(now).zip(before) {
                let name = format!("{work}, instructions of those before");
                writeln!(out, "{}", BUILD_COST.of_figure(&name, now / before))?;
                writeln!(out, "      {before:>8.0} before, {now:>8.0} now")?;
            }
        }
    }
    Ok(())
}

/// How a build is started.
fn start<'a>(name: &'a str, options: &'a [&'a str], program: &'a Path) -> Start<'a> {
    Start {
        name,
        options,
        program: Some(program),
        ..Start::default()
    }
}

/// One kind of work at both builds, in turn.
async fn compare(peers: &[Peer], work: &str, pace: Pace, out: &mut impl Write) -> io::Result<()> {
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        let mut sums = vec![(0.0, 0.0); peers.len()];
        for slice in 0..SLICES {
            let mut order: Vec<_> = peers.iter().zip(&mut sums).collect();
            if slice % 2 == 1 {
                order.reverse();
            }
            for (peer, (rate, cost)) in order {
                let sample = peer.spell(work, CONNECTIONS, pace.spell / SLICES).await?;
                *rate += sample.rate / float(u64::from(SLICES));
                *cost += sample.cpu / float(u64::from(SLICES));
            }
        }
        if let [now, before] = sums.as_slice() {
            rates.push(now.0 / before.0);
            costs.push(now.1 / before.1);
        }
    }
    let name = |figure| format!("{CONNECTIONS} × {work}, {figure} of those before");
    writeln!(out, "{}", BUILD_RATE.of_ratios(&name("requests/s"), &rates))?;
    writeln!(out, "{}", BUILD_COST.of_ratios(&name("CPU time"), &costs))
}

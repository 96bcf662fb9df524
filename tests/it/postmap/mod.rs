//! Tables of expressions, asked of Postfix's own postmap and of stargrey: the answers must be the same.
//!
//! [`written`] has tables as they are written, [`generator`] makes such as nobody would write.
//! [`departures`] is the list of what one side takes and the other does not; both are asked there
//! too.

mod asked;
mod departures;
mod generator;
mod hosts;
mod written;

use std::thread;

use crate::postgrey::random::Random;

use asked::Desk;

/// How many tables are made, by each of so many threads, and the keys that each is asked for.
const TABLES: u64 = 300;
const THREADS: u64 = 4;
const KEYS: usize = 250;

/// What stargrey says about a departure that [`generator`] makes now and then.
const REPEATED_ANCHOR: &str = "an anchor (^ $ \\b) in a group that is repeated";

#[test]
fn tables_as_they_are_written_yield_what_postmap_finds() {
    let desk = Desk::new();
    let hosts = hosts::all();
    let keys: Vec<&[u8]> = hosts.iter().map(Vec::as_slice).collect();
    assert!(keys.len() > 1500, "{}", keys.len());
    for (name, table) in written::TABLES {
        let answer = desk.compare(name, table.as_bytes(), &keys);
        assert!(answer.refused.is_empty(), "{name}: {:?}", answer.refused);
    }
}

#[test]
fn every_rule_of_s25r_decides_on_some_host() {
    let desk = Desk::new();
    let hosts = hosts::all();
    let keys: Vec<&[u8]> = hosts.iter().map(Vec::as_slice).collect();
    let found = desk.stargrey(written::S25R.as_bytes(), &keys).found;
    for rule in 0..=6 {
        let want = Some(format!("REJECT {rule}"));
        assert!(found.contains(&want), "{rule}");
    }
    assert!(found.contains(&None));
}

#[test]
fn tables_that_nobody_would_write_yield_what_postmap_finds() {
    let hosts = hosts::all();
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                scope.spawn({
                    let hosts = &hosts;
                    move || run(seed, hosts)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let found: usize = counts.iter().map(|(found, _)| found).sum();
    let refused: usize = counts.iter().map(|(_, refused)| refused).sum();
    assert!(found > 10_000 && refused > 100, "{found} {refused}");
}

/// Compares the tables of a seed; yields how many answers and how many refusals there were.
fn run(seed: u64, hosts: &[Vec<u8>]) -> (usize, usize) {
    let desk = Desk::new();
    let mut random = Random::seeded(seed);
    let mut counts = (0, 0);
    for number in 0..TABLES {
        let table = generator::table(&mut random);
        if desk.refuses(table.as_bytes(), REPEATED_ANCHOR) {
            continue;
        }
        let begin = usize::try_from(random.below(1000)).unwrap();
        let keys: Vec<&[u8]> = hosts[begin..begin + KEYS]
            .iter()
            .map(Vec::as_slice)
            .collect();
        let name = format!("table {number} of seed {seed}");
        let answer = desk.compare(&name, table.as_bytes(), &keys);
        counts.0 += answer.found.iter().flatten().count();
        counts.1 += answer.refused.len();
    }
    counts
}

//! Tables of expressions, asked of Postfix's own postmap and of stargrey: the answers must be the same.
//!
//! [`written`] has tables as they are written, [`generator`] makes such as nobody would write.
//! [`departures`] is the list of what one side takes and the other does not; both are asked there
//! too.

mod asked;
mod departures;
mod generator;
mod hosts;
mod kinds;
mod messages;
mod perl;
mod written;

use std::thread;

use stargrey::policy::s25r;
use stargrey::types::ClientIp;

use crate::manual;
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
fn the_rules_of_s25r_are_what_postmap_makes_of_their_patterns() {
    let desk = Desk::new();
    let mut hosts = hosts::all();
    hosts.extend(names_with_their_rule());
    hosts.sort();
    hosts.dedup();
    let keys: Vec<&[u8]> = hosts.iter().map(Vec::as_slice).collect();
    let found = desk
        .compare("S25R", written::s25r().as_bytes(), &keys)
        .found;
    let mut addresses = 0;
    for (key, found) in keys.iter().zip(&found) {
        let rule = s25r::rule(key).map(|rule| format!("REJECT {rule}"));
        if ClientIp::parse(key).is_some() {
            // An address is not a name, whatever it looks like.
            addresses += usize::from(found.is_some());
            assert_eq!(rule, None, "{:?}", asked::shown(key));
        } else {
            assert_eq!(rule, *found, "{:?}", asked::shown(key));
        }
    }
    assert!(addresses > 0, "no address looks like the name of a line");
    for rule in 0..=6 {
        assert!(found.contains(&Some(format!("REJECT {rule}"))), "{rule}");
    }
    assert!(found.contains(&None));
}

/// The names of the table beside the rules.
fn names_with_their_rule() -> Vec<Vec<u8>> {
    let source = manual::source("src/policy/s25r/tests.rs");
    let names: Vec<Vec<u8>> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split_once("\", "))
        .map(|(name, _)| name.as_bytes().to_vec())
        .collect();
    assert!(names.len() >= 60, "{}", names.len());
    names
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

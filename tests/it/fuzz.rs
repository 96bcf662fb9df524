//! The fuzz targets without a fuzzer: seeds from real requests and files, mutated in a way that a seed fixes.
//!
//! `STARGREY_FUZZ_SECONDS` says how long each target takes, `STARGREY_FUZZ_SEED` which way. What a target does not
//! survive is printed as it can be pasted into a test. `make fuzz` uses cargo-fuzz instead where it is installed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use stargrey::service::clock::monotonic;

use crate::postgrey::random::Random;
use crate::support::{number_from_environment, remark};

#[expect(unreachable_pub, reason = "a library of its own for cargo-fuzz")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Longest input, in bytes: beyond the limits of lines and requests. Lists have no such limits and take long.
const LONGEST: usize = 70_000;
const LONGEST_LIST: usize = 4000;

/// Most mutations of one input.
const MUTATIONS: u64 = 6;

/// The seeds of a target; there are some.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut files: Vec<_> = fs::read_dir(root.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target}");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn at(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64 + 1)).unwrap()
}

/// A part of some bytes, mostly a short one.
fn part(random: &mut Random, bytes: &[u8]) -> std::ops::Range<usize> {
    let begin = at(random, bytes.len());
    let reach = if random.percent(80) { 30 } else { bytes.len() };
    begin..begin + at(random, reach.min(bytes.len() - begin))
}

/// Changes an input in one way, with a part of another one if need be.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], longest: usize, random: &mut Random) {
    const ODD: &[u8] = b"\0\n\r\t =/\\#!$@[](){}*+?|^.,:<>\"'-019azAZ\x7f\x80\xc3\xff";
    let place = part(random, bytes);
    match random.below(7) {
        0 => drop(bytes.splice(place.start..place.start, [*random.pick(ODD)])),
        1 if place.start < bytes.len() => bytes[place.start] = *random.pick(ODD),
        2 if place.start < bytes.len() => bytes[place.start] ^= 1 << random.below(8),
        3 => drop(bytes.drain(place)),
        4 => {
            let text = other[part(random, other)].to_vec();
            drop(bytes.splice(place, text));
        }
        5 => {
            let text = bytes[place.clone()].repeat(1 << random.below(3));
            drop(bytes.splice(place, text));
        }
        _ => {
            let times = 1 << random.below(15);
            let text = bytes[place.clone()].repeat(times.min(longest / place.len().max(1)));
            drop(bytes.splice(place, text));
        }
    }
    bytes.truncate(longest);
}

/// Gives one target mutated seeds until its time is over.
fn fuzz(name: &str) {
    let (_, target) = targets::TARGETS
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap();
    let length = Duration::from_secs(number_from_environment("STARGREY_FUZZ_SECONDS", 7));
    let mut random = Random::seeded(number_from_environment("STARGREY_FUZZ_SEED", 1));
    let is_list = [
        "client_list",
        "address_list",
        "tables",
        "greylist_conf",
        "message_checks",
    ]
    .contains(&name);
    let longest = if is_list { LONGEST_LIST } else { LONGEST };
    let seeds = seeds(name);
    let mut inputs: Vec<Vec<u8>> = seeds.clone();
    let (begun, mut runs) = (monotonic(), 0_u64);
    while monotonic().saturating_sub(begun) < length {
        let input = inputs.pop().unwrap_or_else(|| {
            let mut input = random.pick(&seeds).clone();
            for _ in 0..=random.below(MUTATIONS) {
                let other = random.pick(&seeds).clone();
                mutate(&mut input, &other, longest, &mut random);
            }
            input
        });
        let survived = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(
            survived.is_ok(),
            "{name} does not survive b\"{}\"",
            input.escape_ascii()
        );
        runs += 1;
    }
    remark(&format!("{name}: {runs} inputs"));
    assert!(runs > seeds.len() as u64);
}

#[test]
fn requests() {
    fuzz("decoder");
}

#[test]
fn client_lists() {
    fuzz("client_list");
}

#[test]
fn address_lists() {
    fuzz("address_list");
}

#[test]
fn tables_of_expressions() {
    fuzz("tables");
}

#[test]
fn records() {
    fuzz("schema");
}

#[test]
fn dumps_of_postgrey() {
    fuzz("db_dump");
}

#[test]
fn dumps_of_milter_greylist() {
    fuzz("milter_greylist");
}

#[test]
fn configurations_of_milter_greylist() {
    fuzz("greylist_conf");
}

#[test]
fn exports() {
    fuzz("json");
}

#[test]
fn sites_of_dns_lists() {
    fuzz("dns_sites");
}

#[test]
fn replies_of_name_servers() {
    fuzz("dns_reply");
}

#[test]
fn spf_records() {
    fuzz("spf");
}

#[test]
fn messages() {
    fuzz("message");
}

#[test]
fn tables_for_messages() {
    fuzz("message_checks");
}

#[test]
fn answers_of_spamd() {
    fuzz("spamd_answer");
}

#[test]
fn sessions_of_the_milter() {
    fuzz("milter_session");
}

#[test]
fn a_target_is_a_program_with_seeds_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = fs::read_to_string(root.join("tests/it/fuzz.rs")).unwrap();
    for (name, _) in targets::TARGETS {
        assert!(
            root.join(format!("fuzz/fuzz_targets/{name}.rs")).exists(),
            "{name}"
        );
        assert!(tests.contains(&format!("fuzz(\"{name}\");")), "{name}");
        assert!(!seeds(name).is_empty());
    }
}

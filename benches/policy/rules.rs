//! The cost of rules: `make bench PART=rules`.
//!
//! A `greylist.conf` of 10,000 rules, half of them with an expression each, half with a network, a name or an address.
//! None of them matches, so that all are gone through.
//!
//! *Load*: the file is read and its rules are compiled, compared with compiling the expressions one by one.
//!
//! *Search*: the rules are searched for attempts of different clients, compared with matching their names against the
//! same expressions in sets, and one rule after the other, as Explain does it for messages. Then for clients whose names
//! are made of the literals of many expressions, none of which matches.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use regex::bytes::{RegexBuilder, RegexSet, RegexSetBuilder};
use stargrey::config::greylist_conf::{Purpose, compile, parse};
use stargrey::policy::chain::{Chain, Found, LocalTime, Subject};
use stargrey::policy::{Attempt, Evidence};

use crate::cells::Pace;
use crate::spread::Spread;

/// Rules with an expression, and as many without.
const EXPRESSIONS: usize = 5000;

/// Expressions of a set that the rules are compared with.
const PART: usize = 512;

/// Clients that are searched for, in turn.
const CLIENTS: usize = 1000;

/// Measures and prints.
pub(crate) fn measure(pace: Pace) -> io::Result<()> {
    let expressions: Vec<String> = (0..EXPRESSIONS).map(expression).collect();
    let (mut loads, mut singles) = (vec![], vec![]);
    let (mut searches, mut walks, mut sets) = (vec![], vec![], vec![]);
    let (mut hostile, mut hostile_sets) = (vec![], vec![]);
    let (names, bad_names) = (
        names().collect::<Vec<_>>(),
        hostile_names().collect::<Vec<_>>(),
    );
    for _ in 0..pace.rounds {
        let (chain, load) = loaded(&file(&expressions))?;
        loads.push(load);
        singles.push(one_by_one(&expressions)?);
        searches.push(searched(&chain, &names, true)?);
        walks.push(searched(&chain, &names, false)?);
        hostile.push(searched(&chain, &bad_names, true)?);
        sets.push(matched(&expressions, &names)?);
        hostile_sets.push(matched(&expressions, &bad_names)?);
    }
    let mut out = io::stdout();
    for (name, times, others, beside) in [
        (
            "load 10,000 rules",
            loads,
            singles,
            "of compiling their expressions one by one",
        ),
        (
            "search 10,000 rules",
            searches,
            sets.clone(),
            "of matching their expressions in sets",
        ),
        (
            "search 10,000 rules one by one",
            walks,
            sets,
            "of matching their expressions in sets",
        ),
        (
            "search 10,000 rules for names with literals of many of them",
            hostile,
            hostile_sets,
            "of matching their expressions in sets",
        ),
    ] {
        let ratios = times
            .iter()
            .zip(&others)
            .map(|(one, other)| one.as_secs_f64() / other.as_secs_f64());
        let ratio = Spread::of(ratios).map(|ratio| ratio.to_string());
        let time = Spread::of(times.iter().map(Duration::as_secs_f64))
            .map_or(f64::NAN, |time| time.median);
        writeln!(
            out,
            "{name}: {:.3} ms, {} {beside}",
            time * 1000.0,
            ratio.unwrap_or_default()
        )?;
    }
    Ok(())
}

/// An expression, as lists of mail servers have them.
fn expression(number: usize) -> String {
    match number % 3 {
        0 => format!("^mail[0-9]+\\.example{number}\\.net$"),
        1 => format!("-dyn{number}\\.isp\\.example$"),
        _ => format!("^(mx|smtp)[0-9]*\\.host{number}\\.(com|net)$"),
    }
}

fn file(expressions: &[String]) -> String {
    let mut text = "extendedregex\n".to_owned();
    for (number, expression) in expressions.iter().enumerate() {
        let (high, low) = (number / 256, number % 256);
        let other = match number % 4 {
            0 => format!("addr 10.{high}.{low}.0/24"),
            1 => format!("domain host{number}.example"),
            2 => format!("from joe{number}@example.net"),
            _ => format!("rcpt jane{number}@example.net"),
        };
        text = text + "racl whitelist domain /" + expression + "/\n";
        text = text + "racl greylist " + &other + " delay 1h\n";
    }
    text
}

/// The rules of a file, and how long it takes to have them.
fn loaded(text: &str) -> io::Result<(Chain, Duration)> {
    let path = Path::new("greylist.conf");
    let begun = Instant::now();
    let (conf, _) = parse(path, text.as_bytes());
    let (chain, findings) = compile(path, &conf, Purpose::PLAIN);
    let taken = begun.elapsed();
    match chain {
        Some(chain) => Ok((chain, taken)),
        None => Err(io::Error::other(format!("{findings:?}"))),
    }
}

fn one_by_one(expressions: &[String]) -> io::Result<Duration> {
    let begun = Instant::now();
    for expression in expressions {
        let mut builder = RegexBuilder::new(expression);
        builder.unicode(false).case_insensitive(true);
        drop(builder.build().map_err(io::Error::other)?);
    }
    Ok(begun.elapsed())
}

/// Names of clients, no two of them the same.
fn names() -> impl Iterator<Item = String> {
    (0..CLIENTS).map(|number| format!("mail{number}.host{}.example.org", number * 7919 % 8192))
}

/// Names with the literals of eight expressions that no expression matches, because what would match is in the middle.
fn hostile_names() -> impl Iterator<Item = String> {
    (0..CLIENTS).map(|client| {
        let numbers = (0..8).map(|place| (client * 7919 + place * 31) % EXPRESSIONS);
        let names = numbers.map(|number| match number % 3 {
            0 => format!("mail1.example{number}.net"),
            1 => format!("-dyn{number}.isp.example"),
            _ => format!("mx.host{number}.com"),
        });
        format!("x.{}.example", names.collect::<String>())
    })
}

/// How long a search takes, with or without the index.
fn searched(chain: &Chain, names: &[String], is_indexed: bool) -> io::Result<Duration> {
    let evidence = Evidence::default();
    let begun = Instant::now();
    for name in names {
        let attempt = Attempt {
            client_address: Some(b"203.0.113.7"),
            client_name: Some(name.as_bytes()),
            helo_name: Some(name.as_bytes()),
            sender: Some(b"joe@example.org"),
            recipient: Some(b"jane@example.com"),
            ..Attempt::default()
        };
        let subject = Subject::new(&attempt, LocalTime::default());
        let subject = subject.ok_or_else(|| io::Error::other("no subject"))?;
        let (found, _) = if is_indexed {
            chain.find(&subject, &evidence)
        } else {
            chain.find_heard(&subject, &evidence, &mut |_, _, _| {})
        };
        if !matches!(found, Found::Nothing) {
            return Err(io::Error::other(format!("{name}: {found:?}")));
        }
    }
    Ok(begun.elapsed() / u32::try_from(CLIENTS).unwrap_or(u32::MAX))
}

/// How long the expressions alone take.
fn matched(expressions: &[String], names: &[String]) -> io::Result<Duration> {
    let sets = expressions.chunks(PART).map(|part| {
        let mut builder = RegexSetBuilder::new(part);
        builder.unicode(false).case_insensitive(true).build()
    });
    let sets: Vec<RegexSet> = sets.collect::<Result<_, _>>().map_err(io::Error::other)?;
    let begun = Instant::now();
    for name in names {
        if sets.iter().any(|set| set.is_match(name.as_bytes())) {
            return Err(io::Error::other(format!("{name} matches")));
        }
    }
    Ok(begun.elapsed() / u32::try_from(CLIENTS).unwrap_or(u32::MAX))
}

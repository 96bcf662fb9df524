//! The cost of a rule about the body of a message: `make bench PART=rules`, after those of 10,000 rules.
//!
//! A body of 1 MB is decoded and searched, as it came from a mail server, for something that is not in it: a text, an
//! expression, and a thousand expressions. Beside it, its bytes are copied once, which is the least that decoding takes.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use stargrey::config::greylist_conf::{Purpose, compile, parse};
use stargrey::policy::chain::Chain;
use stargrey::policy::message::{Body, HeaderField, MAX_BODY, Message};

use crate::cells::Pace;
use crate::spread::Spread;

/// Bytes that a mail server sends at once.
const CHUNK: usize = 65_535;

/// Characters of a line.
const LINE: usize = 76;

/// Searches of a body in a round.
const TIMES: u32 = 50;

/// Measures and prints.
pub(crate) fn measure(pace: Pace) -> io::Result<()> {
    let many = (0..1000).fold(String::new(), |mut text, number| {
        let known = writeln!(text, "dacl blacklist body /such{number} *words/");
        known.map(|()| text).unwrap_or_default()
    });
    let mut out = io::stdout();
    for (encoding, message) in [("plain", message(false)), ("base64", message(true))] {
        for (rules, name) in [
            ("dacl blacklist body \"no such words\"\n", "a text"),
            ("dacl blacklist body /no such words/\n", "an expression"),
            (
                "dacl blacklist body /[nN]o +(such)? +words/\n",
                "an expression with short literals",
            ),
            (&many, "1,000 expressions"),
        ] {
            let chain = chain(rules)?;
            let (mut times, mut ratios) = (vec![], vec![]);
            for _ in 0..pace.rounds {
                let (one, copy) = (searched(&chain, &message)?, copied(&message));
                times.push(one.as_secs_f64());
                ratios.push(one.as_secs_f64() / copy.as_secs_f64());
            }
            let time = Spread::of(times.into_iter()).map_or(f64::NAN, |time| time.median);
            let ratio = Spread::of(ratios.into_iter()).map(|ratio| ratio.to_string());
            writeln!(
                out,
                "decode and search 1 MB ({encoding}) for {name}: {:.3} ms, {} of copying it",
                time * 1000.0,
                ratio.unwrap_or_default()
            )?;
        }
    }
    Ok(())
}

fn chain(rules: &str) -> io::Result<Chain> {
    let path = Path::new("greylist.conf");
    let (conf, _) = parse(path, format!("extendedregex\n{rules}").as_bytes());
    let purpose = Purpose {
        has_milter: true,
        ..Purpose::PLAIN
    };
    let (chain, findings) = compile(path, &conf, purpose);
    chain.ok_or_else(|| io::Error::other(format!("{findings:?}")))
}

/// A message as large as the largest one whose body is kept.
fn message(is_base64: bool) -> Message {
    let line = "the quick brown fox jumps over the lazy dog and then over it again and again";
    let encoded = "dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgaXRzIHR3byBj";
    let mut fields = vec![
        ("Subject", "foxes"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ];
    if is_base64 {
        fields.push(("Content-Transfer-Encoding", "base64"));
    }
    let fields = fields.into_iter().map(|(name, value)| HeaderField {
        name: name.as_bytes().into(),
        value: value.as_bytes().into(),
    });
    let line = if is_base64 { encoded } else { line };
    let line = format!("{line:.LINE$}\r\n");
    let bytes = line.repeat(MAX_BODY / line.len()).into_bytes();
    let mut body = Body::default();
    for chunk in bytes.chunks(CHUNK) {
        body.push(chunk.to_vec());
    }
    Message::new(fields.collect(), Some(body), 0)
}

/// How long it takes to decode and search a message.
fn searched(chain: &Chain, message: &Message) -> io::Result<Duration> {
    let begun = Instant::now();
    for _ in 0..TIMES {
        let message = message.undecoded();
        let found = chain.search_body(&message);
        let found = found.ok_or_else(|| io::Error::other("the body was not searched"))?;
        if found.matches(0) || found.contains("no such words") == Some(true) {
            return Err(io::Error::other("something was found"));
        }
    }
    Ok(begun.elapsed() / TIMES)
}

/// How long it takes to copy its body.
fn copied(message: &Message) -> Duration {
    let begun = Instant::now();
    for _ in 0..TIMES {
        drop(std::hint::black_box(message.body().map(Body::bytes)));
    }
    begun.elapsed() / TIMES
}

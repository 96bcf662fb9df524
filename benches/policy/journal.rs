//! The cost of a journal record for each decision: `make bench PART=journal`.
//!
//! Compares stargreyd without `-q` with a null server that sends a record of the same size for each request, with the
//! same library. The null server waits until its record is accepted. stargreyd has a queue and drops records that do
//! not fit, so the table shows how many records arrived.

use std::io::{self, Write};

use crate::cells::{Pace, Peer};
use crate::load::Sample;
use crate::server::{Place, Server, Start};
use crate::sink::Sink;
use crate::spread::{Spread, float};
use crate::verdict::Bound;

/// What the table's columns hold. Records are those that came for each request, and bytes those of a record, of
/// stargreyd and of the null server.
const HEAD: &str = "\
conn.  work, to journal    requests/s   of null                  p50      p99    p99.9     CPU   of null             records       bytes";

/// How many connections ask at once.
const CONNECTIONS: [usize; 3] = [16, 100, 500];

/// What rates must be at least, as a part of the null server's, when nothing has to be promised.
const LEAST: f64 = 0.5;

/// A work, and what stargreyd says of one of its decisions.
struct Told {
    work: &'static str,
    action: &'static str,
    /// In the line, and in its field.
    reason: [&'static str; 2],
    name: &'static str,
    address: &'static str,
    recipient: &'static str,
    /// A field that not every record has.
    more: Option<&'static str>,
}

const WORKS: [Told; 5] = [
    Told {
        work: "listed by name",
        action: "pass",
        reason: ["client whitelist", "client-whitelist"],
        name: "mx.host123.example",
        address: "192.0.2.9",
        recipient: "joe12@example.org",
        more: Some("STARGREY_BECAUSE"),
    },
    Told {
        work: "auto-whitelisted",
        action: "pass",
        reason: ["client AWL", "client-awl"],
        name: "mail.example.net",
        address: "10.7.112.25",
        recipient: "anybody@example.org",
        more: None,
    },
    Told {
        work: "known",
        action: "pass",
        reason: ["triplet found", "triplet-found"],
        name: "unknown",
        address: "10.112.134.25",
        recipient: "known1234@example.org",
        more: None,
    },
    Told {
        work: "new",
        action: "greylist",
        reason: ["new", "new"],
        name: "unknown",
        address: "10.112.134.25",
        recipient: "new1234@example.org",
        more: Some("STARGREY_MISSING=300"),
    },
    // Most of these are new.
    Told {
        work: "mix",
        action: "greylist",
        reason: ["new", "new"],
        name: "unknown",
        address: "10.112.134.25",
        recipient: "mix1234@example.org",
        more: Some("STARGREY_MISSING=300"),
    },
];

/// A spell of each server.
struct Round {
    null: Spell,
    own: Spell,
}

/// What a spell yields.
struct Spell {
    sample: Sample,
    /// Records for a request and bytes for a record, if somebody counts.
    told: Option<(f64, f64)>,
}

/// Measures and prints what is wanted. A work that needs no promise is a target.
pub(crate) async fn measure(
    place: &Place,
    rhythm: Pace,
    wants: impl Fn(&str, usize) -> bool,
) -> io::Result<()> {
    let mut out = io::stdout();
    let sink = match Sink::open() {
        Ok(sink) => sink,
        Err(error) => {
            return writeln!(
                out,
                "No journal runs here, and none can be played: {error}."
            );
        }
    };
    writeln!(out, "{sink}.\n{HEAD}")?;
    let start = Start {
        name: "telling",
        options: &["--policy-test-time"],
        is_telling: true,
        ..Start::default()
    };
    let own = Peer::prepared(Server::stargreyd(place, &start)?).await?;
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        for told in WORKS.iter().filter(|told| wants(told.work, connections)) {
            let name = format!("null-{}", told.work.replace(' ', "-"));
            let null = Peer::new(Server::null(place, &name, &told.record(place))?);
            let mut rounds = Vec::new();
            for _ in 0..rhythm.rounds {
                rounds.push(Round {
                    null: spell(&null, told.work, connections, (rhythm, &sink)).await?,
                    own: spell(&own, told.work, connections, (rhythm, &sink)).await?,
                });
            }
            writeln!(out, "{}", row(told.work, connections, &rounds))?;
            if told.action == "pass" {
                let ratios = ratios(&rounds, |sample| sample.rate);
                let what = format!(
                    "{connections:>4} × {:<18} requests/s to journal of null",
                    told.work
                );
                lines.push(Bound::Least(LEAST).of_ratios(&what, &ratios));
            }
        }
    }
    writeln!(out, "\n{}\n", lines.join("\n"))
}

/// One spell, and what the sink has taken of it.
async fn spell(
    peer: &Peer,
    work: &str,
    connections: usize,
    (rhythm, sink): (Pace, &Sink),
) -> io::Result<Spell> {
    let before = sink.taken().await;
    let sample = peer.spell(work, connections, rhythm.spell).await?;
    let after = sink.taken().await;
    let told = before.zip(after).map(|(before, after)| {
        let (records, bytes) = (after.0 - before.0, after.1 - before.1);
        (
            float(records) / float(sample.answers as u64),
            float(bytes) / float(records.max(1)),
        )
    });
    Ok(Spell { sample, told })
}

fn ratios(rounds: &[Round], get: fn(&Sample) -> f64) -> Vec<f64> {
    let ratio = |round: &Round| get(&round.own.sample) / get(&round.null.sample);
    rounds.iter().map(ratio).collect()
}

fn row(work: &str, connections: usize, rounds: &[Round]) -> String {
    let median = |get: fn(&Round) -> Option<f64>| {
        Spread::of(rounds.iter().filter_map(get)).map_or(f64::NAN, |spread| spread.median)
    };
    let of_null = |get| {
        let spread = Spread::of(ratios(rounds, get).into_iter());
        spread.map_or_else(String::new, |spread| spread.to_string())
    };
    format!(
        "{connections:>5}  {work:<18} {:>11.0}   {:<18} {:>9.0} {:>8.0} {:>8.0} {:>7.1}   {:<18} {:>5.2} {:<5.2} {:>5.0} {:<5.0}",
        median(|round| Some(round.own.sample.rate)),
        of_null(|sample| sample.rate),
        median(|round| Some(round.own.sample.p50)),
        median(|round| Some(round.own.sample.p99)),
        median(|round| Some(round.own.sample.p999)),
        median(|round| Some(round.own.sample.cpu)),
        of_null(|sample| sample.cpu),
        median(|round| Some(round.own.told?.0)),
        median(|round| Some(round.null.told?.0)),
        median(|round| Some(round.own.told?.1)),
        median(|round| Some(round.null.told?.1)),
    )
}

impl Told {
    /// The line, and the fields with their values.
    fn record(&self, place: &Place) -> Vec<String> {
        let [text, word] = self.reason;
        let (action, name, address) = (self.action, self.name, self.address);
        let (sender, recipient) = ("ann@sender.example", self.recipient);
        let mut record = vec![
            format!(
                "action={action}, reason={text}, client_name={name}, client_address={address}, \
                 sender={sender}, recipient={recipient}"
            ),
            format!("STARGREY_ACTION={action}"),
            format!("STARGREY_REASON={word}"),
            format!("STARGREY_CLIENT_NAME={name}"),
            format!("STARGREY_CLIENT_ADDRESS={address}"),
            format!("STARGREY_SENDER={sender}"),
            format!("STARGREY_RECIPIENT={recipient}"),
            "STARGREY_INSTANCE=3a1f.000000123456.0".to_owned(),
        ];
        record.extend(self.more.map(|more| {
            if more.contains('=') {
                return more.to_owned();
            }
            let list = place.disk("all");
            format!("{more}={}:124: host123.example", list.display())
        }));
        record
    }
}

//! The cost of lookups for clients that need none, and of the selective recipe of stargrey(7): `make bench PART=lookups`.
//!
//! *By domain*: servers of a pool, with names in one domain, known and new, with `--lookup-by-domain`.
//!
//! *Selective*: all options of the recipe; its lists and the sender's domain do not exist, says the name server at once.
//! Clients that need no lookup must not notice: those in a list, and end users' lines that are known. Servers with names
//! of their own pass by cached findings. New lines need three lists and SPF.
//!
//! Both are compared with a server without these options, known lines also with one that has the recipe's S25R alone: the
//! difference is what lookups cost clients that need none. Each server gets the same requests. The one beside has a turn
//! before and one after each; how far these two are apart says how much of a difference is noise.

use std::io::{self, Write};
use std::time::Duration;

use crate::cells::{Pace, Peer};
use crate::load::{self, Sample, Until};
use crate::lookups::listing;
use crate::name_server::NameServer;
use crate::server::{Place, Server, Start};
use crate::spread::Spread;
use crate::targets;
use crate::verdict::Bound;
use crate::work;

/// Connections of each turn.
const CONNECTIONS: usize = 100;

/// Turns instead of one round of the table, each that part of its length.
const TURNS: usize = 3;
const PART: u32 = 2;

/// The recipe's lists, and its other options.
const LISTS: &str =
    "zen.example=127.0.0.[2..11]*3,bl.example*2,wl.example=127.0.[0..255].[1..3]*-4";
const S25R: &str = "--s25r=extended";
const RECIPE: &[&str] = &[
    "--policy-test-time",
    S25R,
    "--lookup-by-domain",
    "--spf",
    "--dnsbl-threshold=2",
    "--dnsbl-allowlist-threshold=-2",
];

/// Measures and prints.
pub(crate) async fn measure(place: &Place, rhythm: Pace, out: &mut impl Write) -> io::Result<()> {
    let name_server = NameServer::start(Duration::ZERO)?;
    let start = |name, more: &[&str]| {
        let start = Start {
            name,
            options: &[&["--policy-test-time"], more].concat(),
            ..Start::default()
        };
        Server::stargreyd(place, &start)
    };
    let both = || [work::preparations_of_lines(), work::preparations_of_named()].concat();
    let plain = Peer::prepared_by(start("without-lookups", &[])?, both()).await?;
    let server = start("by-domain", &["--lookup-by-domain"])?;
    let by_domain = Peer::prepared_by(server, both()).await?;
    let server = listing(place, "recipe", LISTS, name_server.address, RECIPE)?;
    let recipe = Peer::prepared_by(server, work::preparations_of_lines()).await?;
    let filling = recipe.plan("not suspicious, cached", CONNECTIONS)?;
    load::run(&recipe.server, &filling, &Until::Through).await?;

    let server = start("s25r", &[S25R])?;
    let s25r = Peer::prepared_by(server, work::preparations_of_lines()).await?;

    let turns = |own, work| Turns {
        own,
        beside: &plain,
        work,
    };
    for (work, bound) in [
        ("known, named", targets::BY_DOMAIN),
        ("new, named", targets::BY_DOMAIN),
    ] {
        let name = format!("{work}, --lookup-by-domain against without");
        turns(&by_domain, work)
            .print(&name, bound, rhythm, out)
            .await?;
    }
    for (work, bound) in [
        ("listed by name", targets::NEEDS_NO_LOOKUP),
        ("listed by network", targets::NEEDS_NO_LOOKUP),
        ("known line", Bound::None),
        ("new line", Bound::None),
    ] {
        let name = format!("{work}, selective against without");
        turns(&recipe, work)
            .print(&name, bound, rhythm, out)
            .await?;
    }
    let known = Turns {
        own: &recipe,
        beside: &s25r,
        work: "known line",
    };
    let (name, bound) = (
        "known line, selective against S25R alone",
        targets::NEEDS_NO_LOOKUP,
    );
    known.print(name, bound, rhythm, out).await?;
    let null = Peer::new(Server::null(place, "null", &[])?);
    let cached = Turns {
        own: &recipe,
        beside: &null,
        work: "not suspicious, cached",
    };
    let name = "not suspicious, cached, selective against null";
    cached
        .print(name, targets::CACHED_FINDINGS, rhythm, out)
        .await
}

/// Two servers that do the same work in turn.
struct Turns<'a> {
    own: &'a Peer,
    beside: &'a Peer,
    work: &'a str,
}

impl Turns<'_> {
    async fn spell(&self, peer: &Peer, rhythm: Pace) -> io::Result<Sample> {
        peer.spell(self.work, CONNECTIONS, rhythm.spell / PART)
            .await
    }

    /// Prints the ratios of throughput and of CPU time.
    async fn print(
        &self,
        name: &str,
        bound: Bound,
        rhythm: Pace,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (mut rates, mut cpu, mut noise) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rhythm.rounds * TURNS {
            let before = self.spell(self.beside, rhythm).await?;
            let own = self.spell(self.own, rhythm).await?;
            let after = self.spell(self.beside, rhythm).await?;
            rates.push(2.0 * own.rate / (before.rate + after.rate));
            cpu.push(2.0 * own.cpu / (before.cpu + after.cpu));
            noise.push(after.rate / before.rate);
        }
        let spread = |ratios: Vec<f64>| {
            Spread::of(ratios.into_iter()).map_or_else(String::new, |spread| spread.to_string())
        };
        writeln!(
            out,
            "{}; CPU {}; noise {}",
            bound.of_ratios(&format!("{CONNECTIONS:>4} × {name}"), &rates),
            spread(cpu),
            spread(noise),
        )
    }
}

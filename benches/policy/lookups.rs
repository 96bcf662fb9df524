//! The cost of DNS lists: `make bench PART=lookups`.
//!
//! No client is listed: a name server in this process denies every name. The clients have public addresses, because
//! private ones are not looked up.
//!
//! *Cached findings*: a hundred thousand clients that were looked up before pass as not suspicious, without another query.
//! Their memory is the difference to a server without lists that had the same requests.
//!
//! *New clients*: a thousand connections, a new client address in each request, and a list that replies after 50 ms.
//! Beside it a bare client asks the same name server a thousand questions at once, and a null server waits for as long
//! before it replies: what they take longer is not stargreyd's.
//!
//! *Silent lists*: three lists that do not reply, and some new clients that are looked up there. Whitelisted and known
//! clients must not notice. The server without lists gets the same requests.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::bare_dns::{self, Latency};
use crate::cells::{Pace, Peer};
use crate::load::{self, LoadPlan, Sample, Until};
use crate::name_server::NameServer;
use crate::selective;
use crate::server::{Place, Server, Start};
use crate::spread::float;
use crate::targets;
use crate::verdict::Bound;
use crate::work::{CACHED, DEFER};

/// Connections that ask for clients whose findings are cached.
const CONNECTIONS: [usize; 2] = [16, 100];

/// Connections that fill the cache.
const FILLING: usize = 64;

/// Connections of new clients, each with one lookup under way.
const UNDER_WAY: u16 = 1000;

/// After how long the list replies, and how much later the reply to Postfix may come.
const DELAY: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_millis(10);

/// Length of a spell of new clients, in spells of the table: the burst at its beginning must not weigh much.
const LENGTH: u32 = 8;

/// Connections of new clients beside the others, and how long each rests.
const STRANGERS: usize = 20;
const REST: Duration = Duration::from_secs(1);

/// Connections of clients that need no lookup.
const LOOKED_AT: usize = 100;

/// Measures and prints.
pub(crate) async fn measure(place: &Place, rhythm: Pace) -> io::Result<()> {
    let mut out = io::stdout();
    cached(place, rhythm, &mut out).await?;
    unseen(place, rhythm, &mut out).await?;
    silent(place, rhythm, &mut out).await?;
    selective::measure(place, rhythm, &mut out).await
}

/// Starts stargreyd with these lists and name server.
pub(crate) fn listing(
    place: &Place,
    name: &str,
    lists: &str,
    resolver: SocketAddr,
    more: &[&str],
) -> io::Result<Server> {
    let lists = format!("--dnsbl-sites={lists}");
    let resolver = format!("--resolver={resolver}");
    let start = Start {
        name,
        options: &[&[lists.as_str(), &resolver], more].concat(),
        ..Start::default()
    };
    Server::stargreyd(place, &start)
}

/// Cached findings: throughput and memory.
async fn cached(place: &Place, rhythm: Pace, out: &mut impl Write) -> io::Result<()> {
    let name_server = NameServer::start(Duration::ZERO)?;
    let null = Peer::new(Server::null(place, "null", &[])?);
    let server = listing(place, "cached", "list.example", name_server.address, &[])?;
    let listing = Peer::new(server);
    let start = Start {
        name: "plain",
        options: &["--unmatched=pass"],
        ..Start::default()
    };
    let plain = Peer::new(Server::stargreyd(place, &start)?);
    let mut memory = Vec::new();
    for peer in [&listing, &plain] {
        let filling = peer.plan("unlisted, cached", FILLING)?;
        load::run(&peer.server, &filling, &Until::Through).await?;
        memory.push(float(peer.server.private_memory()?) / 1e6);
    }
    let sent = name_server.received();
    let name = format!("queries for {CACHED} clients");
    let most = Bound::Least(float(CACHED as u64)).of_figure(&name, float(sent));
    writeln!(out, "{most}")?;
    for connections in CONNECTIONS {
        let mut ratios = Vec::new();
        for _ in 0..rhythm.rounds {
            let work = "unlisted, cached";
            let beside = null.spell(work, connections, rhythm.spell).await?.rate;
            let own = listing.spell(work, connections, rhythm.spell).await?.rate;
            ratios.push(own / beside);
        }
        let name = format!("{connections:>4} × cached findings, requests/s of null");
        writeln!(
            out,
            "{}",
            targets::CACHED_FINDINGS.of_ratios(&name, &ratios)
        )?;
    }
    let again = float(name_server.received() - sent);
    writeln!(
        out,
        "{}",
        Bound::Most(0.0).of_figure("queries meanwhile", again)
    )?;
    if let [with, without] = memory.as_slice() {
        let name = format!("MB of private memory for {CACHED} findings");
        writeln!(
            out,
            "{}, {without:.1} without",
            targets::MEMORY.of_figure(&name, with - without)
        )?;
    }
    Ok(())
}

/// New clients: throughput and latency.
async fn unseen(place: &Place, rhythm: Pace, out: &mut impl Write) -> io::Result<()> {
    let name_server = NameServer::start(DELAY)?;
    let server = listing(place, "unseen", "list.example", name_server.address, &[])?;
    let peer = Peer::new(server);
    let waiting = Peer::new(Server::null_after(DELAY, place, "waiting", &[])?);
    let (mut samples, mut of_null, mut of_bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rhythm.rounds {
        let length = rhythm.spell * LENGTH;
        let bare = bare_dns::measure(name_server.address, UNDER_WAY, length)?;
        let work = "unlisted, new";
        let beside = waiting.spell(work, UNDER_WAY.into(), length).await?;
        let own = peer.spell(work, UNDER_WAY.into(), length).await?;
        of_null.push(own.p99 / beside.p99);
        of_bare.push(own.p99 / 1e3 / bare.p99);
        samples.push((own, beside, bare));
    }
    let each =
        |get: fn(&(Sample, Sample, Latency)) -> f64| samples.iter().map(get).collect::<Vec<f64>>();
    let name = format!("{UNDER_WAY:>4} × new clients, ");
    let shown =
        |what: &str, figures: &[f64]| Bound::None.of_ratios(&(name.clone() + what), figures);
    let most = (DELAY + LATER).as_secs_f64() * 1e3;
    let lines = [
        shown("bare DNS, lookups/s", &each(|one| one.2.rate)),
        shown("bare DNS, p50 in ms", &each(|one| one.2.p50)),
        shown("bare DNS, p99 in ms", &each(|one| one.2.p99)),
        shown("null that waits, requests/s", &each(|one| one.1.rate)),
        shown("null that waits, p50 in ms", &each(|one| one.1.p50 / 1e3)),
        shown("null that waits, p99 in ms", &each(|one| one.1.p99 / 1e3)),
        shown("lookups/s", &each(|one| one.0.rate)),
        shown("p50 in ms", &each(|one| one.0.p50 / 1e3)),
        Bound::Most(most).of_ratios(&(name.clone() + "p99 in ms"), &each(|one| one.0.p99 / 1e3)),
        shown("p99 of bare DNS", &of_bare),
        shown("p99 of the null that waits", &of_null),
        shown("CPU in µs", &each(|one| one.0.cpu)),
        shown("load generator's share of a CPU", &each(|one| one.0.busy)),
        Bound::Least(UNDER_WAY.into()).of_figure(
            "lookups under way at once",
            float(name_server.most_waiting()),
        ),
    ];
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Silent lists: throughput of clients that need no lookup.
async fn silent(place: &Place, rhythm: Pace, out: &mut impl Write) -> io::Result<()> {
    let name_server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let resolver = name_server.local_addr()?;
    // The prepared clients have private addresses, so they are not looked up, but greylisted.
    let options = ["--policy-test-time", "--unmatched=greylist"];
    let lists = "one.example,two.example,three.example";
    let silent = Peer::prepared(listing(place, "silent", lists, resolver, &options)?).await?;
    let start = Start {
        name: "without",
        options: &options,
        ..Start::default()
    };
    let without = Peer::prepared(Server::stargreyd(place, &start)?).await?;
    for work in ["listed by name", "known"] {
        let mut ratios = Vec::new();
        for _ in 0..rhythm.rounds {
            let beside = beside_strangers(&without, work, rhythm.spell).await?.rate;
            let own = beside_strangers(&silent, work, rhythm.spell).await?.rate;
            ratios.push(own / beside);
        }
        let name = format!("{LOOKED_AT:>4} × {work}, silent lists against none");
        writeln!(out, "{}", targets::WHILE_SILENT.of_ratios(&name, &ratios))?;
    }
    Ok(())
}

/// A spell of work beside new clients, which are deferred.
async fn beside_strangers(peer: &Peer, work: &str, length: Duration) -> io::Result<Sample> {
    let strangers = LoadPlan {
        always: Some(DEFER),
        rest: REST,
        ..peer.plan("unlisted, new", STRANGERS)?
    };
    let until = Until::Told(Arc::new(AtomicBool::new(false)));
    tokio::select! {
        sample = peer.spell(work, LOOKED_AT, length) => sample,
        ended = load::run(&peer.server, &strangers, &until) => Err(match ended {
            Err(error) => error,
            Ok(_) => io::Error::other("the new clients have ended"),
        }),
    }
}

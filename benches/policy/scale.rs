//! What ten million stored triplets change, and idle connections: `make bench PART=scale`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use stargrey::types::Span;
use tokio::io::AsyncWriteExt;

use crate::cells::{Pace, Peer};
use crate::fill::{Crowd, WARMING, fill};
use crate::load::connect;
use crate::server::{Place, Server, Start};
use crate::spread::float;
use crate::verdict::Bound;

/// How many triplets the two databases hold.
const FEW: usize = 10_000;
const MANY: usize = 10_000_000;

/// Connections that do nothing, and that send a byte a second.
const IDLE: usize = 2000;
const SLOW: usize = 200;

const CONNECTIONS: usize = 100;

/// Measures and prints. A quick run has a tenth of the triplets.
pub(crate) async fn measure(place: &Place, rhythm: Pace, is_quick: bool) -> io::Result<()> {
    let mut out = io::stdout();
    let many = if is_quick { MANY / 10 } else { MANY };
    let strangers = |count| {
        [Crowd {
            numbers: 0..count,
            age: Span::from_seconds(0),
        }]
    };
    fill(&place.directory("few")?, &strangers(FEW))?;
    let filled = fill(&place.directory("many")?, &strangers(many))?;
    let few = Peer::prepared(Server::stargreyd(place, &told("few"))?).await?;
    let begun = Instant::now();
    let server = Server::stargreyd(place, &told("many"))?;
    let start = begun.elapsed().as_secs_f64();
    let bytes = float(server.disk_use()?) / float(filled.count.max(1));
    let many_stored = Peer::prepared(server).await?;
    writeln!(
        out,
        "{} triplets in random order, keys of {:.1} bytes on average",
        filled.count, filled.key_length
    )?;
    let on_disk = Bound::Most(160.0).of_figure("bytes on disk for each", bytes);
    let ready = Bound::Most(0.5).of_figure("seconds from start to ready", start);
    writeln!(out, "{on_disk}\n{ready}")?;
    let warming = rhythm.spell * WARMING;
    many_stored.spell("new", CONNECTIONS, warming).await?;
    for (work, bound) in [("known", 0.8), ("auto-whitelisted", 0.8), ("new", 0.5)] {
        let mut ratios = Vec::new();
        for _ in 0..rhythm.rounds {
            let beside = few.spell(work, CONNECTIONS, rhythm.spell).await?.rate;
            let own = many_stored
                .spell(work, CONNECTIONS, rhythm.spell)
                .await?
                .rate;
            ratios.push(own / beside);
        }
        let what = format!("{work}, {many} triplets against {FEW}");
        writeln!(out, "{}", Bound::Least(bound).of_ratios(&what, &ratios))?;
    }
    let memory = float(many_stored.server.private_memory()?) / float(1 << 20);
    let memory = Bound::Most(40.0).of_figure("MiB of private memory", memory);
    writeln!(out, "{memory}")?;
    beside_idle(&few, rhythm, &mut out).await
}

/// A server that believes the times it is told.
fn told(name: &str) -> Start<'_> {
    Start {
        name,
        options: &["--policy-test-time"],
        ..Start::default()
    }
}

/// Listed clients beside connections that do little or nothing.
async fn beside_idle(peer: &Peer, rhythm: Pace, out: &mut impl Write) -> io::Result<()> {
    let mut ratios = Vec::new();
    for _ in 0..rhythm.rounds {
        let alone = peer
            .spell("listed by name", CONNECTIONS, rhythm.spell)
            .await?;
        let mut idle = Vec::new();
        for _ in 0..IDLE {
            idle.push(connect(&peer.server.socket).await?);
        }
        let mut slow = Vec::new();
        for _ in 0..SLOW {
            let mut stream = connect(&peer.server.socket).await?;
            slow.push(tokio::spawn(async move {
                while stream.write_all(b"r").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }));
        }
        let beside = peer
            .spell("listed by name", CONNECTIONS, rhythm.spell)
            .await?;
        ratios.push(beside.rate / alone.rate);
        for task in slow {
            task.abort();
        }
    }
    let name = format!("listed, beside {IDLE} idle and {SLOW} slow connections, against without");
    writeln!(out, "{}", Bound::Least(0.9).of_ratios(&name, &ratios))
}

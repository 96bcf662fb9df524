//! What ten million stored triplets change, and idle connections: `make bench PART=scale`.
//!
//! The databases are filled by the library, in the order in which strangers come, with keys of some sixty bytes.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use stargrey::policy::{Triplet, TripletKey};
use stargrey::store::lmdb::{Durability, LmdbOpener};
use stargrey::store::{Opener, StoreError};
use stargrey::types::{ClientIp, Span, Timestamp};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::cells::{Pace, Peer};
use crate::server::{Place, Server};
use crate::spread::Spread;
use crate::work;

/// How many triplets the two databases hold.
const FEW: usize = 10_000;
const MANY: usize = 10_000_000;

/// Records in a transaction of the filling: as many as stargreyd writes at once at most. Larger ones would leave more
/// free pages in the file.
const BATCH: usize = 1024;

/// Connections that do nothing, and that send a byte a second.
const IDLE: usize = 2000;
const SLOW: usize = 200;

const CONNECTIONS: usize = 100;

/// Measures and prints. A quick run has a tenth of the triplets.
pub(crate) async fn measure(place: &Place, rhythm: Pace, is_quick: bool) -> io::Result<()> {
    let mut out = io::stdout();
    let many = if is_quick { MANY / 10 } else { MANY };
    fill(&place.directory("few")?, FEW).map_err(io::Error::other)?;
    fill(&place.directory("many")?, many).map_err(io::Error::other)?;
    let few = Peer::prepared(Server::stargreyd(place, "few", &["--policy-test-time"])?).await?;
    let begun = Instant::now();
    let server = Server::stargreyd(place, "many", &["--policy-test-time"])?;
    let start = begun.elapsed();
    let bytes = server.disk_use()? / many as u64;
    let many_stored = Peer::prepared(server).await?;
    writeln!(
        out,
        "{many} triplets: {bytes} bytes each on disk (at most 160), start to ready {:.2} s (at most 0.5)",
        start.as_secs_f64()
    )?;
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
        judge(
            &mut out,
            &format!("{work}, {many} triplets against {FEW}"),
            &ratios,
            bound,
        )?;
    }
    let memory = many_stored.server.private_memory()? >> 20;
    writeln!(out, "{memory} MiB of private memory (at most 40)")?;
    beside_idle(&few, rhythm, &mut out).await
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
            idle.push(connect(peer).await?);
        }
        let mut slow = Vec::new();
        for _ in 0..SLOW {
            let mut stream = connect(peer).await?;
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
    judge(out, &name, &ratios, 0.9)
}

/// Connects, when there is room in the server's queue.
async fn connect(peer: &Peer) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(&peer.server.socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            connected => return connected,
        }
    }
}

fn judge(out: &mut impl Write, name: &str, ratios: &[f64], bound: f64) -> io::Result<()> {
    let Some(spread) = Spread::of(ratios.iter().copied()) else {
        return Ok(());
    };
    let verdict = if spread.median >= bound {
        "pass"
    } else {
        "MISS"
    };
    writeln!(out, "{verdict}  {name}: ≥ {bound}  {spread}")
}

/// Makes a database of so many waiting triplets.
fn fill(directory: &Path, count: usize) -> Result<(), StoreError> {
    let opener = LmdbOpener {
        directory: directory.to_owned(),
        max_size: 16 << 30,
        durability: Durability::Data,
        privacy: false,
        retry_window: Span::from_days(2),
    };
    let (reader, mut writer) = opener.open()?;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let first = Timestamp::from_seconds(now.map_or(0, |since| since.as_secs()));
    let record = Triplet::Waiting {
        first,
        last: first,
        retries: 0,
        counted: 0,
    };
    for begin in (0..count).step_by(BATCH) {
        writer.transact(&mut |records| {
            for number in begin..count.min(begin + BATCH) {
                if let Some(key) = key(number) {
                    records.put_triplet(&key, record)?;
                }
            }
            Ok(())
        })?;
    }
    writer.sync()?;
    drop(reader);
    Ok(())
}

/// The key of a stranger's triplet, about sixty bytes.
fn key(number: usize) -> Option<TripletKey> {
    let digits = work::scattered(number) % work::STRANGERS;
    let (low, high) = (digits % 10_000, digits / 10_000);
    let address = format!("11.1{:02}.1{:02}.25", high / 100, high % 100);
    let client = ClientIp::parse(address.as_bytes())?;
    let sender = format!("newsletter{high:04}@sender.example");
    let recipient = format!("somebody{low:04}@example.org");
    Some(TripletKey::new(
        client.network(24, 64),
        sender.as_bytes(),
        recipient.as_bytes(),
    ))
}

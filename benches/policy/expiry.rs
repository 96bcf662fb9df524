//! Half of the triplets are expired: `make bench PART=expiry`.
//!
//! The database is filled with five million triplets whose retry window is over and five million fresh ones. The
//! server sweeps from its start on; meanwhile some connections send a request now and then, as on an idle server.
//!
//! *No reply is delayed*: the requests continue for the same time after the expiry. The maximum latency and the p99.99
//! of that second half, hiccups of the disk included, may be exceeded by fifty milliseconds during the expiry. A hiccup
//! in the second half makes this easier and one in the first harder, so all four figures are printed.
//!
//! *Freed pages are reused*: the library then writes as many new triplets as have expired.
//!
//! *Nothing gets slower*: the database is compared with one that was filled with as many triplets and never swept. The
//! second half comes behind what prepares the works there too, so that what is new has its place among as many.
//! Both are read once and take new triplets for a while before.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stargrey::api::MonitorProxy;
use stargrey::types::Span;

use crate::bus::Bus;
use crate::cells::{Pace, Peer};
use crate::fill::{Crowd, WARMING, fill};
use crate::load::{self, LoadPlan, Until};
use crate::server::{Place, Server, Start};
use crate::spread::float;
use crate::verdict::Bound;

/// How many triplets are too old, and how many are not.
const HALF: usize = 5_000_000;

/// Days since the old ones came; two would do.
const AGE: u64 = 4;

/// Some connections, and how long each rests between its requests.
const GENTLE: usize = 20;
const REST: Duration = Duration::from_millis(5);

/// Between two looks at how many triplets there are, and how long it may take until the old ones are gone.
const PAUSE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(1800);

/// Triplets that are asked for at this moment, and those of which there are two among the old and the new.
const IN_FLIGHT: u64 = 200;

/// Connections that measure the rates afterwards.
const CONNECTIONS: usize = 100;

/// What the gentle connections ask.
const WORK: &str = "mix";

/// By how many milliseconds an answer may be later.
const LATER: f64 = 50.0;

/// By how much the file may grow.
const GROWTH: f64 = 1.1;

/// What the rates may come down to.
const RATE: f64 = 0.9;

/// Measures and prints. A quick run has a tenth of the triplets.
pub(crate) async fn measure(place: &Place, rhythm: Pace, is_quick: bool) -> io::Result<()> {
    let half = if is_quick { HALF / 10 } else { HALF };
    let Some(bus) = Bus::start(place, "expiring")? else {
        return writeln!(io::stdout(), "Expiry: dbus-daemon is not installed.");
    };
    let directory = place.directory("expiring")?;
    let filled = fill(&directory, &[crowd(0..half, AGE), crowd(half..2 * half, 0)])?;
    let start = Start {
        name: "expiring",
        options: &["--policy-test-time"],
        bus: Some(&bus.address),
        ..Start::default()
    };
    let begun = Instant::now();
    let expiring = Expiring {
        peer: Peer::prepared(Server::stargreyd(place, &start)?).await?,
        monitor: bus.monitor().await?,
        filled: filled.count,
    };
    expiring.waits(begun, half as u64).await?;
    let before = expiring.peer.server.disk_use()?;
    let stored = expiring.monitor.triplets().await;
    let stored = usize::try_from(stored.map_err(io::Error::other)?).map_err(io::Error::other)?;
    drop(expiring);

    let count = 2 * half;
    let missing = count.saturating_sub(stored);
    fill(&directory, &[crowd(count..count + missing, 0)])?;
    let start = Start { bus: None, ..start };
    let peer = Peer::new(Server::stargreyd(place, &start)?);
    let growth = float(peer.server.disk_use()?) / float(before);
    let what =
        format!("room on the disk once there are {missing} new triplets in place of the old");
    let line = Bound::Most(GROWTH).of_figure(&what, growth);
    writeln!(io::stdout(), "{line}")?;

    let directory = place.directory("fresh")?;
    fill(&directory, &[crowd(0..half, 0)])?;
    let start = Start {
        name: "fresh",
        ..start
    };
    drop(Peer::prepared(Server::stargreyd(place, &start)?).await?);
    fill(&directory, &[crowd(half..count, 0)])?;
    let fresh = Peer::new(Server::stargreyd(place, &start)?);
    for peer in [&fresh, &peer] {
        peer.server.read_in()?;
        peer.spell("new", CONNECTIONS, rhythm.spell * WARMING)
            .await?;
    }
    for work in ["known", "new"] {
        let mut ratios = Vec::new();
        for _ in 0..rhythm.rounds {
            let beside = fresh.spell(work, CONNECTIONS, rhythm.spell).await?.rate;
            let own = peer.spell(work, CONNECTIONS, rhythm.spell).await?.rate;
            ratios.push(own / beside);
        }
        let what = format!("{work} then, against {count} triplets that were never swept");
        let line = Bound::Least(RATE).of_ratios(&what, &ratios);
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(())
}

fn crowd(numbers: Range<usize>, days: u64) -> Crowd {
    Crowd {
        numbers,
        age: Span::from_days(days),
    }
}

/// A server that sweeps.
struct Expiring {
    peer: Peer,
    monitor: MonitorProxy<'static>,
    /// How many triplets its database held.
    filled: u64,
}

impl Expiring {
    /// Prints how long answers take while it expires, and then. It was started when it `begun`.
    async fn waits(&self, begun: Instant, expected: u64) -> io::Result<()> {
        let mut out = io::stdout();
        let is_over = Arc::new(AtomicBool::new(false));
        let plan = LoadPlan {
            rest: REST,
            ..self.peer.plan(WORK, GENTLE)?
        };
        let until = Until::Told(Arc::clone(&is_over));
        let (meanwhile, ()) = tokio::try_join!(
            load::run(&self.peer.server, &plan, &until),
            self.watch(expected, &is_over)
        )?;
        let time = begun.elapsed();
        let removed = self.removed().await?;
        writeln!(
            out,
            "{removed} of {} triplets have expired within {:.1} s of the start, {:.0} a second, beside {:.0} requests a second",
            self.filled,
            time.as_secs_f64(),
            float(removed) / time.as_secs_f64(),
            meanwhile.rate
        )?;
        let then = load::run(&self.peer.server, &plan, &Until::Time(time)).await?;
        let greatest = (meanwhile.greatest, then.greatest);
        let nearly = (meanwhile.p9999, then.p9999);
        for (name, (meanwhile, then)) in [("greatest wait", greatest), ("p99.99", nearly)] {
            let (meanwhile, then) = (meanwhile / 1e3, then / 1e3);
            let what = format!("ms that the {name:<13} is later while it expires");
            let line = Bound::Most(LATER).of_figure(&what, meanwhile - then);
            writeln!(out, "{line}   {meanwhile:.1} ms, {then:.1} without")?;
        }
        Ok(())
    }

    /// Says when all that is expected has expired.
    async fn watch(&self, expected: u64, is_over: &AtomicBool) -> io::Result<()> {
        let begun = Instant::now();
        while self.removed().await? + IN_FLIGHT < expected {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other("the triplets do not expire"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        is_over.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// How many triplets have expired.
    async fn removed(&self) -> io::Result<u64> {
        let triplets = self.monitor.triplets().await.map_err(io::Error::other)?;
        let written = self.filled + self.peer.triplets() as u64;
        Ok(written.saturating_sub(triplets))
    }
}

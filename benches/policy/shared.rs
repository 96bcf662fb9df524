//! Records shared by a server of Redis on this machine: `make bench PART=shared`, and `PART=shared-scale`.
//!
//! stargreyd without `--shared` is measured beside one that is connected by a unix socket and one by TCP, each with a
//! server of Redis to itself. After each spell of new triplets the next one waits until they have been published, and the
//! CPU time of that is counted. Passing traffic does not ask the server: its spells are short, and take turns forwards and
//! backwards, so that other load on the machine meets all alike; the CPU time of a request is compared, too.
//!
//! *Scale*: a database with many triplets joins an empty server, which gets them in the background; that takes hours for ten
//! million, so the rate of the first ones is measured. Memory is measured with as many keys and values of the same
//! lengths, which are written directly.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use redis::Commands;
use stargrey::ctl::verbs;
use stargrey::types::Span;

use crate::cells::{Pace, Peer};
use crate::fill::{self, Crowd};
use crate::server::{Place, Server, Start};
use crate::spread::{Spread, float};
use crate::targets::{SHARED_CPU, SHARED_NEW, SHARED_PASSING, SHARED_TRANSFER};
use crate::verdict::Bound;

const CONNECTIONS: usize = 100;

/// Short spells of passing traffic in a round.
const SLICES: u32 = 8;

/// Keys of a site without records.
const OF_SITE: u64 = 3;

/// How long a host may take to share, and a server to get no more records.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the number of keys; so often without a new one, all is published.
const PAUSE: Duration = Duration::from_millis(100);
const STILL: u32 = 5;

/// Records of the database that joins, and for how long their transfer is measured.
const MANY: usize = 10_000_000;
const TRANSFER: Duration = Duration::from_secs(20);

/// Keys that are written at once.
const BATCH: usize = 10_000;

/// A server of Redis.
pub(crate) struct Redis {
    server: Server,
    port: u16,
    client: redis::Connection,
}

/// A host, and its server if it has one.
struct Site {
    peer: Peer,
    redis: Option<Redis>,
}

/// One spell, and what followed.
#[derive(Clone, Copy)]
struct Turn {
    rate: f64,
    p99: f64,
    /// Microseconds of the daemon's and of the server's CPU time for a request, with the publishing.
    own: f64,
    server: f64,
    /// Seconds until all was published.
    behind: f64,
    /// The fraction of the records that the server has got.
    published: f64,
}

/// Measures and prints.
pub(crate) async fn measure(place: &Place, rhythm: Pace) -> io::Result<()> {
    let mut out = io::stdout();
    let options = ["--policy-test-time"];
    let start = |name, more: &[&str]| {
        let options = [&options[..], more].concat();
        let options = &options;
        Server::stargreyd(
            place,
            &Start {
                name,
                options,
                ..Start::default()
            },
        )
    };
    let mut sites = vec![Site {
        peer: Peer::prepared(start("alone", &[])?).await?,
        redis: None,
    }];
    for (name, is_unix) in [("unix", true), ("tcp", false)] {
        let mut redis = Redis::start(place, &format!("{name}-redis"))?;
        let options = redis.options(place, is_unix)?;
        let server = start(name, &options.each_ref().map(String::as_str))?;
        redis.until("a host shares", |keys, _| keys >= OF_SITE)?;
        let peer = Peer::prepared(server).await?;
        redis.settle()?;
        sites.push(Site {
            peer,
            redis: Some(redis),
        });
    }
    for (work, bound, slices) in [
        ("listed by name", SHARED_PASSING, SLICES),
        ("auto-whitelisted", SHARED_PASSING, SLICES),
        ("known", SHARED_PASSING, SLICES),
        ("new", SHARED_NEW, 1),
    ] {
        compare(&mut sites, (work, bound, slices), rhythm, &mut out).await?;
    }
    Ok(())
}

/// One kind of work at all sites, in turn.
async fn compare(
    sites: &mut [Site],
    (work, bound, slices): (&str, f64, u32),
    pace: Pace,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..pace.rounds {
        rounds.push(round(sites, (work, slices), pace.spell).await?);
    }
    for (at, name) in ["without", "unix socket", "TCP"].into_iter().enumerate() {
        let all = || rounds.iter().filter_map(|round| round.get(at));
        let median = |get: fn(&Turn) -> f64| {
            Spread::of(all().map(get)).map_or(f64::NAN, |spread| spread.median)
        };
        if at > 0 {
            let ratio = |round: &Vec<Turn>| Some(round.get(at)?.rate / round.first()?.rate);
            let ratios: Vec<f64> = rounds.iter().filter_map(ratio).collect();
            let name = format!("{CONNECTIONS} × {work}, {name}, requests/s of those without");
            writeln!(out, "{}", Bound::Least(bound).of_ratios(&name, &ratios))?;
            if slices > 1 {
                let ratio = |round: &Vec<Turn>| Some(round.get(at)?.own / round.first()?.own);
                let ratios: Vec<f64> = rounds.iter().filter_map(ratio).collect();
                let name = name.replace("requests/s", "CPU time");
                writeln!(out, "{}", SHARED_CPU.of_ratios(&name, &ratios))?;
            }
        }
        writeln!(
            out,
            "      {name:<12} {:>8.0} a second, p99 {:>6.0} µs, CPU {:>5.1} µs, of the server {:>5.1} µs; {:.0} % published, {:.1} s later",
            median(|turn| turn.rate),
            median(|turn| turn.p99),
            median(|turn| turn.own),
            median(|turn| turn.server),
            median(|turn| turn.published) * 100.0,
            median(|turn| turn.behind),
        )?;
    }
    Ok(())
}

/// One spell of each site in so many slices, which take turns.
async fn round(
    sites: &mut [Site],
    (work, slices): (&str, u32),
    spell: Duration,
) -> io::Result<Vec<Turn>> {
    let mut turns = vec![Vec::new(); sites.len()];
    for slice in 0..slices {
        let mut order: Vec<_> = sites.iter_mut().zip(&mut turns).collect();
        if slice % 2 == 1 {
            order.reverse();
        }
        for (site, turns) in order {
            turns.push(site.turn(work, spell / slices).await?);
        }
    }
    Ok(turns.iter().map(|turns| Turn::mean(turns)).collect())
}

impl Turn {
    /// The mean of each figure.
    fn mean(turns: &[Self]) -> Self {
        let mean = |get: fn(&Self) -> f64| {
            turns.iter().map(get).sum::<f64>() / float(turns.len().max(1) as u64)
        };
        Self {
            rate: mean(|turn| turn.rate),
            p99: mean(|turn| turn.p99),
            own: mean(|turn| turn.own),
            server: mean(|turn| turn.server),
            behind: mean(|turn| turn.behind),
            published: mean(|turn| turn.published),
        }
    }
}

impl Site {
    async fn turn(&mut self, work: &str, length: Duration) -> io::Result<Turn> {
        let before = (self.peer.server.cpu()?, self.peer.work(work)?.reached());
        let keys = self.redis.as_mut().map_or(Ok(0), Redis::keys)?;
        let server = self.redis.as_ref().map_or(Ok(Duration::ZERO), Redis::cpu)?;
        let sample = self.peer.spell(work, CONNECTIONS, length).await?;
        let ended = Instant::now();
        let (mut behind, mut published) = (Duration::ZERO, f64::NAN);
        if let Some(redis) = &mut self.redis {
            let last = redis.settle()?;
            let made = self.peer.work(work)?.reached() - before.1;
            behind = last.saturating_duration_since(ended);
            published = float(redis.keys()?.saturating_sub(keys)) / float(made.max(1) as u64);
        }
        let each = |time: Duration| time.as_secs_f64() * 1e6 / float(sample.answers as u64);
        let own = self.peer.server.cpu()?.saturating_sub(before.0);
        let after = self.redis.as_ref().map_or(Ok(Duration::ZERO), Redis::cpu)?;
        Ok(Turn {
            rate: sample.rate,
            p99: sample.p99,
            own: each(own),
            server: each(after.saturating_sub(server)),
            behind: behind.as_secs_f64(),
            published,
        })
    }
}

impl Redis {
    /// Starts one, without a file.
    pub(crate) fn start(place: &Place, name: &str) -> io::Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = free.local_addr()?.port();
        drop(free);
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(place.socket(name));
        let directory = place.directory(name)?;
        command.current_dir(&directory);
        let server = Server::listening(command, place, name, directory)?;
        let client = redis::Client::open(format!("unix://{}", server.socket.display()));
        let client = client.and_then(|client| client.get_connection());
        Ok(Self {
            server,
            port,
            client: client.map_err(io::Error::other)?,
        })
    }

    /// The options of a host that shares by it.
    pub(crate) fn options(&self, place: &Place, is_unix: bool) -> io::Result<[String; 2]> {
        let secret: PathBuf = place.disk(&format!("secret-{}", self.port));
        let key = verbs::shared_key().map_err(|error| io::Error::other(error.to_string()))?;
        fs::write(&secret, key.text)?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        let url = if is_unix {
            format!("unix:{}", self.server.socket.display())
        } else {
            format!("redis://127.0.0.1:{}/0", self.port)
        };
        let secret = format!("--shared-secret={}", secret.display());
        Ok([format!("--shared={url}"), secret])
    }

    fn keys(&mut self) -> io::Result<u64> {
        let keys = redis::cmd("DBSIZE").query(&mut self.client);
        keys.map_err(io::Error::other)
    }

    fn cpu(&self) -> io::Result<Duration> {
        self.server.cpu()
    }

    /// Bytes of memory that it says it uses.
    fn memory(&mut self) -> io::Result<u64> {
        let info: String = redis::cmd("INFO")
            .arg("memory")
            .query(&mut self.client)
            .map_err(io::Error::other)?;
        let used = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        used.and_then(|used| used.trim().parse().ok())
            .ok_or_else(|| io::Error::other(format!("no used_memory in {info}")))
    }

    /// Waits until this is so: the number of keys, and how many looks it has been the same.
    fn until(&mut self, what: &str, is_so: impl Fn(u64, u32) -> bool) -> io::Result<Instant> {
        let begun = Instant::now();
        let (mut keys, mut same, mut changed) = (self.keys()?, 0, begun);
        while !is_so(keys, same) {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "{what}: not yet, with {keys} keys"
                )));
            }
            thread::sleep(PAUSE);
            let now = self.keys()?;
            if now == keys {
                same += 1;
            } else {
                (keys, same, changed) = (now, 0, Instant::now());
            }
        }
        Ok(changed)
    }

    /// Waits until it gets no more keys; when it got the last one.
    fn settle(&mut self) -> io::Result<Instant> {
        self.until("all is published", |_, same| same >= STILL)
    }
}

/// A full database joins, and the memory of as many records.
pub(crate) fn scale(place: &Place, is_quick: bool) -> io::Result<()> {
    let mut out = io::stdout();
    let many = if is_quick { MANY / 10 } else { MANY };
    let mut redis = Redis::start(place, "redis")?;
    let empty = redis.memory()?;
    let strangers = [Crowd {
        numbers: 0..many,
        age: Span::from_seconds(0),
    }];
    let filled = fill::fill(&place.directory("joins")?, &strangers)?;
    let options = redis.options(place, true)?;
    let start = Start {
        name: "joins",
        options: &options.each_ref().map(String::as_str),
        ..Start::default()
    };
    let host = Server::stargreyd(place, &start)?;
    redis.until("the first records", |keys, _| keys > OF_SITE)?;
    let (cpu, keys, begun) = (host.cpu()?, redis.keys()?, Instant::now());
    thread::sleep(TRANSFER);
    let sent = redis.keys()? - keys;
    let rate = float(sent) / begun.elapsed().as_secs_f64();
    let cpu = host.cpu()?.saturating_sub(cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    let bound = Bound::Least(SHARED_TRANSFER);
    let what = format!(
        "records a second of {} that a host sends to an empty server",
        filled.count
    );
    writeln!(out, "{}", bound.of_figure(&what, rate))?;
    writeln!(
        out,
        "      {:.1} hours for all; meanwhile the host uses {:.1} % of a processor",
        float(filled.count) / rate / 3600.0,
        cpu * 100.0
    )?;
    drop(host);
    let real = float(redis.memory()? - empty) / float(redis.keys()?);
    let (key, value, lifetime) = redis.sample()?;
    redis.write(many, (key, value), lifetime)?;
    let each = float(redis.memory()? - empty) / float(redis.keys()?);
    let resident = float(redis.server.private_memory()?) / float(1 << 20);
    writeln!(
        out,
        "      keys of {key} bytes, values of {value}; {real:.0} bytes each with those that were sent"
    )?;
    let what = format!("bytes of the server's memory for each of {many}");
    writeln!(
        out,
        "{}, {resident:.0} MiB resident",
        Bound::Most(200.0).of_figure(&what, each)
    )
}

impl Redis {
    /// The lengths of a record's key and value, and how long it is kept, in milliseconds.
    fn sample(&mut self) -> io::Result<(usize, usize, u64)> {
        // One of the site's is not kept for a limited time, or is longer.
        loop {
            let key: Vec<u8> = redis::cmd("RANDOMKEY")
                .query(&mut self.client)
                .map_err(io::Error::other)?;
            let value: Vec<u8> = self.client.get(&key).map_err(io::Error::other)?;
            let lifetime: i64 = self.client.pttl(&key).map_err(io::Error::other)?;
            if let Ok(lifetime) = u64::try_from(lifetime)
                && value.len() < 128
            {
                return Ok((key.len(), value.len(), lifetime));
            }
        }
    }

    /// Writes so many more random records of these lengths.
    fn write(
        &mut self,
        count: usize,
        (key, value): (usize, usize),
        lifetime: u64,
    ) -> io::Result<()> {
        let mut bytes = vec![0; BATCH * (key + value)];
        for _ in 0..count / BATCH {
            getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
            let mut commands = redis::pipe();
            for record in bytes.chunks_exact(key + value) {
                let (key, value) = record.split_at(key);
                commands
                    .cmd("SET")
                    .arg(key)
                    .arg(value)
                    .arg("PX")
                    .arg(lifetime)
                    .ignore();
            }
            let () = commands.query(&mut self.client).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

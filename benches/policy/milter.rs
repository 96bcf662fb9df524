//! The milter beside Debian's milter-greylist: `make bench PART=milter`.
//!
//! Both have the same file with access lists, one without and one with a rule about the body. milter-greylist is that of
//! `tests/milter-greylist`; where it could not be fetched, stargreyd is measured alone. It has its defaults: it writes
//! its database every ten minutes, while stargreyd has each new triplet on the disk before it replies.
//!
//! Null milters in the same run, which let everything pass, show what the protocol and the load generator allow: one with
//! nothing but the library that stargreyd speaks the protocol with, and a bare one.
//!
//! *Decisions*: the mail server opens a session, sends one recipient in each message, and ends the session. Known clients
//! have triplets that have passed; new ones have another address in each session, and are deferred. Sessions of ten messages
//! show the decision, those of one message also the start of a session, which is a connection and four replies.
//!
//! *Messages* of known clients, with one recipient: with a rule about the body, which is decoded and searched; and without,
//! when the mail server does not send it.
//!
//! *Memory*: messages of 10 MB under way at once, all stopped when as much of each is kept as may be; then more of them
//! than there is memory for. Then all of them end at once. `PART=milter-memory` measures this alone.

use std::fs;
use std::io::{self, Write};
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cells::Pace;
use crate::milter_session::MilterSession;
use crate::null_milter::OF_LIBRARY;
use crate::server::{Place, Server, Start, own_cpu};
use crate::spread::{Spread, float};
use crate::targets::OF_MILTER_GREYLIST;
use crate::verdict::Bound;

/// The access lists of both servers.
const LISTS: &str = "nospf\nnoauth\ngreylist 1h\nautowhite 3d\n\
                     racl greylist domain known.example delay 0s autowhite 30d\nracl greylist default\n";

/// The rule about the body, and how much of it milter-greylist looks at.
const BODY_RULE: &str = "maxpeek 2000000\ndacl blacklist body \"no such words\"\n";

/// How many known clients there are, and the triplets of each.
const KNOWN: usize = 500;
const SENDERS: usize = 10;

/// Numbers of sessions at once, and of messages in a session.
const SESSIONS: [usize; 2] = [100, 500];
const MESSAGES: [usize; 2] = [10, 1];

/// The sizes of messages, and how many are sent at once.
const SIZES: [(&str, usize); 2] = [("10 KB", 10_000), ("1 MB", 1_000_000)];
const SENDING: usize = 16;

/// Messages under way whose memory is measured: how many, and how much of each has been sent. Beyond 1 MiB nothing of a
/// body is kept; all of the last ones would need twice as much as all messages may have.
const UNDER_WAY: [(usize, usize); 3] = [(200, MIB), (200, 10_000_000), (900, 600_000)];
const MIB: usize = 1 << 20;

/// MiB of all messages that are kept, as `stargrey-milter(7)` says, and KiB that a session may need besides: a packet that
/// is being read, and what is known of the session.
const MOST: f64 = 256.0;
const SESSION: f64 = 160.0;

/// MiB that messages may need besides while they are decoded, four at once.
const DECODED: f64 = 32.0;

/// The length of a line of a message, with its end.
const LINE: usize = 78;

/// What is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    Known,
    New,
}

/// The servers.
struct Peers {
    own: Arc<Peer>,
    /// The library's, and the bare one.
    null: [Arc<Peer>; 2],
    /// milter-greylist, if it is there.
    other: Option<Arc<Peer>>,
}

/// A server and what was asked of it.
struct Peer {
    name: &'static str,
    server: Server,
    milter: PathBuf,
    /// How many sessions were opened.
    sessions: AtomicUsize,
}

/// One spell of load.
#[derive(Clone, Copy)]
struct Load {
    clients: Clients,
    /// At once.
    sessions: usize,
    /// In each session.
    messages: usize,
    /// The bytes of a body; `None`: the message is given up after its recipient.
    body: Option<usize>,
}

/// The figures of a spell.
struct Sample {
    /// Decisions or messages a second.
    rate: f64,
    /// 99th percentile of the time for one, in milliseconds; that of a session's start is not in it.
    p99: f64,
    /// Microseconds of the server's CPU time for one. milter-greylist has a thread for each session.
    cpu: f64,
    /// How busy the load generator's thread was, in per cent.
    load: f64,
}

/// The figures that are compared, with their bounds beside milter-greylist's.
type Figure = (&'static str, Bound, fn(&Sample) -> f64);
const FIGURES: [Figure; 2] = [
    ("a second", Bound::Least(OF_MILTER_GREYLIST), |one| one.rate),
    ("CPU", Bound::None, |one| one.cpu),
];

/// Measures and prints.
pub(crate) async fn measure(place: &Place, rhythm: Pace) -> io::Result<()> {
    let mut out = io::stdout();
    let peers = Peers::start(place, "plain", "").await?;
    if peers.other.is_none() {
        writeln!(
            out,
            "NOT PROVEN  milter-greylist is missing: tests/milter-greylist"
        )?;
    }
    for clients in [Clients::Known, Clients::New] {
        for messages in MESSAGES {
            for sessions in SESSIONS {
                let load = Load {
                    clients,
                    sessions,
                    messages,
                    body: None,
                };
                peers.compare(load, rhythm, &mut out).await?;
            }
        }
    }
    peers.deliver("not looked at", rhythm, &mut out).await?;
    drop(peers);
    let peers = Peers::start(place, "body", BODY_RULE).await?;
    peers.deliver("searched", rhythm, &mut out).await?;
    drop(peers);
    memory(place, &mut out).await
}

fn stargreyd(place: &Place, name: &str, lists: &str) -> io::Result<Arc<Peer>> {
    let conf = place.disk(&format!("{name}.conf"));
    fs::write(&conf, lists)?;
    let milter = place.socket(&format!("{name}-milter"));
    let options = [
        format!("--greylist-conf={}", conf.display()),
        format!("--milter=unix:{}", milter.display()),
    ];
    let start = Start {
        name,
        options: &options.each_ref().map(String::as_str),
        ..Start::default()
    };
    Ok(Peer::new(
        "stargreyd",
        milter,
        Server::stargreyd(place, &start)?,
    ))
}

impl Peers {
    /// Starts them; stargreyd and milter-greylist have these access lists besides the common ones.
    async fn start(place: &Place, name: &str, lists: &str) -> io::Result<Self> {
        let lists = format!("{LISTS}{lists}");
        let own = stargreyd(place, name, &lists)?;
        let other = Server::milter_greylist(place, &format!("{name}-other"), &lists)?;
        let session = MilterSession::open(&own.milter, "localhost", "127.0.0.1").await?;
        let steps = session.step_bits();
        session.quit().await?;
        let null = |kind| {
            let name = format!("{name}-{kind}");
            Server::null_milter(place, (&name, kind), steps)
        };
        let peer = |name, server: Server| Peer::new(name, server.socket.clone(), server);
        Ok(Self {
            own,
            null: [
                peer("bare indymilter", null(OF_LIBRARY)?),
                peer("null milter", null("bare")?),
            ],
            other: other.map(|server| peer("milter-greylist", server)),
        })
    }

    /// Decisions of all, in turn; null milters know nobody as new.
    async fn compare(&self, load: Load, pace: Pace, out: &mut impl Write) -> io::Result<()> {
        let is_known = load.clients == Clients::Known;
        let null = self.null.iter().filter(|_| is_known);
        let own = iter::once(&self.own);
        let peers: Vec<&Arc<Peer>> = own.chain(&self.other).chain(null).collect();
        if load.clients == Clients::Known {
            for peer in &peers {
                peer.make_known().await?;
            }
        }
        let mut samples: Vec<Vec<Sample>> = peers.iter().map(|_| Vec::new()).collect();
        for _ in 0..pace.rounds {
            for (peer, samples) in peers.iter().zip(&mut samples) {
                samples.push(peer.spell(load, pace.spell).await?);
            }
        }
        writeln!(out, "{}:", load.name())?;
        let own = samples.first().map_or(&[][..], Vec::as_slice);
        for (peer, others) in peers.iter().zip(&samples).skip(1) {
            let is_bound = peer.name == "milter-greylist" && load.body.is_none();
            for (what, bound, get) in FIGURES {
                let bound = if is_bound { bound } else { Bound::None };
                let ratios = own.iter().zip(others);
                let ratios: Vec<f64> = ratios.map(|(own, other)| get(own) / get(other)).collect();
                let name = format!("{what}, of {}", peer.name);
                writeln!(out, "{}", bound.of_ratios(&name, &ratios))?;
            }
        }
        for (peer, samples) in peers.iter().zip(&samples) {
            writeln!(out, "      {}", peer.row(samples))?;
        }
        Ok(())
    }

    /// Whole messages of each size.
    async fn deliver(&self, how: &str, pace: Pace, out: &mut impl Write) -> io::Result<()> {
        for (name, size) in SIZES {
            writeln!(out, "messages of {name}, body {how}:")?;
            let load = Load {
                clients: Clients::Known,
                sessions: SENDING,
                messages: 1,
                body: Some(size),
            };
            self.compare(load, pace, out).await?;
        }
        Ok(())
    }
}

/// Memory of messages under way.
pub(crate) async fn memory(place: &Place, out: &mut impl Write) -> io::Result<()> {
    for (count, sent) in UNDER_WAY {
        // Another server each time, because memory that is free again may stay with a process.
        let peer = stargreyd(
            place,
            &format!("memory-{count}-{sent}"),
            &format!("{LISTS}{BODY_RULE}"),
        )?;
        peer.make_known().await?;
        let before = peer.server.private_memory()?;
        let resident = peer.server.peak_memory()?;
        let body = Arc::new(body(sent));
        let mut starting = JoinSet::new();
        for _ in 0..count {
            let (name, address) = peer.client(Clients::Known);
            let (milter, body) = (peer.milter.clone(), Arc::clone(&body));
            starting.spawn(async move {
                let mut session = MilterSession::open(&milter, name, &address).await?;
                session.mail("sender0@known.example").await?;
                session.rcpt("bob@example.org").await?;
                session.header().await?;
                session.body(&body).await?;
                Ok::<_, io::Error>(session)
            });
        }
        let mut under_way = Vec::new();
        while let Some(started) = starting.join_next().await {
            under_way.push(started??);
        }
        let during = peer.server.private_memory()?;
        let most = MOST + SESSION * float(count as u64) / 1024.0;
        let what =
            format!("MiB of private memory for {count} messages of which {sent} bytes were sent");
        let used = float(during.saturating_sub(before)) / float(MIB as u64);
        writeln!(out, "{}", Bound::Most(most.round()).of_figure(&what, used))?;
        let mut ending = JoinSet::new();
        for mut session in under_way {
            ending.spawn(async move {
                session.end().await?;
                Ok::<_, io::Error>(session)
            });
        }
        while let Some(ended) = ending.join_next().await {
            ended??;
        }
        let peak = float(peer.server.peak_memory()?) / float(MIB as u64);
        let at_end = peak - float(resident) / float(MIB as u64);
        let what = format!("MiB more at most while all {count} end at once");
        writeln!(
            out,
            "{}",
            Bound::Most((most + DECODED).round()).of_figure(&what, at_end)
        )?;
        let after = float(peer.server.private_memory()?) / float(MIB as u64);
        writeln!(out, "      {after:.0} MiB when all are accepted")?;
    }
    Ok(())
}

/// A body of so many bytes, in lines.
fn body(bytes: usize) -> Vec<u8> {
    let line = "the quick brown fox jumps over the lazy dog and then over it again and again";
    let mut body = format!("{line:.76}\r\n")
        .repeat(bytes / LINE + 1)
        .into_bytes();
    body.truncate(bytes.saturating_sub(2));
    body.extend_from_slice(b"\r\n");
    body
}

impl Load {
    fn name(&self) -> String {
        let clients = match self.clients {
            Clients::Known => "known",
            Clients::New => "new",
        };
        format!(
            "{:>4} × {clients} clients, {} messages a session",
            self.sessions, self.messages
        )
    }
}

impl Peer {
    fn new(name: &'static str, milter: PathBuf, server: Server) -> Arc<Self> {
        Arc::new(Self {
            name,
            server,
            milter,
            sessions: AtomicUsize::new(0),
        })
    }

    /// The next session's client: its name, its address.
    fn client(&self, clients: Clients) -> (&'static str, String) {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (name, block, number) = match clients {
            Clients::Known => ("mx.known.example", 10, number % KNOWN),
            // Neither listed, which is what begins with 20 and 21, nor the machine itself.
            Clients::New => ("mx.new.example", 130 + number / 10_000 % 90, number),
        };
        let (high, low) = (100 + number / 100 % 100, 100 + number % 100);
        (name, format!("{block}.{high}.{low}.25"))
    }

    /// The medians of samples.
    fn row(&self, samples: &[Sample]) -> String {
        let median = |get: fn(&Sample) -> f64| {
            Spread::of(samples.iter().map(get)).map_or(f64::NAN, |spread| spread.median)
        };
        let (rate, p99) = (median(|one| one.rate), median(|one| one.p99));
        let (cpu, load) = (median(|one| one.cpu), median(|one| one.load));
        format!(
            "{:<16} {rate:>9.0} a second, p99 {p99:>7.2} ms, CPU {cpu:>7.1} µs, load generator busy {load:>3.0} %",
            self.name
        )
    }

    /// Lets the triplets of known clients pass.
    async fn make_known(&self) -> io::Result<()> {
        self.sessions.store(0, Ordering::Relaxed);
        // What passes at once is written down as passed when it comes again, by milter-greylist.
        for _ in 0..2 * KNOWN {
            let (name, address) = self.client(Clients::Known);
            let mut session = MilterSession::open(&self.milter, name, &address).await?;
            for number in 0..SENDERS {
                self.decide(&mut session, Clients::Known, number).await?;
                session.abort().await?;
            }
            session.quit().await?;
        }
        Ok(())
    }

    /// One spell of load.
    async fn spell(self: &Arc<Self>, load: Load, length: Duration) -> io::Result<Sample> {
        let body = Arc::new(load.body.map(body));
        let (before, own_before) = (self.server.cpu_with_ended()?, own_cpu());
        let begun = Instant::now();
        let mut asking = JoinSet::new();
        for _ in 0..load.sessions {
            let (peer, body) = (Arc::clone(self), Arc::clone(&body));
            asking.spawn(async move {
                let mut waits = Vec::new();
                while begun.elapsed() < length {
                    peer.session(load, body.as_deref(), &mut waits).await?;
                }
                Ok::<_, io::Error>(waits)
            });
        }
        let mut waits = Vec::new();
        while let Some(ended) = asking.join_next().await {
            waits.append(&mut ended??);
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let cpu = self.server.cpu_with_ended()?.saturating_sub(before);
        let own = own_cpu().saturating_sub(own_before);
        waits.sort_unstable();
        let count = float(waits.len() as u64);
        let p99 = waits.get(waits.len() * 99 / 100).copied();
        Ok(Sample {
            rate: count / elapsed,
            p99: p99.unwrap_or_default().as_secs_f64() * 1e3,
            cpu: cpu.as_secs_f64() * 1e6 / count,
            load: own.as_secs_f64() / elapsed * 100.0,
        })
    }

    /// One session, and how long each of its messages took.
    async fn session(
        &self,
        load: Load,
        body: Option<&[u8]>,
        waits: &mut Vec<Duration>,
    ) -> io::Result<()> {
        let (name, address) = self.client(load.clients);
        let mut session = MilterSession::open(&self.milter, name, &address).await?;
        for number in 0..load.messages {
            let begun = Instant::now();
            self.decide(&mut session, load.clients, number).await?;
            if let Some(body) = body {
                session.header().await?;
                session.body(body).await?;
                session.end().await?;
            }
            waits.push(begun.elapsed());
            session.abort().await?;
        }
        session.quit().await
    }

    /// MAIL and RCPT of a client's message with this number; another decision than the right one is an error.
    async fn decide(
        &self,
        session: &mut MilterSession,
        clients: Clients,
        number: usize,
    ) -> io::Result<()> {
        session
            .mail(&format!("sender{}@known.example", number % SENDERS))
            .await?;
        let is_accepted = session.rcpt("bob@example.org").await?;
        if is_accepted == (clients == Clients::Known) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{}: a recipient was accepted: {is_accepted}",
            self.name
        )))
    }
}

//! The milter beside Debian's milter-greylist: `make bench PART=milter`.
//!
//! Both have the same file with access lists, one without and one with a rule about the body. milter-greylist is that of
//! `tests/milter-greylist`; where it could not be fetched, stargreyd is measured alone. It has its defaults: it writes
//! its database every ten minutes, while stargreyd has each new triplet on the disk before it replies.
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
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cells::Pace;
use crate::milter_session::MilterSession;
use crate::server::{Place, Server, Start};
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

/// A server and what was asked of it.
struct Peer {
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
}

/// Measures and prints.
pub(crate) async fn measure(place: &Place, rhythm: Pace) -> io::Result<()> {
    let mut out = io::stdout();
    let (own, theirs) = peers(place, "plain", "")?;
    if theirs.is_none() {
        writeln!(
            out,
            "NOT PROVEN  milter-greylist is missing: tests/milter-greylist"
        )?;
    }
    let both = (&own, theirs.as_ref());
    for clients in [Clients::Known, Clients::New] {
        for messages in MESSAGES {
            for sessions in SESSIONS {
                let load = Load {
                    clients,
                    sessions,
                    messages,
                    body: None,
                };
                compare(both, load, rhythm, &mut out).await?;
            }
        }
    }
    deliver(both, "not looked at", rhythm, &mut out).await?;
    drop((own, theirs));
    let (own, theirs) = peers(place, "body", BODY_RULE)?;
    deliver((&own, theirs.as_ref()), "searched", rhythm, &mut out).await?;
    drop((own, theirs));
    memory(place, &mut out).await
}

/// Both servers with these access lists besides the common ones.
fn peers(place: &Place, name: &str, lists: &str) -> io::Result<(Arc<Peer>, Option<Arc<Peer>>)> {
    let lists = format!("{LISTS}{lists}");
    let other = Server::milter_greylist(place, &format!("{name}-other"), &lists)?;
    let other = other.map(|server| Peer::new(server.socket.clone(), server));
    Ok((stargreyd(place, name, &lists)?, other))
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
    Ok(Peer::new(milter, Server::stargreyd(place, &start)?))
}

/// Decisions of both, in turn.
async fn compare(
    (own, theirs): (&Arc<Peer>, Option<&Arc<Peer>>),
    load: Load,
    pace: Pace,
    out: &mut impl Write,
) -> io::Result<()> {
    let peers: Vec<&Arc<Peer>> = [Some(own), theirs].into_iter().flatten().collect();
    if load.clients == Clients::Known {
        for peer in &peers {
            peer.make_known().await?;
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..pace.rounds {
        let mut round = Vec::new();
        for peer in &peers {
            round.push(peer.spell(load, pace.spell).await?);
        }
        rounds.push(round);
    }
    if theirs.is_some() {
        let (bound, what) = match load.body {
            None => (Bound::Least(OF_MILTER_GREYLIST), "decisions"),
            Some(_) => (Bound::None, "messages"),
        };
        let name = format!("{}, {what}/s of milter-greylist", load.name());
        let ratios = ratios(&rounds, |sample| sample.rate);
        writeln!(out, "{}", bound.of_ratios(&name, &ratios))?;
    }
    for (at, peer) in ["stargreyd", "milter-greylist"]
        .into_iter()
        .enumerate()
        .take(peers.len())
    {
        let median = |get: fn(&Sample) -> f64| {
            let samples = rounds.iter().filter_map(|round| round.get(at)).map(get);
            Spread::of(samples).map_or(f64::NAN, |spread| spread.median)
        };
        let (rate, p99, cpu) = (
            median(|one| one.rate),
            median(|one| one.p99),
            median(|one| one.cpu),
        );
        writeln!(
            out,
            "      {peer:<16} {rate:>9.0} a second, p99 {p99:>7.2} ms, CPU {cpu:>7.1} µs"
        )?;
    }
    Ok(())
}

/// The ratios of stargreyd's figures to the other's.
fn ratios(rounds: &[Vec<Sample>], get: fn(&Sample) -> f64) -> Vec<f64> {
    let ratio = |round: &Vec<Sample>| match round.as_slice() {
        [own, other] => Some(get(own) / get(other)),
        _ => None,
    };
    rounds.iter().filter_map(ratio).collect()
}

/// Whole messages of each size.
async fn deliver(
    both: (&Arc<Peer>, Option<&Arc<Peer>>),
    how: &str,
    pace: Pace,
    out: &mut impl Write,
) -> io::Result<()> {
    for (name, size) in SIZES {
        writeln!(out, "messages of {name}, body {how}:")?;
        let load = Load {
            clients: Clients::Known,
            sessions: SENDING,
            messages: 1,
            body: Some(size),
        };
        compare(both, load, pace, out).await?;
    }
    Ok(())
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
    fn new(milter: PathBuf, server: Server) -> Arc<Self> {
        Arc::new(Self {
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
            Clients::New => ("mx.new.example", 11 + number / 10_000 % 100, number),
        };
        let (high, low) = (100 + number / 100 % 100, 100 + number % 100);
        (name, format!("{block}.{high}.{low}.25"))
    }

    /// Lets the triplets of known clients pass.
    async fn make_known(&self) -> io::Result<()> {
        self.sessions.store(0, Ordering::Relaxed);
        // What passes at once is written down as passed when it comes again, by milter-greylist.
        for _ in 0..2 * KNOWN {
            let (name, address) = self.client(Clients::Known);
            let mut session = MilterSession::open(&self.milter, name, &address).await?;
            for number in 0..SENDERS {
                decide(&mut session, Clients::Known, number).await?;
                session.abort().await?;
            }
            session.quit().await?;
        }
        Ok(())
    }

    /// One spell of load.
    async fn spell(self: &Arc<Self>, load: Load, length: Duration) -> io::Result<Sample> {
        let body = Arc::new(load.body.map(body));
        let before = self.server.cpu_with_ended()?;
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
        waits.sort_unstable();
        let count = float(waits.len() as u64);
        let p99 = waits.get(waits.len() * 99 / 100).copied();
        Ok(Sample {
            rate: count / elapsed,
            p99: p99.unwrap_or_default().as_secs_f64() * 1e3,
            cpu: cpu.as_secs_f64() * 1e6 / count,
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
            decide(&mut session, load.clients, number).await?;
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
}

/// MAIL and RCPT of a client's message with this number; another decision than the right one is an error.
async fn decide(session: &mut MilterSession, clients: Clients, number: usize) -> io::Result<()> {
    session
        .mail(&format!("sender{}@known.example", number % SENDERS))
        .await?;
    let is_accepted = session.rcpt("bob@example.org").await?;
    if is_accepted == (clients == Clients::Known) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "a recipient was accepted: {is_accepted}"
    )))
}

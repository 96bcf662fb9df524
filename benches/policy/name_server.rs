//! A name server that denies every name (RFC 2308), a while after it was asked.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

/// Bytes that the system keeps for a socket until they are read, as far as it grants them.
pub(crate) const BUFFER: usize = 4 << 20;

/// Bytes of a header, in front of the question.
const HEADER: usize = 12;

/// Labels in front of the zone of a list: the numbers of an IPv4 address. A shorter name is that of a zone.
const LABELS: usize = 4;

/// The zone's SOA: type, class, an hour to live, the length of what follows, two names that are the root, serial number,
/// three intervals, and how long a denial may be believed: an hour.
const SOA: [u8; 32] = [
    0, 6, 0, 1, 0, 0, 0x0e, 0x10, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0,
    0, 0x0e, 0x10, 0, 0, 0x0e, 0x10,
];

/// Two threads of this process. They end with it.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    queries: Arc<Queries>,
}

/// Counts the queries.
#[derive(Default)]
struct Queries {
    received: AtomicU64,
    answered: AtomicU64,
    most_waiting: AtomicU64,
}

/// A denial, when it is due, and to whom.
struct Denial {
    due: Instant,
    bytes: Vec<u8>,
    to: SocketAddr,
}

impl NameServer {
    /// Each query has its reply after this delay.
    pub(crate) fn start(delay: Duration) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
        let queries = Arc::<Queries>::default();
        let (sender, denials) = channel();
        let receiving = (Arc::clone(&socket), Arc::clone(&queries));
        thread::spawn(move || receive(&receiving.0, &receiving.1, delay, &sender));
        let sending = (Arc::clone(&socket), Arc::clone(&queries));
        thread::spawn(move || send(&sending.0, &sending.1, &denials));
        Ok(Self {
            address: socket.local_addr()?,
            queries,
        })
    }

    /// How many queries it has received.
    pub(crate) fn received(&self) -> u64 {
        self.queries.received.load(Ordering::Relaxed)
    }

    /// How many queries have waited for their reply at the same time, at most.
    pub(crate) fn most_waiting(&self) -> u64 {
        self.queries.most_waiting.load(Ordering::Relaxed)
    }
}

fn receive(socket: &UdpSocket, queries: &Queries, delay: Duration, sender: &Sender<Denial>) {
    let mut buffer = [0; 512];
    while let Ok((length, to)) = socket.recv_from(&mut buffer) {
        let received = queries.received.fetch_add(1, Ordering::Relaxed) + 1;
        let waiting = received.saturating_sub(queries.answered.load(Ordering::Relaxed));
        queries.most_waiting.fetch_max(waiting, Ordering::Relaxed);
        let Some(bytes) = buffer.get(..length).and_then(denial) else {
            continue;
        };
        let due = Instant::now() + delay;
        if sender.send(Denial { due, bytes, to }).is_err() {
            return;
        }
    }
}

/// Sends what is due. All have waited for the same time, so the first one is due first.
fn send(socket: &UdpSocket, queries: &Queries, denials: &Receiver<Denial>) {
    for denial in denials {
        thread::sleep(denial.due.saturating_duration_since(Instant::now()));
        queries.answered.fetch_add(1, Ordering::Relaxed);
        // Whoever has asked may be gone.
        socket.send_to(&denial.bytes, denial.to).ok();
    }
}

/// The reply to a query: no such name.
fn denial(query: &[u8]) -> Option<Vec<u8>> {
    let (mut zone, mut end, mut labels) = (HEADER, HEADER, 0);
    loop {
        match usize::from(*query.get(end)?) {
            0 => break,
            length => end += 1 + length,
        }
        labels += 1;
        if labels == LABELS {
            zone = end;
        }
    }
    // The end of the name, type and class.
    let mut reply = query.get(..end + 5)?.to_vec();
    reply
        .get_mut(2..HEADER)?
        .copy_from_slice(&[0x81, 0x83, 0, 1, 0, 0, 0, 1, 0, 0]);
    reply.extend([0xc0, u8::try_from(zone).ok()?]);
    reply.extend(SOA);
    Some(reply)
}

//! Bare DNS: a client that keeps many queries under way over one socket, and does nothing with the replies. It has one
//! thread, as stargreyd has one for lookups.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::name_server::BUFFER;

/// How long it waits for a reply. The name server of this process does not lose any.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is not measured: the queries of the beginning are all sent at once.
const WARM_UP: Duration = Duration::from_millis(200);

/// What follows the number of the client in a query: the zone, type and class.
const ZONE: &[u8] = b"\x04list\x07example\0\0\x01\0\x01";

/// The latency of queries.
pub(crate) struct Latency {
    /// Queries a second.
    pub(crate) rate: f64,
    /// Median, in milliseconds.
    pub(crate) p50: f64,
    /// 99th percentile, in milliseconds.
    pub(crate) p99: f64,
}

/// Keeps this many queries under way for a while. What begins before [`WARM_UP`] is over is not measured.
pub(crate) fn measure(server: SocketAddr, under_way: u16, length: Duration) -> io::Result<Latency> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut sent = Vec::new();
    for id in 0..under_way {
        sent.push(Instant::now());
        socket.send(&query(id))?;
    }
    let (mut waits, mut begun) = (Vec::new(), None);
    let mut buffer = [0; 512];
    let elapsed = loop {
        let length_of_reply = socket.recv(&mut buffer)?;
        let reply = buffer.get(..length_of_reply).unwrap_or_default();
        let Some((id, place)) = reply.first_chunk().and_then(|id| {
            let id = u16::from_be_bytes(*id);
            Some((id, sent.get_mut(usize::from(id))?))
        }) else {
            return Err(io::Error::other("a reply to no query"));
        };
        let now = Instant::now();
        let start: Instant = *begun.get_or_insert(now + WARM_UP);
        if *place >= start {
            waits.push(now - *place);
        }
        if now >= start + length {
            break now - start;
        }
        *place = now;
        socket.send(&query(id))?;
    };
    waits.sort_unstable();
    let wait_at = |percent: usize| {
        let wait = waits.get(waits.len() * percent / 100);
        wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    };
    let count = u32::try_from(waits.len()).map_err(io::Error::other)?;
    Ok(Latency {
        rate: f64::from(count) / elapsed.as_secs_f64(),
        p50: wait_at(50),
        p99: wait_at(99),
    })
}

/// A query about the client of this number.
fn query(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [id / 256, id % 256, 0, 198] {
        let label = label.to_string();
        bytes.extend(u8::try_from(label.len()));
        bytes.extend(label.as_bytes());
    }
    bytes.extend(ZONE);
    bytes
}

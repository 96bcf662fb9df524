//! Queries to one name server over UDP.
//!
//! A socket of its own for each query costs more than everything else in a lookup. So queries share one, if they begin
//! within [`SHARED_FOR`] of each other, at most [`MOST_SHARED`] of them. A socket is closed when none of its queries waits
//! any more. Where little is asked, each query still has its own.
//!
//! Who forges a reply has to guess the port and the id of the query, as if it had a socket of its own: the system draws
//! the port, each query has a random id, and two queries for the same name are never under way. The socket is connected,
//! so that the system discards what others send, and nobody can probe which ports are open (as in RFC 5452, 9.2).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hickory_resolver::proto::op::{DnsResponse, Edns, Message, Query};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::types::sync::Mutex;

/// After how much silence a query is repeated.
const REPEAT: Duration = Duration::from_secs(1);

/// How often a query is sent, each time from another port.
pub(super) const MOST_QUERIES: u8 = 2;

/// For how long queries may join a socket.
const SHARED_FOR: Duration = Duration::from_millis(100);

/// Most queries that a socket sends: their replies fit into its receive buffer.
const MOST_SHARED: usize = 64;

/// Bytes of a reply that the name server may send (RFC 9715, 3.1).
const PAYLOAD: u16 = 1232;

/// Bytes of a reply that are read, whatever the name server was told.
const MOST_BYTES: usize = 4096;

/// The sockets of a name server.
#[derive(Debug)]
pub(super) struct Udp {
    server: SocketAddr,
    /// The socket that the next query joins, while others wait there.
    newest: Mutex<Weak<Port>>,
}

/// A socket with its queries. It is closed when the last of them has gone.
#[derive(Debug)]
struct Port {
    socket: Arc<UdpSocket>,
    since: Instant,
    queries: Arc<Mutex<Queries>>,
    /// The task that receives the replies.
    receiver: AbortHandle,
}

/// The queries of a socket.
#[derive(Debug, Default)]
struct Queries {
    /// How many there have been.
    sent: usize,
    /// Those that wait, by their ids.
    waiting: HashMap<u16, (Query, oneshot::Sender<DnsResponse>)>,
}

/// A query under way.
struct Sent {
    port: Arc<Port>,
    id: u16,
    reply: oneshot::Receiver<DnsResponse>,
}

impl Udp {
    /// No socket yet.
    pub(super) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            newest: Mutex::default(),
        }
    }

    /// Asks the name server, and once more if it is silent; `None` if it has not replied within `patience`, or with
    /// something that is no reply.
    pub(super) async fn ask(&self, query: &Query, patience: Duration) -> Option<DnsResponse> {
        timeout(patience, self.ask_twice(query)).await.ok()?
    }

    async fn ask_twice(&self, query: &Query) -> Option<DnsResponse> {
        let mut first = self.send(query).await.ok()?;
        if let Ok(reply) = timeout(REPEAT, &mut first.reply).await {
            return reply.ok();
        }
        let mut second = self.send(query).await.ok()?;
        let reply = tokio::select! {
            reply = &mut first.reply => reply,
            reply = &mut second.reply => reply,
        };
        reply.ok()
    }

    /// Sends a query.
    async fn send(&self, query: &Query) -> io::Result<Sent> {
        let port = self.port()?;
        let (sender, reply) = oneshot::channel();
        let message = port.register(query, sender);
        let sent = Sent {
            id: message.id,
            port,
            reply,
        };
        let bytes = message.to_vec().map_err(io::Error::other)?;
        let socket = &sent.port.socket;
        // The first error may be about an earlier query: the name server's host has refused it.
        if socket.send(&bytes).await.is_err() {
            socket.send(&bytes).await?;
        }
        Ok(sent)
    }

    /// The socket for the next query.
    fn port(&self) -> io::Result<Arc<Port>> {
        let now = Instant::now();
        let mut newest = self.newest.lock();
        if let Some(port) = newest.upgrade().filter(|port| port.has_room(now)) {
            return Ok(port);
        }
        let port = Arc::new(Port::open(self.server, now)?);
        *newest = Arc::downgrade(&port);
        Ok(port)
    }
}

impl Port {
    fn open(server: SocketAddr, now: Instant) -> io::Result<Self> {
        let any = if server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let queries = Arc::<Mutex<Queries>>::default();
        let receiver = tokio::spawn(receive(Arc::clone(&socket), Arc::clone(&queries)));
        Ok(Self {
            socket,
            since: now,
            queries,
            receiver: receiver.abort_handle(),
        })
    }

    fn has_room(&self, now: Instant) -> bool {
        let is_young = now.saturating_duration_since(self.since) < SHARED_FOR;
        is_young && self.queries.lock().sent < MOST_SHARED
    }

    /// Makes a message of a query, with an id that no other of the socket has.
    fn register(&self, query: &Query, sender: oneshot::Sender<DnsResponse>) -> Message {
        let mut queries = self.queries.lock();
        queries.sent += 1;
        loop {
            let mut message = Message::query();
            if let Entry::Vacant(place) = queries.waiting.entry(message.id) {
                place.insert((query.clone(), sender));
                message.metadata.recursion_desired = true;
                message.add_query(query.clone());
                let mut edns = Edns::new();
                edns.set_max_payload(PAYLOAD);
                message.set_edns(edns);
                return message;
            }
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.port.queries.lock().waiting.remove(&self.id);
    }
}

/// Receives replies and hands them to their queries.
async fn receive(socket: Arc<UdpSocket>, queries: Arc<Mutex<Queries>>) {
    let mut buffer = [0; MOST_BYTES];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                if let Some(bytes) = buffer.get(..length) {
                    hand_over(bytes, &queries);
                }
            }
            // Nobody listens there at the moment; the query is repeated.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return queries.lock().waiting.clear(),
        }
    }
}

/// Hands a reply to the query that has its id and its question. What is no reply ends the query with that id.
fn hand_over(bytes: &[u8], queries: &Mutex<Queries>) {
    let Some(id) = bytes.first_chunk() else {
        return;
    };
    let mut queries = queries.lock();
    let Entry::Occupied(place) = queries.waiting.entry(u16::from_be_bytes(*id)) else {
        return;
    };
    let Ok(response) = DnsResponse::from_buffer(bytes.to_vec()) else {
        place.remove();
        return;
    };
    if *response.queries == [place.get().0.clone()] {
        // A query that has gone away does not need it.
        drop(place.remove().1.send(response));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hickory_resolver::proto::op::ResponseCode;
    use hickory_resolver::proto::rr::{Name, RecordType};

    use super::*;

    /// How long a test waits for a reply at most.
    const PATIENCE: Duration = Duration::from_secs(5);

    async fn name_server() -> (UdpSocket, Arc<Udp>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let udp = Udp::new(socket.local_addr().unwrap());
        (socket, Arc::new(udp))
    }

    fn question(number: usize) -> Query {
        let name = Name::from_ascii(format!("{number}.example.")).unwrap();
        Query::query(name, RecordType::A)
    }

    /// The next query, and where it is from.
    async fn next(server: &UdpSocket) -> (Message, SocketAddr) {
        let mut buffer = [0; 512];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        (Message::from_vec(&buffer[..length]).unwrap(), from)
    }

    /// The denial of a query.
    fn denial(query: Message) -> Message {
        let mut denial = query.into_response();
        denial.metadata.response_code = ResponseCode::NXDomain;
        denial
    }

    async fn send(server: &UdpSocket, message: &Message, to: SocketAddr) {
        let bytes = message.to_vec().unwrap();
        server.send_to(&bytes, to).await.unwrap();
    }

    /// Asks this many questions at once, and says from which ports they came.
    async fn ports_of(server: &UdpSocket, udp: &Arc<Udp>, questions: usize) -> HashSet<u16> {
        let asking: Vec<_> = (0..questions)
            .map(|number| {
                let udp = Arc::clone(udp);
                tokio::spawn(async move { udp.ask(&question(number), PATIENCE).await })
            })
            .collect();
        let mut queries = Vec::new();
        while queries.len() < questions {
            queries.push(next(server).await);
        }
        let ports = queries.iter().map(|(_, from)| from.port()).collect();
        // The last one first: each reply finds its query.
        for (query, from) in queries.into_iter().rev() {
            send(server, &denial(query), from).await;
        }
        for (number, asked) in asking.into_iter().enumerate() {
            let response = asked.await.unwrap().unwrap();
            assert_eq!(*response.queries, [question(number)]);
        }
        ports
    }

    #[tokio::test]
    async fn queries_at_once_share_a_port_and_the_next_has_another() {
        let (server, udp) = name_server().await;
        let first = ports_of(&server, &udp, 3).await;
        assert_eq!(first.len(), 1, "{first:?}");
        assert!(udp.newest.lock().upgrade().is_none(), "still open");
        // The system may draw the same port twice, but hardly five times.
        let mut all = first.clone();
        for _ in 0..5 {
            all.extend(ports_of(&server, &udp, 1).await);
        }
        assert!(all.len() > 1, "{all:?}");
    }

    #[tokio::test]
    async fn a_port_is_shared_by_a_bounded_number_of_queries() {
        for (questions, want) in [(MOST_SHARED, 1), (MOST_SHARED + 1, 2)] {
            let (server, udp) = name_server().await;
            let ports = ports_of(&server, &udp, questions).await;
            assert_eq!(ports.len(), want, "{questions}");
        }
    }

    #[tokio::test]
    async fn a_reply_counts_only_with_the_id_and_the_question_of_a_query_from_the_name_server() {
        let (server, udp) = name_server().await;
        let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let asking = tokio::spawn(async move { udp.ask(&question(0), PATIENCE).await });
        let (query, from) = next(&server).await;
        let real = denial(query);
        let mut forged = real.clone();
        forged.metadata.response_code = ResponseCode::Refused;
        let (mut other_id, mut other_question) = (forged.clone(), forged.clone());
        other_id.metadata.id ^= 1;
        other_question.queries = vec![question(1)];
        send(&server, &other_id, from).await;
        send(&server, &other_question, from).await;
        send(&stranger, &forged, from).await;
        server.send_to(b"x", from).await.unwrap();
        assert!(!asking.is_finished());
        send(&server, &real, from).await;
        let response = asking.await.unwrap().unwrap();
        assert_eq!(response.response_code, ResponseCode::NXDomain);
    }

    #[tokio::test]
    async fn what_is_no_reply_ends_the_query() {
        let (server, udp) = name_server().await;
        let asking = tokio::spawn(async move { udp.ask(&question(0), PATIENCE).await });
        let (query, from) = next(&server).await;
        send(&server, &query, from).await;
        assert!(asking.await.unwrap().is_none());
    }
}

//! The DNS resolver, with `hickory-resolver`.
//!
//! Name servers are queried in order, as by the system's resolver: the next one if a server replies with an error or
//! has not replied for a while. The first reply counts.

use std::future::ready;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::{Server, ServerReply};
use super::spf::{Data, Evaluator, Failed, Kind, Names, Random, Records, Waiting};
use super::{Answer, Resolver, Resolving};
use crate::policy::{Finding, Lookup};
use crate::types::{DNS_PORT, ReplyText};

/// The file with the system's name servers.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Maximum number of name servers of resolv.conf, as in resolv.conf(5).
pub(super) const MOST_SERVERS: usize = 3;

/// Time without a reply after which the next name server is queried too.
const STAGGER: Duration = Duration::from_millis(500);

/// Maximum number of addresses read from a reply: more than any list has for a client.
const MOST_ADDRESSES: usize = 64;

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// resolv.conf cannot be read.
    #[error("{RESOLV_CONF}: {0}")]
    File(io::Error),
    /// resolv.conf has no usable name server.
    #[error("{RESOLV_CONF}: no name server")]
    Empty,
    /// The resolver itself.
    #[error(transparent)]
    Resolver(#[from] NetError),
}

/// DNS. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dns {
    /// In the order of queries.
    servers: Arc<[Server]>,
    evaluator: Arc<Evaluator>,
}

impl Dns {
    /// These name servers, in this order. SPF chooses addresses with `random`.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when there are none, or no resolver can be created.
    pub fn new(servers: &[SocketAddr], random: Random) -> Result<Self, ResolverError> {
        if servers.is_empty() {
            return Err(ResolverError::Empty);
        }
        let servers = servers.iter().copied().map(Server::new);
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            evaluator: Arc::new(Evaluator::new(random)),
        })
    }

    /// The name server on this machine, the default without an entry in resolv.conf (resolv.conf(5)).
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when no resolver can be created.
    pub fn local(random: Random) -> Result<Self, ResolverError> {
        Self::at(
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT),
            random,
        )
    }

    /// One name server.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when no resolver can be created.
    pub fn at(server: SocketAddr, random: Random) -> Result<Self, ResolverError> {
        Self::new(&[server], random)
    }
}

/// The name servers of a resolv.conf. Its other lines do not matter, because all names are absolute.
#[derive(Debug, Default)]
pub struct NameServers {
    /// At most the first three, as in resolv.conf(5).
    pub servers: Vec<SocketAddr>,
    /// Values of `nameserver` before the third server that are not usable: not an address, or one with a scope.
    pub ignored: Vec<String>,
}

impl NameServers {
    /// Those of the current /etc/resolv.conf.
    ///
    /// # Errors
    ///
    /// [`ResolverError::File`] when the file cannot be read.
    pub fn of_system() -> Result<Self, ResolverError> {
        let text = std::fs::read(Path::new(RESOLV_CONF)).map_err(ResolverError::File)?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some("nameserver"), Some(word)) = (words.next(), words.next()) else {
                continue;
            };
            if found.servers.len() >= MOST_SERVERS {
                break;
            }
            match word.parse::<IpAddr>() {
                Ok(address) => found.servers.push(SocketAddr::new(address, DNS_PORT)),
                Err(_) => found.ignored.push(word.to_owned()),
            }
        }
        found
    }
}

impl Resolver for Dns {
    fn resolve(&self, lookup: &Lookup) -> Resolving {
        let dns = self.clone();
        match lookup.clone() {
            Lookup::DnsList(zone, client) => {
                Box::pin(async move { dns.ask_list(&zone.name(client), RecordType::A).await })
            }
            Lookup::DnsListText(zone, client) => {
                Box::pin(async move { dns.ask_list(&zone.name(client), RecordType::TXT).await })
            }
            Lookup::Spf(question) => {
                Box::pin(async move { dns.evaluator.evaluate(&question, &dns).await })
            }
            Lookup::SenderMx(question, bits) => Box::pin(async move {
                let evaluator = &dns.evaluator;
                evaluator.is_near_mx(&question, bits, &dns).await
            }),
            // It is not in DNS.
            Lookup::Score | Lookup::BodyText(_) => Box::pin(ready(Answer::SILENT)),
        }
    }
}

impl Dns {
    /// Queries a DNS list.
    async fn ask_list(&self, name: &str, kind: RecordType) -> Answer {
        let Some(reply) = self.ask(name, kind).await else {
            return Answer::SILENT;
        };
        Answer {
            finding: finding(&reply.records, kind),
            lifetime: reply.lifetime,
            is_silent: false,
        }
    }

    /// Asks one name server after the other until one has replied; `None` if none has, or DNS cannot have the name.
    async fn ask(&self, name: &str, kind: RecordType) -> Option<ServerReply> {
        // Labels of any bytes: macros of SPF may make names that hickory does not read from a text. No search domain is
        // tried.
        let labels = name.strip_suffix('.').unwrap_or(name).split('.');
        let name = Name::from_labels(labels.map(str::as_bytes)).ok()?;
        ask_all(self.servers.iter().cloned(), name, kind).await
    }
}

impl Names for Dns {
    fn find<'a>(&'a self, name: &'a str, kind: Kind) -> Waiting<'a> {
        let of_kind = match kind {
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
            Kind::Mx => RecordType::MX,
            Kind::Txt => RecordType::TXT,
            Kind::Ptr => RecordType::PTR,
        };
        Box::pin(async move {
            let reply = self.ask(name, of_kind).await.ok_or(Failed)?;
            let mut records = reply.records;
            records.sort_by_key(preference);
            let of_kind = records
                .iter()
                .filter(|record| record.record_type() == of_kind);
            Ok(Records {
                data: of_kind.filter_map(data).collect(),
                lifetime: reply.lifetime,
            })
        })
    }
}

/// Asks one name server after the other until one has replied; `None` if none has.
async fn ask_all(
    mut waiting: impl ExactSizeIterator<Item = Server>,
    name: Name,
    kind: RecordType,
) -> Option<ServerReply> {
    if waiting.len() == 1 {
        return waiting.next()?.ask(name, kind).await;
    }
    let mut running = JoinSet::new();
    loop {
        if let Some(server) = waiting.next() {
            running.spawn(server.ask(name.clone(), kind));
        } else if running.is_empty() {
            return None;
        }
        let replied = if waiting.len() > 0 {
            timeout(STAGGER, running.join_next()).await.unwrap_or(None)
        } else {
            running.join_next().await
        };
        if let Some(Ok(Some(reply))) = replied {
            return Some(reply);
        }
    }
}

/// What the records of a reply of a list say.
fn finding(records: &[Record], kind: RecordType) -> Finding {
    if records.is_empty() {
        return Finding::Absent;
    }
    if kind == RecordType::TXT {
        let text = records.iter().find_map(text);
        return text.map_or(Finding::Absent, Finding::Text);
    }
    let addresses = records.iter().filter_map(address);
    Finding::Addresses(addresses.take(MOST_ADDRESSES).collect())
}

/// The text of a record, if it has one.
fn text(record: &Record) -> Option<ReplyText> {
    let RData::TXT(text) = &record.data else {
        return None;
    };
    ReplyText::foreign(&text.txt_data.concat())
}

/// The preference of an MX record.
fn preference(record: &Record) -> Option<u16> {
    if let RData::MX(mx) = &record.data {
        Some(mx.preference)
    } else {
        None
    }
}

/// A record as SPF sees it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "SPF asks for no other kinds of the many that there are"
)]
fn data(record: &Record) -> Option<Data> {
    match &record.data {
        RData::A(address) => Some(Data::Address(address.0.into())),
        RData::AAAA(address) => Some(Data::Address(address.0.into())),
        RData::MX(mx) => Some(Data::Name(mx.exchange.to_ascii())),
        RData::PTR(name) => Some(Data::Name(name.0.to_ascii())),
        RData::TXT(text) => {
            let bytes = text.txt_data.concat();
            Some(Data::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => None,
    }
}

/// The address of a record, if it is in 127.0.0.0/8.
fn address(record: &Record) -> Option<Ipv4Addr> {
    if let RData::A(address) = &record.data
        && address.0.is_loopback()
    {
        Some(address.0)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, UdpSocket};
    use std::thread;

    use super::*;
    use crate::lookup::tests::listed;

    /// How a name server of the tests behaves.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Manners {
        /// Says that the client is listed.
        Lists,
        /// Says that there is no such name.
        Denies,
        /// Refuses to reply (RFC 1035, 4.1.1: code 5).
        Refuses,
        /// Says nothing.
        Silent,
        /// Says over TCP that the client is listed, and over UDP that this is too long.
        Truncates,
        /// Says that the name is an alias of one with an address.
        Aliases,
    }

    /// Starts a name server. It ends with the test program.
    fn start(manners: Manners) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).unwrap();
                let reply = reply(&query, Manners::Lists).unwrap();
                let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length, &reply[..]].concat()).unwrap();
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(reply) = reply(&buffer[..length], manners) {
                    socket.send_to(&reply, from).unwrap();
                }
            }
        });
        address
    }

    /// The reply to a query: its header and question, and perhaps an address.
    fn reply(query: &[u8], manners: Manners) -> Option<Vec<u8>> {
        let (flags, code, answers) = match manners {
            Manners::Lists => (0x81, 0, 1),
            Manners::Denies => (0x81, 3, 0),
            Manners::Refuses => (0x81, 5, 0),
            Manners::Truncates => (0x83, 0, 0),
            Manners::Aliases => (0x81, 0, 2),
            Manners::Silent => return None,
        };
        let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
        let mut reply = query[..12 + name + 5].to_vec();
        reply[2..12].copy_from_slice(&[flags, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
        if manners == Manners::Aliases {
            // The name of the question, CNAME, IN, 300 seconds, four bytes: x below the zone of the first label.
            let alias = [1, b'x', 0xc0, 13 + query[12]];
            reply.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 4]);
            // That name, A, IN, 300 seconds, four bytes.
            reply.extend([alias, alias].concat());
            reply.extend([0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 2]);
        } else if answers > 0 {
            // The name of the question, A, IN, 300 seconds, four bytes.
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 2]);
        }
        Some(reply)
    }

    #[tokio::test]
    async fn the_first_name_server_that_replies_counts_and_an_error_is_no_reply() {
        use Manners::{Aliases, Denies, Lists, Refuses, Silent, Truncates};
        let listing = || Finding::Addresses([[127, 0, 0, 2].into()].into());
        let cases: [(&[Manners], Finding); 8] = [
            (&[Lists], listing()),
            (&[Denies, Lists], Finding::Absent),
            (&[Refuses, Lists], listing()),
            (&[Silent, Lists], listing()),
            (&[Silent, Refuses, Denies], Finding::Absent),
            (&[Refuses, Refuses], Finding::NoAnswer),
            (&[Truncates], listing()),
            (&[Aliases], listing()),
        ];
        for (servers, want) in cases {
            let addresses: Vec<SocketAddr> = servers.iter().copied().map(start).collect();
            let dns = Dns::new(&addresses, || None).unwrap();
            let answer = dns.resolve(&listed(7)).await;
            assert_eq!(answer.finding, want, "{servers:?}");
        }
    }

    #[test]
    fn name_servers_are_read_from_resolv_conf_whatever_else_is_in_it() {
        let text = "# nameserver 192.0.2.9\n; x\nsearch a..b\nnameserver 192.0.2.1\n\
                    options edns0 rotate\nnameserver\t2001:db8::1 # here\n nameserver fe80::1%eth0\n\
                    nameserver\nnameserver x\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let found = NameServers::parse(text);
        let servers: Vec<String> = found.servers.iter().map(ToString::to_string).collect();
        assert_eq!(
            servers,
            ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]
        );
        assert_eq!(found.ignored, ["fe80::1%eth0", "x"]);
        assert!(NameServers::parse("").servers.is_empty());
    }
}

//! The resolver: DNS, asked by `hickory-resolver`.
//!
//! Name servers are asked in their order, as the system's resolver does: the next one when one replies with an error,
//! or has not replied for a while. A reply of any of them counts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Answer, Resolver, Resolving};
use crate::policy::{Finding, Lookup};
use crate::types::{DNS_PORT, ReplyText};

/// Where the system's name servers are.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Most name servers of resolv.conf, as in resolv.conf(5).
pub(super) const MOST_SERVERS: usize = 3;

/// The shortest lifetime of a reply, as postscreen's `postscreen_dnsbl_min_ttl`.
const LEAST_LIFETIME: Duration = Duration::from_secs(60);

/// How long a query waits for a name server; within it hickory repeats the query. A lookup ends a little later.
const QUERY_TIMEOUT: Duration = Duration::from_millis(4_900);

/// After how much silence the next name server is asked too.
const STAGGER: Duration = Duration::from_millis(500);

/// Most addresses of a reply that are looked at: more than any list has for a client.
const MOST_ADDRESSES: usize = 64;

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// resolv.conf cannot be read.
    #[error("{RESOLV_CONF}: {0}")]
    File(io::Error),
    /// resolv.conf names no name server that can be asked.
    #[error("{RESOLV_CONF}: no name server")]
    Empty,
    /// The resolver itself.
    #[error(transparent)]
    Resolver(#[from] NetError),
}

/// DNS.
#[derive(Debug)]
pub struct Dns {
    /// One for each name server, in their order.
    servers: Vec<TokioResolver>,
}

impl Dns {
    /// The name servers of /etc/resolv.conf, as it is now.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when the file cannot be read, or names none.
    pub fn from_system() -> Result<Self, ResolverError> {
        let text = std::fs::read(Path::new(RESOLV_CONF)).map_err(ResolverError::File)?;
        let servers = name_servers(&String::from_utf8_lossy(&text));
        if servers.is_empty() {
            return Err(ResolverError::Empty);
        }
        Self::new(&servers)
    }

    /// The name server of this machine, which is asked where resolv.conf names none (resolv.conf(5)).
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when no resolver can be made.
    pub fn local() -> Result<Self, ResolverError> {
        Self::at(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT))
    }

    /// One name server.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when no resolver can be made.
    pub fn at(server: SocketAddr) -> Result<Self, ResolverError> {
        Self::new(&[server])
    }

    fn new(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let servers = servers.iter().map(|server| resolver(*server));
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
        })
    }
}

/// The name servers that a resolv.conf names. Nothing else in it matters: no name is completed.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let words = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    let servers = words.filter_map(|word| {
        let address = word.parse::<IpAddr>().ok();
        if address.is_none() {
            log::warn!(
                "{RESOLV_CONF}: nameserver {word:?} is not an IP address without a scope; ignoring"
            );
        }
        Some(SocketAddr::new(address?, DNS_PORT))
    });
    servers.take(MOST_SERVERS).collect()
}

/// The resolver that asks one name server.
fn resolver(server: SocketAddr) -> Result<TokioResolver, NetError> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    set(builder.options_mut());
    builder.build()
}

fn set(options: &mut ResolverOpts) {
    options.timeout = QUERY_TIMEOUT;
    // How often hickory repeats the whole after the timeout.
    options.attempts = 0;
    // Findings have their own cache; hickory's would keep whole messages.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
}

impl Resolver for Dns {
    fn resolve(&self, lookup: &Lookup) -> Resolving {
        let servers = self.servers.clone();
        let (name, kind) = match lookup {
            Lookup::DnsList(zone, client) => (zone.name(*client), RecordType::A),
            Lookup::DnsListText(zone, client) => (zone.name(*client), RecordType::TXT),
            Lookup::Spf(_) => return Box::pin(async { Answer::SILENT }),
        };
        Box::pin(async move {
            // The name ends with a dot: no search domain is tried.
            match Name::from_ascii(&name) {
                Ok(name) => ask_all(servers, name, kind).await.unwrap_or(Answer::SILENT),
                Err(_) => Answer::SILENT,
            }
        })
    }
}

/// Asks one name server after the other until one has replied; `None` if none has.
async fn ask_all(servers: Vec<TokioResolver>, name: Name, kind: RecordType) -> Option<Answer> {
    let mut waiting = servers.into_iter();
    let mut running = JoinSet::new();
    loop {
        if let Some(server) = waiting.next() {
            running.spawn(ask(server, name.clone(), kind));
        } else if running.is_empty() {
            return None;
        }
        let replied = if waiting.len() > 0 {
            timeout(STAGGER, running.join_next()).await.unwrap_or(None)
        } else {
            running.join_next().await
        };
        if let Some(Ok(Some(answer))) = replied {
            return Some(answer);
        }
    }
}

/// Asks a name server; `None` if it has not replied, or with an error.
async fn ask(server: TokioResolver, name: Name, kind: RecordType) -> Option<Answer> {
    match server.lookup(name, kind).await {
        Ok(found) => {
            let until = Instant::from_std(found.valid_until());
            Some(Answer {
                finding: finding(found.answers(), kind),
                lifetime: until
                    .saturating_duration_since(Instant::now())
                    .max(LEAST_LIFETIME),
            })
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let code = nothing.response_code;
            let seconds = nothing.negative_ttl.unwrap_or_default();
            (code == ResponseCode::NXDomain || code == ResponseCode::NoError).then(|| Answer {
                finding: Finding::Absent,
                lifetime: Duration::from_secs(seconds.into()).max(LEAST_LIFETIME),
            })
        }
        Err(_) => None,
    }
}

/// What the records of a reply say.
fn finding(records: &[Record], kind: RecordType) -> Finding {
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

/// The address of a record, if it is one that a list may answer with.
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
    use std::net::UdpSocket;
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
    }

    /// Starts a name server. It ends with the test program.
    fn start(manners: Manners) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
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
        let (code, answers) = match manners {
            Manners::Lists => (0, 1),
            Manners::Denies => (3, 0),
            Manners::Refuses => (5, 0),
            Manners::Silent => return None,
        };
        let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
        let mut reply = query[..12 + name + 5].to_vec();
        reply[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
        if answers > 0 {
            // The name of the question, A, IN, 300 seconds, four bytes.
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 2]);
        }
        Some(reply)
    }

    #[tokio::test]
    async fn the_first_name_server_that_replies_counts_and_an_error_is_no_reply() {
        use Manners::{Denies, Lists, Refuses, Silent};
        let listing = || Finding::Addresses([[127, 0, 0, 2].into()].into());
        let cases: [(&[Manners], Finding); 6] = [
            (&[Lists], listing()),
            (&[Denies, Lists], Finding::Absent),
            (&[Refuses, Lists], listing()),
            (&[Silent, Lists], listing()),
            (&[Silent, Refuses, Denies], Finding::Absent),
            (&[Refuses, Refuses], Finding::NoAnswer),
        ];
        for (servers, want) in cases {
            let addresses: Vec<SocketAddr> = servers.iter().copied().map(start).collect();
            let dns = Dns::new(&addresses).unwrap();
            let answer = dns.resolve(&listed(7)).await;
            assert_eq!(answer.finding, want, "{servers:?}");
        }
    }

    #[test]
    fn name_servers_are_read_from_resolv_conf_whatever_else_is_in_it() {
        let text = "# nameserver 192.0.2.9\n; x\nsearch a..b\nnameserver 192.0.2.1\n\
                    options edns0 rotate\nnameserver\t2001:db8::1 # here\n nameserver fe80::1%eth0\n\
                    nameserver\nnameserver x\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let got: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(got, ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]);
        assert!(name_servers("").is_empty());
    }
}

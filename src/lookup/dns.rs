//! The resolver: DNS, asked by `hickory-resolver`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{TokioResolver, system_conf};
use tokio::time::Instant;

use super::{Answer, Resolver, Resolving};
use crate::policy::{Finding, Lookup};

/// The shortest lifetime of a finding, as postscreen's `postscreen_dnsbl_min_ttl`.
const LEAST_LIFETIME: Duration = Duration::from_secs(60);

/// How long a query waits for a name server. It is sent twice.
const QUERY_TIMEOUT: Duration = Duration::from_millis(900);

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
#[error("no name server: {0}")]
pub struct ResolverError(#[from] NetError);

/// DNS.
#[derive(Debug)]
pub struct Dns(TokioResolver);

impl Dns {
    /// The name servers of /etc/resolv.conf, as it is now.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or names none.
    pub fn from_system() -> Result<Self, ResolverError> {
        let (config, _) = system_conf::read_system_conf()?;
        Self::new(config)
    }

    /// One name server.
    ///
    /// # Errors
    ///
    /// When no resolver can be made.
    pub fn at(server: SocketAddr) -> Result<Self, ResolverError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|connection| {
            let mut connection = connection;
            connection.port = server.port();
            connection
        });
        let server = NameServerConfig::new(server.ip(), true, connections.into());
        Self::new(ResolverConfig::from_parts(None, Vec::new(), vec![server]))
    }

    fn new(config: ResolverConfig) -> Result<Self, ResolverError> {
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        set(builder.options_mut());
        Ok(Self(builder.build()?))
    }
}

/// What resolv.conf does not decide.
fn set(options: &mut ResolverOpts) {
    options.timeout = QUERY_TIMEOUT;
    options.attempts = 1;
    // The answers have a cache of ours; hickory's would keep whole messages.
    options.cache_size = 32;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
}

impl Resolver for Dns {
    fn resolve(&self, lookup: &Lookup) -> Resolving {
        let resolver = self.0.clone();
        let Lookup::DnsList(zone, client) = lookup;
        let name = zone.name(*client);
        Box::pin(async move {
            // The name ends with a dot: no search domain is tried.
            let Ok(name) = Name::from_ascii(&name) else {
                return silent();
            };
            match resolver.lookup(name, RecordType::A).await {
                Ok(found) => {
                    let addresses: Vec<Ipv4Addr> = found
                        .answers()
                        .iter()
                        .filter_map(|record| {
                            if let RData::A(address) = &record.data {
                                Some(address.0)
                            } else {
                                None
                            }
                        })
                        .collect();
                    let until = Instant::from_std(found.valid_until());
                    Answer {
                        finding: Finding::Addresses(addresses.into()),
                        lifetime: until
                            .saturating_duration_since(Instant::now())
                            .max(LEAST_LIFETIME),
                    }
                }
                Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                    let seconds = nothing.negative_ttl.unwrap_or_default();
                    Answer {
                        finding: Finding::Absent,
                        lifetime: Duration::from_secs(seconds.into()).max(LEAST_LIFETIME),
                    }
                }
                Err(_) => silent(),
            }
        })
    }
}

fn silent() -> Answer {
    Answer {
        finding: Finding::NoAnswer,
        lifetime: Duration::ZERO,
    }
}

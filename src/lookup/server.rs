//! One name server.
//!
//! A query goes over UDP without hickory's resolver, which takes more processor time for each. A reply that is truncated,
//! or has an alias in it, is left to the resolver, which queries again over TCP or for other names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::time::Instant;

use super::udp::Udp;

/// Minimum lifetime of a reply in the cache, as postscreen's `postscreen_dnsbl_min_ttl`.
const LEAST_LIFETIME: Duration = Duration::from_secs(60);

/// How long a query waits for a name server. A lookup ends a little later.
const QUERY_TIMEOUT: Duration = Duration::from_millis(4_900);

/// A name server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Server {
    udp: Arc<Udp>,
    /// Asks this server alone.
    resolver: TokioResolver,
}

/// The reply of a name server: the records, which are empty if there is no such name or record type.
pub(super) struct ServerReply {
    pub(super) records: Vec<Record>,
    pub(super) lifetime: Duration,
}

impl ServerReply {
    /// A reply with a lifetime of at least a minute.
    fn new(records: Vec<Record>, lifetime: Duration) -> Self {
        Self {
            records,
            lifetime: lifetime.max(LEAST_LIFETIME),
        }
    }

    /// A reply without records. Its lifetime in seconds is set by the name server.
    fn empty(seconds: Option<u32>) -> Self {
        let seconds = seconds.unwrap_or_default();
        Self::new(Vec::new(), Duration::from_secs(seconds.into()))
    }
}

impl Server {
    /// The name server with this address.
    pub(super) fn new(address: SocketAddr) -> Result<Self, NetError> {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
        let server = NameServerConfig::new(address.ip(), true, connections.into());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        set(builder.options_mut());
        let resolver = builder.build()?;
        let udp = Arc::new(Udp::new(address));
        Ok(Self { udp, resolver })
    }

    /// Queries it; `None` without a reply, or with an error.
    pub(super) async fn ask(self, name: Name, kind: RecordType) -> Option<ServerReply> {
        let query = Query::query(name.clone(), kind);
        let response = self.udp.ask(&query, QUERY_TIMEOUT).await?;
        if is_complete(&response, &name, kind) {
            read(&response)
        } else {
            // On the heap, because it is rare and large.
            Box::pin(self.resolve(name, kind)).await
        }
    }

    /// Queries it through the resolver.
    async fn resolve(&self, name: Name, kind: RecordType) -> Option<ServerReply> {
        match self.resolver.lookup(name, kind).await {
            Ok(found) => {
                let until = Instant::from_std(found.valid_until());
                let lifetime = until.saturating_duration_since(Instant::now());
                Some(ServerReply::new(found.answers().to_vec(), lifetime))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                is_success(nothing.response_code).then(|| ServerReply::empty(nothing.negative_ttl))
            }
            Err(_) => None,
        }
    }
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

/// Whether a reply has all requested records, and no others.
fn is_complete(response: &DnsResponse, name: &Name, kind: RecordType) -> bool {
    let is_asked = |record: &Record| record.name == *name && record.record_type() == kind;
    !response.truncation && response.answers.iter().all(is_asked)
}

/// What a complete reply says; `None` if it is an error.
fn read(response: &DnsResponse) -> Option<ServerReply> {
    if !is_success(response.response_code) {
        return None;
    }
    let seconds = response.answers.iter().map(|record| record.ttl).min();
    Some(match seconds {
        Some(seconds) => ServerReply::new(
            response.answers.clone(),
            Duration::from_secs(seconds.into()),
        ),
        None => ServerReply::empty(response.negative_ttl()),
    })
}

/// Whether a reply with this code counts: the records are there, or there are none.
fn is_success(code: ResponseCode) -> bool {
    code == ResponseCode::NXDomain || code == ResponseCode::NoError
}

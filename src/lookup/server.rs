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

/// The shortest lifetime of a reply, as postscreen's `postscreen_dnsbl_min_ttl`.
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

/// What a name server has replied: the records, none if there is no such name or it has none of the kind.
pub(super) struct Reply {
    pub(super) records: Vec<Record>,
    pub(super) lifetime: Duration,
}

impl Reply {
    /// A reply that is believed for at least a minute.
    fn new(records: Vec<Record>, lifetime: Duration) -> Self {
        Self {
            records,
            lifetime: lifetime.max(LEAST_LIFETIME),
        }
    }

    /// A reply without records. The name server says how many seconds it may be believed.
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

    /// Asks it; `None` if it has not replied, or with an error.
    pub(super) async fn ask(self, name: Name, kind: RecordType) -> Option<Reply> {
        let query = Query::query(name.clone(), kind);
        let response = self.udp.ask(&query, QUERY_TIMEOUT).await?;
        if is_complete(&response, &name, kind) {
            read(&response)
        } else {
            // On the heap, because it is rare and large.
            Box::pin(self.resolve(name, kind)).await
        }
    }

    /// Asks it through the resolver.
    async fn resolve(&self, name: Name, kind: RecordType) -> Option<Reply> {
        match self.resolver.lookup(name, kind).await {
            Ok(found) => {
                let until = Instant::from_std(found.valid_until());
                let lifetime = until.saturating_duration_since(Instant::now());
                Some(Reply::new(found.answers().to_vec(), lifetime))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                is_success(nothing.response_code).then(|| Reply::empty(nothing.negative_ttl))
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

/// Whether a reply has all records that were asked for, and no others.
fn is_complete(response: &DnsResponse, name: &Name, kind: RecordType) -> bool {
    let is_asked = |record: &Record| record.name == *name && record.record_type() == kind;
    !response.truncation && response.answers.iter().all(is_asked)
}

/// What a complete reply says; `None` if it is an error.
fn read(response: &DnsResponse) -> Option<Reply> {
    if !is_success(response.response_code) {
        return None;
    }
    let seconds = response.answers.iter().map(|record| record.ttl).min();
    Some(match seconds {
        Some(seconds) => Reply::new(
            response.answers.clone(),
            Duration::from_secs(seconds.into()),
        ),
        None => Reply::empty(response.negative_ttl()),
    })
}

/// Whether a reply with this code counts: the records are there, or there are none.
fn is_success(code: ResponseCode) -> bool {
    code == ResponseCode::NXDomain || code == ResponseCode::NoError
}

//! The resolver that the options and resolv.conf name.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::LookupSettings;
use crate::lookup::{Dns, Lookups};

/// The name server where resolv.conf names none, as in resolv.conf(5).
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// Lookups by the name servers as they are now; nothing is read if there is nothing to look up.
pub(super) fn new(settings: &LookupSettings) -> Lookups {
    if settings.dns_lists.is_empty() {
        return Lookups::none();
    }
    let dns = match settings.resolver {
        Some(server) => Dns::at(server),
        None => Dns::from_system().or_else(|error| {
            log::warn!("{error}; asking {LOCAL} until the next reload");
            Dns::at(LOCAL)
        }),
    };
    match dns {
        Ok(dns) => Lookups::new(dns, Duration::from_secs(settings.timeout.seconds())),
        Err(error) => {
            log::error!("--dnsbl-sites: {error}; no client will be found in a list");
            Lookups::none()
        }
    }
}

//! The resolver that the options and resolv.conf name.

use std::time::Duration;

use crate::config::{self, LookupSettings};
use crate::lookup::{self, Dns, Lookups};

// A request does not wait for a lookup that has ended.
const _: () = assert!(config::MOST_TIMEOUT == lookup::LOOKUP_SECONDS);

/// Lookups by the name servers as they are now. Reads resolv.conf, so it may block, but not if there is nothing to look
/// up.
pub(super) fn new(settings: &LookupSettings) -> Lookups {
    if settings.dns_lists.is_empty() {
        return Lookups::none();
    }
    let dns = match settings.resolver {
        Some(server) => Dns::at(server),
        None => Dns::from_system().or_else(|error| {
            log::warn!("{error}; asking this machine's name server until the next reload");
            Dns::local()
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

//! The resolver that the options and resolv.conf name.

use std::time::Duration;

use crate::config::{self, LookupSettings};
use crate::lookup::{self, Dns, Lookups, NameServers, RESOLV_CONF, ResolverError};

// A request does not wait for a lookup that has ended.
const _: () = assert!(config::MOST_TIMEOUT == lookup::LOOKUP_SECONDS);

/// Lookups by the name servers as they are now. Reads resolv.conf, so it may block, but not if there is nothing to look
/// up.
pub(super) fn new(settings: &LookupSettings) -> Lookups {
    if !settings.is_used() {
        return Lookups::none();
    }
    let dns = match settings.resolver {
        Some(server) => Dns::at(server, random),
        None => of_system().or_else(|error| {
            log::warn!("{error}; asking this machine's name server until the next reload");
            Dns::local(random)
        }),
    };
    match dns {
        Ok(dns) => Lookups::new(dns, Duration::from_secs(settings.timeout.seconds())),
        Err(error) => {
            log::error!("DNS: {error}; no client will be found in a list, and SPF will not pass");
            Lookups::none()
        }
    }
}

/// The name servers of resolv.conf.
fn of_system() -> Result<Dns, ResolverError> {
    let NameServers { servers, ignored } = NameServers::of_system()?;
    for word in ignored {
        log::warn!(
            "{RESOLV_CONF}: nameserver {word:?} is not an IP address without a scope; ignoring"
        );
    }
    Dns::new(&servers, random)
}

/// Random bits of the system.
fn random() -> Option<u128> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Some(u128::from_ne_bytes(bytes)),
        Err(error) => {
            log::warn!("no random numbers, so no SPF result counts as a pass: {error}");
            None
        }
    }
}

//! The source of scores that the options and the file of access lists name.

use std::time::Duration;

use crate::config::{Endpoint, LoadedConf, SPAMD_SECONDS, SpamSettings, SpamSource};
use crate::lookup::spamd::{Settings, Spamd, SpamdAddress};
use crate::service::SpamFilter;

/// The source, if there is one: that of an option, else spamd as the file says.
pub(super) fn filter(settings: &SpamSettings, conf: Option<&LoadedConf>) -> Option<SpamFilter> {
    let of_file = || conf?.spamd.clone().map(SpamSource::Spamd);
    let address = match settings.source.clone().or_else(of_file)? {
        SpamSource::Header(name) => return Some(SpamFilter::Header(name)),
        SpamSource::Spamd(Endpoint::Unix(path)) => SpamdAddress::Unix(path),
        SpamSource::Spamd(Endpoint::Inet(host, port)) => SpamdAddress::Inet(host, port),
        SpamSource::Spamd(Endpoint::Localhost(port) | Endpoint::Everywhere(port)) => {
            SpamdAddress::Inet("localhost".to_owned(), port)
        }
    };
    Some(SpamFilter::Spamd(Spamd::new(Settings {
        address,
        timeout: Duration::from_secs(SPAMD_SECONDS),
        most_size: u64::try_from(settings.max_size).unwrap_or(u64::MAX),
    })))
}

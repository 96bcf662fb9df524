//! Options of DNS lookups: DNS lists, the name server, the timeout.

use std::net::{IpAddr, SocketAddr};

use super::diagnostic::Diagnostics;
use super::options::Options;
use super::value;
use crate::policy::{DnsLists, MOST_WEIGHT, Params, SpfUse, Thresholds, Unmatched};
use crate::types::{DNS_PORT, Span};

/// Default of `--lookup-timeout`, in seconds.
const TIMEOUT: u64 = 2;

/// Maximum of `--lookup-timeout`, in seconds: no lookup takes longer.
pub const MOST_TIMEOUT: u64 = 5;

/// The settings of DNS lookups.
#[derive(Debug, Clone)]
pub struct LookupSettings {
    /// The DNS lists; empty if there are none.
    pub dns_lists: DnsLists,
    /// Whether SPF may be asked.
    pub spf: bool,
    /// Whether there are access lists, which may ask DNS lists and SPF.
    pub rules: bool,
    /// The name server; `None`: those of /etc/resolv.conf.
    pub resolver: Option<SocketAddr>,
    /// How long a request waits for all its lookups together; 1 to 5 seconds.
    pub timeout: Span,
}

impl LookupSettings {
    /// Whether anything is looked up.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        self.spf || self.rules || !self.dns_lists.is_empty()
    }
}

/// Reads the options.
pub(super) fn read(options: &Options, found: &mut Diagnostics) -> LookupSettings {
    let thresholds = thresholds(options, found);
    let lists = DnsLists::parse(&options.dnsbl_sites, thresholds);
    let lists = lists.map_err(|error| error.to_string());
    let timeout = options.lookup_timeout.as_ref().map_or(TIMEOUT, |text| {
        found.take(
            "--lookup-timeout",
            value::number(text, 1, MOST_TIMEOUT),
            TIMEOUT,
        )
    });
    let resolver = options.resolver.as_ref().and_then(|text| {
        let server = name_server(text).map(Some);
        if matches!(server, Ok(Some(SocketAddr::V6(_)))) && !text.starts_with('[') && text.ends_with(":53") {
            found.warn(
                "--resolver",
                format!("{text} is an address without a port; with the port it would be written [ADDRESS]:53"),
            );
        }
        found.take("--resolver", server, None)
    });
    LookupSettings {
        dns_lists: found.take("--dnsbl-sites", lists, DnsLists::default()),
        spf: options.spf || options.spf_excuses || options.greylist_conf.is_some(),
        rules: options.greylist_conf.is_some(),
        resolver,
        timeout: Span::from_seconds(timeout),
    }
}

/// The thresholds.
fn thresholds(options: &Options, found: &mut Diagnostics) -> Thresholds {
    let mut thresholds = Thresholds::default();
    if let Some(text) = &options.dnsbl_threshold {
        let number = value::number(text, 1, MOST_WEIGHT);
        thresholds.suspicious = found.take("--dnsbl-threshold", number, 1);
    }
    if let Some(text) = &options.dnsbl_reject_threshold {
        let number = value::number(text, thresholds.suspicious, MOST_WEIGHT).map(Some);
        thresholds.reject = found.take("--dnsbl-reject-threshold", number, None);
    }
    if let Some(text) = &options.dnsbl_allowlist_threshold {
        let number = value::number(text, -MOST_WEIGHT, -1).map(Some);
        thresholds.allow = found.take("--dnsbl-allowlist-threshold", number, None);
    }
    thresholds
}

/// Warns of options that are valid but without effect.
pub(super) fn warn_of_ineffective(
    options: &Options,
    settings: &LookupSettings,
    params: &Params,
    found: &mut Diagnostics,
) {
    warn_of_spf(options, params, found);
    let lists = &settings.dns_lists;
    if !settings.is_used() {
        let useless = [
            ("--lookup-timeout", options.lookup_timeout.is_some()),
            ("--resolver", options.resolver.is_some()),
        ];
        for (option, _) in useless.into_iter().filter(|(_, is_given)| *is_given) {
            found.warn(
                option,
                "has no effect without --dnsbl-sites or --spf; ignoring",
            );
        }
    }
    if lists.is_empty() {
        if !options.dnsbl_sites.is_empty() {
            found.warn("--dnsbl-sites", "names no list; ignoring");
        }
        let unused = [
            ("--dnsbl-threshold", options.dnsbl_threshold.is_some()),
            (
                "--dnsbl-reject-threshold",
                options.dnsbl_reject_threshold.is_some(),
            ),
            (
                "--dnsbl-allowlist-threshold",
                options.dnsbl_allowlist_threshold.is_some(),
            ),
        ];
        for (option, _) in unused.into_iter().filter(|(_, is_given)| *is_given) {
            found.warn(option, "has no effect without --dnsbl-sites; ignoring");
        }
        return;
    }
    let ((least, greatest), thresholds) = (lists.range(), lists.thresholds());
    let is_suspicious_meant = options.dnsbl_threshold.is_some() || thresholds.allow.is_none();
    if greatest < thresholds.suspicious && is_suspicious_meant {
        found.warn(
            "--dnsbl-threshold",
            "is more than the sum of the positive weights: no client will ever reach it",
        );
    }
    if thresholds.reject.is_some_and(|reject| reject > greatest) {
        found.warn(
            "--dnsbl-reject-threshold",
            "is more than the sum of the positive weights: no client will ever reach it",
        );
    }
    if thresholds.allow.is_some_and(|allow| allow < least) {
        found.warn(
            "--dnsbl-allowlist-threshold",
            "is below the sum of the negative weights: no client will ever reach it",
        );
    }
    let only_greylists = thresholds.allow.is_none() && thresholds.reject.is_none();
    if params.unmatched == Some(Unmatched::Greylist) && only_greylists {
        found.warn(
            "--dnsbl-sites",
            "has no effect with --unmatched=greylist, except in log and counters: clients that are not listed are \
             greylisted too",
        );
    }
}

/// Says what of SPF cannot do what it is meant to.
fn warn_of_spf(options: &Options, params: &Params, found: &mut Diagnostics) {
    if options.spf && params.spf == SpfUse::default() {
        found.warn(
            "--spf",
            "has no effect without --lookup-by-domain or --spf-excuses; ignoring",
        );
    }
    if params.spf.excuses && params.s25r.is_none() {
        found.warn("--spf-excuses", "has no effect without --s25r; ignoring");
    } else if params.spf.excuses && params.unmatched == Some(Unmatched::Greylist) {
        found.warn(
            "--spf-excuses",
            "has no effect with --unmatched=greylist, except in log and counters: clients that are not suspicious are \
             greylisted too",
        );
    }
}

/// A name server: an address, or an address and a port.
fn name_server(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let server = match address {
        Ok(address) if bare.is_none() || address.is_ipv6() => {
            Ok(SocketAddr::new(address, DNS_PORT))
        }
        Ok(_) | Err(_) => text.parse(),
    };
    let is_fit = |server: &SocketAddr| {
        let has_scope = matches!(server, SocketAddr::V6(v6) if v6.scope_id() != 0);
        server.port() > 0 && !has_scope
    };
    let server = server.ok().filter(is_fit);
    server.ok_or_else(|| format!("{text:?} is not an IP address, with or without a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_addresses_with_or_without_a_port() {
        let good = [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ];
        for (text, want) in good {
            assert_eq!(name_server(text).unwrap().to_string(), want, "{text}");
        }
        for text in [
            "",
            "localhost",
            "192.0.2.1:0",
            "192.0.2.1:70000",
            "[192.0.2.1]",
            "[fe80::1%1]:53",
            "::1:x",
        ] {
            assert!(name_server(text).is_err(), "{text}");
        }
    }
}

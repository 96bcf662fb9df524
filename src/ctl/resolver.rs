//! Names and addresses of clients, looked up as Postfix does.
//!
//! A name is verified if the reverse DNS of the address has it and it resolves to this address. Otherwise the name is
//! `unknown`, after a temporary failure too.

use std::net::IpAddr;

use crate::types::ClientIp;

/// The name of a client without a verified one.
pub const UNKNOWN: &str = "unknown";

/// Names to addresses and back.
pub trait Resolver {
    /// The name that an address has.
    fn name(&self, address: IpAddr) -> Option<String>;
    /// The addresses that a name has.
    fn addresses(&self, name: &str) -> Vec<IpAddr>;
}

/// The system's resolver: `/etc/hosts` and the DNS.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Resolver for System {
    fn name(&self, address: IpAddr) -> Option<String> {
        dns_lookup::lookup_addr(&address).ok()
    }

    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let found = dns_lookup::lookup_host(name);
        let mut addresses = found.map_or(Vec::new(), Iterator::collect::<Vec<_>>);
        addresses.dedup();
        addresses
    }
}

/// The verified name of a client, or [`UNKNOWN`].
pub fn verified(address: IpAddr, resolver: &impl Resolver) -> String {
    let name = resolver.name(address).filter(|name| {
        let is_name = name.parse::<IpAddr>().is_err();
        let wanted = ClientIp::new(address);
        is_name
            && resolver
                .addresses(name)
                .into_iter()
                .any(|address| ClientIp::new(address) == wanted)
    });
    match name {
        Some(name) => name.trim_end_matches('.').to_owned(),
        None => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Addresses with their names, names with their addresses.
    pub(in crate::ctl) struct Table(
        pub(in crate::ctl) &'static [(&'static str, &'static str)],
        pub(in crate::ctl) &'static [(&'static str, &'static [&'static str])],
    );

    impl Resolver for Table {
        fn name(&self, address: IpAddr) -> Option<String> {
            let wanted = address.to_string();
            let found = self.0.iter().find(|(address, _)| *address == wanted);
            found.map(|(_, name)| (*name).to_owned())
        }

        fn addresses(&self, name: &str) -> Vec<IpAddr> {
            let found = self.1.iter().find(|(known, _)| *known == name);
            let addresses = found.map_or(&[] as &[&str], |(_, addresses)| addresses);
            addresses.iter().map(|a| a.parse().unwrap()).collect()
        }
    }

    #[test]
    fn only_a_name_that_has_the_address_is_verified() {
        let table = Table(
            &[
                ("192.0.2.1", "mx.example.org"),
                ("192.0.2.2", "forged.example.org"),
                ("192.0.2.3", "nowhere.example.org"),
                ("192.0.2.5", "192.0.2.5"),
                ("192.0.2.6", "dot.example.org."),
            ],
            &[
                ("mx.example.org", &["2001:db8::1", "::ffff:192.0.2.1"]),
                ("forged.example.org", &["192.0.2.1"]),
                ("192.0.2.5", &["192.0.2.5"]),
                ("dot.example.org.", &["192.0.2.6"]),
            ],
        );
        let cases = [
            ("192.0.2.1", "mx.example.org"),
            ("192.0.2.2", UNKNOWN),
            ("192.0.2.3", UNKNOWN),
            ("192.0.2.4", UNKNOWN),
            ("192.0.2.5", UNKNOWN),
            ("192.0.2.6", "dot.example.org"),
        ];
        for (address, want) in cases {
            assert_eq!(
                verified(address.parse().unwrap(), &table),
                want,
                "{address}"
            );
        }
    }
}

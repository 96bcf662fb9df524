//! The client list: host names, networks, expressions.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use ip_network::{IpNetwork, Ipv4Network, Ipv6Network};
use ip_network_table::IpNetworkTable;

use super::{CompiledSets, Entries, Entry, Expressions, TooLarge, first_of, suffixes};
use crate::policy::pattern::ClientPattern;
use crate::types::{ClientIp, Prefix};

/// Clients that are never greylisted.
pub struct ClientList {
    hosts: HashMap<Box<[u8]>, u32>,
    expressions: Expressions,
    networks: IpNetworkTable<u32>,
    entries: Entries,
}

impl ClientList {
    /// A list of these entries, in this order.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the expressions together need too much memory.
    pub fn new(found: Vec<(ClientPattern, Entry)>) -> Result<Self, TooLarge> {
        Self::with_compiled(found, &CompiledSets::default())
    }

    /// The same, where some of the expressions are compiled already.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the others together need too much memory.
    pub fn with_compiled(
        found: Vec<(ClientPattern, Entry)>,
        compiled: &CompiledSets,
    ) -> Result<Self, TooLarge> {
        let mut list = Self::default();
        let mut expressions = Vec::new();
        for (pattern, entry) in found {
            let number = list.entries.push(entry);
            match pattern {
                ClientPattern::Expression(text) => expressions.push((text, number)),
                ClientPattern::Host(name) => {
                    list.hosts.entry(name.into_bytes().into()).or_insert(number);
                }
                ClientPattern::Network(prefix) => {
                    let Some(network) = table_key(prefix) else {
                        continue;
                    };
                    if list.networks.exact_match(network).is_none() {
                        list.networks.insert(network, number);
                    }
                }
            }
        }
        list.expressions = Expressions::new(&expressions, compiled)?;
        Ok(list)
    }

    /// The entry that matches this client: the first by name, else the narrowest network.
    #[must_use]
    pub fn find(&self, name: &[u8], address: ClientIp) -> Option<u32> {
        self.find_name(name).or_else(|| {
            let (_, entry) = self.networks.longest_match(address.address())?;
            Some(*entry)
        })
    }

    /// The entries.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.entries
    }

    fn find_name(&self, name: &[u8]) -> Option<u32> {
        let host = if self.hosts.is_empty() {
            None
        } else {
            let name = name.to_ascii_lowercase();
            std::iter::once(name.as_slice())
                .chain(suffixes(&name, b"."))
                .filter_map(|suffix| self.hosts.get(suffix).copied())
                .min()
        };
        first_of(host, self.expressions.find(name))
    }
}

impl Default for ClientList {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            expressions: Expressions::default(),
            networks: IpNetworkTable::new(),
            entries: Entries::default(),
        }
    }
}

impl fmt::Debug for ClientList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientList")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// The prefix in the table's type; always `Some`, because a [`Prefix`] is masked.
fn table_key(prefix: Prefix) -> Option<IpNetwork> {
    match prefix.address() {
        IpAddr::V4(v4) => Ipv4Network::new(v4, prefix.length())
            .ok()
            .map(IpNetwork::V4),
        IpAddr::V6(v6) => Ipv6Network::new(v6, prefix.length())
            .ok()
            .map(IpNetwork::V6),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn list(texts: &[&str]) -> ClientList {
        let entries = texts.iter().zip(1..).map(|(text, line)| {
            let entry = Entry::in_file(&Path::new("list").into(), line, text);
            (ClientPattern::parse(text).unwrap(), entry)
        });
        ClientList::new(entries.collect()).unwrap()
    }

    #[test]
    fn the_entry_that_decides_is_found() {
        let list = list(&[
            "example.net",
            "/^mx[0-9]/",
            "192.0.2",
            "192.0.2.9",
            "10.1",
            "2001:db8::/32",
            "mx1.example.net",
            "/unknown/",
        ]);
        let cases = [
            ("example.net", "203.0.113.1", Some(1)),
            ("A.EXAMPLE.net", "203.0.113.1", Some(1)),
            ("badexample.net", "203.0.113.1", None),
            ("mx1.example.net", "203.0.113.1", Some(1)),
            ("MX7.example.com", "203.0.113.1", Some(2)),
            ("x.example", "192.0.2.8", Some(3)),
            ("x.example", "192.0.2.9", Some(4)),
            ("x.example", "10.1.2.5", Some(5)),
            ("x.example", "10.2.2.5", None),
            ("x.example", "2001:db8:7::1", Some(6)),
            ("unknown", "192.0.2.9", Some(8)),
        ];
        for (name, address, want) in cases {
            let address = ClientIp::parse(address.as_bytes()).unwrap();
            let found = list.find(name.as_bytes(), address);
            let line = found.map(|number| list.entries().get(number).unwrap().line().unwrap());
            assert_eq!(line, want, "{name} {address}");
        }
    }
}

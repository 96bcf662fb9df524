//! Many networks, of which one must hold an address.

use std::collections::HashSet;

use crate::types::{ClientIp, Prefix};

/// Networks.
#[derive(Debug, Default)]
pub(super) struct Networks {
    prefixes: HashSet<Prefix>,
    /// The lengths that occur; an address is looked up once for each.
    lengths: Vec<u8>,
}

impl Networks {
    /// Adds a network.
    pub(super) fn insert(&mut self, network: Prefix) {
        self.prefixes.insert(network);
        if !self.lengths.contains(&network.length()) {
            self.lengths.push(network.length());
        }
    }

    /// Whether one of them holds the address.
    pub(super) fn contain(&self, client: ClientIp) -> bool {
        let mut lengths = self.lengths.iter();
        lengths.any(|length| {
            let network = Prefix::masked(client.address(), *length);
            // A length beyond the address is cut.
            network.length() == *length && self.prefixes.contains(&network)
        })
    }
}

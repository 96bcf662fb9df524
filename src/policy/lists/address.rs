//! The recipient and sender lists: addresses, local parts, domains, expressions.

use std::collections::HashMap;

use super::{CompiledSets, Entries, Entry, Expressions, TooLarge, first_of, suffixes};
use crate::policy::pattern::AddressPattern;

/// Recipients or senders whose mail is not greylisted.
#[derive(Debug, Default)]
pub struct AddressList {
    addresses: HashMap<Box<[u8]>, u32>,
    users: HashMap<Box<[u8]>, u32>,
    domains: HashMap<Box<[u8]>, u32>,
    expressions: Expressions,
    entries: Entries,
}

impl AddressList {
    /// A list of these entries, in this order.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the expressions together need too much memory.
    pub fn new(found: Vec<(AddressPattern, Entry)>) -> Result<Self, TooLarge> {
        Self::with_compiled(found, &CompiledSets::default())
    }

    /// The same, where some of the expressions are compiled already.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the others together need too much memory.
    pub fn with_compiled(
        found: Vec<(AddressPattern, Entry)>,
        compiled: &CompiledSets,
    ) -> Result<Self, TooLarge> {
        let mut list = Self::default();
        let mut expressions = Vec::new();
        for (pattern, entry) in found {
            let number = list.entries.push(entry);
            let (map, text) = match pattern {
                AddressPattern::Expression(text) => {
                    expressions.push((text, number));
                    continue;
                }
                AddressPattern::Address(text) => (&mut list.addresses, text),
                AddressPattern::User(text) => (&mut list.users, text),
                AddressPattern::Domain(text) => (&mut list.domains, text),
            };
            map.entry(text.into_bytes().into()).or_insert(number);
        }
        list.expressions = Expressions::new(&expressions, compiled)?;
        Ok(list)
    }

    /// The first entry that matches this address.
    #[must_use]
    pub fn find(&self, address: &[u8]) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        let lower = address.to_ascii_lowercase();
        let by_domain = suffixes(&lower, b"@.")
            .filter_map(|suffix| self.domains.get(suffix).copied())
            .min();
        let by_user = self.find_user(&lower);
        first_of(first_of(by_user, by_domain), self.expressions.find(address))
    }

    /// The entries.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// By `user@domain` and `user@`, with the whole local part and without each possible extension.
    fn find_user(&self, address: &[u8]) -> Option<u32> {
        let at = address.iter().position(|byte| *byte == b'@')?;
        let (local, domain) = address.split_at_checked(at)?;
        let cuts = local
            .iter()
            .enumerate()
            .filter(|(n, byte)| **byte == b'+' && n.saturating_add(1) < local.len())
            .map(|(n, _)| n);
        let mut whole = Vec::with_capacity(address.len());
        cuts.chain([local.len()])
            .filter_map(|cut| {
                let user = local.get(..cut)?;
                whole.clear();
                whole.extend_from_slice(user);
                whole.extend_from_slice(domain);
                let by_address = self.addresses.get(whole.as_slice()).copied();
                first_of(by_address, self.users.get(user).copied())
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_entry_that_decides_is_found() {
        let texts = [
            "abuse@",
            "Joe@Example.org",
            "example.net",
            "/^list-.*@lists\\./",
            "@example.com",
            "a+b@example.org",
            "/^$/",
        ];
        let found = texts.iter().zip(1..).map(|(text, line)| {
            let entry = Entry::in_file(&Path::new("list").into(), line, text);
            (AddressPattern::parse(text).unwrap(), entry)
        });
        let list = AddressList::new(found.collect()).unwrap();
        let cases = [
            ("ABUSE@anywhere.example", Some(1)),
            ("abuse+x@anywhere.example", Some(1)),
            ("abuse+@anywhere.example", None),
            ("disabuse@anywhere.example", None),
            ("abuse", None),
            ("joe@example.org", Some(2)),
            ("joe+news@EXAMPLE.org", Some(2)),
            ("joe+a+b@example.org", Some(2)),
            ("joe@sub.example.org", None),
            ("x@example.net", Some(3)),
            ("x@sub.example.net", Some(3)),
            ("x@badexample.net", None),
            ("sub.example.net", Some(3)),
            ("example.net", None),
            ("list-7@lists.example", Some(4)),
            ("x@example.com", None),
            ("@example.com", Some(5)),
            ("a+b@example.org", Some(6)),
            ("a+b+c@example.org", Some(6)),
            ("", Some(7)),
        ];
        for (address, want) in cases {
            let line = list
                .find(address.as_bytes())
                .map(|number| list.entries().get(number).unwrap().line().unwrap());
            assert_eq!(line, want, "{address}");
        }
    }
}

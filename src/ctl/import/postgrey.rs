//! Reader of the records of Postgrey and taRgrey, from dumps of their databases.
//!
//! # On disk
//!
//! | key | value | is |
//! | --- | --- | --- |
//! | `network/sender/recipient` | `first,last` | a triplet |
//! | `client/32/sender/recipient`, `client/128/sender/recipient` | `first,last` | a triplet under `--lookup-by-host` |
//! | either | `first,last,octet` | a triplet of Postgrey up to 1.36: the client's last octet |
//! | either | `first,last,count` | a triplet of taRgrey: how often it came back after the delay |
//! | either | `first,last,count,octet` | a triplet of taRgrey on top of Postgrey up to 1.36 |
//! | an address | `count,last` | a client that is, or will be, let through |
//! | an address | `seen` | a client that taRgrey knows to have fled the tarpit |
//! | 40 hexadecimal digits | any | one of the first kind, written with `--privacy` |
//!
//! All numbers are decimal, times are seconds since the epoch. taRgrey leaves its count empty when it
//! finds a triplet that Postgrey had written before it and that is still waiting. Nothing tells a count
//! from an octet where there are three numbers: the third is taken for a count only where the rules ask
//! for more than one retry, for otherwise it makes no difference.
//!
//! The network is an address whose host bits are zero; how many bits these are is not recorded. IPv6
//! addresses are not shortened.
//!
//! # What it does not do
//!
//! Slashes within addresses are not escaped in the key, so a key with more of them than its form needs cannot be
//! taken apart for certain. Such a triplet is left out: it will wait once more. The form with a length is recognised
//! by the length of a whole address in second place: a sender that is called 32 is not worth a second reading.

use std::io::BufRead;
use std::net::IpAddr;

use super::db_dump::{Content, Record, Records};
use super::line::number;
use super::{Imported, Item, ReadError, Skip};
use crate::types::{ClientIp, Span, Timestamp};

/// Characters of the hash that `--privacy` puts in place of a key.
const HASH_LENGTH: usize = 40;

/// When the other daemon let a triplet pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgreyRules {
    /// Its `--delay`.
    pub delay: Span,
    /// taRgrey's `--retry-count`: 1 for Postgrey.
    pub retry_count: u32,
}

impl Default for PostgreyRules {
    /// Those of Postgrey when it is given no options.
    fn default() -> Self {
        Self {
            delay: Span::from_seconds(300),
            retry_count: 1,
        }
    }
}

/// The records in a stream of dumps.
#[derive(Debug)]
pub struct Postgrey<R> {
    records: Records<R>,
    rules: PostgreyRules,
    is_over: bool,
}

impl<R: BufRead> Postgrey<R> {
    /// Reads dumps from `reader`.
    pub const fn new(reader: R, rules: PostgreyRules) -> Self {
        Self {
            records: Records::new(reader),
            rules,
            is_over: false,
        }
    }
}

impl<R: BufRead> Iterator for Postgrey<R> {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self
            .records
            .next()?
            .and_then(|record| understand(&record, self.rules));
        self.is_over = item.is_err();
        Some(item)
    }
}

/// Parses a record.
fn understand(record: &Record, rules: PostgreyRules) -> Result<Item, ReadError> {
    let row = match &record.content {
        Ok(Content { key, .. })
            if key.len() == HASH_LENGTH && key.iter().all(u8::is_ascii_hexdigit) =>
        {
            return Err(ReadError::Hashed);
        }
        Ok(content) => row(content, rules),
        Err(why) => Err(*why),
    };
    Ok(match row {
        Ok(row) => Item::Row(row),
        Err(why) => Item::Skipped {
            line: record.line,
            why,
        },
    })
}

/// The record with this key and value.
fn row(Content { key, value }: &Content, rules: PostgreyRules) -> Result<Imported, Skip> {
    // Of a key with more parts than any form has it does not matter how many.
    let parts: Vec<&[u8]> = key.splitn(5, |byte| *byte == b'/').collect();
    match *parts.as_slice() {
        [client] => self::client(client, value),
        [network, sender, recipient] => triplet((network, sender, recipient), value, rules),
        [host, length, sender, recipient] if is_host(host, length) => {
            triplet((host, sender, recipient), value, rules)
        }
        [] | [_, _] => Err(Skip::Key),
        [..] => Err(Skip::Ambiguous),
    }
}

/// Whether this is an address with the length of a whole one.
fn is_host(address: &[u8], length: &[u8]) -> bool {
    let whole: &[u8] = match self::address(address) {
        Some(IpAddr::V4(_)) => b"32",
        Some(IpAddr::V6(_)) => b"128",
        None => return false,
    };
    length == whole
}

/// The address that this text is.
fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A triplet by its key and value.
fn triplet(
    key: (&[u8], &[u8], &[u8]),
    value: &[u8],
    rules: PostgreyRules,
) -> Result<Imported, Skip> {
    let (network, sender, recipient) = key;
    let network = address(network).ok_or(Skip::Address)?;
    let mut numbers = value.split(|byte| *byte == b',');
    let mut time = || {
        let seconds = numbers.next().and_then(number).ok_or(Skip::Value)?;
        Ok(Timestamp::from_seconds(seconds))
    };
    let (first, last) = (time()?, time()?);
    let count: Option<u64> = match numbers.next() {
        None => None,
        Some(b"") => Some(0),
        Some(text) => Some(number(text).ok_or(Skip::Value)?),
    };
    let octet = numbers.next();
    if octet.is_some_and(|text| number::<u64>(text).is_none()) || numbers.next().is_some() {
        return Err(Skip::Value);
    }
    let is_passed = match count {
        Some(count) if rules.retry_count > 1 => count >= u64::from(rules.retry_count),
        Some(_) | None => last.since(first) >= rules.delay,
    };
    Ok(Imported::Triplet {
        network,
        sender: sender.to_vec(),
        recipient: recipient.to_vec(),
        first,
        last,
        is_passed,
    })
}

/// A client, let through or fled, by its key and value.
fn client(address: &[u8], value: &[u8]) -> Result<Imported, Skip> {
    let address = ClientIp::parse(address).ok_or(Skip::Key)?;
    let mut numbers = value.split(|byte| *byte == b',').map(number::<u64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Some(seen)), None, None) => Ok(Imported::Tarpit {
            address,
            seen: Timestamp::from_seconds(seen),
        }),
        (Some(Some(count)), Some(Some(last)), None) => Ok(Imported::Client {
            address,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            last: Timestamp::from_seconds(last),
        }),
        _ => Err(Skip::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dump of these keys and values.
    fn dump(rows: &[(&str, &str)]) -> String {
        let mut text = "VERSION=3\nformat=print\ntype=btree\nHEADER=END\n".to_owned();
        for (key, value) in rows {
            text.extend([" ", key, "\n ", value, "\n"]);
        }
        text + "DATA=END\n"
    }

    fn read(rows: &[(&str, &str)], retry_count: u32) -> Vec<Result<Item, String>> {
        let rules = PostgreyRules {
            delay: Span::from_seconds(300),
            retry_count,
        };
        Postgrey::new(dump(rows).as_bytes(), rules)
            .map(|item| item.map_err(|error| error.to_string()))
            .collect()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_triplet_has_passed_when_the_rules_say_so() {
        let cases = [
            ("waiting", "1000,1299", 1, false),
            ("passed", "1000,1300", 1, true),
            ("the clock was set back", "1000,900", 1, false),
            ("old, with an octet", "1000,1300,77", 1, true),
            ("old, with an octet, waiting", "1000,1100,77", 1, false),
            ("targrey", "1000,1300,1", 1, true),
            ("targrey, one of two", "1000,1300,1", 2, false),
            ("targrey, two of two", "1000,1400,2", 2, true),
            ("targrey, count left empty", "1000,1400,", 2, false),
            ("targrey, with an octet", "1000,1400,2,0", 2, true),
            ("before targrey", "1000,1300", 2, true),
        ];
        for (name, value, retry_count, want_passed) in cases {
            let items = read(&[("192.0.2.0/a@b/c@d", value)], retry_count);
            let [Ok(Item::Row(Imported::Triplet { is_passed, .. }))] = items.as_slice() else {
                panic!("{name}: {items:?}");
            };
            assert_eq!(*is_passed, want_passed, "{name}");
        }
    }

    #[test]
    fn records_are_told_apart_by_key_and_value() {
        let rows = [
            ("192.0.2.0//c@d", "1000,1300"),
            ("2001:db8:0:0:0:0:0:0/a\\c3\\bc@b/c@d", "1000,1001"),
            ("192.0.2.44/32/joe@a/bob@d", "1000,1300"),
            ("2001:db8:0:0:0:0:0:1/128//bob@d", "1000,1001"),
            ("192.0.2.7", "5,2000"),
            ("2001:DB8:0:0:0:0:0:1", "1,2001"),
            ("192.0.2.8", "3000"),
        ];
        let triplet =
            |network: &str, sender: &str, recipient: &str, last, is_passed| Imported::Triplet {
                network: network.parse().unwrap(),
                sender: sender.into(),
                recipient: recipient.into(),
                first: at(1000),
                last: at(last),
                is_passed,
            };
        let client = |address: &str, count, last| Imported::Client {
            address: ClientIp::parse(address.as_bytes()).unwrap(),
            count,
            last: at(last),
        };
        let want = [
            triplet("192.0.2.0", "", "c@d", 1300, true),
            triplet("2001:db8::", "aü@b", "c@d", 1001, false),
            triplet("192.0.2.44", "joe@a", "bob@d", 1300, true),
            triplet("2001:db8::1", "", "bob@d", 1001, false),
            client("192.0.2.7", 5, 2000),
            client("2001:db8::1", 1, 2001),
            Imported::Tarpit {
                address: ClientIp::parse(b"192.0.2.8").unwrap(),
                seen: at(3000),
            },
        ];
        assert_eq!(read(&rows, 1), want.map(|row| Ok(Item::Row(row))));
    }

    #[test]
    fn what_makes_no_sense_is_skipped_and_says_why() {
        let cases = [
            ("192.0.2.0/a/b@c/d@e", "1,2", Skip::Ambiguous),
            ("192.0.2.7/32/a/b@c/d@e", "1,2", Skip::Ambiguous),
            ("192.0.2.7/128/a@b/c@d", "1,2", Skip::Ambiguous),
            ("192.0.2.7/24/a@b/c@d", "1,2", Skip::Ambiguous),
            ("2001:db8::1/32/a@b/c@d", "1,2", Skip::Ambiguous),
            ("unknown/32/a@b/c@d", "1,2", Skip::Ambiguous),
            ("192.0.2.0/a@b", "1,2", Skip::Key),
            ("unknown", "1,2", Skip::Key),
            ("", "", Skip::Key),
            ("unknown/a@b/c@d", "1,2", Skip::Address),
            ("192.0.2.0/a@b/c@d", "1", Skip::Value),
            ("192.0.2.0/a@b/c@d", "1,-2", Skip::Value),
            ("192.0.2.0/a@b/c@d", "1,2,x", Skip::Value),
            ("192.0.2.0/a@b/c@d", "1,2,3,", Skip::Value),
            ("192.0.2.0/a@b/c@d", "1,2,3,4,5", Skip::Value),
            ("192.0.2.7", "", Skip::Value),
            ("192.0.2.7", "1,2,3", Skip::Value),
            ("192.0.2.7", "1,", Skip::Value),
        ];
        for (key, value, why) in cases {
            let items = read(&[(key, value), ("192.0.2.1", "1")], 1);
            let want = Item::Skipped { line: 5, why };
            assert_eq!(items.first(), Some(&Ok(want)), "{key} {value}");
            assert_eq!(items.len(), 2, "{key} {value}");
        }
    }

    #[test]
    fn a_hashed_database_ends_the_reading() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let items = read(&[(hash, "1,2"), ("192.0.2.1", "1")], 1);
        let [Err(error)] = items.as_slice() else {
            panic!("{items:?}");
        };
        assert!(error.contains("--privacy"), "{error}");
    }
}

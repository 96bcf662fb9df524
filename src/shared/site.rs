//! What the hosts of a site must have in common, and who they are.
//!
//! ```text
//! site  = host:4 *( option "=" value LF )       ; the options of the host that wrote it
//! hosts = *( host:4 process:8 seen:8 done:24 length:1 name )
//!                     ; a random number of the process; the last act that the host has carried out
//! ```
//!
//! Records of hosts that mask networks differently, or count clients differently, would never meet. The site is written
//! again by each host every minute, and ends ten minutes after the last one has stopped: so the options of a site can be
//! changed.

use std::time::Duration;

use super::journal::Cursor;
use super::seal::{KEY_LENGTH, Seal};
use crate::policy::{CountBy, Host, Params};
use crate::store::PrivacyKey;
use crate::types::Timestamp;

/// How long the site outlives its last host.
pub(super) const SITE_LIFETIME: Duration = Duration::from_secs(600);

/// How long a host is remembered that is not there.
pub(super) const HOST_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// Most hosts of a site.
const MOST_HOSTS: usize = 64;

/// Longest name of a host, in bytes.
const LONGEST_NAME: usize = 253;

/// How a host makes keys and values, and what it must have in common with the others.
pub(super) struct Identity {
    pub(super) seal: Seal,
    pub(super) site: Site,
}

impl Identity {
    pub(super) fn new(
        secret: &[u8; KEY_LENGTH],
        params: &Params,
        privacy: Option<PrivacyKey>,
    ) -> Self {
        Self {
            site: Site::new(params).with_privacy(privacy.as_ref()),
            seal: Seal::new(secret).with_privacy(privacy),
        }
    }
}

/// How a host makes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site(Vec<(&'static str, String)>);

impl Site {
    /// That of a host with these parameters.
    #[must_use]
    pub(super) fn new(params: &Params) -> Self {
        let count_by = match params.count_by {
            CountBy::Address => "address",
            CountBy::Subnet => "subnet",
            CountBy::Domain => "domain",
        };
        Self(vec![
            ("--ipv4cidr", params.ipv4_bits.to_string()),
            ("--ipv6cidr", params.ipv6_bits.to_string()),
            ("--lookup-by-domain", params.by_domain.to_string()),
            ("--auto-whitelist-by", count_by.to_owned()),
        ])
    }

    /// The same for a host with this key of `--privacy`, or without one.
    #[must_use]
    pub(super) fn with_privacy(mut self, key: Option<&PrivacyKey>) -> Self {
        self.0.push(("--privacy", key.is_some().to_string()));
        let print = key.map(|key| ("the fingerprint of privacy.key", key.fingerprint()));
        self.0.extend(print);
        self
    }

    /// The body of its value.
    pub(super) fn body(&self, host: Host) -> Vec<u8> {
        let mut body = host.0.to_be_bytes().to_vec();
        for (option, value) in &self.0 {
            body.extend_from_slice(format!("{option}={value}\n").as_bytes());
        }
        body
    }

    /// The first option that is another at the host that has written `body`: its name, its value here, its value there,
    /// and the host.
    pub(super) fn difference(&self, body: &[u8]) -> Option<(&'static str, &str, String, Host)> {
        let (host, text) = body.split_first_chunk()?;
        let host = Host(u32::from_be_bytes(*host));
        let text = String::from_utf8_lossy(text);
        let theirs = |option| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines.find(|(name, _)| *name == option)
        };
        self.0.iter().find_map(|(option, ours)| {
            let (_, theirs) = theirs(*option)?;
            (theirs != ours).then(|| (*option, ours.as_str(), theirs.to_owned(), host))
        })
    }
}

/// A host of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownHost {
    pub(super) host: Host,
    /// The number of its process, by which two hosts with one name are found out.
    pub(super) process: u64,
    /// When it was last there, by its clock.
    pub(super) seen: Timestamp,
    /// The last act that it has carried out.
    pub(super) done: Cursor,
    pub(super) name: String,
}

impl Host {
    /// The host of this name.
    pub(super) fn of(name: &str) -> Self {
        let [a, b, c, d, ..] = *blake3::hash(name.as_bytes()).as_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

/// The hosts in the body of a value, as far as it can be read.
pub(super) fn read_hosts(mut body: &[u8]) -> Vec<KnownHost> {
    let mut hosts = Vec::new();
    while let Some((host, rest)) = read_host(body) {
        hosts.push(host);
        body = rest;
    }
    hosts
}

fn read_host(body: &[u8]) -> Option<(KnownHost, &[u8])> {
    let (host, rest) = body.split_first_chunk()?;
    let (process, rest) = rest.split_first_chunk()?;
    let (seen, rest) = rest.split_first_chunk()?;
    let (done, rest) = Cursor::read(rest)?;
    let (length, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let known = KnownHost {
        host: Host(u32::from_be_bytes(*host)),
        process: u64::from_be_bytes(*process),
        seen: Timestamp::from_seconds(u64::from_be_bytes(*seen)),
        done,
        name: String::from_utf8_lossy(name).into_owned(),
    };
    Some((known, rest))
}

/// The body with these hosts and this one, without those that have not been there for long.
pub(super) fn hosts_with(mut hosts: Vec<KnownHost>, me: KnownHost) -> Vec<u8> {
    hosts.retain(|known| {
        known.host != me.host && me.seen.since(known.seen).seconds() < HOST_LIFETIME.as_secs()
    });
    hosts.sort_by_key(|known| std::cmp::Reverse(known.seen));
    hosts.truncate(MOST_HOSTS - 1);
    hosts.push(me);
    let mut body = Vec::new();
    for known in hosts {
        let name = known.name.as_bytes();
        let name = name.get(..name.len().min(LONGEST_NAME)).unwrap_or_default();
        body.extend_from_slice(&known.host.0.to_be_bytes());
        body.extend_from_slice(&known.process.to_be_bytes());
        body.extend_from_slice(&known.seen.seconds().to_be_bytes());
        body.extend_from_slice(&known.done.encode());
        body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        body.extend_from_slice(name);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_differs_is_named_with_both_values_and_the_host() {
        let host = Host::of("mx1.example");
        let ours = Site::new(&Params::default());
        assert_eq!(ours.difference(&ours.body(host)), None);
        let theirs = Site::new(&Params {
            ipv4_bits: 32,
            ..Params::default()
        });
        let want = ("--ipv4cidr", "24", "32".to_owned(), host);
        assert_eq!(ours.difference(&theirs.body(host)), Some(want));
        assert_eq!(ours.difference(b""), None);
        let of_later = [&ours.body(host)[..], b"--new=1\n"].concat();
        assert_eq!(ours.difference(&of_later), None);
    }

    #[test]
    fn hosts_come_back_but_for_those_that_were_not_there_for_long() {
        let known = |name: &str, seen: u64| KnownHost {
            host: Host::of(name),
            process: 77,
            seen: Timestamp::from_seconds(seen),
            done: Cursor {
                epoch: 1,
                number: seen,
                mark: 3,
            },
            name: name.to_owned(),
        };
        let now = 1_800_000_000;
        let hosts = vec![
            known("old.example", now - 91 * 86_400),
            known("mx1.example", now - 60),
            known("mx2.example", now - 60),
        ];
        let body = hosts_with(hosts, known("mx2.example", now));
        let want = [known("mx1.example", now - 60), known("mx2.example", now)];
        assert_eq!(read_hosts(&body), want);
        assert_eq!(read_hosts(&body[..body.len() - 1]), want[..1]);
    }
}

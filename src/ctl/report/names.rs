//! Whom greylisting made wait: the triplets of a period, by the domain of their sender and by their client.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{
    CLIENT_NAME, COUNTED, DOMAIN, Dict, FIRST, FromRow, NETWORK, PASSED, RECIPIENT, RETRIES,
    SENDER, STATE, STATE_PASSED, WHY,
};

/// A sender domain whose mail came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderDomain {
    /// The domain; empty for the null sender.
    pub domain: String,
    /// Its mails that had to wait: triplets.
    pub mails: u64,
    /// The median of their delays, in seconds: of an even number the lesser of the two in the middle.
    pub median: u64,
    /// The longest delay, in seconds.
    pub longest: u64,
    /// From how many networks (or domains of clients) they were tried.
    pub clients: usize,
    /// Whether one of them was tried from several: a pool.
    pub is_pool: bool,
    /// The command that ends its waiting, if one does.
    pub allow: Option<String>,
}

/// A client whose mail has not come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsentClient {
    /// Its network, or the domain by which it is known.
    pub client: String,
    /// The name of the one that tried last, if the daemon remembers it.
    pub name: Option<String>,
    /// Mails: triplets.
    pub mails: u64,
    /// All attempts.
    pub tries: u64,
    /// Why they had to wait.
    pub causes: BTreeSet<String>,
}

/// A mail that has not come back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbsentMail {
    /// Its client's network or domain.
    pub client: String,
    /// The sender.
    pub sender: String,
    /// The recipient.
    pub recipient: String,
    /// When it was first seen.
    pub first: u64,
    /// Attempts.
    pub tries: u64,
}

/// The names of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that came back, worst first: with the most mails, then with the longest median.
    pub came_back: Vec<SenderDomain>,
    /// Those that have not, the one with the most mails first.
    pub absent: Vec<AbsentClient>,
    /// Their mails, by client.
    pub absent_mails: Vec<AbsentMail>,
}

/// Triplets, added one by one.
#[derive(Debug, Default)]
pub struct Collector {
    /// The delays of each domain.
    domains: BTreeMap<String, Vec<u64>>,
    /// The clients of each mail, by sender and recipient, and whether it came back.
    mails: BTreeMap<(String, String), (BTreeSet<String>, bool)>,
    absent: BTreeMap<String, AbsentClient>,
    absent_mails: Vec<AbsentMail>,
}

impl Collector {
    /// Adds a triplet, if it was first seen in the period; a hash has no names and is left out.
    pub fn add(&mut self, row: &Dict, (from, to): (u64, u64)) {
        let number = |key| row.number(key).unwrap_or_default();
        let first = number(FIRST);
        let client = row.text(NETWORK).or_else(|| row.text(DOMAIN));
        let (Some(client), true) = (client, (from..to).contains(&first)) else {
            return;
        };
        let text = |key| row.text(key).unwrap_or_default().to_owned();
        let (sender, recipient) = (text(SENDER), text(RECIPIENT));
        let mail = self.mails.entry((sender.clone(), recipient.clone()));
        let (clients, has_come_back) = mail.or_default();
        clients.insert(client.to_owned());
        if row.text(STATE) == Some(STATE_PASSED) {
            *has_come_back = true;
            let delays = self.domains.entry(domain_of(&sender)).or_default();
            delays.push(number(PASSED).saturating_sub(first));
            return;
        }
        let tries = 1_u64
            .saturating_add(number(RETRIES))
            .saturating_add(number(COUNTED));
        let absent = self.absent.entry(client.to_owned());
        let absent = absent.or_insert_with(|| AbsentClient {
            client: client.to_owned(),
            name: None,
            mails: 0,
            tries: 0,
            causes: BTreeSet::new(),
        });
        absent.mails = absent.mails.saturating_add(1);
        absent.tries = absent.tries.saturating_add(tries);
        absent.causes.extend(row.text(WHY).map(str::to_owned));
        if let Some(name) = row.text(CLIENT_NAME).filter(|name| *name != "unknown") {
            absent.name = Some(name.to_owned());
        }
        self.absent_mails.push(AbsentMail {
            client: client.to_owned(),
            sender,
            recipient,
            first,
            tries,
        });
    }

    /// What all of them say.
    #[must_use]
    pub fn finish(self) -> Names {
        let mut clients: BTreeMap<String, Clients> = BTreeMap::new();
        let came_back = self.mails.into_iter();
        // Anybody can write a domain: only mails that came back say from where its mails come.
        for ((sender, _), (of_mail, _)) in
            came_back.filter(|(_, (_, has_come_back))| *has_come_back)
        {
            let of_domain = clients.entry(domain_of(&sender)).or_default();
            of_domain.is_pool |= of_mail.len() > 1;
            of_domain.all.extend(of_mail);
        }
        let domains = self.domains.into_iter();
        let mut came_back: Vec<SenderDomain> = domains
            .map(|(domain, delays)| {
                let clients = clients.remove(&domain).unwrap_or_default();
                row(domain, delays, &clients)
            })
            .collect();
        came_back.sort_by(|one, two| {
            let key = |row: &SenderDomain| (row.mails, row.median, row.longest);
            key(two).cmp(&key(one))
        });
        let mut absent: Vec<AbsentClient> = self.absent.into_values().collect();
        absent.sort_by_key(|row| std::cmp::Reverse((row.mails, row.tries)));
        let mut absent_mails = self.absent_mails;
        absent_mails.sort();
        Names {
            came_back,
            absent,
            absent_mails,
        }
    }
}

/// From where the mails of a domain were tried.
#[derive(Debug, Default)]
struct Clients {
    all: BTreeSet<String>,
    is_pool: bool,
}

fn row(domain: String, mut delays: Vec<u64>, clients: &Clients) -> SenderDomain {
    delays.sort_unstable();
    let middle = delays.len().saturating_sub(1) / 2;
    SenderDomain {
        mails: delays.len() as u64,
        median: delays.get(middle).copied().unwrap_or_default(),
        longest: delays.last().copied().unwrap_or_default(),
        clients: clients.all.len(),
        is_pool: clients.is_pool,
        allow: allow(&domain, &clients.all),
        domain,
    }
}

/// The command that lets the mails of a domain pass: by its one client, or else by the domain, which anybody can write.
/// What stands in a command that is pasted into a shell must be harmless there.
fn allow(domain: &str, clients: &BTreeSet<String>) -> Option<String> {
    let is_harmless = |text: &&str| {
        let is_plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
        !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)
    };
    let mut all = clients.iter();
    match (all.next(), all.next()) {
        (Some(client), None) => Some(client.as_str())
            .filter(is_harmless)
            .map(|client| format!("stargreyctl allow client {client}")),
        _ => Some(domain)
            .filter(is_harmless)
            .filter(|domain| domain.contains('.') && !domain.contains(['/', ':']))
            .map(|domain| format!("stargreyctl allow sender {domain}")),
    }
}

/// The domain of an address, in lower case; the whole of what has none, nothing of the null sender.
fn domain_of(address: &str) -> String {
    let domain = address
        .rsplit_once('@')
        .map_or(address, |(_, domain)| domain);
    domain.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Row, STATE_WAITING};

    fn triplet(client: &str, sender: &str, (first, passed): (u64, Option<u64>)) -> Dict {
        let state = if passed.is_some() {
            STATE_PASSED
        } else {
            STATE_WAITING
        };
        Row::new()
            .with(NETWORK, client)
            .with(SENDER, sender)
            .with(RECIPIENT, "bob@example.net")
            .with(STATE, state)
            .with(FIRST, first)
            .with_some(PASSED, passed)
            .with(WHY, "plain")
            .build()
    }

    fn names(rows: &[Dict]) -> Names {
        let mut collector = Collector::default();
        for row in rows {
            collector.add(row, (100, 10_000));
        }
        collector.finish()
    }

    #[test]
    fn the_domain_whose_mail_waited_most_is_first_and_each_has_the_command_that_ends_it() {
        let found = names(&[
            triplet("192.0.2.0/24", "a@One.example", (100, Some(500))),
            triplet("192.0.2.0/24", "b@one.example", (100, Some(700))),
            triplet("198.51.100.0/24", "a@two.example", (100, Some(9000))),
            // From two networks, one of which was never used again.
            triplet("203.0.113.0/24", "a@pool.example", (100, None)),
            triplet("198.51.101.0/24", "a@pool.example", (200, Some(1000))),
            triplet("203.0.113.0/24", "b@pool.example", (100, Some(1000))),
            triplet("192.0.2.0/24", "", (100, Some(130))),
            // Before and after the period.
            triplet("192.0.2.0/24", "c@one.example", (99, Some(500))),
            triplet("192.0.2.0/24", "c@one.example", (10_000, None)),
        ]);
        let came_back: Vec<_> = found
            .came_back
            .iter()
            .map(|row| {
                let allow = row.allow.as_deref().unwrap_or_default();
                (
                    &*row.domain,
                    row.mails,
                    row.median,
                    row.longest,
                    row.is_pool,
                    allow,
                )
            })
            .collect();
        let want = [
            (
                "pool.example",
                2,
                800,
                900,
                true,
                "stargreyctl allow sender pool.example",
            ),
            (
                "one.example",
                2,
                400,
                600,
                false,
                "stargreyctl allow client 192.0.2.0/24",
            ),
            (
                "two.example",
                1,
                8900,
                8900,
                false,
                "stargreyctl allow client 198.51.100.0/24",
            ),
            (
                "",
                1,
                30,
                30,
                false,
                "stargreyctl allow client 192.0.2.0/24",
            ),
        ];
        assert_eq!(came_back, want);
        let absent: Vec<_> = found
            .absent
            .iter()
            .map(|row| (&*row.client, row.mails))
            .collect();
        assert_eq!(absent, [("203.0.113.0/24", 1)]);
    }

    #[test]
    fn nothing_a_sender_writes_gets_into_a_command() {
        let hostile = [
            "a@b.example; reboot",
            "a@$(reboot).example",
            "a@-x.example",
            "a@b.example\nreboot",
            "a@`reboot`.example",
            "a@b'.example",
            "a@",
            "reboot",
        ];
        for sender in hostile {
            let found = names(&[
                triplet("192.0.2.0/24", sender, (100, Some(500))),
                triplet("192.0.3.0/24", sender, (100, Some(500))),
            ]);
            assert_eq!(found.came_back[0].allow, None, "{sender}");
        }
        let odd = names(&[triplet("$(reboot)", "a@b.example", (100, Some(500)))]);
        assert_eq!(odd.came_back[0].allow, None);
    }
}

//! The client that last tried each waiting triplet.
//!
//! A triplet's record has only the client's network, but an administrator wants to know which host it was. So the name
//! and address of the client are kept here: not in the database, and under `--privacy` not at all. A client is added
//! when its triplet is waiting after the request, so mail that passes costs nothing.
//!
//! # Limits
//!
//! [`CAPACITY`] clients, after which the oldest is dropped, with names of at most [`LONGEST_NAME`] bytes: about 3 MiB.
//! Triplets are identified by their hashes. Nothing outlives the process.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use super::set_cache::Key;
use crate::policy::{Attempt, Case, Outcome, Triplet, TripletKey};
use crate::store::{Row, RowKey};
use crate::types::ClientIp;
use crate::types::sync::{Mutex, MutexGuard};

/// Maximum number of clients.
const CAPACITY: usize = 8192;

/// Maximum length of a name in bytes, which is that of the DNS.
const LONGEST_NAME: usize = 255;

/// A client as Postfix named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastClient {
    /// Its verified name, `unknown` if it has none; empty if it was longer than 255 bytes.
    pub name: Box<[u8]>,
    /// Its address.
    pub address: ClientIp,
}

/// The last clients of waiting triplets.
#[derive(Debug)]
pub(crate) struct LastClients {
    /// `None` where the database has hashes instead of addresses.
    clients: Option<Mutex<Clients>>,
    hashing: RandomState,
}

#[derive(Debug, Default)]
struct Clients {
    by_triplet: HashMap<Key, (u64, LastClient)>,
    /// In the order in which they were added.
    by_age: BTreeMap<u64, Key>,
    /// How many were added so far.
    noted: u64,
}

impl LastClients {
    /// Empty; it stays empty if the database `is_hashed`.
    pub(crate) fn new(is_hashed: bool) -> Self {
        Self {
            clients: (!is_hashed).then(Mutex::default),
            hashing: RandomState::new(),
        }
    }

    /// Adds the client of a request whose triplet is waiting after it.
    pub(crate) fn note(&self, attempt: &Attempt<'_>, case: &Case, outcome: &Outcome) {
        let Some(Triplet::Waiting { .. }) = outcome.changes.triplet else {
            return;
        };
        let address = attempt.client_address.and_then(ClientIp::parse);
        if let (Some(clients), Some(triplet), Some(address)) =
            (&self.clients, case.name(&outcome.changes), address)
        {
            let name = attempt.client_name.unwrap_or_default();
            let name = Some(name).filter(|name| name.len() <= LONGEST_NAME);
            let name = name.unwrap_or_default().into();
            let (key, client) = (self.key(triplet), LastClient { name, address });
            clients.lock().insert(key, client);
        }
    }

    /// The last client of a waiting triplet's row, if it is known.
    pub(crate) fn of(&self, row: &Row) -> Option<LastClient> {
        let key = self.waiting(row)?;
        let clients = self.lock()?;
        let (_, client) = clients.by_triplet.get(&key)?;
        Some(client.clone())
    }

    /// Drops the last client of a row.
    pub(crate) fn forget(&self, row: &Row) {
        if let (Some(key), Some(mut clients)) = (self.waiting(row), self.lock()) {
            clients.remove(key);
        }
    }

    /// The key of a row that is a waiting triplet.
    fn waiting(&self, row: &Row) -> Option<Key> {
        match row {
            Row::Triplet {
                key: RowKey::Plain(parts),
                record: Triplet::Waiting { .. },
            } => Some(self.key(&parts.key())),
            Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => None,
        }
    }

    fn key(&self, triplet: &TripletKey) -> Key {
        Key::new(self.hashing.hash_one(triplet))
    }

    fn lock(&self) -> Option<MutexGuard<'_, Clients>> {
        let clients = self.clients.as_ref()?;
        Some(clients.lock())
    }
}

impl Clients {
    fn insert(&mut self, key: Key, client: LastClient) {
        self.remove(key);
        self.by_age.insert(self.noted, key);
        self.by_triplet.insert(key, (self.noted, client));
        self.noted = self.noted.wrapping_add(1);
        if self.by_age.len() > CAPACITY
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_triplet.remove(&oldest);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some((age, _)) = self.by_triplet.remove(&key) {
            self.by_age.remove(&age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Because, Changes, Reason, TripletParts, Verdict};
    use crate::types::{Prefix, Timestamp};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    const WAITING: Triplet = Triplet::Waiting {
        first: NOW,
        last: NOW,
        retries: 0,
        counted: 0,
        why: None,
    };

    fn parts(number: usize) -> TripletParts {
        TripletParts {
            identity: Prefix::parse("192.0.2.0/24").unwrap().into(),
            sender: format!("sender-of-{number}@example.org").into_bytes(),
            recipient: b"bob@example.net".to_vec(),
        }
    }

    fn row(number: usize, record: Triplet) -> Row {
        let key = RowKey::Plain(parts(number));
        Row::Triplet { key, record }
    }

    /// Has a request of triplet `number` noted, after which its record is `next`.
    fn note(clients: &LastClients, number: usize, name: &[u8], next: Triplet) {
        let attempt = Attempt {
            client_address: Some(b"192.0.2.7"),
            client_name: Some(name),
            sender: None,
            recipient: None,
            ..Attempt::default()
        };
        let case = Case {
            client: None,
            triplet: Some(parts(number).key()),
            others: Vec::new(),
            sleep: None,
            suspicion: None,
            terms: crate::policy::Terms::default(),
            asks_known: false,
            is_stressed: false,
            shared: None,
        };
        let mut outcome = Outcome::new(Verdict::Pass, Reason::New, Because::Triplet);
        outcome.changes = Changes {
            triplet: Some(next),
            ..Changes::NONE
        };
        clients.note(&attempt, &case, &outcome);
    }

    fn name(clients: &LastClients, row: &Row) -> Option<Vec<u8>> {
        clients.of(row).map(|client| client.name.into_vec())
    }

    #[test]
    fn the_last_client_of_a_waiting_triplet_is_remembered() {
        let clients = LastClients::new(false);
        let passed = Triplet::Passed {
            first: NOW,
            passed: NOW,
            last: NOW,
            mails: 1,
        };
        note(&clients, 1, b"mx1.example", WAITING);
        note(&clients, 1, b"mx2.example", WAITING);
        note(&clients, 2, b"mx3.example", passed);
        let waiting = row(1, WAITING);
        let client = clients.of(&waiting).unwrap();
        assert_eq!(&*client.name, b"mx2.example");
        assert_eq!(client.address.to_string(), "192.0.2.7");
        assert_eq!(clients.of(&row(1, passed)), None);
        assert_eq!(clients.of(&row(2, WAITING)), None);

        clients.forget(&waiting);
        assert_eq!(clients.of(&waiting), None);
        let inner = clients.lock().unwrap();
        assert_eq!((inner.by_triplet.len(), inner.by_age.len()), (0, 0));
    }

    #[test]
    fn nobody_is_remembered_where_the_database_has_hashes() {
        let clients = LastClients::new(true);
        note(&clients, 1, b"mx.example", WAITING);
        assert_eq!(clients.of(&row(1, WAITING)), None);
    }

    #[test]
    fn the_one_noted_longest_ago_makes_room() {
        let clients = LastClients::new(false);
        for number in 0..CAPACITY {
            note(&clients, number, b"a", WAITING);
        }
        note(&clients, 0, b"b", WAITING);
        note(&clients, CAPACITY, b"c", WAITING);
        let name_of = |number| name(&clients, &row(number, WAITING));
        assert_eq!(name_of(0), Some(b"b".to_vec()));
        assert_eq!(name_of(1), None);
        assert_eq!(name_of(2), Some(b"a".to_vec()));
        assert_eq!(name_of(CAPACITY), Some(b"c".to_vec()));
        let inner = clients.lock().unwrap();
        assert_eq!(
            (inner.by_triplet.len(), inner.by_age.len()),
            (CAPACITY, CAPACITY)
        );
    }

    #[test]
    fn a_name_that_no_host_can_have_is_not_remembered() {
        let clients = LastClients::new(false);
        for (length, want) in [(255, 255), (256, 0)] {
            note(&clients, 1, &vec![b'a'; length], WAITING);
            let got = name(&clients, &row(1, WAITING)).map(|name| name.len());
            assert_eq!(got, Some(want), "{length}");
        }
    }
}

//! A host for tests, which may refuse to carry out acts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::acts::Act;
use super::double::Double;
use super::journal::{Journal, Step};
use super::local::{Administration, Change, JournalChange, Local, LocalState};
use super::record::{Key, Record};
use super::server::Server;
use super::task::Work;
use super::{Me, Shared};
use crate::policy::{Added, Client, ClientKey, Params};
use crate::types::sync::Mutex;
use crate::types::{ClientIp, Timestamp};

/// How long something may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The host. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct HostDouble {
    pub(super) shared: Shared,
    pub(super) network: Double,
    pub(super) state: Arc<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) records: Mutex<Vec<(Key, Record)>>,
    pub(super) journal: Mutex<Journal>,
    pub(super) refuses_acts: AtomicBool,
    /// The database is in trouble.
    pub(super) is_stalled: AtomicBool,
    pub(super) sent_until: Mutex<Timestamp>,
    /// What it has learned of other hosts.
    pub(super) learned: Mutex<Vec<(Key, Record)>>,
    has_ended: AtomicBool,
}

/// The time at all hosts.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

impl HostDouble {
    pub(super) fn new(name: &str, server: &Double) -> Self {
        Self::with_clock(name, server, false)
    }

    /// A host that compares its clock with the server's, or does not.
    pub(super) fn with_clock(name: &str, server: &Double, compares_clocks: bool) -> Self {
        let network = server.over_another_network();
        let me = Me {
            name: name.to_owned(),
            params: Params::default(),
            compares_clocks,
        };
        let shared = Shared::new(me, network.address());
        assert!(shared.unlock(&[7; 32], None));
        Self {
            shared,
            network,
            state: Arc::default(),
        }
    }

    /// The background task of the host.
    pub(super) fn work(&self) -> Work {
        Work {
            shared: Arc::clone(&self.shared.0),
            server: Box::new(self.network.clone()),
            local: Arc::clone(&self.state) as Arc<dyn Local>,
            administration: Arc::clone(&self.state) as Arc<dyn Administration>,
        }
    }

    pub(super) fn start(&self) {
        let (local, administration) = (Arc::clone(&self.state), Arc::clone(&self.state));
        let server = Box::new(self.network.clone());
        self.shared.start(server, local, administration).unwrap();
    }

    /// Waits until something is so, which depends on the network.
    pub(super) fn wait_for(&self, what: &str, is_so: impl Fn(&Shared) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.shared) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "{what}: {:?}", self.shared.status());
            self.network.wait(left);
        }
    }
}

impl Drop for HostDouble {
    fn drop(&mut self) {
        self.state.has_ended.store(true, Ordering::Relaxed);
    }
}

/// The record of a client that was seen now.
pub(super) fn client(number: u32) -> (Key, Record) {
    let address = ClientIp::new(std::net::Ipv4Addr::from(number).into());
    let key = Key::Client(ClientKey::new(address.network(32, 128)));
    let record = Record::Client(Client {
        count: 1,
        last: NOW,
    });
    (key, record)
}

impl State {
    pub(super) fn noted(&self) -> Timestamp {
        *self.sent_until.lock()
    }
}

impl Local for State {
    fn state(&self) -> Option<LocalState> {
        (!self.has_ended.load(Ordering::Relaxed)).then(|| LocalState {
            now: NOW,
            params: Params::default(),
            may_publish: !self.is_stalled.load(Ordering::Relaxed),
        })
    }

    fn read(&self, keys: &[Key]) -> Option<Vec<Option<Record>>> {
        let records = self.records.lock();
        let read = |key: &Key| {
            let mut found = records.iter().filter(|(other, _)| other == key);
            found.next().map(|(_, record)| *record)
        };
        Some(keys.iter().map(read).collect())
    }

    fn learn(&self, records: Vec<(Key, Record)>) -> Change {
        self.learned.lock().extend(records);
        Box::pin(async { true })
    }

    fn page(&self, after: &[u8], _: Timestamp, most: usize) -> Option<(Vec<Key>, Option<Vec<u8>>)> {
        let after: usize = String::from_utf8_lossy(after).parse().unwrap_or_default();
        let records = self.records.lock();
        let page = records.iter().skip(after).take(most);
        let keys = page.map(|(key, _)| key.clone()).collect();
        let next = after + most;
        Some((
            keys,
            (next < records.len()).then(|| next.to_string().into()),
        ))
    }

    fn sent_until(&self) -> Timestamp {
        self.noted()
    }

    fn set_sent_until(&self, from: Timestamp, to: Timestamp) -> Change {
        let mut noted = self.sent_until.lock();
        if *noted == from {
            *noted = to;
        }
        Box::pin(async { true })
    }
}

impl Administration for State {
    fn journal(&self) -> Option<Journal> {
        Some(self.journal.lock().clone())
    }

    fn entries(&self) -> Vec<Added> {
        Vec::new()
    }

    fn carry_out(&self, _: Option<Act>, step: Option<Step>) -> Change {
        let is_done = !self.refuses_acts.load(Ordering::Relaxed);
        if let (true, Some(step)) = (is_done, step) {
            self.journal.lock().go_on(step.to, step.at);
        }
        Box::pin(async move { is_done })
    }

    fn change(&self, change: JournalChange) -> Change {
        change(&mut self.journal.lock());
        Box::pin(async { true })
    }
}

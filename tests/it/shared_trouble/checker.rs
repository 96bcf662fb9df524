//! Compares all records of two hosts and of the server of shared records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use stargrey::policy::{Added, Case, ClientKey, Params, TripletKey};
use stargrey::shared::{
    Access, Act, Administration, Change, Journal, JournalChange, Key, Local, LocalState, Me, Place,
    Record, Redis, Server, Shared, Step,
};
use stargrey::types::sync::Mutex;
use stargrey::types::{Prefix, Timestamp};
use tokio::runtime::{Builder, Runtime};

use super::wait_for;
use crate::bus::OnBus;

/// A day, in seconds: what is not promised to anybody is sent once a day.
const DAY: u64 = 86_400;

/// A host that has no records, and reads all that the server has.
struct Witness {
    shared: Shared,
    runtime: Runtime,
    _state: Arc<State>,
}

/// Its state: it has carried out each act, and has nothing to publish.
struct State {
    now: Timestamp,
    journal: Mutex<Journal>,
}

fn done(is_done: bool) -> Change {
    Box::pin(async move { is_done })
}

impl Local for State {
    fn state(&self) -> Option<LocalState> {
        Some(LocalState {
            now: self.now,
            params: Params::default(),
            may_publish: false,
        })
    }

    fn read(&self, keys: &[Key]) -> Option<Vec<Option<Record>>> {
        Some(vec![None; keys.len()])
    }

    fn learn(&self, _: Vec<(Key, Record)>) -> Change {
        done(true)
    }

    fn page(&self, _: &[u8], _: Timestamp, _: usize) -> Option<(Vec<Key>, Option<Vec<u8>>)> {
        Some((Vec::new(), None))
    }

    fn sent_until(&self) -> Timestamp {
        self.now
    }

    fn set_sent_until(&self, _: Timestamp, _: Timestamp) -> Change {
        done(true)
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
        if let Some(step) = step {
            self.journal.lock().done = step.to;
        }
        done(true)
    }

    fn change(&self, _: JournalChange) -> Change {
        done(true)
    }
}

impl Witness {
    fn of(socket: PathBuf, key: &[u8; 32], now: u64) -> Self {
        let server = Redis::new(Place::Unix(socket), Access::default());
        let me = Me {
            name: "witness.example".to_owned(),
            params: Params::default(),
            compares_clocks: false,
        };
        let shared = Shared::new(me, server.address());
        assert!(shared.unlock(key, None));
        let state = Arc::new(State {
            now: Timestamp::from_seconds(now),
            journal: Mutex::default(),
        });
        shared
            .start(Box::new(server), state.clone(), state.clone())
            .unwrap();
        wait_for("the witness", || shared.status().failure.is_none());
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        Self {
            shared,
            runtime,
            _state: state,
        }
    }

    /// What the server has under the key of a row.
    fn ask(&self, row: &Row) -> Option<Row> {
        let network = Prefix::parse(&row.network).unwrap();
        let case = match &row.mail {
            Some((sender, recipient)) => {
                let (sender, recipient) = (sender.as_bytes(), recipient.as_bytes());
                Case::of(None, Some(TripletKey::new(network, sender, recipient)))
            }
            None => Case::of(Some(ClientKey::new(network)), None),
        };
        let found = self.runtime.block_on(self.shared.ask(&case))?;
        let row = row.clone();
        if let Some((client, _)) = found.client {
            return Some(Row {
                count: client.count.into(),
                last: client.last.seconds(),
                ..row
            });
        }
        found.triplets[0].map(|(triplet, _)| Row {
            is_passed: triplet.is_passed(),
            first: triplet.first().seconds(),
            last: triplet.last().seconds(),
            ..row
        })
    }
}

/// A record of a triplet or a client.
#[derive(Debug, Clone)]
struct Row {
    network: String,
    /// Sender and recipient of a triplet.
    mail: Option<(String, String)>,
    is_passed: bool,
    first: u64,
    last: u64,
    count: u64,
}

impl Row {
    /// A line of an export; `None` for another one.
    fn read(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).unwrap();
        let kind = value.get("kind")?.as_str().unwrap();
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let number = |key: &str| value[key].as_u64().unwrap_or_default();
        let mail = text("sender").zip(text("recipient"));
        assert_eq!(kind == "triplet", mail.is_some(), "{line}");
        (kind == "triplet" || kind == "client").then(|| Self {
            network: text("network").or(text("client")).expect("a network"),
            mail,
            is_passed: text("state").as_deref() == Some("passed"),
            first: number("first"),
            last: number("last"),
            count: number("count"),
        })
    }

    /// What decides, of this record and the server's together.
    fn with(&self, server: &Self) -> (bool, u64, u64) {
        (
            self.is_passed || server.is_passed,
            self.first.min(server.first),
            self.count.max(server.count),
        )
    }
}

/// All records of a host.
fn records_of(host: &OnBus) -> BTreeMap<(String, Option<(String, String)>), Row> {
    let (code, export) = host.ctl(&["export"]);
    assert_eq!(code, 0);
    let rows = export.lines().filter_map(Row::read);
    rows.map(|row| ((row.network.clone(), row.mail.clone()), row))
        .collect()
}

/// The entries of a host that administrators have added: list and pattern.
fn entries_of(host: &OnBus) -> Vec<String> {
    let (code, list) = host.ctl(&["list", "client", "--json"]);
    assert_eq!(code, 0);
    let list: Value = serde_json::from_str(&list).unwrap();
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| row["pattern"].to_string()).collect()
}

/// What the hosts do not agree on, and how many records were compared. They agree if, with the server's record, each
/// decides by the same, and nothing that a host knows is missing on the server.
pub(super) fn disagreements(
    hosts: &[OnBus],
    socket: PathBuf,
    key: &[u8; 32],
    now: u64,
) -> (Vec<String>, usize) {
    let witness = Witness::of(socket, key, now);
    let mut said = Vec::new();
    let mut compared = BTreeMap::new();
    for host in hosts {
        for (key, row) in records_of(host) {
            let Some(server) = witness.ask(&row) else {
                said.push(format!("not on the server: {row:?}"));
                continue;
            };
            let together = row.with(&server);
            let on_server = server.with(&server);
            if together != on_server || server.last + DAY < row.last {
                said.push(format!("{row:?}, and on the server {server:?}"));
            }
            let before = compared.insert(key, together);
            if before.is_some_and(|before| before != together) {
                said.push(format!("another host has {before:?}, and this one {row:?}"));
            }
        }
    }
    let entries: Vec<Vec<String>> = hosts.iter().map(entries_of).collect();
    if entries.iter().any(|of_host| *of_host != entries[0]) {
        said.push(format!("entries: {entries:?}"));
    }
    (said, compared.len())
}

//! The servers of a site, and what happens to them.

use std::collections::BTreeSet;

use super::proxy::Network;
use crate::shared_records::{Redis, free_port, wait_for};
use crate::shared_routes::{Failover, failover};

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Stopped,
    Emptied,
    Hangs,
    ReadOnly,
    Failover,
    /// Its replica takes over while it hangs, and it is made the replica of that one.
    Demoted,
    Cut,
}

/// What the server has lost of the records that it had acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    None,
    All,
    /// What had not reached the replica.
    Last,
}

/// A row of the page.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) trouble: Trouble,
    pub(super) lost: Lost,
}

pub(super) const ROWS: [Row; 7] = [
    Row {
        name: "the server ends, and starts again with its data",
        trouble: Trouble::Stopped,
        lost: Lost::None,
    },
    Row {
        name: "the server ends, and starts again empty",
        trouble: Trouble::Emptied,
        lost: Lost::All,
    },
    Row {
        name: "the server hangs",
        trouble: Trouble::Hangs,
        lost: Lost::None,
    },
    Row {
        name: "the server becomes read-only",
        trouble: Trouble::ReadOnly,
        lost: Lost::None,
    },
    Row {
        name: "the primary ends, and its replica takes over",
        trouble: Trouble::Failover,
        lost: Lost::Last,
    },
    Row {
        name: "the primary hangs, and is back as a replica",
        trouble: Trouble::Demoted,
        lost: Lost::Last,
    },
    Row {
        name: "the network between one host and the server is cut",
        trouble: Trouble::Cut,
        lost: Lost::None,
    },
];

impl Lost {
    /// Expects this of so many records that were acknowledged, and so many of them that were lost.
    pub(super) fn expect(self, acknowledged: usize, lost: usize, name: &str) {
        let is_so = match self {
            Self::None => lost == 0,
            Self::All => lost == acknowledged,
            Self::Last => lost > 0 && lost < acknowledged / 2,
        };
        assert!(is_so, "{name}: {self:?}, {lost} of {acknowledged}");
    }
}

/// Names of keys.
pub(super) type Names = BTreeSet<String>;

/// The servers of a site.
pub(super) struct Servers {
    pub(super) primary: Redis,
    failover: Option<Failover>,
    network: Option<Network>,
    /// What the server has after the trouble, before any host has sent more.
    pub(super) kept: Names,
}

impl Servers {
    pub(super) fn start(trouble: Trouble) -> Self {
        let more: &[&str] = match trouble {
            Trouble::Stopped => &["--appendonly", "yes"],
            Trouble::Emptied
            | Trouble::Hangs
            | Trouble::ReadOnly
            | Trouble::Failover
            | Trouble::Demoted
            | Trouble::Cut => &[],
        };
        let primary = Redis::with(&|_| more.iter().map(ToString::to_string).collect());
        let has_replica = matches!(trouble, Trouble::Failover | Trouble::Demoted);
        Self {
            failover: has_replica.then(|| failover(&primary)),
            network: (trouble == Trouble::Cut).then(|| Network::to(primary.port)),
            primary,
            kept: Names::new(),
        }
    }

    /// The URLs of both hosts.
    pub(super) fn urls(&self) -> [String; 2] {
        let tcp = |port: u16| format!("redis://127.0.0.1:{port}/0");
        match (&self.failover, &self.network) {
            (Some(failover), _) => [failover.url(), failover.url()],
            (None, Some(network)) => [tcp(self.primary.port), tcp(network.port)],
            (None, None) => [tcp(self.primary.port), tcp(self.primary.port)],
        }
    }

    /// The server that has the records after the trouble.
    pub(super) fn last(&self) -> &Redis {
        self.failover
            .as_ref()
            .map_or(&self.primary, |failover| &failover.replica)
    }

    /// The replica, if there is one, gets nothing any more.
    pub(super) fn lag(&self) {
        if self.failover.is_some() {
            let cli = |command: &str| {
                let words: Vec<&str> = command.split(' ').collect();
                self.primary.cli(&words)
            };
            assert_eq!(cli("acl setuser replica off").trim(), "OK");
            assert_eq!(cli("client kill type replica").trim(), "1");
        }
    }

    pub(super) fn begin(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Stopped | Trouble::Emptied => self.primary.kill(),
            Trouble::Failover => {
                self.primary.kill();
                self.kept = self.last().names();
            }
            Trouble::Demoted => {
                self.primary.signal("-STOP");
                self.kept = self.last().names();
            }
            Trouble::Hangs => self.primary.signal("-STOP"),
            Trouble::ReadOnly => {
                let nobody = free_port().to_string();
                self.primary.cli(&["replicaof", "127.0.0.1", &nobody]);
            }
            Trouble::Cut => self.network.as_ref().expect("a network").cut(),
        }
    }

    /// What the hosts find when they are back.
    pub(super) fn mend(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Stopped | Trouble::Emptied => {
                self.primary.run_unreached();
                self.kept = self.primary.names();
                self.primary.open_port();
            }
            Trouble::Hangs => {
                self.primary.signal("-CONT");
                self.kept = self.primary.names();
            }
            Trouble::ReadOnly => {
                self.kept = self.primary.names();
                self.primary.cli(&["replicaof", "no", "one"]);
            }
            Trouble::Failover => self.await_new_primary(),
            Trouble::Demoted => {
                self.await_new_primary();
                self.primary.signal("-CONT");
                wait_for("the old primary is a replica", || {
                    self.primary.cli(&["role"]).starts_with("slave")
                });
            }
            Trouble::Cut => {
                self.kept = self.primary.names();
                self.network.as_ref().expect("a network").mend();
            }
        }
    }

    fn await_new_primary(&self) {
        let replica = self.last();
        wait_for("a new primary", || {
            replica.cli(&["role"]).starts_with("master")
        });
    }
}

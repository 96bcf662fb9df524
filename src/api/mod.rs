//! The D-Bus contract: names, errors, rows and the client's view of the interfaces.
//!
//! The daemon implements it, stargreyctl uses nothing else, and stargrey-dbus(7) describes it. Changes only add to it:
//! rows and options are dictionaries, never structures, and unknown keys are ignored. An incompatible change gets a bus
//! name with another number at its end.
//!
//! | interface | who may |
//! | --- | --- |
//! | [`MONITOR`] | anybody: counters and states, no addresses |
//! | [`MANAGER`] | root, and whom polkit allows |

#![forbid(unsafe_code)]

mod error;
mod keys;
mod proxy;
mod row;

pub use error::Error;
pub use keys::*;
pub use proxy::{ManagerProxy, MonitorProxy};
pub use row::{Dict, FromRow, Row};

/// The bus name.
pub const NAME: &str = "org.stargrey.Greylist1";

/// The object path.
pub const PATH: &str = "/org/stargrey/Greylist1";

/// The interface for everybody.
pub const MONITOR: &str = "org.stargrey.Greylist1.Monitor";

/// The interface for administrators.
pub const MANAGER: &str = "org.stargrey.Greylist1.Manager";

/// `StoreState` of a working database.
pub const STORE_OK: &str = "ok";

/// `SpamdState` while spamd answers.
pub const SPAMD_OK: &str = "ok";

/// `SpamdState` while it does not.
pub const SPAMD_AWAY: &str = "away";

/// `DnsLists` of the Monitor: the list replies, or was not queried yet.
pub const DNS_LIST_OK: &str = "ok";
/// `DnsLists` of the Monitor: the list has not replied to several lookups in a row.
pub const DNS_LIST_SILENT: &str = "silent";
/// `DnsLists` of the Monitor: the last reply of the list was an error code.
pub const DNS_LIST_ERROR: &str = "error";

/// `Lookups` of the Monitor: lookups under way.
pub const LOOKUPS_UNDER_WAY: &str = "under_way";
/// `Lookups` of the Monitor: answers in the cache.
pub const LOOKUPS_CACHED: &str = "cache_entries";

/// `SharedState` of a host that shares no records.
pub const SHARED_OFF: &str = "off";
/// `SharedState` while records are shared.
pub const SHARED_OK: &str = "ok";

/// `SharedHosts` of the Monitor: the host keeps up.
pub const SHARED_HOST_OK: &str = "ok";
/// `SharedHosts` of the Monitor: the host has not carried out all acts of administrators yet.
pub const SHARED_HOST_BEHIND: &str = "behind";
/// `SharedHosts` of the Monitor: the host has not been there for some minutes.
pub const SHARED_HOST_AWAY: &str = "away";

/// `Shared` of the Monitor: records that wait to be published.
pub const SHARED_QUEUED: &str = "queued";
/// `Shared` of the Monitor: records that there was no room for in the queue.
pub const SHARED_DROPPED: &str = "dropped";
/// `Shared` of the Monitor: mean duration of the last requests to the server, in microseconds.
pub const SHARED_LATENCY: &str = "latency_us";
/// `Shared` of the Monitor: difference between the clocks of this host and the server, in seconds.
pub const SHARED_APART: &str = "clock_difference";
/// `Shared` of the Monitor: requests for which the records of the other hosts were asked for.
pub const SHARED_ASKED: &str = "asked";
/// `Shared` of the Monitor: requests of these that were answered in time.
pub const SHARED_ANSWERED: &str = "answered";
/// `Shared` of the Monitor: records published.
pub const SHARED_PUBLISHED: &str = "published";
/// `Shared` of the Monitor: records improved by those of other hosts when they were published.
pub const SHARED_LEARNED: &str = "learned";
/// `Shared` of the Monitor: acts of administrators here that there was no room for, so that other hosts do not learn them.
pub const SHARED_ACTS_LOST: &str = "acts_lost";
/// `Shared` of the Monitor: acts of administrators at other hosts that this version cannot read.
pub const SHARED_ACTS_SKIPPED: &str = "acts_skipped";

/// `source` of a runtime entry.
pub const SOURCE_BUS: &str = "bus";

/// Maximum number of rows in one call or reply.
pub const MOST_ROWS: u32 = 1000;

/// The polkit actions, and the methods that each of them authorizes.
pub const ACTIONS: &[(&str, &[&str])] = &[
    (
        "org.stargrey.Greylist1.inspect",
        &[
            "ListEntries",
            "ListTriplets",
            "Explain",
            "ExplainMessage",
            "Export",
        ],
    ),
    (
        "org.stargrey.Greylist1.manage-entries",
        &["AddEntry", "PutEntry", "RemoveEntry"],
    ),
    (
        "org.stargrey.Greylist1.manage-records",
        &["Allow", "Forget", "Import"],
    ),
    (
        "org.stargrey.Greylist1.reload",
        &["Reload", "ResetStatistics"],
    ),
    ("org.stargrey.Greylist1.backup", &["Backup"]),
    ("org.stargrey.Greylist1.restore", &["Restore"]),
    ("org.stargrey.Greylist1.pause", &["Pause", "Resume"]),
];

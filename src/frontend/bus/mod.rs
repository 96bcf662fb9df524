//! The D-Bus object: what administrators and their programs see of the running daemon.
//!
//! It serves the contract of [`api`](crate::api) on the system bus: counters and states for everybody, entries and
//! records for root and for callers that polkit authorizes. It only translates between D-Bus and
//! [`control`](crate::control).
//!
//! # Without a bus
//!
//! Mail does not wait for a bus. If there is none, or another process owns the name, [`serve`] logs that once and
//! retries every ten seconds.
//!
//! # Limits
//!
//! | what | most | why |
//! | --- | --- | --- |
//! | rows of a page or an import | [`MOST_ROWS`](crate::api::MOST_ROWS) | the contract's |
//! | texts of a page of entries | 1 MiB | a message of the bus ends at 32 |
//! | an address | a line of the policy protocol | longer ones are never seen |
//! | rows of a history | 10,000 | 400 days of hours |
//! | concurrent histories | 4 | each is read from the disk, and every user may call |
//! | keys of a row or a filter | 64 | no caller can fill the memory with arguments |
//! | a key, a string, a cursor | 256 bytes, four lines, 8 KiB | the same; none of ours is longer |
//! | calls in progress | 16, 4 of a user; root is exempt | each holds its arguments while polkit decides, possibly as long as it takes to type a password |
//! | bytes of a call, except root's | 4 MiB | they are held while polkit decides |
//! | diagnostics of a refused reload | 1,000 | nobody reads more |

#![forbid(unsafe_code)]

mod arguments;
mod authorization;
mod connection;
mod entries;
mod error;
mod explanations;
mod files;
mod history;
mod manager;
mod monitor;
mod request_attributes;
mod rows;
mod signals;
mod wire_types;

use tokio::sync::{mpsc, oneshot};

use crate::config::Diagnostic;
use crate::types::Timestamp;

pub use connection::serve;

/// The constant properties of the Monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorInfo {
    /// When the daemon was started.
    pub started_at: Timestamp,
    /// How suspicious clients are treated: `greylist`, `tarpit`, `delay` or `targrey`.
    pub mode: &'static str,
    /// The file of access lists; empty if there is none.
    pub greylist_conf: String,
}

/// The result of a reload: the errors for which it was refused, if it was.
pub type ReloadResult = Result<(), Vec<Diagnostic>>;

/// Where the result of a requested reload is sent.
pub type ReloadReply = oneshot::Sender<ReloadResult>;

/// Requests a reload.
pub type ReloadSender = mpsc::Sender<ReloadReply>;

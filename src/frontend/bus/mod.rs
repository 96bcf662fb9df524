//! The D-Bus object: what administrators and their programs see of the running daemon.
//!
//! It serves the contract of [`api`](crate::api) on the system bus: counters and states for everybody, entries
//! and records for root and whom polkit allows. It translates and decides nothing; what is asked is the gate's
//! to answer.
//!
//! # Without a bus
//!
//! Mail does not wait for a bus. When there is none, or the name belongs to somebody else, that is said once and
//! tried again every ten seconds; [`serve`] never ends because of it.
//!
//! # Limits
//!
//! | what | most | why |
//! | --- | --- | --- |
//! | rows of a page or an import | [`MOST_ROWS`](crate::api::MOST_ROWS) | the contract's |
//! | texts of a page of entries | 1 MiB | a message of the bus ends at 32 |
//! | an address | a line of the policy protocol | longer ones are never seen |
//! | rows of a history | 10,000 | 400 days of hours |
//! | histories at once | 4 | each is read from the disk, and anybody may ask |
//! | keys of a row or a filter | 64 | no caller can fill the memory with arguments |
//! | a key, a text, a cursor | 256 bytes, four lines, 8 KiB | the same; nothing of ours is longer |
//! | calls under way | 16, 4 of a user, root's aside | each keeps its arguments while polkit is asked, and a password takes its time |
//! | what somebody else than root sends at once | 4 MiB | it is kept while polkit is asked |
//! | complaints of a refused reload | 1,000 | nobody reads more |

#![forbid(unsafe_code)]

mod arguments;
mod connection;
mod consent;
mod entries;
mod error;
mod given;
mod history;
mod manager;
mod monitor;
mod news;
mod rows;
mod unpacking;

use tokio::sync::{mpsc, oneshot};

use crate::config::Diagnostic;
use crate::types::Timestamp;

pub use connection::serve;

/// What does not change while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// When it was started.
    pub started_at: Timestamp,
    /// What is done to suspicious clients: `greylist`, `tarpit`, `delay` or `targrey`.
    pub mode: &'static str,
}

/// What became of a reload: the complaints for which it was refused.
pub type Reloaded = Result<(), Vec<Diagnostic>>;

/// Asks for a reload; what became of it is sent back.
pub type ReloadSender = mpsc::Sender<oneshot::Sender<Reloaded>>;

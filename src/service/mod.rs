//! The service: decides attempts.
//!
//! Front ends use [`Gate`]. `pipeline.rs` has the path of a request: the policy core settles what it can without the
//! store, the records are read on the caller's task, and a decision that must be durable before the reply is repeated
//! by the writer thread (`worker`), which commits many requests in one transaction. Other changes (when something was
//! last seen) go through the `write_behind` buffer.
//!
//! # When the store fails
//!
//! The gate replies as `--on-store-failure` says, the writer thread retries every ten seconds, and [`Gate::status`] has
//! the failure until it is over. One line is logged at its beginning and one at its end.

#![forbid(unsafe_code)]

pub mod clock;
mod commit;
mod dns_counts;
mod gate;
mod instance_cache;
pub(crate) mod internals;
pub mod journal;
mod last_clients;
pub(crate) mod live_rules;
mod message;
mod message_content;
mod message_findings;
mod message_memory;
mod message_rules;
mod milter_messages;
mod milter_timeouts;
pub(crate) mod pattern;
mod pause;
pub(crate) mod pipeline;
pub mod report;
mod rule_state;
mod set_cache;
mod sharing;
mod sleeps;
mod spam_filter;
mod state;
mod stats;
pub(crate) mod triplet_counts;
pub(crate) mod worker;
mod write_behind;

pub use gate::{Gate, MilterSession, Start, StartError};
pub use internals::Internals;
pub use last_clients::LastClient;
pub use message::{MessageDecision, MessageFate, MessageRequest};
pub use message_memory::MemoryShare;
pub use message_rules::{MessageNeeds, MessageRules};
pub use milter_messages::{GivenFields, MilterMessage};
pub use milter_timeouts::Awaited;
pub use pipeline::Decision;
pub use spam_filter::SpamFilter;
pub use state::Status;
pub use triplet_counts::DELAY_CLASSES;

pub use crate::lookup::ZoneState;
pub use crate::shared::{HostState as SharedHostState, Status as SharedStatus};
pub(crate) use stats::Change;
pub use stats::{Counts, MessageEnd, Totals};

//! The one use case: an attempt comes in, a decision goes out.
//!
//! [`Gate`] is what front ends hold. The way of a request is in `pipeline.rs`: the core settles what it can without the
//! store, the records are read on the caller's own task, and what must be durable before the reply is decided again by
//! the `worker` thread, which commits many requests in one transaction. Other changes (when something was last seen)
//! go through the `write_behind` buffer.
//!
//! # When the store fails
//!
//! The gate answers what `--on-store-failure` says, the worker tries again every ten seconds, and
//! [`Gate::status`] says so until it is well. One line is logged when it begins and one when it ends.

#![forbid(unsafe_code)]

pub mod clock;
mod dns_counts;
pub(crate) mod effects;
mod gate;
mod instance_cache;
pub(crate) mod internals;
pub mod journal;
mod last_clients;
pub(crate) mod live_rules;
pub(crate) mod pattern;
mod pause;
pub(crate) mod pipeline;
mod set_cache;
mod sleeps;
mod state;
mod stats;
pub(crate) mod worker;
mod write_behind;

pub use effects::DELAY_CLASSES;
pub use gate::{Gate, Start, StartError};
pub use internals::Internals;
pub use last_clients::LastClient;
pub use pipeline::Decision;
pub use state::Status;

pub use crate::lookup::ZoneState;
pub use stats::{Counts, Totals};

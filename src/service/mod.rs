//! The one use case: an attempt comes in, a decision goes out.
//!
//! [`Gate`] is what front ends hold. It reads the clock once, asks the core what can be settled without
//! the store, reads the records on the caller's own task, and hands what has to be remembered to the
//! [`worker`](self) thread, which decides again inside one write transaction for many requests, commits, and
//! answers them all. What need not be promised (when something was last seen) is collected and written with
//! later commits.
//!
//! # When the store fails
//!
//! The gate answers what `--on-store-failure` says, the worker tries again every ten seconds, and
//! [`Gate::status`] says so until it is well. One line is logged when it begins and one when it ends.

#![forbid(unsafe_code)]

pub mod clock;
pub(crate) mod gate;
mod instance_cache;
pub mod journal;
mod last_clients;
pub(crate) mod live_rules;
pub(crate) mod pattern;
mod pause;
mod set_cache;
mod sleeps;
mod state;
mod stats;
pub(crate) mod worker;
mod write_behind;

pub use gate::{Decision, Gate, Internals, Start, StartError};
pub use last_clients::LastClient;
pub use state::Status;
pub use stats::{Counts, Totals};

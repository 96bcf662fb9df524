//! Integration tests: the real daemon, asked over its real sockets.
//!
//! One program, so that it is linked once; a module for each subject.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails here says where"
)]

mod bus;
mod durability;
mod listening;
mod postfix;
mod postgrey;
mod process;
mod reload;
mod support;
mod wire;

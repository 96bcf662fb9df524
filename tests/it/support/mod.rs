//! What the tests stand on: the real daemon in a directory of its own, a policy client, a clock.

pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod server;

pub(crate) use client::{Client, rcpt};
pub(crate) use clock::TestClock;
pub(crate) use server::Daemon;

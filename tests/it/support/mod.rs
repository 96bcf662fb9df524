//! What the tests stand on: the real daemon in a directory of its own, a policy client, a clock.

pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod machine;
pub(crate) mod mail;
pub(crate) mod milter;
pub(crate) mod network;
pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod smtp;
pub(crate) mod unpacked;

pub(crate) use client::{Client, nth_request, rcpt};
pub(crate) use clock::TestClock;
pub(crate) use server::Daemon;

/// A number that the environment gives, or else another.
pub(crate) fn number_from_environment(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Says something beside the result of a test.
#[expect(
    clippy::print_stdout,
    reason = "the test harness keeps it until it is wanted"
)]
pub(crate) fn remark(text: &str) {
    println!("{text}");
}

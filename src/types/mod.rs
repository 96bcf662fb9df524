//! Vocabulary: time, addresses and networks, text. No input, no output, no clock.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod network;
mod reply;
mod systemd;
mod text;
mod time;

pub use network::{ClientIp, Prefix, PrefixError};
pub use reply::{Reply, ReplyText};
pub use systemd::{Word, decoded, is_undecodable, split_words};
pub use text::{Printable, Unbroken, counted, unprintable};
pub use time::{Span, Timestamp};

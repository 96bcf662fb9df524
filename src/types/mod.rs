//! Basic types: time, addresses and networks, text, closed sets of words. No I/O, no clock.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod action;
mod list;
mod network;
mod reason;
mod reply;
pub mod sync;
mod systemd;
mod text;
mod time;

pub use action::Action;
pub use list::ListName;
pub use network::{ClientIp, DNS_PORT, Prefix, PrefixError};
pub use reason::{Reason, ReasonText};
pub use reply::{AddedHeader, HeaderText, Reply, ReplyText, SmtpCode};
pub use systemd::{Word, decoded, is_undecodable, split_words};
pub use text::{Printable, Unbroken, counted, unprintable};
pub use time::{Span, Timestamp};

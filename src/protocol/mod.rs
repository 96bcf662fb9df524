//! Codecs: bytes to requests, answers to bytes. No sockets here.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod milter;
pub mod policy;

//! Codecs: bytes to requests, answers to bytes. No sockets here.

#![forbid(unsafe_code)]

pub mod policy;

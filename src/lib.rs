//! stargrey.

pub mod config;
pub mod daemon;
pub mod frontend;
pub mod policy;
pub mod protocol;
pub mod service;
pub mod store;
pub mod types;

//! stargrey.

pub mod config;
pub mod policy;
pub mod protocol;
pub mod store;
pub mod types;

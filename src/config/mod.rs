//! From text to settings and lists: the command line and the list files.
//!
//! Nothing here logs and nothing is validated later: what comes out is right, or comes with
//! [`Complaint`]s that say where it is wrong.

#![forbid(unsafe_code)]

mod complaint;
pub mod environment;
mod lists;
mod options;
mod params;
mod settings;
pub mod tables;
mod value;

pub use complaint::{Complaint, Findings};
pub use lists::{Files, ListFiles, Loaded, MAX_LIST_BYTES, read_address_list, read_client_list};
pub use options::{Options, Refusal};
pub use settings::{
    DEFAULT_FACILITY, Endpoint, SYSLOG_NAME, Settings, StoreSettings, Surroundings, SyncMode,
    TimeSource, Verbosity,
};

//! From text to settings and lists: the command line and the list files.
//!
//! Nothing here logs and nothing is validated later: what comes out is right, or comes with
//! [`Diagnostic`]s that say where it is wrong.

#![forbid(unsafe_code)]

mod diagnostic;
mod endpoint;
pub mod environment_file;
mod file;
mod lists;
mod lookup;
mod options;
mod params;
mod settings;
pub mod tables;
mod value;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use endpoint::Endpoint;
pub use file::MAX_LIST_BYTES;
pub use lists::{Files, ListFiles, Loaded, read_address_list, read_client_list};
pub use lookup::{LookupSettings, MOST_TIMEOUT};
pub use options::{Options, ParseOutcome};
pub use settings::{
    DEFAULT_FACILITY, Environment, SYSLOG_NAME, Settings, StoreSettings, SyncMode, TimeSource,
    Verbosity,
};

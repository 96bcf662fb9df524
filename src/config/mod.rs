//! Parses the command line into settings, and list files into lists.
//!
//! Nothing here logs. The results are valid and need no later check; every error is a [`Diagnostic`] with its location.

#![forbid(unsafe_code)]

mod command_line;
mod diagnostic;
mod endpoint;
mod environment;
pub mod environment_file;
mod file;
pub mod greylist_conf;
mod lists;
mod logging;
mod lookup;
mod options;
mod params;
mod process;
mod replay;
mod settings;
mod shared;
mod sockets;
mod spam;
mod store;
pub mod tables;
mod texts;
mod unit_options;
mod value;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use endpoint::Endpoint;
pub use environment::Environment;
pub use file::MAX_LIST_BYTES;
pub use greylist_conf::LoadedConf;
pub use lists::{Files, ListFiles, Loaded, read_address_list, read_client_list};
pub use logging::{DEFAULT_FACILITY, LogSettings, SYSLOG_NAME, Verbosity};
pub use lookup::{LookupSettings, MOST_TIMEOUT};
pub use options::{Options, ParseOutcome};
pub use process::{ProcessSettings, TimeSource};
pub use replay::ReplaySettings;
pub use settings::Settings;
pub use shared::{SharedPlace, SharedSecret, SharedSettings};
pub use sockets::SocketSettings;
pub use spam::{SPAMD_SECONDS, SpamSettings, SpamSource};
pub use store::{StoreSettings, SyncMode};
pub use unit_options::{STATE_DIRECTORY, UnitOptions};

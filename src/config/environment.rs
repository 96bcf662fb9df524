//! The inputs of the settings besides the command line.

use std::ffi::OsString;

use jiff::tz::TimeZone;

/// The inputs of the settings besides the command line.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The machine's name.
    pub hostname: String,
    /// `POSTGREY_TEXT` of Debian's option file.
    pub postgrey_text: Option<String>,
    /// `STATE_DIRECTORY` of the unit.
    pub state_directory: Option<OsString>,
    /// The time zone of dates.
    pub zone: Option<TimeZone>,
    /// Whether the service manager hands over a socket for milter connections.
    pub has_milter_socket: bool,
    /// Whether the process may become another user.
    pub is_root: bool,
}

//! Options of the log.

use super::diagnostic::Diagnostics;
use super::options::Options;
use super::value;

/// The default identifier of log records.
pub const SYSLOG_NAME: &str = "stargrey";

/// The syslog facility, mail, of errors about options.
pub const DEFAULT_FACILITY: u8 = 2;

/// Syslog's facilities with their numbers (RFC 5424, 6.2.1).
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("security", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// No line for each decision.
    Quiet,
    /// One line for each decision.
    Normal,
    /// Repeated requests and debug messages too.
    Verbose,
}

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How much is logged.
    pub verbosity: Verbosity,
    /// The syslog facility's number.
    pub facility: u8,
    /// The identifier of log records.
    pub name: String,
}

impl LogSettings {
    /// The identifier for errors about options: the requested one if it is valid.
    #[must_use]
    pub fn name_or_default(requested: Option<&str>) -> String {
        requested
            .and_then(|name| value::syslog_name(name).ok())
            .unwrap_or_else(|| SYSLOG_NAME.to_owned())
    }
}

/// Reads the options.
pub(super) fn read(options: &Options, found: &mut Diagnostics) -> LogSettings {
    let facility = value::word(&options.syslog_facility, FACILITIES);
    let name = value::syslog_name(&options.syslog_name);
    LogSettings {
        verbosity: match (options.quiet, options.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        },
        facility: found.take("--syslog-facility", facility, 0),
        name: found.take("--syslog-name", name, String::new()),
    }
}

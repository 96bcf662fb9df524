//! Options of the process: its user, its group and its clock.

use std::path::PathBuf;

use super::diagnostic::Diagnostics;
use super::environment::Environment;
use super::options::Options;

/// The clock of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeSource {
    /// The system's clock.
    System,
    /// A file with the seconds since the epoch in it.
    File(PathBuf),
}

/// The user, the group and the clock of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// User to become when started as root.
    pub user: String,
    /// Group to become when started as root.
    pub group: String,
    /// The clock of the daemon.
    pub time: TimeSource,
}

/// Reads the options.
pub(super) fn read(
    options: &Options,
    environment: &Environment,
    found: &mut Diagnostics,
) -> ProcessSettings {
    if !environment.is_root {
        for (option, value) in [("--user", &options.user), ("--group", &options.group)] {
            if value != "stargrey" {
                found.warn(option, "ignored: only root can change the user or group");
            }
        }
    }
    ProcessSettings {
        user: options.user.clone(),
        group: options.group.clone(),
        time: match &options.test_clock {
            None => TimeSource::System,
            Some(path) => TimeSource::File(path.into()),
        },
    }
}

//! Options of the database.

use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostics;
use super::environment::Environment;
use super::options::Options;
use super::value;

/// The default directory of the database.
const DATABASE_DIRECTORY: &str = "/var/lib/stargrey";

/// Minimum of `--max-size`, in bytes: a smaller database is useless.
const LEAST_SIZE: u64 = 1 << 20;

/// What is on disk before a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// The data pages: a process crash loses nothing, a power failure may undo the last commits.
    Data,
    /// The meta page too: a power failure loses nothing either.
    Full,
}

/// The settings of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Its directory.
    pub directory: PathBuf,
    /// Its maximum size in bytes.
    pub max_size: usize,
    /// What is on disk before a reply.
    pub sync: SyncMode,
    /// Whether it stores only hashes of addresses.
    pub privacy: bool,
}

/// Reads the options.
pub(super) fn read(
    options: &Options,
    environment: &Environment,
    found: &mut Diagnostics,
) -> StoreSettings {
    let sync = value::word(
        &options.sync,
        &[("data", SyncMode::Data), ("full", SyncMode::Full)],
    );
    StoreSettings {
        directory: directory(options, environment, found),
        max_size: found.take("--max-size", value::size(&options.max_size, LEAST_SIZE), 0),
        sync: found.take("--sync", sync, SyncMode::Full),
        privacy: options.privacy,
    }
}

/// The directory of the database. In the sandbox of the unit only the state directory is writable.
fn directory(options: &Options, environment: &Environment, found: &mut Diagnostics) -> PathBuf {
    let state = environment.state_directory.as_ref().and_then(|list| {
        let list = list.to_string_lossy();
        list.split(':')
            .next()
            .filter(|first| !first.is_empty())
            .map(PathBuf::from)
    });
    match (&options.dbdir, state) {
        (Some(requested), Some(state)) if !Path::new(requested).starts_with(&state) => {
            found.warn(
                "--dbdir",
                format!(
                    "{requested:?} is outside the unit's state directory, using {} instead",
                    state.display()
                ),
            );
            state
        }
        (Some(requested), _) => requested.into(),
        (None, Some(state)) => state,
        (None, None) => DATABASE_DIRECTORY.into(),
    }
}

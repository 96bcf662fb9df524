//! Options of the database.

use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostics;
use super::environment::Environment;
use super::options::Options;
use super::value;

/// Where the database is unless options say otherwise.
const DATABASE_DIRECTORY: &str = "/var/lib/stargrey";

/// Least `--max-size`: less than this holds nothing useful.
const LEAST_SIZE: u64 = 1 << 20;

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// The data: a kill loses nothing, a power cut may undo the last commits.
    Data,
    /// Everything: a power cut loses nothing either.
    Full,
}

/// How the database is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Its directory.
    pub directory: PathBuf,
    /// Its greatest size in bytes.
    pub max_size: usize,
    /// What an answer waits for.
    pub sync: SyncMode,
    /// Whether only hashes are kept.
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

/// The unit's state directory is the only one that its sandbox lets the daemon write to.
fn directory(options: &Options, environment: &Environment, found: &mut Diagnostics) -> PathBuf {
    let state = environment.state_directory.as_ref().and_then(|list| {
        let list = list.to_string_lossy();
        list.split(':')
            .next()
            .filter(|first| !first.is_empty())
            .map(PathBuf::from)
    });
    match (&options.dbdir, state) {
        (Some(asked), Some(state)) if !Path::new(asked).starts_with(&state) => {
            found.warn(
                "--dbdir",
                format!(
                    "{asked:?} is outside the unit's state directory, using {} instead",
                    state.display()
                ),
            );
            state
        }
        (Some(asked), _) => asked.into(),
        (None, Some(state)) => state,
        (None, None) => DATABASE_DIRECTORY.into(),
    }
}

//! Programs of Debian that `make check` unpacks beside the tests, because they are not to be installed.

use std::env;
use std::path::PathBuf;

use super::machine::not_proven;

/// The directory with what the script `tests/NAME` has unpacked; without it a test says that it has shown nothing.
pub(crate) fn unpacked(name: &str, test: &str) -> Option<PathBuf> {
    let tests = env::current_exe().unwrap();
    // target/debug/deps/it-…
    let target = tests.ancestors().nth(3).unwrap();
    let directory = target.join(name);
    if directory.exists() {
        return Some(directory);
    }
    let reason = format!(
        "{} is missing; `tests/{name} {}` fetches it",
        directory.display(),
        target.display()
    );
    not_proven(test, &reason);
    None
}

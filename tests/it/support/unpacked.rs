//! Programs of Debian that `make check` unpacks beside the tests, because they are not to be installed.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

/// The directory with what the script `tests/NAME` has unpacked; without it a test says that it has shown nothing.
pub(crate) fn unpacked(name: &str, test: &str) -> Option<PathBuf> {
    let tests = env::current_exe().unwrap();
    // target/debug/deps/it-…
    let target = tests.ancestors().nth(3).unwrap();
    let directory = target.join(name);
    if directory.exists() {
        return Some(directory);
    }
    // Past the test program, which keeps what a good test prints to itself.
    let said = format!(
        "\n{test}: NOT PROVEN: {} is missing; `tests/{name} {}` fetches it\n",
        directory.display(),
        target.display()
    );
    io::stderr().write_all(said.as_bytes()).unwrap();
    None
}

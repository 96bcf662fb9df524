//! What tests need of the machine.
//!
//! A missing right or program fails the test, with the cure: `make check-deps` installs the programs, and the tests run
//! as root. Only what this machine cannot have at all lets a test end early; then [`not_proven`] says so.

use std::fs;
use std::io::Write;
use std::path::Path;

/// `CAP_SYS_ADMIN` of capabilities(7): without it not even root can mount.
const SYS_ADMIN: u32 = 21;

/// Fails the test unless it runs as root, which is needed for this reason.
#[track_caller]
pub(crate) fn require_root(reason: &str) {
    assert!(
        nix::unistd::geteuid().is_root(),
        "run this test as root: {reason}"
    );
}

/// Fails the test unless the program is there.
#[track_caller]
pub(crate) fn require_program(path: &str, package: &str) {
    assert!(
        Path::new(path).exists(),
        "{path} is missing: install Debian's {package} with `make check-deps`"
    );
}

/// Whether the kernel lets this process mount file systems.
pub(crate) fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = u64::from_str_radix(held.expect("a set of capabilities").trim(), 16).unwrap();
    held & (1 << SYS_ADMIN) != 0
}

/// Says that a test shows nothing on this machine, and why. The test harness keeps what a good test prints, so this goes
/// past it.
pub(crate) fn not_proven(test: &str, reason: &str) {
    let said = format!("\n{test}: NOT PROVEN: {reason}\n");
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}

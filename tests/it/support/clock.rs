//! A clock that the test sets, given to the daemon by `--test-clock`.

use std::fs;
use std::path::{Path, PathBuf};

/// A file with the time in it: seconds since the epoch.
#[derive(Debug)]
pub(crate) struct TestClock {
    path: PathBuf,
    now: std::cell::Cell<u64>,
}

impl TestClock {
    /// A clock in `directory` that stands at `now`.
    pub(crate) fn at(directory: &Path, now: u64) -> Self {
        let clock = Self {
            path: directory.join("clock"),
            now: std::cell::Cell::new(now),
        };
        clock.set(now);
        clock
    }

    /// Sets the time; the daemon sees it with its next request. The file is replaced whole.
    pub(crate) fn set(&self, now: u64) {
        let next = self.path.with_extension("next");
        fs::write(&next, format!("{now}\n")).unwrap();
        fs::rename(&next, &self.path).unwrap();
        self.now.set(now);
    }

    /// Moves the time on by `seconds`.
    pub(crate) fn advance(&self, seconds: u64) {
        self.set(self.now.get() + seconds);
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The option that makes the daemon read this clock.
    pub(crate) fn option(&self) -> String {
        format!("--test-clock={}", self.path.display())
    }
}

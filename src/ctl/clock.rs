//! The clocks: read once for all output, and by the progress bar.

use std::time::Duration;

use jiff::Zoned;
use nix::time::{ClockId, clock_gettime};

/// The local time.
#[must_use]
pub fn now() -> Zoned {
    Zoned::now()
}

/// Monotonic time since an arbitrary moment.
#[must_use]
pub fn steady() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

//! The time: asked once for everything that is shown, and by the progress bar.

use std::time::Duration;

use jiff::Zoned;
use nix::time::{ClockId, clock_gettime};

/// The time of the day where we are.
#[must_use]
pub fn now() -> Zoned {
    Zoned::now()
}

/// The time since some moment in the past, never set by anybody.
#[must_use]
pub fn steady() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

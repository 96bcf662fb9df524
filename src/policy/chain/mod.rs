//! The chain of rules: what an ordered list of entries says about an attempt.

mod schedule;

pub use schedule::{LocalTime, Schedule, ScheduleError};

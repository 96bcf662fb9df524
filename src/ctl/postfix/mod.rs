//! Whether Postfix calls the policy service and the milter, as far as its configuration says so.
//!
//! ```text
//! postconf → settings::Settings → check::report: what each smtpd does with mail of unknown clients
//!                               → milters::report_milter: whether it asks the milter, and waits for it
//! endpoint → probe: whether somebody replies there
//! ```
//!
//! All but the last are pure functions of what postconf prints.
//!
//! # What it cannot see
//!
//! What access tables return, restriction classes among it: the report says so and does not guess.

mod check;
mod milters;
mod probe;
mod restrictions;
mod settings;

pub use check::{Reach, Report, report};
pub use milters::{MilterReport, report_milter};
pub use probe::{probe, probe_milter};
pub use settings::Settings;

#[cfg(test)]
mod tests;

//! Whether Postfix calls the policy service, as far as its configuration says so.
//!
//! ```text
//! postconf → settings::Settings → check::report: what each smtpd does with mail of unknown clients
//! endpoint → probe::probe: whether somebody replies there
//! ```
//!
//! The two first are pure functions of what postconf prints.
//!
//! # What it cannot see
//!
//! What access tables return, restriction classes among it: the report says so and does not guess.

mod check;
mod probe;
mod restrictions;
mod settings;

pub use check::{Reach, Report, report};
pub use probe::probe;
pub use settings::Settings;

#[cfg(test)]
mod tests;

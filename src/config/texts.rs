//! Options of the wording of replies.

use jiff::tz::TimeZone;

use super::diagnostic::Diagnostics;
use super::environment::Environment;
use super::options::Options;
use crate::policy::Texts;

/// The default text of a deferral.
const GREYLIST_TEXT: &str = "Greylisted, please try again in %s seconds";

/// Reads the options; `None` after an error.
pub(super) fn read(
    options: &Options,
    environment: &Environment,
    found: &mut Diagnostics,
) -> Option<Texts> {
    let not_empty = |text: &&String| !text.is_empty();
    let postgrey_text = environment.postgrey_text.as_ref().filter(not_empty);
    let text = options.greylist_text.as_ref().or(postgrey_text);
    let texts = Texts::new(
        &options.greylist_action,
        text.map_or(GREYLIST_TEXT, String::as_str),
        &options.x_greylist_header,
        options.hostname.as_ref().unwrap_or(&environment.hostname),
        environment.zone.clone().unwrap_or(TimeZone::UTC),
    );
    texts
        .map_err(|(option, error)| found.error(option, error))
        .ok()
}

//! Options of the wording of replies.

use jiff::tz::TimeZone;

use super::diagnostic::Diagnostics;
use super::environment::Environment;
use super::options::Options;
use crate::policy::Texts;

/// The default text of a deferral.
const GREYLIST_TEXT: &str = "Greylisted, please try again in %s seconds";

/// Actions of access(5) whose text may be the one of the reply.
const ACTIONS: [&str; 10] = [
    "DEFER_IF_PERMIT",
    "DEFER_IF_REJECT",
    "DEFER",
    "REJECT",
    "DUNNO",
    "OK",
    "HOLD",
    "DISCARD",
    "WARN",
    "INFO",
];

/// An action that has to have a header field in front of the text.
const WITH_FIELD: &str = "PREPEND";

/// Refuses what Postfix does not take for an action that is followed by a text. It would answer a server configuration
/// error to each greylisted client.
fn check_action(action: &str, found: &mut Diagnostics) {
    let (word, rest) = action.trim().split_once(' ').unwrap_or((action.trim(), ""));
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    let is_code = matches!(word.as_bytes(), [b'4' | b'5', tens, ones]
        if tens.is_ascii_digit() && ones.is_ascii_digit());
    let has_field = is(WITH_FIELD) && rest.contains(':');
    if !(is_code || has_field || ACTIONS.iter().any(|known| is(known))) {
        found.error(
            "--greylist-action",
            format!(
                "{action:?} is not an action of access(5) that a text can follow: {}, {WITH_FIELD} with a header field, \
                 or a code such as 450",
                ACTIONS.join(", ")
            ),
        );
    }
}

/// Reads the options; `None` after an error.
pub(super) fn read(
    options: &Options,
    environment: &Environment,
    found: &mut Diagnostics,
) -> Option<Texts> {
    if !options.greylist_action.trim().is_empty() {
        check_action(&options.greylist_action, found);
    }
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

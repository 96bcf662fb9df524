//! How `status` shows that the mail server does not wait for the milter.

use crate::api::{Dict, FromRow};
use crate::ctl::render::{Cell, Style};

/// How many slow replies in a row it has not waited for; 0 if they are too few to tell.
fn timeouts(properties: &Dict) -> u64 {
    properties.number("MilterTimeouts").unwrap_or_default()
}

/// Whether it waits, as far as is known.
pub(super) fn is_ok(properties: &Dict) -> bool {
    timeouts(properties) == 0
}

/// That it does not wait, and what to do; nothing if it does.
pub(super) fn shown(properties: &Dict) -> Option<Cell> {
    if is_ok(properties) {
        return None;
    }
    let text = format!(
        "the mail server did not wait for the last {} slow replies; raise its timeout, see stargrey-milter(7)",
        timeouts(properties)
    );
    Some(Cell::new(text).styled(Style::Bad))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Row;
    use crate::ctl::render::KeyValues;
    use crate::ctl::view::View;

    #[test]
    fn a_mail_server_that_does_not_wait_is_shown() {
        let of = |timeouts: u64| Row::new().with("MilterTimeouts", timeouts).build();
        for properties in [of(0), Row::new().build()] {
            assert!(is_ok(&properties), "{properties:?}");
            assert!(shown(&properties).is_none(), "{properties:?}");
        }
        for timeouts in [3, 70] {
            let properties = of(timeouts);
            assert!(!is_ok(&properties), "{timeouts}");
            let row = KeyValues::new().with_some("Milter", shown(&properties));
            let text = row.render(&View::of_80_columns().terminal);
            let want = format!("Milter: the mail server did not wait for the last {timeouts} slow");
            assert!(text.starts_with(&want), "{text}");
        }
    }
}

//! How `status` shows spamd.

use crate::api::{Dict, FromRow, SPAMD_AWAY};
use crate::ctl::render::{Cell, Style};

/// Whether it answers, if there is one.
pub(super) fn is_ok(properties: &Dict) -> bool {
    properties.text("SpamdState") != Some(SPAMD_AWAY)
}

/// Whether it answers; nothing without spamd.
pub(super) fn shown(properties: &Dict) -> Option<Cell> {
    let state = properties.text("SpamdState")?;
    if state.is_empty() {
        return None;
    }
    Some(if is_ok(properties) {
        Cell::new("answers").styled(Style::Good)
    } else {
        Cell::new("does not answer; messages have no score").styled(Style::Bad)
    })
}

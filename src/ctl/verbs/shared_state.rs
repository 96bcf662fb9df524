//! How `status` shows the sharing of records with other hosts.

use crate::api::{
    Dict, FromRow, SHARED_ACTS_LOST, SHARED_ACTS_SKIPPED, SHARED_ANSWERED, SHARED_APART,
    SHARED_ASKED, SHARED_DROPPED, SHARED_HOST_AWAY, SHARED_HOST_BEHIND, SHARED_HOST_OK,
    SHARED_LATENCY, SHARED_OFF, SHARED_OK, SHARED_QUEUED,
};
use crate::ctl::render::{Cell, Style, span};
use crate::types::{Span, counted};

/// What is counted, once and several times.
const RECORDS: (&str, &str) = ("record", "records");
const ACTS: (&str, &str) = ("act of an administrator", "acts of administrators");

/// Whether records are shared with the other hosts of the site, if they ought to be.
pub(super) fn is_ok(properties: &Dict) -> bool {
    matches!(
        properties.text("SharedState"),
        None | Some(SHARED_OFF | SHARED_OK)
    )
}

/// Whether there are other hosts of the site, which do what is done here.
pub(super) fn is_on(properties: &Dict) -> bool {
    let state = properties.text("SharedState");
    state.is_some_and(|state| state != SHARED_OFF)
}

/// How records are shared with the other hosts of the site, if they are.
pub(super) fn shown(properties: &Dict) -> Option<Cell> {
    let state = properties
        .text("SharedState")
        .filter(|state| *state != SHARED_OFF)?;
    let figures = properties.counters("Shared").unwrap_or_default();
    let figure = |word: &str| figures.get(word).copied().unwrap_or_default();
    let mut parts = vec![state.to_owned()];
    let (asked, answered) = (figure(SHARED_ASKED), figure(SHARED_ANSWERED));
    if asked > 0 {
        let latency = figure(SHARED_LATENCY);
        let (ms, tenths) = (
            latency.div_euclid(1000),
            latency.rem_euclid(1000).div_euclid(100),
        );
        parts.push(format!(
            "{answered} of {asked} requests answered in {ms}.{tenths} ms"
        ));
    }
    let others = [
        (figure(SHARED_QUEUED), RECORDS, "to publish"),
        (figure(SHARED_DROPPED), RECORDS, "left out for lack of room"),
        (
            figure(SHARED_ACTS_LOST),
            ACTS,
            "lost for lack of room: repeat them at the other hosts",
        ),
        (
            figure(SHARED_ACTS_SKIPPED),
            ACTS,
            "of other hosts not understood",
        ),
    ];
    let others = others.into_iter().filter(|(count, ..)| *count > 0);
    parts.extend(
        others.map(|(count, (one, many), what)| format!("{} {what}", counted(count, one, many))),
    );
    let hosts = properties.words("SharedHosts").unwrap_or_default();
    let mut others: Vec<String> = hosts
        .into_iter()
        .filter_map(|(host, state)| match state.as_str() {
            SHARED_HOST_OK => None,
            SHARED_HOST_BEHIND => Some(format!("{host} has not caught up")),
            SHARED_HOST_AWAY => Some(format!("{host} is away")),
            other => Some(format!("{host}: {other}")),
        })
        .collect();
    others.sort();
    parts.extend(others);
    if figure(SHARED_APART) > 0 {
        let apart = span(Span::from_seconds(figure(SHARED_APART)));
        parts.push(format!("clock {apart} from the server's"));
    }
    Some(Cell::new(parts.join("; ")).styled(if state == SHARED_OK {
        Style::Good
    } else {
        Style::Bad
    }))
}

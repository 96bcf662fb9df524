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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::api::Row;
    use crate::ctl::render::KeyValues;
    use crate::ctl::view::View;

    /// The properties of a daemon with this state, these figures and these hosts.
    fn properties(state: &str, figures: &[(&str, u64)], hosts: &[(&str, &str)]) -> Dict {
        let figures = figures.iter().copied();
        let figures: HashMap<String, u64> = figures.map(|(word, n)| (word.to_owned(), n)).collect();
        let hosts = hosts.iter().copied();
        let hosts: HashMap<String, String> = hosts
            .map(|(host, state)| (host.to_owned(), state.to_owned()))
            .collect();
        Row::new()
            .with("SharedState", state)
            .with("Shared", figures)
            .with("SharedHosts", hosts)
            .build()
    }

    const OOM: &str = "its memory is used up (OOM)";

    /// A state, figures, hosts with their states, and the line.
    type Line = (
        &'static str,
        &'static [(&'static str, u64)],
        &'static [(&'static str, &'static str)],
        &'static str,
    );

    const LINES: [Line; 13] = [
        (SHARED_OK, &[], &[], "Shared: ok"),
        (
            SHARED_OK,
            &[
                (SHARED_ASKED, 0),
                (SHARED_LATENCY, 700),
                (SHARED_QUEUED, 0),
                (SHARED_DROPPED, 0),
                (SHARED_ACTS_LOST, 0),
                (SHARED_ACTS_SKIPPED, 0),
                (SHARED_APART, 0),
            ],
            &[("mx2.example", SHARED_HOST_OK)],
            "Shared: ok",
        ),
        (
            SHARED_OK,
            &[
                (SHARED_ASKED, 10),
                (SHARED_ANSWERED, 9),
                (SHARED_LATENCY, 1290),
            ],
            &[],
            "Shared: ok; 9 of 10 requests answered in 1.2 ms",
        ),
        (
            SHARED_OK,
            &[(SHARED_QUEUED, 1)],
            &[],
            "Shared: ok; 1 record to publish",
        ),
        (
            SHARED_OK,
            &[(SHARED_QUEUED, 70_000)],
            &[],
            "Shared: ok; 70000 records to publish",
        ),
        (
            SHARED_OK,
            &[(SHARED_DROPPED, 2)],
            &[],
            "Shared: ok; 2 records left out for lack of room",
        ),
        (
            SHARED_OK,
            &[(SHARED_ACTS_LOST, 1)],
            &[],
            "Shared: ok; 1 act of an administrator lost for lack of room: repeat them at the other hosts",
        ),
        (
            SHARED_OK,
            &[(SHARED_ACTS_SKIPPED, 3)],
            &[],
            "Shared: ok; 3 acts of administrators of other hosts not understood",
        ),
        (
            SHARED_OK,
            &[],
            &[
                ("mx4.example", SHARED_HOST_AWAY),
                ("mx2.example", SHARED_HOST_BEHIND),
                ("mx3.example", SHARED_HOST_OK),
            ],
            "Shared: ok; mx2.example has not caught up; mx4.example is away",
        ),
        (
            SHARED_OK,
            &[],
            &[("mx2.example", "asleep")],
            "Shared: ok; mx2.example: asleep",
        ),
        (
            SHARED_OK,
            &[(SHARED_APART, 31)],
            &[],
            "Shared: ok; clock 31s from the server's",
        ),
        (OOM, &[], &[], "Shared: its memory is used up (OOM)"),
        (
            OOM,
            &[(SHARED_QUEUED, 5), (SHARED_APART, 90)],
            &[("mx2.example", SHARED_HOST_BEHIND)],
            "Shared: its memory is used up (OOM); 5 records to publish; mx2.example has not caught up; clock 1min 30s from the server's",
        ),
    ];

    #[test]
    fn each_state_has_its_line_and_only_what_there_is_to_say() {
        for (state, figures, hosts, want) in LINES {
            let properties = properties(state, figures, hosts);
            let shown = shown(&properties).expect("a line");
            let line = KeyValues::new().with("Shared", shown);
            let line = line.render(&View::of_80_columns().terminal);
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words.join(" "), want);
            assert_eq!(is_ok(&properties), state == SHARED_OK, "{want}");
            assert!(is_on(&properties), "{want}");
        }
    }

    #[test]
    fn a_daemon_that_shares_nothing_or_does_not_know_of_sharing_has_no_line() {
        for properties in [properties(SHARED_OFF, &[], &[]), Row::new().build()] {
            assert!(shown(&properties).is_none(), "{properties:?}");
            assert!(is_ok(&properties), "{properties:?}");
            assert!(!is_on(&properties), "{properties:?}");
        }
    }
}

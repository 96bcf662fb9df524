//! Zones that do not answer: after some lookups in a row they are left out for a while, so that not every mail waits
//! for its whole time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{LEFT_OUT, MOST_SILENT};
use crate::policy::{Finding, Lookup, Zone};

/// How often a zone's error codes are in the log.
const SAID_AGAIN: Duration = Duration::from_secs(3600);

/// The zones that were silent, or have answered with error codes.
#[derive(Default)]
pub(super) struct Silence(HashMap<Zone, Silent>);

#[derive(Default)]
struct Silent {
    /// How many lookups in a row had no answer.
    times: u32,
    /// Until when the zone is left out.
    until: Option<Instant>,
    /// When an error code was last in the log.
    said: Option<Instant>,
}

impl Silence {
    /// Whether a lookup may be sent. Of a zone that is left out one may, at the end of each time.
    pub(super) fn admits(&mut self, lookup: &Lookup, now: Instant) -> bool {
        let Some(silent) = self.0.get_mut(lookup.zone()) else {
            return true;
        };
        match silent.until {
            Some(until) if now < until => false,
            Some(_) => {
                silent.until = Some(now + LEFT_OUT);
                true
            }
            None => true,
        }
    }

    /// Notes whether a zone has answered.
    pub(super) fn note(&mut self, lookup: &Lookup, finding: &Finding, now: Instant) {
        let zone = lookup.zone();
        if let Finding::NoAnswer = finding {
            let silent = self.0.entry(zone.clone()).or_default();
            silent.times = silent.times.saturating_add(1);
            if silent.times >= MOST_SILENT {
                if silent.until.is_none() {
                    log::warn!(
                        "{zone}: {MOST_SILENT} lookups in a row without a reply; asking once in {} s from now on",
                        LEFT_OUT.as_secs()
                    );
                }
                silent.until = Some(now + LEFT_OUT);
            }
            return;
        }
        if let Some(silent) = self.0.get_mut(zone) {
            silent.times = 0;
            if silent.until.take().is_some() {
                log::warn!("{zone}: replies again");
            }
        }
        if finding.is_error_code() {
            let silent = self.0.entry(zone.clone()).or_default();
            if silent.said.is_none_or(|said| now >= said + SAID_AGAIN) {
                silent.said = Some(now);
                log::warn!(
                    "{zone}: replies with an error code: does the list serve this name server?"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::tests::listed;

    #[test]
    fn a_zone_that_was_silent_several_times_in_a_row_is_left_out_for_a_while() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let silent = Finding::NoAnswer;
        for _ in 1..MOST_SILENT {
            silence.note(&listed(1), &silent, now);
        }
        assert!(silence.admits(&listed(2), now), "not often enough");
        silence.note(&listed(1), &Finding::Absent, now);
        for _ in 1..MOST_SILENT {
            silence.note(&listed(1), &silent, now);
        }
        assert!(silence.admits(&listed(2), now), "not in a row");
        silence.note(&listed(1), &silent, now);
        assert!(!silence.admits(&listed(2), at(59)));
        assert!(silence.admits(&listed(2), at(60)), "it is tried again");
        assert!(!silence.admits(&listed(3), at(60)), "by one alone");
        silence.note(&listed(2), &silent, at(65));
        assert!(!silence.admits(&listed(3), at(124)), "silent still");
        assert!(silence.admits(&listed(3), at(125)));
        silence.note(&listed(3), &Finding::Absent, at(126));
        assert!(silence.admits(&listed(4), at(126)), "it answers again");
    }
}

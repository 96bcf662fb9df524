//! Zones that do not answer: after some lookups in a row they are left out for a while, so that not every mail waits
//! for its whole time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{LEFT_OUT, MOST_SILENT};
use crate::policy::{Finding, Lookup, Zone};

/// How often a zone's error codes are in the log.
const SAID_AGAIN: Duration = Duration::from_secs(3600);

/// How the zones reply. There are as many as the administrator has named.
#[derive(Default)]
pub(super) struct Silence(HashMap<Zone, Health>);

#[derive(Default)]
struct Health {
    /// How many lookups in a row had no answer.
    times: u32,
    /// Until when the zone is left out.
    until: Option<Instant>,
    /// When an error code was last in the log.
    said: Option<Instant>,
    /// Whether its last reply was an error code.
    is_error: bool,
}

/// How a zone replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneState {
    /// It does, as far as it was asked.
    Ok,
    /// It has not replied to several lookups in a row.
    Silent,
    /// Its last reply was an error code.
    Error,
}

impl Silence {
    /// Whether a lookup may be sent. Of a zone that is left out one may, at the end of each time.
    pub(super) fn admits(&mut self, lookup: &Lookup, now: Instant) -> bool {
        let Some(health) = self.0.get_mut(lookup.zone()) else {
            return true;
        };
        match health.until {
            Some(until) if now < until => false,
            Some(_) => {
                health.until = Some(now + LEFT_OUT);
                true
            }
            None => true,
        }
    }

    /// How a zone replies.
    pub(super) fn state(&self, zone: &Zone) -> ZoneState {
        match self.0.get(zone) {
            Some(health) if health.until.is_some() => ZoneState::Silent,
            Some(health) if health.is_error => ZoneState::Error,
            Some(_) | None => ZoneState::Ok,
        }
    }

    /// Notes whether a zone has answered; yields what is to be logged.
    pub(super) fn note(
        &mut self,
        lookup: &Lookup,
        finding: &Finding,
        now: Instant,
    ) -> Option<Change> {
        let health = self.0.entry(lookup.zone().clone()).or_default();
        if *finding == Finding::NoAnswer {
            health.times = health.times.saturating_add(1);
            if health.times < MOST_SILENT {
                return None;
            }
            let was_asked = health.until.replace(now + LEFT_OUT).is_none();
            return was_asked.then_some(Change::FallsSilent);
        }
        health.times = 0;
        health.is_error = finding.is_error_code();
        let replies_again = health.until.take().is_some();
        if health.is_error && health.said.is_none_or(|said| now >= said + SAID_AGAIN) {
            health.said = Some(now);
            return Some(Change::Refuses);
        }
        replies_again.then_some(Change::RepliesAgain)
    }
}

/// What has changed about a zone, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It has not replied to several lookups in a row.
    FallsSilent,
    /// It replies again.
    RepliesAgain,
    /// It replies with an error code, for the first time in an hour.
    Refuses,
}

impl Change {
    /// Logs it.
    pub(super) fn log(self, zone: &Zone) {
        match self {
            Self::FallsSilent => log::warn!(
                "{zone}: {MOST_SILENT} lookups in a row without a reply; asking once in {} s from now on",
                LEFT_OUT.as_secs()
            ),
            Self::RepliesAgain => log::warn!("{zone}: replies again"),
            Self::Refuses => log::warn!(
                "{zone}: replies with an error code: does the list serve this name server?"
            ),
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
        assert_eq!(silence.state(listed(1).zone()), ZoneState::Silent);
        assert!(!silence.admits(&listed(2), at(59)));
        assert!(silence.admits(&listed(2), at(60)), "it is tried again");
        assert!(!silence.admits(&listed(3), at(60)), "by one alone");
        silence.note(&listed(2), &silent, at(65));
        assert!(!silence.admits(&listed(3), at(124)), "silent still");
        assert!(silence.admits(&listed(3), at(125)));
        silence.note(&listed(3), &Finding::Absent, at(126));
        assert!(silence.admits(&listed(4), at(126)), "it answers again");
        assert_eq!(silence.state(listed(1).zone()), ZoneState::Ok);
    }

    #[test]
    fn a_zone_that_replies_with_an_error_code_is_in_error_until_it_replies_otherwise() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        let code = Finding::Addresses([[127, 255, 255, 254].into()].into());
        let listing = Finding::Addresses([[127, 0, 0, 2].into()].into());
        for (finding, want) in [
            (&code, ZoneState::Error),
            (&listing, ZoneState::Ok),
            (&code, ZoneState::Error),
            (&Finding::Absent, ZoneState::Ok),
        ] {
            silence.note(&listed(1), finding, now);
            assert_eq!(silence.state(listed(1).zone()), want, "{finding:?}");
            assert!(silence.admits(&listed(2), now), "{finding:?}");
        }
    }
}

//! Zones that do not answer: after some lookups in a row they are left out for a while, so that not every mail waits
//! for its whole time.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{LEFT_OUT, MOST_SILENT};
use crate::policy::{Finding, Lookup, Zone};

/// The zones that were silent.
#[derive(Default)]
pub(super) struct Silence(HashMap<Zone, Silent>);

struct Silent {
    /// How many lookups in a row had no answer.
    times: u32,
    /// Until when the zone is left out.
    until: Option<Instant>,
}

impl Silence {
    /// Whether a lookup concerns a zone that is left out now.
    pub(super) fn is_left_out(&self, lookup: &Lookup, now: Instant) -> bool {
        let Lookup::DnsList(zone, _) = lookup;
        let until = self.0.get(zone).and_then(|silent| silent.until);
        until.is_some_and(|until| now < until)
    }

    /// Notes whether a zone has answered.
    pub(super) fn note(&mut self, lookup: &Lookup, finding: &Finding, now: Instant) {
        let Lookup::DnsList(zone, _) = lookup;
        match finding {
            Finding::Addresses(_) | Finding::Absent => {
                let silent = self.0.remove(zone);
                if silent.is_some_and(|silent| silent.until.is_some()) {
                    log::warn!("{zone}: answers again");
                }
            }
            Finding::NoAnswer => {
                let silent = self.0.entry(zone.clone()).or_insert(Silent {
                    times: 0,
                    until: None,
                });
                silent.times = silent.times.saturating_add(1);
                if silent.times >= MOST_SILENT {
                    if silent.until.is_none() {
                        log::warn!(
                            "{zone}: {MOST_SILENT} lookups in a row without an answer; it is left out for {} s at a time",
                            LEFT_OUT.as_secs()
                        );
                    }
                    silent.until = Some(now + LEFT_OUT);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert!(!silence.is_left_out(&listed(2), now), "not often enough");
        silence.note(&listed(1), &Finding::Absent, now);
        for _ in 1..MOST_SILENT {
            silence.note(&listed(1), &silent, now);
        }
        assert!(!silence.is_left_out(&listed(2), now), "not in a row");
        silence.note(&listed(1), &silent, now);
        assert!(silence.is_left_out(&listed(2), at(59)));
        assert!(
            !silence.is_left_out(&listed(2), at(60)),
            "it is tried again"
        );
        silence.note(&listed(2), &silent, at(60));
        assert!(silence.is_left_out(&listed(3), at(119)), "silent still");
        silence.note(&listed(2), &Finding::Absent, at(120));
        assert!(
            !silence.is_left_out(&listed(3), at(120)),
            "it answers again"
        );
    }
}

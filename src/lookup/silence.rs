//! Silent zones and domains are left out for a while, so that mail does not wait for their timeout each time: zones
//! after several consecutive missing replies, senders' domains after one.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::Instant;

use super::cache::Cache;
use super::{LEFT_OUT, MOST_SILENT};
use crate::policy::{Domain, Finding, Lookup, Zone};

/// Minimum time between two log messages about error codes of a zone.
const SAID_AGAIN: Duration = Duration::from_secs(3600);

/// Maximum number of known silent domains. With more of them, some are queried too early.
const MOST_DOMAINS: usize = 8192;

/// The silent zones and domains.
#[derive(Default)]
pub(super) struct Silence {
    /// The health of the zones, whose number the administrator chooses.
    zones: HashMap<Zone, Health>,
    /// The silent domains of senders.
    domains: Cache<Domain, (), MOST_DOMAINS>,
}

#[derive(Default)]
struct Health {
    /// Number of consecutive lookups without an answer.
    times: u32,
    /// When the zone is queried again.
    until: Option<Instant>,
    /// When an error code was last logged.
    said: Option<Instant>,
    /// Whether its last reply was an error code.
    is_error: bool,
}

/// How a zone replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneState {
    /// It replies, or was not queried yet.
    Ok,
    /// It has not replied to several consecutive lookups.
    Silent,
    /// Its last reply was an error code.
    Error,
}

impl Silence {
    /// Whether a lookup may be sent: to a zone that is left out, one at the end of each period.
    pub(super) fn admits(&mut self, lookup: &Lookup, now: Instant) -> bool {
        let zone = match lookup {
            Lookup::DnsList(zone, _) => zone,
            // It must not use up the one lookup that tests whether the zone replies again.
            Lookup::DnsListText(zone, _) => {
                return self
                    .zones
                    .get(zone)
                    .is_none_or(|health| health.until.is_none());
            }
            Lookup::Spf(question) | Lookup::SenderMx(question, _) => {
                return self.domains.find(question.organization(), now).is_none();
            }
            Lookup::Score | Lookup::BodyText(_) => return false,
        };
        let Some(health) = self.zones.get_mut(zone) else {
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
        match self.zones.get(zone) {
            Some(health) if health.until.is_some() => ZoneState::Silent,
            Some(health) if health.is_error => ZoneState::Error,
            Some(_) | None => ZoneState::Ok,
        }
    }

    /// Notes whether there was an answer; returns a change to log.
    pub(super) fn note(
        &mut self,
        lookup: &Lookup,
        finding: &Finding,
        now: Instant,
    ) -> Option<Change> {
        let zone = match lookup {
            Lookup::DnsList(zone, _) => zone.clone(),
            // A list without texts is not silent.
            Lookup::DnsListText(..) | Lookup::Score | Lookup::BodyText(_) => return None,
            Lookup::Spf(question) | Lookup::SenderMx(question, _) => {
                if *finding == Finding::NoAnswer {
                    let domain = question.organization().clone();
                    self.domains.insert(domain, (), now + LEFT_OUT);
                }
                return None;
            }
        };
        let health = self.zones.entry(zone).or_default();
        if *finding == Finding::NoAnswer {
            health.times = health.times.saturating_add(1);
            if health.times < MOST_SILENT {
                return None;
            }
            let was_asked = health.until.replace(now + LEFT_OUT).is_none();
            return was_asked.then_some(Change::FallsSilent);
        }
        health.times = 0;
        let code = finding.error_code();
        health.is_error = code.is_some();
        let replies_again = health.until.take().is_some();
        if let Some(code) = code
            && health.said.is_none_or(|said| now >= said + SAID_AGAIN)
        {
            health.said = Some(now);
            return Some(Change::Refuses(code));
        }
        replies_again.then_some(Change::RepliesAgain)
    }
}

/// A change of a zone's health, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It has not replied to several consecutive lookups.
    FallsSilent,
    /// It replies again.
    RepliesAgain,
    /// It replies with an error code, for the first time in an hour.
    Refuses(Ipv4Addr),
}

impl Change {
    /// Logs it.
    pub(super) fn log(self, zone: &Zone) {
        match self {
            Self::FallsSilent => log::warn!(
                "{zone}: {MOST_SILENT} lookups in a row without a reply; asking once in {} s from now on",
                LEFT_OUT.as_secs()
            ),
            Self::RepliesAgain => log::info!("{zone}: replies again"),
            Self::Refuses(code) if code.is_unspecified() => log::warn!(
                "{zone}: replies with an address outside 127.0.0.0/8: does the zone exist?"
            ),
            Self::Refuses(code) => log::warn!(
                "{zone}: replies with error code {code}: does the list serve this name server?"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::tests::{evaluation, listed, zone};

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
        assert_eq!(silence.state(&zone("list.example")), ZoneState::Silent);
        assert!(!silence.admits(&listed(2), at(59)));
        assert!(silence.admits(&listed(2), at(60)), "it is tried again");
        assert!(!silence.admits(&listed(3), at(60)), "by one alone");
        silence.note(&listed(2), &silent, at(65));
        assert!(!silence.admits(&listed(3), at(124)), "silent still");
        assert!(silence.admits(&listed(3), at(125)));
        silence.note(&listed(3), &Finding::Absent, at(126));
        assert!(silence.admits(&listed(4), at(126)), "it answers again");
        assert_eq!(silence.state(&zone("list.example")), ZoneState::Ok);
    }

    #[test]
    fn a_list_without_texts_is_not_silent() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        for number in 0..2 * MOST_SILENT {
            let Lookup::DnsList(zone, client) = listed(number) else {
                panic!("not a list");
            };
            silence.note(&Lookup::DnsListText(zone, client), &Finding::NoAnswer, now);
        }
        assert_eq!(silence.state(&zone("list.example")), ZoneState::Ok);
        assert!(silence.admits(&listed(1), now));
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
            assert_eq!(silence.state(&zone("list.example")), want, "{finding:?}");
            assert!(silence.admits(&listed(2), now), "{finding:?}");
        }
    }

    #[test]
    fn a_domain_that_was_silent_is_left_out_for_a_while_whoever_sends_for_it() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        let asked = evaluation(1, "a@one.example.com");
        let same = evaluation(2, "b@two.example.com");
        let other = evaluation(1, "a@example.org");
        silence.note(&asked, &Finding::Absent, now);
        assert!(silence.admits(&asked, now));
        silence.note(&asked, &Finding::NoAnswer, now);
        for (seconds, want) in [(0, false), (59, false), (60, true)] {
            let at = now + Duration::from_secs(seconds);
            assert_eq!(silence.admits(&same, at), want, "{seconds}");
            assert!(silence.admits(&other, at), "{seconds}");
        }
    }
}

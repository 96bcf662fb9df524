//! Metrics of what the daemon asks beside DNS: spamd, and the records of the other hosts of a site.

use std::collections::BTreeMap;

use super::{Exposition, Kind};
use crate::api::{
    Dict, FromRow, SHARED_ACTS_LOST, SHARED_ACTS_SKIPPED, SHARED_ANSWERED, SHARED_APART,
    SHARED_ASKED, SHARED_DROPPED, SHARED_HOST_AWAY, SHARED_HOST_BEHIND, SHARED_HOST_OK,
    SHARED_LEARNED, SHARED_OFF, SHARED_OK, SHARED_PUBLISHED, SHARED_QUEUED, SPAMD_OK,
};

/// Whether spamd answers; nothing without one.
pub(super) fn spamd(out: &mut Exposition, properties: &Dict) {
    let state = properties.text("SpamdState");
    let state = state.filter(|state| !state.is_empty());
    let is_up = state.map(|state| (state == SPAMD_OK).into());
    out.single(Kind::Gauge, "spamd_up", "Whether spamd answers.", is_up);
}

/// The records of the other hosts; nothing where none are shared.
pub(super) fn shared(out: &mut Exposition, properties: &Dict) {
    let (gauge, counter) = (Kind::Gauge, Kind::Counter);
    let state = properties.text("SharedState");
    let Some(state) = state.filter(|state| *state != SHARED_OFF) else {
        return;
    };
    let help = "Whether records are shared with the other hosts of the site.";
    let is_up = u64::from(state == SHARED_OK);
    out.single(gauge, "shared_up", help, Some(is_up));
    // By state, for the names of hosts have no bound.
    let mut hosts: BTreeMap<&str, u64> = [SHARED_HOST_OK, SHARED_HOST_BEHIND, SHARED_HOST_AWAY]
        .map(|word| (word, 0))
        .into();
    for (_, state) in properties.words("SharedHosts").unwrap_or_default() {
        if let Some(count) = hosts.get_mut(state.as_str()) {
            *count = count.saturating_add(1);
        }
    }
    let help = "Other hosts of the site by their state.";
    out.group(gauge, ("shared_hosts", "state"), help, hosts);
    let figures = properties.counters("Shared").unwrap_or_default();
    let figure = |word: &str| figures.get(word).copied();
    let help = "Records that wait to be published.";
    out.single(gauge, "shared_queued_records", help, figure(SHARED_QUEUED));
    let help = "Difference between the clocks of this host and the server of shared records.";
    let apart = figure(SHARED_APART);
    out.single(gauge, "shared_clock_difference_seconds", help, apart);
    let answered = figure(SHARED_ANSWERED);
    let unanswered = figure(SHARED_ASKED)
        .zip(answered)
        .map(|(asked, answered)| asked.saturating_sub(answered));
    let requests = [("answered", answered), ("unanswered", unanswered)];
    let requests = requests
        .into_iter()
        .filter_map(|(word, count)| Some((word, count?)));
    let help = "Requests for which the records of the other hosts were asked for.";
    out.group(counter, ("shared_requests", "result"), help, requests);
    let records = [SHARED_PUBLISHED, SHARED_LEARNED, SHARED_DROPPED];
    let records = records
        .into_iter()
        .filter_map(|word| Some((word, figure(word)?)));
    let help =
        "Records published, improved by those of other hosts, and left out for lack of room.";
    out.group(counter, ("shared_records", "event"), help, records);
    let acts = [("lost", SHARED_ACTS_LOST), ("skipped", SHARED_ACTS_SKIPPED)];
    let acts = acts
        .into_iter()
        .filter_map(|(event, word)| Some((event, figure(word)?)));
    let help = "What administrators did here and other hosts will not do, and the reverse.";
    out.group(counter, ("shared_acts", "event"), help, acts);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::{Format, text};
    use crate::api::{Dict, Row};

    #[test]
    fn a_site_has_a_metric_for_each_figure_and_none_for_each_host() {
        let hosts = [("mx1", "ok"), ("mx2", "away"), ("mx3", "ok")];
        let hosts = hosts.map(|(host, state)| (host.to_owned(), state.to_owned()));
        let figures = [
            ("queued", 3_u64),
            ("dropped", 1),
            ("latency_us", 900),
            ("clock_difference", 2),
            ("asked", 10),
            ("answered", 8),
            ("published", 40),
            ("learned", 5),
            ("acts_lost", 7),
            ("acts_skipped", 6),
        ];
        let figures = figures.map(|(word, count)| (word.to_owned(), count));
        let properties = Row::new()
            .with("SpamdState", "away")
            .with("SharedState", "ok")
            .with("SharedHosts", HashMap::from(hosts))
            .with("Shared", HashMap::from(figures))
            .build();
        let text = text(Format::OpenMetrics, &properties, &Dict::new());
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("stargrey_s"))
            .collect();
        let want = [
            "stargrey_spamd_up 0",
            "stargrey_shared_up 1",
            "stargrey_shared_hosts{state=\"away\"} 1",
            "stargrey_shared_hosts{state=\"behind\"} 0",
            "stargrey_shared_hosts{state=\"ok\"} 2",
            "stargrey_shared_queued_records 3",
            "stargrey_shared_clock_difference_seconds 2",
            "stargrey_shared_requests_total{result=\"answered\"} 8",
            "stargrey_shared_requests_total{result=\"unanswered\"} 2",
            "stargrey_shared_records_total{event=\"published\"} 40",
            "stargrey_shared_records_total{event=\"learned\"} 5",
            "stargrey_shared_records_total{event=\"dropped\"} 1",
            "stargrey_shared_acts_total{event=\"lost\"} 7",
            "stargrey_shared_acts_total{event=\"skipped\"} 6",
        ];
        assert_eq!(samples, want, "{text}");
    }

    #[test]
    fn a_host_without_others_and_spamd_has_no_metrics_of_them() {
        let properties = Row::new().with("SpamdState", "").with("SharedState", "off");
        let properties = properties.with("Shared", HashMap::from([("asked".to_owned(), 0_u64)]));
        let text = text(Format::Prometheus, &properties.build(), &Dict::new());
        assert!(
            !text.contains("shared") && !text.contains("spamd"),
            "{text}"
        );
    }
}

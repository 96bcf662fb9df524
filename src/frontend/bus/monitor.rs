//! The interface for everybody: counters and states, no addresses.

use std::collections::HashMap;

use tokio::sync::Semaphore;
use zbus::fdo;
use zbus::object_server::SignalEmitter;

use super::MonitorInfo;
use super::error::invalid;
use super::history::{TimeRange, with_totals};
use crate::api::{
    DNS_LIST_ERROR, DNS_LIST_OK, DNS_LIST_SILENT, DNS_LISTS, Dict, Error, LISTS, LOOKUPS,
    LOOKUPS_CACHED, LOOKUPS_UNDER_WAY, MESSAGES, REASONS, Row, S25R, SHARED_ACTS_LOST,
    SHARED_ACTS_SKIPPED, SHARED_ANSWERED, SHARED_APART, SHARED_ASKED, SHARED_DROPPED,
    SHARED_HOST_AWAY, SHARED_HOST_BEHIND, SHARED_HOST_OK, SHARED_LATENCY, SHARED_LEARNED,
    SHARED_OFF, SHARED_OK, SHARED_PUBLISHED, SHARED_QUEUED, SINCE, SPAMD_AWAY, SPAMD_OK, SPF,
    STORE_OK,
};
use crate::control::{Control, Statistics};
use crate::policy::ListName;
use crate::policy::s25r::Rules;
use crate::service::{Gate, SharedHostState, ZoneState};
use crate::types::Timestamp;

/// Most histories that are read at once.
const MAX_HISTORIES: usize = 4;

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The interface.
pub(super) struct Monitor {
    gate: Gate,
    control: Control,
    info: MonitorInfo,
    reading: Semaphore,
}

impl Monitor {
    /// The interface to this gate.
    pub(super) fn new(control: Control, info: MonitorInfo) -> Self {
        Self {
            gate: control.gate(),
            control,
            info,
            reading: Semaphore::new(MAX_HISTORIES),
        }
    }
}

/// Counters by name.
fn counters<K: ToString>(counts: &[(K, u64)]) -> HashMap<String, u64> {
    let named = counts
        .iter()
        .map(|(name, count)| (name.to_string(), *count));
    named.collect()
}

/// The word of how a DNS list replies.
const fn zone_state(state: ZoneState) -> &'static str {
    match state {
        ZoneState::Ok => DNS_LIST_OK,
        ZoneState::Silent => DNS_LIST_SILENT,
        ZoneState::Error => DNS_LIST_ERROR,
    }
}

/// The counters as a row.
fn row(statistics: &Statistics) -> Dict {
    let row = Row::new().with(SINCE, statistics.since.seconds());
    with_totals(row, statistics.totals)
        .with(REASONS, counters(&statistics.reasons))
        .with(S25R, counters(&statistics.rules))
        .with(LISTS, counters(&statistics.lists))
        .with(DNS_LISTS, counters(&statistics.dns_lists))
        .with(LOOKUPS, counters(&statistics.lookups))
        .with(SPF, counters(&statistics.spf))
        .with(MESSAGES, counters(&statistics.messages))
        .build()
}

/// The error for a record count that is not known.
fn uncounted() -> fdo::Error {
    fdo::Error::Failed("The database is unavailable; StoreState has the reason.".to_owned())
}

#[zbus::interface(name = "org.stargrey.Greylist1.Monitor", introspection_docs = false)]
impl Monitor {
    #[zbus(out_args("statistics"))]
    fn get_statistics(&self) -> Dict {
        row(&self.control.statistics())
    }

    #[zbus(out_args("rows"))]
    async fn get_history(&self, from: u64, to: u64, step: u64) -> Result<Vec<Dict>, Error> {
        let range = TimeRange::new(from, to, step)?;
        let reading = self.reading.acquire().await;
        let _reading = reading.map_err(|_| invalid("The daemon is shutting down."))?;
        let hours = self.control.history(range.from, range.to).await?;
        range.rows(&hours)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    #[expect(clippy::unused_self, reason = "properties have it")]
    fn version(&self) -> &'static str {
        VERSION
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn started_at(&self) -> u64 {
        self.info.started_at.seconds()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn mode(&self) -> &'static str {
        self.info.mode
    }

    #[zbus(property)]
    fn store_state(&self) -> String {
        let failure = self.gate.status().failure;
        failure.unwrap_or_else(|| STORE_OK.to_owned())
    }

    #[zbus(property)]
    fn list_errors(&self) -> u64 {
        u64::try_from(self.gate.list_errors()).unwrap_or(u64::MAX)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn greylist_conf(&self) -> &str {
        &self.info.greylist_conf
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn unreachable_rules(&self) -> u64 {
        u64::try_from(self.gate.unreachable_rules()).unwrap_or(u64::MAX)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn milter_timeouts(&self) -> u64 {
        self.gate.milter_timeouts()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn spamd_state(&self) -> &'static str {
        match self.gate.is_spamd_away() {
            None => "",
            Some(false) => SPAMD_OK,
            Some(true) => SPAMD_AWAY,
        }
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn entries(&self) -> HashMap<String, u64> {
        let rules = self.gate.rules();
        let count = |list| {
            let all = [&rules.lists, &rules.added];
            let count: usize = all.iter().map(|lists| lists.entries(list).len()).sum();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        counters(&ListName::ALL.map(|list| (list.word(), count(list))))
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn dns_lists(&self) -> HashMap<String, String> {
        let lists = self.gate.dns_lists().into_iter();
        lists
            .map(|(zone, state)| (zone, zone_state(state).to_owned()))
            .collect()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn lookups(&self) -> HashMap<String, u64> {
        let (under_way, findings) = self.gate.lookup_figures();
        let figures = [(LOOKUPS_UNDER_WAY, under_way), (LOOKUPS_CACHED, findings)];
        counters(&figures.map(|(word, number)| (word, u64::try_from(number).unwrap_or(u64::MAX))))
    }

    #[zbus(property)]
    fn shared_state(&self) -> String {
        match self.gate.shared_status() {
            None => SHARED_OFF.to_owned(),
            Some(status) => status.failure.unwrap_or_else(|| SHARED_OK.to_owned()),
        }
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn shared(&self) -> HashMap<String, u64> {
        let Some(status) = self.gate.shared_status() else {
            return HashMap::new();
        };
        let queued = u64::try_from(status.queued).unwrap_or(u64::MAX);
        let latency = u64::try_from(status.latency.as_micros()).unwrap_or(u64::MAX);
        counters(&[
            (SHARED_QUEUED, queued),
            (SHARED_DROPPED, status.dropped),
            (SHARED_LATENCY, latency),
            (SHARED_APART, status.apart.seconds()),
            (SHARED_ASKED, status.asked),
            (SHARED_ANSWERED, status.answered),
            (SHARED_PUBLISHED, status.published),
            (SHARED_LEARNED, status.learned),
            (SHARED_ACTS_LOST, status.acts_lost),
            (SHARED_ACTS_SKIPPED, status.acts_skipped),
        ])
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn shared_hosts(&self) -> HashMap<String, String> {
        let status = self.gate.shared_status();
        let hosts = status.map_or_else(Vec::new, |status| status.hosts);
        let hosts = hosts.into_iter().map(|(name, state)| {
            let state = match state {
                SharedHostState::Ok => SHARED_HOST_OK,
                SharedHostState::Behind => SHARED_HOST_BEHIND,
                SharedHostState::Away => SHARED_HOST_AWAY,
            };
            (name, state.to_owned())
        });
        hosts.collect()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn delay(&self) -> u64 {
        self.gate.rules().params.delay.seconds()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn retry_window(&self) -> u64 {
        self.gate.rules().params.retry_window.seconds()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn s25r(&self) -> bool {
        self.gate.rules().params.s25r.is_some()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn s25r_rules(&self) -> String {
        let word = match self.gate.rules().params.s25r {
            None => "",
            Some(Rules::Classic) => "classic",
            Some(Rules::Extended) => "extended",
        };
        word.to_owned()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn tarpit(&self) -> u64 {
        let tarpit = self.gate.rules().params.tarpit;
        tarpit.map_or(0, |tarpit| tarpit.length.seconds())
    }

    #[zbus(property)]
    fn paused(&self) -> bool {
        self.gate.paused().is_some()
    }

    #[zbus(property)]
    fn paused_until(&self) -> u64 {
        let until = self.gate.paused().and_then(|pause| pause.until);
        until.map_or(0, Timestamp::seconds)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn triplets(&self) -> fdo::Result<u64> {
        let figures = self.gate.status().figures.ok_or_else(uncounted)?;
        Ok(figures.waiting.saturating_add(figures.passed))
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn waiting(&self) -> fdo::Result<u64> {
        let figures = self.gate.status().figures.ok_or_else(uncounted)?;
        Ok(figures.waiting)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn passed(&self) -> fdo::Result<u64> {
        let figures = self.gate.status().figures.ok_or_else(uncounted)?;
        Ok(figures.passed)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn auto_whitelisted(&self) -> fdo::Result<u64> {
        let status = self.gate.status();
        status.figures.ok_or_else(uncounted)?;
        Ok(status.whitelisted)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn tarpitted(&self) -> fdo::Result<u64> {
        let figures = self.gate.status().figures.ok_or_else(uncounted)?;
        Ok(figures.sleeps)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn sleeping(&self) -> u64 {
        u64::try_from(self.gate.status().sleeping).unwrap_or(u64::MAX)
    }

    /// The entries of a list have changed.
    #[zbus(signal)]
    pub(super) async fn entries_changed(
        emitter: &SignalEmitter<'_>,
        list: &str,
    ) -> zbus::Result<()>;
}

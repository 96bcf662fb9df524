//! The state shared by the gate, its clones, the pipeline and `Control`.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};

use super::clock::Clock;
use super::instance_cache::InstanceCache;
use super::last_clients::LastClients;
use super::live_rules::LiveRules;
use super::message_memory::MessageMemory;
use super::milter_messages::MilterMessages;
use super::milter_timeouts::MilterTimeouts;
use super::pause::PauseSwitch;
use super::rule_state::RuleState;
use super::sleeps::Sleeps;
use super::spam_filter::SpamFilter;
use super::state::StoreState;
use super::stats::Stats;
use super::worker::{Message, Pulse};
use super::write_behind::WriteBehind;
use crate::lookup::Lookups;
use crate::policy::{Expiry, Pause, Ruleset};
use crate::shared::Shared;
use crate::store::Opener;
use crate::types::Timestamp;
use crate::types::sync::{Mutex, RwLock};

/// The state that `Control` works on. A front end that has only the gate cannot reach it.
#[derive(Clone)]
pub struct Internals(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) live_rules: Arc<LiveRules>,
    pub(crate) state: Arc<StoreState>,
    pub(crate) write_behind: Arc<WriteBehind>,
    pub(super) pulse: Arc<Pulse>,
    pub(crate) pause: Arc<PauseSwitch>,
    pub(crate) instance_cache: InstanceCache,
    pub(crate) last_clients: LastClients,
    pub(super) rule_state: RuleState,
    pub(super) milter_messages: Arc<MilterMessages>,
    pub(super) message_memory: Arc<MessageMemory>,
    pub(super) milter_timeouts: MilterTimeouts,
    pub(crate) sleeps: Arc<Sleeps>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) queue: SyncSender<Message>,
    pub(crate) opener: Arc<dyn Opener>,
    pub(super) lookups: RwLock<Lookups>,
    pub(super) spam_filter: RwLock<Option<SpamFilter>>,
    /// The records of the other hosts, if there are any.
    pub(crate) shared: OnceLock<Shared>,
    pub(super) list_errors: AtomicUsize,
    /// Held while an entry is added.
    pub(crate) adding: tokio::sync::Mutex<()>,
    /// The digest of the options of this start.
    pub(crate) options: Mutex<Option<[u8; 32]>>,
    /// Held while a backup is restored.
    pub(crate) restoring: tokio::sync::Mutex<()>,
}

impl Inner {
    /// The pause, while there is one.
    pub(crate) fn paused(&self) -> Option<Pause> {
        let (now, clock) = (self.now(), self.clock.as_ref());
        let is_on = self.pause.is_on(now, self.state.expiry(), clock);
        let pause = self.pause.get_at(now, clock.since_boot());
        pause.filter(|_| is_on)
    }

    /// The active rules.
    pub(crate) fn rules(&self) -> Arc<Ruleset> {
        self.live_rules.rules()
    }

    /// The time for records, and whether they expire.
    pub(crate) fn time(&self) -> (Timestamp, Expiry) {
        self.state.time(self.clock.as_ref())
    }

    /// The time for records.
    pub(crate) fn now(&self) -> Timestamp {
        self.time().0
    }

    /// The time for entries: `None` while the clock is not trusted, because no entry expires then.
    pub(crate) fn trusted_now(&self) -> Option<Timestamp> {
        self.state.trusted(self.now())
    }

    /// The resolver with its cache.
    pub(super) fn lookups(&self) -> Lookups {
        self.lookups.read().clone()
    }

    pub(super) fn set_lookups(&self, lookups: Lookups) {
        lookups.count_in(self.stats.lookups());
        *self.lookups.write() = lookups;
    }
}

impl std::fmt::Debug for Internals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Internals").finish_non_exhaustive()
    }
}

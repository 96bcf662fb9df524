//! The gate: entry point of the service layer for all front ends.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use super::clock::{Clock, ClockGuard};
use super::dns_counts::LookupTrace;
use super::instance_cache::InstanceCache;
use super::internals::{Inner, Internals};
use super::last_clients::LastClients;
use super::live_rules::LiveRules;
use super::message::{MessageDecision, MessageRequest};
use super::message_memory::MemoryShare;
use super::message_rules::MessageRules;
use super::milter_messages::{GivenFields, MilterMessage};
use super::milter_timeouts::{Awaited, MilterTimeouts};
use super::pause::PauseSwitch;
use super::pipeline::{Basis, Decision, Mode};
use super::rule_state::RuleState;
use super::sharing::LocalRecords;
use super::sleeps::Sleeps;
use super::spam_filter::SpamFilter;
use super::state::{Status, StoreState};
use super::stats::{Change, Stats};
use super::worker::{self, Progress, Pulse, QUEUE, Worker};
use super::write_behind::WriteBehind;
use crate::lookup::{Lookups, ZoneState};
use crate::policy::{Attempt, Lists, Params, Pause, Ruleset};
use crate::shared::{self, Administration, Server, Shared};
use crate::store::{Opener, PrivacyError};
use crate::types::sync::{Mutex, RwLock};
use crate::types::{Reply, ReplyText, Span, Timestamp};

/// Why a gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options do not match the database.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The writer thread cannot be created.
    #[error("a thread: {0}")]
    Thread(io::Error),
}

/// The gate. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Gate(pub(super) Arc<Inner>);

/// A running gate and its thread.
pub struct Start {
    /// The gate.
    pub gate: Gate,
    /// For `Control`.
    pub internals: Internals,
    /// Ends when the last clone of the gate is gone and everything is written.
    pub worker: JoinHandle<()>,
}

impl Gate {
    /// Opens the store and starts the writer thread.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the options do not match the database, or the thread cannot be created. No other failure
    /// prevents the start, see [`Status::failure`].
    pub fn start(
        rules: Ruleset,
        opener: Box<dyn Opener>,
        clock: Arc<dyn Clock>,
    ) -> Result<Start, StartError> {
        let (sender, receiver) = sync_channel(QUEUE);
        let live_rules = Arc::new(LiveRules::new(rules));
        let stats = Arc::new(Stats::new(clock.now(), &live_rules.rules().dns_lists));
        stats.count_change(Change::Start);
        let guard = ClockGuard::new(clock.as_ref(), None);
        let store_state = Arc::new(StoreState::new(guard));
        let (write_behind, pulse) = <(Arc<WriteBehind>, Arc<Pulse>)>::default();
        let pause = Arc::<PauseSwitch>::default();
        let sleeps = Arc::<Sleeps>::default();
        let shared = worker::Shared {
            state: Arc::clone(&store_state),
            write_behind: Arc::clone(&write_behind),
            pulse: Arc::clone(&pulse),
            pause: Arc::clone(&pause),
            sleeps: Arc::clone(&sleeps),
            clock: Arc::clone(&clock),
            live_rules: Arc::clone(&live_rules),
            stats: Arc::clone(&stats),
        };
        let last_clients = LastClients::new(opener.is_hashed());
        let opener: Arc<dyn Opener> = Arc::from(opener);
        let worker = Worker::new(shared, Arc::clone(&opener))?;
        let worker = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || worker.run(&receiver))
            .map_err(StartError::Thread)?;
        let inner = Arc::new(Inner {
            clock,
            live_rules,
            state: store_state,
            write_behind,
            pulse,
            pause,
            instance_cache: InstanceCache::new(),
            last_clients,
            rule_state: RuleState::default(),
            milter_messages: Arc::default(),
            message_memory: Arc::default(),
            milter_timeouts: MilterTimeouts::default(),
            sleeps,
            stats,
            queue: sender,
            opener,
            lookups: RwLock::new(Lookups::none()),
            spam_filter: RwLock::default(),
            shared: OnceLock::new(),
            list_errors: AtomicUsize::new(0),
            adding: tokio::sync::Mutex::default(),
            options: Mutex::default(),
            restoring: tokio::sync::Mutex::default(),
        });
        Ok(Start {
            gate: Self(Arc::clone(&inner)),
            internals: Internals(inner),
            worker,
        })
    }

    /// The gate with these internals.
    pub(crate) const fn of(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// Decides an attempt. `now` is read from the clock if it is `None`.
    pub async fn judge(&self, attempt: &Attempt<'_>, now: Option<Timestamp>) -> Decision {
        let Some((message, rules)) = self.0.milter_messages.find(attempt) else {
            return self.judge_one(attempt, Basis { now, rules: None }).await;
        };
        let basis = Basis {
            now,
            rules: Some(rules),
        };
        let attempt = Attempt {
            milter_message: Some(message),
            ..*attempt
        };
        let mut decision = self.judge_one(&attempt, basis).await;
        // The milter adds header fields, and removes forged ones first.
        let name = decision.rules.texts.header_name();
        let verdict = decision.outcome.verdict;
        let was_delayed = verdict.has_waited();
        let is_written = decision.rules.writes_report(verdict);
        let report = decision.report.as_ref().filter(|_| is_written);
        let mut field = report.map(|text| ReplyText::new(format!("{name}: {text}")));
        if let Reply::AddHeader(given) = &decision.reply {
            field = field.or(Some(given.clone()));
            decision.reply = Reply::Continue;
        }
        if !decision.outcome.verdict.is_refusal()
            && (field.is_some() || was_delayed || !decision.headers.is_empty())
        {
            let headers = std::mem::take(&mut decision.headers);
            let given = GivenFields {
                field,
                was_delayed,
                headers,
            };
            self.0.milter_messages.give(&attempt, given);
        }
        decision
    }

    /// Decides an attempt of a milter session, by the rules of its message.
    pub async fn judge_in(&self, message: &MilterMessage, attempt: &Attempt<'_>) -> Decision {
        let basis = Basis {
            now: None,
            rules: Some(Arc::clone(&message.rules().rules)),
        };
        self.judge_one(attempt, basis).await
    }

    /// A milter session begins.
    #[must_use]
    pub fn milter_session(&self) -> MilterSession {
        MilterSession {
            number: self.0.rule_state.begin_session(),
            inner: Arc::clone(&self.0),
        }
    }

    /// A message of a milter session begins. While it is under way, requests of the policy server about the same client
    /// and port are about it. All of them are decided by the rules that are active now.
    #[must_use]
    pub fn milter_message(&self, client: Option<SocketAddr>) -> MilterMessage {
        self.0.milter_messages.begin(client, self.message_rules())
    }

    /// The memory of a message that is under way, as far as all of them together leave some.
    #[must_use]
    pub fn memory_share(&self) -> MemoryShare {
        self.0.message_memory.share()
    }

    /// A mail server has waited for a reply of the milter that has taken this long, or has closed the session before.
    pub fn note_milter_reply(&self, awaited: Awaited, has_waited: bool, time: Span) {
        let timeouts = &self.0.milter_timeouts;
        timeouts.note_reply(awaited, has_waited, time);
    }

    /// How many slow replies of the milter in a row the mail server has not waited for.
    #[must_use]
    pub fn milter_timeouts(&self) -> u64 {
        self.0.milter_timeouts.in_a_row()
    }

    /// Whether half of the sleeps run that may run at once. A mail server does not tell a milter that it is short of
    /// processes, as Postfix tells the policy server; this stands for it.
    #[must_use]
    pub fn is_tarpit_half_full(&self) -> bool {
        let rules = self.rules();
        self.0.sleeps.is_half_full(&rules, self.0.now())
    }

    /// What a message that begins now is decided by.
    #[must_use]
    pub fn message_rules(&self) -> MessageRules {
        self.0.message_rules()
    }

    /// Whether spamd has not answered when it was last asked; `None` without spamd.
    #[must_use]
    pub fn is_spamd_away(&self) -> Option<bool> {
        let filter = self.0.spam_filter.read();
        filter.as_ref().and_then(SpamFilter::is_away)
    }

    /// Sets what scores messages. If it is the same as before, it is still known whether it answers.
    pub fn set_spam_filter(&self, filter: Option<SpamFilter>) {
        let mut current = self.0.spam_filter.write();
        if *current != filter {
            *current = filter;
        }
    }

    /// Decides on a message at its end.
    pub async fn judge_message(&self, request: &MessageRequest<'_>) -> MessageDecision {
        self.0.judge_message(request, Mode::Commit, &mut ()).await
    }

    async fn judge_one(&self, attempt: &Attempt<'_>, basis: Basis) -> Decision {
        let mut heard = LookupTrace::default();
        let mut decision = self.0.judge(attempt, basis, Mode::Commit, &mut heard).await;
        decision.silent_lists = heard.silent_lists();
        if !decision.is_repeat {
            if let Some(mut effects) = heard.effects.take() {
                decision.headers = std::mem::take(&mut effects.headers);
                decision.report = effects.report.take();
                decision.is_unlogged = effects.is_unlogged;
                let keys = self.0.instance_cache.keys(attempt);
                let message = keys.map(|keys| keys.message);
                let rules = &decision.rules;
                let state = &self.0.rule_state;
                state.apply(rules, (attempt, message), *effects, decision.now);
            }
            let thresholds = decision.rules.dns_lists.thresholds();
            let stats = &self.0.stats;
            stats.count_dns_lists(&heard, &decision.outcome, thresholds);
            if let Some(result) = decision.spf {
                stats.count_spf(result);
            }
        }
        decision
    }

    /// Sets the resolver for later requests. Lookups in progress are finished by the old one.
    pub fn set_lookups(&self, lookups: Lookups) {
        self.0.set_lookups(lookups);
    }

    /// Shares the records with the other hosts of the site, by this server. Only the first call counts.
    ///
    /// # Errors
    ///
    /// When the thread for that cannot be started.
    pub fn share(
        &self,
        shared: Shared,
        server: Box<dyn Server>,
        administration: Arc<dyn Administration>,
    ) -> io::Result<()> {
        let local = Arc::new(LocalRecords::new(&self.0));
        let shared = self.0.shared.get_or_init(|| shared);
        shared.start(server, local, administration)
    }

    /// Has the files that the connection to the shared server needs read again before the next one.
    pub(crate) fn reload_shared(&self) {
        if let Some(shared) = self.0.shared.get() {
            shared.reload();
        }
    }

    /// How records are shared with the other hosts; `None` if they are not.
    #[must_use]
    pub fn shared_status(&self) -> Option<shared::Status> {
        self.0.shared.get().map(Shared::status)
    }

    /// Replaces the lists of the files, and the numbers that a file may set; a decision that has begun goes on with
    /// those it began with. An entry that was there before keeps its hits.
    pub fn set_lists(&self, lists: Lists, params: Option<Params>) {
        self.0.live_rules.set_lists(lists, params);
        self.0.stats.count_change(Change::Reload);
    }

    /// Sets the number of errors in the files of the lists when they were last read.
    pub fn set_list_errors(&self, errors: usize) {
        self.0.list_errors.store(errors, Ordering::Relaxed);
    }

    /// Errors in the list files when they were last read: something was left out of the lists, or the old ones were kept.
    #[must_use]
    pub fn list_errors(&self) -> usize {
        self.0.list_errors.load(Ordering::Relaxed)
    }

    /// Entries of the access lists that can never match, because no front end can answer one of their clauses.
    #[must_use]
    pub fn unreachable_rules(&self) -> usize {
        self.rules().lists.chain.unreachable()
    }

    /// The active rules.
    #[must_use]
    pub fn rules(&self) -> Arc<Ruleset> {
        self.0.live_rules.rules()
    }

    /// The DNS lists, and how they reply.
    #[must_use]
    pub fn dns_lists(&self) -> Vec<(String, ZoneState)> {
        let (rules, lookups) = (self.rules(), self.0.lookups());
        let zones = rules.dns_lists.zones();
        zones
            .map(|zone| (zone.to_string(), lookups.state(zone)))
            .collect()
    }

    /// The number of lookups in progress, and of findings in the cache.
    #[must_use]
    pub fn lookup_figures(&self) -> (usize, usize) {
        let lookups = self.0.lookups();
        (lookups.under_way(), lookups.findings())
    }

    /// The status for administrators.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = &self.0.state;
        Status {
            counts: self.0.stats.counts(),
            figures: state.read(|reader| reader.record_counts()).ok(),
            whitelisted: state.whitelisted.load(Ordering::Relaxed),
            failure: state.failure(),
            expiry: state.expiry(),
            sleeping: self.0.sleeps.running(self.0.now()),
            list_errors: self.list_errors(),
            unreachable_rules: self.unreachable_rules(),
            paused: self.0.paused(),
            shared: self.shared_status(),
        }
    }

    /// The pause, while there is one.
    #[must_use]
    pub fn paused(&self) -> Option<Pause> {
        self.0.paused()
    }

    /// The progress of the writer thread.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.pulse.progress()
    }
}

/// A milter session; dropping it ends it.
pub struct MilterSession {
    inner: Arc<Inner>,
    number: u64,
}

impl MilterSession {
    /// Its number, for [`Attempt::milter_session`].
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for MilterSession {
    fn drop(&mut self) {
        self.inner.rule_state.end_session(self.number);
    }
}

impl std::fmt::Debug for MilterSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MilterSession").field(&self.number).finish()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod content_tests;
#[cfg(test)]
mod explain_message_tests;
#[cfg(test)]
mod explain_tests;
#[cfg(test)]
mod lookup_tests;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod shared_acts_tests;
#[cfg(test)]
mod shared_due_tests;
#[cfg(test)]
mod shared_entry_tests;
#[cfg(test)]
mod shared_failover_tests;
#[cfg(test)]
mod shared_reads_tests;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tarpit_tests;

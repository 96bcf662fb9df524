//! Lookups: evidence from outside. DNS lists and SPF are asked by DNS, through [`Lookups`]; a message is scored by
//! [`spamd`].
//!
//! [`Lookups`] uses a separate thread with a runtime, which is started by the first lookup. A request reads the cache
//! itself and passes only missing lookups to the thread. Requests that need the same finding share one lookup. A lookup
//! continues when no request waits for it any more, and fills the cache.
//!
//! # Limits
//!
//! | what | limit | beyond it |
//! | --- | --- | --- |
//! | a request | [`Lookups::timeout`] for all its lookups together | [`Finding::NoAnswer`] |
//! | a lookup under way | [`Lookups::timeout`] from its beginning, for all requests | [`Finding::NoAnswer`] at once |
//! | a lookup | [`LOOKUP_SECONDS`] | [`Finding::NoAnswer`] |
//! | lookups in DNS lists under way | [`MOST_UNDER_WAY`], [`MOST_OF_ZONE`] of a zone | [`Finding::NoAnswer`] at once |
//! | evaluations of SPF under way | [`MOST_EVALUATIONS`], [`MOST_OF_NETWORK`] of a client's network | [`Finding::NoAnswer`] at once |
//! | findings in the cache | [`MOST_CACHED`] | the older half is dropped |
//! | an evaluation of SPF | [`EVALUATION`], [`MOST_QUESTIONS`] to DNS | [`Finding::NoAnswer`] |
//! | a zone that was silent [`MOST_SILENT`] times in a row | one lookup in [`LEFT_OUT`] | it is not asked |
//! | a sender's domain that was silent | none in [`LEFT_OUT`] | it is not asked |
//!
//! # Error handling
//!
//! Nothing here fails: a missing answer is [`Finding::NoAnswer`], and each check defines what that means.

#![forbid(unsafe_code)]

mod budget;
mod cache;
mod counts;
mod dns;
mod server;
mod silence;
pub mod spamd;
mod spf;
mod udp;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::policy::{Finding, Lookup, LookupSource, Zone};
use crate::types::sync::{Mutex, MutexGuard};
use budget::Budget;
use cache::Cache;
pub use cache::MOST_CACHED;
use counts::Event;
pub use counts::LookupCounts;
pub use dns::{Dns, NameServers, RESOLV_CONF, ResolverError};
use silence::Silence;
pub use silence::ZoneState;
pub use spf::{EVALUATION, MOST_QUESTIONS, Random};

/// Maximum duration of a lookup in seconds, whether a request still waits for it or not.
pub const LOOKUP_SECONDS: u64 = 5;

/// How many lookups in DNS lists may be under way.
pub const MOST_UNDER_WAY: usize = 1200;

/// Maximum number of open descriptors of a lookup: two for each name server.
const DESCRIPTORS: usize = dns::MOST_SERVERS * udp::MOST_QUERIES as usize;

/// Maximum number of open descriptors of lookups in DNS lists.
pub const MOST_DESCRIPTORS: usize = MOST_UNDER_WAY * DESCRIPTORS;

/// Maximum number of open descriptors of SPF evaluations: each sends one query at a time.
pub const MOST_SPF_DESCRIPTORS: usize = MOST_EVALUATIONS * DESCRIPTORS;

/// How many lookups may be under way for one zone: a slow one leaves room for the others.
pub const MOST_OF_ZONE: usize = 1000;

/// How many evaluations of SPF may be under way.
pub const MOST_EVALUATIONS: usize = 400;

/// How many evaluations of SPF may be under way for one client network: a sender chooses which names are looked up.
pub const MOST_OF_NETWORK: usize = 10;

/// How many texts of one zone may be looked up at a time.
pub const MOST_TEXTS: usize = 20;

/// Maximum number of SPF results in the cache.
const MOST_SPF_CACHED: usize = 16_384;

/// Number of consecutive lookups without an answer after which a zone is left out.
pub const MOST_SILENT: u32 = 5;

/// How long a silent zone is left out, or a silent domain of senders.
pub const LEFT_OUT: Duration = Duration::from_secs(60);

/// Lifetime of a missing answer in the cache.
const SILENT_LIFETIME: Duration = Duration::from_secs(30);

/// Maximum lifetime of a finding in the cache, even if the zone's is longer.
const MOST_LIFETIME: Duration = Duration::from_secs(3600);

/// The answer of a resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The finding.
    pub finding: Finding,
    /// Its lifetime in the cache.
    pub lifetime: Duration,
    /// Whether a missing answer is the fault of the queried zone or domain.
    pub is_silent: bool,
}

impl Answer {
    /// No answer.
    pub const SILENT: Self = Self {
        finding: Finding::NoAnswer,
        lifetime: SILENT_LIFETIME,
        is_silent: true,
    };
}

/// A lookup under way.
pub type Resolving = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A source of findings, for instance DNS.
pub trait Resolver: Send + Sync {
    /// Looks something up. The future is dropped after [`LOOKUP_SECONDS`].
    fn resolve(&self, lookup: &Lookup) -> Resolving;
}

/// Lookups with their cache. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Lookups(Arc<Inner>);

struct Inner {
    resolver: Option<Box<dyn Resolver>>,
    timeout: Duration,
    table: Mutex<Table>,
    /// The queue of the thread, which is started by the first lookup, and again if that failed.
    queue: Mutex<Option<mpsc::UnboundedSender<Lookup>>>,
}

/// A lookup under way.
struct UnderWay {
    since: Instant,
    waiters: Vec<oneshot::Sender<Finding>>,
}

#[derive(Default)]
struct Table {
    cache: Cache<Lookup, Finding, MOST_CACHED>,
    /// The results of SPF. Their number depends on unknown senders, so they must not displace those of the lists.
    evaluations: Cache<Lookup, Finding, MOST_SPF_CACHED>,
    under_way: HashMap<Lookup, UnderWay>,
    budget: Budget,
    silence: Silence,
    counts: Arc<LookupCounts>,
}

/// The state of a lookup for a request.
enum Begun {
    Found(Finding),
    Waits(oneshot::Receiver<Finding>),
}

impl Lookups {
    /// Lookups by this resolver. A request waits for at most `timeout`.
    #[must_use]
    pub fn new(resolver: impl Resolver + 'static, timeout: Duration) -> Self {
        Self::with(Some(Box::new(resolver)), timeout)
    }

    /// Without a resolver, so there are no findings.
    #[must_use]
    pub fn none() -> Self {
        Self::with(None, Duration::ZERO)
    }

    fn with(resolver: Option<Box<dyn Resolver>>, timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            resolver,
            timeout,
            table: Mutex::default(),
            queue: Mutex::default(),
        }))
    }

    /// How long a request waits for all its lookups.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// How a zone replies.
    #[must_use]
    pub fn state(&self, zone: &Zone) -> ZoneState {
        self.0.lock().silence.state(zone)
    }

    /// Sets the counters.
    pub fn count_in(&self, counts: Arc<LookupCounts>) {
        self.0.lock().counts = counts;
    }

    /// The number of lookups in progress.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.0.lock().under_way.len()
    }

    /// The number of findings in the cache.
    #[must_use]
    pub fn findings(&self) -> usize {
        self.0.lock().findings()
    }

    /// The cached findings of these lookups.
    #[must_use]
    pub fn cached(&self, lookups: &[Lookup]) -> Vec<(Lookup, Finding)> {
        let now = Instant::now();
        let table = self.0.lock();
        let found = lookups.iter().filter_map(|lookup| {
            let finding = table.find(lookup, now)?;
            Some((lookup.clone(), finding.clone()))
        });
        found.collect()
    }

    /// Looks these up concurrently. Each gets a finding: [`Finding::NoAnswer`] without an answer at the `deadline`.
    pub async fn ask(&self, lookups: &[Lookup], deadline: Instant) -> Vec<(Lookup, Finding)> {
        let mut failure = None;
        let asked: Vec<(Lookup, Begun)> = {
            let now = Instant::now();
            let mut table = self.0.lock();
            let asked = lookups.iter().map(|lookup| {
                let asked = self.0.begin(&mut table, lookup, now, &mut failure);
                (lookup.clone(), asked)
            });
            asked.collect()
        };
        // The log may be slow, and every reactor thread takes the lock.
        if let Some(error) = failure {
            log::error!("cannot start the lookup thread: {error}");
        }
        let mut findings = Vec::with_capacity(asked.len());
        for (lookup, asked) in asked {
            let finding = match asked {
                Begun::Found(finding) => finding,
                Begun::Waits(waits) => match timeout_at(deadline, waits).await {
                    Ok(Ok(finding)) => finding,
                    Ok(Err(_)) | Err(_) => Finding::NoAnswer,
                },
            };
            findings.push((lookup, finding));
        }
        findings
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// Finds a lookup in the cache, waits for one under way, or passes it to the thread. `failure` is set if the thread
    /// cannot be started.
    fn begin(
        self: &Arc<Self>,
        table: &mut Table,
        lookup: &Lookup,
        now: Instant,
        failure: &mut Option<io::Error>,
    ) -> Begun {
        if let Some(finding) = table.find(lookup, now) {
            table.counts.count(Event::Cached);
            return Begun::Found(finding.clone());
        }
        let (waiter, waits) = oneshot::channel();
        let source = lookup.source();
        let has_room = table.budget.has_room(&source);
        match table.under_way.entry(lookup.clone()) {
            // A message with many recipients waits only once for a silent zone.
            Entry::Occupied(place) if now >= place.get().since + self.timeout => {
                return Begun::Found(Finding::NoAnswer);
            }
            Entry::Occupied(mut place) => place.get_mut().waiters.push(waiter),
            Entry::Vacant(place) => {
                let is_admitted = has_room && table.silence.admits(lookup, now);
                let sent = if is_admitted {
                    self.send(lookup)
                } else {
                    Ok(false)
                };
                let is_sent = sent.unwrap_or_else(|error| {
                    *failure = Some(error);
                    false
                });
                table
                    .counts
                    .count(if is_sent { Event::Sent } else { Event::NotSent });
                if !is_sent {
                    return Begun::Found(Finding::NoAnswer);
                }
                place.insert(UnderWay {
                    since: now,
                    waiters: vec![waiter],
                });
                table.budget.begin(source);
            }
        }
        Begun::Waits(waits)
    }

    /// Sends a lookup to the thread, which is started if it does not run; returns whether that succeeded.
    fn send(self: &Arc<Self>, lookup: &Lookup) -> io::Result<bool> {
        if self.resolver.is_none() {
            return Ok(false);
        }
        let mut queue = self.queue.lock();
        let sender = match queue.take() {
            Some(sender) => sender,
            None => self.start()?,
        };
        let is_sent = sender.send(lookup.clone()).is_ok();
        *queue = is_sent.then_some(sender);
        Ok(is_sent)
    }

    /// Starts the thread, which ends when the last clone of the lookups is dropped.
    fn start(self: &Arc<Self>) -> io::Result<mpsc::UnboundedSender<Lookup>> {
        let (sender, mut queue) = mpsc::unbounded_channel::<Lookup>();
        let weak = Arc::downgrade(self);
        let work = move || match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(async {
                while let Some(lookup) = queue.recv().await {
                    let Some(inner) = weak.upgrade() else { break };
                    tokio::spawn(async move { inner.resolve(lookup).await });
                }
            }),
            Err(error) => {
                log::error!("cannot start the runtime of the lookup thread: {error}");
                queue.close();
                while let Ok(lookup) = queue.try_recv() {
                    if let Some(inner) = weak.upgrade() {
                        inner.finish(lookup, &Answer::SILENT);
                    }
                }
            }
        };
        thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(work)?;
        Ok(sender)
    }

    /// Looks something up and passes the answer to all waiting requests.
    async fn resolve(&self, lookup: Lookup) {
        let patience = Duration::from_secs(LOOKUP_SECONDS);
        let answer = match &self.resolver {
            Some(resolver) => timeout(patience, resolver.resolve(&lookup)).await,
            None => Ok(Answer::SILENT),
        };
        self.finish(lookup, &answer.unwrap_or(Answer::SILENT));
    }

    /// Caches an answer and passes it to all waiting requests.
    fn finish(&self, lookup: Lookup, answer: &Answer) {
        let now = Instant::now();
        let lifetime = answer.lifetime.min(MOST_LIFETIME);
        let source = lookup.source();
        let (change, waiters) = {
            let mut table = self.lock();
            let is_noted = answer.is_silent || answer.finding != Finding::NoAnswer;
            let change = is_noted.then(|| table.silence.note(&lookup, &answer.finding, now));
            table.budget.end(&source);
            if answer.finding == Finding::NoAnswer {
                table.counts.count(Event::Unanswered);
            }
            let under_way = table.under_way.remove(&lookup);
            let waiters = under_way.map_or_else(Vec::new, |under_way| under_way.waiters);
            let finding = answer.finding.clone();
            table.insert(lookup, finding, now + lifetime);
            (change.flatten(), waiters)
        };
        // The log may be slow, and every reactor thread takes the lock.
        if let (Some(change), LookupSource::Zone(zone)) = (change, &source) {
            change.log(zone);
        }
        for waiter in waiters {
            // A request that has stopped waiting does not need it.
            drop(waiter.send(answer.finding.clone()));
        }
    }
}

impl Table {
    /// The cached finding.
    fn find(&self, lookup: &Lookup, now: Instant) -> Option<&Finding> {
        match lookup {
            Lookup::DnsList(..) | Lookup::DnsListText(..) => self.cache.find(lookup, now),
            Lookup::Spf(_) | Lookup::SenderMx(..) => self.evaluations.find(lookup, now),
            Lookup::Score | Lookup::BodyText(_) => None,
        }
    }

    /// Caches a finding.
    fn insert(&mut self, lookup: Lookup, finding: Finding, until: Instant) {
        match lookup {
            Lookup::DnsList(..) | Lookup::DnsListText(..) => {
                self.cache.insert(lookup, finding, until);
            }
            Lookup::Spf(_) | Lookup::SenderMx(..) => {
                self.evaluations.insert(lookup, finding, until);
            }
            // They belong to one message.
            Lookup::Score | Lookup::BodyText(_) => {}
        }
    }

    /// The number of cached findings.
    fn findings(&self) -> usize {
        self.cache.len().saturating_add(self.evaluations.len())
    }
}

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Records shared by the hosts of a site, so that all of them greylist as one.
//!
//! The database of each host stays the truth of that host. What the others know is evidence, in a server of Redis or
//! Valkey: when a decision would defer a mail, the records of the other hosts are asked for and merged with the host's
//! own ([`policy::Merged`](crate::policy::Merged)), and the decision is made again. What a decision has changed is
//! published in the background.
//!
//! [`Shared`] is the handle for the pipeline. [`Server`] is what it needs of a server, [`Local`] what its background task
//! needs of the host.
//!
//! # What is shared
//!
//! Triplets and clients. Sleeps are not: the record of a sleep means that the client hung up, and is removed when it has
//! survived; merged, a removal would be undone.
//!
//! # Limits
//!
//! | what | limit | beyond it |
//! | --- | --- | --- |
//! | a request | [`DEADLINE`] | it is decided on the host's own records |
//! | requests that wait | [`MOST_ASKED`] | they are decided on the host's own records |
//! | keys to publish | [`MOST_QUEUED`] of each kind | they are dropped, and counted |
//!
//! # Error handling
//!
//! Nothing here fails for a request: without the server each host decides as it would alone. [`Status::failure`] says
//! why records are not shared; one line is logged when that begins and one when it ends.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod access;
mod act_log;
mod acts;
#[cfg(test)]
mod deadline_tests;
#[cfg(test)]
pub(crate) mod double;
#[cfg(test)]
mod drift_tests;
#[cfg(test)]
mod host_double;
mod journal;
mod link;
mod local;
mod log_reader;
mod own_acts;
mod pass;
mod publish;
mod queue;
mod record;
mod redis;
mod seal;
mod sentinel;
mod server;
mod site;
mod status;
mod task;
mod tls;
mod work;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::runtime;

pub use self::redis::{Place, Redis};
pub use access::Access;
pub use acts::{Act, What};
pub use journal::{Cursor, Journal, MOST_ACTS, Step};
pub use link::{DEADLINE, MOST_ASKED};
pub use local::{Administration, Change, JournalChange, Local, LocalState};
pub use queue::MOST_QUEUED;
pub use record::{Key, Record};
pub use seal::{KEY_LENGTH, Name};
pub use server::{Connection, Pending, Server, ServerError, Write, Written};
pub use status::{HostState, Status};
pub use tls::Tls;

use crate::policy::{Case, Changes, Host, Params, SharedRecords, StoredRecords, Triplet};
use crate::store::PrivacyKey;
use crate::types::sync::{Mutex, RwLock};
use crate::types::{Span, Timestamp};
use link::Link;
use publish::Published;
use queue::Queue;
use record::Stored;
use seal::{Kind, Opened, Seal};
use site::{Identity, KnownHost, read_hosts};
use task::Work;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// The records of the site. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    /// Who the host is when the files of the site have been read, and before that, when nothing is asked or sent.
    unlocked: OnceLock<Identity>,
    locked: Identity,
    me: Host,
    name: Arc<str>,
    link: Link,
    queue: Queue,
    /// Keys that are being published.
    in_flight: AtomicUsize,
    hosts: RwLock<HashMap<Host, KnownHost>>,
    /// The end of the log of acts, and the last act that was carried out here.
    head: Mutex<Cursor>,
    done: Mutex<Cursor>,
    /// Whether the other hosts do not know that yet.
    has_caught_up: AtomicBool,
    /// Whether there are acts to append.
    has_acts: AtomicBool,
    /// Whether a pass over the records is to begin.
    wants_pass: AtomicBool,
    /// Whether one that has begun is to begin anew.
    restarts_pass: AtomicBool,
    /// How often the database was replaced by a backup.
    restarts: AtomicU64,
    /// How often files were to be read again.
    reloads: AtomicU64,
    /// The random number of this process, and whether the server has it.
    process: u64,
    has_written_name: AtomicBool,
    /// The number of the process before this one, which a server that comes back with an older state may have; 0 for none.
    process_before: AtomicU64,
    /// When the server was last told that this host is there, in seconds; 0 if not by this process.
    told: AtomicU64,
    /// The time until which all was sent, as it was noted last, in seconds.
    noted: AtomicU64,
    /// Acts of this host that there was no room for, and acts of the log that cannot be read.
    acts_lost: AtomicU64,
    acts_skipped: AtomicU64,
    /// The deletions of records.
    forgotten: RwLock<Vec<Act>>,
    /// Acts of this host that its database has carried out.
    carried_out: Mutex<Vec<Act>>,
    params: Params,
    /// Whether the clock is compared with the server's: not if it is a test's.
    compares_clocks: bool,
    /// Seconds by which the clocks are apart.
    apart: AtomicU64,
    asked: AtomicU64,
    answered: AtomicU64,
    published: AtomicU64,
    /// How many keys there had been no room for when the last pass was considered.
    passed_over: AtomicU64,
    learned: AtomicU64,
    /// Whether a forged value was logged.
    has_logged: AtomicBool,
}

/// What a host is to the others.
#[derive(Debug, Clone)]
pub struct Me {
    /// Its name.
    pub name: String,
    /// How it makes records.
    pub params: Params,
    /// Whether its clock is compared with the server's.
    pub compares_clocks: bool,
}

impl Shared {
    /// The records of a site, by the server with this address. Nothing is asked or published before [`Self::start`], or
    /// before [`Self::unlock`].
    #[must_use]
    pub fn new(me: Me, address: String) -> Self {
        Self(Arc::new(Inner {
            unlocked: OnceLock::new(),
            locked: Identity::new(&[0; KEY_LENGTH], &me.params, None),
            me: Host::of(&me.name),
            name: me.name.into(),
            link: Link::new(address),
            queue: Queue::default(),
            in_flight: AtomicUsize::new(0),
            hosts: RwLock::default(),
            head: Mutex::default(),
            done: Mutex::default(),
            has_caught_up: AtomicBool::new(false),
            has_acts: AtomicBool::new(false),
            wants_pass: AtomicBool::new(false),
            restarts_pass: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            process: random(),
            has_written_name: AtomicBool::new(false),
            process_before: AtomicU64::new(0),
            told: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            acts_lost: AtomicU64::new(0),
            acts_skipped: AtomicU64::new(0),
            forgotten: RwLock::default(),
            carried_out: Mutex::default(),
            params: me.params,
            compares_clocks: me.compares_clocks,
            apart: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            published: AtomicU64::new(0),
            passed_over: AtomicU64::new(0),
            learned: AtomicU64::new(0),
            has_logged: AtomicBool::new(false),
        }))
    }

    /// The records are those of the site with this `secret`; with `privacy`, the databases of its hosts have hashes by that
    /// key in place of keys. No connection is made before the first call, and others change nothing. Yields whether these
    /// keys are those of the first call.
    #[must_use]
    pub fn unlock(&self, secret: &[u8; KEY_LENGTH], privacy: Option<PrivacyKey>) -> bool {
        let shared = &self.0;
        let identity = Identity::new(secret, &shared.params, privacy);
        let (hosts, site) = (identity.seal.name(Kind::Hosts, b""), identity.site.clone());
        let first = shared.unlocked.get_or_init(|| identity);
        first.seal.name(Kind::Hosts, b"") == hosts && first.site == site
    }

    /// Starts the thread of the background task, which ends when `local` says so.
    ///
    /// # Errors
    ///
    /// When the thread or its runtime cannot be started.
    pub fn start(
        &self,
        server: Box<dyn Server>,
        local: Arc<dyn Local>,
        administration: Arc<dyn Administration>,
    ) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let work = Work {
            shared: Arc::clone(&self.0),
            server,
            local,
            administration,
        };
        let thread = thread::Builder::new().name("shared".to_owned());
        thread.spawn(move || runtime.block_on(work.run()))?;
        Ok(())
    }

    /// The records that the other hosts have of a case; `None` if there are none, or they are not there in time.
    pub async fn ask(&self, case: &Case) -> Option<Box<SharedRecords>> {
        self.ask_all(&[case]).await.pop().flatten()
    }

    /// The same for each of these cases, which are asked about together: they wait no longer than one.
    pub async fn ask_all(&self, cases: &[&Case]) -> Vec<Option<Box<SharedRecords>>> {
        let shared = &self.0;
        let count = u64::try_from(cases.len()).unwrap_or(u64::MAX);
        shared.asked.fetch_add(count, Ordering::Relaxed);
        let keys: Vec<Vec<Key>> = cases.iter().map(|case| keys_of(case).collect()).collect();
        let seal = shared.seal();
        let hosts = seal.name(Kind::Hosts, b"");
        // The recipients of a message have the client in common, which is asked for once.
        let mut names: Vec<Name> = Vec::new();
        let mut places: HashMap<&Key, usize> = HashMap::new();
        for key in keys.iter().flatten() {
            places.entry(key).or_insert_with(|| {
                names.push(key.name(seal));
                names.len().saturating_sub(1)
            });
        }
        names.push(hosts);
        let Some(values) = shared.link.ask(names.clone()).await else {
            return cases.iter().map(|_| None).collect();
        };
        shared.answered.fetch_add(count, Ordering::Relaxed);
        let pairs: Vec<(&Name, &Option<Vec<u8>>)> = names.iter().zip(&values).collect();
        let all = keys.iter().flatten();
        let mut stored = all.filter_map(|key| pairs.get(*places.get(key)?).copied());
        let found = keys.iter().map(|keys| shared.found(keys, &mut stored));
        let found: Vec<_> = found.collect();
        let all = found.iter().flatten();
        let publishers = all.flat_map(|found| {
            let triplets = found.triplets.iter().flatten().map(|(_, host)| *host);
            triplets.chain(found.client.map(|(_, host)| host))
        });
        let publishers: Vec<_> = publishers.collect();
        if !publishers.is_empty() {
            let body = values.last().and_then(Option::as_deref);
            shared.learn_names(publishers.into_iter(), &hosts, body);
        }
        found
    }

    /// Has the changes of a decision published, if other hosts have to know them: all that are durable, others only when
    /// the record was last seen on another day. `stored` are the records before the decision.
    pub fn note(&self, case: &Case, stored: &StoredRecords, changes: &Changes) {
        let is_new_day = |before: Timestamp, after: Timestamp| {
            before.seconds().div_euclid(DAY) != after.seconds().div_euclid(DAY)
        };
        let mut triplets = stored.triplet.iter().chain(stored.others.iter().flatten());
        let is_due = changes.durable
            || changes.triplet.is_some_and(|next| {
                triplets.any(|triplet: &Triplet| is_new_day(triplet.last(), next.last()))
            })
            || (changes.client.zip(stored.client))
                .is_some_and(|(next, client)| is_new_day(client.last, next.last));
        if !is_due {
            return;
        }
        let due = keys_of(case).filter(|key| match key {
            Key::Triplet(_) => changes.triplet.is_some(),
            Key::Client(_) => changes.client.is_some(),
        });
        self.0.queue.add(due);
    }

    /// Has the record of a triplet published.
    pub fn publish(&self, key: Key) {
        self.0.queue.add([key]);
    }

    /// This host.
    #[must_use]
    pub fn me(&self) -> Host {
        self.0.me
    }

    /// The name of a host.
    #[must_use]
    pub fn host(&self, host: Host) -> Arc<str> {
        self.0.host(host)
    }
}

impl Inner {
    fn identity(&self) -> &Identity {
        self.unlocked.get().unwrap_or(&self.locked)
    }

    fn seal(&self) -> &Seal {
        &self.identity().seal
    }

    /// What is stored under these keys, whose values come next; `None` if it is nothing.
    fn found<'a>(
        &self,
        keys: &[Key],
        stored: &mut impl Iterator<Item = (&'a Name, &'a Option<Vec<u8>>)>,
    ) -> Option<Box<SharedRecords>> {
        let mut found = SharedRecords::default();
        let mut triplets = found.triplets.iter_mut();
        // The keys first: an iterator that ends first takes no value of the next keys.
        for (key, (name, value)) in keys.iter().zip(stored) {
            let known = match self.read(key, name, value.as_deref()) {
                Stored::Known(record, host) => Some((record, host)),
                Stored::Absent | Stored::Unknown => None,
            };
            match (key, known) {
                (Key::Client(_), Some((Record::Client(client), host))) => {
                    found.client = Some((client, host));
                }
                (Key::Triplet(_), known) => {
                    let (Some(place), Some((Record::Triplet(triplet), host))) =
                        (triplets.next(), known)
                    else {
                        continue;
                    };
                    *place = Some((triplet, host));
                }
                (Key::Client(_), _) => {}
            }
        }
        (found != SharedRecords::default()).then(|| Box::new(found))
    }

    /// Reads a value of the server. A forged one is logged once.
    fn read(&self, key: &Key, name: &Name, value: Option<&[u8]>) -> Stored {
        let mut is_forged = false;
        let stored = key.read(self.seal(), name, value, &mut is_forged);
        if is_forged && !self.has_logged.swap(true, Ordering::Relaxed) {
            log::warn!(
                "the shared server has a record that no host with this --shared-secret has written; ignoring this and others"
            );
        }
        let is_forgotten = |record: &Record| {
            let forgotten = self.forgotten.read();
            let params = &self.params;
            forgotten
                .iter()
                .any(|act| act.has_forgotten(key, record, params, self.seal().privacy()))
        };
        match stored {
            Stored::Known(record, _) if is_forgotten(&record) => Stored::Absent,
            Stored::Known(..) | Stored::Absent | Stored::Unknown => stored,
        }
    }

    /// The name of a host.
    fn host(&self, host: Host) -> Arc<str> {
        if host == self.me {
            return Arc::clone(&self.name);
        }
        let hosts = self.hosts.read();
        let known = hosts.get(&host).map(|known| known.name.as_str());
        known.unwrap_or("another host").into()
    }

    /// Learns the names of hosts that are not known yet, from the value that has them.
    fn learn_names(
        &self,
        mut publishers: impl Iterator<Item = Host>,
        name: &Name,
        value: Option<&[u8]>,
    ) {
        let are_known = {
            let known = self.hosts.read();
            publishers.all(|host| host == self.me || known.contains_key(&host))
        };
        if !are_known && let Some(body) = self.body(name, value) {
            self.set_hosts(read_hosts(body));
        }
    }

    /// Refuses a value of the site that a later version has written: it must not be overwritten.
    fn expect_known(&self, name: &Name, value: Option<&[u8]>) -> Result<(), ServerError> {
        match value.map(|value| self.seal().open(name, value)) {
            Some(Opened::Unknown) => Err(ServerError::Other(
                "a host with a later version of stargreyd has written there; upgrade this one"
                    .to_owned(),
            )),
            Some(Opened::Body(_) | Opened::Forged) | None => Ok(()),
        }
    }

    /// The body of a value, if a host of this version has written it.
    fn body<'v>(&self, name: &Name, value: Option<&'v [u8]>) -> Option<&'v [u8]> {
        match self.seal().open(name, value?) {
            Opened::Body(body) => Some(body),
            Opened::Unknown | Opened::Forged => None,
        }
    }

    fn set_hosts(&self, known: Vec<KnownHost>) {
        let by_host = known.into_iter().map(|known| (known.host, known));
        *self.hosts.write() = by_host.collect();
    }

    fn set_head(&self, head: Cursor) {
        *self.head.lock() = head;
    }

    /// The last act that was carried out here.
    fn done(&self) -> Cursor {
        *self.done.lock()
    }

    fn set_done(&self, done: Cursor) {
        let before = std::mem::replace(&mut *self.done.lock(), done);
        if before != done {
            self.has_caught_up.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the other hosts are to be told what was carried out here.
    fn check_again(&self) {
        self.has_caught_up.store(true, Ordering::Relaxed);
    }

    /// Whether that is to be written, once.
    fn has_caught_up(&self) -> bool {
        self.has_caught_up.swap(false, Ordering::Relaxed)
    }

    /// Whether a pass over the records is to begin; `dropped` is the number of keys without room when the queue was read.
    fn is_pass_wanted(&self, dropped: u64) -> bool {
        let known = self.passed_over.swap(dropped, Ordering::Relaxed);
        self.wants_pass.load(Ordering::Relaxed) || known != dropped
    }

    /// How often the database was replaced by a backup.
    fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Has a pass over the records begun anew.
    fn restart_pass(&self) {
        self.restarts_pass.store(true, Ordering::Relaxed);
        self.wants_pass.store(true, Ordering::Relaxed);
    }

    /// Whether that is to be done, once.
    fn restarts_pass(&self) -> bool {
        self.restarts_pass.swap(false, Ordering::Relaxed)
    }

    /// Notes how far the clocks are apart; returns how far they were.
    fn set_apart(&self, apart: Span) -> Span {
        Span::from_seconds(self.apart.swap(apart.seconds(), Ordering::Relaxed))
    }

    fn note_published(&self, published: Published) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.published
            .fetch_add(count(published.written), Ordering::Relaxed);
        self.learned
            .fetch_add(count(published.learned), Ordering::Relaxed);
        if !published.left.is_empty() {
            self.queue.add(published.left);
        }
    }
}

/// A random number, which is not 0.
fn random() -> u64 {
    let mut bytes = [0; 8];
    if let Err(error) = getrandom::fill(&mut bytes) {
        log::warn!("no random numbers: {error}");
    }
    u64::from_be_bytes(bytes).max(1)
}

/// The keys of a case's records.
fn keys_of(case: &Case) -> impl Iterator<Item = Key> {
    let client = case.client.clone().map(Key::Client);
    client
        .into_iter()
        .chain(case.names().cloned().map(Key::Triplet))
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

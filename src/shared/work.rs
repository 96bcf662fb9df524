//! The background task: it connects, keeps the site's records, and publishes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::act_log::LogReader;
use super::local::LocalState;
use super::pass::Pass;
use super::publish::{BATCH, publish};
use super::record::Key;
use super::seal::{Kind, Name};
use super::server::{Connection, ServerError, Write, Written};
use super::site::{HOST_LIFETIME, KnownHost, SITE_LIFETIME, hosts_with, read_hosts};
use super::task::{Work, within};
use crate::types::{Span, Timestamp};

/// Time between two rounds while nothing is to be published.
const IDLE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

/// How long keys are gathered before they are published.
const GATHERING: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });

/// Time until the next attempt to connect, at first and at most.
const RETRY: (Duration, Duration) = if cfg!(test) {
    (Duration::from_millis(5), Duration::from_millis(20))
} else {
    (Duration::from_millis(500), Duration::from_secs(5))
};

/// Time between two checks of the clock and of the site.
const CHECK: Duration = Duration::from_secs(60);

/// Time between two notes of what was sent.
const NOTE: Span = Span::from_seconds(60);

/// Exchanges under way at the same time.
const MOST_BATCHES: usize = 8;

/// Difference to the server's clock that is logged.
const WARN_APART: Span = Span::from_seconds(30);

/// Why records are not shared.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(
        "this host's clock is {0} apart from the server's, which is more than half of the delay"
    )]
    Apart(Span),
    #[error("{option} is {ours} here and {theirs} at {host}")]
    Differs {
        option: &'static str,
        ours: String,
        theirs: String,
        host: Arc<str>,
    },
}

impl Work {
    /// Works until the daemon ends.
    pub(super) async fn run(self) {
        let mut retry = RETRY.0;
        while let Some(state) = self.local.state() {
            let begun = Instant::now();
            let connected = match within(self.server.connect()).await {
                Ok(connection) => self.serve(connection, state).await,
                Err(error) => Err(error.into()),
            };
            self.shared.link.disconnect();
            match connected {
                // The daemon ends.
                Ok(None) => return,
                // It had worked.
                Ok(Some(())) => {
                    if begun.elapsed() >= CHECK {
                        retry = RETRY.0;
                    }
                }
                Err(error) => self.shared.link.unavailable(&error.to_string()),
            }
            sleep(retry).await;
            retry = retry.saturating_mul(2).min(RETRY.1);
        }
    }

    /// Checks a connection and uses it while it works. Yields nothing if the daemon ends.
    async fn serve(
        &self,
        connection: Arc<dyn Connection>,
        state: LocalState,
    ) -> Result<Option<()>, Unfit> {
        let link = &self.shared.link;
        self.check(connection.as_ref(), state).await?;
        link.connected(Arc::clone(&connection));
        let mut checked = Instant::now();
        let mut reader = LogReader::default();
        let mut pass = None;
        self.shared.has_acts.store(true, Ordering::Relaxed);
        self.shared.wants_pass.store(true, Ordering::Relaxed);
        loop {
            let Some(state) = self.local.state() else {
                return Ok(None);
            };
            if checked.elapsed() >= CHECK || self.shared.has_caught_up() {
                self.check(connection.as_ref(), state).await?;
                checked = Instant::now();
            }
            let published = self.round(&connection, &mut reader, &mut pass, state).await;
            if let Err(error) = &published {
                link.failed(&connection, error);
            }
            let is_clean = published.is_ok();
            let current = link.connection();
            if current.is_none_or(|current| !Arc::ptr_eq(&current, &connection)) {
                return Ok(Some(()));
            }
            if is_clean {
                link.works();
            }
            tokio::select! {
                () = sleep(IDLE) => {}
                () = link.lost.notified() => {}
                () = self.shared.queue.wake.notified(), if is_clean => sleep(GATHERING).await,
            }
        }
    }

    /// The log first: a host that was away must not publish what has been forgotten meanwhile.
    async fn round(
        &self,
        connection: &Arc<dyn Connection>,
        reader: &mut LogReader,
        pass: &mut Option<Pass>,
        state: LocalState,
    ) -> Result<(), ServerError> {
        let is_up_to_date = self.keep_log(connection.as_ref(), reader, state).await?;
        if !is_up_to_date || !state.may_publish {
            return Ok(());
        }
        let dropped = self.shared.queue.dropped();
        self.publish_queued(connection, state).await?;
        if self.shared.is_pass_wanted(dropped) && pass.is_none() {
            *pass = Some(self.begin_pass(state));
        }
        self.step(connection, pass, state).await?;
        if pass.is_none() {
            self.note_sent(state).await;
        }
        Ok(())
    }

    /// Notes from time to time that all was sent.
    async fn note_sent(&self, state: LocalState) {
        let noted = self.local.sent_until();
        if state.now.since(noted) >= NOTE && self.shared.queue.len() == 0 {
            // A change that is made meanwhile is in the queue, but may be older by its clock.
            self.local
                .set_sent_until(state.now.before(WARN_APART))
                .await;
        }
    }

    /// Publishes all that is queued. What is not published stays in the queue.
    async fn publish_queued(
        &self,
        connection: &Arc<dyn Connection>,
        state: LocalState,
    ) -> Result<(), ServerError> {
        let in_flight = &self.shared.in_flight;
        let keys = (self.shared.queue).take(|keys| in_flight.store(keys, Ordering::Relaxed));
        let failure = self.publish_keys(connection, keys, state).await;
        in_flight.store(0, Ordering::Relaxed);
        failure.map_or(Ok(()), Err)
    }

    /// Publishes the records of these keys; yields the failure. What is not published is queued.
    pub(super) async fn publish_keys(
        &self,
        connection: &Arc<dyn Connection>,
        mut keys: Vec<Key>,
        state: LocalState,
    ) -> Option<ServerError> {
        let mut failure = None;
        while !keys.is_empty() && failure.is_none() {
            let mut batches = JoinSet::new();
            for _ in 0..MOST_BATCHES {
                let batch = keys.split_off(keys.len().saturating_sub(BATCH));
                if batch.is_empty() {
                    break;
                }
                let (shared, local) = (Arc::clone(&self.shared), Arc::clone(&self.local));
                let connection = Arc::clone(connection);
                batches.spawn(async move {
                    let kept = batch.clone();
                    let published =
                        publish(&shared, local.as_ref(), &connection, (batch, state)).await;
                    published.map_err(|error| (error, kept))
                });
            }
            while let Some(done) = batches.join_next().await {
                match done {
                    Ok(Ok(published)) => self.shared.note_published(published),
                    Ok(Err((error, kept))) => {
                        keys.extend(kept);
                        failure = Some(error);
                    }
                    Err(error) => log::error!("a batch of shared records: {error}"),
                }
            }
        }
        if !keys.is_empty() {
            self.shared.queue.add(keys);
        }
        failure
    }

    /// Compares the clock and the options with those of the site.
    async fn check(&self, connection: &dyn Connection, state: LocalState) -> Result<(), Unfit> {
        self.check_clock(within(connection.time()).await?, state)?;
        let seal = &self.shared.seal;
        let (site, hosts) = (seal.name(Kind::Site, b""), seal.name(Kind::Hosts, b""));
        let mut values = within(connection.get(vec![site, hosts])).await?.into_iter();
        let (old_site, old_hosts) = (values.next().flatten(), values.next().flatten());
        self.shared.expect_known(&site, old_site.as_deref())?;
        self.shared.expect_known(&hosts, old_hosts.as_deref())?;
        let known = self.shared.body(&hosts, old_hosts.as_deref());
        let known = read_hosts(known.unwrap_or_default());
        self.shared.set_hosts(known.clone());
        let body = self.shared.body(&site, old_site.as_deref());
        if let Some(differs) = body.and_then(|body| self.shared.site.difference(body)) {
            let (option, ours, theirs, host) = differs;
            return Err(Unfit::Differs {
                option,
                ours: ours.to_owned(),
                theirs,
                host: self.shared.host(host),
            });
        }
        let me = KnownHost {
            host: self.shared.me,
            seen: state.now,
            done: self.shared.done(),
            name: self.shared.name.to_string(),
        };
        let write = |name: Name, read, body: Vec<u8>, lifetime| Write {
            value: Some(seal.close(&name, &body)),
            name,
            read,
            lifetime,
        };
        let site_body = self.shared.site.body(self.shared.me);
        let writes = vec![
            write(site, old_site, site_body, SITE_LIFETIME),
            write(hosts, old_hosts, hosts_with(known, me), HOST_LIFETIME),
        ];
        let written = match within(connection.write(writes)).await {
            Ok(written) => written,
            // Records can be asked for all the same.
            Err(error) if error.is_of_writes() => {
                self.shared.link.unavailable(&error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if written.iter().any(|written| *written != Written::Done) {
            log::debug!("another host has written at the same time; the next round repeats it");
            self.shared.check_again();
        }
        Ok(())
    }

    /// Compares the clock with the server's.
    fn check_clock(&self, theirs: Timestamp, state: LocalState) -> Result<(), Unfit> {
        let ours = state.now;
        let apart = if ours > theirs {
            ours.since(theirs)
        } else {
            theirs.since(ours)
        };
        if !self.shared.compares_clocks {
            return Ok(());
        }
        self.shared.set_apart(apart);
        if apart.seconds() > state.params.delay.seconds().div_euclid(2).max(1) {
            return Err(Unfit::Apart(apart));
        }
        if apart > WARN_APART {
            log::warn!("this host's clock is {apart} apart from that of the shared server");
        }
        Ok(())
    }
}

//! The background task: it connects, keeps the site's records, and publishes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::local::LocalState;
use super::log_reader::LogReader;
use super::pass::Pass;
use super::publish::{BATCH, publish};
use super::record::Key;
use super::seal::{Kind, Name};
use super::server::{Connection, ServerError, Write, Written};
use super::site::{HOST_LIFETIME, KnownHost, SITE_LIFETIME, hosts_with, read_hosts};
use super::status::AWAY;
use super::task::{IDLE, MARGIN, Work, within};
use crate::types::{Span, Timestamp};

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

/// Rounds in a row that may leave acts of administrators undone before that is a failure.
const MOST_UNDONE: u32 = 5;

/// Difference to the server's clock that is logged.
const WARN_APART: Span = Span::from_seconds(30);

/// What is wrong while the log of acts is not carried out.
const UNDONE: &str = "what administrators did at other hosts cannot be carried out here now, so nothing is published";

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
    #[error("another host has the name {0}, too; give each its own with --hostname")]
    SameName(Arc<str>),
}

impl Work {
    /// Works until the daemon ends.
    pub(super) async fn run(self) {
        let mut retry = RETRY.0;
        let mut pass = None;
        while let Some(state) = self.local.state() {
            let begun = Instant::now();
            let connected = match within(self.server.connect()).await {
                Ok(connection) => self.serve(connection, &mut pass, state).await,
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

    /// Checks a connection and uses it while it works. Requests ask for records only when this host has carried out what
    /// administrators did while it was away. Yields nothing if the daemon ends.
    async fn serve(
        &self,
        connection: Arc<dyn Connection>,
        pass: &mut Option<Pass>,
        state: LocalState,
    ) -> Result<Option<()>, Unfit> {
        let link = &self.shared.link;
        let mut takes_writes = self.check(connection.as_ref(), state).await?;
        let mut checked = Instant::now();
        let restarts = self.shared.restarts();
        let mut reader = LogReader::default();
        let (mut is_serving, mut undone) = (false, 0_u32);
        self.shared.has_acts.store(true, Ordering::Relaxed);
        self.shared.wants_pass.store(true, Ordering::Relaxed);
        loop {
            let Some(state) = self.local.state() else {
                return Ok(None);
            };
            let is_due = checked.elapsed() >= CHECK || !takes_writes;
            if self.shared.has_caught_up() || is_due {
                takes_writes = self.check(connection.as_ref(), state).await?;
                checked = Instant::now();
            }
            let state_and_writes = (state, takes_writes);
            let kept = self
                .round(&connection, &mut reader, pass, state_and_writes)
                .await;
            if self.shared.restarts() != restarts {
                return Ok(Some(()));
            }
            if reader.has_caught_up && !is_serving {
                link.connected(Arc::clone(&connection));
                is_serving = true;
            }
            match &kept {
                Err(error) if !is_serving => return Err(error.clone().into()),
                Err(error) => {
                    takes_writes &= !error.is_of_writes();
                    link.failed(&connection, &self.of_primary(error).await);
                }
                Ok(_) => {}
            }
            let current = link.connection();
            let is_current = |current: Arc<_>| Arc::ptr_eq(&current, &connection);
            if is_serving && !current.is_some_and(is_current) {
                return Ok(Some(()));
            }
            let is_up_to_date = matches!(kept, Ok(true));
            match kept {
                Ok(true) => {
                    // With nothing to publish a round succeeds, whether or not the server takes writes.
                    if takes_writes {
                        link.works();
                    }
                    undone = 0;
                }
                Ok(false) => undone = undone.saturating_add(1),
                Err(_) => {}
            }
            if undone >= MOST_UNDONE {
                link.unavailable(UNDONE);
            }
            tokio::select! {
                () = sleep(IDLE) => {}
                () = link.lost.notified() => {}
                () = self.shared.queue.wake.notified(), if is_up_to_date => sleep(GATHERING).await,
            }
        }
    }

    /// The log first: a host that was away must not publish what has been forgotten meanwhile. Yields whether the log is
    /// carried out.
    async fn round(
        &self,
        connection: &Arc<dyn Connection>,
        reader: &mut LogReader,
        pass: &mut Option<Pass>,
        (state, takes_writes): (LocalState, bool),
    ) -> Result<bool, ServerError> {
        if !self.keep_log(connection.as_ref(), reader, state).await? {
            return Ok(false);
        }
        if !state.may_publish {
            return Ok(true);
        }
        if self.shared.restarts_pass() {
            *pass = None;
        }
        let dropped = self.shared.queue.dropped();
        // A server that takes no writes is not told when this host was there, by which its state is known to be of now.
        let is_all_sent = self.publish_queued(connection, state).await? && takes_writes;
        if self.shared.is_pass_wanted(dropped) && pass.is_none() {
            *pass = Some(self.begin_pass(state));
        }
        self.step(connection, pass, (state, is_all_sent)).await?;
        if pass.is_none() && is_all_sent {
            self.note_sent(state).await;
        }
        Ok(true)
    }

    /// Notes from time to time that all was sent.
    async fn note_sent(&self, state: LocalState) {
        let noted = self.local.sent_until();
        // Older records are there, which were imported.
        if noted.seconds() < self.shared.noted.load(Ordering::Relaxed) {
            self.shared.wants_pass.store(true, Ordering::Relaxed);
            return;
        }
        if state.now.since(noted) >= NOTE {
            // A change that was made meanwhile is in the queue, but may be older by its clock.
            let until = state.now.before(MARGIN);
            self.note_until(noted, until).await;
        }
    }

    /// Notes the time until which all was sent, if it has been `from` until now. Yields whether that was possible.
    pub(super) async fn note_until(&self, from: Timestamp, until: Timestamp) -> bool {
        let noted = &self.shared.noted;
        let is_noted = self.local.set_sent_until(from, until).await;
        if is_noted {
            noted.store(until.seconds(), Ordering::Relaxed);
        }
        is_noted
    }

    /// Publishes all that is queued; yields whether that is so of each. What is not published stays in the queue.
    async fn publish_queued(
        &self,
        connection: &Arc<dyn Connection>,
        state: LocalState,
    ) -> Result<bool, ServerError> {
        let in_flight = &self.shared.in_flight;
        let keys = (self.shared.queue).take(|keys| in_flight.store(keys, Ordering::Relaxed));
        let published = self.publish_keys(connection, keys, state).await;
        in_flight.store(0, Ordering::Relaxed);
        published
    }

    /// Publishes the records of these keys; yields whether that is so of each. What is not published is queued.
    pub(super) async fn publish_keys(
        &self,
        connection: &Arc<dyn Connection>,
        mut keys: Vec<Key>,
        state: LocalState,
    ) -> Result<bool, ServerError> {
        let mut failure = None;
        let mut is_all_sent = true;
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
                    Ok(Ok(published)) => {
                        is_all_sent &= published.left.is_empty();
                        self.shared.note_published(published);
                    }
                    Ok(Err((error, kept))) => {
                        keys.extend(kept);
                        failure = Some(error);
                    }
                    Err(error) => {
                        is_all_sent = false;
                        log::error!("a batch of shared records: {error}");
                    }
                }
            }
        }
        if !keys.is_empty() {
            self.shared.queue.add(keys);
        }
        failure.map_or(Ok(is_all_sent), Err)
    }

    /// Compares the clock and the options with those of the site, and tells the site of this host. Yields whether the
    /// server takes writes.
    async fn check(&self, connection: &dyn Connection, state: LocalState) -> Result<bool, Unfit> {
        self.check_clock(within(connection.time()).await?, state)?;
        let seal = self.shared.seal();
        let (site, hosts) = (seal.name(Kind::Site, b""), seal.name(Kind::Hosts, b""));
        let mut values = within(connection.get(vec![site, hosts])).await?.into_iter();
        let (old_site, old_hosts) = (values.next().flatten(), values.next().flatten());
        self.shared.expect_known(&site, old_site.as_deref())?;
        self.shared.expect_known(&hosts, old_hosts.as_deref())?;
        let known = self.shared.body(&hosts, old_hosts.as_deref());
        let known = read_hosts(known.unwrap_or_default());
        self.shared.set_hosts(known.clone());
        let body = self.shared.body(&site, old_site.as_deref());
        if let Some(differs) = body.and_then(|body| self.shared.identity().site.difference(body)) {
            let (option, ours, theirs, host) = differs;
            return Err(Unfit::Differs {
                option,
                ours: ours.to_owned(),
                theirs,
                host: self.shared.host(host),
            });
        }
        self.check_name(&known, state)?;
        if !self.expect_sent(&known).await {
            log::debug!("the database has been replaced by a backup meanwhile");
        }
        let me = KnownHost {
            host: self.shared.me,
            process: self.shared.process,
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
        let site_body = self.shared.identity().site.body(self.shared.me);
        let writes = vec![
            write(site, old_site, site_body, SITE_LIFETIME),
            write(hosts, old_hosts, hosts_with(known, me), HOST_LIFETIME),
        ];
        let written = match within(connection.write(writes)).await {
            Ok(written) => written,
            Err(error) => {
                let error = self.of_primary(&error).await;
                // Records can still be read.
                if error.is_of_writes() {
                    self.shared.link.unavailable(&error.to_string());
                    return Ok(false);
                }
                return Err(error.into());
            }
        };
        let is_done = |written: Option<&Written>| written == Some(&Written::Done);
        if is_done(written.last()) {
            self.shared.has_written_name.store(true, Ordering::Relaxed);
            let told = state.now.seconds();
            self.shared.told.store(told, Ordering::Relaxed);
        }
        if written.iter().any(|written| *written != Written::Done) {
            log::debug!("another host has written at the same time; the next round repeats it");
            self.shared.check_again();
        }
        Ok(true)
    }

    /// Finds out another host with the name of this one.
    fn check_name(&self, known: &[KnownHost], state: LocalState) -> Result<(), Unfit> {
        let shared = &self.shared;
        let mut hosts = known.iter();
        let other = hosts.find(|known| known.host == shared.me && known.process != shared.process);
        let Some(other) = other else { return Ok(()) };
        let before = &shared.process_before;
        if !shared.has_written_name.load(Ordering::Relaxed) {
            // The process before this one, which writes no more. A replica that takes over may still have it.
            before.store(other.process, Ordering::Relaxed);
        } else if other.process != before.load(Ordering::Relaxed)
            && state.now.since(other.seen) <= AWAY
        {
            return Err(Unfit::SameName(Arc::clone(&shared.name)));
        }
        Ok(())
    }

    /// What an error of the server means: one that takes no writes may have been the primary once.
    async fn of_primary(&self, error: &ServerError) -> ServerError {
        if error.is_of_writes() && within(self.server.has_moved()).await == Ok(true) {
            return ServerError::Moved;
        }
        error.clone()
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
        let before = self.shared.set_apart(apart);
        if apart.seconds() > state.params.delay.seconds().div_euclid(2).max(1) {
            return Err(Unfit::Apart(apart));
        }
        if apart > WARN_APART && before <= WARN_APART {
            log::warn!("this host's clock is {apart} apart from that of the shared server");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::acts::{Act, What};
    use super::super::double::{Behaviour, Double};
    use super::super::host_double::{HostDouble, NOW, client};
    use super::super::record::Key;
    use super::{MARGIN, UNDONE};
    use crate::policy::{Case, Filter};
    use crate::types::Timestamp;

    /// Waits until the task of a host has looked several times for what there is to do.
    fn rounds(host: &HostDouble) {
        let reads = host.network.reads();
        host.wait_for("rounds", |_| host.network.reads() >= reads + 12);
    }

    #[tokio::test]
    async fn a_host_whose_database_is_in_trouble_publishes_nothing_and_does_it_afterwards() {
        let server = Double::default();
        let host = HostDouble::new("mx1.example", &server);
        host.state.records.lock().extend([client(1), client(2)]);
        host.state.is_stalled.store(true, Ordering::Relaxed);
        host.start();
        host.wait_for("connected", |shared| shared.status().failure.is_none());
        host.shared.publish(client(1).0);
        rounds(&host);
        let status = host.shared.status();
        assert_eq!((status.published, status.queued), (0, 1));
        assert_eq!(host.state.noted(), Timestamp::default());
        host.state.is_stalled.store(false, Ordering::Relaxed);
        host.wait_for("published", |shared| shared.status().published == 2);
        host.wait_for("noted", |_| host.state.noted() == NOW.before(MARGIN));
    }

    #[tokio::test]
    async fn while_the_server_takes_no_writes_it_is_not_noted_that_all_is_sent() {
        let server = Double::default();
        let [one, two] = ["mx1.example", "mx2.example"].map(|name| HostDouble::new(name, &server));
        one.state.records.lock().push(client(1));
        one.start();
        one.wait_for("published", |shared| shared.status().published == 1);
        // What the second host has is there already, but for a record that comes later.
        two.state.records.lock().push(client(1));
        two.network.set(Behaviour::IsFull);
        two.start();
        rounds(&two);
        assert_eq!(two.state.noted(), Timestamp::default());
        two.state.records.lock().push(client(2));
        two.shared.publish(client(2).0);
        rounds(&two);
        let status = two.shared.status();
        assert_eq!(status.published, 0);
        assert!(status.queued >= 1, "{status:?}");
        assert_eq!(two.state.noted(), Timestamp::default());
        two.network.set(Behaviour::Replies);
        two.wait_for("published", |shared| shared.status().published == 1);
        two.wait_for("noted", |_| two.state.noted() == NOW.before(MARGIN));
    }

    #[tokio::test]
    async fn no_request_gets_records_before_the_acts_of_administrators_are_carried_out() {
        let server = Double::default();
        let [one, two] = ["mx1.example", "mx2.example"].map(|name| HostDouble::new(name, &server));
        one.state.records.lock().push(client(1));
        let act = Act {
            host: one.shared.me(),
            time: NOW,
            what: What::Forget(Filter {
                sender: Some(b"a@b".to_vec()),
                ..Filter::default()
            }),
        };
        one.state.journal.lock().pending.push(act);
        one.start();
        one.wait_for("published", |shared| shared.status().published == 1);

        let (Key::Client(key), _) = client(1) else {
            panic!("a client has a client's key");
        };
        let case = Case::of(Some(key), None);
        two.state.refuses_acts.store(true, Ordering::Relaxed);
        two.start();
        two.wait_for("refused", |shared| {
            let failure = shared.status().failure;
            failure.as_deref() == Some(UNDONE)
        });
        assert_eq!(two.shared.ask(&case).await, None);
        two.state.refuses_acts.store(false, Ordering::Relaxed);
        two.wait_for("works", |shared| shared.status().failure.is_none());
        let known = two.shared.ask(&case).await.unwrap();
        assert_eq!(known.client.unwrap().1, one.shared.me());
    }
}

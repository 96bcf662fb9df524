//! The background pass: records that were not published when they changed, because the server was away, the queue was
//! full, or the daemon was restarted; and all of them, when the host joins or the server has lost its data.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::local::LocalState;
use super::server::{Connection, ServerError};
use super::site::KnownHost;
use super::task::{IDLE, KEPT, MARGIN, Work};
use crate::types::{Span, Timestamp};

/// Records of a step; there is one in [`IDLE`] at most.
const MOST_RECORDS: usize = 500;

/// How much older the time that the server has of this host may be than the last record sent: it is told each minute.
const OLDER: Span = Span::from_seconds(120);

/// In place of the time that the server was told: it has an older state, and everything is sent again already.
const KNOWN_TO_BE_OLDER: u64 = u64::MAX;

/// A pass over the records that were seen since `since`. It outlives a connection: it goes on where it was.
#[derive(Debug)]
pub(super) struct Pass {
    /// When it began; a change that was made then may be older by its clock.
    began: Timestamp,
    since: Timestamp,
    after: Vec<u8>,
    /// How many keys there had been no room for when it began.
    dropped: u64,
    /// When the last step was.
    stepped: Option<Instant>,
}

impl Work {
    /// Begins a pass.
    pub(super) fn begin_pass(&self, state: LocalState) -> Pass {
        self.shared.wants_pass.store(false, Ordering::Relaxed);
        Pass {
            began: state.now.before(MARGIN),
            since: self.local.sent_until(),
            after: Vec::new(),
            dropped: self.shared.queue.dropped(),
            stepped: None,
        }
    }

    /// Has all records sent again that a server cannot have, because it has come back with an older state: what it knows of
    /// this host is older than what it was told, or than what was sent before the daemon was started. Yields whether that
    /// was noted.
    pub(super) async fn expect_sent(&self, known: &[KnownHost]) -> bool {
        let sent_until = self.local.sent_until();
        let mut hosts = known.iter();
        let me = hosts.find(|known| known.host == self.shared.me);
        let seen = me.map_or(Timestamp::default(), |me| me.seen);
        let told = Timestamp::from_seconds(self.shared.told.load(Ordering::Relaxed));
        let is_older = match told.seconds() {
            0 => seen.after(OLDER) < sent_until,
            KNOWN_TO_BE_OLDER => false,
            _ => seen < told,
        };
        if !is_older {
            return true;
        }
        // Once is enough, however long the server takes no writes.
        self.shared.told.store(KNOWN_TO_BE_OLDER, Ordering::Relaxed);
        log::info!(
            "the shared server has an older state than before; what it may lack is sent again"
        );
        self.shared.restart_pass();
        let until = seen.before(KEPT).min(sent_until);
        self.local.set_sent_until(sent_until, until).await
    }

    /// One step of a pass, if it is time for one. The last one ends it if all that was queued is sent, too: what is left
    /// is lost when the daemon ends, and is to be found by the next pass.
    pub(super) async fn step(
        &self,
        connection: &Arc<dyn Connection>,
        pass: &mut Option<Pass>,
        (state, is_all_sent): (LocalState, bool),
    ) -> Result<(), ServerError> {
        let Some(running) = pass else {
            return Ok(());
        };
        let is_early = |stepped: Instant| stepped.elapsed() < IDLE;
        if running.stepped.is_some_and(is_early) {
            return Ok(());
        }
        running.stepped = Some(Instant::now());
        // It may have to look at all records, and requests must not wait for that.
        let (local, after) = (Arc::clone(&self.local), running.after.clone());
        let since = running.since;
        let reading = tokio::task::spawn_blocking(move || local.page(&after, since, MOST_RECORDS));
        let Ok(Some((keys, next))) = reading.await else {
            return Ok(());
        };
        let is_page_sent = self.publish_keys(connection, keys, state).await?;
        if let Some(next) = next {
            running.after = next;
            return Ok(());
        }
        if running.dropped != self.shared.queue.dropped() {
            *pass = Some(self.begin_pass(state));
        } else if is_page_sent && is_all_sent {
            let until = running.began.max(running.since);
            if self.note_until(running.since, until).await {
                *pass = None;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::double::Double;
    use super::super::host_double::{HostDouble, NOW, client};
    use super::super::local::Local;
    use super::super::queue::MOST_QUEUED;
    use super::*;

    /// A host with records, its task, and a connection.
    fn host(records: u32) -> (HostDouble, Work, Arc<dyn Connection>, LocalState) {
        let host = HostDouble::new("mx1.example", &Double::default());
        *host.state.records.lock() = (0..records).map(client).collect();
        let (work, connection) = (host.work(), Arc::new(host.network.clone()));
        let state = host.state.state().unwrap();
        (host, work, connection, state)
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_sent_in_an_interval_however_often_the_task_is_woken() {
        let (host, work, connection, state) = host(1200);
        let mut pass = Some(work.begin_pass(state));
        for want in [500, 1000, 1200] {
            for _ in 0..3 {
                let stepping = work.step(&connection, &mut pass, (state, true));
                stepping.await.unwrap();
                assert_eq!(host.shared.status().published, want);
            }
            tokio::time::advance(IDLE).await;
        }
        assert!(pass.is_none());
        assert_eq!(host.state.noted(), NOW.before(MARGIN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_is_over_when_all_is_sent_and_nothing_was_left_out() {
        let (host, work, connection, state) = host(3);
        let mut pass = Some(work.begin_pass(state));
        let keys = (0..=MOST_QUEUED).map(|n| client(u32::try_from(n).unwrap()).0);
        let steps: [(&str, &dyn Fn(), bool, bool); 4] = [
            ("the queue is not sent", &|| (), false, false),
            (
                "a key was left out",
                &|| host.shared.0.queue.add(keys.clone()),
                true,
                false,
            ),
            ("the queue is not sent again", &|| (), false, false),
            ("all is sent", &|| (), true, true),
        ];
        for (what, happens, is_all_sent, is_over) in steps {
            happens();
            let stepping = work.step(&connection, &mut pass, (state, is_all_sent));
            stepping.await.unwrap();
            assert_eq!(pass.is_none(), is_over, "{what}");
            let noted = if is_over {
                NOW.before(MARGIN)
            } else {
                Timestamp::default()
            };
            assert_eq!(host.state.noted(), noted, "{what}");
            tokio::time::advance(IDLE).await;
        }
    }
}

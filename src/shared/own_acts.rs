//! What administrators do at this host: noted, appended to the log, and kept until no failover can lose it.
//!
//! A server has acknowledged an act before its replica has it. So an act stays in the journal for [`KEPT`], and is appended
//! again if a new connection finds it missing. An entry that was added is so later, too, because entries that the log does
//! not have are appended by and by.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::acts::{Act, What};
use super::journal::{Journal, MOST_ACTS};
use super::local::LocalState;
use super::log_reader::LogReader;
use super::server::{Connection, ServerError};
use super::task::{KEPT, Work};
use super::{Inner, Shared};

impl Shared {
    /// Notes an act that an administrator has done here: it is appended to the log, and records that it has deleted
    /// are not asked for any more.
    pub fn note_act(&self, act: &Act) {
        self.0.note_forgotten(act);
        self.0.has_acts.store(true, Ordering::Relaxed);
        self.0.queue.wake.notify_one();
    }

    /// Notes that records are being deleted: the other hosts are not asked for them any more.
    pub fn note_forgotten(&self, act: &Act) {
        self.0.note_forgotten(act);
    }

    /// Notes that the database of this host has carried out an act, and need not do so when it is read in the log; not if
    /// it has been replaced by a backup since there had been this many [`restarts`](Self::restarts).
    pub fn note_carried_out(&self, act: &Act, restarts: u64) {
        let mut carried_out = self.0.carried_out.lock();
        if self.restarts() == restarts {
            let excess = carried_out.len().saturating_sub(MOST_ACTS - 1);
            carried_out.drain(..excess);
            carried_out.push(act.clone());
        }
    }

    /// Notes that an act which was done here cannot be appended.
    pub fn note_lost(&self) {
        if self.0.acts_lost.fetch_add(1, Ordering::Relaxed) == 0 {
            log::warn!(
                "more than {MOST_ACTS} acts of administrators wait for the shared server, or one is too long for it; other hosts will not carry out all"
            );
        }
    }
}

impl Inner {
    /// Remembers a deletion of records.
    pub(super) fn note_forgotten(&self, act: &Act) {
        if let What::Forget(_) = act.what {
            let mut forgotten = self.forgotten.write();
            if !forgotten.contains(act) {
                let excess = forgotten.len().saturating_sub(MOST_ACTS - 1);
                forgotten.drain(..excess);
                forgotten.push(act.clone());
            }
        }
    }

    /// Takes note of whether this host has carried out an act of its own already; later calls say that it has not.
    fn take_carried_out(&self, act: &Act) -> bool {
        let mut carried_out = self.carried_out.lock();
        let found = carried_out.iter().position(|other| other == act);
        found.map(|at| carried_out.remove(at)).is_some()
    }
}

impl Work {
    /// Appends the acts of this host that the log does not have yet.
    pub(super) async fn append_pending(
        &self,
        connection: &dyn Connection,
        reader: &mut LogReader,
        state: LocalState,
    ) -> Result<bool, ServerError> {
        let Some(journal) = self.administration.journal() else {
            return Ok(false);
        };
        for act in journal.pending {
            // The reply to an attempt before was lost.
            if reader.has_own(&act) {
                let now = state.now;
                let noted = self.administration.change(Box::new(move |journal| {
                    journal.note_appended(&act, now);
                }));
                if !noted.await {
                    return Ok(false);
                }
                continue;
            }
            if !self.append_own(connection, reader, (act, state)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends an act of this host, and notes that.
    async fn append_own(
        &self,
        connection: &dyn Connection,
        reader: &mut LogReader,
        (act, state): (Act, LocalState),
    ) -> Result<bool, ServerError> {
        let restarts = self.shared.restarts();
        let Some((from, to)) = self.append(connection, &act, &mut None).await? else {
            return Ok(false);
        };
        // It is there now, also if it is of a time when this host had another name.
        reader.note(&act, act.host);
        let (shared, now) = (Arc::clone(&self.shared), state.now);
        let noted = self.administration.change(Box::new(move |journal| {
            journal.note_appended(&act, now);
            let is_done = shared.take_carried_out(&act) && shared.restarts() == restarts;
            // Nothing that another host has done comes before it, so that it is not done again when it is read.
            if is_done && journal.done == from {
                journal.go_on(to, now);
            }
        }));
        Ok(noted.await)
    }

    /// The acts of this host that a log which has begun anew does not have. Yields whether that was noted.
    pub(super) async fn append_all_again(&self) -> bool {
        self.shared.has_acts.store(true, Ordering::Relaxed);
        let change = self.administration.change(Box::new(Journal::reopen));
        change.await
    }

    /// Appends again what the log has lost of this host's acts, and forgets about those that it will not lose any more.
    pub(super) async fn keep_appended(
        &self,
        connection: &dyn Connection,
        reader: &mut LogReader,
        (journal, state): (&Journal, LocalState),
    ) -> Result<bool, ServerError> {
        let settled = state.now.before(KEPT);
        for (act, _) in &journal.appended {
            if reader.has(act) {
                continue;
            }
            log::debug!("an act of an administrator is appended again");
            let again = (act.clone(), state);
            if !self.append_own(connection, reader, again).await? {
                return Ok(false);
            }
        }
        if journal.has_settled(settled) {
            let change =
                (self.administration).change(Box::new(move |journal| journal.settle(settled)));
            return Ok(change.await);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::acts::What;
    use super::super::double::{Behaviour, Double};
    use super::super::host_double::{HostDouble, NOW};
    use super::super::status::Status;
    use super::*;
    use crate::policy::{Host, ListName};
    use crate::types::Span;

    fn removal(host: Host, text: &str, seconds: u64) -> Act {
        Act {
            host,
            time: NOW.before(Span::from_seconds(seconds)),
            what: What::Remove(ListName::Client, text.to_owned()),
        }
    }

    fn is_connected(status: &Status) -> bool {
        status.failure.is_none()
    }

    fn reconnect(host: &HostDouble) {
        host.network.set(Behaviour::IsCutOff);
        host.shared.restart();
        host.wait_for("cut off", |shared| !is_connected(&shared.status()));
        host.network.set(Behaviour::Replies);
        host.wait_for("connected", |shared| is_connected(&shared.status()));
    }

    #[test]
    fn an_act_that_the_log_has_lost_is_appended_again_unless_a_later_one_is_there() {
        let server = Double::default();
        let [one, two] = ["mx1.example", "mx2.example"].map(|name| HostDouble::new(name, &server));
        let later = removal(two.shared.me(), "other.example", 100);
        two.state.journal.lock().pending.push(later);
        two.start();
        two.wait_for("appended", |_| two.state.journal.lock().pending.is_empty());
        one.start();
        one.wait_for("connected", |shared| is_connected(&shared.status()));

        let lost = removal(one.shared.me(), "lost.example", 200);
        let outdated = removal(one.shared.me(), "other.example", 200);
        let long_ago = NOW.before(Span::from_seconds(100));
        let acts = [lost.clone(), outdated].map(|act| (act, long_ago));
        one.state.journal.lock().appended.extend(acts);
        let before = one.state.journal.lock().done.number;
        reconnect(&one);
        one.wait_for("appended again", |_| {
            let journal = one.state.journal.lock();
            journal.appended == [(lost.clone(), NOW)] && journal.done.number == before + 1
        });

        // It is kept for a while, and then not any more.
        one.state.journal.lock().appended[0].1 = long_ago;
        reconnect(&one);
        one.wait_for("settled", |_| one.state.journal.lock().appended.is_empty());
        assert_eq!(one.state.journal.lock().done.number, before + 1);
    }

    #[test]
    fn a_log_that_has_begun_anew_gets_the_acts_that_the_one_before_had_just_got() {
        let server = Double::default();
        let one = HostDouble::new("mx1.example", &server);
        one.start();
        let act = removal(one.shared.me(), "gone.example", 5);
        one.state.journal.lock().pending.push(act.clone());
        one.shared.note_act(&act);
        let is_appended = |host: &HostDouble| {
            let journal = host.state.journal.lock();
            journal.pending.is_empty() && journal.appended == [(act.clone(), NOW)]
        };
        one.wait_for("appended", |_| is_appended(&one));
        let epoch = one.state.journal.lock().done.epoch;
        server.lose();
        one.wait_for("appended again", |_| {
            let done = one.state.journal.lock().done;
            is_appended(&one) && done.epoch != epoch && done.number == 1
        });
    }
}

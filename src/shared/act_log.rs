//! Keeping up with the log of acts: carry out what is new, and append what this host has done.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::acts::{Act, What, number};
use super::journal::{Cursor, Journal, MOST_ACTS, Step};
use super::local::LocalState;
use super::log_reader::LogReader;
use super::random;
use super::seal::{Kind, Name, Opened};
use super::server::{Connection, ServerError, Write, Written};
use super::site::{HOST_LIFETIME, read_hosts};
use super::task::{Work, within};
use crate::policy::Params;
use crate::types::Timestamp;

/// Acts that are read at a time.
const BATCH: u64 = 64;

/// How often an act is appended anew because another host was faster.
const TRIES: usize = 5;

/// The head of the log, and the value it was read from.
struct Head {
    cursor: Cursor,
    value: Option<Vec<u8>>,
}

impl Work {
    /// Carries out acts of other hosts and appends those of this one. Yields whether all of that was possible: while the
    /// database is in trouble, it is not.
    pub(super) async fn keep_log(
        &self,
        connection: &dyn Connection,
        reader: &mut LogReader,
        state: LocalState,
    ) -> Result<bool, ServerError> {
        let head = self.head(connection).await?;
        reader.begin(head.cursor);
        let has_acts = self.shared.has_acts.load(Ordering::Relaxed);
        let is_quiet = reader.is_complete && !has_acts && !reader.has_unsettled;
        if reader.read == head.cursor && is_quiet {
            return Ok(true);
        }
        let restarts = self.shared.restarts();
        let Some(journal) = self.administration.journal() else {
            return Ok(false);
        };
        let is_member = journal.done.epoch == head.cursor.epoch;
        if is_member {
            let place = self.last_common(connection, head.cursor, &journal).await?;
            if place != Some(journal.done) {
                return self.go_back(connection, reader, (head, place)).await;
            }
        }
        if !is_member && !journal.appended.is_empty() && !self.append_all_again().await {
            return Ok(false);
        }
        let done = journal.done;
        if !self
            .catch_up(connection, reader, (head.cursor, done, restarts), state.now)
            .await?
            || !is_member && !self.join(reader, (done, restarts), state.now).await
        {
            return Ok(false);
        }
        reader.has_caught_up = true;
        // Some may have been dropped.
        reader.is_complete &= journal.pending.len() < MOST_ACTS;
        if self.shared.has_acts.swap(false, Ordering::Relaxed) {
            let appended = self.append_pending(connection, reader, state).await;
            if !matches!(appended, Ok(true)) {
                self.shared.has_acts.store(true, Ordering::Relaxed);
            }
            return appended;
        }
        reader.has_unsettled = !journal.appended.is_empty() || !journal.before.is_empty();
        let is_kept = self
            .keep_appended(connection, reader, (&journal, state))
            .await?;
        if is_kept && !reader.is_complete {
            reader.is_complete = self.complete(connection, reader, state).await?;
        }
        Ok(is_kept)
    }

    /// The last place where this host was and that the log still has: it is another than the last one if the server has
    /// come back with an older state, and `None` if that is too old.
    async fn last_common(
        &self,
        connection: &dyn Connection,
        head: Cursor,
        journal: &Journal,
    ) -> Result<Option<Cursor>, ServerError> {
        if journal.done == head {
            return Ok(Some(head));
        }
        let places = journal.places().filter(|place| place.number <= head.number);
        let places: Vec<Cursor> = places.collect();
        let names: Vec<Name> = places.iter().map(|place| self.name_of(*place)).collect();
        let values = within(connection.get(names.clone())).await?;
        let mut read = places.into_iter().zip(names).zip(values);
        let common = read.find(|((place, name), value)| {
            let body = value
                .as_deref()
                .and_then(|value| self.read_act(name, value));
            let mark = body.map_or(0, |(mark, _)| mark);
            let mark = if place.number == head.number {
                head.mark
            } else {
                mark
            };
            // An act that is missing does not show a failover: acts expire.
            let is_unknown = *place == journal.done && (mark == 0 || place.mark == 0);
            place.number == 0 || mark == place.mark || is_unknown
        });
        Ok(common.map(|((place, _), _)| place))
    }

    /// Goes back to the last common place, from where the log is carried out again. Without one, numbers that this host has
    /// seen are given a second time, and what it did itself may be lost: then a new log is begun.
    async fn go_back(
        &self,
        connection: &dyn Connection,
        reader: &mut LogReader,
        (head, place): (Head, Option<Cursor>),
    ) -> Result<bool, ServerError> {
        let Some(place) = place else {
            self.begin_epoch(connection, head.value).await?;
            return Ok(false);
        };
        log::debug!("the shared server has lost acts of administrators, which are appended again");
        reader.begin_again(head.cursor.epoch);
        self.shared.has_acts.store(true, Ordering::Relaxed);
        let change = self
            .administration
            .change(Box::new(move |journal| journal.go_back(place)));
        change.await;
        Ok(false)
    }

    /// Reads the acts up to `head`, and carries out those after `done`, or all if that is of another epoch.
    async fn catch_up(
        &self,
        connection: &dyn Connection,
        reader: &mut LogReader,
        (head, mut done, restarts): (Cursor, Cursor, u64),
        now: Timestamp,
    ) -> Result<bool, ServerError> {
        let mut has_missed = false;
        let is_member = done.epoch == head.epoch;
        while reader.read.number < head.number {
            let first = reader.read.number.saturating_add(1);
            let last = head.number.min(reader.read.number.saturating_add(BATCH));
            let places: Vec<Cursor> = (first..=last)
                .map(|number| Cursor { number, ..head })
                .collect();
            let names: Vec<Name> = places.iter().map(|place| self.name_of(*place)).collect();
            let values = within(connection.get(names.clone())).await?;
            for ((place, name), value) in places.into_iter().zip(names).zip(values) {
                let is_new = !is_member || place.number > done.number;
                let body = value
                    .as_deref()
                    .and_then(|value| self.read_act(&name, value));
                let (mark, act) = body.unwrap_or_default();
                let cursor = if place.number == head.number {
                    head
                } else {
                    Cursor { mark, ..place }
                };
                let is_unreadable = value.is_some() && act.is_none();
                if let Some(act) = &act {
                    self.shared.note_forgotten(act);
                    reader.note(act, self.shared.me);
                }
                if is_member && is_new && value.is_none() && !has_missed {
                    has_missed = self.skip_older(now).await;
                    if !has_missed {
                        return Ok(false);
                    }
                }
                if is_new {
                    // A host that joins is a member when it has carried out all.
                    let step = is_member.then_some(Step {
                        from: done,
                        to: cursor,
                        restarts,
                        at: now,
                    });
                    if !self.administration.carry_out(act, step).await {
                        return Ok(false);
                    }
                    done = if is_member { cursor } else { done };
                    if is_unreadable {
                        self.skipped();
                    }
                }
                reader.read = cursor;
            }
        }
        self.shared.set_done(reader.read);
        Ok(true)
    }

    /// This host was away for longer than the log has deletions. What it has not sent yet may have been deleted elsewhere,
    /// so only what is seen from now on is sent. Yields whether that was noted.
    async fn skip_older(&self, now: Timestamp) -> bool {
        let noted = self.local.set_sent_until(self.local.sent_until(), now);
        let is_noted = noted.await;
        drop(self.shared.queue.take(|_| {}));
        self.shared.restart_pass();
        is_noted
    }

    /// The act in a value, if this version can read it, and its mark.
    fn read_act(&self, name: &Name, value: &[u8]) -> Option<(u64, Option<Act>)> {
        match self.shared.seal().open(name, value) {
            Opened::Body(body) => number(body).map(|(mark, act)| (mark, Act::decode(act))),
            Opened::Unknown | Opened::Forged => None,
        }
    }

    /// Counts an act that was left out, and says so the first time.
    fn skipped(&self) {
        if self.shared.acts_skipped.fetch_add(1, Ordering::Relaxed) == 0 {
            log::warn!(
                "an act of an administrator cannot be read: a host with a later version of stargreyd, or one without \
                 this --shared-secret, has written it; ignoring this and others"
            );
        }
    }

    /// Makes this host a member of the site: all of its records are published.
    async fn join(
        &self,
        reader: &LogReader,
        (done, restarts): (Cursor, u64),
        now: Timestamp,
    ) -> bool {
        let sent_until = self.local.sent_until();
        let begins_anew = self.local.set_sent_until(sent_until, Timestamp::default());
        if !begins_anew.await {
            return false;
        }
        self.shared.restart_pass();
        let step = Step {
            from: done,
            to: reader.read,
            restarts,
            at: now,
        };
        self.administration.carry_out(None, Some(step)).await
    }

    /// Appends the entries that the log does not have: those of a host that joins, those whose acts have expired, and those
    /// that there was no room for in the journal. Yields whether that was possible without an act of another host meanwhile.
    async fn complete(
        &self,
        connection: &dyn Connection,
        reader: &LogReader,
        state: LocalState,
    ) -> Result<bool, ServerError> {
        let has_acts = |journal: Journal| !journal.pending.is_empty();
        if self.administration.journal().is_none_or(has_acts) {
            return Ok(false);
        }
        let mut head = Some(reader.read);
        for entry in self.administration.entries() {
            let is_logged = reader.has_entry(&entry);
            let has_ended = entry.expires.is_some_and(|end| end <= state.now);
            if is_logged || has_ended {
                continue;
            }
            let act = Act {
                host: self.shared.me,
                time: entry.added,
                what: What::Put(entry),
            };
            if self.append(connection, &act, &mut head).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends an act; yields the end of the log before and after that, if it was possible. With a head, only if that is
    /// still the log's, and it is moved on.
    pub(super) async fn append(
        &self,
        connection: &dyn Connection,
        act: &Act,
        at: &mut Option<Cursor>,
    ) -> Result<Option<(Cursor, Cursor)>, ServerError> {
        let Some(body) = act.encode() else {
            // The journal takes none that is too long.
            return Ok(Some(<(Cursor, Cursor)>::default()));
        };
        let params = self
            .local
            .state()
            .map_or(self.shared.params, |state| state.params);
        for _ in 0..TRIES {
            let head = self.head(connection).await?;
            if at.is_some_and(|at| at != head.cursor) {
                return Ok(None);
            }
            let next = Cursor {
                number: head.cursor.number.saturating_add(1),
                mark: random(),
                ..head.cursor
            };
            let logged = [&next.mark.to_be_bytes()[..], &body].concat();
            let writes = vec![
                Write {
                    lifetime: lifetime(act, &params),
                    ..self.write(self.name_of(next), None, &logged)
                },
                self.write(self.head_name(), head.value, &next.encode()),
            ];
            let written = within(connection.write(writes)).await?;
            if written.iter().all(|written| *written == Written::Done) {
                *at = at.map(|_| next);
                return Ok(Some((head.cursor, next)));
            }
        }
        Ok(None)
    }

    /// The head of the log, which is made if there is none. The hosts are read with it.
    async fn head(&self, connection: &dyn Connection) -> Result<Head, ServerError> {
        let (name, hosts) = (self.head_name(), self.shared.seal().name(Kind::Hosts, b""));
        let mut values = within(connection.get(vec![name, hosts])).await?.into_iter();
        let (value, known) = (values.next().flatten(), values.next().flatten());
        let known = self.shared.body(&hosts, known.as_deref());
        self.shared.set_hosts(read_hosts(known.unwrap_or_default()));
        self.shared.expect_known(&name, value.as_deref())?;
        let cursor = self
            .shared
            .body(&name, value.as_deref())
            .and_then(Cursor::read);
        if let Some((cursor, _)) = cursor {
            self.shared.set_head(cursor);
            return Ok(Head { cursor, value });
        }
        self.begin_epoch(connection, value).await
    }

    /// Begins the log anew, in place of this head. All hosts join it with what they have.
    async fn begin_epoch(
        &self,
        connection: &dyn Connection,
        read: Option<Vec<u8>>,
    ) -> Result<Head, ServerError> {
        let cursor = Cursor {
            epoch: random(),
            ..Cursor::default()
        };
        let write = self.write(self.head_name(), read, &cursor.encode());
        let value = write.value.clone();
        match within(connection.write(vec![write])).await?.first() {
            Some(Written::Done) => {
                self.shared.set_head(cursor);
                Ok(Head { cursor, value })
            }
            Some(Written::Other(_)) | None => Err(ServerError::Other(
                "another host begins the log of acts at the same time".to_owned(),
            )),
        }
    }

    fn write(&self, name: Name, read: Option<Vec<u8>>, body: &[u8]) -> Write {
        Write {
            value: Some(self.shared.seal().close(&name, body)),
            name,
            read,
            lifetime: LIFETIME,
        }
    }

    fn head_name(&self) -> Name {
        self.shared.seal().name(Kind::Head, b"")
    }

    fn name_of(&self, cursor: Cursor) -> Name {
        let place = [cursor.epoch, cursor.number].map(u64::to_be_bytes);
        self.shared.seal().name(Kind::Act, &place.concat())
    }
}

/// How long the server keeps what was done about an entry: as long as a record can live.
const LIFETIME: Duration = Duration::from_secs(400 * 86_400);

/// How long it keeps a deletion at least.
const FORGET_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

const _: () = assert!(LIFETIME.as_secs() > HOST_LIFETIME.as_secs());

/// How long the server keeps an act. A deletion is kept no longer than the records that it was about can be there: its filter
/// is there as it was written, whatever `--privacy` says.
fn lifetime(act: &Act, params: &Params) -> Duration {
    match act.what {
        What::Put(_) | What::Remove(..) => LIFETIME,
        What::Forget(_) => {
            let of_records = params.max_age.max(params.retry_window);
            let of_records = Duration::from_secs(of_records.seconds());
            FORGET_LIFETIME.max(of_records).min(LIFETIME)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Filter, Host, ListName};
    use crate::types::{Span, Timestamp};

    #[test]
    fn a_deletion_is_on_the_server_for_90_days_or_as_long_as_records_can_be() {
        let act = |what| Act {
            host: Host(7),
            time: Timestamp::default(),
            what,
        };
        let forget = act(What::Forget(Filter::default()));
        let remove = act(What::Remove(ListName::Client, "mx.example".to_owned()));
        for (what, act, max_age, window, want) in [
            ("a deletion", &forget, 35, 2, 90),
            ("a deletion, records live longer", &forget, 120, 2, 120),
            ("a deletion, so do waiting ones", &forget, 35, 200, 200),
            ("a deletion, records live for ever", &forget, 36_500, 2, 400),
            ("a removal", &remove, 35, 2, 400),
        ] {
            let params = Params {
                max_age: Span::from_days(max_age),
                retry_window: Span::from_days(window),
                ..Params::default()
            };
            let days = lifetime(act, &params).as_secs() / 86_400;
            assert_eq!(days, want, "{what}");
        }
    }
}

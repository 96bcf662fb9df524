//! Keeping up with the log of acts: carry out what is new, and append what this host has done.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::acts::{Act, Cursor, What};
use super::local::LocalState;
use super::seal::{Kind, Name};
use super::server::{Connection, ServerError, Write, Written};
use super::site::{HOST_LIFETIME, read_hosts};
use super::task::{Work, within};
use crate::policy::ListName;
use crate::types::Timestamp;

/// Acts that are read at a time.
const BATCH: u64 = 64;

/// How often an act is appended anew because another host was faster.
const TRIES: usize = 5;

/// How far the log has been read on a connection.
#[derive(Debug, Default)]
pub(super) struct LogReader {
    /// The last act that was read.
    read: Cursor,
    /// The entries that acts have been about.
    entries: HashSet<(ListName, String)>,
}

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
        let is_behind = reader.read != head.cursor;
        if !is_behind && !self.shared.has_acts.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let Some(journal) = self.administration.journal() else {
            return Ok(false);
        };
        let is_member = journal.done.epoch == head.cursor.epoch;
        // The server has come back with an older state. Its numbers would be given a second time.
        if is_member && head.cursor.number < journal.done.number {
            self.begin_epoch(connection, head.value).await?;
            return Ok(false);
        }
        if reader.read.epoch != head.cursor.epoch {
            *reader = LogReader {
                read: Cursor {
                    epoch: head.cursor.epoch,
                    number: 0,
                },
                entries: HashSet::new(),
            };
        }
        if !self
            .catch_up(connection, reader, (head.cursor, is_member))
            .await?
        {
            return Ok(false);
        }
        if !is_member && !self.join(connection, reader, state).await? {
            return Ok(false);
        }
        if self.shared.has_acts.swap(false, Ordering::Relaxed) {
            let appended = self.append_pending(connection).await;
            if !matches!(appended, Ok(true)) {
                self.shared.has_acts.store(true, Ordering::Relaxed);
            }
            return appended;
        }
        Ok(true)
    }

    /// Appends the acts of this host.
    async fn append_pending(&self, connection: &dyn Connection) -> Result<bool, ServerError> {
        let Some(journal) = self.administration.journal() else {
            return Ok(false);
        };
        for act in journal.pending {
            let is_appended = self.append(connection, &act).await?;
            if !is_appended || !self.administration.appended(act).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the acts up to `head`, and carries out those that this host has not carried out yet.
    async fn catch_up(
        &self,
        connection: &dyn Connection,
        reader: &mut LogReader,
        (head, is_member): (Cursor, bool),
    ) -> Result<bool, ServerError> {
        while reader.read.number < head.number {
            let Some(journal) = self.administration.journal() else {
                return Ok(false);
            };
            let done = if is_member { journal.done.number } else { 0 };
            let first = reader.read.number.saturating_add(1);
            let last = head.number.min(reader.read.number.saturating_add(BATCH));
            let cursors = (first..=last).map(|number| Cursor { number, ..head });
            let names: Vec<(Cursor, Name)> = cursors
                .map(|cursor| (cursor, self.name_of(cursor)))
                .collect();
            let asked = names.iter().map(|(_, name)| *name).collect();
            let values = within(connection.get(asked)).await?;
            for ((cursor, name), value) in names.into_iter().zip(values) {
                let body = self.shared.body(&name, value.as_deref());
                let act = body.and_then(Act::decode);
                if let Some(act) = &act {
                    self.shared.note_forgotten(act);
                    reader.note(act);
                }
                // A host that joins is a member when it has carried out all.
                let done_by_then = is_member.then_some(cursor);
                if cursor.number > done && !self.administration.carry_out(act, done_by_then).await {
                    return Ok(false);
                }
                reader.read = cursor;
            }
        }
        self.shared.set_done(reader.read);
        Ok(true)
    }

    /// Makes this host a member of the site: its entries of which the log does not know are appended, and all of its
    /// records are published.
    async fn join(
        &self,
        connection: &dyn Connection,
        reader: &LogReader,
        state: LocalState,
    ) -> Result<bool, ServerError> {
        for entry in self.administration.entries() {
            let is_known = reader.entries.contains(&(entry.list, entry.text.clone()));
            let has_ended = entry.expires.is_some_and(|end| end <= state.now);
            let act = Act {
                host: self.shared.me,
                time: entry.added,
                what: What::Put(entry),
            };
            if !is_known && !has_ended && !self.append(connection, &act).await? {
                return Ok(false);
            }
        }
        if !self.local.set_sent_until(Timestamp::default()).await {
            return Ok(false);
        }
        self.shared.wants_pass.store(true, Ordering::Relaxed);
        Ok(self.administration.carry_out(None, Some(reader.read)).await)
    }

    /// Appends an act; yields whether that was possible.
    async fn append(&self, connection: &dyn Connection, act: &Act) -> Result<bool, ServerError> {
        // One that is too long was never carried out.
        let Some(body) = act.encode() else {
            return Ok(true);
        };
        for _ in 0..TRIES {
            let head = self.head(connection).await?;
            let next = Cursor {
                number: head.cursor.number.saturating_add(1),
                ..head.cursor
            };
            let writes = vec![
                self.write(self.name_of(next), None, &body),
                self.write(self.head_name(), head.value, &next.encode()),
            ];
            let written = within(connection.write(writes)).await?;
            if written.iter().all(|written| *written == Written::Done) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The head of the log, which is made if there is none. The hosts are read with it.
    async fn head(&self, connection: &dyn Connection) -> Result<Head, ServerError> {
        let (name, hosts) = (self.head_name(), self.shared.seal.name(Kind::Hosts, b""));
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
            number: 0,
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
            value: Some(self.shared.seal.close(&name, body)),
            name,
            read,
            lifetime: LIFETIME,
        }
    }

    fn head_name(&self) -> Name {
        self.shared.seal.name(Kind::Head, b"")
    }

    fn name_of(&self, cursor: Cursor) -> Name {
        self.shared.seal.name(Kind::Act, &cursor.encode())
    }
}

/// How long the server keeps an act: as long as a record can live.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(400 * 86_400);

const _: () = assert!(LIFETIME.as_secs() > HOST_LIFETIME.as_secs());

impl LogReader {
    fn note(&mut self, act: &Act) {
        match &act.what {
            What::Put(entry) => {
                self.entries.insert((entry.list, entry.text.clone()));
            }
            What::Remove(list, text) => {
                self.entries.insert((*list, text.clone()));
            }
            What::Forget(_) => {}
        }
    }
}

/// A number that no other epoch has.
fn random() -> u64 {
    let mut bytes = [0; 8];
    if let Err(error) = getrandom::fill(&mut bytes) {
        log::warn!("no random numbers: {error}");
    }
    u64::from_be_bytes(bytes).max(1)
}

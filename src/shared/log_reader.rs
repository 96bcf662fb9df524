//! What a host has read of the log of acts on a connection.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::acts::Act;
use super::journal::Cursor;
use crate::policy::{Added, Host, ListName};
use crate::types::Timestamp;

/// Time after which the log is read again from its beginning: entries whose acts the server does not have any more are
/// appended then.
const REREAD: Duration = Duration::from_secs(86_400);

/// How far the log has been read on a connection.
#[derive(Debug, Default)]
pub(super) struct LogReader {
    /// The last act that was read.
    pub(super) read: Cursor,
    /// The acts of this host that are in the log.
    own: HashSet<Vec<u8>>,
    /// The entries that acts have been about, each with the last one.
    entries: HashMap<(ListName, String), LastAct>,
    /// Whether the log has all entries of this host.
    pub(super) is_complete: bool,
    /// When it was begun to be read.
    begun: Option<Instant>,
    /// Whether the log may still lose what the journal has of it.
    pub(super) has_unsettled: bool,
    /// Whether all acts have been carried out that were there at the beginning.
    pub(super) has_caught_up: bool,
}

/// The last act about an entry.
#[derive(Debug, Clone, Copy)]
struct LastAct {
    time: Timestamp,
    host: Host,
    is_removal: bool,
}

impl LogReader {
    /// Whether the log has an entry that is there. It was added again if it had been removed in the same second.
    pub(super) fn has_entry(&self, entry: &Added) -> bool {
        let last = self.entries.get(&(entry.list, entry.text.clone()));
        last.is_some_and(|last| {
            last.time > entry.added || (last.time == entry.added && !last.is_removal)
        })
    }

    /// Begins to read from the beginning, if it has not begun, has begun long ago, or `head` does not come after what was
    /// read.
    pub(super) fn begin(&mut self, head: Cursor) {
        let is_of_now = |begun: Instant| begun.elapsed() < REREAD;
        let is_after =
            self.read.epoch == head.epoch && (self.read.number < head.number || self.read == head);
        if !is_after || !self.begun.is_some_and(is_of_now) {
            self.begin_again(head.epoch);
        }
    }

    /// Begins to read from the beginning of this epoch.
    pub(super) fn begin_again(&mut self, epoch: u64) {
        *self = Self {
            read: Cursor {
                epoch,
                ..Cursor::default()
            },
            begun: Some(Instant::now()),
            has_caught_up: self.has_caught_up,
            ..Self::default()
        };
    }

    /// Notes that the log has an act.
    pub(super) fn note(&mut self, act: &Act, me: Host) {
        if act.host == me {
            self.own.extend(act.encode());
        }
        if let Some((list, text)) = act.entry() {
            let last = LastAct {
                time: act.time,
                host: act.host,
                is_removal: act.is_removal(),
            };
            self.entries.insert((list, text.to_owned()), last);
        }
    }

    /// Whether the log has an act of this host. Of two in the same second about one entry, which are an addition and a
    /// removal, the one that this host has still to append is the later one.
    pub(super) fn has_own(&self, act: &Act) -> bool {
        let is_opposite = |last: &LastAct| {
            last.time == act.time && last.host == act.host && last.is_removal != act.is_removal()
        };
        let is_there = act.encode().is_none_or(|bytes| self.own.contains(&bytes));
        is_there && !self.last_about(act).is_some_and(is_opposite)
    }

    /// The same, or a later one about the same entry.
    pub(super) fn has(&self, act: &Act) -> bool {
        let is_later = |last: &LastAct| {
            last.time > act.time || (last.time == act.time && last.host != act.host)
        };
        self.last_about(act).is_some_and(is_later) || self.has_own(act)
    }

    /// The last act about the entry of an act.
    fn last_about(&self, act: &Act) -> Option<&LastAct> {
        let (list, text) = act.entry()?;
        self.entries.get(&(list, text.to_owned()))
    }
}

//! Whether the mail server waits for replies that take long.
//!
//! A mail server closes the connection when its timeout for milters is over, and lets the message pass or defers it, as its
//! own configuration says. The connection is not read while a reply is being made, so what shows is that the connection
//! ends where a slow reply should have been followed by the next command.

use std::time::Duration;

use crate::service::Awaited;
use crate::types::Span;
use crate::types::sync::Mutex;

/// A reply is slow from this time on: Sendmail's timeout. That of Postfix is 30 s.
const SLOW: Duration = Duration::from_secs(10);

/// Which reply was slow, whether the mail server has waited for it, and how long that took.
type Note = dyn Fn(Awaited, bool, Span) + Send + Sync;

/// The slow reply of a connection that no command has followed yet.
pub(super) struct Patience {
    /// Which it is, and how long it took.
    pending: Mutex<Option<(Awaited, Span)>>,
    note: Box<Note>,
}

impl Patience {
    /// A connection without a slow reply so far. `note` gets each one, and whether the mail server has waited for it.
    pub(super) fn new(note: impl Fn(Awaited, bool, Span) + Send + Sync + 'static) -> Self {
        Self {
            pending: Mutex::default(),
            note: Box::new(note),
        }
    }

    /// A reply has taken this long, and is to be written now.
    pub(super) fn replies_after(&self, awaited: Awaited, time: Duration) {
        if time >= SLOW {
            let time = Span::from_seconds(time.as_secs());
            *self.pending.lock() = Some((awaited, time));
        }
    }

    /// What becomes of a slow reply, if there is one, is known.
    pub(super) fn settle(&self, has_waited: bool) {
        let pending = self.pending.lock().take();
        if let Some((awaited, time)) = pending {
            (self.note)(awaited, has_waited, time);
        }
    }
}

impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Patience").field(&self.pending).finish()
    }
}

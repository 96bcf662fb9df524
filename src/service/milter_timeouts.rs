//! Whether the mail server waits for the replies of the milter.
//!
//! Its timeout for milters may be shorter than the tarpit or a lookup; then the reply comes too late, each time. Postfix
//! and Sendmail have one timeout for commands and another for the end of a message, so each is judged by itself.
//!
//! That is told from a mail server that is stopped or restarted: then all replies that are being made find the session
//! closed, however many there are. So only a reply counts that was begun after the one before had failed, and it must
//! happen three times in a row: no reply that took as long has been waited for meanwhile, and each within a day of the
//! one before.

use std::time::Duration;

use super::clock::monotonic;
use crate::types::Span;
use crate::types::sync::Mutex;

/// Number of replies in a row that the mail server has not waited for, after which the administrator is told.
const MANY: u64 = 3;

/// How long the last of them is remembered.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// What the mail server waits for, each with a timeout of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The reply to a command.
    Command,
    /// The reply to the end of a message.
    Message,
}

/// The replies that the mail server has not waited for.
#[derive(Debug, Default)]
pub(crate) struct MilterTimeouts {
    commands: Mutex<State>,
    messages: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_a_row: u64,
    /// The shortest of them.
    shortest: Option<Span>,
    /// When the last one found the session closed, by the monotonic clock.
    last: Option<Duration>,
    /// Whether the log has said so.
    is_logged: bool,
}

impl Awaited {
    /// The settings of mail servers that say how long they wait.
    const fn settings(self) -> &'static str {
        match self {
            Self::Command => "for Postfix set command_timeout, for Sendmail T=R",
            Self::Message => "for Postfix set content_timeout, for Sendmail T=E",
        }
    }
}

impl State {
    /// The mail server has waited for a slow reply, or not. Returns whether the log is to say that it does not.
    fn note(&mut self, has_waited: bool, time: Span, now: Duration) -> bool {
        self.end_row(now);
        if has_waited {
            if self.shortest.is_some_and(|shortest| time >= shortest) {
                *self = Self::default();
            }
            return false;
        }
        let begun = now.saturating_sub(Duration::from_secs(time.seconds()));
        if self.last.is_some_and(|last| begun < last) {
            return false;
        }
        self.last = Some(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let shortest = self.shortest.map_or(time, |shortest| shortest.min(time));
        self.shortest = Some(shortest);
        let is_new = self.in_a_row >= MANY && !self.is_logged;
        self.is_logged |= is_new;
        is_new
    }

    /// Ends the row if the last of it is long ago.
    fn end_row(&mut self, now: Duration) {
        if self
            .last
            .is_some_and(|last| now.saturating_sub(last) > REMEMBERED)
        {
            *self = Self::default();
        }
    }
}

impl MilterTimeouts {
    const fn of(&self, awaited: Awaited) -> &Mutex<State> {
        match awaited {
            Awaited::Command => &self.commands,
            Awaited::Message => &self.messages,
        }
    }

    /// The mail server has waited for a reply that took this long, or not; logs it if it does not wait again and again.
    pub(crate) fn note_reply(&self, awaited: Awaited, has_waited: bool, time: Span) {
        let mut state = self.of(awaited).lock();
        if state.note(has_waited, time, monotonic()) {
            log::warn!(
                "{MANY} times in a row the mail server has closed a milter session before the reply, which took {} s or more: \
                 its timeout for milters is shorter than that; {}, as stargrey-milter(7) has it",
                state.shortest.unwrap_or(time).seconds(),
                awaited.settings()
            );
        }
    }

    /// How many replies of a kind in a row the mail server has not waited for, of the kind with more of them; 0 if they are too
    /// few to tell.
    pub(crate) fn in_a_row(&self) -> u64 {
        let in_a_row = [Awaited::Command, Awaited::Message].map(|awaited| {
            let mut state = self.of(awaited).lock();
            state.end_row(monotonic());
            state.in_a_row
        });
        let most = in_a_row.into_iter().max();
        most.filter(|most| *most >= MANY).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply: when it is ready, in seconds, whether the mail server waits for it, how long it took, whether it is logged
    /// then, and how many in a row there are.
    type Noted = (u64, bool, u64, bool, u64);

    const WAITS: bool = true;
    const CLOSES: bool = false;
    const DAY: u64 = 86_400;

    #[test]
    fn three_replies_in_a_row_that_are_not_waited_for_are_logged_once() {
        let cases: [(&str, &[Noted]); 7] = [
            (
                "each time",
                &[
                    (100, CLOSES, 65, false, 1),
                    (200, CLOSES, 65, false, 2),
                    (300, CLOSES, 65, true, 3),
                    (400, CLOSES, 65, false, 4),
                ],
            ),
            (
                "it is restarted, while many clients are in the tarpit",
                &[
                    (100, CLOSES, 65, false, 1),
                    (110, CLOSES, 65, false, 1),
                    (164, CLOSES, 65, false, 1),
                    (165, CLOSES, 65, false, 2),
                ],
            ),
            (
                "it waits in between",
                &[
                    (100, CLOSES, 65, false, 1),
                    (200, CLOSES, 65, false, 2),
                    (300, WAITS, 65, false, 0),
                    (400, CLOSES, 65, false, 1),
                    (500, CLOSES, 65, false, 2),
                ],
            ),
            (
                "a shorter reply says nothing",
                &[
                    (100, CLOSES, 65, false, 1),
                    (200, WAITS, 20, false, 1),
                    (300, CLOSES, 40, false, 2),
                    (400, WAITS, 39, false, 2),
                    (500, CLOSES, 65, true, 3),
                ],
            ),
            (
                "its timeout is made longer, and shorter again",
                &[
                    (100, CLOSES, 40, false, 1),
                    (200, CLOSES, 40, false, 2),
                    (300, CLOSES, 40, true, 3),
                    (400, WAITS, 40, false, 0),
                    (500, CLOSES, 40, false, 1),
                    (600, CLOSES, 40, false, 2),
                    (700, CLOSES, 40, true, 3),
                ],
            ),
            (
                "a day later it is another matter",
                &[
                    (100, CLOSES, 12, false, 1),
                    (200, CLOSES, 12, false, 2),
                    (201 + DAY, CLOSES, 12, false, 1),
                ],
            ),
            (
                "a day without one is the end",
                &[
                    (100, CLOSES, 12, false, 1),
                    (100 + DAY, WAITS, 10, false, 1),
                    (101 + DAY, WAITS, 10, false, 0),
                ],
            ),
        ];
        for (name, replies) in cases {
            let mut state = State::default();
            for (at, waited, seconds, is_logged, in_a_row) in replies.iter().copied() {
                let now = Duration::from_secs(at);
                let got = state.note(waited, Span::from_seconds(seconds), now);
                assert_eq!((got, state.in_a_row), (is_logged, in_a_row), "{name}, {at}");
            }
        }
    }

    #[test]
    fn commands_and_ends_of_messages_have_timeouts_of_their_own() {
        let timeouts = MilterTimeouts::default();
        let reply = |awaited, waits| timeouts.note_reply(awaited, waits, Span::ZERO);
        for (awaited, waits, want) in [
            (Awaited::Command, CLOSES, 0),
            (Awaited::Message, CLOSES, 0),
            (Awaited::Message, CLOSES, 0),
            (Awaited::Command, WAITS, 0),
            (Awaited::Message, CLOSES, 3),
            (Awaited::Command, CLOSES, 3),
            (Awaited::Message, CLOSES, 4),
            (Awaited::Message, WAITS, 0),
        ] {
            reply(awaited, waits);
            assert_eq!(timeouts.in_a_row(), want, "{awaited:?}, {waits}");
        }
    }
}

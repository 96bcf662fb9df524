//! Whether the mail server waits for the replies of the milter.
//!
//! Its timeout for milters may be shorter than the tarpit or a lookup; then the reply comes too late, each time. That is
//! told from a mail server that is stopped while clients are in the tarpit: it happens three times in a row, and a reply
//! that took as long has not been waited for meanwhile.

use crate::types::Span;
use crate::types::sync::Mutex;

/// Number of replies in a row that the mail server has not waited for, after which the administrator is told.
const MANY: u64 = 3;

/// The replies that the mail server has not waited for.
#[derive(Debug, Default)]
pub(crate) struct MilterTimeouts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_a_row: u64,
    /// The shortest of them.
    shortest: Option<Span>,
    /// Whether the log has said so.
    is_logged: bool,
}

impl MilterTimeouts {
    /// The mail server has waited for a slow reply, or not. Returns whether the log is to say that it does not.
    fn note(&self, has_waited: bool, time: Span) -> bool {
        let mut state = self.0.lock();
        if has_waited {
            if state.shortest.is_some_and(|shortest| time >= shortest) {
                (state.in_a_row, state.shortest) = (0, None);
            }
            return false;
        }
        state.in_a_row = state.in_a_row.saturating_add(1);
        let shortest = state.shortest.map_or(time, |shortest| shortest.min(time));
        state.shortest = Some(shortest);
        let is_new = state.in_a_row >= MANY && !state.is_logged;
        state.is_logged |= is_new;
        is_new
    }

    /// The same, and logs it once.
    pub(crate) fn note_reply(&self, has_waited: bool, time: Span) {
        if self.note(has_waited, time) {
            log::warn!(
                "{MANY} times in a row the mail server has closed a milter session before the reply, which took {} s or more: \
                 its timeout for milters is shorter than that; for Postfix set command_timeout, for Sendmail T=R and T=E, \
                 as stargrey-milter(7) has it",
                self.0.lock().shortest.unwrap_or(time).seconds()
            );
        }
    }

    /// How many replies in a row the mail server has not waited for.
    pub(crate) fn in_a_row(&self) -> u64 {
        self.0.lock().in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply: whether the mail server waits for it, the time in seconds, whether it is logged then, and how many in a row
    /// there are.
    type Noted = (bool, u64, bool, u64);

    #[test]
    fn three_replies_in_a_row_that_are_not_waited_for_are_logged_once() {
        let (waits, closes) = (true, false);
        let cases: [(&str, &[Noted]); 4] = [
            (
                "each time",
                &[
                    (closes, 65, false, 1),
                    (closes, 65, false, 2),
                    (closes, 65, true, 3),
                    (closes, 65, false, 4),
                ],
            ),
            (
                "it is stopped once",
                &[
                    (closes, 65, false, 1),
                    (closes, 65, false, 2),
                    (waits, 65, false, 0),
                    (closes, 65, false, 1),
                    (closes, 65, false, 2),
                ],
            ),
            (
                "a shorter reply says nothing",
                &[
                    (closes, 65, false, 1),
                    (waits, 20, false, 1),
                    (closes, 40, false, 2),
                    (waits, 39, false, 2),
                    (closes, 65, true, 3),
                ],
            ),
            (
                "its timeout is made longer, and shorter again",
                &[
                    (closes, 40, false, 1),
                    (closes, 40, false, 2),
                    (closes, 40, true, 3),
                    (waits, 40, false, 0),
                    (closes, 40, false, 1),
                    (closes, 40, false, 2),
                    (closes, 40, false, 3),
                ],
            ),
        ];
        for (name, replies) in cases {
            let timeouts = MilterTimeouts::default();
            for (number, (waited, seconds, is_logged, in_a_row)) in replies.iter().enumerate() {
                let got = timeouts.note(*waited, Span::from_seconds(*seconds));
                let got = (got, timeouts.in_a_row());
                assert_eq!(got, (*is_logged, *in_a_row), "{name}, {number}");
            }
        }
    }
}

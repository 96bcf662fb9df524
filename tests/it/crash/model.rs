//! What the daemon owes its clients: the greylisting rule once more, as simple as it can be said, with doubt
//! where an answer was lost.
//!
//! # How it checks
//!
//! A [`Belief`] is a set of states that the daemon may have a client in. A question that was answered leaves
//! those that lead to this answer; if none does, a promise was broken. A question that was sent and never
//! answered (the daemon was killed) may have been decided or not: the belief holds both then, until an
//! answer tells.
//!
//! What a kill may lose (how often was retried too early, when something was last seen) makes no difference
//! to any answer here: the ages at which records that have passed go are never reached.

use super::{AWL, COUNT, DELAY, SLEEP, WINDOW};

/// Senders that a client has.
pub(super) const SENDERS: usize = 3;

/// What is asked about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// May this sender's mail come in?
    Recipient(usize),
    /// The client has come as far as DATA.
    Data,
}

/// An answer, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Deferred for so many seconds; 0 where retries are missing.
    Defer(u64),
    /// Told to sleep.
    Sleep,
    /// Passed for the first time, after so many seconds.
    Header(u64),
    /// Passed.
    Dunno,
}

impl Answer {
    /// Reads an action.
    pub(super) fn parse(action: &str) -> Option<Self> {
        let seconds = |text: &str| text.split(' ').next()?.parse().ok();
        if action == "DUNNO" {
            return Some(Self::Dunno);
        }
        if action == format!("SLEEP {SLEEP}") {
            return Some(Self::Sleep);
        }
        if let Some(rest) = action.strip_prefix("DEFER_IF_PERMIT 4.2.0 wait ") {
            return seconds(rest).map(Self::Defer);
        }
        let rest = action.strip_prefix("PREPEND X-Greylist: delayed ")?;
        seconds(rest).map(Self::Header)
    }
}

/// What is kept about a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Triplet {
    #[default]
    Unknown,
    Waiting {
        first: u64,
        counted: u32,
    },
    Passed,
}

/// A client that was told to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slept {
    ordered: u64,
    seen: u64,
}

/// What is kept about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    count: u32,
    triplets: [Triplet; SENDERS],
    slept: Option<Slept>,
}

impl State {
    /// Answers a question, and moves on.
    fn step(mut self, question: Question, now: u64, targrey: bool) -> (Self, Answer) {
        if self.count >= AWL {
            return (self, Answer::Dunno);
        }
        let slept = self.slept.filter(|slept| now - slept.seen <= WINDOW);
        let has_slept = slept.is_some_and(|slept| now - slept.ordered >= SLEEP);
        let sender = match question {
            Question::Recipient(sender) => sender,
            Question::Data => {
                if targrey && has_slept {
                    self.slept = None;
                    self.count += 1;
                }
                return (self, Answer::Dunno);
            }
        };
        let answer = self.recipient(sender, now);
        let (true, Answer::Defer(_)) = (targrey, answer) else {
            return (self, answer);
        };
        match slept {
            Some(slept) if has_slept => {
                if now - slept.seen >= 300 {
                    self.slept = Some(Slept { seen: now, ..slept });
                }
                (self, answer)
            }
            Some(_) => (self, Answer::Sleep),
            None => {
                self.slept = Some(Slept {
                    ordered: now,
                    seen: now,
                });
                (self, Answer::Sleep)
            }
        }
    }

    /// The greylisting rule.
    fn recipient(&mut self, sender: usize, now: u64) -> Answer {
        let triplet = &mut self.triplets[sender];
        match *triplet {
            Triplet::Passed => Answer::Dunno,
            Triplet::Waiting { first, .. } if now < first + DELAY => {
                Answer::Defer(first + DELAY - now)
            }
            Triplet::Waiting { first, counted } if now <= first + WINDOW => {
                if counted + 1 < COUNT {
                    let counted = counted + 1;
                    *triplet = Triplet::Waiting { first, counted };
                    // Only a retry is missing: the text names the delay.
                    return Answer::Defer(DELAY);
                }
                *triplet = Triplet::Passed;
                self.count += 1;
                Answer::Header(now - first)
            }
            Triplet::Unknown | Triplet::Waiting { .. } => {
                *triplet = Triplet::Waiting {
                    first: now,
                    counted: 0,
                };
                Answer::Defer(DELAY)
            }
        }
    }
}

/// The states that the daemon may have a client in; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Belief {
    states: Vec<State>,
    targrey: bool,
}

impl Belief {
    /// A client that nobody has seen.
    pub(super) fn new(targrey: bool) -> Self {
        Self {
            states: vec![State::default()],
            targrey,
        }
    }

    /// Whether there is something that the daemon has promised.
    pub(super) fn is_owed(&self) -> bool {
        !self.states.contains(&State::default())
    }

    /// Takes an answer.
    ///
    /// # Errors
    ///
    /// What the answers could have been, when this is none of them.
    pub(super) fn answered(
        &mut self,
        question: Question,
        now: u64,
        answer: Option<Answer>,
    ) -> Result<(), Vec<Answer>> {
        let steps = self.states.iter();
        let (states, wanted): (Vec<State>, Vec<Answer>) = steps
            .map(|state| state.step(question, now, self.targrey))
            .unzip();
        let fits = states
            .into_iter()
            .zip(&wanted)
            .filter(|(_, wanted)| Some(**wanted) == answer)
            .map(|(state, _)| state);
        let mut left: Vec<State> = fits.collect();
        if left.is_empty() {
            return Err(wanted);
        }
        left.dedup();
        self.states = left;
        Ok(())
    }

    /// Takes note of a question without an answer: it was decided, or it was not.
    pub(super) fn unanswered(&mut self, question: Question, now: u64) {
        let targrey = self.targrey;
        let decided = self.states.clone();
        for state in decided {
            let (next, _) = state.step(question, now, targrey);
            if !self.states.contains(&next) {
                self.states.push(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Answer::{Defer, Dunno, Header, Sleep};
    use Question::{Data, Recipient};

    /// Asks in turn; says at which question a promise is found broken.
    fn broken(targrey: bool, asked: &[(u64, Question, Option<Answer>)]) -> Option<usize> {
        let mut belief = Belief::new(targrey);
        asked.iter().position(|(now, question, answer)| {
            if answer.is_none() {
                belief.unanswered(*question, *now);
            }
            answer.is_some() && belief.answered(*question, *now, *answer).is_err()
        })
    }

    /// What is asked and answered; with the last answer the promise is kept, with the other one it is lost.
    struct Case {
        name: &'static str,
        targrey: bool,
        asked: Vec<(u64, Question, Option<Answer>)>,
        lost: Answer,
    }

    const A: Question = Recipient(0);
    const B: Question = Recipient(1);
    const C: Question = Recipient(2);

    const fn sees(now: u64, question: Question, answer: Answer) -> (u64, Question, Option<Answer>) {
        (now, question, Some(answer))
    }

    #[rustfmt::skip]
    fn cases() -> Vec<Case> {
        let first = sees(0, A, Defer(300));
        let retry = sees(300, A, Defer(300));
        let pass = sees(400, A, Header(400));
        let other = [sees(0, B, Defer(300)), sees(300, B, Defer(300)), sees(400, B, Header(400))];
        let sleeps = [sees(0, A, Sleep), sees(125, Data, Dunno), sees(125, A, Sleep), sees(250, Data, Dunno)];
        let unknown = (0, A, None);
        let case = |name, targrey, asked: &[_], lost| Case { name, targrey, asked: asked.to_vec(), lost };
        vec![
            case("first sight", false, &[first, sees(200, A, Defer(100))], Defer(300)),
            case("a counted retry", false, &[first, retry, pass], Defer(300)),
            case("a pass", false, &[first, retry, pass, sees(500, A, Dunno)], Header(500)),
            case("the auto-whitelist", false,
                &[first, other[0], retry, other[1], pass, other[2], sees(400, C, Dunno)], Defer(300)),
            case("a tarpit ordered", true, &[sleeps[0], sees(125, A, Defer(175))], Sleep),
            case("a tarpit survived", true, &[&sleeps[..], &[sees(250, B, Dunno)]].concat(), Sleep),
            case("doubt is not certainty", false, &[unknown, sees(200, A, Defer(300))], Header(200)),
            case("doubt is not oblivion", false, &[unknown, sees(200, A, Defer(100))], Dunno),
            case("doubt ends", false, &[unknown, sees(200, A, Defer(100)), sees(250, A, Defer(50))], Defer(300)),
        ]
    }

    #[test]
    fn a_promise_that_is_lost_is_found_out() {
        for Case {
            name,
            targrey,
            mut asked,
            lost,
        } in cases()
        {
            assert_eq!(broken(targrey, &asked), None, "{name}");
            asked.last_mut().unwrap().2 = Some(lost);
            assert_eq!(broken(targrey, &asked), Some(asked.len() - 1), "{name}");
        }
    }

    #[test]
    fn answers_are_read_and_others_are_not() {
        let cases = [
            ("DUNNO", Some(Dunno)),
            ("SLEEP 125", Some(Sleep)),
            ("DEFER_IF_PERMIT 4.2.0 wait 17", Some(Defer(17))),
            (
                "PREPEND X-Greylist: delayed 300 seconds by x",
                Some(Header(300)),
            ),
            ("DEFER_IF_PERMIT 4.3.0 Greylisting is out of order", None),
            ("SLEEP 1", None),
        ];
        for (action, want) in cases {
            assert_eq!(Answer::parse(action), want, "{action}");
        }
    }
}

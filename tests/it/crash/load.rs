//! Connections that ask and keep book.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::model::{Answer, Belief, Question, SENDERS};
use crate::postgrey::random::Random;
use crate::support::{Client, Daemon, rcpt};

/// Most clients of one connection: with more the book grows for ever in a long run.
const MOST: usize = 20_000;

/// What all connections share.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Questions that were answered.
    pub(super) answered: AtomicU64,
    /// Answers that had to know what was promised before the last kill.
    pub(super) kept: AtomicU64,
    /// Connections that have come to an end.
    pub(super) ended: AtomicU64,
    /// Whether it is time to stop asking.
    pub(super) is_over: AtomicBool,
}

/// One client, and since which round something is promised to it.
#[derive(Debug)]
struct Known {
    belief: Belief,
    round: Option<u32>,
}

/// The book of one connection: clients that no other connection asks about.
#[derive(Debug)]
pub(super) struct Book {
    number: usize,
    targrey: bool,
    random: Random,
    clients: Vec<Known>,
}

/// A round: its number, and the time it is by the daemon's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) now: u64,
}

impl Book {
    /// An empty book.
    pub(super) fn new(number: usize, targrey: bool, random: Random) -> Self {
        Self {
            number,
            targrey,
            random,
            clients: Vec::new(),
        }
    }

    /// How many clients are in it.
    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Asks until the daemon is gone or it is time to stop.
    pub(super) fn ask(&mut self, daemon: &Daemon, round: Round, counters: &Counters) {
        self.ask_on(daemon, round, counters);
        counters.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn ask_on(&mut self, daemon: &Daemon, round: Round, counters: &Counters) {
        let Ok(mut client) = Client::unix(&daemon.socket()) else {
            return;
        };
        while !counters.is_over.load(Ordering::Relaxed) {
            let at = self.someone();
            let question = if self.targrey && self.random.percent(40) {
                Question::Data
            } else {
                Question::Recipient(self.below(SENDERS))
            };
            if self
                .put(&mut client, (at, question), round, counters)
                .is_err()
            {
                return;
            }
        }
    }

    /// Asks about every client once, of a daemon that is not killed.
    pub(super) fn ask_all(&mut self, daemon: &Daemon, round: Round, counters: &Counters) {
        let mut client = daemon.connect();
        for at in 0..self.clients.len() {
            for sender in 0..SENDERS {
                let asked = (at, Question::Recipient(sender));
                self.put(&mut client, asked, round, counters).unwrap();
            }
        }
    }

    /// A client: often one of the last, sometimes one of long ago, sometimes a new one.
    fn someone(&mut self) -> usize {
        let known = self.clients.len();
        if known == 0 || (known < MOST && self.random.percent(20)) {
            self.clients.push(Known {
                belief: Belief::new(self.targrey),
                round: None,
            });
            return known;
        }
        let reach = if self.random.percent(70) {
            50.min(known)
        } else {
            known
        };
        known - 1 - self.below(reach)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.below(end as u64)).unwrap()
    }

    /// Asks one question and enters the answer; an error when the daemon is gone.
    fn put(
        &mut self,
        client: &mut Client,
        (at, question): (usize, Question),
        round: Round,
        counters: &Counters,
    ) -> io::Result<()> {
        let address = format!("10.{}.{}.{}", self.number, at / 200, at % 200);
        let known = &mut self.clients[at];
        let answer = exchange(client, &address, question);
        let Ok(Some(action)) = answer else {
            known.belief.unanswered(question, round.now);
            return Err(io::ErrorKind::ConnectionReset.into());
        };
        let entered = known
            .belief
            .answered(question, round.now, Answer::parse(&action));
        if let Err(wanted) = entered {
            counters.ended.fetch_add(1, Ordering::Relaxed);
            panic!(
                "a promise is broken in round {}: {address} {question:?}: {action}, but owed was one of {wanted:?}",
                round.number
            );
        }
        counters.answered.fetch_add(1, Ordering::Relaxed);
        if known.round.is_some_and(|since| since < round.number) {
            counters.kept.fetch_add(1, Ordering::Relaxed);
        }
        known.round = known.belief.is_owed().then_some(round.number);
        Ok(())
    }
}

/// Sends a question and waits for its answer.
fn exchange(client: &mut Client, address: &str, question: Question) -> io::Result<Option<String>> {
    let sender = match question {
        Question::Recipient(sender) => format!("{}@example.org", ["ann", "bob", "eve"][sender]),
        Question::Data => "ann@example.org".to_owned(),
    };
    let mut attributes = rcpt("unknown", address, &sender, "joe@example.net");
    if question == Question::Data {
        attributes[0].1 = "DATA";
    }
    client.request(&attributes)?;
    client.answer()
}

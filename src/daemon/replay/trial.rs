//! The trial of one set of options: the mails of a log, decided by the same pipeline as real ones, at the time of the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Runtime;

use super::mails::{Fate, Mail};
use crate::daemon::failure::Failure;
use crate::daemon::logging;
use crate::lookup::Lookups;
use crate::policy::{Attempt, Cause, Reason, Ruleset, Stage, Suspicion, Verdict};
use crate::service::clock::Clock;
use crate::service::{Gate, Start, journal};
use crate::store::memory::MemoryStore;
use crate::types::{Span, Timestamp};

/// The time of the log.
#[derive(Debug, Default)]
struct LogClock(AtomicU64);

impl Clock for LogClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
    }

    /// The same time again: a log may have gaps, and they are not suspicious.
    fn since_boot(&self) -> Span {
        Span::from_seconds(self.now().seconds())
    }
}

/// What the options would have done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// Requests: one for each recipient of each mail, without assumed retries.
    pub(super) requests: u64,
    /// Unknown triplets that are deferred.
    pub(super) strangers: u64,
    /// Mails that are deferred, by what made them suspicious.
    pub(super) deferred: BTreeMap<Cause, Deferred>,
    /// Mails that a table, a rule or DNS lists refuse; and those of them that the log shows as delivered.
    pub(super) refused: Deferred,
    /// Mails that are assumed to be retried, and still had to wait then.
    pub(super) assumed: Deferred,
    /// Delivered mails that are deferred, by the name of the client, or its address where it has none.
    pub(super) names: BTreeMap<Box<[u8]>, u64>,
}

/// Mails, and some of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deferred {
    pub(super) all: u64,
    /// Those that the log shows as delivered.
    pub(super) delivered: u64,
}

impl Deferred {
    fn count(&mut self, is_one: bool) {
        self.all = self.all.saturating_add(1);
        self.delivered = self.delivered.saturating_add(u64::from(is_one));
    }
}

/// The parts of a trial.
pub(super) struct Trial {
    gate: Gate,
    clock: Arc<LogClock>,
    runtime: Runtime,
    worker: std::thread::JoinHandle<()>,
    /// Whether each decision is written to standard error.
    is_verbose: bool,
}

/// What was decided about one mail.
#[derive(Debug, Default, Clone)]
struct Judged<'m> {
    cause: Option<Cause>,
    is_refused: bool,
    deferred: Vec<&'m [u8]>,
    strangers: u64,
}

impl Trial {
    /// A daemon without a network, whose records are gone with it.
    pub(super) fn new(rules: Ruleset, lookups: Lookups, is_verbose: bool) -> Result<Self, Failure> {
        let clock = Arc::new(LogClock::default());
        let opener = Box::new(MemoryStore::new());
        let shared: Arc<LogClock> = Arc::clone(&clock);
        let Start { gate, worker, .. } = Gate::start(rules, opener, shared)?;
        gate.set_lookups(lookups);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Failure::System {
                what: "starting threads",
                source,
            })?;
        Ok(Self {
            gate,
            clock,
            runtime,
            worker,
            is_verbose,
        })
    }

    /// Replays the mails, which are sorted by time. A mail that was accepted and would have been deferred is assumed to
    /// be retried once, this much later.
    pub(super) fn run(self, mails: &[Mail], retry: Span) -> Effect {
        let mut effect = Effect::default();
        let mut retries: VecDeque<(Timestamp, usize, Vec<&[u8]>)> = VecDeque::new();
        for (number, mail) in mails.iter().enumerate() {
            while retries.front().is_some_and(|(time, ..)| *time <= mail.time) {
                if let Some((time, of, recipients)) = retries.pop_front() {
                    self.retry(time, (of, mails), &recipients, &mut effect);
                }
            }
            let recipients = mail.recipients.iter().map(AsRef::as_ref);
            let judged = self.judge(mail.time, (number, mail), recipients);
            effect.requests = effect.requests.saturating_add(mail.recipients.len() as u64);
            count(&mut effect, mail, &judged);
            let was_accepted = match mail.fate {
                Fate::Delivered | Fate::Accepted => true,
                Fate::Refused | Fate::Greylisted => false,
            };
            if was_accepted && !judged.deferred.is_empty() {
                retries.push_back((mail.time.after(retry), number, judged.deferred));
            }
        }
        for (time, of, recipients) in retries {
            self.retry(time, (of, mails), &recipients, &mut effect);
        }
        drop(self.gate);
        if self.worker.join().is_err() {
            log::error!("the writer thread has failed");
        }
        effect
    }

    /// An assumed retry.
    fn retry(
        &self,
        time: Timestamp,
        (number, mails): (usize, &[Mail]),
        recipients: &[&[u8]],
        effect: &mut Effect,
    ) {
        let Some(mail) = mails.get(number) else {
            return;
        };
        // Another message for the cache of repeated requests.
        let number = number.saturating_add(mails.len());
        let judged = self.judge(time, (number, mail), recipients.iter().copied());
        effect.assumed.count(!judged.deferred.is_empty());
    }

    /// Has every recipient decided.
    fn judge<'m>(
        &self,
        time: Timestamp,
        (number, mail): (usize, &'m Mail),
        recipients: impl Iterator<Item = &'m [u8]>,
    ) -> Judged<'m> {
        // A log may go back by a second; records may not.
        self.clock.0.fetch_max(time.seconds(), Ordering::Relaxed);
        let instance = format!("replay.{number:x}");
        let mut judged = Judged::default();
        for recipient in recipients {
            let attempt = Attempt {
                stage: Stage::Recipient,
                client_address: Some(&mail.address),
                client_name: Some(&mail.name),
                helo_name: mail.helo.as_deref(),
                sender: Some(&mail.sender),
                recipient: Some(recipient),
                instance: Some(instance.as_bytes()),
                ..Attempt::default()
            };
            let decision = self.runtime.block_on(self.gate.judge(&attempt, None));
            if self.is_verbose {
                let line = journal::line(&attempt, &decision);
                logging::write_stderr(&format!("{} {line}", decision.now.seconds()));
            }
            let outcome = decision.outcome;
            match outcome.verdict {
                Verdict::Defer { .. } | Verdict::Tarpit { .. } | Verdict::Unavailable => {
                    judged.deferred.push(recipient);
                    let cause = outcome.suspicion.map_or(Cause::Plain, Suspicion::cause);
                    judged.cause.get_or_insert(cause);
                }
                Verdict::Reply(_) => judged.is_refused = true,
                Verdict::Pass | Verdict::PassWithHeader { .. } => {}
            }
            let is_new = outcome.reason == Reason::New;
            judged.strangers = judged.strangers.saturating_add(is_new.into());
        }
        judged
    }
}

/// Counts what was decided about a mail.
fn count(effect: &mut Effect, mail: &Mail, judged: &Judged<'_>) {
    effect.strangers = effect.strangers.saturating_add(judged.strangers);
    let is_delivered = mail.fate == Fate::Delivered;
    if judged.is_refused {
        effect.refused.count(is_delivered);
    }
    // A greylisted mail that comes too early is the same mail.
    let is_first = judged.strangers > 0 || mail.fate != Fate::Greylisted;
    if let Some(cause) = judged.cause.filter(|_| is_first) {
        effect
            .deferred
            .entry(cause)
            .or_default()
            .count(is_delivered);
        if is_delivered {
            let name = match &*mail.name {
                b"unknown" | b"" => mail.address.clone(),
                _ => mail.name.clone(),
            };
            let number = effect.names.entry(name).or_default();
            *number = number.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::s25r::Rules;
    use crate::policy::{Lists, Params, Texts};

    const DYNAMIC: &str = "220-139-165-188.dynamic.example.net";

    fn mail(time: u64, name: &str, sender: &str, fate: Fate) -> Mail {
        let boxed = |text: &str| text.as_bytes().into();
        Mail {
            time: Timestamp::from_seconds(1_795_000_000 + time),
            name: boxed(name),
            address: boxed("192.0.2.7"),
            helo: None,
            sender: boxed(sender),
            recipients: vec![boxed("c@d"), boxed("e@d")],
            fate,
        }
    }

    fn effect(params: Params, mails: &[Mail], retry: u64) -> Effect {
        let texts = Texts::new(
            "DEFER_IF_PERMIT",
            "no",
            "X: y",
            "mx",
            jiff::tz::TimeZone::UTC,
        );
        let rules = Ruleset::new(params, Lists::default(), texts.unwrap());
        let trial = Trial::new(rules, Lookups::none(), false).unwrap();
        trial.run(mails, Span::from_seconds(retry))
    }

    #[test]
    fn an_accepted_mail_is_assumed_to_be_retried_once() {
        let mails = [
            mail(0, "a.example", "x@a.example", Fate::Delivered),
            mail(10, "a.example", "y@a.example", Fate::Refused),
            mail(20, "unknown", "z@a.example", Fate::Accepted),
            mail(5000, "a.example", "x@a.example", Fate::Delivered),
            mail(5000, "a.example", "y@a.example", Fate::Delivered),
        ];
        // y was refused and is not assumed to have come back, but its second mail is late enough.
        let got = effect(Params::default(), &mails, 900);
        let plain = Deferred {
            all: 3,
            delivered: 1,
        };
        let want = Effect {
            requests: 10,
            strangers: 6,
            deferred: BTreeMap::from([(Cause::Plain, plain)]),
            refused: Deferred::default(),
            assumed: Deferred {
                all: 2,
                delivered: 0,
            },
            names: BTreeMap::from([(b"a.example".as_slice().into(), 1)]),
        };
        assert_eq!(got, want);
        // Too early: both have to wait once more, and the mail at 5000 is then their second retry.
        let early = effect(Params::default(), &mails, 200);
        assert_eq!((early.assumed.all, early.assumed.delivered), (2, 2));
        assert_eq!(early.strangers, 6);
    }

    #[test]
    fn the_check_that_defers_a_mail_is_counted() {
        let mails = [
            mail(0, DYNAMIC, "x@a.example", Fate::Delivered),
            mail(1, "mail.example.org", "x@example.org", Fate::Delivered),
            mail(2, "unknown", "y@a.example", Fate::Greylisted),
            // The same mail, too early.
            mail(3, "unknown", "y@a.example", Fate::Greylisted),
        ];
        let params = Params {
            s25r: Some(Rules::Classic),
            ..Params::default()
        };
        let got = effect(params, &mails, 900);
        let counts = |cause| {
            let counted = got.deferred.get(&cause).copied().unwrap_or_default();
            (counted.all, counted.delivered)
        };
        assert_eq!(counts(Cause::S25r(1)), (1, 1));
        assert_eq!(counts(Cause::S25r(0)), (1, 0));
        assert_eq!(got.deferred.len(), 2);
        assert_eq!(got.strangers, 4);
    }
}

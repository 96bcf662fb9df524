//! The second half of a decision, which needs the records.

use super::shared::{Merged, SharedRecords};
use super::tarpit::{self, Sleep, SleepChange};
use super::{
    Because, Case, Cause, Changes, Client, Expiry, Outcome, Params, Reason, Ruleset, Session, Step,
    StoredRecords, Suspicion, Trace, Triplet, TripletKey, Verdict, Why, greylist, reputation,
};
use crate::types::Timestamp;

/// The records of a case that have not expired, on which it is decided. Only [`Case::facts`] creates them, so that no
/// decision can miss a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveFacts {
    client: Merged<Client>,
    /// The records under all names, merged.
    triplet: Merged<Triplet>,
    /// The name with the best of them: a passed one before a waiting one, else the first.
    name: usize,
    sleep: Option<Sleep>,
}

impl Case {
    /// The `stored` records without the expired ones. The caller has merged the write-behind buffer into them.
    #[must_use]
    pub fn facts(&self, stored: &StoredRecords, session: Session, params: &Params) -> LiveFacts {
        let now = session.now;
        let expires = session.expiry == Expiry::Applies;
        let of_triplet = &self.terms.over(params);
        let is_live = |triplet: &Triplet| !expires || !triplet.is_expired(now, of_triplet);
        let is_live_client = |client: &Client| !expires || !client.is_expired(now, params);
        let mut live = LiveFacts {
            client: Merged::own(stored.client.filter(is_live_client)),
            triplet: Merged::own(stored.triplet.filter(is_live)),
            name: 0,
            sleep: stored
                .sleep
                .filter(|sleep| !expires || !sleep.is_expired(now, params)),
        };
        for (name, other) in (1..).zip(stored.others) {
            let Some(other) = other.filter(is_live) else {
                continue;
            };
            let is_better = live
                .triplet
                .record
                .is_none_or(|best| other.is_passed() && !best.is_passed());
            if is_better {
                live.name = name;
            }
            let best = live.triplet.record;
            live.triplet.record = Some(best.map_or(other, |best| best.merge(other)));
        }
        if let Some(shared) = &self.shared {
            live.learn(shared, is_live_client, is_live);
        }
        live
    }

    /// The triplet's keys under all names of the client, in their order.
    pub fn names(&self) -> impl Iterator<Item = &TripletKey> {
        self.triplet.iter().chain(&self.others)
    }

    /// Why its triplet has to wait if it is unknown.
    fn why(&self) -> Why {
        let cause = self.suspicion.map_or(Cause::Plain, Suspicion::cause);
        cause.into()
    }

    /// The key under the name that a change of the triplet's record belongs to.
    #[must_use]
    pub fn name(&self, changes: &Changes) -> Option<&TripletKey> {
        self.names().nth(changes.name)
    }

    /// Decides on `facts`, and notes the steps in `trace`.
    pub fn decide(
        &self,
        facts: &LiveFacts,
        session: Session,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Outcome {
        let (now, params) = (session.now, &rules.params);
        if let Some(threshold) = params.auto_whitelist {
            trace.note(Step::Client(facts.client.record, threshold));
        }
        let of_triplet = &self.terms.over(params);
        let outcome = if let Some(outcome) = facts.by_reputation(now, params) {
            outcome
        } else {
            if self.triplet.is_some() {
                trace.note(Step::Triplet(facts.triplet.record));
                trace.note_names(self, facts.triplet.record.map(|_| facts.name));
            }
            if self.sleep.is_some() {
                trace.note(Step::Sleep(facts.sleep));
            }
            facts.undecided((self, session), of_triplet)
        };
        Outcome {
            suspicion: self.suspicion,
            ..outcome
        }
    }
}

impl LiveFacts {
    /// The triplet's record: what the records under all names say together.
    #[must_use]
    pub const fn triplet(&self) -> Option<Triplet> {
        self.triplet.record
    }

    /// Whether the client has hung up in its last sleep.
    #[must_use]
    pub fn has_hung_up(&self, now: Timestamp) -> bool {
        self.sleep.is_some_and(|sleep| sleep.has_hung_up(now))
    }

    /// Merges the records of other hosts that have not expired.
    fn learn(
        &mut self,
        shared: &SharedRecords,
        is_live_client: impl Fn(&Client) -> bool,
        is_live: impl Fn(&Triplet) -> bool,
    ) {
        if let Some((client, host)) = shared.client.filter(|(client, _)| is_live_client(client)) {
            self.client.add(client, host);
        }
        for (triplet, host) in shared.triplets.into_iter().flatten() {
            if is_live(&triplet) {
                self.triplet.add(triplet, host);
            }
        }
    }

    /// The client's record, if it has to be stored because another host knew more.
    fn learned_client(&self) -> Option<Client> {
        self.client.record.filter(|_| self.client.is_learned)
    }

    /// The outcome for an auto-whitelisted client.
    fn by_reputation(&self, now: Timestamp, params: &Params) -> Option<Outcome> {
        let client = self.client.record?;
        let because = self.client.host.map_or(Because::Client, Because::Shared);
        client
            .is_whitelisted(params.auto_whitelist?)
            .then(|| Outcome {
                changes: Changes {
                    client: client.seen(now, params).or(self.learned_client()),
                    durable: self.client.is_learned,
                    ..Changes::NONE
                },
                ..Outcome::new(Verdict::Pass, Reason::ClientAwl, because)
            })
    }

    /// The outcome for a client that is not auto-whitelisted.
    fn undecided(&self, asked: (&Case, Session), params: &Params) -> Outcome {
        if asked.0.triplet.is_some() {
            self.at_recipient(asked, params)
        } else {
            self.at_data(asked.1, params)
        }
    }

    /// Greylists; a deferral may become a sleep.
    fn at_recipient(&self, (case, session): (&Case, Session), params: &Params) -> Outcome {
        let now = session.now;
        let step = greylist::step(self.triplet.record, case.why(), now, params);
        let counted = match (params.auto_whitelist, step.waited) {
            (Some(_), Some(_)) => reputation::count(self.client.record, now, params),
            (_, None) | (None, Some(_)) => None,
        };
        let mut outcome = Outcome {
            changes: Changes {
                triplet: Some(step.next),
                name: 0,
                client: counted.or(self.learned_client()),
                sleep: None,
                durable: step.durable || self.triplet.is_learned || self.client.is_learned,
            },
            waited: step.waited,
            whitelisted: becomes_whitelisted(counted, params),
            ..Outcome::new(
                step.verdict,
                step.reason,
                self.triplet.host.map_or(Because::Triplet, Because::Shared),
            )
        };
        match (step.verdict, params.tarpit) {
            (Verdict::Defer { remaining }, Some(tarpit)) => {
                let ordered = tarpit::order(tarpit, remaining, self.sleep, (case, session));
                outcome.verdict = ordered.verdict;
                outcome.reason = ordered.reason.unwrap_or(outcome.reason);
                outcome.changes.sleep = ordered.change;
                outcome.changes.durable |= ordered.change.is_some();
                outcome.tarpitting = ordered.tarpitting;
            }
            (verdict, _) if session.header_given => outcome.verdict = verdict.repeated(),
            _ => {}
        }
        if !outcome.changes.durable {
            outcome.changes.name = self.name;
        }
        outcome
    }

    /// At DATA the client passes; it may have survived its sleep.
    fn at_data(&self, session: Session, params: &Params) -> Outcome {
        let now = session.now;
        let survival = tarpit::survival(self.sleep, session);
        let counts = survival.is_ok() || session.is_known;
        let counted = params
            .auto_whitelist
            .filter(|_| counts)
            .and_then(|_| reputation::count(self.client.record, now, params));
        let whitelisted = becomes_whitelisted(counted, params);
        let changes = Changes {
            client: counted,
            ..Changes::NONE
        };
        match survival {
            Ok(()) => Outcome {
                changes: Changes {
                    sleep: Some(SleepChange::Remove),
                    durable: true,
                    ..changes
                },
                whitelisted,
                ..Outcome::new(Verdict::Pass, Reason::TarpitSurvived, Because::Sleep)
            },
            Err((reason, left)) => Outcome {
                changes: Changes {
                    // A client's first record must be durable, because there is no older one to fall back on.
                    durable: whitelisted || (counted.is_some() && self.client.record.is_none()),
                    ..changes
                },
                whitelisted,
                left,
                ..Outcome::new(Verdict::Pass, reason, Because::Sleep)
            },
        }
    }
}

/// Whether the client becomes auto-whitelisted by its next record.
fn becomes_whitelisted(next: Option<Client>, params: &Params) -> bool {
    next.is_some_and(|client| Some(client.count) == params.auto_whitelist)
}

//! The second half of a decision: what the records say.

use super::tarpit::{self, SleepChange};
use super::{
    Because, Case, Changes, Client, Expiry, Facts, Outcome, Params, Reason, Ruleset, Session,
    Sleep, Step, Trace, Triplet, Verdict, greylist, reputation,
};
use crate::types::Timestamp;

/// Decides on the records that [`plan`](super::plan) asked for.
pub fn decide(
    case: &Case,
    facts: &Facts,
    session: Session,
    now: Timestamp,
    rules: &Ruleset,
) -> Outcome {
    decide_traced((case, facts), session, now, rules, &mut ())
}

/// The same, with a listener to the steps.
pub fn decide_traced(
    (case, facts): (&Case, &Facts),
    session: Session,
    now: Timestamp,
    rules: &Ruleset,
    trace: &mut impl Trace,
) -> Outcome {
    let params = &rules.params;
    let live = Live::of(facts, session.expiry, now, params);
    if let Some(threshold) = params.auto_whitelist {
        trace.note(Step::Client(live.client, threshold));
    }
    let outcome = if let Some(outcome) = live.by_reputation(now, params) {
        outcome
    } else {
        if case.triplet.is_some() {
            trace.note(Step::Triplet(live.triplet));
        }
        if case.sleep.is_some() {
            trace.note(Step::Sleep(live.sleep));
        }
        live.undecided((case, session), now, params)
    };
    Outcome {
        suspicion: case.suspicion,
        ..outcome
    }
}

/// The records whose time is not over.
struct Live {
    client: Option<Client>,
    triplet: Option<Triplet>,
    sleep: Option<Sleep>,
}

impl Live {
    fn of(facts: &Facts, expiry: Expiry, now: Timestamp, params: &Params) -> Self {
        let grows_old = expiry == Expiry::Applies;
        Self {
            client: facts
                .client
                .filter(|client| !(grows_old && client.is_expired(now, params))),
            triplet: facts
                .triplet
                .filter(|triplet| !(grows_old && triplet.is_expired(now, params))),
            sleep: facts
                .sleep
                .filter(|sleep| !(grows_old && sleep.is_expired(now, params))),
        }
    }

    /// The outcome for a client that passes at once.
    fn by_reputation(&self, now: Timestamp, params: &Params) -> Option<Outcome> {
        let client = self.client?;
        client
            .is_whitelisted(params.auto_whitelist?)
            .then(|| Outcome {
                changes: Changes {
                    client: client.seen(now, params),
                    ..Changes::NONE
                },
                ..Outcome::new(Verdict::Pass, Reason::ClientAwl, Because::Client)
            })
    }

    /// The outcome for a client that does not pass at once.
    fn undecided(&self, asked: (&Case, Session), now: Timestamp, params: &Params) -> Outcome {
        if asked.0.triplet.is_some() {
            self.at_recipient(asked, now, params)
        } else {
            self.at_data(asked.1, now, params)
        }
    }

    /// The triplet moves on; a deferral may become a sleep.
    fn at_recipient(
        &self,
        (case, session): (&Case, Session),
        now: Timestamp,
        params: &Params,
    ) -> Outcome {
        let step = greylist::step(self.triplet, now, params);
        let counted = match (params.auto_whitelist, step.waited) {
            (Some(_), Some(_)) => reputation::count(self.client, now, params),
            (_, None) | (None, Some(_)) => None,
        };
        let mut outcome = Outcome {
            changes: Changes {
                triplet: Some(step.next),
                client: counted,
                sleep: None,
                durable: step.durable,
            },
            waited: step.waited,
            whitelisted: becomes_whitelisted(counted, params),
            ..Outcome::new(step.verdict, step.reason, Because::Triplet)
        };
        match (step.verdict, params.tarpit) {
            (Verdict::Defer { remaining }, Some(tarpit)) => {
                let ordered = tarpit::order(tarpit, remaining, self.sleep, (case, session), now);
                outcome.verdict = ordered.verdict;
                outcome.reason = ordered.reason.unwrap_or(outcome.reason);
                outcome.changes.sleep = ordered.change;
                outcome.changes.durable |= ordered.change.is_some();
                outcome.tarpitting = ordered.tarpitting;
            }
            (verdict, _) if session.header_given => outcome.verdict = verdict.repeated(),
            _ => {}
        }
        outcome
    }

    /// A client that has come as far as DATA passes; it may have survived its sleep.
    fn at_data(&self, session: Session, now: Timestamp, params: &Params) -> Outcome {
        let survival = tarpit::survival(self.sleep, session, now);
        let counts = survival.is_ok() || session.is_known;
        let counted = params
            .auto_whitelist
            .filter(|_| counts)
            .and_then(|_| reputation::count(self.client, now, params));
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
                    // A client's first record is stored at once; there is none yet that a later one could replace.
                    durable: whitelisted || (counted.is_some() && self.client.is_none()),
                    ..changes
                },
                whitelisted,
                left,
                ..Outcome::new(Verdict::Pass, reason, Because::Sleep)
            },
        }
    }
}

/// Whether a client's next record is the one that makes it pass at once.
fn becomes_whitelisted(next: Option<Client>, params: &Params) -> bool {
    next.is_some_and(|client| Some(client.count) == params.auto_whitelist)
}

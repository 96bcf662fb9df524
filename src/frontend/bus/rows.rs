//! Converts records and decisions to rows, and rows to records.
//!
//! Addresses are bytes; in a row, non-printable bytes are written as `\xNN`. A row that is read must have its key fields
//! and the times that its kind and state require. Other missing fields get their minimum value.

use super::arguments;
use crate::api::{
    ACTION, CLIENT, CLIENT_ADDRESS, CLIENT_NAME, CLIENTS, COUNT, COUNTED, DOMAIN, Dict, FIRST,
    FromRow, HASH, KIND, KIND_CLIENT, KIND_SLEEP, KIND_TRIPLET, LAST, LENGTH, MAILS, MILTER,
    MISSING, NETWORK, ORDERED, PASSED, PASSES_AT, REASON, RECIPIENT, REPLY, RESULT,
    RESULT_CONTINUES, RESULT_COUNTED, RESULT_EXCEPTION, RESULT_HUNG_UP, RESULT_MATCH,
    RESULT_NO_MATCH, RESULT_PASSED, RESULT_PASSES, RESULT_REJECTS, RESULT_SLEEPING,
    RESULT_SUSPICIOUS, RESULT_UNKNOWN, RESULT_WAITING, RETRIES, RETRIES_MISSING, Row as Writing,
    SENDER, SLEEPS, STATE, STATE_PASSED, STATE_WAITING, STEP, STEP_AUTHENTICATED,
    STEP_AUTO_WHITELIST, STEP_CLIENT_ACCESS, STEP_CLIENT_WHITELIST, STEP_DNS_LIST, STEP_DNS_LISTS,
    STEP_GREYLIST_CONF, STEP_GREYLIST_RECIPIENTS, STEP_OWN_NETWORK, STEP_PAUSE,
    STEP_RECIPIENT_WHITELIST, STEP_S25R, STEP_SENDER_WHITELIST, STEP_SPF, STEP_TARPIT,
    STEP_TRIPLET, STEP_UNMATCHED, TEXT, TIME, TRIPLETS, UNTIL, WHY,
};
use crate::control::{Explained, Explanation, Removed, Row, RowKey, StepResult};
use crate::policy::{
    Cause, Client, Identity, ListName, Remaining, Sleep, Step, Triplet, TripletParts, Verdict, Why,
};
use crate::protocol::policy::MAX_LINE;
use crate::protocol::{self, policy::Style};
use crate::service::LastClient;
use crate::types::{Prefix, Printable, Span, Timestamp, unprintable};

/// A record as a row.
pub(super) fn from_record(row: &Row) -> Dict {
    match row {
        Row::Triplet { key, record } => from_triplet(key, *record),
        Row::Client { key, record } => {
            let row = client_key(KIND_CLIENT, key, |row, client| {
                known_by(row, CLIENT, client)
            });
            with_client(row, *record).build()
        }
        Row::Sleep { key, record } => {
            let network = |row: Writing, network: &Prefix| row.with(CLIENT, network.to_string());
            with_sleep(client_key(KIND_SLEEP, key, network), *record).build()
        }
    }
}

/// A record as a row, with the client that last tried it.
pub(super) fn with_last_client(row: &Row, client: &LastClient) -> Dict {
    let name = Some(&client.name).filter(|name| !name.is_empty());
    let known = Writing::new()
        .with(CLIENT_ADDRESS, client.address.to_string())
        .with_some(CLIENT_NAME, name.map(|name| Printable(name).to_string()));
    let mut row = from_record(row);
    row.extend(known.build());
    row
}

fn with_client(row: Writing, record: Client) -> Writing {
    row.with(COUNT, record.count)
        .with(LAST, record.last.seconds())
}

fn with_sleep(row: Writing, record: Sleep) -> Writing {
    row.with(ORDERED, record.ordered.seconds())
        .with(LENGTH, record.length.seconds())
        .with(LAST, record.seen.seconds())
}

fn from_triplet(key: &RowKey<TripletParts>, record: Triplet) -> Dict {
    let row = Writing::new().with(KIND, KIND_TRIPLET);
    let row = match key {
        RowKey::Plain(parts) => known_by(row, NETWORK, &parts.identity)
            .with(SENDER, Printable(&parts.sender).to_string())
            .with(RECIPIENT, Printable(&parts.recipient).to_string()),
        RowKey::Hashed(hash) => row.with(HASH, hexadecimal(hash)),
    };
    with_triplet(row, record).build()
}

fn with_triplet(row: Writing, record: Triplet) -> Writing {
    match record {
        Triplet::Waiting {
            first,
            last,
            retries,
            counted,
            why,
        } => row
            .with(STATE, STATE_WAITING)
            .with(FIRST, first.seconds())
            .with(LAST, last.seconds())
            .with(RETRIES, retries)
            .with(COUNTED, counted)
            .with_some(WHY, why.map(|why| why.cause.word()))
            .with_some(MILTER, why.filter(|why| why.is_milter).map(|_| true)),
        Triplet::Passed {
            first,
            passed,
            last,
            mails,
        } => row
            .with(STATE, STATE_PASSED)
            .with(FIRST, first.seconds())
            .with(PASSED, passed.seconds())
            .with(LAST, last.seconds())
            .with(MAILS, mails),
    }
}

/// By what a client is known: its network under the key for that, or its domain.
fn known_by(row: Writing, key_of_network: &'static str, client: &Identity) -> Writing {
    let key = match client {
        Identity::Network(_) => key_of_network,
        Identity::Domain(_) => DOMAIN,
    };
    row.with(key, client.to_string())
}

fn client_key<T>(
    kind: &str,
    key: &RowKey<T>,
    with_key: impl FnOnce(Writing, &T) -> Writing,
) -> Writing {
    let row = Writing::new().with(KIND, kind);
    match key {
        RowKey::Plain(client) => with_key(row, client),
        RowKey::Hashed(hash) => row.with(HASH, hexadecimal(hash)),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Reads a row; the error names what is missing or invalid.
pub(super) fn to_record(row: &Dict) -> Result<Row, String> {
    match row.text(KIND) {
        Some(KIND_TRIPLET) => Ok(Row::Triplet {
            key: RowKey::Plain(TripletParts {
                identity: identity(row, &[NETWORK, CLIENT])?,
                sender: address(row, SENDER)?,
                recipient: address(row, RECIPIENT)?,
            }),
            record: to_triplet(row)?,
        }),
        Some(KIND_CLIENT) => Ok(Row::Client {
            key: RowKey::Plain(identity(row, &[CLIENT])?),
            record: Client {
                count: small(row, COUNT)?.ok_or_else(|| lacking(COUNT))?,
                last: needed(row, LAST)?,
            },
        }),
        Some(KIND_SLEEP) => {
            let ordered = needed(row, ORDERED)?;
            Ok(Row::Sleep {
                key: RowKey::Plain(network(row, &[CLIENT])?),
                record: Sleep {
                    ordered,
                    length: Span::from_seconds(needed(row, LENGTH)?.seconds()),
                    seen: time(row, LAST)?.unwrap_or(ordered),
                },
            })
        }
        Some(other) => Err(format!("{KIND} {other:?} is not valid")),
        None => Err(lacking(KIND)),
    }
}

fn to_triplet(row: &Dict) -> Result<Triplet, String> {
    let last = needed(row, LAST)?;
    let first = time(row, FIRST)?.unwrap_or(last);
    match row.text(STATE) {
        Some(STATE_WAITING) => Ok(Triplet::Waiting {
            first,
            last,
            retries: small(row, RETRIES)?.unwrap_or(0),
            counted: small(row, COUNTED)?.unwrap_or(0),
            why: why(row)?,
        }),
        Some(STATE_PASSED) => Ok(Triplet::Passed {
            first,
            passed: time(row, PASSED)?.unwrap_or(last),
            last,
            mails: small(row, MAILS)?.unwrap_or(1),
        }),
        Some(other) => Err(format!("{STATE} {other:?} is not valid")),
        None => Err(lacking(STATE)),
    }
}

/// Why a triplet has to wait; rows of earlier versions do not say.
fn why(row: &Dict) -> Result<Option<Why>, String> {
    let Some(word) = row.text(WHY) else {
        return Ok(None);
    };
    let cause = Cause::from_word(word).ok_or_else(|| format!("{WHY} {word:?} is not valid"))?;
    let is_milter = row.truth(MILTER).unwrap_or_default();
    Ok(Some(Why { cause, is_milter }))
}

fn network(row: &Dict, keys: &[&str]) -> Result<Prefix, String> {
    if row.contains_key(HASH) {
        return Err(format!("a {HASH} cannot be imported into another database"));
    }
    let text = keys.iter().find_map(|key| row.text(key));
    let text = text.ok_or_else(|| lacking(keys.first().unwrap_or(&CLIENT)))?;
    Prefix::parse(text).map_err(|error| format!("{text:?}: {error}"))
}

/// The domain, if the row has one, or else the network.
fn identity(row: &Dict, keys: &[&str]) -> Result<Identity, String> {
    match row.text(DOMAIN) {
        None => network(row, keys).map(Identity::Network),
        Some(text) => arguments::domain(text).map(Identity::Domain),
    }
}

fn address(row: &Dict, key: &str) -> Result<Vec<u8>, String> {
    let text = row.text(key).ok_or_else(|| lacking(key))?;
    let bytes = unprintable(text).ok_or_else(|| format!("{key}: a backslash begins \\xNN"))?;
    if bytes.len() > MAX_LINE || bytes.iter().any(|byte| matches!(byte, 0 | b'\n')) {
        return Err(format!("{key} is not an address"));
    }
    Ok(bytes)
}

fn time(row: &Dict, key: &str) -> Result<Option<Timestamp>, String> {
    if !row.contains_key(key) {
        return Ok(None);
    }
    let seconds = row.number(key);
    let seconds = seconds.ok_or_else(|| format!("{key} must be a number that is not negative"))?;
    Ok(Some(Timestamp::from_seconds(seconds)))
}

fn needed(row: &Dict, key: &str) -> Result<Timestamp, String> {
    time(row, key)?.ok_or_else(|| lacking(key))
}

fn small(row: &Dict, key: &str) -> Result<Option<u32>, String> {
    let number = time(row, key)?.map(Timestamp::seconds);
    let small = number.map(u32::try_from).transpose();
    small.map_err(|_| format!("{key} is too large"))
}

fn lacking(key: &str) -> String {
    format!("{key} is missing")
}

/// The counts of deleted records.
pub(super) fn from_removed(removed: Removed) -> Dict {
    Writing::new()
        .with(TRIPLETS, removed.triplets)
        .with(CLIENTS, removed.clients)
        .with(SLEEPS, removed.sleeps)
        .build()
}

/// The outcome of an explained request.
pub(super) fn from_explanation(explanation: &Explanation, enhanced_codes: bool) -> Dict {
    let style = Style {
        greylist_action: &explanation.greylist_action,
        enhanced_codes,
    };
    let verdict = explanation.outcome.verdict;
    let seconds = match verdict.remaining() {
        Some(Remaining::Time(span)) => Some(span.seconds()),
        Some(Remaining::Retries(_)) | None => None,
    };
    let length = match verdict {
        Verdict::Tarpit { length, .. } => Some(length.seconds()),
        Verdict::Pass
        | Verdict::PassWithHeader { .. }
        | Verdict::Defer { .. }
        | Verdict::Reply(_)
        | Verdict::Unavailable => None,
    };
    Writing::new()
        .with(ACTION, verdict.action().word())
        .with(REASON, explanation.outcome.reason.word())
        .with(REPLY, protocol::policy::action(&explanation.reply, style))
        .with(TIME, explanation.now.seconds())
        .with_some(MISSING, seconds)
        .with_some(RETRIES_MISSING, explanation.retries)
        .with_some(LENGTH, length)
        .with_some(PASSES_AT, explanation.passes_at.map(Timestamp::seconds))
        .with_some(UNTIL, explanation.until.map(Timestamp::seconds))
        .with_some(TEXT, explanation.because.as_deref())
        .build()
}

/// A step of the decision, with the record that it found.
pub(super) fn from_step(step: &Explained) -> Dict {
    let row = Writing::new()
        .with(STEP, step_word(step.step))
        .with(RESULT, finding_word(step.finding))
        .with(TEXT, step.text.as_str());
    match step.step {
        Step::Triplet(Some(record)) => with_triplet(row, record),
        Step::Client(Some(record), _) => with_client(row, record),
        Step::Sleep(Some(record)) => with_sleep(row, record),
        Step::Triplet(None)
        | Step::Client(None, _)
        | Step::Sleep(None)
        | Step::Paused(_)
        | Step::Authenticated
        | Step::OwnNetwork
        | Step::List(..)
        | Step::Access(_)
        | Step::Rule(..)
        | Step::S25r(..)
        | Step::Spf(_)
        | Step::DnsList(..)
        | Step::DnsLists(_)
        | Step::Unmatched(_) => row,
    }
    .build()
}

/// The word of a step.
const fn step_word(step: Step) -> &'static str {
    match step {
        Step::Paused(_) => STEP_PAUSE,
        Step::Authenticated => STEP_AUTHENTICATED,
        Step::OwnNetwork => STEP_OWN_NETWORK,
        Step::List(ListName::Client, _) => STEP_CLIENT_WHITELIST,
        Step::List(ListName::Recipient, _) => STEP_RECIPIENT_WHITELIST,
        Step::List(ListName::Sender, _) => STEP_SENDER_WHITELIST,
        Step::List(ListName::S25rException, _) | Step::S25r(..) => STEP_S25R,
        Step::List(ListName::GreylistRecipient, _) => STEP_GREYLIST_RECIPIENTS,
        Step::List(ListName::ClientAccess, _) | Step::Access(_) => STEP_CLIENT_ACCESS,
        Step::List(ListName::GreylistConf, _) | Step::Rule(..) => STEP_GREYLIST_CONF,
        Step::List(list @ (ListName::HeaderChecks | ListName::BodyChecks), _) => list.word(),
        Step::Spf(_) => STEP_SPF,
        Step::DnsList(..) => STEP_DNS_LIST,
        Step::DnsLists(_) => STEP_DNS_LISTS,
        Step::Unmatched(_) => STEP_UNMATCHED,
        Step::Client(..) => STEP_AUTO_WHITELIST,
        Step::Sleep(_) => STEP_TARPIT,
        Step::Triplet(_) => STEP_TRIPLET,
    }
}

/// The word of a step's result.
const fn finding_word(finding: StepResult) -> &'static str {
    match finding {
        StepResult::NoMatch => RESULT_NO_MATCH,
        StepResult::Match => RESULT_MATCH,
        StepResult::Passes => RESULT_PASSES,
        StepResult::Suspicious => RESULT_SUSPICIOUS,
        StepResult::Rejects => RESULT_REJECTS,
        StepResult::Exception => RESULT_EXCEPTION,
        StepResult::Continues => RESULT_CONTINUES,
        StepResult::Unknown => RESULT_UNKNOWN,
        StepResult::Counted => RESULT_COUNTED,
        StepResult::Sleeping => RESULT_SLEEPING,
        StepResult::HungUp => RESULT_HUNG_UP,
        StepResult::Waiting => RESULT_WAITING,
        StepResult::Passed => RESULT_PASSED,
    }
}

#[cfg(test)]
mod tests;

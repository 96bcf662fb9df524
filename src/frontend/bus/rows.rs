//! Converts records and decisions to rows, and rows to records.
//!
//! Addresses are bytes; in a row, non-printable bytes are written as `\xNN`. A row that is read must have its key fields
//! and the times that its kind and state require. Other missing fields get their minimum value.

use super::arguments;
use crate::api::{
    CLIENT, CLIENT_ADDRESS, CLIENT_NAME, CLIENTS, COUNT, COUNTED, DOMAIN, Dict, FIRST, FromRow,
    HASH, KIND, KIND_CLIENT, KIND_SLEEP, KIND_TRIPLET, LAST, LENGTH, MAILS, MILTER, NETWORK,
    ORDERED, PASSED, RECIPIENT, RETRIES, Row as Writing, SENDER, SLEEPS, STATE, STATE_PASSED,
    STATE_WAITING, TRIPLETS, WHY,
};
use crate::control::{Removed, Row, RowKey};
use crate::policy::{Cause, Client, Identity, Sleep, Triplet, TripletParts, Why};
use crate::protocol::policy::MAX_LINE;
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

pub(super) fn with_client(row: Writing, record: Client) -> Writing {
    row.with(COUNT, record.count)
        .with(LAST, record.last.seconds())
}

pub(super) fn with_sleep(row: Writing, record: Sleep) -> Writing {
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

pub(super) fn with_triplet(row: Writing, record: Triplet) -> Writing {
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

#[cfg(test)]
mod tests;

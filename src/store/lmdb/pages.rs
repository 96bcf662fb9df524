//! Pages of rows, one short read transaction each.
//!
//! Waiting triplets come before passed ones, so that a triplet that passes between two pages is listed twice, not
//! never.

use std::ops::Bound;

use heed::RoTxn;

use super::{Db, Shared};
use crate::policy::ClientKey;
use crate::store::rows::{Collector, Cursor, Reach};
use crate::store::schema;
use crate::store::{Page, RequestError, Row, RowKey, Scope, StoreError, StoreRefusal};

/// The kind of a table's records.
#[derive(Debug, Clone, Copy)]
enum RowKind {
    Triplet,
    Client,
    Sleep,
}

/// Called with each key and value; returns whether that was the last one.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, StoreError> + 'a;

/// The tables in the order of listing. A cursor contains a table's index in it.
fn tables(shared: &Shared) -> impl Iterator<Item = (RowKind, Db<'static>)> {
    let tables = &shared.tables;
    let waiting = tables
        .waiting
        .iter()
        .map(|table| (RowKind::Triplet, *table));
    waiting.chain([
        (RowKind::Triplet, tables.passed),
        (RowKind::Client, tables.clients),
        (RowKind::Sleep, tables.sleeps),
    ])
}

/// The page after a cursor.
pub(super) fn page(
    shared: &Shared,
    scope: &Scope,
    after: &[u8],
    mut collector: Collector<'_>,
) -> Result<Page, RequestError> {
    let is_hashed = shared.key.is_some();
    if is_hashed && scope.identity.is_some() {
        return Err(StoreRefusal::Hashed.into());
    }
    let cursor = Cursor::decode(after, is_hashed)?;
    let in_scope = (0_u8..)
        .zip(tables(shared))
        .filter(|(_, (kind, _))| match kind {
            RowKind::Triplet => scope.triplets,
            RowKind::Client => scope.clients,
            RowKind::Sleep => scope.sleeps,
        });
    let mut rest = in_scope.peekable();
    if let Some(cursor) = cursor {
        while rest.next_if(|(number, _)| *number < cursor.table).is_some() {}
        if rest
            .peek()
            .is_none_or(|(number, _)| *number != cursor.table)
        {
            return Err(StoreRefusal::BadCursor.into());
        }
    }
    let txn = shared.env.read_txn()?;
    for (number, (kind, table)) in rest {
        let from = match cursor.filter(|cursor| cursor.table == number) {
            Some(cursor) => Bound::Excluded(cursor.key.to_vec()),
            None => scope.first().map_or(Bound::Unbounded, Bound::Included),
        };
        let mut visit = |key: &[u8], value: &[u8]| {
            let row = row(kind, key, value, is_hashed)?;
            Ok(collector.add(row))
        };
        if let Some(key) = walk(&txn, table, from, scope, &mut visit)? {
            return Ok(collector.page(Some(Cursor {
                table: number,
                key: &key,
            })));
        }
    }
    Ok(collector.page(None))
}

/// Calls `visit` with a table's records of the scope until it returns true; returns the key of that last record.
fn walk(
    txn: &RoTxn<'_>,
    table: Db<'static>,
    mut from: Bound<Vec<u8>>,
    scope: &Scope,
    visit: &mut Visit<'_>,
) -> Result<Option<Vec<u8>>, StoreError> {
    loop {
        let range = (from.as_ref().map(Vec::as_slice), Bound::Unbounded);
        let mut next = None;
        for item in table.range(txn, &range)? {
            let (key, value) = item?;
            match scope.reach(key)? {
                Reach::Inside if visit(key, value)? => return Ok(Some(key.to_vec())),
                Reach::Inside => {}
                Reach::Next(key) => {
                    next = Some(key);
                    break;
                }
                Reach::Beyond => return Ok(None),
            }
        }
        match next {
            Some(key) => from = Bound::Included(key),
            None => return Ok(None),
        }
    }
}

/// A record with its key.
fn row(kind: RowKind, key: &[u8], value: &[u8], is_hashed: bool) -> Result<Row, StoreError> {
    Ok(match kind {
        RowKind::Triplet if is_hashed => Row::Triplet {
            key: RowKey::Hashed(key.to_vec()),
            record: schema::decode_triplet(value)?,
        },
        RowKind::Triplet => {
            let (record, key) = schema::whole_triplet(key, value)?;
            let parts = key.parts().ok_or(StoreError::Record)?;
            Row::Triplet {
                key: RowKey::Plain(parts),
                record,
            }
        }
        RowKind::Client => Row::Client {
            key: plain(key, is_hashed, ClientKey::identity)?,
            record: schema::decode_client(value)?,
        },
        RowKind::Sleep => Row::Sleep {
            key: plain(key, is_hashed, ClientKey::network)?,
            record: schema::decode_sleep(value)?,
        },
    })
}

/// The key of a row; `read` decodes its parts.
fn plain<T>(
    key: &[u8],
    is_hashed: bool,
    read: impl FnOnce(&ClientKey) -> Option<T>,
) -> Result<RowKey<T>, StoreError> {
    let key = key.to_vec();
    if is_hashed {
        return Ok(RowKey::Hashed(key));
    }
    let parts = read(&ClientKey::from_bytes(key));
    parts.map(RowKey::Plain).ok_or(StoreError::Record)
}

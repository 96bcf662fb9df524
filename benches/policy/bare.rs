//! Bare LMDB: one thread writes the records that stargreyd has just written, in batches of the same size. No server can
//! write faster to this disk with this library.

use std::path::Path;
use std::time::Instant;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, WithTls};
use stargrey::policy::{Triplet, TripletKey};
use stargrey::store::schema;
use stargrey::types::{ClientIp, Timestamp};

use crate::work;

/// Maximum size of a database, in bytes: the daemon's default, and more than a run writes on a 64-bit machine.
pub(crate) const MAP: usize = if cfg!(target_pointer_width = "64") {
    16 << 30
} else {
    1 << 30
};

/// Errors are nobody's but the administrator's.
type Failure = Box<dyn std::error::Error>;

/// An environment with one database.
pub(crate) struct Bare {
    env: Env<WithTls>,
    table: Database<'static, Bytes, Bytes>,
}

impl Bare {
    /// With the durability of stargreyd's default.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP).max_dbs(1);
        #[expect(
            unsafe_code,
            reason = "heed leaves the promises about the file to its user"
        )]
        // SAFETY: the directory is this run's own, and NO_META_SYNC keeps integrity.
        let env = unsafe {
            options.flags(EnvFlags::NO_META_SYNC);
            options.open(directory)?
        };
        let txn = env.write_txn()?;
        let table = env
            .create_databases_and_commit(txn, |opener, txn| {
                let table = opener.create_database(txn, Some("waiting"))?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
            })?
            .unwrap_commit();
        Ok(Self { env, table })
    }

    /// Writes these new triplets, so many with each commit; yields records a second.
    pub(crate) fn write(
        &self,
        numbers: std::ops::Range<usize>,
        batch: usize,
    ) -> Result<f64, Failure> {
        let first = Timestamp::from_seconds(1_800_000_000);
        let record = Triplet::Waiting {
            first,
            last: first,
            retries: 0,
            counted: 0,
            why: None,
        };
        let value = schema::encode_triplet(record, None);
        let keys: Vec<TripletKey> = numbers.filter_map(key).collect();
        let begun = Instant::now();
        for batch in keys.chunks(batch.max(1)) {
            let mut txn = self.env.write_txn()?;
            for key in batch {
                self.table.put(&mut txn, key.as_bytes(), &value)?;
            }
            txn.commit()?;
        }
        let count = f64::from(u32::try_from(keys.len())?);
        Ok(count / begun.elapsed().as_secs_f64())
    }
}

/// The key of the triplet that the request of this number is about.
fn key(number: usize) -> Option<TripletKey> {
    let digits = work::scattered(number % work::STRANGERS);
    let (recipient, address) = (digits % 10_000, digits / 10_000 % 10_000);
    let address = format!("10.1{:02}.1{:02}.25", address / 100, address % 100);
    let client = ClientIp::parse(address.as_bytes())?;
    let recipient = format!("new{recipient:04}@example.org");
    Some(TripletKey::new(
        client.network(24, 64),
        b"ann@sender.example",
        recipient.as_bytes(),
    ))
}

//! Records of another database, taken in.

use super::records::bits_of_triplets;
use super::{Control, ControlError};
use crate::policy::{Client, ClientKey, CountBy, Params, Sleep, SleepChange, Triplet, TripletKey};
use crate::store::{Commit, Records, Row, RowKey, StoreError};
use crate::types::{Prefix, Timestamp};

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// New.
    pub new: u64,
    /// Changed what was there.
    pub changed: u64,
    /// Changed nothing: what was there is later.
    pub unchanged: u64,
}

impl Control {
    /// Takes rows in, all or none. What is there already stays if it is later. A triplet's network may be a
    /// client's address by itself.
    ///
    /// # Errors
    ///
    /// [`ControlError::Row`] names the first row that cannot be taken; or the store's trouble.
    pub async fn import(&self, rows: Vec<Row>, dry_run: bool) -> Result<Taken, ControlError> {
        let params = self.0.book.rules().params;
        let now = self.0.now();
        let jobs = rows
            .iter()
            .enumerate()
            .map(|(n, row)| {
                job(row, &params, now).map_err(|why| ControlError::Row {
                    number: n.saturating_add(1),
                    why,
                })
            })
            .collect::<Result<Vec<Job>, ControlError>>()?;
        let end = if dry_run {
            Commit::Discard
        } else {
            Commit::Keep
        };
        let importing = self.write_and(
            move |records| {
                let mut taken = Taken::default();
                for job in &jobs {
                    job.run(records, &mut taken)?;
                }
                Ok::<_, StoreError>(taken)
            },
            end,
        );
        let taken = importing.await?;
        if end == Commit::Keep {
            self.count_whitelisted().await?;
        }
        Ok(taken)
    }
}

/// A row with the key that it is kept by.
enum Job {
    Triplet(TripletKey, Triplet),
    Client(ClientKey, Client),
    Sleep(ClientKey, Sleep),
}

/// What is to be done with a row; else why it cannot be.
fn job(row: &Row, params: &Params, now: Timestamp) -> Result<Job, &'static str> {
    let hashed = "a hash cannot be taken in";
    let fits = |network: Prefix, bits: u8| {
        let most = if network.address().is_ipv4() { 32 } else { 128 };
        if network.length() == most || network.length() == bits {
            Ok(Prefix::masked(network.address(), bits))
        } else {
            Err("its network has another prefix length than the daemon's options say")
        }
    };
    let bits_of_address = |network: Prefix| if network.address().is_ipv4() { 32 } else { 128 };
    match row {
        Row::Triplet {
            key: RowKey::Plain(parts),
            record,
        } => {
            let network = fits(parts.network, bits_of_triplets(parts.network, params))?;
            Ok(Job::Triplet(
                TripletKey::new(network, &parts.sender, &parts.recipient),
                not_ahead(*record, now),
            ))
        }
        Row::Client {
            key: RowKey::Plain(network),
            record,
        } => {
            let bits = match params.count_by {
                CountBy::Address => bits_of_address(*network),
                CountBy::Subnet => bits_of_triplets(*network, params),
            };
            let record = Client {
                last: record.last.min(now),
                ..*record
            };
            Ok(Job::Client(ClientKey::new(fits(*network, bits)?), record))
        }
        Row::Sleep {
            key: RowKey::Plain(network),
            record,
        } => {
            let address = fits(*network, bits_of_address(*network))?;
            let record = Sleep {
                ordered: record.ordered.min(now),
                seen: record.seen.min(now),
                ..*record
            };
            Ok(Job::Sleep(ClientKey::new(address), record))
        }
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => Err(hashed),
    }
}

/// The record with no time ahead of now: it would never grow old.
fn not_ahead(record: Triplet, now: Timestamp) -> Triplet {
    match record {
        Triplet::Waiting {
            first,
            last,
            retries,
            counted,
        } => Triplet::Waiting {
            first: first.min(now),
            last: last.min(now),
            retries,
            counted,
        },
        Triplet::Passed {
            first,
            passed,
            last,
            mails,
        } => Triplet::Passed {
            first: first.min(now),
            passed: passed.min(now),
            last: last.min(now),
            mails,
        },
    }
}

impl Job {
    fn run(&self, records: &mut dyn Records, taken: &mut Taken) -> Result<(), StoreError> {
        let (is_new, is_later) = match self {
            Self::Triplet(key, record) => {
                let known = records.triplet(key)?;
                (
                    known.is_none(),
                    known.is_none_or(|known| is_later(known, *record)),
                )
            }
            Self::Client(key, record) => {
                let known = records.client(key)?;
                let beats = |known: Client| record.count > known.count || record.last > known.last;
                (known.is_none(), known.is_none_or(beats))
            }
            Self::Sleep(key, record) => {
                let known = records.sleep(key)?;
                (
                    known.is_none(),
                    known.is_none_or(|known| record.seen > known.seen),
                )
            }
        };
        let counter = match (is_new, is_later) {
            (true, _) => &mut taken.new,
            (false, true) => &mut taken.changed,
            (false, false) => &mut taken.unchanged,
        };
        *counter = counter.saturating_add(1);
        if !is_later {
            return Ok(());
        }
        match self {
            Self::Triplet(key, record) => records.put_triplet(key, *record),
            Self::Client(key, record) => {
                let known = records.client(key)?;
                records.put_client(
                    key,
                    Client {
                        count: known.map_or(record.count, |known| known.count.max(record.count)),
                        last: known.map_or(record.last, |known| known.last.max(record.last)),
                    },
                )
            }
            Self::Sleep(key, record) => records.change_sleep(key, SleepChange::Keep(*record)),
        }
    }
}

/// Whether a triplet's record tells more than the one that is known: to have passed is more than to wait, and
/// otherwise what was seen later.
fn is_later(known: Triplet, record: Triplet) -> bool {
    match (known, record) {
        (Triplet::Waiting { .. }, Triplet::Passed { .. }) => true,
        (Triplet::Passed { .. }, Triplet::Waiting { .. }) => false,
        (
            Triplet::Waiting { last: known, .. } | Triplet::Passed { last: known, .. },
            Triplet::Waiting { last, .. } | Triplet::Passed { last, .. },
        ) => last > known,
    }
}

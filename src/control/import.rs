//! Import of records from another database.

use super::{Control, ControlError};
use crate::policy::{
    Client, ClientKey, CountBy, Expiry, Identity, Params, Sleep, SleepChange, Triplet, TripletKey,
};
use crate::service::triplet_counts::{TripletCounts, TripletEvent};
use crate::store::{Commit, Note, Records, RequestError, Row, RowKey};
use crate::types::{Prefix, Timestamp};

/// The results of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// New.
    pub new: u64,
    /// Changed a record.
    pub changed: u64,
    /// Changed nothing, because the record includes it.
    pub unchanged: u64,
}

impl Control {
    /// Imports rows, all or none. The other hosts of a site get them in the background. A row is merged with the existing
    /// record, unless one of them has expired: then the other one is kept. Of two sleeps the later one is kept. The network
    /// of a triplet may also be the address of its client.
    ///
    /// # Errors
    ///
    /// [`ControlError::Row`] with the first row that cannot be imported, or an error of the store.
    pub async fn import(&self, rows: Vec<Row>, dry_run: bool) -> Result<Taken, ControlError> {
        let rules = self.0.rules();
        let params = rules.params;
        let (now, expiry) = self.0.time();
        let jobs = rows
            .iter()
            .enumerate()
            .map(|(n, row)| {
                job(row, &params, now).map_err(|why| ControlError::Row {
                    number: n.saturating_add(1),
                    why,
                })
            })
            .collect::<Result<Vec<Item>, ControlError>>()?;
        let expired = Expired {
            now,
            expiry,
            params,
            of_triplets: rules.expiry_params(),
        };
        let end = if dry_run {
            Commit::Discard
        } else {
            Commit::Keep
        };
        let shared = self.0.shared.get().filter(|_| end == Commit::Keep);
        let is_shared = shared.is_some();
        let importing = self.write(
            move |records| {
                // They may be older than what the other hosts were sent last.
                if is_shared {
                    records.put_note(Note::SentUntil, None)?;
                }
                let mut taken = Taken::default();
                let mut triplet_counts = TripletCounts::default();
                for job in &jobs {
                    job.run(records, &expired, &mut taken, &mut triplet_counts)?;
                }
                // An export has no history: the strangers that come with it are counted where they were seen.
                for (hour, counters) in triplet_counts.by_hour() {
                    records.add_counters(hour, &counters)?;
                }
                Ok::<_, RequestError>(taken)
            },
            end,
            || {},
        );
        let taken = importing.await?;
        if let Some(shared) = shared {
            shared.send_all();
        }
        if end == Commit::Keep {
            self.count_whitelisted().await?;
        }
        Ok(taken)
    }
}

/// A record to import, with its key.
enum Item {
    Triplet(TripletKey, Triplet),
    Client(ClientKey, Client),
    Sleep(ClientKey, Sleep),
}

/// Parses a row; the error says why it cannot be imported.
fn job(row: &Row, params: &Params, now: Timestamp) -> Result<Item, &'static str> {
    let hashed = "a hash cannot be imported";
    let bits_of_address = |network: Prefix| if network.address().is_ipv4() { 32 } else { 128 };
    let fits = |network: Prefix, bits: u8| {
        if network.length() == bits_of_address(network) || network.length() == bits {
            Ok(Prefix::masked(network.address(), bits))
        } else {
            Err("the prefix length of its network differs from the daemon's options")
        }
    };
    match row {
        Row::Triplet {
            key: RowKey::Plain(parts),
            record,
        } => {
            let identity = match &parts.identity {
                Identity::Network(network) => {
                    fits(*network, params.bits_of_triplets(*network))?.into()
                }
                Identity::Domain(_) if !params.by_domain => {
                    return Err(
                        "it is of a domain, and the daemon runs without --lookup-by-domain",
                    );
                }
                domain @ Identity::Domain(_) => domain.clone(),
            };
            Ok(Item::Triplet(
                TripletKey::new(identity, &parts.sender, &parts.recipient),
                not_ahead(*record, now),
            ))
        }
        Row::Client {
            key: RowKey::Plain(client),
            record,
        } => {
            let identity = match (client, params.count_by) {
                (Identity::Network(network), CountBy::Address | CountBy::Domain) => {
                    fits(*network, bits_of_address(*network))?.into()
                }
                (Identity::Network(network), CountBy::Subnet) => {
                    fits(*network, params.bits_of_triplets(*network))?.into()
                }
                (Identity::Domain(_), CountBy::Domain) => client.clone(),
                (Identity::Domain(_), CountBy::Address | CountBy::Subnet) => {
                    return Err(
                        "it is a domain, and the daemon runs without --auto-whitelist-by=domain",
                    );
                }
            };
            let record = Client {
                last: record.last.min(now),
                ..*record
            };
            Ok(Item::Client(ClientKey::new(identity), record))
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
            Ok(Item::Sleep(ClientKey::new(address), record))
        }
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => Err(hashed),
    }
}

/// Limits the times of a record to now, because a record from the future would not expire.
fn not_ahead(record: Triplet, now: Timestamp) -> Triplet {
    match record {
        Triplet::Waiting {
            first,
            last,
            retries,
            counted,
            why,
        } => Triplet::Waiting {
            first: first.min(now),
            last: last.min(now),
            retries,
            counted,
            why,
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

/// Which records have expired: none while expiry is suspended.
struct Expired {
    now: Timestamp,
    expiry: Expiry,
    params: Params,
    /// With the longest times of the access lists: a triplet that one of their entries would still use is live.
    of_triplets: Params,
}

impl Expired {
    /// The record to store: both merged, if neither has expired.
    fn merge<T: Copy>(
        &self,
        (known, record): (Option<T>, T),
        is_expired: impl Fn(&T) -> bool,
        merge: impl FnOnce(T, T) -> T,
    ) -> T {
        let is_live = |record: &T| self.expiry == Expiry::Suspended || !is_expired(record);
        match known.filter(is_live) {
            Some(known) if is_live(&record) => merge(known, record),
            Some(known) => known,
            None => record,
        }
    }
}

impl Item {
    fn run(
        &self,
        records: &mut dyn Records,
        expired: &Expired,
        taken: &mut Taken,
        triplet_counts: &mut TripletCounts,
    ) -> Result<(), RequestError> {
        match self {
            Self::Triplet(key, record) => {
                let known = records.triplet(key)?;
                let is_expired = |it: &Triplet| it.is_expired(expired.now, &expired.of_triplets);
                let next = expired.merge((known, *record), is_expired, Triplet::merge);
                if taken.count(known, &next) {
                    let was_counted = known.and_then(Triplet::why).is_some();
                    if let (false, Some(why)) = (was_counted, next.why()) {
                        triplet_counts.count(TripletEvent::Stranger(next.first(), why));
                    }
                    records.put_under_both(key, next)?;
                }
            }
            Self::Client(key, record) => {
                let known = records.client(key)?;
                let is_expired = |it: &Client| it.is_expired(expired.now, &expired.params);
                let next = expired.merge((known, *record), is_expired, Client::merge);
                if taken.count(known, &next) {
                    records.put_client(key, next)?;
                }
            }
            Self::Sleep(key, record) => {
                let known = records.sleep(key)?;
                let next = known
                    .filter(|known| known.seen >= record.seen)
                    .unwrap_or(*record);
                if taken.count(known, &next) {
                    records.change_sleep(key, SleepChange::Keep(next))?;
                }
            }
        }
        Ok(())
    }
}

impl Taken {
    /// Counts a row; returns whether it changes anything.
    fn count<T: PartialEq>(&mut self, known: Option<T>, next: &T) -> bool {
        let (counter, is_change) = match known {
            None => (&mut self.new, true),
            Some(known) if known != *next => (&mut self.changed, true),
            Some(_) => (&mut self.unchanged, false),
        };
        *counter = counter.saturating_add(1);
        is_change
    }
}

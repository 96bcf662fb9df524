//! Fills databases with many new triplets, using the library, before a server is started on them.
//!
//! Keys are random, as those of real mail: equidistant numbers would fill and split all pages of the database at the
//! same time, and the size of a triplet on disk would oscillate with their count. They have the same networks as the
//! new triplets of the works, so that new keys are inserted among the stored ones.

use std::error::Error;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use stargrey::policy::{Triplet, TripletKey};
use stargrey::store::lmdb::{Durability, LmdbOpener};
use stargrey::store::{Opener, RequestError, Writer};
use stargrey::types::{ClientIp, Span, Timestamp};

use crate::bare::MAP;
use crate::spread::float;

/// Records in a transaction of the filling: as many as stargreyd writes at once at most. Larger ones would leave more
/// free pages in the file.
const BATCH: usize = 1024;

/// Spells of new triplets that a filled database takes before rates are measured. Large transactions leave free
/// pages that lie side by side, which makes small ones cheap for some seconds; in a database that is in use they
/// are scattered.
pub(crate) const WARMING: u32 = 16;

/// As many different strangers there are; of ten million fifty or so are the same.
const STRANGERS: u64 = 1_000_000_000_000;

/// The window of stargreyd's that is not told otherwise.
const RETRY_WINDOW: Span = Span::from_days(2);

/// Strangers who came at the same time.
pub(crate) struct Crowd {
    /// Which ones.
    pub(crate) numbers: Range<usize>,
    /// How long ago.
    pub(crate) age: Span,
}

/// What was written.
pub(crate) struct Filled {
    /// How many triplets the database says that it holds.
    pub(crate) count: u64,
    /// Bytes in a key, on average.
    pub(crate) key_length: f64,
}

/// One of many senders in many networks.
pub(crate) struct Stranger {
    /// The client's address.
    pub(crate) address: String,
    /// The network of it that triplets are kept for.
    pub(crate) network: String,
    pub(crate) sender: String,
    pub(crate) recipient: String,
}

impl Stranger {
    pub(crate) fn new(number: usize) -> Self {
        let digits = mixed(number as u64) % STRANGERS;
        let (low, middle, high) = (
            digits % 10_000,
            digits / 10_000 % 10_000,
            digits / 100_000_000,
        );
        let network = format!("10.1{:02}.1{:02}", high / 100, high % 100);
        Self {
            address: format!("{network}.25"),
            network: format!("{network}.0/24"),
            sender: format!("newsletter{middle:04}@sender.example"),
            recipient: format!("somebody{low:04}@example.org"),
        }
    }

    /// The key of the triplet, about sixty bytes.
    fn key(&self) -> Option<TripletKey> {
        let client = ClientIp::parse(self.address.as_bytes())?;
        Some(TripletKey::new(
            client.network(24, 64),
            self.sender.as_bytes(),
            self.recipient.as_bytes(),
        ))
    }
}

/// Another number for each, with nothing left of their order: the output of splitmix64.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Writes waiting triplets into the database of this directory, the crowds in their order.
pub(crate) fn fill(directory: &Path, crowds: &[Crowd]) -> io::Result<Filled> {
    write(directory, crowds).map_err(io::Error::other)
}

fn write(directory: &Path, crowds: &[Crowd]) -> Result<Filled, Box<dyn Error + Send + Sync>> {
    let opener = LmdbOpener {
        directory: directory.to_owned(),
        max_size: MAP,
        durability: Durability::Data,
        privacy: false,
        retry_window: RETRY_WINDOW,
    };
    let (reader, mut writer) = opener.open()?;
    let (mut keys, mut bytes) = (0, 0);
    for crowd in crowds {
        let record = waiting_since(now().before(crowd.age));
        for begin in crowd.numbers.clone().step_by(BATCH) {
            let numbers = begin..crowd.numbers.end.min(begin + BATCH);
            let batch: Vec<TripletKey> = numbers.filter_map(|n| Stranger::new(n).key()).collect();
            put(writer.as_mut(), &batch, record)?;
            keys += batch.len() as u64;
            bytes += batch
                .iter()
                .map(|key| key.as_bytes().len() as u64)
                .sum::<u64>();
        }
    }
    writer.sync()?;
    Ok(Filled {
        count: reader.record_counts()?.waiting,
        key_length: float(bytes) / float(keys.max(1)),
    })
}

/// One transaction.
fn put(writer: &mut dyn Writer, keys: &[TripletKey], record: Triplet) -> Result<(), RequestError> {
    writer.transact(&mut |records| {
        for key in keys {
            records.put_triplet(key, record)?;
        }
        Ok(())
    })
}

const fn waiting_since(first: Timestamp) -> Triplet {
    Triplet::Waiting {
        first,
        last: first,
        retries: 0,
        counted: 0,
        why: None,
    }
}

/// What time it is.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    Timestamp::from_seconds(since.map_or(0, |since| since.as_secs()))
}

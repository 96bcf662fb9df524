//! Publishing: read what the server has, merge, compare and set.
//!
//! Both sides drop what has expired first. What the server has and is better than this host's record is learned.

use std::sync::Arc;

use super::Inner;
use super::local::{Local, LocalState};
use super::record::{Key, Record, Stored};
use super::seal::Name;
use super::server::{Connection, ServerError, Write, Written};
use super::task::within;
use crate::policy::Merged;

/// Records of one exchange.
pub(super) const BATCH: usize = 64;

/// How often a record is tried that another host has changed meanwhile.
const TRIES: usize = 3;

/// A record to publish, and what the server was seen to have.
struct Item {
    key: Key,
    name: Name,
    own: Record,
    read: Option<Vec<u8>>,
}

/// What a batch has done.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Records that were written.
    pub(super) written: usize,
    /// Records of this host that have become better.
    pub(super) learned: usize,
    /// Keys that are still to be published.
    pub(super) left: Vec<Key>,
}

/// Publishes the records of at most [`BATCH`] keys. A key without a record is done.
pub(super) async fn publish(
    shared: &Inner,
    local: &dyn Local,
    connection: &Arc<dyn Connection>,
    (keys, state): (Vec<Key>, LocalState),
) -> Result<Published, ServerError> {
    let mut published = Published::default();
    let Some(records) = local.read(&keys) else {
        published.left = keys;
        return Ok(published);
    };
    let (now, params) = (state.now, &state.params);
    let items = keys.into_iter().zip(records).filter_map(|(key, own)| {
        let own = own.filter(|own| !own.is_expired(now, params))?;
        let name = key.name(shared.seal());
        let read = None;
        Some(Item {
            key,
            name,
            own,
            read,
        })
    });
    let mut items: Vec<Item> = items.collect();
    if items.is_empty() {
        return Ok(published);
    }
    let names = items.iter().map(|item| item.name).collect();
    let values = within(connection.get(names)).await?;
    for (item, value) in items.iter_mut().zip(values) {
        item.read = value;
    }
    let mut learned = Vec::new();
    for _ in 0..TRIES {
        let mut asked = Vec::new();
        let mut writes = Vec::new();
        for item in items {
            if let Some(write) = shared.prepare(&item, state, &mut learned) {
                writes.push(write);
                asked.push(item);
            }
        }
        items = Vec::new();
        if writes.is_empty() {
            break;
        }
        let results = within(connection.write(writes)).await?;
        for (mut item, result) in asked.into_iter().zip(results) {
            match result {
                Written::Done => published.written = published.written.saturating_add(1),
                Written::Other(value) => {
                    item.read = value;
                    items.push(item);
                }
            }
        }
    }
    published.left = items.into_iter().map(|item| item.key).collect();
    published.learned = learned.len();
    if !learned.is_empty() && !local.learn(learned).await {
        published.learned = 0;
    }
    Ok(published)
}

impl Inner {
    /// The write that publishes a record; `None` if the server has nothing less. Better records of other hosts are added
    /// to `learned`.
    fn prepare(
        &self,
        item: &Item,
        state: LocalState,
        learned: &mut Vec<(Key, Record)>,
    ) -> Option<Write> {
        let (now, params) = (state.now, &state.params);
        let theirs = match self.read(&item.key, &item.name, item.read.as_deref()) {
            Stored::Unknown => return None,
            Stored::Absent => None,
            Stored::Known(record, host) => {
                Some((record, host)).filter(|(record, _)| !record.is_expired(now, params))
            }
        };
        let mut merged = Merged::own(theirs.map(|(record, _)| record));
        merged.add(item.own, self.me);
        let mut ours = Merged::own(Some(item.own));
        if let Some((record, host)) = theirs {
            ours.add(record, host);
        }
        if let Some(better) = ours.record.filter(|_| ours.is_learned) {
            learned.retain(|(key, _)| *key != item.key);
            learned.push((item.key.clone(), better));
        }
        let record = merged.record.filter(|_| merged.is_learned)?;
        let publisher = merged.host.or(theirs.map(|(_, host)| host));
        Some(Write {
            name: item.name,
            read: item.read.clone(),
            value: Some(record.value(publisher.unwrap_or(self.me), self.seal(), &item.name)),
            lifetime: record.lifetime(now, params),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::double::Double;
    use super::super::host_double::{HostDouble, NOW, client};
    use super::*;
    use crate::policy::{Client, Host};

    /// A host with the record of a client, and what another host writes about it, with this count.
    fn host() -> (HostDouble, Key, impl Fn(u32) -> (Name, Vec<u8>)) {
        let host = HostDouble::new("mx1.example", &Double::default());
        let (key, record) = client(1);
        host.state.records.lock().push((key.clone(), record));
        let shared = Arc::clone(&host.shared.0);
        let name = key.name(shared.seal());
        let theirs = move |count| {
            let record = Record::Client(Client { count, last: NOW });
            (
                name,
                record.value(Host::of("mx2.example"), shared.seal(), &name),
            )
        };
        (host, key, theirs)
    }

    #[tokio::test]
    async fn what_another_host_writes_between_reading_and_writing_is_merged_and_learned() {
        // The counts that another host writes, how often this one writes its own, and the count that it learns, if any.
        let cases: [(&str, &[u32], usize, u32); 5] = [
            ("nobody writes", &[], 1, 0),
            ("a better one, which stays", &[5], 0, 5),
            ("better ones", &[5, 7], 0, 5),
            ("one of no use", &[0], 1, 0),
            ("of no use each time", &[0, 0, 0], 0, 0),
        ];
        for (what, between, written, count) in cases {
            let learned = Some(count).filter(|count| *count > 0);
            let is_done = written > 0 || learned.is_some();
            let (host, key, theirs) = host();
            for (nth, count) in between.iter().enumerate() {
                let (name, mut value) = theirs(*count);
                if *count == 0 {
                    // No host of the site has written it, and it is another one each time.
                    value.push(u8::try_from(nth).unwrap());
                }
                host.network.write_between(name, value);
            }
            let state = host.state.state().unwrap();
            let connection: Arc<dyn Connection> = Arc::new(host.network.clone());
            let batch = (vec![key.clone()], state);
            let published = publish(&host.shared.0, host.state.as_ref(), &connection, batch);
            let published = published.await.unwrap();
            assert_eq!(published.written, written, "{what}");
            let left = if is_done { vec![] } else { vec![key.clone()] };
            assert_eq!(published.left, left, "{what}");
            let want = learned.map(|count| (key, Record::Client(Client { count, last: NOW })));
            assert_eq!(published.learned, usize::from(want.is_some()), "{what}");
            assert_eq!(*host.state.learned.lock(), Vec::from_iter(want), "{what}");

            host.shared.0.note_published(published);
            let status = host.shared.status();
            let counted = (status.published, status.learned, status.queued);
            let want = (
                u64::try_from(written).unwrap(),
                u64::from(learned.is_some()),
                usize::from(!is_done),
            );
            assert_eq!(counted, want, "{what}");
        }
    }
}

//! The queue of keys to publish: a set, so that a record that changes often is published once. The record itself is read
//! when it is published.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::record::Key;
use crate::policy::{ClientKey, TripletKey};
use crate::types::sync::Mutex;

/// Maximum number of keys of each kind.
pub const MOST_QUEUED: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Queue {
    keys: Mutex<Keys>,
    /// Notified when there is something to publish.
    pub(super) wake: Notify,
    /// Keys that there was no room for.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Keys {
    triplets: HashSet<TripletKey>,
    clients: HashSet<ClientKey>,
}

impl Queue {
    /// Adds keys; those beyond the limit are counted only.
    pub(super) fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut dropped = 0_u64;
        {
            let mut queued = self.keys.lock();
            for key in keys {
                let has_room = match key {
                    Key::Triplet(key) => add(&mut queued.triplets, key),
                    Key::Client(key) => add(&mut queued.clients, key),
                };
                dropped = dropped.saturating_add(u64::from(!has_room));
            }
        }
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        self.wake.notify_one();
    }

    /// Takes all keys, and calls `taken` with their number before another may count them.
    pub(super) fn take(&self, taken: impl FnOnce(usize)) -> Vec<Key> {
        let Keys { triplets, clients } = {
            let mut keys = self.keys.lock();
            taken(keys.triplets.len().saturating_add(keys.clients.len()));
            std::mem::take(&mut *keys)
        };
        let clients = clients.into_iter().map(Key::Client);
        triplets
            .into_iter()
            .map(Key::Triplet)
            .chain(clients)
            .collect()
    }

    /// How many keys are queued.
    pub(super) fn len(&self) -> usize {
        let keys = self.keys.lock();
        keys.triplets.len().saturating_add(keys.clients.len())
    }

    /// How many keys there was no room for, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Adds a key, if it is there already or there is room; returns whether that is so.
fn add<K: Eq + Hash>(set: &mut HashSet<K>, key: K) -> bool {
    let has_room = set.len() < MOST_QUEUED || set.contains(&key);
    if has_room {
        set.insert(key);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ClientIp;

    fn key(n: usize) -> Key {
        let address = ClientIp::new(std::net::Ipv4Addr::from(u32::try_from(n).unwrap()).into());
        Key::Client(ClientKey::new(address.network(32, 128)))
    }

    #[test]
    fn a_key_is_queued_once_and_no_more_than_there_is_room_for() {
        let queue = Queue::default();
        queue.add([key(1), key(2), key(1)]);
        assert_eq!((queue.len(), queue.dropped()), (2, 0));
        queue.add((0..MOST_QUEUED + 3).map(key));
        assert_eq!((queue.len(), queue.dropped()), (MOST_QUEUED, 3));
        queue.add([key(1)]);
        assert_eq!(queue.dropped(), 3);
        assert_eq!(queue.take(|_| {}).len(), MOST_QUEUED);
        assert_eq!(queue.len(), 0);
    }
}

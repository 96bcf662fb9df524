//! A server for tests, which can be cut off, hang, refuse writes and lose its data.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use super::seal::{KEY_LENGTH, Name, Seal};
use super::server::{Connection, Pending, Server, ServerError, Write, Written};
use crate::types::Timestamp;
use crate::types::sync::Mutex;

/// What the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behaviour {
    /// It replies.
    #[default]
    Replies,
    /// It cannot be reached.
    IsCutOff,
    /// It accepts everything and never replies.
    Hangs,
    /// It takes no writes, and says that it is a replica.
    IsReadOnly,
    /// It takes no writes, because it is full.
    IsFull,
}

/// A key and its value.
type Value = (Name, Vec<u8>);

/// The server. Cheap to clone; all clones are one, but each has its own network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Double {
    values: Arc<Mutex<HashMap<Name, Vec<u8>>>>,
    now: Arc<Mutex<Timestamp>>,
    behaviour: Arc<Mutex<Behaviour>>,
    /// Replies to reads over this network.
    reads: Arc<AtomicUsize>,
    /// The most values that were asked for together.
    most: Arc<AtomicUsize>,
    /// Values of another host that are written just before the next writes over this network, one before each.
    between: Arc<Mutex<VecDeque<Value>>>,
    /// The thread that waits for what happens on this network.
    waiter: Arc<Mutex<Option<Thread>>>,
}

impl Double {
    /// The same server, reached over another network.
    pub(crate) fn over_another_network(&self) -> Self {
        Self {
            behaviour: Arc::default(),
            reads: Arc::default(),
            most: Arc::default(),
            between: Arc::default(),
            waiter: Arc::default(),
            ..self.clone()
        }
    }

    pub(crate) fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    /// How often this network was read over.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// How many values were asked for together, at most.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Waits for the next request over this network, or for so long.
    pub(crate) fn wait(&self, at_most: Duration) {
        *self.waiter.lock() = Some(thread::current());
        thread::park_timeout(at_most);
    }

    pub(crate) fn set_time(&self, now: Timestamp) {
        *self.now.lock() = now;
    }

    /// Loses all data.
    pub(crate) fn lose(&self) {
        self.values.lock().clear();
    }

    /// Makes these values those of a host that has the secret, but whose values have another version.
    pub(crate) fn relabel(
        &self,
        secret: &[u8; KEY_LENGTH],
        version: u8,
        is_meant: impl Fn(&[u8]) -> bool,
    ) {
        let seal = Seal::new(secret);
        for (name, value) in self.values.lock().iter_mut() {
            if is_meant(value)
                && let Some((signed, _)) = value.split_last_chunk::<16>()
            {
                *value = seal.close_as(version, name, &signed[1..]);
            }
        }
    }

    /// Has other bodies in the values for which there is one, sealed as by a host that has the secret.
    pub(crate) fn reseal(
        &self,
        secret: &[u8; KEY_LENGTH],
        other: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) {
        let seal = Seal::new(secret);
        for (name, value) in self.values.lock().iter_mut() {
            if let Some((signed, _)) = value.split_last_chunk::<16>()
                && let Some(body) = other(&signed[1..])
            {
                *value = seal.close(name, &body);
            }
        }
    }

    /// Another host writes this just before the next write over this network that no other such value is for.
    pub(crate) fn write_between(&self, name: Name, value: Vec<u8>) {
        self.between.lock().push_back((name, value));
    }

    /// Loses these values.
    pub(crate) fn lose_those(&self, is_meant: impl Fn(&[u8]) -> bool) {
        self.values.lock().retain(|_, value| !is_meant(value));
    }

    /// Changes every value.
    pub(crate) fn change(&self, change: impl Fn(&mut Vec<u8>)) {
        self.values.lock().values_mut().for_each(change);
    }

    /// Has these values and no others, as after a failover.
    pub(crate) fn set_values(&self, values: HashMap<Name, Vec<u8>>) {
        *self.values.lock() = values;
    }

    /// All values.
    pub(crate) fn values(&self) -> HashMap<Name, Vec<u8>> {
        self.values.lock().clone()
    }

    /// Does it, if the server replies.
    fn reply<T: Send + 'static>(
        &self,
        is_write: bool,
        reply: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Pending<T> {
        if let Some(waiter) = &*self.waiter.lock() {
            waiter.unpark();
        }
        let server = self.clone();
        let behaviour = *self.behaviour.lock();
        Box::pin(async move {
            match behaviour {
                Behaviour::IsCutOff => Err(ServerError::Unreachable("cut off".to_owned())),
                Behaviour::Hangs => std::future::pending().await,
                Behaviour::IsReadOnly if is_write => Err(ServerError::ReadOnly),
                Behaviour::IsFull if is_write => Err(ServerError::Full),
                Behaviour::Replies | Behaviour::IsReadOnly | Behaviour::IsFull => {
                    Ok(reply(&server))
                }
            }
        })
    }
}

/// A value as far as it is read.
fn cut(name: &Name, value: &[u8]) -> Vec<u8> {
    let most = usize::try_from(name.longest()).unwrap() + 1;
    value[..value.len().min(most)].to_vec()
}

impl Server for Double {
    fn connect(&self) -> Pending<Arc<dyn Connection>> {
        self.reply(false, |server| {
            let connection: Arc<dyn Connection> = Arc::new(server.clone());
            connection
        })
    }

    fn has_moved(&self) -> Pending<bool> {
        Box::pin(async { Ok(false) })
    }

    fn address(&self) -> String {
        "double".to_owned()
    }
}

impl Connection for Double {
    fn get(&self, names: Vec<Name>) -> Pending<Vec<Option<Vec<u8>>>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(names.len(), Ordering::Relaxed);
        self.reply(false, move |server| {
            let values = server.values.lock();
            let read = |name: &Name| values.get(name).map(|value| cut(name, value));
            names.iter().map(read).collect()
        })
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Vec<Written>> {
        self.reply(true, move |server| {
            let mut values = server.values.lock();
            values.extend(server.between.lock().pop_front());
            let written = writes.into_iter().map(|write| {
                let value = values.get(&write.name);
                let value = value.map(|value| cut(&write.name, value));
                if value != write.read {
                    return Written::Other(value);
                }
                match write.value {
                    Some(value) => values.insert(write.name, value),
                    None => values.remove(&write.name),
                };
                Written::Done
            });
            written.collect()
        })
    }

    fn time(&self) -> Pending<Timestamp> {
        self.reply(false, |server| *server.now.lock())
    }
}

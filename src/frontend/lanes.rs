//! The threads that answer.
//!
//! Each has a runtime of its own, and a connection stays with the one that it was given to: an answer takes
//! a few microseconds, less than it costs to hand work from thread to thread. Few threads are enough, because what they
//! share, and the thread that writes, would not be faster with more.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Most threads that answer.
const MOST: usize = 4;

/// A timer that runs out sooner than any that a decision sets. Without one each new timer would wake its own
/// thread, to have it look at its timers again. A thread on which nothing happens has none.
const TICK: Duration = Duration::from_secs(15);

/// How long the end waits for work of theirs that cannot be broken off.
const LAST_WORK: Duration = Duration::from_secs(2);

/// The threads that answer. They end when this is dropped, and are waited for.
#[derive(Debug)]
pub struct Lanes {
    first: Lane,
    others: Vec<Lane>,
    next: AtomicUsize,
}

/// A runtime of one thread, which can be asked whether that thread responds.
#[derive(Debug, Clone)]
pub struct Reactor {
    runtime: Handle,
    parking: Arc<Parking>,
}

/// Whether the thread of a runtime waits for something to happen.
#[derive(Debug, Default)]
struct Parking {
    is_parked: AtomicBool,
    /// Whether there is no timer, and one is wanted as soon as something happens.
    is_resting: AtomicBool,
    /// Something has happened.
    stirred: Notify,
}

#[derive(Debug)]
struct Lane {
    reactor: Reactor,
    /// Ends the thread when it is dropped.
    end: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lanes {
    /// Starts as many threads as there are processors, and no more than four.
    ///
    /// # Errors
    ///
    /// When a thread cannot be had.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let others = (1..processors.min(MOST)).map(|_| Lane::start());
        Ok(Self {
            first: Lane::start()?,
            others: others.collect::<io::Result<_>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// The runtime that the next connection is given to: each in its turn.
    pub(super) fn next(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = turn % self.others.len().saturating_add(1);
        &self.others.get(turn).unwrap_or(&self.first).reactor.runtime
    }

    /// The runtimes of the threads.
    pub fn reactors(&self) -> impl Iterator<Item = Reactor> {
        let lanes = std::iter::once(&self.first).chain(&self.others);
        lanes.map(|lane| lane.reactor.clone())
    }
}

impl Reactor {
    /// A runtime for the thread that enters it.
    ///
    /// # Errors
    ///
    /// When the system refuses what it needs.
    pub fn build() -> io::Result<(Runtime, Self)> {
        let parking = Arc::<Parking>::default();
        let [parks, unparks] = [(); 2].map(|()| Arc::clone(&parking));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || parks.is_parked.store(true, Ordering::Relaxed))
            .on_thread_unpark(move || unparks.unpark())
            .build()?;
        let reactor = Self {
            runtime: runtime.handle().clone(),
            parking,
        };
        Ok((runtime, reactor))
    }

    /// Whether the thread waits for something to happen, or runs what it is given within this time. One that waits is
    /// not woken for this.
    #[must_use]
    pub fn responds_within(&self, patience: Duration) -> bool {
        if self.parking.is_parked.load(Ordering::Relaxed) {
            return true;
        }
        let (ran, has_run) = sync_channel(1);
        // Whoever has stopped waiting is not told.
        let run = async move { ran.try_send(()).unwrap_or_default() };
        self.runtime.spawn(run);
        has_run.recv_timeout(patience).is_ok()
    }
}

impl Parking {
    fn unpark(&self) {
        self.is_parked.store(false, Ordering::Relaxed);
        if self.is_resting.load(Ordering::Relaxed) {
            self.is_resting.store(false, Ordering::Relaxed);
            self.stirred.notify_one();
        }
    }

    /// Keeps a timer while something happens, until `is_ended` has no sender any more.
    async fn keep_timer(&self, mut is_ended: watch::Receiver<()>) {
        loop {
            self.is_resting.store(true, Ordering::Relaxed);
            // Nothing is ever sent: this is over when the sender is gone.
            tokio::select! {
                _ = is_ended.changed() => return,
                () = self.stirred.notified() => {}
            }
            if timeout(TICK, is_ended.changed()).await.is_ok() {
                return;
            }
        }
    }
}

impl Lane {
    fn start() -> io::Result<Self> {
        let (runtime, reactor) = Reactor::build()?;
        let (end, is_ended) = watch::channel(());
        let parking = Arc::clone(&reactor.parking);
        let work = move || {
            runtime.block_on(parking.keep_timer(is_ended));
            runtime.shutdown_timeout(LAST_WORK);
        };
        let thread = thread::Builder::new()
            .name("answer".to_owned())
            .spawn(work)?;
        Ok(Self {
            reactor,
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("a thread that answers has failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_held_up_does_not_respond_and_one_that_waits_or_works_does() {
        let lanes = Lanes::start().unwrap();
        let reactor = lanes.first.reactor.clone();
        let patience = Duration::from_secs(30);
        assert!(reactor.responds_within(patience));
        let (held, is_held) = sync_channel(0);
        let (release, is_released) = sync_channel::<()>(0);
        reactor.runtime.spawn(async move {
            held.send(()).unwrap();
            is_released.recv().unwrap_err();
        });
        is_held.recv().unwrap();
        assert!(!reactor.responds_within(Duration::from_millis(20)));
        drop(release);
        assert!(reactor.responds_within(patience));
        let others = lanes.reactors().skip(1);
        for other in others {
            assert!(other.responds_within(patience));
        }
        drop(lanes);
        assert!(!reactor.responds_within(patience), "its thread is gone");
    }
}

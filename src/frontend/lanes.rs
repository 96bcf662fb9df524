//! The threads that answer.
//!
//! Each has a runtime of its own, and a connection stays with the one that it was given to: an answer takes
//! a few microseconds, less than it costs to hand work from thread to thread. Few threads are enough, because what they
//! share, and the thread that writes, would not be faster with more.

use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::time::timeout;

/// Most threads that answer.
const MOST: usize = 4;

/// A timer that runs out sooner than any that a decision sets. Without one each new timer would wake its own
/// thread, to have it look at its timers again.
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

#[derive(Debug)]
struct Lane {
    runtime: Handle,
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
        &self.others.get(turn).unwrap_or(&self.first).runtime
    }

    /// Returns when each thread has run something.
    pub async fn all_run(&self) {
        for lane in std::iter::once(&self.first).chain(&self.others) {
            if let Err(error) = lane.runtime.spawn(async {}).await {
                log::error!("a thread that answers has failed: {error}");
            }
        }
    }
}

impl Lane {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, mut is_ended) = watch::channel(());
        let handle = runtime.handle().clone();
        let work = move || {
            // Nothing is ever sent: this is over when the sender is gone.
            runtime.block_on(async {
                while !matches!(timeout(TICK, is_ended.changed()).await, Ok(Err(_))) {}
            });
            runtime.shutdown_timeout(LAST_WORK);
        };
        let thread = thread::Builder::new()
            .name("answer".to_owned())
            .spawn(work)?;
        Ok(Self {
            runtime: handle,
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

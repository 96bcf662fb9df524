//! The reactor threads: each runs its own single-threaded runtime.
//!
//! A connection stays on one reactor thread. A reply takes a few microseconds, less than it costs to pass work from
//! thread to thread. Few threads are enough: the shared structures and the writer thread would not be faster with more.

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

/// Most reactor threads.
const MAX_THREADS: usize = 4;

/// Period of a timer that expires sooner than any timer of a decision. Without it each new timer would wake its
/// thread, which would look at its timers again. A thread on which nothing happens has none.
const TIMER_TICK: Duration = Duration::from_secs(15);

/// How long shutdown waits for tasks of a runtime that cannot be cancelled.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The reactor threads. Dropping this ends and joins them.
#[derive(Debug)]
pub struct ReactorThreads {
    first: ReactorThread,
    others: Vec<ReactorThread>,
    next: AtomicUsize,
}

/// A runtime of one thread, which can be asked whether that thread responds.
#[derive(Debug, Clone)]
pub struct Reactor {
    runtime: Handle,
    park_state: Arc<ParkState>,
}

/// Whether the thread of a runtime waits for an event.
#[derive(Debug, Default)]
struct ParkState {
    is_parked: AtomicBool,
    /// Whether there is no timer, and the next event is to start one.
    lacks_timer: AtomicBool,
    /// An event has arrived.
    activity: Notify,
}

/// One of them.
#[derive(Debug)]
struct ReactorThread {
    reactor: Reactor,
    /// Ends the thread when it is dropped.
    end: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ReactorThreads {
    /// Starts one thread for each processor, at most four.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let others = (1..processors.min(MAX_THREADS)).map(|_| ReactorThread::start());
        Ok(Self {
            first: ReactorThread::start()?,
            others: others.collect::<io::Result<_>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// The runtime for the next connection, in turn.
    pub(super) fn next(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = turn % self.others.len().saturating_add(1);
        &self.others.get(turn).unwrap_or(&self.first).reactor.runtime
    }

    /// The runtimes of the threads.
    pub fn reactors(&self) -> impl Iterator<Item = Reactor> {
        let threads = std::iter::once(&self.first).chain(&self.others);
        threads.map(|thread| thread.reactor.clone())
    }
}

impl Reactor {
    /// A runtime for the thread that enters it.
    ///
    /// # Errors
    ///
    /// When the system refuses a resource.
    pub fn build() -> io::Result<(Runtime, Self)> {
        let park_state = Arc::<ParkState>::default();
        let [parks, unparks] = [(); 2].map(|()| Arc::clone(&park_state));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || parks.is_parked.store(true, Ordering::Relaxed))
            .on_thread_unpark(move || unparks.unpark())
            .build()?;
        let reactor = Self {
            runtime: runtime.handle().clone(),
            park_state,
        };
        Ok((runtime, reactor))
    }

    /// Whether the thread waits for an event, or runs a task within `limit`. A waiting thread is not woken for this.
    #[must_use]
    pub fn responds_within(&self, limit: Duration) -> bool {
        if self.park_state.is_parked.load(Ordering::Relaxed) {
            return true;
        }
        let (ran, has_run) = sync_channel(1);
        // The receiver may have stopped waiting.
        let run = async move { ran.try_send(()).unwrap_or_default() };
        self.runtime.spawn(run);
        has_run.recv_timeout(limit).is_ok()
    }
}

impl ParkState {
    fn unpark(&self) {
        self.is_parked.store(false, Ordering::Relaxed);
        if self.lacks_timer.load(Ordering::Relaxed) {
            self.lacks_timer.store(false, Ordering::Relaxed);
            self.activity.notify_one();
        }
    }

    /// Keeps a timer while events arrive, until the sender of `is_ended` is dropped.
    async fn keep_timer(&self, mut is_ended: watch::Receiver<()>) {
        loop {
            self.lacks_timer.store(true, Ordering::Relaxed);
            // Nothing is ever sent: the loop ends when the sender is dropped.
            tokio::select! {
                _ = is_ended.changed() => return,
                () = self.activity.notified() => {}
            }
            if timeout(TIMER_TICK, is_ended.changed()).await.is_ok() {
                return;
            }
        }
    }
}

impl ReactorThread {
    fn start() -> io::Result<Self> {
        let (runtime, reactor) = Reactor::build()?;
        let (end, is_ended) = watch::channel(());
        let park_state = Arc::clone(&reactor.park_state);
        let serve = move || {
            runtime.block_on(park_state.keep_timer(is_ended));
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        };
        let thread = thread::Builder::new()
            .name("answer".to_owned())
            .spawn(serve)?;
        Ok(Self {
            reactor,
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for ReactorThread {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("a reactor thread has failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_held_up_does_not_respond_and_one_that_waits_or_works_does() {
        let reactors = ReactorThreads::start().unwrap();
        let reactor = reactors.first.reactor.clone();
        let limit = Duration::from_secs(30);
        assert!(reactor.responds_within(limit));
        let (held, is_held) = sync_channel(0);
        let (release, is_released) = sync_channel::<()>(0);
        reactor.runtime.spawn(async move {
            held.send(()).unwrap();
            is_released.recv().unwrap_err();
        });
        is_held.recv().unwrap();
        assert!(!reactor.responds_within(Duration::from_millis(20)));
        drop(release);
        assert!(reactor.responds_within(limit));
        let others = reactors.reactors().skip(1);
        for other in others {
            assert!(other.responds_within(limit));
        }
        drop(reactors);
        assert!(!reactor.responds_within(limit), "its thread is gone");
    }
}

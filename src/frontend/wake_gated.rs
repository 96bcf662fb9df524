//! Wrapper that polls a future only after it has been woken, so that `select!` does not poll (and lock) the rarely
//! ready branches on every read.
//!
//! A connection waits at once for its next request, for the registry to close it, and for the daemon to shut down.
//! The latter two happen at most once. But `select!` polls every branch whenever bytes arrive, and each poll takes
//! locks that connections share. [`WakeGated`] polls its future only after a wake-up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::types::sync::Mutex;

/// A future that is polled only after it has been woken.
pub(super) struct WakeGated<F> {
    future: Pin<Box<F>>,
    flag: Arc<WakeFlag>,
    /// Sets the flag.
    waker: Waker,
}

/// The waker of the wrapped future: sets a flag and wakes the task that polls the wrapper.
#[derive(Debug, Default)]
struct WakeFlag {
    is_set: AtomicBool,
    /// The task to wake in turn.
    task: Mutex<Option<Waker>>,
}

impl<F: Future> WakeGated<F> {
    pub(super) fn new(future: F) -> Self {
        let flag = Arc::new(WakeFlag {
            is_set: AtomicBool::new(true),
            task: Mutex::default(),
        });
        Self {
            future: Box::pin(future),
            waker: Waker::from(Arc::clone(&flag)),
            flag,
        }
    }

    /// Polls the future if it has been woken since the last poll. Only the task that polled last is woken, so one task
    /// must do all polling.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        // A load, because an exchange would cost as much as a lock.
        if !self.flag.is_set.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.flag.set_task(context.waker());
        self.flag.is_set.store(false, Ordering::SeqCst);
        self.future
            .as_mut()
            .poll(&mut Context::from_waker(&self.waker))
    }
}

impl WakeFlag {
    fn set_task(&self, waker: &Waker) {
        let mut task = self.task.lock();
        *task = Some(waker.clone());
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_set.store(true, Ordering::SeqCst);
        let task = self.task.lock();
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_future_is_polled_once_until_it_is_woken() {
        let (sender, receiver) = oneshot::channel();
        let polls = Cell::new(0);
        let mut receiver = Box::pin(receiver);
        let mut gated = WakeGated::new(poll_fn(|context| {
            polls.set(polls.get() + 1);
            receiver.as_mut().poll(context)
        }));
        for _ in 0..3 {
            let polled = poll_fn(|context| Poll::Ready(gated.poll(context))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(polls.get(), 1);
        sender.send(7).unwrap();
        assert_eq!(poll_fn(|context| gated.poll(context)).await, Ok(7));
        assert_eq!(polls.get(), 2);
    }

    #[tokio::test]
    async fn who_waits_for_it_is_woken() {
        let (sender, receiver) = oneshot::channel();
        let mut gated = WakeGated::new(receiver);
        let waiting = tokio::spawn(async move { poll_fn(|context| gated.poll(context)).await });
        tokio::task::yield_now().await;
        sender.send("sent").unwrap();
        assert_eq!(waiting.await.unwrap(), Ok("sent"));
    }
}

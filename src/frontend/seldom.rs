//! Wrapper that polls a future only after it has been woken, so that `select!` does not poll (and lock) the rarely
//! ready branches on every read.
//!
//! A connection waits for its next request, for its end by the registry and for the end of the daemon at once.
//! The latter two happen once at most, but whoever selects among all polls all whenever bytes come, and each
//! poll takes locks that connections share. Behind [`Seldom`] a future is polled when it has been woken, and
//! otherwise not.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled only when it asked to be.
pub(super) struct Seldom<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// Wakes the bell.
    waker: Waker,
}

/// What the future wakes.
#[derive(Debug, Default)]
struct Bell {
    has_rung: AtomicBool,
    /// Whom to wake in turn.
    task: Mutex<Option<Waker>>,
}

impl<F: Future> Seldom<F> {
    pub(super) fn new(future: F) -> Self {
        let bell = Arc::new(Bell {
            has_rung: AtomicBool::new(true),
            task: Mutex::default(),
        });
        Self {
            future: Box::pin(future),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// Polls the future if it was woken since. The task that polls first is the one that is woken, so it has
    /// to be the one that polls later.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        // Only looked at: an exchange would cost as much as a lock.
        if !self.bell.has_rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.bell.set_task(context.waker());
        self.bell.has_rung.store(false, Ordering::SeqCst);
        self.future
            .as_mut()
            .poll(&mut Context::from_waker(&self.waker))
    }
}

impl Bell {
    fn set_task(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        *task = Some(waker.clone());
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut seldom = Seldom::new(poll_fn(|context| {
            polls.set(polls.get() + 1);
            receiver.as_mut().poll(context)
        }));
        for _ in 0..3 {
            let polled = poll_fn(|context| Poll::Ready(seldom.poll(context))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(polls.get(), 1);
        sender.send(7).unwrap();
        assert_eq!(poll_fn(|context| seldom.poll(context)).await, Ok(7));
        assert_eq!(polls.get(), 2);
    }

    #[tokio::test]
    async fn who_waits_for_it_is_woken() {
        let (sender, receiver) = oneshot::channel();
        let mut seldom = Seldom::new(receiver);
        let waiting = tokio::spawn(async move { poll_fn(|context| seldom.poll(context)).await });
        tokio::task::yield_now().await;
        sender.send("rung").unwrap();
        assert_eq!(waiting.await.unwrap(), Ok("rung"));
    }
}

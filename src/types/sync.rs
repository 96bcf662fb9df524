//! Locks that are never poisoned.
//!
//! A lock of the standard library becomes unusable when a thread panics while it holds the lock. In stargrey a panic
//! ends the process (`panic = "abort"`), so this never happens, and an error at each use would be useless. Under the
//! test harness, where a panic unwinds, the value stays as the panicking thread left it.
//!
//! `clippy.toml` disallows the two of the standard library everywhere else.

#![expect(
    clippy::disallowed_types,
    reason = "the locks that all others use are made of them"
)]

use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};

pub use std::sync::MutexGuard;

/// [`std::sync::Mutex`] without poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex with this value.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits until no other thread holds the lock, and locks the value.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`std::sync::RwLock`] without poisoning.
#[derive(Debug, Default)]
pub struct RwLock<T>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// An unlocked lock with this value.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(std::sync::RwLock::new(value))
    }

    /// Waits until no other thread writes, and locks the value for reading.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread holds the lock, and locks the value for writing.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_of_who_holds_a_lock_does_not_keep_others_out() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (mut held, mut written) = (mutex.lock(), lock.write());
            (*held, *written) = (2, 2);
            panic!("while both are held");
        }));
        assert!(panicked.is_err());
        assert_eq!((*mutex.lock(), *lock.read()), (2, 2));
        *lock.write() = 3;
        assert_eq!(*lock.read(), 3);
    }
}

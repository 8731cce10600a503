//! A lock for tests that draw random numbers. Compiled for tests only; the program does not use it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tests that draw random numbers hold this lock, because libtorch has one generator for the whole process.
pub(crate) fn generator_lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A lock for tests that draw random numbers. Compiled for tests only; the program does not use it.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

thread_local! {
    static IS_HELD: Cell<bool> = const { Cell::new(false) };
}

/// The lock, while a test holds it.
pub(crate) struct GeneratorGuard {
    _lock: MutexGuard<'static, ()>,
}

impl Drop for GeneratorGuard {
    fn drop(&mut self) {
        IS_HELD.set(false);
    }
}

/// Tests that draw random numbers hold this lock, because libtorch has one generator for the whole process.
pub(crate) fn generator_lock() -> GeneratorGuard {
    static LOCK: Mutex<()> = Mutex::new(());
    let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    IS_HELD.set(true);
    GeneratorGuard { _lock: lock }
}

/// A test that draws without the lock would make another one fail now and then; this makes it fail itself.
pub(crate) fn assert_generator_is_locked() {
    assert!(IS_HELD.get(), "this test draws weights: it must hold `generator_lock`");
}

//! The work that a guard runs, as its caller implements it. Only the interface: `train` and `evaluate` implement it,
//! `oom_guard.rs` calls it.

use std::fmt::Display;

use super::micro_batch_size::MicroBatchSize;

/// Work that can be cut into pieces, and run again after it failed.
pub trait Attempt {
    /// The result of the work.
    type Output;
    /// The error of the work; its text says whether memory ran out.
    type Error: Display;

    /// Does all of the work in pieces of `size`. Everything that it allocated must be freed when it returns an
    /// error.
    ///
    /// # Errors
    /// The work failed.
    fn attempt(&mut self, size: MicroBatchSize) -> Result<Self::Output, Self::Error>;

    /// Undoes the changes of a failed attempt, frees what can be freed, and prepares the next attempt, of the size
    /// `next`.
    ///
    /// # Errors
    /// The changes cannot be undone; then there is no next attempt.
    fn recover(&mut self, next: MicroBatchSize) -> Result<(), Self::Error>;
}

//! The errors that end guarded work. Whether an error ends the work is decided in `oom_guard.rs`.

use super::micro_batch_size::MicroBatchSize;

/// Why guarded work did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError<E> {
    /// Memory ran out at the smallest size.
    #[error(
        "out of memory in the {phase} pass at the smallest size, {size} ({message})\n  hint: smaller frames or a smaller \
         network need less: data.frame_size, model.backbone, model.activation_checkpointing: true; on a GPU, \
         gpu.fallback_cpu: true goes on without it"
    )]
    Exhausted {
        /// `train` or `evaluate`.
        phase: &'static str,
        /// The smallest size.
        size: MicroBatchSize,
        /// First line of the allocator's message.
        message: String,
    },
    /// Memory ran out and retrying is switched off.
    #[error(
        "out of memory in the {phase} pass with {size} ({message})\n  hint: set gpu.memory_management.oom_retry: true, or \
         a smaller training.batch_size"
    )]
    Forbidden {
        /// `train` or `evaluate`.
        phase: &'static str,
        /// The size.
        size: MicroBatchSize,
        /// First line of the allocator's message.
        message: String,
    },
    /// Memory ran out, and the changes of the failed attempt could not be undone.
    #[error(
        "after running out of memory in the {phase} pass ({message}): {error}\n  hint: go on from the last checkpoint"
    )]
    NotRecovered {
        /// `train` or `evaluate`.
        phase: &'static str,
        /// First line of the allocator's message.
        message: String,
        /// The error of the recovery.
        error: E,
    },
    /// The device is unusable for this process from here on; the work was not retried.
    #[error(
        "the device failed in the {phase} pass: {error}\n  hint: nothing more can be read from it; go on from the last \
         checkpoint, and if it happens again at the same step, report it with the output of CUDA_LAUNCH_BLOCKING=1"
    )]
    DeviceBroken {
        /// `train` or `evaluate`.
        phase: &'static str,
        /// The error that the device reported.
        error: E,
    },
    /// The user wants to stop, and the guard was waiting for memory.
    #[error("interrupted while it waited for memory of the GPU")]
    Interrupted,
    /// Another error; the work was not retried.
    #[error("{0}")]
    Other(E),
}

impl<E> GuardError<E> {
    /// Whether the work cannot go on because memory ran out.
    #[must_use]
    pub fn ran_out(&self) -> bool {
        matches!(self, Self::Exhausted { .. } | Self::Forbidden { .. } | Self::NotRecovered { .. })
    }
}

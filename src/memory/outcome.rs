//! What comes of guarded work: changes of size, the reasons that end it, and where a guard stands.

use serde::{Deserialize, Serialize};

use super::cut::Cut;

/// Why the size was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Memory ran out.
    OutOfMemory,
    /// An error that may mean that, while memory was short.
    MaybeOutOfMemory,
    /// The allocator only just found memory, several steps running.
    Thrashing,
    /// Memory got short, and nothing else could give way.
    Pressure,
    /// There was room for a larger size.
    Room,
}

/// A change of size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OomEvent {
    /// `train` or `evaluate`.
    pub phase: String,
    /// Why.
    pub cause: Cause,
    /// The size before.
    pub before: Cut,
    /// The size from here on.
    pub after: Cut,
    /// What the allocator was asked for, where it says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requested_bytes: Option<u64>,
    /// What this process held less after the clean-up, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freed_bytes: Option<u64>,
    /// Time that the failed attempt and the clean-up cost.
    pub lost_ms: u64,
    /// The allocator's first line.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
}

/// Why guarded work did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError<E> {
    /// Memory ran out and the work cannot be cut smaller.
    #[error(
        "out of memory in the {phase} pass at the smallest size, {cut} ({message})\n  hint: smaller frames or a smaller \
         network need less: data.frame_size, model.backbone, model.activation_checkpointing: true; on a GPU, \
         gpu.fallback_cpu: true goes on without it"
    )]
    Exhausted {
        /// `train` or `evaluate`.
        phase: String,
        /// The smallest size.
        cut: Cut,
        /// The allocator's first line.
        message: String,
    },
    /// Memory ran out and retrying is switched off.
    #[error(
        "out of memory in the {phase} pass with {cut} ({message})\n  hint: set gpu.memory_management.oom_retry: true, or \
         a smaller training.batch_size"
    )]
    Forbidden {
        /// `train` or `evaluate`.
        phase: String,
        /// The size.
        cut: Cut,
        /// The allocator's first line.
        message: String,
    },
    /// Memory ran out and what the failed attempt changed could not be put back.
    #[error(
        "after running out of memory in the {phase} pass ({message}): {error}\n  hint: go on from the last checkpoint"
    )]
    NotRecovered {
        /// `train` or `evaluate`.
        phase: String,
        /// The allocator's first line.
        message: String,
        /// What went wrong then.
        error: E,
    },
    /// The device cannot be used any more by this process; it was not retried.
    #[error(
        "the device failed in the {phase} pass: {error}\n  hint: nothing more can be read from it; go on from the last \
         checkpoint, and if it happens again at the same step, report it with the output of CUDA_LAUNCH_BLOCKING=1"
    )]
    DeviceBroken {
        /// `train` or `evaluate`.
        phase: String,
        /// What it said.
        error: E,
    },
    /// Something else went wrong; it was not retried.
    #[error("{0}")]
    Other(E),
}

impl<E> GuardError<E> {
    /// Whether it is for want of memory that the work cannot go on.
    #[must_use]
    pub fn ran_out(&self) -> bool {
        matches!(self, Self::Exhausted { .. } | Self::Forbidden { .. } | Self::NotRecovered { .. })
    }
}

/// Where a guard stands, for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardState {
    /// The size that holds.
    pub cut: Cut,
    /// The smallest size that was grown to and ran out; neither it nor a larger one is grown to again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub barred: Option<Cut>,
}

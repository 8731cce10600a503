//! The predicted peak memory of a step, and its parts. Only data: `step.rs` computes it.

use serde::Serialize;

/// The kind of device that runs a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The CPU, with host memory.
    Cpu,
    /// An NVIDIA GPU, with its memory.
    Cuda,
}

/// Predicted peak memory of one step, on top of the memory that the program has before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The sum of the parts.
    pub peak_bytes: u64,
    /// Its parts.
    pub breakdown: Breakdown,
}

/// The parts of a step's peak, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// Parameters and running statistics in float32, and autocast's copies of the parameters.
    pub weights: u64,
    /// One float32 for each parameter that learns.
    pub gradients: u64,
    /// State of the optimizer in float32: two moments of Adam and AdamW, or the momentum of SGD.
    pub optimizer: u64,
    /// The input, and the tensors that the forward pass keeps for backward.
    pub activations: u64,
    /// Memory that is in use only at the fullest moment: gradients between layers, scratch of the libraries.
    pub workspace: u64,
    /// Memory of the device's own software, such as the CUDA context.
    pub context: u64,
    /// Margin for memory that an allocator cannot use.
    pub other: u64,
}

impl From<Breakdown> for Estimate {
    fn from(breakdown: Breakdown) -> Self {
        let Breakdown { weights, gradients, optimizer, activations, workspace, context, other } = breakdown;
        Self { peak_bytes: weights + gradients + optimizer + activations + workspace + context + other, breakdown }
    }
}

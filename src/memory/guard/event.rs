//! Changes of the micro-batch size, with their causes, as they stand in the log of a run. Only data: `oom_guard.rs`
//! records them.

use serde::{Deserialize, Serialize};

use super::micro_batch_size::MicroBatchSize;

/// Why the micro-batch size changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Memory ran out.
    OutOfMemory,
    /// A library reported an error that may mean out of memory, while memory was short.
    MaybeOutOfMemory,
    /// The allocator had to empty its cache and retry, several steps in a row.
    #[serde(rename = "thrashing")]
    AllocatorRetries,
    /// Memory became short, and nothing else could be made smaller.
    Pressure,
    /// Memory ran out at the smallest size of a GPU, and others held memory of it: the same size ran again after a pause.
    Waited,
    /// The GPU, which was given up, has memory again.
    Returned,
    /// There was memory for a larger size.
    #[serde(rename = "room")]
    Headroom,
}

/// A change of the micro-batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OomEvent {
    /// `train` or `evaluate`.
    pub phase: String,
    /// Why the size changed.
    pub cause: Cause,
    /// The size before.
    pub before: MicroBatchSize,
    /// The size from here on.
    pub after: MicroBatchSize,
    /// Bytes of the failed request to the allocator, if its message has them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requested_bytes: Option<u64>,
    /// Bytes that the clean-up released, where they are known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freed_bytes: Option<u64>,
    /// Time that the failed attempt and the clean-up cost.
    pub lost_ms: u64,
    /// First line of the allocator's message.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs of earlier runs are read too: the names in them stay.
    #[test]
    fn causes_keep_their_names_in_logs() {
        for (cause, name) in [
            (Cause::OutOfMemory, "out_of_memory"),
            (Cause::MaybeOutOfMemory, "maybe_out_of_memory"),
            (Cause::AllocatorRetries, "thrashing"),
            (Cause::Pressure, "pressure"),
            (Cause::Waited, "waited"),
            (Cause::Returned, "returned"),
            (Cause::Headroom, "room"),
        ] {
            assert_eq!(serde_json::to_value(cause).unwrap(), name);
            assert_eq!(serde_json::from_value::<Cause>(name.into()).unwrap(), cause);
        }
    }
}

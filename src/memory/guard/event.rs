//! Changes of the micro-batch size, with their causes, as they stand in the log of a run. Only data: `oom_guard.rs`
//! records them.

use serde::{Deserialize, Serialize};

use super::micro_batch_size::MicroBatchSize;
use super::shortage::Shortage;

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
    /// Who held the memory of the GPU, if it was one that ran out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shortage: Option<Shortage>,
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
    use super::super::shortage::{GpuUse, Holder};
    use super::*;
    use crate::memory::readings::GpuProcess;

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

    #[test]
    fn a_shortage_is_in_the_log_and_logs_without_one_are_read() {
        let old = serde_json::json!({
            "phase": "train", "cause": "out_of_memory", "before": {"micro_batch": 4}, "after": {"micro_batch": 2},
            "requested_bytes": 5, "lost_ms": 7,
        });
        let event: OomEvent = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(event.shortage, None);
        assert_eq!(serde_json::to_value(&event).unwrap(), old);

        let others = vec![GpuProcess { pid: 4242, used_bytes: Some(60), name: Some("python".into()) }];
        let gpu = GpuUse {
            total_bytes: 100,
            free_bytes: 0,
            reserved_bytes: 40,
            allocated_bytes: 39,
            others,
            expandable_segments: true,
        };
        let shortage = Some(Shortage { held_by: Holder::OtherProcesses, gpu });
        let event = OomEvent { shortage, ..event };
        let line = serde_json::to_value(&event).unwrap();
        let expected = serde_json::json!({
            "held_by": "other_processes", "total_bytes": 100, "free_bytes": 0, "reserved_bytes": 40,
            "allocated_bytes": 39, "others": [{"pid": 4242, "used_bytes": 60, "name": "python"}],
            "expandable_segments": true,
        });
        assert_eq!(line["shortage"], expected);
        assert_eq!(serde_json::from_value::<OomEvent>(line).unwrap(), event);
    }
}

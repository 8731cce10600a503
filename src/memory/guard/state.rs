//! The state of a guard, for a checkpoint. Only data: `train` saves it.

use serde::{Deserialize, Serialize};

use super::micro_batch_size::MicroBatchSize;

/// The state of a guard, for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardState {
    /// The current size.
    #[serde(rename = "cut")]
    pub size: MicroBatchSize,
    /// The smallest size that the guard grew to and that then ran out of memory. The guard grows neither to it nor to a
    /// larger one again, unless this process can have more memory than then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub barred: Option<MicroBatchSize>,
    /// The memory that this process could have then, bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub barred_at_bytes: Option<u64>,
}

impl GuardState {
    /// A guard at this size, to which no size is barred.
    #[must_use]
    pub fn at(size: MicroBatchSize) -> Self {
        Self { size, barred: None, barred_at_bytes: None }
    }
}

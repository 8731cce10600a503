//! Who held the memory of a GPU when it ran out, and what helps. Computes with numbers alone: `gauge.rs` reads them,
//! and `oom_guard.rs` records what follows from them.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::classify::allocated_bytes;
use crate::memory::readings::GpuProcess;

/// A smaller share of the memory that a process may have is no cause: sizes halve, so it would rarely save one.
const LEAST_SHARE: f64 = 0.1;
/// What the driver and its libraries take of a GPU for a process, outside of libtorch's allocator: more than they do.
pub(super) const CONTEXT_BYTES: u64 = 1 << 30;

/// Memory of a GPU when an attempt failed, as this process saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuUse {
    /// The most that this process may have: the installed memory, or its share if there is a cap.
    pub total_bytes: u64,
    /// Of that, bytes that the driver could still give.
    pub free_bytes: u64,
    /// Bytes that libtorch's allocator had taken from the driver.
    pub reserved_bytes: u64,
    /// Of these, bytes in tensors: as the message of the failure says, or else the peak of the attempt, whose tensors
    /// are gone when this is read.
    pub allocated_bytes: u64,
    /// Other processes on the GPU, as far as the driver names them, the largest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub others: Vec<GpuProcess>,
    /// Whether the allocator may let its blocks grow (`expandable_segments`), against fragmentation.
    #[serde(default)]
    pub expandable_segments: bool,
}

/// Who held the memory that was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Tensors of this process: the GPU was truly full.
    Tensors,
    /// libtorch's allocator, which had enough unused memory, but in pieces.
    Fragments,
    /// Other processes that the driver names.
    OtherProcesses,
    /// The driver, CUDA's context and libraries, or processes that the driver does not name.
    Driver,
}

/// Why a GPU had too little memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Who held the memory that was missing.
    pub held_by: Holder,
    /// The numbers that say so.
    #[serde(flatten)]
    pub gpu: GpuUse,
}

impl Shortage {
    /// The largest holder besides the tensors without which the request would have been met; the tensors where there is
    /// none. `message` is that of the failure, `requested_bytes` what was asked for, if that is known.
    #[must_use]
    pub fn of(mut gpu: GpuUse, requested_bytes: Option<u64>, message: &str) -> Self {
        gpu.allocated_bytes = allocated_bytes(message).unwrap_or(gpu.allocated_bytes).min(gpu.reserved_bytes);
        let least_bytes = (gpu.total_bytes as f64 * LEAST_SHARE) as u64;
        let others_bytes = gpu.others_bytes();
        let holders = [
            (Holder::Fragments, gpu.idle_bytes(), least_bytes),
            (Holder::OtherProcesses, others_bytes, least_bytes),
            (Holder::Driver, gpu.outside_bytes() - others_bytes, least_bytes.max(CONTEXT_BYTES)),
        ];
        let is_cause = |bytes: u64, least: u64| {
            bytes >= least && requested_bytes.is_none_or(|requested| bytes + gpu.free_bytes >= requested)
        };
        let causes = holders.into_iter().filter(|(_, bytes, least)| is_cause(*bytes, *least));
        let held_by = causes.max_by_key(|(_, bytes, _)| *bytes).map_or(Holder::Tensors, |(holder, ..)| holder);
        Self { held_by, gpu }
    }

    /// What was found and what helps, in one sentence.
    #[must_use]
    pub fn advice(&self) -> String {
        let gpu = &self.gpu;
        match self.held_by {
            Holder::Tensors => format!(
                "tensors held {} of the {} that this process may have: a smaller training.batch_size, \
                 model.activation_checkpointing: true, or fewer or smaller frames (data.max_frames, data.frame_size) \
                 need less",
                size(gpu.allocated_bytes),
                size(gpu.total_bytes)
            ),
            Holder::Fragments => {
                let help = match gpu.expandable_segments {
                    false => {
                        "expandable_segments is off; unset PYTORCH_ALLOC_CONF and PYTORCH_CUDA_ALLOC_CONF, and the program \
                         turns it on where the GPU can"
                    }
                    true => "expandable_segments is on, so a smaller training.batch_size is what is left",
                };
                format!("{} that libtorch kept were unused, but in pieces: {help}", size(gpu.idle_bytes()))
            }
            Holder::OtherProcesses => format!(
                "other programs held {} of the GPU ({}): end them, or choose another GPU with gpu.device",
                size(gpu.others_bytes()),
                gpu.others.iter().map(describe).collect::<Vec<_>>().join(", ")
            ),
            Holder::Driver => format!(
                "{} of the GPU were neither libtorch's nor of a program that the driver names: look at nvidia-smi \
                 outside of containers, or choose another GPU with gpu.device",
                size(gpu.outside_bytes() - gpu.others_bytes())
            ),
        }
    }
}

impl GpuUse {
    /// Bytes that libtorch had reserved and not in use.
    fn idle_bytes(&self) -> u64 {
        self.reserved_bytes.saturating_sub(self.allocated_bytes)
    }

    /// Bytes that are neither free nor libtorch's. With a cap, only those that keep this process from its share count.
    fn outside_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.free_bytes).saturating_sub(self.reserved_bytes)
    }

    /// Of these, bytes of other processes. Where the driver does not say how much one holds, all but a context is
    /// theirs.
    fn others_bytes(&self) -> u64 {
        let outside_bytes = self.outside_bytes();
        let known_bytes = self.others.iter().filter_map(|process| process.used_bytes).sum::<u64>();
        let is_known = self.others.iter().all(|process| process.used_bytes.is_some());
        let least_bytes = if is_known { 0 } else { outside_bytes.saturating_sub(CONTEXT_BYTES) };
        known_bytes.max(least_bytes).min(outside_bytes)
    }
}

/// `python (pid 4242) 7.5 GiB`.
fn describe(process: &GpuProcess) -> String {
    let name = process.name.as_deref().unwrap_or("a program");
    let used = process.used_bytes.map_or(String::new(), |bytes| format!(" {}", size(bytes)));
    format!("{name} (pid {}){used}", process.pid)
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    /// A GPU of 12 GiB, of which the driver shows 11.63, full of tensors but for a context of 430 MiB.
    fn full() -> GpuUse {
        GpuUse {
            total_bytes: 11_910 * MIB,
            free_bytes: 20 * MIB,
            reserved_bytes: 11_460 * MIB,
            allocated_bytes: 11_200 * MIB,
            others: vec![],
            expandable_segments: false,
        }
    }

    fn process(pid: u32, name: &str, used_bytes: Option<u64>) -> GpuProcess {
        GpuProcess { pid, used_bytes, name: Some(name.into()) }
    }

    fn holder(gpu: &GpuUse, requested_bytes: impl Into<Option<u64>>) -> Holder {
        Shortage::of(gpu.clone(), requested_bytes.into(), "").held_by
    }

    #[test]
    fn a_gpu_full_of_tensors_is_full_whatever_was_asked_for() {
        for requested in [None, Some(2 * MIB), Some(392 * MIB), Some(20 * GIB)] {
            assert_eq!(holder(&full(), requested), Holder::Tensors);
        }
        let advice = Shortage::of(full(), None, "").advice();
        assert!(advice.starts_with("tensors held 10.9 GiB of the 11.6 GiB that"), "{advice}");
        assert!(advice.contains("model.activation_checkpointing: true"), "{advice}");
    }

    #[test]
    fn unused_pieces_are_the_cause_where_together_they_would_have_done() {
        let broken = GpuUse { allocated_bytes: 8_900 * MIB, ..full() };
        assert_eq!(holder(&broken, 784 * MIB), Holder::Fragments);
        assert_eq!(holder(&broken, None), Holder::Fragments, "cuDNN does not say what it asked for");
        assert_eq!(holder(&broken, 3 * GIB), Holder::Tensors, "it would not have fitted in one piece either");
        let advice = |gpu| Shortage::of(gpu, None, "").advice();
        let plain = advice(broken.clone());
        assert!(
            plain.starts_with("2.5 GiB that libtorch kept were unused") && plain.contains("turns it on"),
            "{plain}"
        );
        let set = advice(GpuUse { expandable_segments: true, ..broken });
        assert!(!set.contains("turns it on") && set.contains("training.batch_size"), "{set}");
    }

    #[test]
    fn another_process_is_named_with_what_it_holds() {
        let crowded = GpuUse {
            reserved_bytes: 3_400 * MIB,
            allocated_bytes: 3_200 * MIB,
            others: vec![process(4242, "/usr/bin/python3", Some(7_650 * MIB)), process(1001, "Xorg", None)],
            ..full()
        };
        assert_eq!(holder(&crowded, 196 * MIB), Holder::OtherProcesses);
        let advice = Shortage::of(crowded.clone(), None, "").advice();
        assert!(advice.contains("/usr/bin/python3 (pid 4242) 7.5 GiB, Xorg (pid 1001)):"), "{advice}");
        // A desktop is no cause.
        let desktop = GpuUse {
            reserved_bytes: 10_900 * MIB,
            allocated_bytes: 10_700 * MIB,
            others: vec![process(1001, "Xorg", Some(560 * MIB))],
            ..full()
        };
        assert_eq!(holder(&desktop, 196 * MIB), Holder::Tensors);
        // Of two causes, the larger one counts.
        let both = GpuUse { reserved_bytes: 6_000 * MIB, allocated_bytes: 4_500 * MIB, ..crowded };
        assert_eq!(holder(&both, 196 * MIB), Holder::OtherProcesses);
    }

    #[test]
    fn what_nobody_answers_for_is_the_drivers() {
        let hidden = GpuUse { reserved_bytes: 5_000 * MIB, allocated_bytes: 4_900 * MIB, ..full() };
        assert_eq!(holder(&hidden, 196 * MIB), Holder::Driver);
        let advice = Shortage::of(hidden, None, "").advice();
        assert!(advice.starts_with("6.7 GiB of the GPU were neither"), "{advice}");
        // On a small GPU, a context is more than a tenth; no setting gives it back.
        let small = GpuUse {
            total_bytes: 2_000 * MIB,
            free_bytes: 10 * MIB,
            reserved_bytes: 1_500 * MIB,
            allocated_bytes: 1_450 * MIB,
            ..full()
        };
        assert_eq!(holder(&small, 64 * MIB), Holder::Tensors);
    }

    #[test]
    fn under_a_cap_what_others_hold_of_the_rest_is_not_in_the_way() {
        // Half of the GPU is allowed and taken; somebody has the other half.
        let capped = GpuUse {
            total_bytes: 6_000 * MIB,
            free_bytes: 0,
            reserved_bytes: 6_000 * MIB,
            allocated_bytes: 5_800 * MIB,
            others: vec![process(7, "python", Some(5_000 * MIB))],
            expandable_segments: false,
        };
        assert_eq!(holder(&capped, 196 * MIB), Holder::Tensors);
    }

    #[test]
    fn the_message_knows_better_than_the_peak_what_was_in_tensors() {
        let message = "CUDA out of memory. Tried to allocate 784.00 MiB. GPU 0 has a total capacity of 11.63 GiB \
                       of which 20.00 MiB is free. Including non-PyTorch memory, this process has 11.61 GiB memory in \
                       use. Of the allocated memory 8.69 GiB is allocated by PyTorch, and 2.50 GiB is reserved by PyTorch but \
                       unallocated. If reserved but unallocated memory is large try setting ...";
        let shortage = Shortage::of(full(), Some(784 * MIB), message);
        assert_eq!(shortage.held_by, Holder::Fragments, "the peak was earlier in the attempt");
        assert_eq!(shortage.gpu.allocated_bytes / MIB, 8_898);
    }
}

//! The processes of this machine that hold the most memory. Only reads; this process has a file of its own,
//! `process.rs`.

use std::fs;

use serde::Serialize;

use super::gpu::GpuMemory;
use super::process::status_bytes;

/// A process and the memory that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessUse {
    /// Process id.
    pub pid: u32,
    /// Its program, as far as this user may see it.
    pub name: String,
    /// Resident host memory; absent where it cannot be seen, as for a process outside of this container.
    pub rss_bytes: Option<u64>,
    /// The GPUs that it holds memory on, each with the bytes where they are known.
    pub gpus: Vec<(u32, Option<u64>)>,
}

/// All processes that hold memory on one of `gpus`, then the largest others of the host: `most` in all, or more where
/// more are on a GPU.
#[must_use]
pub fn largest_processes(gpus: &[GpuMemory], most: usize) -> Vec<ProcessUse> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let here = pids.filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // Kernel threads have no resident memory.
        let rss_bytes = status_bytes(&status, "VmRSS")?;
        let name = status.lines().find_map(|line| line.strip_prefix("Name:"))?.trim().to_owned();
        Some(ProcessUse { pid, name, rss_bytes: Some(rss_bytes), gpus: Vec::new() })
    });
    let mut processes: Vec<_> = here.collect();
    for gpu in gpus {
        for on_gpu in &gpu.processes {
            let held = (gpu.index, on_gpu.used_bytes);
            match processes.iter_mut().find(|process| process.pid == on_gpu.pid) {
                Some(process) => process.gpus.push(held),
                None => processes.push(ProcessUse {
                    pid: on_gpu.pid,
                    name: on_gpu.name.clone().unwrap_or_else(|| "?".into()),
                    rss_bytes: None,
                    gpus: vec![held],
                }),
            }
        }
    }
    processes.sort_by_key(|process| std::cmp::Reverse((!process.gpus.is_empty(), process.rss_bytes)));
    let on_gpu = processes.iter().filter(|process| !process.gpus.is_empty()).count();
    processes.truncate(most.max(on_gpu));
    processes
}

#[cfg(test)]
mod tests {
    use super::super::gpu::GpuProcess;
    use super::super::gpu::tests::fake_gpu;
    use super::*;

    #[test]
    fn those_on_a_gpu_come_first_and_the_largest_of_the_host_follow() {
        let me = std::process::id();
        let process = |pid, name: &str| GpuProcess { pid, used_bytes: Some(5), name: Some(name.into()) };
        // No process has this id: it is outside of what this one can see.
        let gpu = GpuMemory { processes: vec![process(me, "x"), process(u32::MAX, "far")], ..fake_gpu(2, 100, 10) };
        let processes = largest_processes(&[gpu], 3);
        assert!(processes[0].pid == me && processes[0].rss_bytes > Some(1 << 20), "{processes:?}");
        assert_eq!((processes[0].gpus.as_slice(), processes[1].name.as_str()), (&[(2, Some(5))][..], "far"));
        assert_eq!(processes[1].rss_bytes, None);
        let host = largest_processes(&[], 1000);
        assert!(host.is_sorted_by_key(|process| std::cmp::Reverse(process.rss_bytes)));
        assert!(host.iter().any(|process| process.pid == me));
    }
}

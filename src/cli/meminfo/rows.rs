//! Host, swap, cgroup limit and GPUs as rows of the first table. Draws nothing; that is `tables.rs` and `trails.rs`.

use crate::memory::Snapshot;

/// One line of the first table.
pub(super) struct Row {
    pub name: String,
    pub used: u64,
    pub total: u64,
    pub free: u64,
}

/// Host, swap, limit and GPUs.
pub(super) fn rows(memory: &Snapshot) -> Vec<Row> {
    let row = |name: &str, used, total, free| Row { name: name.into(), used, total, free };
    let host = &memory.host;
    let mut rows = vec![row("host", host.used_bytes, host.total_bytes, host.available_bytes)];
    if host.swap_total_bytes > 0 {
        let free = host.swap_total_bytes.saturating_sub(host.swap_used_bytes);
        rows.push(row("swap", host.swap_used_bytes, host.swap_total_bytes, free));
    }
    if let Some(cgroup) = &memory.cgroup {
        rows.push(row("cgroup limit", cgroup.used_bytes, cgroup.limit_bytes, cgroup.free_bytes));
    }
    for gpu in &memory.gpus {
        let name = format!("GPU {}", gpu.index);
        rows.push(row(&name, gpu.memory_used_bytes, gpu.memory_total_bytes, gpu.memory_free_bytes));
    }
    rows
}

/// The name under which the history of a GPU's utilization is kept.
pub(super) fn busy_name(index: u32) -> String {
    format!("GPU {index} busy")
}

//! The memory limit that a container or a service manager put on this process, from cgroup v2 or v1. The memory of the
//! machine is in `host.rs`.
//!
//! The reading is a pure function of a directory tree (`/proc/self/cgroup` and `/sys/fs/cgroup` below a root), so that
//! tests can make one.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

/// The memory limit of this process's control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CgroupMemory {
    /// The smallest of the limits of the group and of the groups above it.
    pub limit_bytes: u64,
    /// Bytes in use in the group that has this limit, without file pages that the kernel drops on demand.
    pub used_bytes: u64,
    /// Bytes that can be taken before any of the limits is reached; less than `limit - used` where a group above is
    /// fuller.
    pub free_bytes: u64,
}

/// The names of the files in one hierarchy.
struct Version {
    mount: &'static str,
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static str,
}

const V2: Version =
    Version { mount: "sys/fs/cgroup", limit: "memory.max", usage: "memory.current", reclaimable: "inactive_file" };

const V1: Version = Version {
    mount: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

/// Version 1 shows the largest number of whole pages where there is no limit; a limit from here on is none.
const V1_UNLIMITED_BYTES: u64 = 1 << 62;

impl CgroupMemory {
    /// The limit on this process; `None` without one.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::read_below(Path::new("/"))
    }

    fn read_below(root: &Path) -> Option<Self> {
        let membership = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        // Where both versions are mounted, one of them governs memory, and the other shows no limit.
        [(V2, v2_path(&membership)), (V1, v1_path(&membership))]
            .into_iter()
            .filter_map(|(version, group)| tightest(&root.join(version.mount), Path::new(group?), &version))
            .min_by_key(|cgroup| cgroup.limit_bytes)
    }
}

/// The unified hierarchy's line is `0::/some/path`.
fn v2_path(membership: &str) -> Option<&str> {
    membership.lines().find_map(|line| line.strip_prefix("0::"))
}

/// A line of version 1 is `4:cpu,memory:/some/path`.
fn v1_path(membership: &str) -> Option<&str> {
    membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(path)
    })
}

/// The memory of a group under the smallest limit of it and the groups above it.
fn tightest(mount: &Path, group: &Path, version: &Version) -> Option<CgroupMemory> {
    let levels: Vec<_> = levels(mount, group).iter().filter_map(|level| read_level(level, version)).collect();
    let free_bytes = levels.iter().map(|level| level.free_bytes).min()?;
    let smallest = levels.into_iter().min_by_key(|level| level.limit_bytes)?;
    Some(CgroupMemory { free_bytes, ..smallest })
}

/// The group's directory and those above it up to the mount point.
///
/// Inside a container the path may be that of the host and name directories that are not mounted here. A level that
/// cannot be read is skipped; the mount point itself, which is then the container's own group, is always read.
fn levels(mount: &Path, group: &Path) -> Vec<PathBuf> {
    let outside = group.components().any(|part| part == Component::ParentDir);
    let below = if outside { Path::new("") } else { group.strip_prefix("/").unwrap_or(group) };
    below.ancestors().map(|level| mount.join(level)).collect()
}

fn read_level(directory: &Path, version: &Version) -> Option<CgroupMemory> {
    let number = |name: &str| fs::read_to_string(directory.join(name)).ok()?.trim().parse::<u64>().ok();
    // `max` is not a number and means no limit.
    let limit_bytes = number(version.limit).filter(|limit| *limit < V1_UNLIMITED_BYTES)?;
    let charged_bytes = number(version.usage)?;
    let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let reclaimable_bytes = stat
        .lines()
        .find_map(|line| line.strip_prefix(version.reclaimable)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
        .unwrap_or(0);
    let used_bytes = charged_bytes.saturating_sub(reclaimable_bytes);
    Some(CgroupMemory { limit_bytes, used_bytes, free_bytes: limit_bytes.saturating_sub(used_bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes `files` (path below the root, content) and reads the limit there.
    fn read(files: &[(&str, &str)]) -> Option<CgroupMemory> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        CgroupMemory::read_below(root.path())
    }

    fn memory(limit_bytes: u64, used_bytes: u64, free_bytes: u64) -> Option<CgroupMemory> {
        Some(CgroupMemory { limit_bytes, used_bytes, free_bytes })
    }

    #[test]
    fn v2_in_a_container_reads_the_mount_point() {
        let files = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "700\n"),
            ("sys/fs/cgroup/memory.stat", "anon 300\nfile 400\ninactive_file 250\ntotal_inactive_file 9\n"),
        ];
        assert_eq!(read(&files), memory(1000, 450, 550));
    }

    #[test]
    fn the_smallest_limit_of_the_ancestors_wins() {
        let files = [
            ("proc/self/cgroup", "0::/user/job/task\n"),
            ("sys/fs/cgroup/user/memory.max", "500\n"),
            ("sys/fs/cgroup/user/memory.current", "100\n"),
            ("sys/fs/cgroup/user/job/memory.max", "800\n"),
            ("sys/fs/cgroup/user/job/memory.current", "90\n"),
            ("sys/fs/cgroup/user/job/task/memory.max", "max\n"),
            ("sys/fs/cgroup/user/job/task/memory.current", "80\n"),
        ];
        assert_eq!(read(&files), memory(500, 100, 400));
    }

    #[test]
    fn a_fuller_group_above_lowers_what_is_free() {
        let files = [
            ("proc/self/cgroup", "0::/pod/me\n"),
            ("sys/fs/cgroup/pod/memory.max", "800\n"),
            ("sys/fs/cgroup/pod/memory.current", "750\n"),
            ("sys/fs/cgroup/pod/me/memory.max", "400\n"),
            ("sys/fs/cgroup/pod/me/memory.current", "100\n"),
        ];
        assert_eq!(read(&files), memory(400, 100, 50));
    }

    #[test]
    fn max_everywhere_is_no_limit() {
        let files = [
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.current", "5\n"),
        ];
        assert_eq!(read(&files), None);
    }

    #[test]
    fn v1_knows_its_line_among_others_and_its_way_to_say_no_limit() {
        let files = [
            ("proc/self/cgroup", "9:name=systemd:/\n5:cpu,memory:/box/inner\n1:cpuset:/other\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "99\n"),
            ("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "600\n"),
            ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "300\n"),
            ("sys/fs/cgroup/memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
            ("sys/fs/cgroup/memory/box/inner/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/box/inner/memory.usage_in_bytes", "300\n"),
        ];
        assert_eq!(read(&files), memory(600, 200, 400));
        assert_eq!(read(&files[..3]), None);
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_what_is_mounted_here() {
        for path in ["4:memory:/docker/0123abcd\n", "4:memory:/../../elsewhere\n"] {
            let files = [
                ("proc/self/cgroup", path),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "100\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "40\n"),
                ("sys/elsewhere/memory.limit_in_bytes", "1\n"),
                ("sys/elsewhere/memory.usage_in_bytes", "1\n"),
            ];
            assert_eq!(read(&files), memory(100, 40, 60), "{path}");
        }
    }

    #[test]
    fn missing_and_broken_files_are_no_limit() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("proc/self/cgroup", "nonsense\n")]), None);
        let no_usage = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "100\n")];
        assert_eq!(read(&no_usage), None);
    }

    #[test]
    fn usage_above_the_limit_leaves_nothing() {
        let files = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "100\n"),
            ("sys/fs/cgroup/memory.current", "130\n"),
        ];
        assert_eq!(read(&files), memory(100, 130, 0));
    }
}

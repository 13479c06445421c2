//! How much memory this process may use: the machine's, or less where its control group has a limit.

use std::fs::read_to_string;
use std::path::Path;

/// Where nothing can be read.
const MEMORY_BYTES_UNKNOWN: u64 = 4 << 30;

pub fn memory_bytes() -> u64 {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let group = read_to_string("/proc/self/cgroup").ok().and_then(|text| group_limit_bytes(&text, "/sys/fs/cgroup"));
    machine.into_iter().chain(group).min().unwrap_or(MEMORY_BYTES_UNKNOWN)
}

/// MemTotal of /proc/meminfo.
fn total_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest limit of the process's group (its line `0::` in /proc/self/cgroup) and of those that it is in.
fn group_limit_bytes(text: &str, root: impl AsRef<Path>) -> Option<u64> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = root.as_ref().join(group);
    let within = group.ancestors().take_while(|path| path.starts_with(&root));
    within.filter_map(|path| read_to_string(path.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_the_machine() {
        assert_eq!(total_bytes("MemFree: 1 kB\nMemTotal:       24576 kB\n"), Some(24 << 20));
        assert_eq!(total_bytes("MemTotal: many\n"), None);
        assert!(memory_bytes() >= 64 << 20);
    }

    #[test]
    fn the_smallest_limit_of_the_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        let set = |group: &str, limit: &str| std::fs::write(root.path().join(group).join("memory.max"), limit).unwrap();
        assert_eq!(group_limit_bytes("0::/a/b\n", root.path()), None);
        set("a", "1000\n");
        set("a/b", "max\n");
        assert_eq!(group_limit_bytes("1:cpu:/x\n0::/a/b\n", root.path()), Some(1000));
        set("a/b", "900\n");
        assert_eq!(group_limit_bytes("0::/a/b\n", root.path()), Some(900));
        assert_eq!(group_limit_bytes("0::/\n", root.path()), None);
        assert_eq!(group_limit_bytes("4:memory:/a\n", root.path()), None);
    }
}

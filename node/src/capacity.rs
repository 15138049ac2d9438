//! How much memory this machine has for us: what is built in, or less where a control group says so.

use std::path::{Path, PathBuf};

use croft_domain::memory::KvType;

/// What models may take on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Memory of one model, in bytes.
    pub ceiling_bytes: u64,
    /// How keys and values are stored.
    pub kv: KvType,
    /// Threads of a worker.
    pub threads: u32,
}

/// Memory of the machine or of the tightest control group around this process, in bytes; none if the system does not
/// say.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    let built_in = std::fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(total_of);
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        // `max` is no number, and means none.
        text.trim().parse::<u64>().ok()
    });
    limits.chain(built_in).min()
}

/// Whether this machine runs on its battery: one discharges, and no other supply is on line.
#[must_use]
pub fn is_on_battery() -> bool {
    is_discharging(Path::new("/sys/class/power_supply"))
}

fn is_discharging(supplies: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(supplies) else { return false };
    let (mut discharges, mut is_supplied) = (false, false);
    for supply in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let says = |name: &str, expected: &str| {
            std::fs::read_to_string(supply.join(name)).is_ok_and(|text| text.trim() == expected)
        };
        // A mouse has a battery as well.
        let is_battery = says("type", "Battery") && !says("scope", "Device");
        discharges |= is_battery && says("status", "Discharging");
        is_supplied |= !says("type", "Battery") && says("online", "1");
    }
    discharges && !is_supplied
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Where the limits of one line of `/proc/self/cgroup` stand: those of the group and of all around it.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
        return Vec::new();
    };
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        names if names.split(',').any(|name| name == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let inside = Path::new(path.trim_start_matches('/'));
    // A process in a namespace may be shown a path outside of it.
    if inside.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Vec::new();
    }
    inside.ancestors().map(|group| Path::new(root).join(group).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory() {
        let bytes = memory_bytes().expect("Linux says");
        assert!(bytes > 64 << 20, "{bytes}");
        assert_eq!(total_of("MemTotal:       24576000 kB\nMemFree: 1 kB"), Some(24_576_000 * 1024));
        assert_eq!(total_of("nothing"), None);
    }

    #[test]
    fn a_machine_on_battery_is_known_by_its_supplies() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, files: &[(&str, &str)]| {
            let supply = folder.path().join(name);
            std::fs::create_dir_all(&supply).expect("made");
            for (file, text) in files {
                std::fs::write(supply.join(file), format!("{text}\n")).expect("written");
            }
        };
        let is = || is_discharging(folder.path());
        assert!(!is(), "a machine without a battery");
        put("mouse", &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging")]);
        assert!(!is());
        put("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        assert!(is());
        put("AC", &[("type", "Mains"), ("online", "1")]);
        assert!(!is());
        put("AC", &[("type", "Mains"), ("online", "0")]);
        assert!(is());
        put("BAT0", &[("type", "Battery"), ("status", "Full")]);
        assert!(!is());
    }

    #[test]
    fn the_groups_around_a_group_count_as_well() {
        let paths = |line: &str| -> Vec<String> {
            limit_files(line).into_iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(
            paths("0::/user.slice/app.service"),
            [
                "/sys/fs/cgroup/user.slice/app.service/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(paths("5:memory:/"), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        assert!(paths("3:cpu,cpuacct:/x").is_empty());
        assert!(paths("0::/../../etc").is_empty());
        assert!(paths("nonsense").is_empty());
    }
}

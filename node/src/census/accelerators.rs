//! Load of graphics and neural processors by process, as drivers tell it in `/proc/PID/fdinfo` (kernel document
//! `gpu/drm-usage-stats.rst`), and which accelerators can be seen at all.
//!
//! NVIDIA's driver writes no such file: its own tool is asked, which is a front end of NVML. Deliberately absent: that
//! library itself. It would bring a vendor's code into the process that holds this machine's key. Where the tool is missing
//! nothing is said of these processes, and they are never counted as idle.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::ask::ask;

/// Most descriptors looked at for one process.
const DESCRIPTORS_MAX: usize = 4096;

/// Longest fdinfo that is read, in bytes.
const FDINFO_LEN_MAX: usize = 16 * 1024;

/// What a process, or all of a class, does on accelerators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Device memory in use, in bytes.
    pub memory_bytes: u64,
    /// Time that engines worked for it since it began, in nanoseconds.
    pub engine_ns: u64,
    /// Drivers that told.
    pub drivers: Vec<String>,
}

impl Load {
    /// Whether nothing was told.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.drivers.is_empty()
    }

    /// Both together.
    pub(super) fn add(&mut self, other: &Self) {
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.engine_ns = self.engine_ns.saturating_add(other.engine_ns);
        for driver in &other.drivers {
            if !self.drivers.contains(driver) {
                self.drivers.push(driver.clone());
            }
        }
    }
}

/// One open device, by driver, bus address and client: a client that is open twice is told twice.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Client {
    identity: (String, String, String),
    memory_bytes: u64,
    engine_ns: u64,
}

/// Reads one fdinfo. None if it is not of a device that tells.
fn parse(text: &str) -> Option<Client> {
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        if key.starts_with("drm-") {
            fields.insert(key, value.trim());
        }
    }
    let field = |key: &str| fields.get(key).map(|value| (*value).to_owned()).unwrap_or_default();
    let driver = (*fields.get("drm-driver")?).to_owned();
    let engines = fields
        .iter()
        .filter(|(key, _)| key.starts_with("drm-engine-") && !key.starts_with("drm-engine-capacity-"));
    let engine_ns = engines.filter_map(|(_, value)| value.strip_suffix(" ns")?.trim().parse::<u64>().ok());
    // A kernel tells one of these; the older name is the older kernels'.
    let memory = ["drm-resident-", "drm-memory-", "drm-total-"].iter().find_map(|prefix| {
        let sizes: Vec<u64> =
            fields.iter().filter(|(key, _)| key.starts_with(prefix)).filter_map(|(_, v)| size(v)).collect();
        (!sizes.is_empty()).then(|| sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size)))
    });
    Some(Client {
        identity: (driver, field("drm-pdev"), field("drm-client-id")),
        memory_bytes: memory.unwrap_or(0),
        engine_ns: engine_ns.fold(0, u64::saturating_add),
    })
}

/// `1024 KiB`, `3 MiB`, or bytes without a unit.
fn size(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    let unit = match words.next() {
        None => 1,
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some(_) => return None,
    };
    number.checked_mul(unit)
}

/// Device memory by process, as `nvidia-smi` tells it; empty where there is no such device or no answer.
pub(super) fn of_nvidia(root: &Path) -> BTreeMap<u32, Load> {
    if root != Path::new("/") || !root.join("dev/nvidiactl").exists() {
        return BTreeMap::new();
    }
    let query = ["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"];
    ask("/usr/bin/nvidia-smi", &query, &[]).map(|text| parse_nvidia(&text)).unwrap_or_default()
}

/// `PID, MIB` a line, once for each device; `[N/A]` where the driver does not tell.
fn parse_nvidia(text: &str) -> BTreeMap<u32, Load> {
    let mut loads: BTreeMap<u32, Load> = BTreeMap::new();
    for line in text.lines().take(DESCRIPTORS_MAX) {
        let Some((pid, mib)) = line.split_once(',') else { continue };
        let Ok(pid) = pid.trim().parse() else { continue };
        let memory_bytes =
            mib.trim().parse::<u64>().ok().and_then(|mib| mib.checked_mul(1 << 20)).unwrap_or(0);
        let load = Load { memory_bytes, engine_ns: 0, drivers: vec!["nvidia".to_owned()] };
        loads.entry(pid).or_default().add(&load);
    }
    loads
}

/// What a process does on accelerators, as far as that may be seen below `proc`.
pub(super) fn of_process(proc: &Path, pid: u32) -> Load {
    let folder = proc.join(pid.to_string());
    let descriptors = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten().take(DESCRIPTORS_MAX);
    let mut clients: Vec<Client> = Vec::new();
    for descriptor in descriptors {
        let Ok(target) = fs::read_link(descriptor.path()) else { continue };
        if !target.starts_with("/dev/dri") && !target.starts_with("/dev/accel") {
            continue;
        }
        let Ok(text) = fs::read_to_string(folder.join("fdinfo").join(descriptor.file_name())) else {
            continue;
        };
        let client = parse(text.get(..FDINFO_LEN_MAX).unwrap_or(&text));
        if let Some(client) = client.filter(|new| clients.iter().all(|old| old.identity != new.identity)) {
            clients.push(client);
        }
    }
    let mut load = Load::default();
    for client in clients {
        let Client { identity: (driver, _, _), memory_bytes, engine_ns } = client;
        load.add(&Load { memory_bytes, engine_ns, drivers: vec![driver] });
    }
    load
}

/// The accelerators of a machine, in words: device nodes below `root`.
pub(super) fn visible(root: &Path) -> Vec<String> {
    let nodes = |folder: &str, begins: &str| {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter(|name| name.starts_with(begins)).map(|name| format!("{folder}/{name}")).collect();
        names.sort();
        names
    };
    let is_card = |name: &String| !name.ends_with("ctl") && !name.contains("caps");
    [nodes("dev/dri", "renderD"), nodes("dev/accel", "accel"), nodes("dev", "kfd"), nodes("dev", "nvidia")]
        .into_iter()
        .flatten()
        .filter(is_card)
        .map(|name| format!("/{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const AMDGPU: &str = "pos:\t0\nflags:\t02100002\nmnt_id:\t25\nino:\t1193\ndrm-driver:\tamdgpu\n\
        drm-client-id:\t42\ndrm-pdev:\t0000:03:00.0\npasid:\t32771\ndrm-total-vram:\t8 MiB\n\
        drm-resident-vram:\t6 MiB\ndrm-memory-vram:\t6144 KiB\ndrm-resident-gtt:\t512 KiB\n\
        drm-engine-gfx:\t700 ns\ndrm-engine-compute:\t300 ns\ndrm-engine-capacity-compute:\t4\n";
    const IVPU: &str = "drm-driver:\tintel_vpu\ndrm-client-id:\t3\ndrm-memory-npu:\t4096 KiB\n";

    #[test]
    fn what_drivers_tell_is_added_up_by_engine_and_region() {
        let client = parse(AMDGPU).expect("a client");
        assert_eq!((client.engine_ns, client.memory_bytes), (1000, (6 << 20) + (512 << 10)));
        assert_eq!(client.identity, ("amdgpu".to_owned(), "0000:03:00.0".to_owned(), "42".to_owned()));
        assert_eq!(parse(IVPU).expect("a client").memory_bytes, 4 << 20);
        assert_eq!(parse("pos:\t0\nflags:\t0\n"), None);
    }

    #[test]
    fn nvidias_tool_tells_memory_by_process_and_what_it_does_not_tell_is_not_zero_load() {
        let loads = parse_nvidia(
            "12345, 1024\n12345, 512\n777, [N/A]\nNo devices were found\nx, 5\n9, 99999999999999999999\n",
        );
        assert_eq!(loads.keys().copied().collect::<Vec<_>>(), [9, 777, 12345]);
        assert_eq!(loads[&12345].memory_bytes, 1536 << 20);
        assert!(loads[&777].memory_bytes == 0 && !loads[&777].is_none(), "it is told that it is there");
        assert!(parse_nvidia("").is_empty());
        assert!(of_nvidia(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn numbers_that_are_none_add_nothing() {
        let text = "drm-driver:\tx\ndrm-engine-a:\t-5 ns\ndrm-engine-b:\t18446744073709551615 ns\n\
            drm-engine-c:\t9 ns\ndrm-resident-a:\t18446744073709551615 MiB\ndrm-resident-b:\t2 XiB\n";
        let client = parse(text).expect("a client");
        assert_eq!((client.engine_ns, client.memory_bytes), (u64::MAX, 0));
    }

    #[test]
    fn a_client_that_is_open_twice_counts_once() {
        let proc = tempfile::tempdir().expect("a folder");
        for folder in ["7/fd", "7/fdinfo"] {
            fs::create_dir_all(proc.path().join(folder)).expect("folders");
        }
        let open = |number: &str, target: &str, text: &str| {
            symlink(target, proc.path().join("7/fd").join(number)).expect("a link");
            fs::write(proc.path().join("7/fdinfo").join(number), text).expect("a file");
        };
        open("3", "/dev/dri/renderD128", AMDGPU);
        open("4", "/dev/dri/renderD128", AMDGPU);
        open("5", "/dev/accel/accel0", IVPU);
        open("6", "/home/me/notes", AMDGPU);
        let load = of_process(proc.path(), 7);
        assert_eq!((load.engine_ns, load.memory_bytes), (1000, (10 << 20) + (512 << 10)));
        assert_eq!(load.drivers.len(), 2);
        assert!(of_process(proc.path(), 8).is_none());
    }

    #[test]
    fn devices_are_named_and_their_controls_are_not() {
        let root = tempfile::tempdir().expect("a folder");
        for file in
            ["dev/dri/card0", "dev/dri/renderD128", "dev/nvidia0", "dev/nvidiactl", "dev/accel/accel0"]
        {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, "").expect("a file");
        }
        assert_eq!(visible(root.path()), ["/dev/dri/renderD128", "/dev/accel/accel0", "/dev/nvidia0"]);
        assert!(visible(&root.path().join("nothing")).is_empty());
    }
}

//! What cannot be read from a tree of files: answers of the kernel to questions about paths and devices, and output of
//! tools. Of a live machine they are asked and written down; of a captured tree they come from `croft/recorded.json`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::mounts::{Live, ask};
use crate::ask;

/// Where a captured tree keeps it.
pub(in crate::posture) const FILE: &str = "croft/recorded.json";

/// Largest recording that is read, in bytes.
const FILE_LEN_MAX: u64 = 8 << 20;

/// Answers, by question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::posture) struct Recorded {
    /// What statx said of a path; none if it could not be reached.
    pub(in crate::posture) paths: BTreeMap<String, Option<Live>>,
    /// Numbers of devices by their name in `/dev`.
    pub(in crate::posture) devices: BTreeMap<String, (u32, u32)>,
    /// Output of tools, by tool and object, for example `dmsetup dm-0`.
    pub(in crate::posture) outputs: BTreeMap<String, String>,
}

impl Recorded {
    /// Of a captured tree; nothing if it holds none.
    pub(in crate::posture) fn of_tree(root: &Path) -> Self {
        let path = root.join(FILE);
        if !fs::metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() <= FILE_LEN_MAX) {
            return Self::default();
        }
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// What the kernel says, or said, of a path.
    pub(super) fn path(&mut self, path: &Path, live: bool) -> Option<Live> {
        let key = path.to_string_lossy().into_owned();
        if live {
            let answer = ask(path);
            self.paths.insert(key, answer);
            return answer;
        }
        self.paths.get(&key).copied().flatten()
    }

    /// Numbers of the block device that is called `name` in `/dev`.
    pub(super) fn device(&mut self, name: &str, live: bool) -> Option<(u32, u32)> {
        if live {
            let found = fs::metadata(name).ok().filter(|facts| facts.file_type().is_block_device())?;
            let numbers = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
            self.devices.insert(name.to_owned(), numbers);
            return Some(numbers);
        }
        self.devices.get(name).copied()
    }

    /// What a tool says of an object. None without the tool, or if it fails.
    pub(in crate::posture) fn output(&mut self, tool: &Tool, object: &str, live: bool) -> Option<String> {
        let key = format!("{} {object}", tool.name);
        if !live {
            return self.outputs.get(&key).cloned();
        }
        let output = tool.run(object)?;
        self.outputs.insert(key, output.clone());
        Some(output)
    }
}

/// A tool that is asked for what no file tells.
pub(in crate::posture) struct Tool {
    name: &'static str,
    /// By full path: a search path that somebody else may write decides nothing here.
    programs: &'static [&'static str],
    arguments: &'static [&'static str],
    /// Put in front of the object.
    prefix: &'static str,
    needs_root: bool,
}

/// The kernel's own device-mapper table. Without `--showkeys` the tool blanks the keys.
pub(super) const DMSETUP: Tool = Tool {
    name: "dmsetup",
    programs: &["/usr/sbin/dmsetup", "/sbin/dmsetup"],
    arguments: &["table"],
    prefix: "/dev/",
    needs_root: true,
};

/// A dataset's encryption (zfsprops(7)).
pub(super) const ZFS: Tool = Tool {
    name: "zfs",
    programs: &["/usr/sbin/zfs", "/sbin/zfs", "/usr/bin/zfs"],
    arguments: &["get", "-Hp", "-o", "property,value", "encryption,keystatus,encryptionroot"],
    prefix: "",
    needs_root: false,
};

/// A pool's devices, by full path and without links (zpool-list(8)).
pub(super) const ZPOOL: Tool = Tool {
    name: "zpool",
    programs: &["/usr/sbin/zpool", "/sbin/zpool", "/usr/bin/zpool"],
    arguments: &["list", "-vHPL"],
    prefix: "",
    needs_root: false,
};

/// Names and versions of all packages (rpm(8), rpm-queryformat(7)); an epoch that is missing is 0.
pub(in crate::posture) const RPM: Tool = Tool {
    name: "rpm",
    programs: &["/usr/bin/rpm", "/bin/rpm"],
    arguments: &["-qa", "--queryformat", "%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n"],
    prefix: "",
    needs_root: false,
};

/// Whether the kernel's clock is kept by any service (timedatectl(1)).
pub(in crate::posture) const TIMEDATECTL: Tool = Tool {
    name: "timedatectl",
    programs: &["/usr/bin/timedatectl", "/bin/timedatectl"],
    arguments: &["show", "--property=NTPSynchronized", "--value"],
    prefix: "",
    needs_root: false,
};

impl Tool {
    fn run(&self, object: &str) -> Option<String> {
        // What begins with a hyphen would be an option.
        if self.needs_root && !rustix::process::geteuid().is_root() || object.starts_with('-') {
            return None;
        }
        let program = self.programs.iter().find(|path| Path::new(path).exists())?;
        let object = format!("{}{object}", self.prefix);
        let named = (!object.is_empty()).then_some(object.as_str());
        let arguments: Vec<&str> = self.arguments.iter().copied().chain(named).collect();
        ask::ask(program, &arguments, &[])
    }
}

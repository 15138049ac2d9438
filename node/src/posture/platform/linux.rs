//! Linux: files below a root, and a few tools where no file tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Platform, Release};
use crate::posture::disk::{self, DiskFinding};
use crate::posture::endpoint::{self, Defense};
use crate::posture::packages;

/// The machine below a root: `/`, but for captured trees.
#[derive(Clone, Debug)]
pub struct Linux(pub PathBuf);

impl Linux {
    fn is_live(&self) -> bool {
        self.0 == Path::new("/")
    }
}

impl Platform for Linux {
    fn disk_method(&self) -> &'static str {
        "statx+sysfs"
    }

    fn disk(&self, path: &str) -> DiskFinding {
        disk::examine(&self.0, self.is_live(), path)
    }

    fn swaps(&self) -> Option<Vec<DiskFinding>> {
        disk::examine_swaps(&self.0, self.is_live())
    }

    fn defenses(&self, home: &Path) -> Vec<Defense> {
        endpoint::examine(&self.0, home)
    }

    /// From os-release(5) and the kernel's own word.
    fn release(&self) -> Option<Release> {
        let text = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|file| fs::read_to_string(self.0.join(file)).ok())?;
        let value = |key: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            values.next_back().map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
        };
        let id = value("ID")?;
        let system = match value("VERSION_ID").filter(|version| !version.is_empty()) {
            Some(version) => format!("{id} {version}"),
            None => id,
        };
        let kernel = fs::read_to_string(self.0.join("proc/sys/kernel/osrelease")).ok();
        Some(Release { system, kernel: kernel.map(|release| release.trim().to_owned()) })
    }

    fn packages(&self, wanted: &[&str]) -> Option<BTreeMap<String, String>> {
        packages::installed(&self.0, wanted)
    }
}

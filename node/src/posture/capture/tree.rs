//! The tree of a capture: block devices, mounts and settings, as the rules read them, in a layout of our own.

use std::fs;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Names;

/// Most block devices that are captured.
const DEVICES_MAX: usize = 4096;

/// Longest table or attribute that is captured, in bytes.
const TEXT_LEN_MAX: usize = 8 << 20;

/// Files and links, by their path below the root.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: Vec<(String, Vec<u8>)>,
    links: Vec<(String, String)>,
}

/// Files that mean something by being there.
const MARKS: [&str; 8] = [
    "run/systemd/timesync/synchronized",
    "run/systemd/timesync/clock",
    "run/reboot-required",
    "usr/share/update-notifier/notify-reboot-required",
    "etc/systemd/system/multi-user.target.wants/firewalld.service",
    "etc/systemd/system/sysinit.target.wants/nftables.service",
    "etc/systemd/system/multi-user.target.wants/netfilter-persistent.service",
    "sys/firmware/efi/runtime",
];

/// The firmware's word on secure boot: five bytes.
const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

impl Tree {
    /// Everything of the machine below `root`. What cannot be read is missing, as it was for the verdict.
    pub(super) fn machine(&mut self, root: &Path, names: &mut Names) {
        let lines = |file: &str| text(&root.join(file)).unwrap_or_default();
        let mounts = lines("proc/self/mountinfo");
        let mounts: Vec<String> = mounts.lines().filter_map(|line| names.mount(line)).collect();
        self.file("proc/self/mountinfo", mounts.join("\n") + "\n");
        let swaps = lines("proc/swaps");
        let swaps: Vec<String> = swaps.lines().skip(1).filter_map(|line| names.swap(line)).collect();
        self.file("proc/swaps", format!("Filename Type Size Used Priority\n{}\n", swaps.join("\n")));
        self.file("proc/sys/kernel/osrelease", names.release(&lines("proc/sys/kernel/osrelease")));
        self.devices(root, names);
        self.btrfs(root, names);
        self.settings(root);
    }

    fn devices(&mut self, root: &Path, names: &mut Names) {
        let entries = fs::read_dir(root.join("sys/class/block")).into_iter().flatten().flatten();
        for folder in entries.take(DEVICES_MAX).filter_map(|entry| entry.path().canonicalize().ok()) {
            self.device(&folder, names);
        }
    }

    fn device(&mut self, folder: &Path, names: &mut Names) {
        let name = file_name(folder);
        let place = place(folder);
        let Some(numbers) = text(&folder.join("dev")) else { return };
        let numbers = numbers.trim().to_owned();
        self.file(&format!("{place}/dev"), format!("{numbers}\n"));
        self.links.push((format!("sys/dev/block/{numbers}"), format!("../../../{place}")));
        self.links.push((format!("sys/class/block/{name}"), format!("../../../{place}")));
        if folder.join("partition").exists() {
            self.file(&format!("{place}/partition"), "1\n");
        }
        let mut attribute = |file: &str, rename: &mut dyn FnMut(&str) -> String| {
            if let Some(value) = text(&folder.join(file)) {
                let value = rename(value.trim_end_matches('\n'));
                self.files.push((format!("{place}/{file}"), format!("{value}\n").into_bytes()));
            }
        };
        attribute("dm/uuid", &mut |uuid| names.uuid(uuid));
        attribute("dm/name", &mut |name| names.mapped(name));
        attribute("loop/backing_file", &mut |path| names.path(path));
        attribute("backing_dev", &mut |path| names.path(path));
        for slave in fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten() {
            let below = slave.path().canonicalize().map(|folder| self::place(&folder));
            let up = "../".repeat(place.split('/').count() + 1);
            let target = below.map_or_else(|_| "../gone".to_owned(), |below| format!("{up}{below}"));
            self.links.push((format!("{place}/slaves/{}", slave.file_name().to_string_lossy()), target));
        }
        // Only that it is hardware counts, not where it sits.
        if fs::symlink_metadata(folder.join("device")).is_ok() {
            self.links.push((format!("{place}/device"), "../hardware".to_owned()));
        }
    }

    fn btrfs(&mut self, root: &Path, names: &mut Names) {
        for filesystem in fs::read_dir(root.join("sys/fs/btrfs")).into_iter().flatten().flatten() {
            let name = names.part(&filesystem.file_name().to_string_lossy());
            for device in fs::read_dir(filesystem.path().join("devices")).into_iter().flatten().flatten() {
                if let Ok(folder) = device.path().canonicalize() {
                    let link = format!("sys/fs/btrfs/{name}/devices/{}", file_name(&folder));
                    self.links.push((link, format!("../../../../../{}", place(&folder))));
                }
            }
        }
    }

    fn settings(&mut self, root: &Path) {
        for mark in MARKS {
            if fs::symlink_metadata(root.join(mark)).is_ok() {
                self.file(mark, "");
            }
        }
        if let Ok(value) = fs::read(root.join(SECURE_BOOT))
            && value.len() == 5
        {
            self.files.push((SECURE_BOOT.to_owned(), value));
        }
        self.chosen_lines(root, "etc/ufw/ufw.conf", &["ENABLED"]);
        self.chosen_lines(root, "etc/os-release", &["ID", "VERSION_ID"]);
    }

    /// Of a file only the settings that a rule reads.
    fn chosen_lines(&mut self, root: &Path, file: &str, keys: &[&str]) {
        let Some(text) = text(&root.join(file)) else { return };
        let is_chosen = |line: &&str| line.split_once('=').is_some_and(|(key, _)| keys.contains(&key.trim()));
        let lines: String = text.lines().filter(is_chosen).map(|line| format!("{line}\n")).collect();
        self.file(file, lines);
    }

    fn file(&mut self, path: &str, text: impl Into<String>) {
        self.files.push((path.to_owned(), text.into().into_bytes()));
    }

    /// Adds a value as JSON.
    pub(super) fn json(&mut self, path: &str, value: &impl Serialize) -> io::Result<()> {
        self.files.push((path.to_owned(), serde_json::to_vec_pretty(value)?));
        Ok(())
    }

    /// Writes it as a tar, the same for the same content.
    pub(super) fn write(self, file: File) -> io::Result<()> {
        let mut archive = tar::Builder::new(file);
        for (path, bytes) in &self.files {
            let mut header = header(bytes.len() as u64, tar::EntryType::Regular);
            archive.append_data(&mut header, path, bytes.as_slice())?;
        }
        for (path, target) in &self.links {
            archive.append_link(&mut header(0, tar::EntryType::Symlink), path, target)?;
        }
        archive.into_inner()?.sync_all()
    }
}

fn header(len: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(len);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header
}

/// Where a device lies in the capture: below its disk if it is a partition.
fn place(folder: &Path) -> String {
    let name = file_name(folder);
    match folder.parent().filter(|_| folder.join("partition").exists()) {
        Some(whole) => format!("sys/devices/block/{}/{name}", file_name(whole)),
        None => format!("sys/devices/block/{name}"),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(PathBuf::from).unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &Path) -> Option<String> {
    let bytes = fs::read(file).ok()?;
    let bytes = bytes.get(..TEXT_LEN_MAX).unwrap_or(&bytes);
    Some(String::from_utf8_lossy(bytes).into_owned())
}

//! Block devices in sysfs: which encrypt, and what the others rest on.

use std::fs;
use std::path::{Path, PathBuf};

use croft_domain::fact::{Confidence, DiskState};

use super::record::DMSETUP;
use super::table::{self, Table};
use super::{Judgment, Walk, shown};

/// Device-mapper types that encrypt, as `dm/uuid` begins. Others that begin with `CRYPT-` do not: verity and integrity
/// protect what can be read by anyone, and `CRYPT-SUBDEV-` is an inner layer.
const ENCRYPTING: &[&str] =
    &["CRYPT-LUKS1-", "CRYPT-LUKS2-", "CRYPT-PLAIN-", "CRYPT-TCRYPT-", "CRYPT-BITLK-", "CRYPT-FVAULT2-"];

impl Walk<'_> {
    /// Follows the device with these numbers.
    pub(super) fn numbered_device(&mut self, (major, minor): (u32, u32), depth: usize) -> Judgment {
        match self.root.join(format!("sys/dev/block/{major}:{minor}")).canonicalize() {
            Ok(folder) => self.device(&folder, depth + 1),
            Err(_) => self.unknown(&format!("device {major}:{minor}: not in sysfs")),
        }
    }

    /// Follows a device by its name in `/dev`.
    pub(super) fn named_device(&mut self, name: &str, depth: usize) -> Judgment {
        match self.device_folder(name) {
            Some(folder) => self.device(&folder, depth + 1),
            None => self.unknown(&format!("{}: not a known device", shown(name))),
        }
    }

    /// Follows all of `folders`; each must hold for the whole to hold.
    pub(super) fn all(&mut self, folders: &[PathBuf], depth: usize) -> Judgment {
        let judgments: Vec<Judgment> = folders.iter().map(|folder| self.device(folder, depth + 1)).collect();
        judgments.into_iter().reduce(Judgment::and).unwrap_or(Judgment::UNKNOWN)
    }

    /// The sysfs folder of a device that is named as in `/dev`.
    pub(super) fn device_folder(&mut self, name: &str) -> Option<PathBuf> {
        let live = self.live;
        if let Some((major, minor)) = self.recorded.device(name, live) {
            return self.root.join(format!("sys/dev/block/{major}:{minor}")).canonicalize().ok();
        }
        let name = name.strip_prefix("/dev/")?;
        let class = self.root.join("sys/class/block");
        // sysfs writes a slash in a device's name as an exclamation mark.
        let direct = class.join(name.replace('/', "!"));
        if !name.starts_with("mapper/") && direct.exists() {
            return direct.canonicalize().ok();
        }
        let mapped = match name.split_once('/')? {
            ("mapper", mapped) => mapped.to_owned(),
            // LVM doubles the hyphens within a name, to set off the one between group and volume.
            (group, volume) => format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--")),
        };
        fs::read_dir(class).ok()?.flatten().map(|entry| entry.path()).find_map(|folder| {
            (text(&folder.join("dm/name"))? == mapped).then(|| folder.canonicalize().ok())?
        })
    }

    fn device(&mut self, folder: &Path, depth: usize) -> Judgment {
        self.follow(folder, depth, |walk| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(uuid) = text(&folder.join("dm/uuid")) {
                return walk.mapped(folder, &name, &uuid, depth);
            }
            if folder.join("partition").exists() {
                walk.note(&format!("{name}: partition"));
                return match folder.parent() {
                    Some(whole) => walk.device(whole, depth + 1),
                    None => Judgment::UNKNOWN,
                };
            }
            let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
            match kind {
                "loop" => walk.loop_device(folder, &name, depth),
                "zram" => walk.zram(folder, &name, depth),
                "ram" => {
                    walk.note(&format!("{name}: memory"));
                    Judgment::new(DiskState::Volatile, Confidence::Table)
                }
                _ => walk.plain_or_stacked(folder, &name, depth),
            }
        })
    }

    fn mapped(&mut self, folder: &Path, name: &str, uuid: &str, depth: usize) -> Judgment {
        let slaves = slaves(folder);
        // The type's prefix only: the rest identifies the disk.
        let kind = ENCRYPTING.iter().find(|prefix| uuid.starts_with(**prefix));
        let Some(kind) = kind else {
            let parts = if uuid.starts_with("CRYPT-") { 2 } else { 1 };
            let kind = uuid.split('-').take(parts).collect::<Vec<_>>().join("-");
            self.note(&format!("{name}: device-mapper {kind} over {}", names(&slaves)));
            return self.stacked(name, &slaves, depth);
        };
        self.note(&format!("{name}: device-mapper {kind} over {}", names(&slaves)));
        if slaves.is_empty() {
            return self.unknown(&format!("{name}: claims to encrypt, but rests on no device"));
        }
        let live = self.live;
        match self.recorded.output(&DMSETUP, name, live).and_then(|text| table::parse(&text)) {
            Some(Table::Encrypts) => {
                self.note(&format!("{name}: the kernel's table encrypts"));
                Judgment::new(DiskState::Encrypted, Confidence::Table)
            }
            Some(Table::DoesNot(target)) => {
                self.note(&format!("{name}: the kernel's table does not encrypt ({target})"));
                self.stacked(name, &slaves, depth)
            }
            None => Judgment::new(DiskState::Encrypted, Confidence::Uuid),
        }
    }

    fn stacked(&mut self, name: &str, slaves: &[PathBuf], depth: usize) -> Judgment {
        if slaves.is_empty() {
            return self.unknown(&format!("{name}: rests on no device"));
        }
        self.all(slaves, depth)
    }

    fn loop_device(&mut self, folder: &Path, name: &str, depth: usize) -> Judgment {
        match text(&folder.join("loop/backing_file")) {
            // The kernel marks a file that has no name any more; its old name may be another file's now.
            Some(file) if !file.ends_with(" (deleted)") => {
                self.note(&format!("{name}: loop over {}", shown(&file)));
                self.path(&file, depth + 1)
            }
            _ => self.unknown(&format!("{name}: loop over a file that cannot be named")),
        }
    }

    fn zram(&mut self, folder: &Path, name: &str, depth: usize) -> Judgment {
        let volatile = Judgment::new(DiskState::Volatile, Confidence::Table);
        match text(&folder.join("backing_dev")).as_deref() {
            // Kernels that are built without write-back have no such file.
            None | Some("none" | "") => {
                self.note(&format!("{name}: compressed memory"));
                volatile
            }
            Some(device) => {
                self.note(&format!("{name}: compressed memory, written back to {}", shown(device)));
                if device.starts_with("/dev/") {
                    self.named_device(device, depth)
                } else {
                    self.path(device, depth + 1)
                }
            }
        }
    }

    fn plain_or_stacked(&mut self, folder: &Path, name: &str, depth: usize) -> Judgment {
        let slaves = slaves(folder);
        if !slaves.is_empty() {
            self.note(&format!("{name}: over {}", names(&slaves)));
            return self.all(&slaves, depth);
        }
        // A link to the hardware, which a captured tree may hold without its end.
        if fs::symlink_metadata(folder.join("device")).is_ok() {
            self.note(&format!("{name}: a disk, nothing above it encrypts"));
            return Judgment::new(DiskState::Plain, Confidence::Table);
        }
        self.unknown(&format!("{name}: a virtual device of a kind that cannot be followed"))
    }
}

/// A sysfs attribute without its line end.
fn text(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim_end_matches('\n').to_owned())
}

/// Everything a device rests on. A link that leads nowhere is kept, and found unknown when it is followed.
fn slaves(folder: &Path) -> Vec<PathBuf> {
    let mut slaves: Vec<PathBuf> = fs::read_dir(folder.join("slaves"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().canonicalize().unwrap_or_else(|_| entry.path()))
        .collect();
    slaves.sort();
    slaves
}

fn names(folders: &[PathBuf]) -> String {
    let names: Vec<_> =
        folders.iter().filter_map(|folder| folder.file_name()).map(|name| name.to_string_lossy()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

//! From a path to its file system, and from there to devices or to further paths.

use std::path::{Path, PathBuf};

use croft_domain::fact::{Confidence, DiskState};

use super::mounts::{Mount, by_prefix};
use super::{Judgment, Walk, shown};

impl Walk<'_> {
    /// Follows a path of the examined machine.
    pub(super) fn path(&mut self, path: &str, depth: usize) -> Judgment {
        let wanted = PathBuf::from(path);
        if !wanted.is_absolute() || wanted.components().any(|part| part.as_os_str() == "..") {
            return self.unknown(&format!("{}: not an absolute path without \"..\"", shown(path)));
        }
        self.follow(&wanted, depth, |walk| walk.mount_of(&wanted, depth))
    }

    fn mount_of(&mut self, path: &Path, depth: usize) -> Judgment {
        let Some(mounts) = self.mounts.clone() else {
            return self.unknown("the mount table cannot be read");
        };
        // A tree without a recording was put together by hand.
        if !self.live && self.recorded.paths.is_empty() {
            return match by_prefix(&mounts, path) {
                Some(mount) => self.mount(path, mount, depth),
                None => self.unknown(&format!("{}: on no mount", shown(path))),
            };
        }
        let live = self.live;
        let mut parts = path.ancestors();
        let reached = parts.find_map(|part| Some((part, self.recorded.path(part, live)?)));
        let Some((existing, answer)) = reached else {
            return self.unknown(&format!("{}: cannot be reached", shown(path)));
        };
        if existing != path {
            // What is made there later lands on this file system. Not so for a layer below another one: that path
            // exists, maybe where this process cannot see it.
            if depth > 0 {
                return self.unknown(&format!("{}: cannot be seen from here", shown(path)));
            }
            self.note(&format!("{}: does not exist yet, {} does", shown(path), shown(existing)));
        }
        if answer.encrypted {
            self.note(&format!("{}: fscrypt", shown(existing)));
            return Judgment::new(DiskState::Encrypted, Confidence::Table);
        }
        let chosen = match answer.mount {
            Some(id) => mounts.iter().find(|mount| mount.id == id),
            None if !live => by_prefix(&mounts, existing),
            None => existing.canonicalize().ok().and_then(|real| by_prefix(&mounts, &real)),
        };
        match chosen {
            Some(mount) => self.mount(existing, mount, depth),
            None => self.unknown(&format!("{}: its mount is not in the table", shown(existing))),
        }
    }

    fn mount(&mut self, path: &Path, mount: &Mount, depth: usize) -> Judgment {
        let (major, minor) = mount.device;
        let (path, point) = (shown(path), shown(&mount.point));
        self.note(&format!("{path}: {} on {point}, device {major}:{minor}", mount.filesystem));
        match mount.filesystem.as_str() {
            "tmpfs" | "ramfs" | "rootfs" | "devtmpfs" => {
                Judgment::new(DiskState::Volatile, Confidence::Table)
            }
            "overlay" => self.overlay(mount, depth),
            "btrfs" => self.btrfs(mount, depth),
            "bcachefs" => self.members(&mount.source.split(':').collect::<Vec<_>>(), depth),
            "zfs" => self.zfs(&mount.source, depth),
            _ if major != 0 => self.numbered_device(mount.device, depth),
            other => self.unknown(&format!("{other}: not a file system that can be followed from here")),
        }
    }

    /// What is written to an overlay lands in its upper folder.
    fn overlay(&mut self, mount: &Mount, depth: usize) -> Judgment {
        let upper = mount.options.split(',').find_map(|option| option.strip_prefix("upperdir="));
        match upper {
            Some(upper) => {
                let upper = upper.to_owned();
                self.note(&format!("overlay: upper folder {}", shown(&upper)));
                self.path(&upper, depth + 1)
            }
            None => self.unknown("overlay: has no upper folder"),
        }
    }

    /// One of the members is the source; the kernel lists them all.
    fn btrfs(&mut self, mount: &Mount, depth: usize) -> Judgment {
        let Some(source) = self.device_folder(&mount.source) else {
            return self
                .unknown(&format!("btrfs: its source {} is not a known device", shown(&mount.source)));
        };
        let folder = self.root.join("sys/fs/btrfs");
        let members = std::fs::read_dir(folder).into_iter().flatten().flatten().find_map(|filesystem| {
            let devices: Vec<PathBuf> = std::fs::read_dir(filesystem.path().join("devices"))
                .ok()?
                .flatten()
                .filter_map(|device| device.path().canonicalize().ok())
                .collect();
            devices.contains(&source).then_some(devices)
        });
        let Some(members) = members else {
            return self.unknown(&format!("btrfs: no file system lists {}", shown(&mount.source)));
        };
        self.note(&format!("btrfs: {} member(s)", members.len()));
        self.all(&members, depth)
    }

    fn members(&mut self, sources: &[&str], depth: usize) -> Judgment {
        let folders: Option<Vec<PathBuf>> = sources.iter().map(|name| self.device_folder(name)).collect();
        match folders {
            Some(folders) => self.all(&folders, depth),
            None => self.unknown(&format!("a member of {} is not a known device", shown(sources.join(":")))),
        }
    }
}

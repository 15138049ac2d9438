//! Replacing names: everything that is not the kernel's own word becomes `n` and a number, the same by the same.
//!
//! An allow-list, not a search for secrets: what is not known here is replaced, whatever it looks like.

use std::collections::BTreeMap;

use crate::posture::disk::unescape;

/// What becomes of names.
#[derive(Debug, Default)]
pub struct Names {
    /// None: they stay.
    given: Option<BTreeMap<String, String>>,
}

/// Parts of paths that every machine has.
const COMMON: [&str; 44] = [
    "bin", "boot", "cache", "data", "dev", "disk", "docker", "efi", "etc", "home", "images", "img", "lib",
    "libvirt", "local", "log", "mapper", "media", "merged", "mnt", "opt", "overlay2", "proc", "root", "run",
    "sbin", "share", "snap", "srv", "state", "store", "swap", "swapfile", "swap.img", "sys", "system", "tmp",
    "upper", "user", "usr", "var", "work", "diff", "croft",
];

/// Kernel names of block devices, which count up; what stands behind must be digits and partition marks.
const DEVICES: [&str; 17] = [
    "sd", "hd", "vd", "xvd", "nvme", "mmcblk", "dm-", "loop", "zram", "ram", "md", "bcache", "nbd", "sr",
    "pmem", "drbd", "rbd",
];

/// Options of a file system that decide something and name nothing, or a path that is renamed.
const OPTIONS: [&str; 2] = ["rw", "ro"];

/// Words of a device-mapper table that say what a target does; the others name devices and keys.
const TABLE_WORDS: usize = 4;

impl Names {
    /// Names stay as they are.
    #[must_use]
    pub const fn kept() -> Self {
        Self { given: None }
    }

    /// Names are replaced.
    #[must_use]
    pub const fn replaced() -> Self {
        Self { given: Some(BTreeMap::new()) }
    }

    /// One name. The kernel's own device names stay.
    pub(super) fn part(&mut self, name: &str) -> String {
        let Some(given) = &mut self.given else { return name.to_owned() };
        let is_plain = name.is_empty() || name == "." || COMMON.contains(&name) || is_device(name);
        if is_plain {
            return name.to_owned();
        }
        let next = format!("n{}", given.len() + 1);
        given.entry(name.to_owned()).or_insert(next).clone()
    }

    /// An absolute path, part by part. Of a file that the kernel marks as deleted the mark stays.
    pub(super) fn path(&mut self, path: &str) -> String {
        let (path, mark) = match path.strip_suffix(" (deleted)") {
            Some(path) => (path, " (deleted)"),
            None => (path, ""),
        };
        let renamed = match path.strip_prefix("/dev/mapper/") {
            Some(name) => format!("/dev/mapper/{}", self.mapped(name)),
            None => self.relative(path),
        };
        renamed + mark
    }

    /// Parts between slashes.
    pub(super) fn relative(&mut self, path: &str) -> String {
        path.split('/').map(|part| self.part(part)).collect::<Vec<_>>().join("/")
    }

    /// A device-mapper name. LVM writes `group-volume` and doubles hyphens within either, so both are renamed as they are
    /// in `/dev/group/volume`.
    pub(super) fn mapped(&mut self, name: &str) -> String {
        const MARK: char = '\u{1}';
        let single = name.replace("--", &MARK.to_string());
        let parts = single.split('-').map(|part| self.part(&part.replace(MARK, "-")).replace('-', "--"));
        parts.collect::<Vec<_>>().join("-")
    }

    /// A device-mapper uuid: its type stays, what identifies the device goes.
    pub(super) fn uuid(&mut self, uuid: &str) -> String {
        let kinds = if uuid.starts_with("CRYPT-") { 2 } else { 1 };
        let parts: Vec<&str> = uuid.splitn(kinds + 1, '-').collect();
        let (kind, rest) = parts.split_at(kinds.min(parts.len()));
        let kind = kind.join("-");
        let is_known = kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if self.given.is_none() {
            return uuid.to_owned();
        }
        match rest.first() {
            Some(rest) if is_known => format!("{kind}-{}", self.part(rest)),
            _ => self.part(uuid),
        }
    }

    /// One line of the mount table, without options that decide nothing.
    pub(super) fn mount(&mut self, line: &str) -> Option<String> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let words: Vec<&str> = mount.split(' ').collect();
        let [id, parent, numbers, root, point, ..] = words.as_slice() else { return None };
        let mut rest = filesystem.split(' ');
        let (kind, source, options) = (rest.next()?, rest.next()?, rest.next().unwrap_or_default());
        let escaped = |text: &str, names: &mut Self| escape(&names.path(&unescape(text)));
        let (root, point) = (escaped(root, self), escaped(point, self));
        let source = if source.starts_with('/') { escaped(source, self) } else { self.relative(source) };
        let kept = options.split(',').filter_map(|option| match option.split_once('=') {
            Some(("upperdir", path)) => Some(format!("upperdir={}", escaped(path, self))),
            Some(_) => None,
            None => OPTIONS.contains(&option).then(|| option.to_owned()),
        });
        let kept = kept.collect::<Vec<_>>().join(",");
        Some(format!("{id} {parent} {numbers} {root} {point} rw - {kind} {source} {kept}"))
    }

    /// One line of `/proc/swaps`.
    pub(super) fn swap(&mut self, line: &str) -> Option<String> {
        let mut words = line.split_whitespace();
        let (area, kind) = (words.next()?, words.next()?);
        let area = escape(&self.path(&unescape(area)));
        Some(format!("{area} {kind} 0 0 0"))
    }

    /// What a tool said, in as many words as its reader looks at.
    pub(super) fn output(&mut self, tool: &str, text: &str) -> String {
        let lines = text.lines().map(|line| match tool {
            "dmsetup" => line.split_whitespace().take(TABLE_WORDS).collect::<Vec<_>>().join(" "),
            "zfs" => match line.split_once('\t') {
                Some(("encryptionroot", root)) if root != "-" => {
                    format!("encryptionroot\t{}", self.relative(root))
                }
                _ => line.to_owned(),
            },
            // The first column is a pool, a group of devices or a device; the others are sizes.
            _ => {
                let depth = line.len() - line.trim_start_matches('\t').len();
                let name = line.trim_start_matches('\t').split('\t').next().unwrap_or_default();
                let name = if name.starts_with('/') { self.path(name) } else { self.relative(name) };
                format!("{}{name}\t-", "\t".repeat(depth))
            }
        });
        lines.map(|line| line + "\n").collect()
    }

    /// A kernel release without what somebody called their build.
    pub(super) fn release(&self, release: &str) -> String {
        if self.given.is_none() {
            return release.to_owned();
        }
        let number: String = release.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let is_wsl = release.to_ascii_lowercase().contains("microsoft");
        if is_wsl { format!("{number}-microsoft\n") } else { format!("{number}\n") }
    }
}

fn is_device(name: &str) -> bool {
    DEVICES.iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            let letters = rest.bytes().filter(u8::is_ascii_lowercase).count();
            // sda, sdaa1, nvme0n1p2, mmcblk0boot0 are not told from words by letters alone: two at most.
            !rest.is_empty()
                && rest.len() <= 8
                && letters <= 2
                && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        })
    })
}

/// As the kernel writes a path in a table.
fn escape(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

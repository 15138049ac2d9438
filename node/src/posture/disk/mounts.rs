//! The mount table (`proc_pid_mountinfo(5)`), and which mount a path is on.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use serde::{Deserialize, Serialize};

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    /// Major and minor number of its device; major 0 is no block device.
    pub(super) device: (u32, u32),
    pub(super) point: PathBuf,
    pub(super) filesystem: String,
    pub(super) source: String,
    /// Options of the file system itself, for example an overlay's folders.
    pub(super) options: String,
}

/// Largest mount table that is read, in bytes: container hosts have thousands of lines.
const TABLE_LEN_MAX: usize = 8 << 20;

/// Reads the table of the machine below `root`.
pub(super) fn read(root: &Path) -> Option<Vec<Mount>> {
    let text = std::fs::read(root.join("proc/self/mountinfo")).ok()?;
    let text = text.get(..TABLE_LEN_MAX).unwrap_or(&text);
    Some(String::from_utf8_lossy(text).lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut words = mount.split(' ');
    let id = words.next()?.parse().ok()?;
    let (major, minor) = words.nth(1)?.split_once(':')?;
    let point = words.nth(1)?;
    let mut rest = filesystem.split(' ');
    Some(Mount {
        id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        point: PathBuf::from(unescape(point)),
        filesystem: rest.next()?.to_owned(),
        source: unescape(rest.next()?),
        options: unescape(rest.next().unwrap_or_default()),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
pub(in crate::posture) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'\\').then(|| after.get(..3)).flatten().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    OsStr::from_bytes(&bytes).to_string_lossy().into_owned()
}

/// The mount with the longest point that `path` is below; of equals the last, which covers the others.
pub(super) fn by_prefix<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

/// What the kernel says of a path of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::posture) struct Live {
    /// Id of its mount; none before Linux 5.8.
    pub(in crate::posture) mount: Option<u64>,
    /// Whether the file system encrypts this very folder (fscrypt).
    pub(in crate::posture) encrypted: bool,
}

/// Asks the kernel about `path`.
pub(super) fn ask(path: &Path) -> Option<Live> {
    let answer = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::MNT_ID).ok()?;
    let has_id = answer.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Some(Live {
        mount: has_id.then_some(answer.stx_mnt_id),
        encrypted: answer.stx_attributes.contains(StatxAttributes::ENCRYPTED),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes() {
        let line = r"33 1 7:3 / /mnt/with\040space rw,relatime shared:1 - ext4 /dev/loop3 rw";
        let mount = parse(line).expect("a mount");
        assert_eq!(mount.point, Path::new("/mnt/with space"));
        assert_eq!((mount.id, mount.device, mount.filesystem.as_str()), (33, (7, 3), "ext4"));
        assert_eq!(parse("33 1 7:3 /"), None);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape(r"a\134b\12\9\"), r"a\b\12\9\");
        assert_eq!(unescape(r"\777"), r"\777");
    }

    #[test]
    fn of_two_mounts_on_one_point_the_later_counts() {
        let table =
            "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /home rw - ext4 b rw\n3 1 8:3 / /home rw - ext4 c rw";
        let mounts: Vec<_> = table.lines().filter_map(parse).collect();
        let source = |path: &str| by_prefix(&mounts, Path::new(path)).map(|m| m.source.as_str());
        assert_eq!(source("/home/me"), Some("c"));
        assert_eq!(source("/homely"), Some("a"));
    }
}

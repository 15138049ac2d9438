//! ZFS: a dataset encrypts by itself, or rests on the devices of its pool.
//!
//! Its own tools are asked, since the kernel tells nothing of it to anybody else. Their word is root's word.

use croft_domain::fact::{Confidence, DiskState};

use super::record::{ZFS, ZPOOL};
use super::{Judgment, Walk, shown};

/// Most devices of one pool that are followed.
const DEVICES_MAX: usize = 64;

impl Walk<'_> {
    /// Follows the dataset that is mounted.
    pub(super) fn zfs(&mut self, dataset: &str, depth: usize) -> Judgment {
        let live = self.live;
        let Some(text) = self.recorded.output(&ZFS, dataset, live) else {
            return self.unknown(&format!("zfs: {}: the zfs tool says nothing of it", shown(dataset)));
        };
        match parse(&text) {
            Dataset::Encrypts(cipher) => {
                self.note(&format!("zfs: {} encrypts by itself ({cipher})", shown(dataset)));
                Judgment::new(DiskState::Encrypted, Confidence::Uuid)
            }
            Dataset::Plain => {
                self.note(&format!("zfs: {} does not encrypt by itself", shown(dataset)));
                self.pool(dataset.split('/').next().unwrap_or(dataset), depth)
            }
            Dataset::Unclear => {
                self.unknown(&format!("zfs: {}: its properties contradict each other", shown(dataset)))
            }
        }
    }

    fn pool(&mut self, pool: &str, depth: usize) -> Judgment {
        let live = self.live;
        let Some(text) = self.recorded.output(&ZPOOL, pool, live) else {
            return self.unknown(&format!("zfs: the devices of {pool} cannot be listed"));
        };
        let members = members(&text).filter(|all| !all.is_empty() && all.len() <= DEVICES_MAX);
        let Some(members) = members else {
            return self.unknown(&format!("zfs: {pool} lists devices that cannot be followed, or none"));
        };
        self.note(&format!("zfs: {pool} over {} device(s)", members.len()));
        let judgments: Vec<Judgment> = members
            .iter()
            .map(|member| match member.starts_with("/dev/") {
                true => self.named_device(member, depth),
                false => self.path(member, depth + 1),
            })
            .collect();
        judgments.into_iter().reduce(Judgment::and).unwrap_or(Judgment::UNKNOWN)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Dataset {
    Encrypts(String),
    Plain,
    Unclear,
}

/// `property TAB value` a line.
fn parse(text: &str) -> Dataset {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.split_once('\t').filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    match (value("encryption"), value("keystatus"), value("encryptionroot")) {
        (Some("off"), ..) => Dataset::Plain,
        (Some(cipher), Some("available"), Some(root)) if cipher.contains("aes-") && root != "-" => {
            Dataset::Encrypts(cipher.to_owned())
        }
        _ => Dataset::Unclear,
    }
}

/// Groups of devices: a word, and a number behind a hyphen.
const GROUPS: [&str; 10] =
    ["mirror", "raidz1", "raidz2", "raidz3", "draid1", "draid2", "draid3", "spare", "replacing", "indirect"];

/// Groups that are named in one word.
const CLASSES: [&str; 5] = ["logs", "cache", "spares", "special", "dedup"];

/// Full paths of the devices and files below the pool's own line, logs and caches too. None if a line is neither of these
/// nor a group of them: a device that is gone is listed by a number.
fn members(text: &str) -> Option<Vec<String>> {
    let mut members = Vec::new();
    for line in text.lines().skip(1) {
        let Some(name) = line.split('\t').find(|word| !word.is_empty()) else { continue };
        let is_group = name.split_once('-').is_some_and(|(kind, number)| {
            let kind = kind.split(':').next().unwrap_or(kind);
            GROUPS.contains(&kind) && number.starts_with(|c: char| c.is_ascii_digit())
        });
        if name.starts_with('/') {
            members.push(name.to_owned());
        } else if !is_group && !CLASSES.contains(&name) {
            return None;
        }
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_a_dataset_encrypts_only_if_all_three_properties_say_so() {
        let text = |encryption: &str, status: &str, root: &str| {
            format!("encryption\t{encryption}\nkeystatus\t{status}\nencryptionroot\t{root}\n")
        };
        assert_eq!(
            parse(&text("aes-256-gcm", "available", "rpool/home")),
            Dataset::Encrypts("aes-256-gcm".to_owned())
        );
        assert_eq!(parse(&text("off", "-", "-")), Dataset::Plain);
        for unclear in [
            text("aes-256-gcm", "unavailable", "rpool"),
            text("aes-256-gcm", "available", "-"),
            text("on", "available", "rpool"),
            text("-", "-", "-"),
            String::new(),
        ] {
            assert_eq!(parse(&unclear), Dataset::Unclear, "{unclear}");
        }
    }

    #[test]
    fn every_device_of_a_pool_is_listed() {
        let text = "rpool\t928G\t100G\n\tmirror-0\t928G\t-\n\t\t/dev/nvme0n1p3\t-\n\t\t/dev/sda3\t-\nlogs\t-\n\t/dev/sdb1\t-\n";
        let all = ["/dev/nvme0n1p3", "/dev/sda3", "/dev/sdb1"].map(str::to_owned);
        assert_eq!(members(text), Some(all.to_vec()));
        assert_eq!(members("rpool\t1G\n"), Some(Vec::new()));
        assert_eq!(members(&text.replace("/dev/sda3", "4711081512342")), None, "a device that is gone");
        assert!(members("rpool\t1G\n\tdraid2:4d:11c:1s-0\t-\n\t\t/dev/sda\t-\n").is_some());
    }
}
